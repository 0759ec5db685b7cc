//! The numbers of store and doors that are looked up when the metrics are asked for.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::clock::now;
use crate::door::DoorMetrics;
use crate::metrics::{Sample, Sampled};
use crate::store::Store;

pub(super) struct StoreSamples(pub(super) Store);

impl Sampled for StoreSamples {
    fn sample(&self) -> Vec<Sample> {
        let (events, bytes) = self.0.queued();
        let gauges = [
            (
                "durable_seq",
                "Newest event on the disk",
                self.0.durable().0,
            ),
            (
                "projected_seq",
                "Newest event that readers see",
                self.0.projected().0,
            ),
            (
                "lag_events",
                "Events that the projections are behind the log",
                self.0.lag(),
            ),
            (
                "queue_events",
                "Deliveries that wait for the writer",
                events as u64,
            ),
            (
                "queue_bytes",
                "Bytes that wait for the writer",
                bytes as u64,
            ),
            (
                "ready",
                "1 when events can be taken and shown",
                u64::from(self.0.trouble().is_none()),
            ),
        ];
        let sample = |(name, help, value)| Sample {
            name,
            help,
            grows: false,
            values: vec![(None, value)],
        };
        let mut samples: Vec<_> = gauges.into_iter().map(sample).collect();
        samples.extend(backup_samples(&self.0));
        samples
    }
}

fn backup_samples(store: &Store) -> [Sample; 4] {
    let backups = store.backups();
    let (made, failed) = backups.counts();
    let last = backups.last().map(|last| last.manifest.at);
    let sample = |name, help, grows, value: Option<u64>| Sample {
        name,
        help,
        grows,
        values: value.map(|value| (None, value)).into_iter().collect(),
    };
    // A clock that was set back makes no backup younger than now.
    let seconds = |ms: i64| u64::try_from(ms / 1000).unwrap_or(0);
    [
        sample("backups", "Backups made since the start", true, Some(made)),
        sample(
            "backup_failures",
            "Backups that failed since the start",
            true,
            Some(failed),
        ),
        sample(
            "last_backup_timestamp_seconds",
            "When the last backup was made",
            false,
            last.map(|at| seconds(at.0)),
        ),
        sample(
            "last_backup_age_seconds",
            "How old the last backup is",
            false,
            last.map(|at| seconds(now().ms_since(at))),
        ),
    ]
}

pub(super) struct DoorSamples(pub(super) Vec<(&'static str, Arc<DoorMetrics>)>);

impl Sampled for DoorSamples {
    fn sample(&self) -> Vec<Sample> {
        let sample = |name, help, grows, read: fn(&DoorMetrics) -> u64| Sample {
            name,
            help,
            grows,
            values: self
                .0
                .iter()
                .map(|(door, metrics)| (Some(*door), read(metrics)))
                .collect(),
        };
        vec![
            sample("door_connections", "Open connections", false, |door| {
                door.connections.load(Relaxed)
            }),
            sample("door_accepted", "Connections accepted", true, |door| {
                door.accepted.load(Relaxed)
            }),
            sample(
                "door_accept_errors",
                "Errors while accepting",
                true,
                |door| door.accept_errors.load(Relaxed),
            ),
            sample(
                "door_evicted",
                "Connections closed to make room",
                true,
                |door| door.evicted.load(Relaxed),
            ),
            sample(
                "door_refused",
                "Requests refused for their framing",
                true,
                |door| door.refused.load(Relaxed),
            ),
            sample(
                "door_head_timeouts",
                "Heads that did not come in time",
                true,
                |door| door.head_timeouts.load(Relaxed),
            ),
            sample(
                "door_idle_timeouts",
                "Idle connections closed",
                true,
                |door| door.idle_timeouts.load(Relaxed),
            ),
            sample(
                "door_body_timeouts",
                "Bodies that did not come in time",
                true,
                |door| door.body_timeouts.load(Relaxed),
            ),
            sample(
                "door_write_timeouts",
                "Answers that were not taken in time",
                true,
                |door| door.write_timeouts.load(Relaxed),
            ),
            sample(
                "door_aborted",
                "Connections cut off by a stop",
                true,
                |door| door.aborted.load(Relaxed),
            ),
        ]
    }
}
