//! `check`: whether a file is whole and no event was altered, removed or inserted.
//!
//! What SQLite's `integrity_check` proves is proved here in two parts, so that both run in the order of the file: its
//! `quick_check` for the structure, and each index against the rows it should have. SQLite itself looks up every row in
//! every index, one by one and at random. Before that it is seen whether the schema is ours (`objects.rs`), and beside it
//! whether each row can be read as what it is, none is missing, and the links between them are whole (`readable.rs`, `links.rs`).

use std::path::Path;
use std::thread::ScopedJoinHandle;

use rusqlite::Connection;

use super::StoreError;
use super::indexes::indexes;
use super::maintain::made_by;
use super::objects;
use super::project::kept_reading;
use super::readable::unreadable;
use super::rows::{seq, uint};
use super::schema::{self, Role, connect, inspect};
use super::step::{Step, Steps};
use crate::domain::{Chain, Digest, RULES_VERSION, Seq, Timestamp};

/// How many events or rows are looked at between two tellings.
pub(super) const TELL_EVERY: u64 = 10_000;

/// What the ingest door keeps of a body over its limit: 4 KiB, or all that a smaller limit would have let in (from 1 KiB).
const BEGINNING_BYTES: std::ops::RangeInclusive<usize> = 1024..=4096;

/// What `check` found.
#[derive(Clone, Debug)]
pub struct CheckReport {
    /// Events in the log.
    pub events: u64,
    /// The first event in the log.
    pub first: Option<Seq>,
    /// The last event in the log.
    pub last: Option<Seq>,
    /// The end of the chain.
    pub head: Chain,
    /// Events whose payload was taken out; their digests still stand in the chain.
    pub without_payload: u64,
    /// Events whose body was too large: of these only the beginning is there, which no digest can prove.
    pub truncated: u64,
    /// How far the projections are.
    pub projected: Seq,
    /// The event at which a given head was found.
    pub head_found_at: Option<Seq>,
    /// What is wrong, at most so many as one check lists.
    pub faults: Vec<String>,
}

/// Faults listed by one check; what is damaged beyond that is not listed one by one.
pub const MAX_FAULTS: usize = 100;

/// Checks a file: SQLite's own structure, and that no event was altered, removed or inserted. Works beside a daemon, and
/// on three threads.
///
/// # Errors
/// When the file cannot be opened or read, or is not ours.
pub fn check_file(
    path: &Path,
    head: Option<Chain>,
    steps: Steps<'_>,
) -> Result<CheckReport, StoreError> {
    check_whole(path, head, Rows::Read, steps).map_err(|error| error.of_file(path))
}

/// The same, but for what the rows hold.
///
/// # Errors
/// As [`check_file`].
pub(super) fn check_without_rows(path: &Path, steps: Steps<'_>) -> Result<CheckReport, StoreError> {
    check_whole(path, None, Rows::Pass, steps).map_err(|error| error.of_file(path))
}

/// Whether it is seen to that each row can be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    Read,
    Pass,
}

fn check_whole(
    path: &Path,
    head: Option<Chain>,
    rows: Rows,
    steps: Steps<'_>,
) -> Result<CheckReport, StoreError> {
    let connection = inspect(path)?;
    schema::recognise(&connection, path)?;
    let snapshot = connection.unchecked_transaction()?;
    let (report, structure, unread) = std::thread::scope(|scope| {
        // Both end before the connection above is closed: only that one may clear away what stands beside the file.
        let structure = scope.spawn(|| structure(&connect(path, Role::Read)?));
        let unread = (rows == Rows::Read).then(|| {
            scope.spawn(|| {
                let connection = connect(path, Role::Read)?;
                let snapshot = connection.unchecked_transaction()?;
                unreadable_rows(&snapshot, &mut |_, _, _| {})
            })
        });
        let report = contents(&snapshot, head, steps);
        if unread.as_ref().is_some_and(|unread| !unread.is_finished()) {
            steps(Step::Reading, 0, 0);
        }
        let unread = unread.map_or_else(|| Ok(Ok(Vec::new())), ScopedJoinHandle::join);
        if !structure.is_finished() {
            steps(Step::Structure, 0, 0);
        }
        (report, structure.join(), unread)
    });
    let fault = |_| StoreError::Unavailable("the check ended by a fault".to_owned());
    let (structure, unread) = (structure.map_err(fault)?, unread.map_err(fault)?);
    Ok(report?.with(unread?).with(structure?))
}

/// The same on one connection that may be ended from outside.
pub(super) fn check_open(
    connection: &Connection,
    path: &Path,
    head: Option<Chain>,
    steps: Steps<'_>,
) -> Result<CheckReport, StoreError> {
    schema::recognise(connection, path)?;
    let snapshot = connection.unchecked_transaction()?;
    steps(Step::Structure, 0, 0);
    let found = structure(&snapshot)?;
    let unread = unreadable_rows(&snapshot, steps)?;
    Ok(contents(&snapshot, head, steps)?.with(unread).with(found))
}

/// The rows that cannot be read. Rows of other rules may say it in other words; the next start makes them again.
fn unreadable_rows(connection: &Connection, steps: Steps<'_>) -> Result<Vec<String>, StoreError> {
    match made_by(connection)? {
        Some(RULES_VERSION) => unreadable(connection, steps),
        _ => Ok(Vec::new()),
    }
}

impl CheckReport {
    fn with(mut self, mut faults: Vec<String>) -> Self {
        faults.append(&mut self.faults);
        faults.truncate(MAX_FAULTS);
        Self { faults, ..self }
    }
}

fn contents(
    snapshot: &Connection,
    head: Option<Chain>,
    steps: Steps<'_>,
) -> Result<CheckReport, StoreError> {
    let mut found = objects::faults(snapshot)?;
    found.extend(indexes(snapshot, steps)?);
    Ok(events(snapshot, head, steps)?.with(found))
}

/// Each event against its digest, its link in the chain and its place.
fn events(
    snapshot: &Connection,
    head: Option<Chain>,
    steps: Steps<'_>,
) -> Result<CheckReport, StoreError> {
    let mut faults = Vec::new();
    let total = snapshot
        .query_row("SELECT coalesce(max(seq), 0) FROM log", [], |row| {
            row.get(0)
        })
        .map(uint)?;
    let projected = snapshot
        .query_row("SELECT projected_seq FROM projection", [], |row| row.get(0))
        .map(seq)?;
    let mut report = CheckReport {
        events: 0,
        first: None,
        last: None,
        head: Chain::GENESIS,
        without_payload: 0,
        truncated: 0,
        projected,
        head_found_at: None,
        faults: Vec::new(),
    };
    steps(Step::Checking, 0, total);
    let mut statement = snapshot.prepare(
        "SELECT seq, received_at, digest, chain, size, payload, reading FROM log ORDER BY seq",
    )?;
    let mut found = statement.query([])?;
    let mut expected = Seq::START.next();
    while let Some(row) = found.next()? {
        let at = seq(row.get(0)?);
        let digest = Digest(row.get(2)?);
        let link = Chain(row.get(3)?);
        let size = uint(row.get(4)?);
        let mut fault = |text: String| {
            if faults.len() < MAX_FAULTS {
                faults.push(text);
            }
        };
        if at != expected {
            fault(format!("event {expected} is missing: event {at} follows"));
        }
        match row.get_ref(5)?.as_blob_or_null() {
            Err(_) => fault(format!("event {at}: the payload is no row of bytes")),
            Ok(None) => {
                report.without_payload += 1;
                if kept_reading(row, 6).is_err() {
                    fault(format!(
                        "event {at}: what was kept in the place of its payload cannot be read"
                    ));
                }
            }
            // Of a body that was too large only the beginning is kept, under the digest of the whole: it is told apart,
            // and a length that no door keeps is a fault.
            Ok(Some(body)) if body.len() as u64 != size => {
                report.truncated += 1;
                if !BEGINNING_BYTES.contains(&body.len()) {
                    fault(format!(
                        "event {at}: the payload has not the length that was kept"
                    ));
                }
            }
            Ok(Some(body)) if Digest::of(body) != digest => {
                fault(format!("event {at}: the payload does not have its digest"));
            }
            Ok(Some(_)) => {}
        }
        if report.head.link(at, Timestamp(row.get(1)?), &digest) != link {
            fault(format!(
                "event {at}: the chain is broken; it or an event before it was altered"
            ));
        }
        // What follows is judged by what stands here, so that one fault is told once.
        report.head = link;
        report.first = report.first.or(Some(at));
        report.last = Some(at);
        if head == Some(link) {
            report.head_found_at = Some(at);
        }
        report.events += 1;
        expected = at.next();
        if report.events.is_multiple_of(TELL_EVERY) {
            steps(Step::Checking, report.events, total);
        }
    }
    steps(Step::Checking, report.events, total);
    if projected.0 > total {
        faults.push(format!(
            "the projections are at event {projected}, the log ends at {total}"
        ));
    }
    if let Some(head) =
        head.filter(|head| report.head_found_at.is_none() && *head != Chain::GENESIS)
    {
        faults.push(format!(
            "the log does not contain the head {head}: it was cut or rewritten"
        ));
    }
    report.faults = faults;
    Ok(report)
}

fn structure(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare(&format!("PRAGMA quick_check({MAX_FAULTS})"))?;
    let lines = statement
        .query_map([], |row| row.get::<_, String>(0))?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(lines
        .into_iter()
        .filter(|line| line != "ok")
        .map(|line| format!("SQLite: {line}"))
        .collect())
}
