//! What an acknowledgement is worth: kill -9 under load, any bytes, any order. The log keeps all that was acknowledged,
//! and the tables are what the log says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::sync::mpsc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use common::Daemon;
use common::bodies::*;

/// `check` and `rebuild --diff` on the file of a daemon that does not run.
#[track_caller]
fn assert_file_is_whole(daemon: &Daemon) {
    daemon.place().cli(&["check"]).assert_code(0);
    daemon.place().cli(&["rebuild", "--diff"]).assert_code(0);
}

/// Every seq of the log, oldest first.
fn logged(daemon: &Daemon) -> Vec<u64> {
    let mut reader = daemon.reader();
    let (mut seqs, mut after) = (Vec::new(), 0);
    loop {
        let page = reader.get(&format!("/v1/events?limit=1000&after={after}"));
        let items = page.items();
        if items.is_empty() {
            return seqs;
        }
        seqs.extend(items.iter().map(|event| event["seq"].as_u64().unwrap()));
        after = page.json()["next"].as_u64().unwrap();
    }
}

/// Posts from eight threads until the daemon is gone, which happens after `enough` acknowledgements.
fn post_until_killed(daemon: &mut Daemon, round: usize, enough: usize) -> Vec<(u64, Vec<u8>)> {
    let path = daemon.webhook_path();
    let (report, reports) = mpsc::channel();
    std::thread::scope(|scope| {
        for sender in 0..8 {
            let (mut client, path, report) = (daemon.sender(), &path, report.clone());
            scope.spawn(move || {
                for post in 0.. {
                    let customer = format!("c{round}-{sender}-{}", post % 5);
                    let body = match post % 3 {
                        0 => flag(&customer, post % 2 == 0),
                        1 => run(
                            &customer,
                            &format!("r{round}-{sender}-{post}"),
                            "fraud",
                            "initiated",
                        ),
                        _ => run(
                            &customer,
                            &format!("r{round}-{sender}-{}", post - 1),
                            "fraud",
                            "completed",
                        ),
                    };
                    let body = with(body, json!({"post": post})).to_string().into_bytes();
                    match client.call("POST", path, &[], Some(&body)) {
                        Ok(answer) if report.send((answer.seq(), body)).is_ok() => {}
                        _ => return,
                    }
                }
            });
        }
        drop(report);
        let mut acknowledged: Vec<_> = reports.iter().take(enough).collect();
        daemon.kill();
        acknowledged.extend(reports.iter());
        acknowledged
    })
}

#[test]
fn acknowledged_events_survive_kill_9_under_load() {
    const ROUNDS: usize = 10;
    let mut daemon = Daemon::start();
    let mut acknowledged: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for round in 0..ROUNDS {
        // From a kill in the very first commits to one in full swing.
        for (seq, body) in post_until_killed(&mut daemon, round, 1 + 60 * round) {
            assert_eq!(
                acknowledged.insert(seq, body),
                None,
                "seq {seq} was given twice"
            );
        }
        daemon.start_again();
        let last = *acknowledged.keys().next_back().unwrap();
        let mut reader = daemon.reader();
        for (seq, body) in &acknowledged {
            let answer = reader.get(&format!("/v1/events/{seq}/payload?minSeq={last}"));
            assert_eq!(
                answer.status, 200,
                "round {round}: acknowledged {seq} is gone"
            );
            assert!(
                answer.body == *body,
                "round {round}: {seq} has another body"
            );
        }
    }
    let seqs = logged(&daemon);
    assert!(
        seqs.is_sorted_by(|a, b| a < b),
        "seqs do not increase strictly"
    );
    assert!(seqs.len() >= acknowledged.len());
    let next = daemon.deliver(flag("after", true));
    assert!(next > *seqs.last().unwrap(), "a seq was used again");
    daemon.stop();
    assert_file_is_whole(&daemon);
}

#[test]
fn file_is_whole_also_right_after_a_kill() {
    let mut daemon = Daemon::start();
    post_until_killed(&mut daemon, 0, 100);
    assert_file_is_whole(&daemon);
    daemon.start_again();
    daemon.deliver(flag("after", true));
}

#[test]
fn projections_after_a_kill_are_those_of_an_undisturbed_daemon() {
    let bodies: Vec<Value> = (0..60)
        .map(|n| {
            let customer = format!("c{}", n % 4);
            match n % 3 {
                0 => flag(&customer, n % 2 == 0),
                1 => run(
                    &customer,
                    &format!("r{}", n % 7),
                    "fraud",
                    ["initiated", "completed"][n % 2],
                ),
                _ => onboard(&customer, ["APPROVED", "REVIEW"][n % 2], "PASSED"),
            }
        })
        .collect();
    // Times differ between the two, so they are left out of the comparison.
    let rows = |disturbed: bool| {
        let mut daemon = Daemon::start();
        let mut last = 0;
        for (n, body) in bodies.iter().enumerate() {
            last = daemon.deliver(body);
            if disturbed && n % 20 == 10 {
                daemon.kill();
                daemon.start_again();
            }
        }
        daemon.event(last);
        let mut rows = daemon.all("/v1/customers?sort=customerId", 1000);
        rows.extend(daemon.all("/v1/requests", 1000));
        rows.iter_mut().for_each(strip_times_and_seqs);
        rows
    };
    assert_eq!(rows(true), rows(false));
}

fn strip_times_and_seqs(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| {
                let varies =
                    name.ends_with("At") || matches!(name.as_str(), "at" | "lastSeq" | "events");
                !varies
            });
            members.values_mut().for_each(strip_times_and_seqs);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_times_and_seqs),
        _ => {}
    }
}

fn cases(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    })
}

/// Delivers a body and finds it again, with an event that says what became of it.
fn found_again(daemon: &Daemon, body: &[u8]) -> Result<(), TestCaseError> {
    let answer = daemon.post(body);
    prop_assert_eq!(answer.status, 200, "{}", answer.text());
    let seq = answer.seq();
    prop_assert!(daemon.payload(seq) == body, "another body came back");
    let event = daemon.event(seq);
    let known = [
        "applied",
        "duplicate",
        "stale",
        "unrecognised",
        "quarantined",
    ];
    let disposition = event["disposition"].as_str().unwrap_or_default();
    prop_assert!(known.contains(&disposition), "{}", event);
    Ok(())
}

#[test]
fn any_bytes_are_kept_byte_for_byte() {
    let mut daemon = Daemon::start();
    let bodies = prop_oneof![
        vec(any::<u8>(), 0..3000),
        any::<String>().prop_map(String::into_bytes),
        "[\\[\\]{}\",:0-9a-z\\\\ue.+-]{0,200}".prop_map(String::into_bytes),
    ];
    let run = cases(96).run(&bodies, |body| found_again(&daemon, &body));
    run.unwrap_or_else(|error| panic!("{error}"));
    daemon.stop();
    assert_file_is_whole(&daemon);
}

/// JSON of any kind, also where Waldo would put a word or an id.
fn any_json() -> impl Strategy<Value = Value> {
    let words = [
        "",
        "evaluation",
        "onboard",
        "flag",
        "fraud",
        "kyc",
        "document",
        "idle",
        "initiated",
        "in_progress",
        "completed",
        "failed",
        "APPROVED",
        "ACCEPTED",
        "novel",
        "\u{0}",
        "ä",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        proptest::sample::select(words.to_vec()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let keys = [
        "type",
        "status",
        "kyc",
        "fraudScore",
        "fraudFlag",
        "warnings",
        "warningTags",
        "tag",
        "passed",
        "label",
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((proptest::sample::select(keys.to_vec()), inner), 0..6).prop_map(|members| {
                members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect()
            }),
        ]
    })
}

#[test]
fn any_shape_of_a_webhook_breaks_nothing() {
    let mut daemon = Daemon::start();
    let keys = vec![
        "event",
        "customerId",
        "externalId",
        "requestId",
        "evaluation",
        "validation",
        "flag",
        "flagged",
        "uri",
    ];
    let bodies = (
        vec((proptest::sample::select(keys), any_json()), 0..9),
        proptest::option::of("[a-c]"),
        proptest::option::of("onboard|evaluation|flag"),
    )
        .prop_map(|(members, customer, event)| {
            let mut body = json!({});
            for (name, value) in members {
                body[name] = value;
            }
            if let Some(customer) = customer {
                body["customerId"] = customer.into();
            }
            if let Some(event) = event {
                body["event"] = event.into();
            }
            body.to_string().into_bytes()
        });
    let run = cases(128).run(&bodies, |body| found_again(&daemon, &body));
    run.unwrap_or_else(|error| panic!("{error}"));
    for row in daemon.all("/v1/customers", 1000) {
        let id = common::http::percent(row["customerId"].as_str().unwrap());
        assert_eq!(daemon.get(&format!("/v1/customers/{id}")).json(), row);
    }
    daemon.stop();
    assert_file_is_whole(&daemon);
}

#[test]
fn any_order_and_repetition_ends_in_the_same_outcome() {
    let mut daemon = Daemon::start();
    let mut case = 0u32;
    // Three runs under ids of their own; each has one outcome, however its deliveries are mixed and repeated.
    let fates = [
        ("fraud", "completed", "completed"),
        ("fraud", "failed", "failed"),
        ("document", "completed", "completed"),
    ];
    let deliveries: Vec<(usize, usize)> = (0..fates.len())
        .flat_map(|run| (0..3).map(move |step| (run, step)))
        .collect();
    let orders = (
        Just(deliveries.clone()).prop_shuffle(),
        vec(proptest::sample::select(deliveries), 0..8),
    );
    let cell = std::cell::RefCell::new(&mut case);
    let run = cases(24).run(&orders, |(once, again)| {
        let case = {
            let mut number = cell.borrow_mut();
            **number += 1;
            **number
        };
        let customer = format!("c{case}");
        let mut last = 0;
        for (index, step) in once.into_iter().chain(again) {
            let (kind, outcome, _) = fates[index];
            let status = ["initiated", "in_progress", outcome][step];
            last = daemon.deliver(run(&customer, &format!("r{case}-{index}"), kind, status));
        }
        for (index, (kind, outcome, state)) in fates.into_iter().enumerate() {
            let row = daemon
                .get_at(&format!("/v1/requests/r{case}-{index}"), last)
                .json();
            prop_assert_eq!(&row["state"], state, "{}", row);
            prop_assert_eq!(&row["evaluations"][kind], outcome, "{}", row);
            prop_assert_eq!(&row["settledBy"], "webhook", "{}", row);
        }
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{error}"));
    daemon.stop();
    assert_file_is_whole(&daemon);
}
