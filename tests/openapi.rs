//! The OpenAPI documents and the doors say the same, both ways: what is described is answered as described, and nothing
//! is served that is not described.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

#[path = "openapi/control.rs"]
mod control;
#[path = "openapi/description.rs"]
mod description;
#[path = "openapi/query.rs"]
mod query;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use common::{Daemon, Place, story};
use description::Description;

fn docs(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name)
}

/// Where the examples are kept.
fn answers() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/answers.json")
}

/// A daemon that knows the story.
fn told() -> Daemon {
    let place = Place::new();
    story::write(&place);
    Daemon::start_in(place)
}

#[test]
fn a_door_serves_what_the_program_prints() {
    let daemon = Daemon::start();
    let place = daemon.place();
    let served = [
        ("query", daemon.get("/openapi.json"), "openapi.json"),
        (
            "control",
            daemon.controller().get("/openapi.json"),
            "openapi-control.json",
        ),
    ];
    for (door, answer, file) in served {
        let kept = fs::read_to_string(docs(file)).unwrap();
        assert_eq!(answer.text(), kept, "{door}");
        let run = place.run(&["openapi", "--door", door]);
        run.assert_code(0);
        assert_eq!(run.stdout, kept, "{door}");
    }
    assert_eq!(
        place.run(&["openapi"]).stdout,
        daemon.get("/openapi.json").text()
    );
}

#[test]
fn a_document_is_whole() {
    for name in ["openapi.json", "openapi-control.json"] {
        let document = Description::read(name);
        assert_eq!(document.whole()["openapi"], "3.1.1");
        let mut ids = Vec::new();
        for operation in document.operations() {
            let told = |member: &str| !operation.text(member).is_empty();
            assert!(
                told("operationId") && told("summary"),
                "{name}: {operation:?}"
            );
            assert!(!operation.answers().is_empty(), "{name}: {operation:?}");
            ids.push(operation.text("operationId").to_owned());
        }
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all, "{name}: an operationId twice");
        document.assert_references();
        document.assert_examples();
    }
}

#[test]
fn the_examples_are_what_a_daemon_answers() {
    let daemon = told();
    let text = fs::read_to_string(answers()).unwrap();
    let examples: Value = serde_json::from_str(&text).unwrap();
    for (target, example) in examples.as_object().unwrap() {
        let answer = query::example(&daemon, target);
        assert_eq!(&answer, example, "{target}");
    }
}

/// `cargo test --test openapi renew -- --ignored` writes the examples anew; the documents follow.
#[test]
#[ignore = "writes the examples anew"]
fn renew() {
    let daemon = told();
    let examples: serde_json::Map<String, Value> = query::EXAMPLES
        .iter()
        .map(|target| ((*target).to_owned(), query::example(&daemon, target)))
        .collect();
    let text = serde_json::to_string_pretty(&examples).unwrap();
    fs::write(answers(), text + "\n").unwrap();
}

/// What an outside tester finds, who makes up thousands of questions from the document. The gate installs it.
#[test]
#[ignore = "needs schemathesis in target/schemathesis"]
fn schemathesis() {
    let daemon = told();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let url = format!("http://{}", daemon.address("query"));
    let run = std::process::Command::new(root.join("target/schemathesis/bin/st"))
        .args(["run", &format!("{url}/openapi.json"), "--url", &url])
        .current_dir(root.join("tests/schemathesis"))
        .status()
        .expect("schemathesis starts; .ci/run says how it is installed");
    assert!(run.success(), "schemathesis found something");
    assert_eq!(daemon.get("/healthz").status, 200, "it still serves");
}
