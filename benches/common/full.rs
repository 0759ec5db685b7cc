//! A file with many events in it, filled through the store. It takes long, so it may be kept for the next run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use waldo_syncd::domain::Source;
use waldo_syncd::store::{Delivery, Options, Store, StoreThread};

use super::deliveries::Sender;
use super::{Result, tell};

/// Appenders that fill the file: as many as share a commit.
const FILLERS: usize = 1024;
/// For the rows of the last appends.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(1200);

/// A folder whose `data` holds at least so many events: in `folder`, or where `WALDO_SYNCD_BENCH_KEEP` says, and then as
/// an earlier run left it.
pub fn folder_with(events: u64, folder: &Path) -> Result<PathBuf> {
    let kept = std::env::var_os("WALDO_SYNCD_BENCH_KEEP").map(PathBuf::from);
    let place = kept
        .as_deref()
        .unwrap_or(folder)
        .join(format!("events-{events}"));
    let (store, thread) = open(&place.join("data"))?;
    let missing = events.saturating_sub(store.durable().0);
    if missing > 0 {
        tell(&format!("filling a file with {missing} events"));
        fill(&store, missing)?;
    }
    thread.stop(&store);
    Ok(place)
}

pub fn open(directory: &Path) -> Result<(Store, StoreThread)> {
    Ok(Store::open(Options {
        directory: directory.to_owned(),
        queue_events: 10_000,
        queue_bytes: 64 << 20,
        max_lag: u64::MAX,
        clock: waldo_syncd::clock::now,
    })?)
}

fn fill(store: &Store, events: u64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let left = Arc::new(AtomicU64::new(events));
        let mut tasks = JoinSet::new();
        for _ in 0..FILLERS {
            let (store, left) = (store.clone(), Arc::clone(&left));
            tasks.spawn(async move {
                let mut sender = Sender::new("");
                let one_less = |left: u64| left.checked_sub(1);
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
                    .is_ok()
                {
                    let body = Bytes::copy_from_slice(sender.next_body());
                    store.append(Delivery::whole(Source::Webhook, body)).await?;
                }
                Ok::<_, waldo_syncd::store::StoreError>(())
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        store
            .wait_projected(store.durable(), CAUGHT_UP_WITHIN)
            .await?;
        Ok(())
    })
}
