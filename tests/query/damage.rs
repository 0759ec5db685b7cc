//! Rows that were damaged behind the daemon's back: what cannot be read is said so, and never left out of an answer.

use std::time::Duration;

use rusqlite::Connection;
use serde_json::json;

use crate::common::Daemon;
use crate::common::bodies::*;
use crate::common::place::poll;

/// What a text may have become: cut off, in part overwritten as a lost sector is, another one altogether.
const DAMAGED: [&str; 5] = [
    "substr(coalesce(%, '[]'), 1, 1)",
    "'{' || char(0, 0) || '}'",
    "'none'",
    "'{garbage}'",
    "'[,]'",
];
/// Also JSON, but of another shape than most columns have.
const MISSHAPEN: [&str; 2] = ["'[1,2]'", "'{\"fraud\":1}'"];

#[test]
fn a_row_that_was_damaged_is_a_503_and_shows_nothing_else() {
    let daemon = Daemon::start();
    let mut seq = 0;
    for status in ["initiated", "completed"] {
        seq = daemon.deliver(run("c", "r", "fraud", status));
    }
    let registration = json!({"requestId": "r", "operation": "fraud", "context": {"order": 7}});
    let told = daemon.controller().call(
        "POST",
        "/v1/requests",
        &[],
        Some(registration.to_string().as_bytes()),
    );
    assert_eq!(told.unwrap().status, 201);
    let file = Connection::open(daemon.data().join("waldo-syncd.db")).unwrap();
    let event = format!("/v1/events/{seq}");
    let lists = ["/v1/customers", "/v1/requests", "/v1/events"];
    let row = format!("seq = {seq}");
    for (table, column, row, paths) in [
        (
            "customers",
            "evaluations",
            "1",
            ["/v1/customers/c", lists[0]],
        ),
        (
            "customers",
            "warning_tags",
            "1",
            ["/v1/customers/c", lists[0]],
        ),
        (
            "customers",
            "decided_by",
            "1",
            ["/v1/customers/c", lists[0]],
        ),
        ("requests", "evaluations", "1", ["/v1/requests/r", lists[1]]),
        ("requests", "context", "1", ["/v1/requests/r", lists[1]]),
        ("verdicts", "replaced", &row, [event.as_str(), lists[2]]),
        ("verdicts", "problems", &row, [event.as_str(), lists[2]]),
    ] {
        let fits = |text: &str| match column {
            "context" => true,
            "replaced" => text.contains('{'),
            _ => false,
        };
        let misshapen = MISSHAPEN.iter().filter(|text| !fits(text));
        for damaged in DAMAGED.iter().chain(misshapen) {
            let damaged = damaged.replace('%', column);
            file.execute_batch(&format!(
                "CREATE TEMP TABLE kept AS SELECT {column} AS it FROM {table} WHERE {row}; \
                 UPDATE {table} SET {column} = {damaged} WHERE {row}"
            ))
            .unwrap();
            for path in paths {
                let answer = daemon.get(path);
                assert_eq!(
                    answer.status,
                    503,
                    "{path} with {column} = {damaged}: {}",
                    answer.text()
                );
                answer.assert_problem(503, "unavailable");
            }
            file.execute_batch(&format!(
                "UPDATE {table} SET {column} = (SELECT it FROM kept) WHERE {row}; DROP TABLE kept"
            ))
            .unwrap();
            for path in paths {
                assert_eq!(daemon.get(path).status, 200, "{path}");
            }
        }
    }
    assert!(
        daemon
            .log()
            .contains("does not hold what this program writes")
    );
}

/// Links that lead in a circle have no end: whoever follows them says so, and what comes in is taken all the same.
#[test]
fn links_that_lead_nowhere_are_told_and_hold_up_no_webhook_and_a_rebuild_mends_them() {
    for damage in [
        "UPDATE verdicts SET previous_of_request = 3 WHERE seq = 3",
        "UPDATE verdicts SET previous_of_request = 9 WHERE seq = 3",
        "DELETE FROM verdicts WHERE seq = 2",
    ] {
        let mut daemon = Daemon::start();
        for seq in 1..=3 {
            let body = with(run("c", "r", "fraud", "initiated"), json!({"n": seq}));
            assert_eq!(daemon.deliver(body), seq);
        }
        daemon.event(3);
        daemon.stop();
        let file = daemon.data().join("waldo-syncd.db");
        let changed = Connection::open(&file).unwrap().execute(damage, []);
        assert_eq!(changed.unwrap(), 1, "{damage}");
        daemon.start_again();
        let answer = daemon.get("/v1/requests/r");
        answer.assert_problem(503, "unavailable");
        // What of the request came before tells a duplicate, so nothing can be said of what comes now.
        assert_eq!(daemon.deliver(run("c", "r", "fraud", "completed")), 4);
        let ready = || Some(daemon.get("/readyz")).filter(|answer| answer.status == 503);
        let told = poll("a halt", Duration::from_secs(10), ready).text();
        for part in ["before event 4: the links", "waldo-syncd rebuild"] {
            assert!(told.contains(part), "{damage}: {told}");
        }
        assert_eq!(daemon.deliver(flag("c", true)), 5);
        assert!(daemon.log().contains("event 4 cannot be folded"));
        daemon.stop();
        let place = daemon.place();
        place.cli(&["rebuild"]).assert_code(0);
        place.cli(&["check"]).assert_code(0);
        daemon.start_again();
        assert_eq!(daemon.event(5)["seq"], 5);
        assert_eq!(daemon.get("/v1/requests/r").status, 200);
    }
}

#[test]
fn requests_whose_links_lead_in_a_circle_are_told_and_erase_nobody() {
    let daemon = Daemon::start();
    daemon.deliver(run("c", "r1", "fraud", "completed"));
    let last = daemon.deliver(run("c", "r2", "fraud", "completed"));
    daemon.event(last);
    let file = Connection::open(daemon.data().join("waldo-syncd.db")).unwrap();
    let damage = "UPDATE requests SET previous_of_customer = key";
    assert_eq!(file.execute(damage, []).unwrap(), 2);
    let answer = daemon.get("/v1/requests?customerId=c");
    answer.assert_problem(503, "unavailable");
    daemon.place().cli(&["erase", "c", "--yes"]).assert_code(1);
    assert_eq!(daemon.get("/v1/customers/c").status, 200);
    assert!(daemon.log().contains("broken at request 2"));
}
