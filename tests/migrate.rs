//! Databases that earlier programs wrote: the present one opens them, shows the same, and leaves them as a new one would
//! be. How they were made is told beside them, in `fixtures/databases`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;

use common::{Daemon, Place};

/// Schemas of which a database is kept.
const SCHEMAS: [i64; 1] = [1];

fn kept(schema: i64, extension: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/databases");
    Path::new(folder).join(format!("schema-{schema}.{extension}"))
}

/// A place with a copy of a kept database in its data directory.
fn place_with(schema: i64) -> Place {
    let place = Place::new();
    fs::create_dir(place.data()).unwrap();
    fs::copy(kept(schema, "db"), place.data().join("waldo-syncd.db")).unwrap();
    place
}

/// Every table, index and trigger by name, without comments and line breaks.
fn objects(file: &Path) -> Vec<(String, String)> {
    let connection = Connection::open(file).unwrap();
    let mut statement = connection
        .prepare("SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY name")
        .unwrap();
    let objects = statement
        .query_map([], |row| {
            let text: String = row.get(1)?;
            let code = text.lines().map(|line| line.split("--").next().unwrap());
            let words: Vec<_> = code.flat_map(str::split_whitespace).collect();
            Ok((row.get(0)?, words.join(" ")))
        })
        .unwrap();
    objects.map(Result::unwrap).collect()
}

/// Whether a request that waits is late, and so how it shows, depends on the day.
fn whatever_the_day(mut requests: Vec<Value>) -> Vec<Value> {
    for request in &mut requests {
        let members = request.as_object_mut().unwrap();
        if members["settledBy"].is_null() {
            members.remove("state");
            members.remove("overdue");
        }
    }
    requests
}

#[test]
fn a_database_of_each_schema_is_opened_and_shows_what_it_showed() {
    let fresh = Daemon::start();
    for schema in SCHEMAS {
        let text = fs::read_to_string(kept(schema, "json")).unwrap();
        let expected: Value = serde_json::from_str(&text).unwrap();
        let list = |name: &str| expected[name].as_array().unwrap().clone();
        let mut daemon = Daemon::start_in(place_with(schema));
        // Other rules made its tables: they are made again after the start.
        let last = &list("events").pop().unwrap()["seq"];
        daemon.get_at("/v1/stats", last.as_u64().unwrap());
        let customers = daemon.all("/v1/customers?sort=customerId", 1000);
        assert_eq!(customers, list("customers"), "schema {schema}");
        let requests = whatever_the_day(daemon.all("/v1/requests", 1000));
        assert_eq!(
            requests,
            whatever_the_day(list("requests")),
            "schema {schema}"
        );
        let events = daemon.get("/v1/events?limit=1000").items();
        assert_eq!(events, list("events"), "schema {schema}");
        let head = expected["head"].as_str().unwrap();
        daemon
            .place()
            .cli(&["check", "--head", head])
            .assert_code(0);
        daemon.place().cli(&["rebuild", "--diff"]).assert_code(0);
        daemon.stop();
        assert_eq!(
            objects(&daemon.data().join("waldo-syncd.db")),
            objects(&fresh.data().join("waldo-syncd.db")),
            "schema {schema}"
        );
    }
}

#[test]
fn a_database_of_a_later_schema_is_refused_and_left_as_it_is() {
    let place = place_with(1);
    let file = place.data().join("waldo-syncd.db");
    let connection = Connection::open(&file).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let before = fs::read(&file).unwrap();
    let arguments = place.serve_arguments();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let run = place.run(&arguments);
    run.assert_code(1);
    assert!(run.stderr.contains("newer waldo-syncd"), "{}", run.stderr);
    assert_eq!(fs::read(&file).unwrap(), before);
}
