//! The query door's paths about the daemon itself: numbers, health, metrics.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use warp::reply::Response as Reply;

use super::params::Params;
use super::query::{Asked, Query};
use super::reply::{self, Code, Problem};
use crate::clock::now;
use crate::domain::coverage::{COVERAGE_DAYS, silent_since};
use crate::domain::{Seq, State, Timestamp};
use crate::store::{At, Backup, Stats, StatsBucket};

/// How long `/readyz` waits for a sign of life from the writer.
const CHECKUP_WITHIN: Duration = Duration::from_secs(2);

/// Words that a count is split into; names of events come from outside and may be many.
const MAX_WORDS: usize = 100;

pub(super) async fn stats(
    query: Arc<Query>,
    _: String,
    _: Params,
    _: Asked,
) -> Result<Reply, Problem> {
    let At { seq, value } = query.store.stats(now(), query.give_up_after_ms()).await?;
    Ok(reply::json(&stats_view(&query, seq, &value), seq))
}

fn stats_view(query: &Query, seq: Seq, stats: &Stats) -> Value {
    let by = |kind: &str| -> serde_json::Map<String, Value> {
        let mut words: Vec<_> = stats
            .counts
            .iter()
            .filter(|(counted, _, _)| counted == kind)
            .collect();
        words.sort_by_key(|(_, _, number)| std::cmp::Reverse(*number));
        let rest: u64 = words
            .iter()
            .skip(MAX_WORDS)
            .map(|(_, _, number)| number)
            .sum();
        let mut shown: serde_json::Map<_, _> = words
            .into_iter()
            .take(MAX_WORDS)
            .map(|(_, word, number)| (word.clone(), json!(number)))
            .collect();
        if rest > 0 {
            shown.insert("(rest)".to_owned(), json!(rest));
        }
        shown
    };
    let total = |kind: &str| -> u64 {
        stats
            .counts
            .iter()
            .filter(|(counted, _, _)| counted == kind)
            .map(|(_, _, number)| number)
            .sum()
    };
    let mut by_state = by("state");
    if stats.expired > 0 {
        by_state.insert(State::Expired.to_string(), json!(stats.expired));
    }
    let buckets = |buckets: &[StatsBucket]| -> Vec<Value> {
        buckets
            .iter()
            .map(|bucket| json!({ "at": bucket.at, "events": bucket.events }))
            .collect()
    };
    let (queued_events, queued_bytes) = query.store.queued();
    let silent_since = query.silent_since(now(), stats);
    let outbound = query.errands.outbound();
    let coverage = &stats.coverage;
    json!({
        "projectedSeq": seq,
        "durableSeq": query.store.durable(),
        "lag": query.store.durable().0.saturating_sub(seq.0),
        "events": {
            "total": total("disposition"), "byEvent": by("event"), "byDisposition": by("disposition"),
            "bySource": by("source"),
        },
        "customers": { "total": total("status"), "byStatus": by("status") },
        "requests": { "total": total("state") + stats.expired, "byState": by_state },
        "overdue": stats.overdue,
        "oldestOpenAt": stats.oldest_open_at,
        "rates": { "lastHour": buckets(&stats.last_hour), "lastDay": buckets(&stats.last_day) },
        "files": { "databaseBytes": stats.database_bytes, "walBytes": stats.wal_bytes },
        "queue": {
            "events": queued_events, "bytes": queued_bytes,
            "maxEvents": query.queue_limits.0, "maxBytes": query.queue_limits.1,
        },
        "lastWebhookAt": stats.last_webhook_at,
        "lastBackup": last_backup(query.store.backups().last()),
        "lastPoll": outbound.as_ref().and_then(|outbound| outbound.last_poll_at),
        "coverage": {
            "days": COVERAGE_DAYS, "ratio": coverage.ratio(), "settled": coverage.settled(),
            "byWebhook": coverage.by_webhook, "inferred": coverage.inferred, "byPoll": coverage.by_poll,
            "manual": coverage.manual,
        },
        "silence": { "silent": silent_since.is_some(), "since": silent_since },
        "outbound": outbound,
    })
}

/// The last backup, wherever it was written; what is in it to the last digit stands in its manifest.
fn last_backup(last: Option<Backup>) -> Value {
    last.map_or(Value::Null, |Backup { path, manifest }| {
        json!({
            "at": manifest.at, "path": path, "events": manifest.events, "head": manifest.head,
            "verified": manifest.verified,
        })
    })
}

impl Query {
    /// Since when webhooks have been silent although requests wait, if for too long.
    pub(super) fn silent_since(&self, now: Timestamp, stats: &Stats) -> Option<Timestamp> {
        let after = i64::try_from(self.silence_after.as_millis()).unwrap_or(i64::MAX);
        silent_since(now, after, stats.waiting_since, stats.last_webhook_at)
    }
}

pub(super) async fn healthz(
    query: Arc<Query>,
    _: String,
    _: Params,
    _: Asked,
) -> Result<Reply, Problem> {
    Ok(reply::json(
        &json!({ "status": "ok" }),
        query.store.projected(),
    ))
}

pub(super) async fn readyz(
    query: Arc<Query>,
    _: String,
    _: Params,
    _: Asked,
) -> Result<Reply, Problem> {
    let not_ready = |reason: String| Problem::new(Code::NotReady, reason);
    if let Some(trouble) = query.store.trouble() {
        return Err(not_ready(trouble));
    }
    query
        .store
        .checkup(CHECKUP_WITHIN)
        .await
        .map_err(|error| not_ready(error.to_string()))?;
    // What keeps Waldo from being asked does not keep its webhooks from being taken.
    let trouble = query
        .errands
        .outbound()
        .and_then(|outbound| outbound.trouble);
    let backup = query.store.backups().trouble();
    let details: Vec<_> = trouble.into_iter().chain(backup).collect();
    Ok(reply::json(
        &json!({ "status": "ready", "details": details }),
        query.store.projected(),
    ))
}
