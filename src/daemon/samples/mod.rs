//! Numbers that are looked up when the metrics are asked for.

mod doors;
mod outbound;
mod process;
mod store;

use std::sync::Arc;

use crate::door::DoorMetrics;
use crate::http::errands::Errands;
use crate::metrics::Metrics;
use crate::store::Store;

use doors::DoorSamples;
use outbound::OutboundSamples;
use process::ProcessSamples;
use store::StoreSamples;

/// Has the metrics show the store, the doors, what calls Waldo, and the process.
pub(super) fn register(
    metrics: &Metrics,
    store: &Store,
    doors: Vec<(&'static str, Arc<DoorMetrics>)>,
    errands: &Arc<Errands>,
) {
    let counted = store.counted();
    for (name, help, histogram) in [
        (
            "commit_events",
            "Events that shared a commit of the log",
            &counted.commit_events,
        ),
        (
            "commit_seconds",
            "Time that a commit of the log took, to its end on the disk",
            &counted.commit_seconds,
        ),
        (
            "slice_seconds",
            "Time that it took to fold a slice of the log into the tables",
            &counted.slice_seconds,
        ),
    ] {
        metrics.histogram(name, help, histogram.clone());
    }
    let facts = vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("sqlite", Store::sqlite_version().to_owned()),
    ];
    metrics.info("build", "Which program this is", facts);
    metrics.sample(Arc::new(ProcessSamples::new()));
    metrics.sample(Arc::new(StoreSamples(store.clone())));
    metrics.sample(Arc::new(DoorSamples::new(doors, Arc::clone(errands))));
    metrics.sample(Arc::new(OutboundSamples(Arc::clone(errands))));
}
