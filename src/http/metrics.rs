//! `/metrics`: what is counted all the time, and what is looked up in the file for this answer.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, HeaderValue, VARY};
use http::{HeaderMap, StatusCode};
use warp::reply::Response as Reply;

use super::params::Params;
use super::query::{Asked, Query};
use super::reply::{self, Problem, SEQ_HEADER};
use crate::clock::now;
use crate::domain::{Disposition, State, Timestamp};
use crate::metrics::{Format, Number, Sample};
use crate::store::Stats;

/// How long the numbers from the file may take. Without them the rest is still told.
const FILE_WITHIN: Duration = Duration::from_secs(3);
/// What the status of customers is counted by, and the label for it.
const STATUSES: [(&str, &str); 6] = [
    ("APPROVED", "APPROVED"),
    ("REJECTED", "REJECTED"),
    ("REVIEW", "REVIEW"),
    ("PENDING", "PENDING"),
    ("(unknown)", "unknown"),
    ("(other)", "other"),
];

pub(super) async fn answer(
    query: Arc<Query>,
    _: String,
    _: Params,
    asked: Asked,
) -> Result<Reply, Problem> {
    let census = query.store.census(now(), query.give_up_after_ms());
    let census = match tokio::time::timeout(FILE_WITHIN, census).await {
        Ok(Ok(census)) => Some(census.value),
        Ok(Err(error)) => {
            log::debug!("metrics: the file cannot be read: {error}");
            None
        }
        Err(_) => {
            log::debug!("metrics: the file was not read in time");
            None
        }
    };
    let format = accepted(&asked.headers);
    let samples = samples(&query, census.as_ref(), now());
    let text = query.metrics.text(samples, format);
    let mut reply = reply::bytes(StatusCode::OK, format.content_type(), text);
    let headers = reply.headers_mut();
    headers.insert(SEQ_HEADER, HeaderValue::from(query.store.projected().0));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    Ok(reply)
}

/// OpenMetrics for those who ask for it by its name, at least as much as for plain text.
fn accepted(headers: &HeaderMap) -> Format {
    let wish = |media_type: &str| -> Option<f32> {
        let fields = headers.get_all(ACCEPT).iter();
        let wishes = fields.filter_map(|field| field.to_str().ok());
        let of_type = wishes
            .flat_map(|wishes| wishes.split(','))
            .filter_map(|wish| {
                let mut parts = wish.split(';').map(str::trim);
                let named = parts.next()?.eq_ignore_ascii_case(media_type);
                let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok());
                named.then_some(weight.unwrap_or(1.0))
            });
        of_type.max_by(f32::total_cmp)
    };
    match wish("application/openmetrics-text") {
        Some(weight) if weight > 0.0 && weight >= wish("text/plain").unwrap_or(0.0) => {
            Format::OpenMetrics
        }
        _ => Format::Plain,
    }
}

fn samples(query: &Query, census: Option<&Stats>, now: Timestamp) -> Vec<Sample> {
    let counted = |kind, word: &'static str| {
        let stats = census?;
        let found = stats
            .counts
            .iter()
            .find(|(of, is, _)| of == kind && is == word);
        Some((word, found.map_or(0, |(_, _, number)| *number)))
    };
    let state = |state: &State| match (state, census) {
        (State::Expired, stats) => Some((state.as_str(), stats?.expired)),
        (state, _) => counted("state", state.as_str()),
    };
    let coverage = census.map(|stats| stats.coverage);
    let settled = coverage.map(|coverage| {
        [
            ("webhook", coverage.by_webhook),
            ("inferred", coverage.inferred),
            ("poll", coverage.by_poll),
            ("manual", coverage.manual),
        ]
    });
    let whole = |read: fn(&Stats) -> u64| census.map(|stats| Number::Whole(read(stats)));
    let oldest = |stats: &Stats| seconds(stats.waiting_since.map_or(0, |at| now.ms_since(at)));
    let silent = |stats: &Stats| u64::from(query.silent_since(now, stats).is_some());
    let rooms = [
        ("answer", &query.answer_room),
        ("stream", &query.event_room),
    ];
    let last_webhook = census.and_then(|stats| stats.last_webhook_at);
    vec![
        Sample::gauge(
            "file_readable",
            "1 when what stands in the file could be read for this answer",
            Number::Whole(census.is_some().into()),
        ),
        Sample::gauges(
            "log_events",
            "Events in the file by what the rules made of them",
            "disposition",
            Disposition::ALL
                .iter()
                .filter_map(|word| counted("disposition", word.as_str())),
        ),
        Sample::gauges(
            "customers",
            "Customers by their status",
            "status",
            STATUSES
                .into_iter()
                .filter_map(|(word, label)| Some((label, counted("status", word)?.1))),
        ),
        Sample::gauges(
            "requests",
            "Requests by their state",
            "state",
            State::ALL.iter().filter_map(state),
        ),
        Sample::gauge(
            "requests_overdue",
            "Open requests past their deadline",
            whole(|stats| stats.overdue),
        ),
        Sample::gauge(
            "oldest_waiting_request_age_seconds",
            "Since when the oldest request waits that is neither settled nor given up; 0 when none does",
            census.map(|stats| Number::Whole(oldest(stats))),
        ),
        Sample::gauge(
            "coverage_ratio",
            "Part of the requests settled in 30 days that webhooks told, 0 to 1; none when nothing was settled",
            coverage
                .and_then(|coverage| coverage.ratio())
                .map(Number::Broken),
        ),
        Sample::gauges(
            "settled_requests",
            "Requests settled in 30 days by what told it",
            "by",
            settled.into_iter().flatten(),
        ),
        Sample::gauge(
            "silence",
            "1 while requests wait and no webhook comes for too long",
            census.map(|stats| Number::Whole(silent(stats))),
        ),
        Sample::gauge(
            "last_webhook_timestamp_seconds",
            "When the last webhook came",
            last_webhook.map(|at| Number::Whole(seconds(at.0))),
        ),
        Sample::gauges(
            "held_answer_bytes",
            "Bytes of large answers that are made and not yet taken by their readers",
            "kind",
            rooms.map(|(kind, room)| (kind, room.taken())),
        ),
        Sample::gauges(
            "max_held_answer_bytes",
            "How many bytes that may be",
            "kind",
            rooms.map(|(kind, room)| (kind, room.size())),
        ),
        Sample::counter(
            "refused_answers",
            "Large answers that were refused, for those that their readers do not take left no room",
            Number::Whole(query.answer_room.refused()),
        ),
        Sample::gauge(
            "database_bytes",
            "Length of the file",
            whole(|stats| stats.database_bytes),
        ),
        Sample::gauge(
            "wal_bytes",
            "Length of the WAL beside it",
            whole(|stats| stats.wal_bytes),
        ),
    ]
}

/// A clock that was set back makes nothing younger than now.
fn seconds(ms: i64) -> u64 {
    u64::try_from(ms / 1000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_are_for_those_who_ask_for_them() {
        let format = |accept: &[&str]| {
            let mut headers = HeaderMap::new();
            for field in accept {
                headers.append(ACCEPT, field.parse().unwrap());
            }
            accepted(&headers)
        };
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for asks in [
            &[prometheus][..],
            &["application/openmetrics-text"],
            &["text/plain", "Application/OpenMetrics-Text; version=1.0.0"],
        ] {
            assert_eq!(format(asks), Format::OpenMetrics, "{asks:?}");
        }
        for does_not in [
            &[][..],
            &["*/*"],
            &["text/plain"],
            &["application/openmetrics-text;q=0"],
            &["text/plain;q=0.9, application/openmetrics-text;q=0.5"],
            &["text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"],
        ] {
            assert_eq!(format(does_not), Format::Plain, "{does_not:?}");
        }
    }
}
