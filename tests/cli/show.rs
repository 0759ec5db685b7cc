//! The verbs that show what the daemon knows, and the one that posts to it.

use serde_json::Value;

use crate::assert_helpful;
use crate::common::Daemon;
use crate::common::bodies::*;

/// A daemon that knows two customers and two requests.
fn known() -> Daemon {
    let daemon = Daemon::start();
    daemon.deliver(sample("webhook-onboard-dashboard.json"));
    daemon.deliver(sample("webhook-evaluation-fraud-initiated.json"));
    daemon.deliver(sample("webhook-evaluation-fraud-completed.json"));
    daemon.deliver(sample("webhook-onboard-api-initiated.json"));
    let last = daemon.deliver("no json");
    daemon.event(last);
    daemon
}

#[track_caller]
fn lines(daemon: &Daemon, arguments: &[&str]) -> Vec<Value> {
    let run = daemon.place().cli(&[arguments, &["--json"]].concat());
    run.assert_code(0);
    run.json_lines()
}

#[track_caller]
fn text(daemon: &Daemon, arguments: &[&str]) -> String {
    let run = daemon.place().cli(arguments);
    run.assert_code(0);
    assert!(!run.stdout.contains('\x1b'), "colours without a terminal");
    run.stdout.clone()
}

#[test]
fn status_is_0_and_says_that_it_is_ready() {
    let daemon = known();
    let shown = text(&daemon, &["status"]);
    assert!(shown.to_lowercase().contains("ready"), "{shown}");
    assert!(!lines(&daemon, &["status"]).is_empty());
}

#[test]
fn customers_are_json_lines_as_in_the_query_api() {
    let daemon = known();
    let mut shown = lines(&daemon, &["customers"]);
    let mut served = daemon.get("/v1/customers").items();
    let id = |row: &Value| row["customerId"].as_str().unwrap().to_owned();
    shown.sort_by_key(id);
    served.sort_by_key(id);
    assert_eq!(shown, served);
    let table = text(&daemon, &["customers"]);
    for word in [ADA, CAY, "APPROVED", "REVIEW"] {
        assert!(table.contains(word), "{word} is missing:\n{table}");
    }
}

#[test]
fn a_timeline_names_a_problem_as_one() {
    let daemon = Daemon::start();
    let body = r#"{"event":"onboard","customerId":"c","validation":{"status":7}}"#;
    let seq = daemon.deliver(body);
    daemon.event(seq);
    let shown = text(&daemon, &["customer", "c"]);
    assert!(shown.contains("        problem: "), "{shown}");
}

#[test]
fn customer_shows_its_timeline() {
    let daemon = known();
    let shown = text(&daemon, &["customer", ADA]);
    for word in [
        ADA,
        "APPROVED",
        "onboard",
        "evaluation",
        "fraudScore",
        "0.58",
    ] {
        assert!(shown.contains(word), "{word} is missing:\n{shown}");
    }
    let lines = lines(&daemon, &["customer", ADA]);
    assert!(
        lines.iter().all(|line| line["customerId"] == ADA),
        "{lines:?}"
    );
}

#[test]
fn events_are_json_lines_as_in_the_query_api() {
    let daemon = known();
    let seqs = |rows: &[Value]| {
        let mut seqs: Vec<u64> = rows
            .iter()
            .map(|row| row["seq"].as_u64().unwrap())
            .collect();
        seqs.sort_unstable();
        seqs
    };
    let shown = lines(&daemon, &["events"]);
    let served = daemon.get("/v1/events").items();
    assert_eq!(seqs(&shown), seqs(&served));
    for row in &shown {
        let same = served
            .iter()
            .find(|other| other["seq"] == row["seq"])
            .unwrap();
        for name in [
            "event",
            "customerId",
            "requestId",
            "origin",
            "disposition",
            "receivedAt",
        ] {
            assert_eq!(row[name], same[name], "{name}");
        }
    }
    let table = text(&daemon, &["events"]);
    assert!(table.contains("quarantined"), "{table}");
}

#[test]
fn requests_are_json_lines_as_in_the_query_api() {
    let daemon = known();
    let id = |row: &Value| row["requestId"].as_str().unwrap().to_owned();
    let mut shown = lines(&daemon, &["requests"]);
    let mut served = daemon.get("/v1/requests").items();
    shown.sort_by_key(id);
    served.sort_by_key(id);
    assert_eq!(shown, served);
    assert!(lines(&daemon, &["requests", "--overdue"]).is_empty());
    let table = text(&daemon, &["requests"]);
    assert!(
        table.contains(FRAUD_CHECK) && table.contains("completed"),
        "{table}"
    );
}

#[test]
fn empty_lists_are_0_and_no_json_line() {
    let daemon = Daemon::start();
    for verb in ["customers", "events", "requests"] {
        assert!(lines(&daemon, &[verb]).is_empty(), "{verb}");
        text(&daemon, &[verb]);
    }
}

#[test]
fn table_hides_control_characters_of_a_sender() {
    let daemon = Daemon::start();
    let seq = daemon.deliver(onboard(
        "c\u{1b}[31m\nforged line",
        "AP\u{7}PROVED",
        "PASSED",
    ));
    daemon.event(seq);
    for arguments in [&["customers"] as &[&str], &["events"]] {
        let shown = text(&daemon, arguments);
        assert!(
            !shown.contains('\x07') && !shown.contains('\x1b'),
            "{shown:?}"
        );
        assert!(
            !shown.lines().any(|line| line.starts_with("forged line")),
            "{shown}"
        );
    }
}

#[test]
fn what_a_sender_hid_in_an_id_is_shown() {
    let daemon = Daemon::start();
    let hostile = "c\u{202e}fdp\u{1b}]0;title\u{7}\u{9b}31m";
    let seq = daemon.deliver(onboard(hostile, "APPROVED", "PASSED"));
    daemon.event(seq);
    let shown = "c\\u{202e}fdp\\u{1b}]0;title\\u{7}\\u{9b}31m";
    for arguments in [
        &["customers"] as &[&str],
        &["events"],
        &["event", "1"],
        &["customer", hostile],
    ] {
        let text = text(&daemon, arguments);
        assert!(text.contains(shown), "{arguments:?}: {text}");
        let bad = |char: char| (char.is_control() && char != '\n') || char == '\u{202e}';
        assert!(!text.contains(bad), "{arguments:?}: {text:?}");
    }
    let run = daemon.place().cli(&["customer", "nobody\u{1b}[2J"]);
    run.assert_code(3);
    assert!(!run.stderr.contains('\u{1b}'), "{:?}", run.stderr);
}

#[test]
fn ids_are_whole_where_there_is_no_terminal() {
    let daemon = Daemon::start();
    let long = "0123456789abcdef".repeat(20);
    let seq = daemon.deliver(onboard(&long, "APPROVED", "PASSED"));
    daemon.event(seq);
    for arguments in [&["customers"] as &[&str], &["events"], &["customer", &long]] {
        assert!(text(&daemon, arguments).contains(&long), "{arguments:?}");
    }
}

#[test]
fn event_shows_what_was_read_and_the_payload_as_it_came() {
    let daemon = Daemon::start();
    let body =
        r#"{"event":"onboard","customerId":"c","validation":{"status":"APPROVED"},"n":1e400}"#;
    let seq = daemon.deliver(body);
    let broken = daemon.deliver("no json");
    daemon.event(broken);
    let shown = text(&daemon, &["event", &seq.to_string()]);
    for part in [
        "applied",
        "status: APPROVED",
        "\"n\": 1e400",
        "  \"customerId\": \"c\"",
    ] {
        assert!(shown.contains(part), "{part} is missing:\n{shown}");
    }
    let shown = text(&daemon, &["event", &broken.to_string()]);
    assert!(
        shown.contains("quarantined") && shown.contains("bm8ganNvbg=="),
        "{shown}"
    );
}

#[test]
fn send_posts_one_webhook() {
    let daemon = Daemon::start();
    let place = daemon.place();
    place
        .cli(&["send", "onboard", "--customer", "c", "--status", "APPROVED"])
        .assert_code(0);
    place
        .cli(&["send", "flag", "--customer", "c"])
        .assert_code(0);
    let events = daemon.get_at("/v1/events", 2).items();
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events[0]["event"], "onboard");
    assert_eq!(events[0]["source"], "webhook");
    assert_eq!(events[0]["disposition"], "applied");
    assert_eq!(events[1]["event"], "flag");
    let customer = daemon.get("/v1/customers/c").json();
    assert_eq!(customer["status"], "APPROVED");
    assert_eq!(customer["flagged"], true);
    let shown = lines(&daemon, &["send", "evaluation", "--customer", "c"]);
    assert!(shown[0]["seq"].as_u64() > Some(2), "{shown:?}");
}

#[test]
fn doors_are_found_through_the_configuration_too() {
    let daemon = known();
    let config = daemon.place().file(
        "client.toml",
        format!("[store]\ndata_dir = \"{}\"\n", daemon.data().display()),
    );
    let run = daemon.place().run(&[
        "customer",
        ADA,
        "--json",
        "--config",
        config.to_str().unwrap(),
    ]);
    run.assert_code(0);
    let run = daemon
        .place()
        .run(&["customer", "nobody", "--config", config.to_str().unwrap()]);
    run.assert_code(3);
    assert_helpful(&run);
}
