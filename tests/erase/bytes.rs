//! No byte of a person is left, live or on the file; what is left is sound.

use serde_json::{Value, json};

use crate::common::http::Client;
use crate::*;

fn erased(run: &crate::common::place::Run) -> Value {
    run.assert_code(0);
    let lines = run.json_lines();
    assert_eq!(lines.len(), 1);
    lines.into_iter().next().unwrap()
}

#[track_caller]
fn assert_erased(daemon: &Daemon, last: u64) {
    for seq in [2, 3, 5, 6, 7, 8, 9] {
        let event = daemon.event(seq);
        assert_eq!(event["disposition"], "erased", "{event}");
        for member in [
            "event",
            "customerId",
            "externalId",
            "requestId",
            "evaluation",
        ] {
            assert_eq!(event[member], Value::Null, "{event}");
        }
        assert_eq!(
            event["source"],
            if seq == 2 { "control" } else { "webhook" }
        );
        assert_eq!(daemon.get(&format!("/v1/events/{seq}/payload")).status, 404);
    }
    assert_eq!(daemon.get(&format!("/v1/customers/{EVE}")).status, 404);
    assert_eq!(
        daemon.get(&format!("/v1/customers/{EVE}/events")).status,
        404
    );
    assert_eq!(
        daemon.get(&format!("/v1/requests/{EVES_REQUEST}")).status,
        404
    );
    assert_eq!(daemon.get(&format!("/v1/customers/{CAY}")).status, 200);
    assert_eq!(
        daemon.get("/v1/requests/r-of-cay").json()["state"],
        "completed"
    );
    let stats = daemon.get("/v1/stats").json();
    assert_eq!(stats["events"]["total"], last);
    assert_eq!(stats["events"]["byDisposition"]["erased"], 7, "{stats}");
    assert_eq!(stats["events"]["byEvent"]["(erased)"], 7, "{stats}");
    assert_eq!(stats["customers"]["total"], 2, "{stats}");
    assert_eq!(stats["requests"]["total"], 1, "{stats}");
}

#[test]
fn nothing_is_left_of_a_customer_erased_beside_the_running_daemon() {
    let mut daemon = Daemon::start();
    let last = live(&daemon);
    for trace in TRACES {
        assert!(!holding(&daemon.data(), trace).is_empty(), "{trace}");
    }
    let run = daemon.place().cli(&["erase", EVE, "--yes", "--json"]);
    let certificate = erased(&run);
    assert_no_trace(&daemon.data());
    assert!(
        !run.stdout.contains(EVE),
        "the certificate names the person"
    );
    assert_eq!(certificate["searchedClean"], true, "{certificate}");
    assert_eq!(certificate["requests"], 1);
    assert_eq!(certificate["headSeq"], last);
    assert_eq!(certificate["mentionedIn"], json!([]));
    let seqs: Vec<_> = certificate["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["seq"].clone())
        .collect();
    assert_eq!(json!(seqs), json!([2, 3, 5, 6, 7, 8, 9]));
    for event in certificate["events"].as_array().unwrap() {
        let shown = daemon.event(event["seq"].as_u64().unwrap());
        assert_eq!(shown["digest"], event["digest"]);
    }
    assert_erased(&daemon, last);
    assert!(!daemon.log().contains(EVE), "the id is in the log");
    // The daemon goes on, and its rows are those of a fold from the start.
    daemon.deliver(onboard(DOT, "REVIEW", "PENDING"));
    let next = daemon.deliver(run_of_dot());
    daemon.event(next);
    assert_sound(daemon.place());
    daemon.stop();
    assert_no_trace(&daemon.data());
    assert_sound(daemon.place());
    daemon.start_again();
    let next = daemon.deliver(onboard(BEN, "REVIEW", "PENDING"));
    daemon.event(next);
    assert_sound(daemon.place());
}

fn run_of_dot() -> Value {
    run(DOT, "r-of-dot", "fraud", "initiated")
}

#[test]
fn nothing_is_left_of_a_customer_erased_from_the_file() {
    let mut daemon = Daemon::start();
    let last = live(&daemon);
    daemon.stop();
    let certificate = daemon.place().path().join("certificate.json");
    let path = certificate.to_str().unwrap();
    let run = daemon
        .place()
        .cli(&["erase", EVE, "--yes", "--certificate", path]);
    run.assert_code(0);
    let written: Value = serde_json::from_slice(&std::fs::read(&certificate).unwrap()).unwrap();
    assert_eq!(written["events"].as_array().unwrap().len(), 7);
    assert_eq!(written["searchedClean"], true);
    assert_no_trace(&daemon.data());
    assert_sound(daemon.place());
    daemon.start_again();
    assert_erased(&daemon, last);
    daemon.stop();
    // Who is erased is not known any more.
    let again = daemon.place().cli(&["erase", EVE, "--yes"]);
    again.assert_code(3);
    let again = daemon
        .place()
        .cli(&["erase", EVE, "--yes", "--certificate", path]);
    again.assert_code(2);
}

#[test]
fn remains_in_unused_places_of_the_file_go_too() {
    let mut daemon = Daemon::start();
    live(&daemon);
    daemon.place().cli(&["erase", EVE, "--yes"]).assert_code(0);
    daemon.stop();
    // As a program leaves them that does not overwrite what it deletes.
    let connection = rusqlite::Connection::open(daemon.data().join(FILE)).unwrap();
    connection
        .execute_batch("PRAGMA secure_delete = OFF")
        .unwrap();
    for reading in [Some(EVE), None] {
        connection
            .execute("UPDATE log SET reading = ?1 WHERE seq = 1", [reading])
            .unwrap();
    }
    drop(connection);
    assert!(!holding(&daemon.data(), EVE).is_empty());
    let run = daemon.place().cli(&["erase", EVE, "--yes", "--json"]);
    let certificate = erased(&run);
    assert_eq!(certificate["events"], json!([]));
    assert_eq!(certificate["searchedClean"], true);
    assert_no_trace(&daemon.data());
    assert_sound(daemon.place());
    daemon.place().cli(&["erase", EVE, "--yes"]).assert_code(3);
}

#[test]
fn a_customer_that_comes_again_is_a_new_one() {
    let daemon = Daemon::start();
    live(&daemon);
    let eve = || daemon.place().cli(&["erase", EVE, "--yes"]);
    eve().assert_code(0);
    let seq = daemon.deliver(onboard(EVE, "REVIEW", "PENDING"));
    daemon.event(seq);
    let row = daemon.get(&format!("/v1/customers/{EVE}")).json();
    assert_eq!((&row["version"], &row["lastSeq"]), (&json!(1), &json!(seq)));
    assert_eq!(row["externalId"], Value::Null);
    assert_sound(daemon.place());
    eve().assert_code(0);
    assert_no_trace(&daemon.data());
    assert_sound(daemon.place());
}

#[test]
fn a_customer_whose_request_is_anothers_too_is_erased_with_the_daemon_stopped() {
    let mut daemon = Daemon::start();
    live(&daemon);
    let seq = daemon.deliver(run(BEN, EVES_REQUEST, "kyc", "in_progress"));
    daemon.deliver(run(EVE, "r-of-cay", "fraud", "in_progress"));
    daemon.event(seq + 1);
    let refused = daemon.place().cli(&["erase", EVE, "--yes"]);
    refused.assert_code(1);
    assert!(
        refused.stderr.contains("stop the daemon"),
        "{}",
        refused.stderr
    );
    assert_eq!(daemon.get(&format!("/v1/customers/{EVE}")).status, 200);
    daemon.stop();
    daemon.place().cli(&["erase", EVE, "--yes"]).assert_code(0);
    for trace in [EVE, EVES_EXTERNAL, SECRET] {
        assert_eq!(
            holding(&daemon.data(), trace),
            Vec::<String>::new(),
            "{trace}"
        );
    }
    assert_sound(daemon.place());
    daemon.start_again();
    // What another customer's webhook says of the request stays.
    let request = daemon.get(&format!("/v1/requests/{EVES_REQUEST}")).json();
    assert_eq!(
        (&request["customerId"], &request["events"]),
        (&json!(BEN), &json!([seq]))
    );
}

#[test]
fn events_of_others_that_mention_the_id_are_told_and_left() {
    let daemon = Daemon::start();
    live(&daemon);
    let seq = daemon.deliver(with(flag(CAY, true), json!({"seenWith": EVE})));
    daemon.event(seq);
    let certificate = erased(&daemon.place().cli(&["erase", EVE, "--yes", "--json"]));
    assert_eq!(certificate["mentionedIn"], json!([seq]));
    assert_eq!(certificate["searchedClean"], Value::Null);
    assert_sound(daemon.place());
}

#[test]
fn payloads_that_were_pruned_before_are_erased_too() {
    let daemon = Daemon::start();
    live(&daemon);
    daemon
        .place()
        .cli(&["prune", "--older-than", "0s", "--yes"])
        .assert_code(0);
    assert!(
        !holding(&daemon.data(), EVE).is_empty(),
        "the reading is kept"
    );
    daemon.place().cli(&["erase", EVE, "--yes"]).assert_code(0);
    assert_no_trace(&daemon.data());
    assert_sound(daemon.place());
}

#[test]
fn what_destroys_asks_and_needs_yes_without_a_terminal() {
    let daemon = Daemon::start();
    live(&daemon);
    for verb in [vec!["erase", EVE], vec!["prune", "--older-than", "0s"]] {
        let run = daemon.place().cli(&verb);
        run.assert_code(2);
        assert!(run.stderr.contains("--yes"), "{}", run.stderr);
    }
    daemon
        .place()
        .cli(&["erase", "nobody", "--yes"])
        .assert_code(3);
    assert_eq!(daemon.get(&format!("/v1/customers/{EVE}")).status, 200);
    assert!(!daemon.data().join(LIST).exists(), "an intent was noted");
}

#[test]
fn the_list_of_erased_ids_is_for_its_owner_only() {
    let daemon = Daemon::start();
    live(&daemon);
    daemon.place().cli(&["erase", EVE, "--yes"]).assert_code(0);
    assert_eq!(crate::common::mode(&daemon.data().join(LIST)), 0o600);
}

#[test]
fn erase_takes_an_empty_body_or_object_only() {
    let daemon = Daemon::start();
    live(&daemon);
    let mut control: Client = daemon.controller();
    let path = format!("/v1/customers/{EVE}/erase");
    let call = |control: &mut Client, body: &str| {
        control
            .call("POST", &path, &[], Some(body.as_bytes()))
            .unwrap()
            .status
    };
    assert_eq!(call(&mut control, "{\"x\":1}"), 400);
    assert_eq!(call(&mut control, "{}"), 200);
    assert_eq!(call(&mut control, ""), 404);
}
