//! What erasing a customer leaves: a whole chain, rows that the log gives again, and no byte of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

#[path = "erase/beside.rs"]
mod beside;
#[path = "erase/bytes.rs"]
mod bytes;
#[path = "erase/crash.rs"]
mod crash;
#[path = "erase/restore.rs"]
mod restore;

use std::path::Path;

use serde_json::json;

use common::bodies::*;
use common::{Daemon, Place};

const FILE: &str = "waldo-syncd.db";
const LIST: &str = "erased.jsonl";
/// The customer that is erased.
const EVE: &str = "e7e7e7e7aaaabbbbccccdddd";
const EVES_EXTERNAL: &str = "external-of-eve-4711";
const EVES_REQUEST: &str = "reqOfEve42";
const SECRET: &str = "the-blue-context-of-eve";

/// All that must not be found any more.
const TRACES: [&str; 4] = [EVE, EVES_EXTERNAL, EVES_REQUEST, SECRET];

/// Tells a daemon of Eve in every way there is, between what others do; the last seq.
fn live(daemon: &Daemon) -> u64 {
    daemon.deliver(onboard(ADA, "APPROVED", "PASSED"));
    // The registration alone does not say whose request it is.
    let body =
        json!({"requestId": EVES_REQUEST, "operation": "onboard", "context": {"note": SECRET}});
    let answer = daemon.controller().call(
        "POST",
        "/v1/requests",
        &[],
        Some(body.to_string().as_bytes()),
    );
    assert_eq!(answer.unwrap().status, 201);
    daemon.deliver(with(
        run(EVE, EVES_REQUEST, "kyc", "initiated"),
        json!({"externalId": EVES_EXTERNAL}),
    ));
    daemon.deliver(run(CAY, "r-of-cay", "fraud", "initiated"));
    daemon.deliver(run(EVE, EVES_REQUEST, "kyc", "completed"));
    daemon.deliver(flag(EVE, true));
    daemon.deliver(flag(EVE, true));
    daemon.deliver(format!("{{\"event\":\"flag\",\"customerId\":\"{EVE}\","));
    daemon.deliver(json!({"event": "novel", "customer": {"id": EVE}}));
    let last = daemon.deliver(run(CAY, "r-of-cay", "fraud", "completed"));
    daemon.event(last);
    last
}

/// The files of a directory that hold a text, by name.
fn holding(directory: &Path, text: &str) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            // A socket cannot be read, and holds nothing.
            let bytes = std::fs::read(path).unwrap_or_default();
            bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        })
        .map(|path| path.display().to_string())
        .collect()
}

#[track_caller]
fn assert_no_trace(directory: &Path) {
    for trace in TRACES {
        assert_eq!(holding(directory, trace), Vec::<String>::new(), "{trace}");
    }
}

#[track_caller]
fn assert_sound(place: &Place) {
    place.cli(&["check"]).assert_code(0);
    place.cli(&["rebuild", "--diff"]).assert_code(0);
}
