//! Old payloads go, what was read of them stays: the same rows, a whole chain, and no intake that waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use serde_json::{Value, json};

use common::bodies::*;
use common::place::poll;
use common::{Daemon, Place};

const LIMIT: Duration = Duration::from_secs(30);

/// A bit of everything, quarantined bodies too; the last seq.
fn live(daemon: &Daemon) -> u64 {
    daemon.deliver(sample("webhook-onboard-api-initiated.json"));
    daemon.deliver(sample("webhook-evaluation-fraud-completed.json"));
    daemon.deliver("no json at all, marked-body");
    daemon.deliver(b"\xff\xfe marked-body".to_vec());
    daemon.deliver("[\"marked-body\"]");
    daemon.deliver(json!({"event": "novel", "customerId": CAY, "extra": "marked-body"}));
    let too_large = daemon.post(vec![b'x'; (1 << 20) + 1]);
    assert_eq!(too_large.status, 413);
    let last = daemon.deliver(onboard(CAY, "APPROVED", "PASSED"));
    daemon.event(last);
    last
}

/// Every event but for its payload.
fn events(daemon: &Daemon) -> Vec<Value> {
    let mut all = daemon.get("/v1/events?limit=1000").items();
    for event in &mut all {
        let members = event.as_object_mut().unwrap();
        members.remove("payload");
        members.remove("payloadBase64");
    }
    all
}

fn rows(daemon: &Daemon) -> Vec<Value> {
    let mut rows = daemon.all("/v1/customers?sort=customerId", 1000);
    rows.extend(daemon.all("/v1/requests", 1000));
    rows.extend(events(daemon));
    rows
}

#[track_caller]
fn assert_sound(place: &Place, events: u64) {
    let check = place.cli(&["check", "--json"]);
    check.assert_code(0);
    assert_eq!(check.json_lines()[0]["withoutPayload"], events);
    place.cli(&["rebuild", "--diff"]).assert_code(0);
}

fn file_holds(daemon: &Daemon, text: &str) -> bool {
    ["waldo-syncd.db", "waldo-syncd.db-wal"].iter().any(|name| {
        let bytes = std::fs::read(daemon.data().join(name)).unwrap_or_default();
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    })
}

#[test]
fn pruned_beside_the_daemon_all_but_the_payload_stays() {
    let mut daemon = Daemon::start();
    let last = live(&daemon);
    let before = rows(&daemon);
    let prune = daemon
        .place()
        .cli(&["prune", "--older-than", "0s", "--yes", "--json"]);
    prune.assert_code(0);
    assert_eq!(prune.json_lines()[0]["events"], last);
    assert_eq!(rows(&daemon), before);
    let shown = daemon.get(&format!("/v1/events/{last}")).json();
    assert_eq!(shown["payload"], Value::Null, "{shown}");
    let gone = daemon.get(&format!("/v1/events/{last}/payload"));
    assert_eq!(gone.status, 404);
    assert_sound(daemon.place(), last);
    // The past is told from what was read.
    let past = daemon.get(&format!("/v1/customers/{CAY}?asOfSeq={last}"));
    assert_eq!(past.json()["status"], "APPROVED");
    let again = daemon
        .place()
        .cli(&["prune", "--older-than", "0s", "--yes", "--json"]);
    assert_eq!(again.json_lines()[0]["events"], 0);
    daemon.stop();
    assert!(
        !file_holds(&daemon, "marked-body"),
        "a payload is still in the file"
    );
    daemon.place().cli(&["rebuild"]).assert_code(0);
    daemon.start_again();
    assert_eq!(rows(&daemon), before);
}

#[test]
fn nothing_is_said_to_be_pruned_that_a_trigger_keeps() {
    let daemon = Daemon::start();
    let last = live(&daemon);
    let file = rusqlite::Connection::open(daemon.data().join("waldo-syncd.db")).unwrap();
    let keep =
        "CREATE TRIGGER keep BEFORE UPDATE OF payload ON log BEGIN SELECT RAISE(IGNORE); END";
    file.execute_batch(keep).unwrap();
    let prune = ["prune", "--older-than", "0s", "--yes"];
    daemon.place().cli(&prune).assert_code(1);
    assert!(daemon.log().contains("something in the file keeps it"));
    assert_eq!(
        daemon.get(&format!("/v1/events/{last}/payload")).status,
        200
    );
    file.execute_batch("DROP TRIGGER keep").unwrap();
    daemon.place().cli(&prune).assert_code(0);
}

#[test]
fn pruned_on_the_file_all_but_the_payload_stays() {
    let mut daemon = Daemon::start();
    let last = live(&daemon);
    let before = rows(&daemon);
    daemon.stop();
    let prune = daemon
        .place()
        .cli(&["prune", "--older-than", "0s", "--yes"]);
    prune.assert_code(0);
    assert!(
        prune.stdout.contains("which is every payload there was"),
        "{}",
        prune.stdout
    );
    assert_sound(daemon.place(), last);
    assert!(!file_holds(&daemon, "marked-body"));
    daemon.start_again();
    assert_eq!(rows(&daemon), before);
}

#[test]
fn what_is_not_old_enough_stays() {
    let daemon = Daemon::start();
    let last = live(&daemon);
    let prune = daemon
        .place()
        .cli(&["prune", "--older-than", "1h", "--yes", "--json"]);
    assert_eq!(prune.json_lines()[0]["events"], 0);
    assert!(!daemon.payload(last).is_empty());
}

#[test]
fn prune_without_an_age_asks_for_one_and_takes_the_configured_one() {
    let daemon = Daemon::start();
    let last = live(&daemon);
    let run = daemon.place().cli(&["prune", "--yes"]);
    run.assert_code(2);
    assert!(run.stderr.contains("--older-than"), "{}", run.stderr);
    let config = daemon
        .place()
        .file("r.toml", "[retention]\npayloads = \"1ms\"\n");
    let run = daemon.place().cli(&[
        "prune",
        "--yes",
        "--json",
        "--config",
        config.to_str().unwrap(),
    ]);
    run.assert_code(0);
    assert_eq!(run.json_lines()[0]["events"], last);
}

#[test]
fn the_daemon_prunes_by_schedule() {
    let daemon =
        Daemon::configured(|_| "[retention]\npayloads = \"1ms\"\nevery = \"20ms\"\n".to_owned());
    let last = live(&daemon);
    for seq in 1..=last {
        poll("the payload to go", LIMIT, || {
            (daemon.get(&format!("/v1/events/{seq}/payload")).status == 404).then_some(())
        });
    }
    assert!(!daemon.log().contains("[retention]"), "{}", daemon.log());
    let check = daemon.place().cli(&["config", "check", "--json"]);
    check.assert_code(0);
    assert_sound(daemon.place(), last);
}

#[test]
fn webhooks_are_taken_while_payloads_go() {
    let daemon = Daemon::start();
    for n in 0..1500 {
        daemon.deliver(with(
            flag(&format!("c{}", n % 7), n % 2 == 0),
            json!({"n": n}),
        ));
    }
    let place = daemon.place();
    std::thread::scope(|scope| {
        let prune = scope.spawn(|| place.cli(&["prune", "--older-than", "0s", "--yes", "--json"]));
        let mut taken = 0;
        while !prune.is_finished() {
            daemon.deliver(with(flag("live", true), json!({"n": taken})));
            taken += 1;
        }
        let run = prune.join().unwrap();
        run.assert_code(0);
        let pruned = run.json_lines()[0]["events"].as_u64().unwrap();
        assert!(pruned >= 1500, "{pruned}");
    });
    place.cli(&["check"]).assert_code(0);
    place.cli(&["rebuild", "--diff"]).assert_code(0);
}

#[test]
fn a_kill_while_payloads_go_leaves_the_chain_whole() {
    for round in 0..4_u64 {
        let mut daemon = Daemon::start();
        for n in 0..600 {
            daemon.deliver(with(flag(CAY, n % 2 == 0), json!({"n": n})));
        }
        std::thread::scope(|scope| {
            let mut control = daemon.controller();
            let mut reader = daemon.reader();
            let pruner = scope.spawn(move || {
                let body = br#"{"before":"2099-01-01T00:00:00Z"}"#;
                drop(control.call("POST", "/v1/prune", &[], Some(body)));
            });
            let seq = 1 + round * 150;
            poll("the first payloads to go", LIMIT, || {
                (reader.get(&format!("/v1/events/{seq}/payload")).status == 404).then_some(())
            });
            daemon.kill();
            pruner.join().unwrap();
        });
        daemon.place().cli(&["check"]).assert_code(0);
        daemon.start_again();
        let last = daemon.deliver(flag(CAY, true));
        daemon.event(last);
        let run = daemon
            .place()
            .cli(&["prune", "--older-than", "0s", "--yes"]);
        run.assert_code(0);
        assert_sound(daemon.place(), last);
    }
}

#[test]
fn the_control_door_prunes_before_a_time_only() {
    let daemon = Daemon::start();
    live(&daemon);
    let mut control = daemon.controller();
    let mut call = |body: &str| {
        control
            .call("POST", "/v1/prune", &[], Some(body.as_bytes()))
            .unwrap()
    };
    assert_eq!(call("{}").status, 400);
    assert_eq!(call(r#"{"before":"yesterday"}"#).status, 400);
    let answer = call(r#"{"before":"2001-01-01T00:00:00Z"}"#);
    assert_eq!((answer.status, &answer.json()["events"]), (200, &json!(0)));
}

#[test]
fn the_wal_stays_short_while_payloads_go_and_nothing_comes_in() {
    const BODIES: usize = 12;
    let daemon = Daemon::start();
    let mut ends = Vec::new();
    for part in 0..4 {
        let mut last = 0;
        for number in 0..BODIES {
            let filler = "x".repeat(1_000_000);
            let body = json!({"event": "novel", "part": part, "number": number, "filler": filler});
            last = daemon.deliver(body);
        }
        ends.push(daemon.event(last)["receivedAt"].clone());
    }
    let mut pruned = 0;
    for end in ends {
        // What has moved of the WAL is up to the disk: each part begins when all of it has.
        poll("the WAL to be moved", LIMIT, || {
            is_moved(&daemon).then_some(())
        });
        let body = json!({"before": end}).to_string();
        let mut control = daemon.controller();
        let answer = control.call("POST", "/v1/prune", &[], Some(body.as_bytes()));
        pruned += answer.unwrap().json()["events"].as_u64().unwrap();
    }
    assert!(pruned >= 4 * BODIES as u64 - 4, "{pruned}");
    // It starts over at 16 MiB, and what is freed is written over: as much again as the bodies were.
    let wal = std::fs::metadata(daemon.data().join("waldo-syncd.db-wal")).unwrap();
    assert!(wal.len() < 40 << 20, "{} bytes", wal.len());
}

/// Whether the checkpoint thread has moved all of the WAL but what the next step is for.
fn is_moved(daemon: &Daemon) -> bool {
    let file = rusqlite::Connection::open(daemon.data().join("waldo-syncd.db")).unwrap();
    let (length, moved): (i64, i64) = file
        .query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| {
            Ok((row.get(1)?, row.get(2)?))
        })
        .unwrap();
    length - moved < 500
}
