//! `check` names the event that was altered, removed, inserted or moved; `check --head` finds what was cut or rewritten.

use waldo_syncd::domain::{Chain, Digest, Seq, Timestamp};

use super::*;

/// Changes what the triggers of the log refuse, and leaves them behind as they were.
fn unlocked(connection: &Connection, change: impl FnOnce(&Connection)) {
    let triggers = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'";
    let triggers: Vec<(String, String)> = connection
        .prepare(triggers)
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (name, _) in &triggers {
        let drop = format!("DROP TRIGGER {name}");
        connection.execute_batch(&drop).unwrap();
    }
    change(connection);
    for (_, sql) in &triggers {
        connection.execute_batch(sql).unwrap();
    }
}
/// Room for one more event before the fifth.
const SHIFT: &str =
    "UPDATE log SET seq = -seq WHERE seq >= 5; UPDATE log SET seq = 1 - seq WHERE seq < 0;";

/// Runs `check` on a tampered copy: it must fail and name each of the events, and no other.
#[track_caller]
fn assert_named(daemon: &Daemon, tamper: impl FnOnce(&Connection), named: &[&str]) {
    let place = copied(daemon);
    let connection = Connection::open(place.data().join(FILE)).unwrap();
    unlocked(&connection, tamper);
    drop(connection);
    let run = place.cli(&["check", "--json"]);
    run.assert_code(1);
    let report = &run.json_lines()[0];
    assert_eq!(report["ok"], false);
    let faults: Vec<_> = report["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect();
    assert_eq!(faults.len(), named.len(), "{faults:?}");
    for (fault, beginning) in faults.iter().zip(named) {
        assert!(fault.starts_with(beginning), "{fault} is not {beginning}");
        assert!(
            run.stderr.contains(fault),
            "{fault} is not told: {}",
            run.stderr
        );
    }
}

fn sql(text: &'static str) -> impl FnOnce(&Connection) {
    move |connection| connection.execute_batch(text).unwrap()
}

#[test]
fn altered_event_is_named() {
    let (daemon, _) = stopped();
    let payload = "event 5: the payload";
    let (chain, next) = ("event 5: the chain", "event 6: the chain");
    assert_named(
        &daemon,
        sql("UPDATE log SET payload = CAST(replace(payload, 'e', 'E') AS BLOB) WHERE seq = 5"),
        &[payload],
    );
    assert_named(
        &daemon,
        sql("UPDATE log SET received_at = received_at + 1 WHERE seq = 5"),
        &[chain],
    );
    assert_named(
        &daemon,
        sql("UPDATE log SET chain = zeroblob(32) WHERE seq = 5"),
        &[chain, next],
    );
    let with_its_digest = |connection: &Connection| {
        let body = b"{}";
        let sql = "UPDATE log SET payload = ?1, digest = ?2, size = 2 WHERE seq = 5";
        connection
            .execute(sql, params![body, Digest::of(body).0])
            .unwrap();
    };
    assert_named(&daemon, with_its_digest, &[chain]);
    let first_and_last =
        "UPDATE log SET received_at = 0 WHERE seq IN (1, (SELECT max(seq) FROM log))";
    assert_named(
        &daemon,
        sql(first_and_last),
        &["event 1: the chain", "event 10: the chain"],
    );
}

/// A payload cannot be slipped past its digest by saying that it was longer.
#[test]
fn altered_event_that_passes_for_a_beginning_is_named() {
    let (daemon, _) = stopped();
    assert_named(
        &daemon,
        sql("UPDATE log SET payload = CAST('{}' AS BLOB), size = 9999 WHERE seq = 5"),
        &["event 5: the payload has not the length"],
    );
}

#[test]
fn altered_event_is_named_also_after_a_prune() {
    let (daemon, _) = stopped();
    assert!(prune(&daemon.data().join(FILE), |_| true) > 5);
    daemon.place().cli(&["check"]).assert_code(0);
    assert_named(
        &daemon,
        sql("UPDATE log SET digest = zeroblob(32) WHERE seq = 5"),
        &["event 5: the chain"],
    );
}

#[test]
fn removed_event_is_named() {
    let (daemon, _) = stopped();
    assert_named(
        &daemon,
        sql("DELETE FROM log WHERE seq = 5"),
        &["event 5 is missing", "event 6: the chain"],
    );
    assert_named(
        &daemon,
        sql("DELETE FROM log WHERE seq = 1"),
        &["event 1 is missing", "event 2: the chain"],
    );
    // With the gap closed up.
    assert_named(
        &daemon,
        sql(
            "DELETE FROM log WHERE seq = 5; UPDATE log SET seq = seq - 1 WHERE seq > 5; \
             UPDATE projection SET projected_seq = 9",
        ),
        &[
            "the rows of verdicts end at event 10, the projections are at 9",
            "event 5: the chain",
            "event 6: the chain",
            "event 7: the chain",
            "event 8: the chain",
            "event 9: the chain",
        ],
    );
    assert_named(
        &daemon,
        sql("DELETE FROM log WHERE seq = 10"),
        &["the projections are at event 10, the log ends at 9"],
    );
}

/// Puts an event into a place; with a link that fits what stands before it.
fn insert(connection: &Connection, seq: u64) {
    let before: [u8; 32] = connection
        .query_row(
            "SELECT chain FROM log WHERE seq = ?1",
            [seq as i64 - 1],
            |row| row.get(0),
        )
        .unwrap();
    let (body, at) = (b"{}", Timestamp(1_764_000_000_000));
    let digest = Digest::of(body);
    let link = Chain(before).link(Seq(seq), at, &digest);
    let sql = "INSERT INTO log (seq, received_at, source, size, digest, chain, payload) VALUES (?1, ?2, 1, 2, ?3, ?4, ?5)";
    connection
        .execute(sql, params![seq as i64, at.0, digest.0, link.0, body])
        .unwrap();
}

#[test]
fn inserted_event_is_named_by_the_place_where_the_chain_breaks() {
    let (daemon, _) = stopped();
    // Those behind it carry links to another number and another predecessor.
    let behind: Vec<_> = (6..=11)
        .map(|seq| format!("event {seq}: the chain"))
        .collect();
    let behind: Vec<_> = behind.iter().map(String::as_str).collect();
    let forged = |connection: &Connection| {
        connection.execute_batch(SHIFT).unwrap();
        insert(connection, 5);
    };
    assert_named(&daemon, forged, &behind);
    let clumsy = |connection: &Connection| {
        forged(connection);
        connection
            .execute_batch("UPDATE log SET chain = zeroblob(32) WHERE seq = 5")
            .unwrap();
    };
    let all: Vec<_> = ["event 5: the chain"]
        .into_iter()
        .chain(behind.iter().copied())
        .collect();
    assert_named(&daemon, clumsy, &all);
    let copy = "INSERT INTO log SELECT 11, received_at, source, size, digest, chain, payload, reading FROM log WHERE seq = 5";
    assert_named(&daemon, sql(copy), &["event 11: the chain"]);
}

#[test]
fn swapped_pair_is_named() {
    let (daemon, _) = stopped();
    let numbers = "UPDATE log SET seq = -seq WHERE seq IN (5, 6); UPDATE log SET seq = 11 + seq WHERE seq < 0;";
    assert_named(
        &daemon,
        sql(numbers),
        &[
            "event 5: the chain",
            "event 6: the chain",
            "event 7: the chain",
        ],
    );
    // Bodies only: each is found twice, by its digest and by the chain.
    let bodies = "CREATE TEMP TABLE pair AS SELECT 11 - seq AS seq, digest, payload, size FROM log WHERE seq IN (5, 6); \
                  UPDATE log SET (digest, payload, size) = (SELECT digest, payload, size FROM pair WHERE pair.seq = log.seq) \
                  WHERE seq IN (5, 6)";
    assert_named(
        &daemon,
        sql(bodies),
        &["event 5: the chain", "event 6: the chain"],
    );
}

#[test]
fn log_refuses_to_be_altered_by_anyone_who_does_not_mean_it() {
    let (daemon, _) = stopped();
    let connection = Connection::open(daemon.data().join(FILE)).unwrap();
    for statement in [
        "DELETE FROM log WHERE seq = 5",
        "UPDATE log SET received_at = 0",
        "UPDATE log SET digest = zeroblob(32)",
        "UPDATE log SET chain = zeroblob(32)",
        "UPDATE log SET seq = 100 WHERE seq = 5",
        "UPDATE log SET source = 2",
        "UPDATE log SET size = 0",
    ] {
        let error = connection.execute_batch(statement).unwrap_err();
        assert!(
            error.to_string().contains("append-only"),
            "{statement}: {error}"
        );
    }
    drop(connection);
    daemon.place().cli(&["check"]).assert_code(0);
}

fn head(place: &Place) -> String {
    let run = place.cli(&["check", "--json"]);
    run.assert_code(0);
    run.json_lines()[0]["head"].as_str().unwrap().to_owned()
}

/// Cuts the log and its rows after the seventh event, so that nothing inside the file tells.
const CUT: &str = "DELETE FROM log WHERE seq > 7; DELETE FROM verdicts WHERE seq > 7; \
                   UPDATE projection SET projected_seq = 7";

#[test]
fn noted_head_finds_a_cut_log() {
    let (daemon, _) = stopped();
    let whole = head(daemon.place());
    let place = copied(&daemon);
    let connection = Connection::open(place.data().join(FILE)).unwrap();
    unlocked(&connection, sql(CUT));
    drop(connection);
    // Rows that speak of what is gone would tell.
    place.cli(&["rebuild"]).assert_code(0);
    let cut = head(&place);
    assert_ne!(cut, whole);
    let run = place.cli(&["check", "--head", &whole]);
    run.assert_code(1);
    assert!(
        run.stderr.contains(&whole) && run.stderr.contains("cut or rewritten"),
        "{}",
        run.stderr
    );
    // An older head stays inside a log that has grown.
    for (place, noted, at) in [
        (&place, &cut, 7),
        (daemon.place(), &cut, 7),
        (daemon.place(), &whole, 10),
    ] {
        let run = place.cli(&["check", "--json", "--head", noted]);
        run.assert_code(0);
        assert_eq!(run.json_lines()[0]["headFoundAt"], at);
    }
}

#[test]
fn noted_head_finds_a_log_that_was_wholly_rewritten() {
    let (daemon, last) = stopped();
    let whole = head(daemon.place());
    let place = copied(&daemon);
    let connection = Connection::open(place.data().join(FILE)).unwrap();
    let mut chain = Chain::GENESIS;
    unlocked(&connection, |connection| {
        for seq in 1..=last {
            let (at, digest) = connection
                .query_row(
                    "SELECT received_at + 1, digest FROM log WHERE seq = ?1",
                    [seq as i64],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .unwrap();
            chain = chain.link(Seq(seq), Timestamp(at), &Digest(digest));
            let sql = "UPDATE log SET received_at = ?2, chain = ?3 WHERE seq = ?1";
            connection
                .execute(sql, params![seq as i64, at, chain.0])
                .unwrap();
        }
    });
    drop(connection);
    assert_eq!(head(&place), chain.to_string());
    place.cli(&["check", "--head", &whole]).assert_code(1);
}

/// What others put into the file could act in our tables, also in a backup of it.
#[test]
fn what_is_none_of_ours_is_named() {
    let (daemon, _) = stopped();
    let place = copied(&daemon);
    let connection = Connection::open(place.data().join(FILE)).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE theirs (a PRIMARY KEY) WITHOUT ROWID; CREATE INDEX their_index ON theirs (a + 1)",
        )
        .unwrap();
    place.cli(&["check"]).assert_code(0);
    connection
        .execute_batch(
            "CREATE TRIGGER spy AFTER INSERT ON log BEGIN INSERT INTO theirs VALUES (1); END",
        )
        .unwrap();
    drop(connection);
    let run = place.cli(&["check"]);
    run.assert_code(1);
    assert!(run.stderr.contains("trigger spy on log"), "{}", run.stderr);
    let into = place.path().join("backup.db");
    let run = place.cli(&["backup", into.to_str().unwrap()]);
    run.assert_code(1);
    assert!(run.stderr.contains("trigger spy on log"), "{}", run.stderr);
    assert!(!into.exists());
}

/// To SQLite these are texts like any other.
#[test]
fn a_column_that_does_not_hold_what_we_write_is_named() {
    let (daemon, _) = stopped();
    for (change, named) in [
        (
            "UPDATE customers SET warning_tags = '[{}]' WHERE key = 1",
            "row 1 of customers cannot be read: the file is damaged: the column warning_tags",
        ),
        (
            "UPDATE customers SET evaluations = '{\"fraud\":}' WHERE key = 1",
            "row 1 of customers cannot be read: the file is damaged: the column evaluations",
        ),
        (
            "UPDATE requests SET context = '{' WHERE key = 1",
            "row 1 of requests cannot be read: the file is damaged: the column context",
        ),
        (
            "UPDATE verdicts SET replaced = '[]' WHERE seq = 2",
            "row 2 of verdicts cannot be read: the file is damaged: the column replaced",
        ),
        (
            "UPDATE verdicts SET origin = 9 WHERE seq = 2",
            "row 2 of verdicts cannot be read: the file is damaged: the column origin",
        ),
        (
            "UPDATE log SET payload = NULL, reading = '{' WHERE seq = 5",
            "event 5: what was kept in the place of its payload",
        ),
    ] {
        assert_named(&daemon, sql(change), &[named]);
    }
}

/// A row that is gone, or a link that leads elsewhere, is nothing to SQLite either.
#[test]
fn a_missing_row_and_a_broken_link_are_named() {
    let (daemon, _) = stopped();
    let customers = "the links between customers and their events are broken";
    let requests = "the links between requests and their events are broken";
    let owners = "the links between customers and their requests are broken";
    let verdicts = "the row of event 4 is missing in verdicts: that of event 5 follows";
    let end = "the rows of verdicts end at event 9, the projections are at 10";
    let up = "the link of event 5 in verdicts does not lead to an event before it";
    for (change, named) in [
        (
            "UPDATE customers SET last_event = 99 WHERE key = 1",
            customers,
        ),
        (
            "UPDATE customers SET last_event = NULL WHERE key = 1",
            customers,
        ),
        (
            "UPDATE verdicts SET previous_of_customer = NULL WHERE seq = \
             (SELECT max(seq) FROM verdicts WHERE previous_of_customer IS NOT NULL)",
            customers,
        ),
        (
            "UPDATE requests SET last_event = 99 WHERE key = 1",
            requests,
        ),
        (
            "UPDATE requests SET previous_of_customer = key WHERE key = 1",
            owners,
        ),
        (
            "UPDATE customers SET last_request = 99 WHERE key = 1",
            owners,
        ),
        ("DELETE FROM verdicts WHERE seq = 4", verdicts),
        ("DELETE FROM verdicts WHERE seq = 10", end),
        (
            "UPDATE verdicts SET previous_of_request = 5 WHERE seq = 5",
            up,
        ),
    ] {
        let tamper = |connection: &Connection| {
            assert_eq!(connection.execute(change, []).unwrap(), 1, "{change}");
        };
        assert_named(&daemon, tamper, &[named]);
    }
}

#[test]
fn damaged_pages_are_found() {
    let (daemon, _) = stopped();
    let place = copied(&daemon);
    let connection = Connection::open(place.data().join(FILE)).unwrap();
    connection
        .execute_batch(
            "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'requests_open'",
        )
        .unwrap();
    drop(connection);
    let run = place.cli(&["check"]);
    run.assert_code(1);
    assert!(run.stderr.contains("SQLite"), "{}", run.stderr);
}

/// Rows of other rules may say it in other words, and are made again by the next start.
#[test]
fn rows_that_other_rules_made_are_not_held_against_these() {
    let (daemon, _) = stopped();
    let place = copied(&daemon);
    let connection = Connection::open(place.data().join(FILE)).unwrap();
    let change =
        "UPDATE projection SET rules_version = 0; UPDATE customers SET memory = '\"another word\"'";
    connection.execute_batch(change).unwrap();
    drop(connection);
    place.cli(&["check"]).assert_code(0);
}
