//! The numbers of the store.

use std::path::Path;

use rusqlite::Connection;

use super::rows::uint;
use super::{At, Store, StoreError};
use crate::domain::Timestamp;
use crate::domain::coverage::{COVERAGE_DAYS, Coverage, day_of};

/// What is counted by words that are ours.
const CLOSED_COUNTS: &str = "SELECT kind, word, number FROM counts WHERE kind IN ('disposition', 'state', 'status') AND number > 0";
/// Names of events too: those that are no name of Waldo's come from outside.
const ALL_COUNTS: &str =
    "SELECT kind, word, number FROM counts WHERE kind NOT IN ('settled', 'key') AND number > 0";
/// The requests that are open, by their state: past their deadline, given up, the oldest, the oldest not given up.
const OPEN: &str = "SELECT state, sum(coalesce(deadline_at < ?1, 0)), sum(coalesce(deadline_at < ?2, 0)), min(registered_at), \
         min(CASE WHEN deadline_at >= ?2 THEN registered_at END) \
         FROM requests INDEXED BY requests_open WHERE state IN ('pending', 'in_progress') GROUP BY state";

/// Events in a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatsBucket {
    /// When it begins.
    pub at: Timestamp,
    /// How many came.
    pub events: u64,
}

/// The numbers of the store.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Counts: kind (event, disposition, source, status, state), word, number.
    pub counts: Vec<(String, String, u64)>,
    /// Requests not settled and past their deadline.
    pub overdue: u64,
    /// Requests not settled long past their deadline.
    pub expired: u64,
    /// When the oldest open request was registered.
    pub oldest_open_at: Option<Timestamp>,
    /// When the oldest open request that is not given up was registered.
    pub waiting_since: Option<Timestamp>,
    /// How the requests of the last days were settled.
    pub coverage: Coverage,
    /// The last hour by minutes.
    pub last_hour: Vec<StatsBucket>,
    /// The last day by hours.
    pub last_day: Vec<StatsBucket>,
    /// When the last webhook came.
    pub last_webhook_at: Option<Timestamp>,
    /// Length of the file.
    pub database_bytes: u64,
    /// Length of the WAL beside it.
    pub wal_bytes: u64,
}

impl Store {
    /// The numbers of the store.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn stats(
        &self,
        now: Timestamp,
        give_up_after_ms: i64,
    ) -> Result<At<Stats>, StoreError> {
        let path = self.inner.path.clone();
        self.read(move |connection| {
            let mut stats = census(connection, &path, ALL_COUNTS, now, give_up_after_ms)?;
            let minute = now.0.div_euclid(60_000);
            stats.last_hour = buckets(connection, minute - 59, minute, 1)?;
            let hour = minute.div_euclid(60);
            stats.last_day = buckets(connection, (hour - 23) * 60, hour * 60 + 59, 60)?;
            Ok(stats)
        })
        .await
    }

    /// The part of the numbers that is quickly read and has a bound: without rates, and counted by our own words only.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn census(
        &self,
        now: Timestamp,
        give_up_after_ms: i64,
    ) -> Result<At<Stats>, StoreError> {
        let path = self.inner.path.clone();
        self.read(move |connection| census(connection, &path, CLOSED_COUNTS, now, give_up_after_ms))
            .await
    }
}

fn census(
    connection: &Connection,
    path: &Path,
    counts: &str,
    now: Timestamp,
    give_up_after_ms: i64,
) -> Result<Stats, StoreError> {
    let mut stats = Stats {
        database_bytes: file_bytes(path),
        wal_bytes: file_bytes(&super::schema::wal_path(path)),
        last_webhook_at: connection
            .query_row("SELECT last_webhook_at FROM projection", [], |row| {
                row.get::<_, Option<i64>>(0)
            })?
            .map(Timestamp),
        coverage: coverage(connection, day_of(now))?,
        ..Stats::default()
    };
    let mut counts = connection.prepare_cached(counts)?;
    let mut found = counts.query([])?;
    while let Some(row) = found.next()? {
        stats
            .counts
            .push((row.get(0)?, row.get(1)?, uint(row.get(2)?)));
    }
    count_open(connection, now.0, give_up_after_ms, &mut stats)?;
    Ok(stats)
}

/// Looks once through the requests that are open: as many as wait, however long the log is.
fn count_open(
    connection: &Connection,
    now: i64,
    give_up_after_ms: i64,
    stats: &mut Stats,
) -> Result<(), StoreError> {
    let mut open = connection.prepare_cached(OPEN)?;
    let mut found = open.query([now, now.saturating_sub(give_up_after_ms)])?;
    let earlier = |known: Option<Timestamp>, found: Option<i64>| {
        known.into_iter().chain(found.map(Timestamp)).min()
    };
    while let Some(row) = found.next()? {
        let (state, expired): (String, u64) = (row.get(0)?, uint(row.get(2)?));
        stats.overdue += uint(row.get(1)?);
        stats.expired += expired;
        stats.oldest_open_at = earlier(stats.oldest_open_at, row.get(3)?);
        stats.waiting_since = earlier(stats.waiting_since, row.get(4)?);
        // Whoever is expired is counted as that, and not as what it was before.
        for (kind, word, counted) in &mut stats.counts {
            if kind == "state" && *word == state {
                *counted = counted.saturating_sub(expired);
            }
        }
    }
    Ok(())
}

fn coverage(connection: &Connection, today: i64) -> Result<Coverage, StoreError> {
    let mut coverage = Coverage::default();
    let mut statement = connection
        .prepare_cached("SELECT word, number FROM counts WHERE kind = 'settled' AND number > 0")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let (word, number): (String, i64) = (row.get(0)?, row.get(1)?);
        let Some((day, by)) = word.split_once(':') else {
            continue;
        };
        let in_window = day
            .parse()
            .is_ok_and(|day: i64| (0..COVERAGE_DAYS).contains(&(today - day)));
        if let (true, Ok(by)) = (in_window, by.parse()) {
            coverage.add(by, uint(number));
        }
    }
    Ok(coverage)
}

/// Events from one minute to another, in steps of so many minutes, empty steps included.
fn buckets(
    connection: &Connection,
    from: i64,
    to: i64,
    step: i64,
) -> Result<Vec<StatsBucket>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT minute - minute % ?3, sum(events) FROM minutes WHERE minute BETWEEN ?1 AND ?2 GROUP BY 1",
    )?;
    let mut found = statement.query([from, to, step])?;
    let mut events = std::collections::BTreeMap::new();
    while let Some(row) = found.next()? {
        events.insert(row.get::<_, i64>(0)?, uint(row.get(1)?));
    }
    let mut buckets = Vec::new();
    let mut minute = from;
    while minute <= to {
        let events = events.get(&minute).copied().unwrap_or(0);
        buckets.push(StatsBucket {
            at: Timestamp(minute.saturating_mul(60_000)),
            events,
        });
        minute += step;
    }
    Ok(buckets)
}

fn file_bytes(path: &Path) -> u64 {
    std::fs::metadata(path).map(|meta| meta.len()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scrape must cost the same with ten million events as with ten.
    #[test]
    fn a_census_walks_no_table_that_grows_with_the_log() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(include_str!("../../schema.sql"))
            .unwrap();
        for sql in [CLOSED_COUNTS, OPEN] {
            let mut statement = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .unwrap();
            let nothing = rusqlite::params_from_iter(vec![0; statement.parameter_count()]);
            let steps: Vec<String> = statement
                .query_map(nothing, |row| row.get("detail"))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            for step in steps.iter().filter(|step| step.contains("SCAN")) {
                assert_eq!(step, "SCAN requests USING INDEX requests_open", "{sql}");
            }
            assert!(!steps.is_empty());
        }
    }
}
