//! The numbers, as `/v1/stats` shows them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use warp::reply::Response as Reply;

use super::errands::Outbound;
use super::params::Params;
use super::query::{Asked, Query};
use super::reply::{self, Problem};
use crate::clock::now;
use crate::domain::coverage::{COVERAGE_DAYS, silent_since};
use crate::domain::{Chain, Seq, State, Timestamp};
use crate::store::{At, Backup, Running, Stats, StatsBucket};

/// Words that a count is split into; names of events come from outside and may be many.
const MAX_WORDS: usize = 100;

/// Counts by word; words in round brackets are made up by the daemon.
type ByWord = BTreeMap<String, u64>;

/// The numbers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Stats"))]
pub(super) struct StatsView {
    /// The newest event that readers see.
    projected_seq: Seq,
    /// The newest event on disk.
    durable_seq: Seq,
    /// The difference.
    lag: u64,
    events: EventCounts,
    customers: CustomerCounts,
    requests: RequestCounts,
    /// Requests that are not settled and past their deadline.
    overdue: u64,
    /// When the oldest request that is not settled was registered.
    oldest_open_at: Option<Timestamp>,
    rates: Rates,
    files: Files,
    queue: Queue,
    /// When the last webhook came.
    last_webhook_at: Option<Timestamp>,
    /// The last backup that was made, to wherever.
    last_backup: Option<LastBackup>,
    /// How far the backup is that is being made; null when none is.
    running_backup: Option<Running>,
    /// When the process that speaks to Waldo last had an answer to a question; null when it is not there.
    last_poll: Option<Timestamp>,
    coverage: Coverage,
    silence: Silence,
    /// What the process that speaks to Waldo last said of itself; null when it is not there.
    outbound: Option<Outbound>,
}

/// Events counted.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct EventCounts {
    total: u64,
    /// By name; the 100 most frequent, the others as `(rest)`.
    by_event: ByWord,
    by_disposition: ByWord,
    by_source: ByWord,
}

/// Customers counted.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CustomerCounts {
    total: u64,
    by_status: ByWord,
}

/// Requests counted.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct RequestCounts {
    total: u64,
    by_state: ByWord,
}

/// How many events came, oldest first.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Rates {
    /// By minutes.
    last_hour: Vec<Bucket>,
    /// By hours.
    last_day: Vec<Bucket>,
}

/// Events in a stretch of time.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Bucket {
    /// When it begins.
    at: Timestamp,
    events: u64,
}

/// Lengths of the files.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Files {
    database_bytes: u64,
    wal_bytes: u64,
}

/// What waits for the writer, and how much may.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Queue {
    events: usize,
    bytes: usize,
    max_events: usize,
    max_bytes: u64,
}

/// A backup, wherever it was written; what is in it to the last digit stands in its manifest.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct LastBackup {
    /// The moment whose state it holds.
    at: Timestamp,
    path: PathBuf,
    /// Events in its log.
    events: u64,
    /// The end of the chain over them.
    head: Chain,
    /// Whether the written file was read again and passed the check.
    verified: bool,
}

/// How the requests of the last days were settled.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Coverage {
    /// How many days, today included.
    days: i64,
    /// The part that Waldo told by itself, 0 to 1; null where nothing was settled.
    ratio: Option<f64>,
    settled: u64,
    by_webhook: u64,
    inferred: u64,
    by_poll: u64,
    manual: u64,
}

/// Whether requests wait and no webhook comes.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Silence {
    silent: bool,
    /// Since when, if for too long.
    since: Option<Timestamp>,
}

pub(super) async fn stats(
    query: Arc<Query>,
    _: String,
    _: Params,
    _: Asked,
) -> Result<Reply, Problem> {
    let At { seq, value } = query.store.stats(now(), query.give_up_after_ms()).await?;
    Ok(reply::json(&query.stats_view(seq, value), seq))
}

/// What was counted under one kind.
struct Counted<'a>(Vec<(&'a str, u64)>);

impl<'a> Counted<'a> {
    fn of(stats: &'a Stats, kind: &str) -> Self {
        let counts = stats
            .counts
            .iter()
            .filter(|(counted, _, _)| counted == kind);
        Self(
            counts
                .map(|(_, word, number)| (word.as_str(), *number))
                .collect(),
        )
    }

    fn total(&self) -> u64 {
        self.0.iter().map(|(_, number)| number).sum()
    }

    fn by_word(mut self) -> ByWord {
        self.0.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
        let rest = self.0.split_off(self.0.len().min(MAX_WORDS));
        let mut shown: ByWord = self
            .0
            .into_iter()
            .map(|(word, number)| (word.to_owned(), number))
            .collect();
        let rest: u64 = rest.into_iter().map(|(_, number)| number).sum();
        if rest > 0 {
            shown.insert("(rest)".to_owned(), rest);
        }
        shown
    }
}

impl Query {
    fn stats_view(&self, seq: Seq, stats: Stats) -> StatsView {
        let counted = |kind| Counted::of(&stats, kind);
        let durable = self.store.durable();
        let mut by_state = counted("state").by_word();
        if stats.expired > 0 {
            by_state.insert(State::Expired.to_string(), stats.expired);
        }
        let (events, bytes) = self.store.queued();
        let (max_events, max_bytes) = self.queue_limits;
        let outbound = self.errands.outbound();
        let since = self.silent_since(now(), &stats);
        let coverage = &stats.coverage;
        StatsView {
            projected_seq: seq,
            durable_seq: durable,
            lag: durable.0.saturating_sub(seq.0),
            events: EventCounts {
                total: counted("disposition").total(),
                by_event: counted("event").by_word(),
                by_disposition: counted("disposition").by_word(),
                by_source: counted("source").by_word(),
            },
            customers: CustomerCounts {
                total: counted("status").total(),
                by_status: counted("status").by_word(),
            },
            requests: RequestCounts {
                total: counted("state").total() + stats.expired,
                by_state,
            },
            overdue: stats.overdue,
            oldest_open_at: stats.oldest_open_at,
            rates: Rates {
                last_hour: buckets(&stats.last_hour),
                last_day: buckets(&stats.last_day),
            },
            files: Files {
                database_bytes: stats.database_bytes,
                wal_bytes: stats.wal_bytes,
            },
            queue: Queue {
                events,
                bytes,
                max_events,
                max_bytes,
            },
            last_webhook_at: stats.last_webhook_at,
            last_backup: self.store.backups().last().map(LastBackup::from),
            running_backup: self.store.backups().running(),
            last_poll: outbound.as_ref().and_then(|outbound| outbound.last_poll_at),
            coverage: Coverage {
                days: COVERAGE_DAYS,
                ratio: coverage.ratio(),
                settled: coverage.settled(),
                by_webhook: coverage.by_webhook,
                inferred: coverage.inferred,
                by_poll: coverage.by_poll,
                manual: coverage.manual,
            },
            silence: Silence {
                silent: since.is_some(),
                since,
            },
            outbound,
        }
    }

    /// Since when webhooks have been silent although requests wait, if for too long.
    pub(super) fn silent_since(&self, now: Timestamp, stats: &Stats) -> Option<Timestamp> {
        let after = i64::try_from(self.silence_after.as_millis()).unwrap_or(i64::MAX);
        silent_since(now, after, stats.waiting_since, stats.last_webhook_at)
    }
}

fn buckets(buckets: &[StatsBucket]) -> Vec<Bucket> {
    let shown = buckets.iter().map(|bucket| Bucket {
        at: bucket.at,
        events: bucket.events,
    });
    shown.collect()
}

impl From<Backup> for LastBackup {
    fn from(Backup { path, manifest }: Backup) -> Self {
        Self {
            at: manifest.at,
            path,
            events: manifest.events,
            head: manifest.head,
            verified: manifest.verified,
        }
    }
}
