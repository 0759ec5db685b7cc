//! man and completions: made from the table of commands.

use std::fs;

use crate::assert_helpful;
use crate::common::Place;

#[test]
fn man_prints_a_page_of_the_whole_and_of_each_verb() {
    let place = Place::new();
    for (arguments, title) in [
        (&["man"] as &[&str], ".TH waldo-syncd 1"),
        (&["man", "serve"], ".TH waldo-syncd-serve 1"),
        (&["man", "config", "show"], ".TH waldo-syncd-config-show 1"),
    ] {
        let run = place.run(arguments);
        run.assert_code(0);
        assert!(run.stdout.contains(title), "{arguments:?}: {}", run.stdout);
    }
}

#[test]
fn a_page_names_the_options_of_its_verb_and_shows_the_example() {
    let run = Place::new().run(&["man", "serve"]);
    for text in ["\\-\\-ingest", "\\-\\-config", "Example"] {
        assert!(run.stdout.contains(text), "{text}: {}", run.stdout);
    }
}

#[test]
fn man_of_an_unknown_verb_is_2() {
    let run = Place::new().run(&["man", "frobnicate"]);
    run.assert_code(2);
    assert_helpful(&run);
}

#[test]
fn man_to_a_directory_writes_a_page_for_every_verb() {
    let place = Place::new();
    let directory = place.path().join("pages");
    place
        .run(&["man", "--to", directory.to_str().unwrap()])
        .assert_code(0);
    let whole = fs::read_to_string(directory.join("waldo-syncd.1")).unwrap();
    let named: Vec<&str> = whole
        .lines()
        .filter_map(|line| line.strip_suffix("(1)"))
        .collect();
    assert!(named.len() > 10, "{whole}");
    for page in named {
        let file = directory.join(format!("{}.1", page.replace('\\', "")));
        assert!(file.exists(), "{} is missing", file.display());
    }
}

#[test]
fn completions_know_the_verbs_in_each_shell() {
    let place = Place::new();
    for (shell, mark) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef waldo-syncd"),
        ("fish", "complete -c waldo-syncd"),
    ] {
        let run = place.run(&["completions", shell]);
        run.assert_code(0);
        for text in [mark, "webhook-url"] {
            assert!(run.stdout.contains(text), "{shell}: {text}");
        }
    }
    let run = place.run(&["completions", "tcsh"]);
    run.assert_code(2);
    assert_helpful(&run);
}
