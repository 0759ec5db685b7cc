//! `check`: whether a file is whole and no event was altered, removed or inserted.
//!
//! What SQLite's `integrity_check` proves is proved here in two parts, so that both run in the order of the file: its
//! `quick_check` for the structure, and each index against the rows it should have. SQLite itself looks up every row in
//! every index, one by one and at random. Before that it is seen whether the schema is ours (`objects.rs`).

use std::hash::{DefaultHasher, Hasher as _};
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::StoreError;
use super::maintain::Progress;
use super::objects;
use super::rows::{seq, uint};
use super::schema::{self, Role, connect, inspect};
use crate::domain::{Chain, Digest, Seq, Timestamp};

/// How many events are looked at between two tellings.
const TELL_EVERY: u64 = 10_000;

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
/// on two threads.
///
/// # Errors
/// When the file cannot be opened or read, or is not ours.
pub fn check_file(
    path: &Path,
    head: Option<Chain>,
    progress: Progress<'_>,
) -> Result<CheckReport, StoreError> {
    check_whole(path, head, progress).map_err(|error| error.of_file(path))
}

fn check_whole(
    path: &Path,
    head: Option<Chain>,
    progress: Progress<'_>,
) -> Result<CheckReport, StoreError> {
    let connection = inspect(path)?;
    schema::recognise(&connection, path)?;
    let snapshot = connection.unchecked_transaction()?;
    let (report, found) = std::thread::scope(|scope| {
        // Ends before the connection above is closed: only that one may clear away what stands beside the file.
        let structure = scope.spawn(|| structure(&connect(path, Role::Read)?));
        let report = contents(&snapshot, head, progress);
        (report, structure.join())
    });
    let fault = |_| StoreError::Unavailable("the check ended by a fault".to_owned());
    Ok(report?.with(found.map_err(fault)??))
}

/// The same on one connection that may be ended from outside.
pub(super) fn check_open(
    connection: &Connection,
    path: &Path,
    head: Option<Chain>,
    progress: Progress<'_>,
) -> Result<CheckReport, StoreError> {
    schema::recognise(connection, path)?;
    let snapshot = connection.unchecked_transaction()?;
    let found = structure(&snapshot)?;
    Ok(contents(&snapshot, head, progress)?.with(found))
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
    progress: Progress<'_>,
) -> Result<CheckReport, StoreError> {
    let mut found = objects::faults(snapshot)?;
    found.extend(indexes(snapshot)?);
    Ok(events(snapshot, head, progress)?.with(found))
}

/// Each event against its digest, its link in the chain and its place.
fn events(
    snapshot: &Connection,
    head: Option<Chain>,
    progress: Progress<'_>,
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
    let mut statement = snapshot
        .prepare("SELECT seq, received_at, digest, chain, size, payload FROM log ORDER BY seq")?;
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
        match row.get_ref(5)?.as_blob_or_null().unwrap_or_default() {
            None => report.without_payload += 1,
            // Of a body that was too large only the beginning is kept, under the digest of the whole: it is told apart,
            // and a length that no door keeps is a fault.
            Some(body) if body.len() as u64 != size => {
                report.truncated += 1;
                if !BEGINNING_BYTES.contains(&body.len()) {
                    fault(format!(
                        "event {at}: the payload has not the length that was kept"
                    ));
                }
            }
            Some(body) if Digest::of(body) != digest => {
                fault(format!("event {at}: the payload does not have its digest"));
            }
            Some(_) => {}
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
            progress(report.events, total);
        }
    }
    progress(report.events, total);
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

/// Each index against the rows of its table: the same entries, and in a unique one each only once.
fn indexes(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut faults = Vec::new();
    let mut statement = connection.prepare(
        "SELECT s.name, s.tbl_name, s.sql, l.\"unique\" FROM sqlite_schema s \
         JOIN pragma_index_list(s.tbl_name) l ON l.name = s.name WHERE s.type = 'index'",
    )?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let (index, table): (String, String) = (row.get(0)?, row.get(1)?);
        let sql: Option<String> = row.get(2)?;
        // Others may have indexes on expressions, in tables of their own.
        let Some(columns) = columns_of(connection, &index)? else {
            continue;
        };
        // A partial index is held against the rows that its own condition names. An entry whose row no longer meets it is
        // passed over by every query, and so by this one.
        let condition = sql.as_deref().and_then(|sql| sql.split_once(" WHERE "));
        let condition = condition.map_or(String::new(), |(_, text)| format!(" WHERE {text}"));
        let (index_name, table_name) = (quoted(&index), quoted(&table));
        let entries = Entries::of(
            connection,
            &format!(
                "SELECT rowid, {columns} FROM {table_name} INDEXED BY {index_name}{condition} ORDER BY {columns}"
            ),
        )?;
        let rows = Entries::of(
            connection,
            &format!("SELECT rowid, {columns} FROM {table_name} NOT INDEXED{condition}"),
        )?;
        if (entries.number, entries.sum) != (rows.number, rows.sum) {
            faults.push(format!(
                "the index {index} has {} entries that are not all those of the {} rows of {table}",
                entries.number, rows.number
            ));
        }
        if row.get(3)? && entries.repeated {
            faults.push(format!("the index {index} of {table} has an entry twice"));
        }
    }
    Ok(faults)
}

/// The columns of an index; `None` where it is made of more than columns.
fn columns_of(connection: &Connection, index: &str) -> Result<Option<String>, StoreError> {
    let mut statement =
        connection.prepare("SELECT name FROM pragma_index_info(?1) ORDER BY seqno")?;
    let names = statement.query_map([index], |row| row.get::<_, Option<String>>(0))?;
    let names: Option<Vec<_>> = names.collect::<Result<_, _>>()?;
    let quoted = |names: Vec<String>| names.iter().map(|name| quoted(name)).collect::<Vec<_>>();
    Ok(names.map(|names| quoted(names).join(", ")))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What a set of rows comes to, whatever their order.
#[derive(Default)]
struct Entries {
    number: u64,
    sum: u64,
    /// Whether two that follow each other have the same values, none of them null.
    repeated: bool,
}

impl Entries {
    /// Of rows that begin with their rowid.
    fn of(connection: &Connection, sql: &str) -> Result<Self, StoreError> {
        let mut statement = connection.prepare(sql)?;
        let columns = statement.column_count();
        let mut found = statement.query([])?;
        let mut entries = Self::default();
        let mut before = None;
        while let Some(row) = found.next()? {
            let mut hash = DefaultHasher::new();
            let mut any_null = false;
            for column in 1..columns {
                match row.get_ref(column)? {
                    ValueRef::Null => any_null = true,
                    ValueRef::Integer(number) => hash.write_i64(number),
                    ValueRef::Real(number) => hash.write_u64(number.to_bits()),
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                        hash.write(bytes);
                        hash.write_usize(bytes.len());
                    }
                }
            }
            let values = (!any_null).then(|| hash.finish());
            entries.repeated |= values.is_some() && values == before;
            before = values;
            hash.write_i64(row.get(0)?);
            entries.sum = entries.sum.wrapping_add(hash.finish());
            entries.number += 1;
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema::{FILE_NAME, prepare};

    /// A file in which an index does not know what happens to its table meanwhile.
    fn changed_behind(index: &str, change: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        prepare(&path).unwrap();
        let connection = connect(&path, Role::Append).unwrap();
        connection
            .execute_batch(
                "INSERT INTO customers (key, customer_id, external_id, evaluations, first_seen_at, updated_at, last_seq, \
                 version, memory) VALUES (1, 'a', 'x', '{}', 0, 0, 0, 0, '{}'), (2, 'b', 'y', '{}', 0, 0, 0, 0, '{}')",
            )
            .unwrap();
        let entry = "type, name, tbl_name, rootpage, sql";
        connection
            .execute_batch(&format!(
                "CREATE TEMP TABLE hidden AS SELECT {entry} FROM sqlite_schema WHERE name = '{index}'; \
                 PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = '{index}'; \
                 PRAGMA writable_schema = RESET; {change}; \
                 PRAGMA writable_schema = ON; INSERT INTO sqlite_schema ({entry}) SELECT {entry} FROM hidden; \
                 PRAGMA writable_schema = RESET;"
            ))
            .unwrap();
        drop(connection);
        check_file(&path, None, &mut |_, _| {}).unwrap().faults
    }

    #[test]
    fn an_index_that_lacks_a_row_or_has_another_is_found() {
        let index = "customers_by_external_id";
        assert_eq!(changed_behind(index, ""), [""; 0]);
        for change in [
            "DELETE FROM customers WHERE key = 1",
            "UPDATE customers SET external_id = 'z' WHERE key = 1",
            "UPDATE customers SET key = 3 WHERE key = 1",
        ] {
            let faults = changed_behind(index, change);
            assert!(
                faults.iter().any(|fault| fault.contains(index)),
                "{change}: {faults:?}"
            );
        }
    }
}
