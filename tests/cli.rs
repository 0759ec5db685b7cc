//! The command line: exit codes, JSON lines, errors that help, help that fits a screen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

#[path = "cli/contract.rs"]
mod contract;
#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/manual.rs"]
mod manual;
#[path = "cli/setup.rs"]
mod setup;
#[path = "cli/show.rs"]
mod show;

use common::place::Run;
use common::{Daemon, Place};

/// Lines of a terminal of the usual size.
const SCREEN_LINES: usize = 24;
const SCREEN_COLUMNS: usize = 80;

/// An error stands on stderr alone, says something, and fits on a few lines.
#[track_caller]
pub fn assert_helpful(run: &Run) {
    assert_eq!(run.stdout, "", "an error stands on stderr");
    assert!(run.stderr.trim().len() > 15, "no help: {:?}", run.stderr);
}

#[test]
fn help_of_each_verb_fits_a_screen_and_shows_an_example() {
    let place = Place::new();
    // clap asks COLUMNS where there is no terminal.
    let help = |words: &[&str]| {
        let mut command = place.command();
        command
            .args(words)
            .arg("--help")
            .env("COLUMNS", SCREEN_COLUMNS.to_string());
        place.finish(command)
    };
    let verbs_of = |words: &[&str]| -> Vec<String> {
        let text = help(words).stdout;
        let (_, list) = text.split_once("Commands:\n").unwrap();
        let lines = list.lines().take_while(|line| !line.is_empty());
        let words = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let words = words.filter_map(|line| line.split_whitespace().next());
        let verbs = words.filter(|word| *word != "help").map(str::to_owned);
        verbs.collect()
    };
    let mut all: Vec<Vec<String>> = Vec::new();
    for verb in verbs_of(&[]) {
        if verb == "config" {
            let beneath = verbs_of(&["config"]).into_iter();
            all.extend(beneath.map(|word| vec![verb.clone(), word]));
        } else {
            all.push(vec![verb]);
        }
    }
    assert!(all.len() >= 28, "{all:?}");
    for verb in &all {
        let verb: Vec<&str> = verb.iter().map(String::as_str).collect();
        let run = help(&verb);
        run.assert_code(0);
        let lines = run.stdout.lines().count();
        assert!(
            lines <= SCREEN_LINES
                && run
                    .stdout
                    .lines()
                    .all(|line| line.chars().count() <= SCREEN_COLUMNS),
            "{verb:?}: {lines} lines\n{}",
            run.stdout
        );
        let text = run.stdout.to_lowercase();
        assert!(
            text.contains("example"),
            "{verb:?} has no example:\n{}",
            run.stdout
        );
        let call = format!("waldo-syncd {}", verb.join(" "));
        assert!(
            run.stdout.contains(&call),
            "{verb:?} never shows a call:\n{}",
            run.stdout
        );
        assert!(
            !run.stdout.contains('\x1b'),
            "{verb:?}: colours without a terminal"
        );
    }
}

#[test]
fn help_of_the_whole_names_every_verb() {
    let place = Place::new();
    let run = place.run(&["--help"]);
    run.assert_code(0);
    for verb in [
        "init",
        "serve",
        "sandbox",
        "send",
        "webhook-url",
        "status",
        "customers",
        "customer",
        "events",
        "requests",
        "check",
        "rebuild",
        "config",
        "man",
        "completions",
    ] {
        assert!(
            run.stdout.contains(verb),
            "{verb} is missing:\n{}",
            run.stdout
        );
    }
    place.run(&["--version"]).assert_code(0);
}

#[test]
fn wrong_usage_is_2() {
    let place = Place::new();
    for arguments in [
        &["frobnicate"] as &[&str],
        &["status", "--frobnicate"],
        &["customer"],
        &["send"],
        &["events", "--limit", "many"],
        &["serve", "--ingest"],
        &["config", "frobnicate"],
        &["check", "a.db", "b.db"],
    ] {
        let run = place.run(arguments);
        run.assert_code(2);
        assert_helpful(&run);
    }
}

#[test]
fn no_verb_at_all_is_2() {
    let place = Place::new();
    place.run(&[]).assert_code(2);
}

#[test]
fn verbs_that_need_the_daemon_are_4_when_it_is_not_running() {
    let never = Place::new();
    let mut killed = Daemon::start();
    killed.kill();
    assert!(
        killed.data().join("doors.json").exists(),
        "the case has no sense"
    );
    let mut stopped = Daemon::start();
    stopped.stop();
    for place in [&never, killed.place(), stopped.place()] {
        for arguments in [
            &["status"] as &[&str],
            &["status", "--json"],
            &["customers"],
            &["customer", "c"],
            &["events"],
            &["event", "1"],
            &["requests"],
            &["send", "onboard", "--customer", "c"],
        ] {
            let run = place.cli(arguments);
            run.assert_code(4);
            assert_helpful(&run);
            let text = run.stderr.to_lowercase();
            assert!(
                text.contains("not running") || text.contains("serve"),
                "{text}"
            );
        }
    }
}

#[test]
fn nothing_known_is_3() {
    let daemon = Daemon::start();
    for (verb, id) in [("customer", "nobody"), ("event", "4711")] {
        let run = daemon.place().cli(&[verb, id]);
        run.assert_code(3);
        assert_helpful(&run);
        assert!(run.stderr.contains(id), "{}", run.stderr);
    }
}
