//! How the writer stands, and what it has done.

use std::sync::atomic::Ordering::Relaxed;

use crate::clock::now;
use crate::metrics::{Number, Sample, Sampled};
use crate::store::Store;

pub(super) struct StoreSamples(pub(super) Store);

impl Sampled for StoreSamples {
    fn sample(&self) -> Vec<Sample> {
        let store = &self.0;
        let (events, bytes) = store.queued();
        let options = store.options();
        let counted = store.counted();
        let gauge = |name, help, value| Sample::gauge(name, help, Number::Whole(value));
        let mut samples = vec![
            gauge("durable_seq", "Newest event on the disk", store.durable().0),
            gauge(
                "projected_seq",
                "Newest event that readers see",
                store.projected().0,
            ),
            gauge(
                "lag_events",
                "Events that the tables are behind the log",
                store.lag(),
            ),
            gauge(
                "max_lag_events",
                "How far the tables may be behind before deliveries are refused",
                options.max_lag,
            ),
            gauge(
                "ahead_events",
                "Events just appended that are at hand for the tables, and not read from the log again",
                counted.ahead_events.load(Relaxed),
            ),
            gauge(
                "queue_events",
                "Deliveries that wait for the writer",
                events as u64,
            ),
            gauge(
                "max_queue_events",
                "Deliveries that may wait for the writer",
                options.queue_events as u64,
            ),
            gauge(
                "queue_bytes",
                "Bytes that wait for the writer",
                bytes as u64,
            ),
            gauge(
                "max_queue_bytes",
                "Bytes that may wait for the writer",
                options.queue_bytes as u64,
            ),
            gauge(
                "ready",
                "1 when events can be taken and shown",
                u64::from(store.trouble().is_none()),
            ),
            Sample::gauge(
                "disk_free_bytes",
                "Bytes that are free for the daemon where the file is",
                store.free_bytes().map(Number::Whole),
            ),
            Sample::counter(
                "commit_failures",
                "Commits of the log that failed",
                Number::Whole(counted.failed_commits.load(Relaxed)),
            ),
            Sample::counters(
                "events",
                "Events that came into the tables since the start, by what the rules made of them",
                "disposition",
                counted.dispositions.numbers(),
            ),
        ];
        samples.extend(backups(store));
        samples
    }
}

fn backups(store: &Store) -> [Sample; 4] {
    let backups = store.backups();
    let (made, failed) = backups.counts();
    // What was not checked is no backup to rely on.
    let last = backups.last().filter(|last| last.manifest.verified);
    let last = last.map(|last| last.manifest.at);
    // A clock that was set back makes no backup younger than now.
    let seconds = |ms: i64| Number::Whole(u64::try_from(ms / 1000).unwrap_or(0));
    [
        Sample::counter(
            "backups",
            "Backups made since the start",
            Number::Whole(made),
        ),
        Sample::counter(
            "backup_failures",
            "Backups that failed since the start",
            Number::Whole(failed),
        ),
        Sample::gauge(
            "last_backup_timestamp_seconds",
            "When the last checked backup was made",
            last.map(|at| seconds(at.0)),
        ),
        Sample::gauge(
            "last_backup_age_seconds",
            "How old the last checked backup is",
            last.map(|at| seconds(now().ms_since(at))),
        ),
    ]
}
