//! The packaged example: it loads, it is the defaults, and it says what the option table says.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use waldo_syncd::config::{Config, Environment, KEYS, SECTIONS, load};

fn example() -> String {
    std::fs::read_to_string(example_path()).unwrap()
}

fn example_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/config.toml")
}

/// The key of a line such as `#listen = "..."`; prose has a space behind the `#`.
fn commented_key(line: &str) -> Option<&str> {
    let rest = line.strip_prefix('#')?;
    rest.starts_with(|c: char| c.is_ascii_lowercase())
        .then(|| rest.split(' ').next())?
}

#[test]
fn packaged_example_is_the_defaults() {
    let loaded = load(Some(&example_path()), &Environment::default(), &[]).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn packaged_example_is_the_defaults_with_every_key_taken_in() {
    let uncommented: String = example()
        .lines()
        .map(|line| {
            if commented_key(line).is_some() {
                &line[1..]
            } else {
                line
            }
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, uncommented).unwrap();
    let loaded = load(Some(&path), &Environment::default(), &[]).unwrap();
    assert_eq!(loaded.config, Config::default());
    for key in KEYS {
        let origin = loaded.origin(&key.dotted()).unwrap();
        assert_eq!(
            origin.word(),
            "file",
            "{} is missing in the example",
            key.dotted()
        );
    }
}

#[test]
fn packaged_example_follows_the_table() {
    let text = example();
    let mut section = "";
    let mut found = Vec::new();
    // The first comment line of the block above a section or key is its line in the table.
    let mut first_comment = "";
    let mut before = "";
    for line in text.lines() {
        if line.starts_with("# ") && before.is_empty() {
            first_comment = &line[2..];
        }
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = name;
            let about = SECTIONS.iter().find(|known| known.0 == name).unwrap().1;
            assert_eq!(first_comment, about, "[{name}]");
        }
        if let Some(name) = commented_key(line) {
            let dotted = format!("{section}.{name}");
            let key = KEYS.iter().find(|key| key.dotted() == dotted).unwrap();
            assert_eq!(first_comment, key.help, "{dotted}");
            found.push(dotted);
        }
        before = line;
    }
    let all: Vec<String> = KEYS.iter().map(|key| key.dotted()).collect();
    assert_eq!(found, all);
}
