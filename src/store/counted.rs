//! What the store counts of its own work; whoever serves the metrics shows it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

use super::sums::Sums;
use crate::domain::Disposition;
use crate::metrics::Tally;

/// What the store counts since its start.
#[derive(Debug)]
pub struct Counted {
    /// Events that shared a commit of the log.
    pub commit_events: Histogram,
    /// How long such a commit took, from its first row to its end on the disk.
    pub commit_seconds: Histogram,
    /// How long it took to fold a slice of the log into the tables.
    pub slice_seconds: Histogram,
    /// Commits of the log that failed.
    pub failed_commits: AtomicU64,
    /// Events at hand for the projector.
    pub ahead_events: AtomicU64,
    /// Events by what the rules made of them.
    pub dispositions: Tally,
}

impl Default for Counted {
    fn default() -> Self {
        let seconds = || {
            Histogram::new([
                0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
            ])
        };
        Self {
            commit_events: Histogram::new([
                1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0,
            ]),
            commit_seconds: seconds(),
            slice_seconds: seconds(),
            failed_commits: AtomicU64::new(0),
            ahead_events: AtomicU64::new(0),
            dispositions: Tally::over(Disposition::ALL.iter().map(|word| word.as_str())),
        }
    }
}

impl Counted {
    /// A commit of the log has ended.
    pub(super) fn commit(&self, events: usize, took: Duration, is_ok: bool) {
        if is_ok {
            // No commit has more events than a float can hold exactly.
            #[allow(clippy::cast_precision_loss)]
            self.commit_events.observe(events as f64);
            self.commit_seconds.observe(took.as_secs_f64());
        } else {
            self.failed_commits.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// So many events are at hand for the projector.
    pub(super) fn ahead(&self, events: usize) {
        self.ahead_events.store(events as u64, Ordering::Relaxed);
    }

    /// A slice of the log is in the tables.
    pub(super) fn slice(&self, sums: &Sums, took: Duration) {
        self.slice_seconds.observe(took.as_secs_f64());
        for (disposition, events) in sums.dispositions() {
            self.dispositions.add(disposition, events);
        }
    }
}
