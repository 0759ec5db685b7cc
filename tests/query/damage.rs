//! Rows that were damaged behind the daemon's back: what cannot be read is said so, and never left out of an answer.

use rusqlite::Connection;
use serde_json::json;

use crate::common::Daemon;
use crate::common::bodies::*;

/// What a text may have become: cut off, in part overwritten as a lost sector is, another one altogether.
const DAMAGED: [&str; 5] = [
    "substr(coalesce(%, '[]'), 1, 1)",
    "'{' || char(0, 0) || '}'",
    "'none'",
    "'{garbage}'",
    "'[,]'",
];

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
        ("requests", "evaluations", "1", ["/v1/requests/r", lists[1]]),
        ("requests", "context", "1", ["/v1/requests/r", lists[1]]),
        ("verdicts", "replaced", &row, [event.as_str(), lists[2]]),
        ("verdicts", "problems", &row, [event.as_str(), lists[2]]),
    ] {
        for damaged in DAMAGED {
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
