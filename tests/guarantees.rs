//! docs/GUARANTEES.md names tests: each of them is there, so that the page says what is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

/// The texts between backticks, in order.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.contains('_') && bytes.all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

#[test]
fn every_test_that_is_named_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/GUARANTEES.md")).unwrap();
    let mut named = 0;
    let mut missing = Vec::new();
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let columns: Vec<&str> = line.split(" | ").collect();
        let Some(held) = columns.get(1).filter(|held| held.contains('`')) else {
            continue;
        };
        let mut text = String::new();
        for word in quoted(held) {
            if word.ends_with('/') {
                assert!(root.join(word).is_dir(), "{word}");
            } else if word.contains(' ') {
                // The title of a test of the page.
                named += 1;
                if !text.contains(word) {
                    missing.push(word.to_owned());
                }
            } else if is_name(word) {
                named += 1;
                let definition = format!("fn {word}(");
                if !text.contains(&definition) {
                    missing.push(word.to_owned());
                }
            } else {
                // A script proves by being there and run.
                text = fs::read_to_string(root.join(word))
                    .unwrap_or_else(|error| panic!("{word}: {error}"));
                if word.starts_with("packaging/") {
                    let gate = fs::read_to_string(root.join(".ci/run")).unwrap();
                    assert!(gate.contains(word), "{word} is not run");
                }
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    assert!(
        named > 100,
        "only {named} tests are named: has the page another shape?"
    );
}
