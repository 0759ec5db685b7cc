//! One way from log to rows: folding again gives the same rows byte for byte, and `check` finds what is not the log's.
//!
//! Whoever alters the file here does so through a connection of its own, as a curious administrator or a thief would.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

#[path = "rebuild/check.rs"]
mod check;
#[path = "rebuild/repair.rs"]
mod repair;
#[path = "rebuild/same.rs"]
mod same;

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};
use waldo_syncd::domain::{Source, payload};

use common::bodies::*;
use common::{Daemon, Place};

const FILE: &str = "waldo-syncd.db";

/// Every table but the log with all its rows, and every object's definition.
type Dump = BTreeMap<String, Vec<String>>;

#[track_caller]
fn dump(file: &Path) -> Dump {
    let connection = Connection::open(file).unwrap();
    let mut tables = Dump::new();
    let objects = query(
        &connection,
        "SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2",
    );
    tables.insert("sqlite_schema".to_owned(), objects);
    let mut names = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'log'")
        .unwrap();
    let names = names.query_map([], |row| row.get::<_, String>(0)).unwrap();
    for name in names.map(Result::unwrap) {
        let mut rows = query(&connection, &format!("SELECT * FROM {name}"));
        rows.sort();
        tables.insert(name, rows);
    }
    assert_eq!(tables.len(), 7, "{:?}", tables.keys());
    tables
}

/// The rows of a query with the type and every bit of each value.
fn query(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let mut found = statement.query([]).unwrap();
    let mut rows = Vec::new();
    while let Some(row) = found.next().unwrap() {
        let values = (0..columns).map(|column| match row.get_ref(column).unwrap() {
            ValueRef::Real(number) => format!("real {number} {:016x}", number.to_bits()),
            ValueRef::Text(text) => format!("text {}", String::from_utf8_lossy(text)),
            other => format!("{other:?}"),
        });
        rows.push(values.collect::<Vec<_>>().join(" | "));
    }
    rows
}

#[track_caller]
fn assert_same(before: &Dump, after: &Dump) {
    for (table, rows) in before {
        let gone: Vec<_> = rows
            .iter()
            .filter(|row| !after[table].contains(row))
            .collect();
        let new: Vec<_> = after[table]
            .iter()
            .filter(|row| !rows.contains(row))
            .collect();
        assert!(
            rows == &after[table],
            "{table} had {gone:#?} and has {new:#?}"
        );
    }
    assert_eq!(before.len(), after.len());
}

/// Takes payloads out as a prune does: the reading stays in their place. What could not be read has none and is left.
fn prune(file: &Path, wanted: impl Fn(u64) -> bool) -> usize {
    let mut connection = Connection::open(file).unwrap();
    let transaction = connection.transaction().unwrap();
    let mut readings = Vec::new();
    let mut statement = transaction
        .prepare("SELECT seq, source, payload, size FROM log")
        .unwrap();
    let mut found = statement.query([]).unwrap();
    while let Some(row) = found.next().unwrap() {
        let seq: i64 = row.get(0).unwrap();
        let source = Source::from_code(row.get(1).unwrap()).unwrap();
        let body: Option<Vec<u8>> = row.get(2).unwrap();
        let size: i64 = row.get(3).unwrap();
        let Some(body) = body.filter(|_| wanted(seq as u64)) else {
            continue;
        };
        if let Ok(reading) = payload::read(source, &body, size as u64) {
            readings.push((seq, serde_json::to_string(&reading).unwrap()));
        }
    }
    drop(found);
    drop(statement);
    for (seq, reading) in &readings {
        let sql = "UPDATE log SET payload = NULL, reading = ?2 WHERE seq = ?1";
        assert_eq!(transaction.execute(sql, params![seq, reading]).unwrap(), 1);
    }
    transaction.commit().unwrap();
    readings.len()
}

/// A stopped daemon whose log holds a bit of everything; the number of its events.
fn stopped() -> (Daemon, u64) {
    let mut daemon = Daemon::start();
    for name in [
        "webhook-onboard-dashboard.json",
        "webhook-onboard-api-initiated.json",
        "webhook-evaluation-fraud-initiated.json",
        "webhook-evaluation-fraud-completed.json",
        "webhook-evaluation-document-completed.json",
        "webhook-flag-set.json",
        "webhook-flag-cleared.json",
    ] {
        daemon.deliver(sample(name));
    }
    daemon.deliver("no json");
    daemon.deliver(serde_json::json!({"event": "novel", "customerId": ADA}));
    let last = daemon.deliver(onboard(CAY, "APPROVED", "PASSED"));
    daemon.event(last);
    daemon.stop();
    (daemon, last)
}

/// A place with a copy of a data directory's file, to be tampered with.
fn copied(from: &Daemon) -> Place {
    let place = Place::new();
    std::fs::create_dir(place.data()).unwrap();
    std::fs::copy(from.data().join(FILE), place.data().join(FILE)).unwrap();
    place
}
