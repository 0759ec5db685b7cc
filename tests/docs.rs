//! What the documents say of the tests is so: each test that they name is there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

/// Documents that point at tests, as `file`: `test`, `test`.
const DOCUMENTS: [&str; 3] = [
    "docs/GUARANTEES.md",
    "docs/THREAT-MODEL.md",
    "docs/TESTING.md",
];

/// Files in which a test may be named.
const ENDINGS: [&str; 5] = [".rs", ".js", ".sh", ".py", ".ci/run"];

/// Spans of code in a line, and what stands between each and the next.
fn spans(line: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = line.split('`').collect();
    // Text, code, text, code, ..., text.
    let pairs = parts.chunks_exact(2).map(|pair| pair[1]);
    let between = parts.iter().skip(2).step_by(2).copied();
    pairs.zip(between).collect()
}

/// The tests that a line names, each with its file.
fn named(line: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut file: Option<&str> = None;
    for (code, after) in spans(line) {
        match file {
            Some(file) => found.push((file.to_owned(), code.to_owned())),
            None => {
                let is_file = ENDINGS.iter().any(|ending| code.ends_with(ending));
                file = (is_file && after == ": ").then_some(code);
                continue;
            }
        }
        if after != ", " {
            file = None;
        }
    }
    found
}

fn root(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Why a test that is named is not there.
fn missing(file: &str, test: &str) -> Option<String> {
    let Ok(text) = fs::read_to_string(root(file)) else {
        return Some(format!("there is no file {file} (for {test})"));
    };
    let there = if file.ends_with(".rs") {
        let function = format!("fn {test}(");
        text.lines().any(|line| {
            line.trim_start()
                .trim_start_matches("async ")
                .starts_with(&function)
        })
    } else {
        text.contains(test)
    };
    (!there).then(|| format!("{file} has no test {test}"))
}

#[test]
fn every_test_that_a_document_names_is_there() {
    let mut wrong = Vec::new();
    for document in DOCUMENTS {
        let text = fs::read_to_string(root(document)).expect(document);
        let all: Vec<_> = text.lines().flat_map(named).collect();
        assert!(!all.is_empty(), "{document} names no test");
        let of_document = all.iter().filter_map(|(file, test)| missing(file, test));
        wrong.extend(of_document.map(|why| format!("{document}: {why}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_defence_of_the_threat_model_names_a_test() {
    let text = fs::read_to_string(root("docs/THREAT-MODEL.md")).unwrap();
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.contains("| Defence |"));
    let bare: Vec<&str> = rows.filter(|row| named(row).is_empty()).collect();
    assert!(bare.is_empty(), "no test is named:\n{}", bare.join("\n"));
}

#[test]
fn a_name_is_found_and_its_lack_too() {
    let line =
        "| a | `tests/docs.rs`: `a_name_is_found_and_its_lack_too`, `none` | `x` | `src/lib.rs` |";
    let found = named(line);
    let tests: Vec<_> = found.iter().map(|(_, test)| test.as_str()).collect();
    assert_eq!(tests, ["a_name_is_found_and_its_lack_too", "none"]);
    assert_eq!(missing(&found[0].0, &found[0].1), None);
    assert!(missing(&found[1].0, &found[1].1).is_some());
    assert!(missing("tests/nowhere.rs", "x").is_some());
}
