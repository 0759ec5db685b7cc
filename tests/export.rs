//! What goes out is all there is, as the query door shows it, and harmless to a spreadsheet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use serde_json::json;

use common::bodies::*;
use common::{Daemon, mode};

fn live(daemon: &Daemon) -> u64 {
    for n in 0..1100 {
        daemon.deliver(with(
            run(
                &format!("c{}", n % 600),
                &format!("r{n}"),
                "fraud",
                "initiated",
            ),
            json!({"n": n}),
        ));
    }
    daemon.deliver("no json");
    let last = daemon.deliver(
        r#"{"event":"onboard","customerId":"=1+1","externalId":"a,\"b\"","n":123456789012345678901234567890.10,
           "validation":{"status":"APPROVED"}}"#,
    );
    daemon.event(last);
    last
}

#[test]
fn json_lines_are_what_the_query_door_shows() {
    let daemon = Daemon::start();
    let last = live(&daemon);
    let events = daemon.place().cli(&["export"]);
    events.assert_code(0);
    let lines = events.json_lines();
    assert_eq!(lines.len() as u64, last);
    let shown: Vec<_> = [
        "/v1/events?limit=1000".to_owned(),
        "/v1/events?limit=1000&after=1000".to_owned(),
    ]
    .iter()
    .flat_map(|path| daemon.get(path).items())
    .collect();
    assert_eq!(lines, shown);
    assert!(
        events.stdout.contains("123456789012345678901234567890.10"),
        "digits are lost"
    );
    let customers = daemon.place().cli(&["export", "--customers"]);
    assert_eq!(
        customers.json_lines(),
        daemon.all("/v1/customers?sort=customerId", 1000)
    );
    let requests = daemon.place().cli(&["export", "--requests"]);
    assert_eq!(requests.json_lines(), daemon.all("/v1/requests", 1000));
}

#[test]
fn export_needs_no_daemon_and_leaves_the_file_as_it_is() {
    let mut daemon = Daemon::start();
    let last = live(&daemon);
    daemon.stop();
    let file = daemon.data().join("waldo-syncd.db");
    let before = std::fs::read(&file).unwrap();
    let after = (last - 2).to_string();
    let run = daemon
        .place()
        .cli(&["export", "--events", "--after", &after]);
    run.assert_code(0);
    let seqs: Vec<_> = run
        .json_lines()
        .iter()
        .map(|event| event["seq"].clone())
        .collect();
    assert_eq!(json!(seqs), json!([last - 1, last]));
    let run = daemon
        .place()
        .cli(&["export", "--customers", "--after", &after]);
    assert_eq!(run.json_lines().len(), 1);
    assert!(
        std::fs::read(&file).unwrap() == before,
        "export wrote to the file"
    );
}

#[test]
fn csv_has_one_line_a_row_and_no_formula() {
    let daemon = Daemon::start();
    let last = live(&daemon);
    let output = daemon.place().path().join("customers.csv");
    let path = output.to_str().unwrap();
    let arguments = ["export", "--customers", "--format", "csv", "--output", path];
    let run = daemon.place().cli(&arguments);
    run.assert_code(0);
    assert_eq!(run.stdout, "");
    let text = std::fs::read_to_string(&output).unwrap();
    let lines: Vec<_> = text.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 1 + 601);
    assert!(
        lines[0].starts_with("customerId,externalId,"),
        "{}",
        lines[0]
    );
    assert!(text.contains("\"'=1+1\",\"a,\"\"b\"\"\","), "{text}");
    assert_eq!(mode(&output), 0o600);
    // What is there is not written over.
    daemon.place().cli(&arguments).assert_code(2);
    let events = daemon.place().cli(&["export", "--format", "csv"]);
    events.assert_code(0);
    assert_eq!(events.stdout.lines().count() as u64, 1 + last);
    daemon
        .place()
        .cli(&["export", "--requests", "--format", "csv"])
        .assert_code(0);
}

#[test]
fn export_without_a_file_is_not_found() {
    let place = common::Place::new();
    place.cli(&["export"]).assert_code(3);
}

#[test]
fn the_columns_of_csv_are_those_that_are_documented() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OPERATIONS.md");
    let page = std::fs::read_to_string(page).unwrap();
    let daemon = Daemon::start();
    live(&daemon);
    for what in ["--events", "--customers", "--requests"] {
        let run = daemon.place().cli(&["export", what, "--format", "csv"]);
        run.assert_code(0);
        let mut lines = run.stdout.split("\r\n");
        let names = lines.next().unwrap().replace(',', "` `");
        let documented = format!("| `{what}` | `{names}` |");
        assert!(page.contains(&documented), "{documented}");
        assert!(!lines.any(|line| line.starts_with(names.split('`').next().unwrap())));
    }
}
