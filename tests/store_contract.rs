//! What every store promises, asked of `Store` alone: durable when answered, one point for log and rows, no gap, no loss.
//!
//! Faults are made by a connection of the test's own to the file; nothing waits for a time to pass but the store itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

#[path = "store_contract/append.rs"]
mod append;
#[path = "store_contract/customers.rs"]
mod customers;
#[path = "store_contract/feed.rs"]
mod feed;
#[path = "store_contract/file.rs"]
mod file;
#[path = "store_contract/requests.rs"]
mod requests;
#[path = "store_contract/trouble.rs"]
mod trouble;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;
use waldo_syncd::domain::view::EventView;
use waldo_syncd::domain::{Seq, Source, Timestamp};
use waldo_syncd::store::{
    Delivery, FILE_NAME, FeedFilter, Options, Order, Store, StoreError, StoreThread, check_file,
};

use common::bodies::Body;

const PATIENCE: Duration = Duration::from_secs(30);

/// A clock that moves with every look at it, so that no two commits have one time.
fn ticking() -> Timestamp {
    static NOW: AtomicI64 = AtomicI64::new(1_764_000_000_000);
    Timestamp(NOW.fetch_add(1_000, Ordering::Relaxed))
}

fn options(directory: &Path) -> Options {
    Options {
        directory: directory.to_owned(),
        queue_events: 10_000,
        queue_bytes: 64 << 20,
        max_lag: 100_000,
        clock: ticking,
    }
}

/// An open store in a folder of its own.
struct Opened {
    store: Store,
    thread: StoreThread,
    folder: Arc<TempDir>,
}

impl Opened {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(set: impl FnOnce(&mut Options)) -> Self {
        let folder = Arc::new(TempDir::with_prefix("wsd-store-").unwrap());
        let mut options = options(folder.path());
        set(&mut options);
        let (store, thread) = Store::open(options).unwrap();
        Self {
            store,
            thread,
            folder,
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join(FILE_NAME)
    }

    fn stop(self) -> Arc<TempDir> {
        self.thread.stop(&self.store);
        self.folder
    }

    fn reopened(self) -> Self {
        let folder = self.stop();
        let (store, thread) = Store::open(options(folder.path())).unwrap();
        Self {
            store,
            thread,
            folder,
        }
    }

    /// A connection that may hold the file up.
    fn connection(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.file()).unwrap();
        connection.busy_timeout(PATIENCE).unwrap();
        connection
    }
}

fn delivery(body: impl Body) -> Delivery {
    Delivery::whole(Source::Webhook, body.bytes().into())
}

/// Appends a body and waits until it is visible.
async fn shown(store: &Store, body: impl Body) -> Seq {
    let seq = store.append(delivery(body)).await.unwrap();
    store.wait_projected(seq, PATIENCE).await.unwrap();
    seq
}

/// Appends many bodies from many tasks at once; what was appended under which seq.
async fn appended_at_once(
    store: &Store,
    tasks: usize,
    each: usize,
    body: fn(usize, usize) -> Value,
) -> BTreeMap<Seq, Vec<u8>> {
    let mut appenders = JoinSet::new();
    for task in 0..tasks {
        let store = store.clone();
        appenders.spawn(async move {
            let mut seqs = Vec::new();
            for n in 0..each {
                let body = body(task, n).bytes();
                seqs.push((store.append(delivery(body.clone())).await.unwrap(), body));
            }
            assert!(
                seqs.is_sorted_by(|a, b| a.0 < b.0),
                "seqs of one appender do not increase"
            );
            seqs
        });
    }
    let mut all = BTreeMap::new();
    while let Some(seqs) = appenders.join_next().await {
        for (seq, body) in seqs.unwrap() {
            assert_eq!(all.insert(seq, body), None, "seq {seq} was given twice");
        }
    }
    all
}

/// Every event of the feed, page by page.
async fn feed(
    store: &Store,
    filter: FeedFilter,
    order: Order,
    limit: usize,
) -> Result<Vec<EventView>, StoreError> {
    let (mut events, mut after) = (Vec::new(), None);
    loop {
        let page = store
            .events(filter.clone(), after, order, limit)
            .await?
            .value;
        assert!(page.items.len() <= limit);
        let full = page.items.len() == limit;
        events.extend(page.items);
        assert!(events.len() < 100_000, "paging never ends");
        after = Some(page.next);
        if !full {
            return Ok(events);
        }
    }
}

async fn whole_feed(store: &Store) -> Vec<EventView> {
    feed(store, FeedFilter::default(), Order::Ascending, 1000)
        .await
        .unwrap()
}

fn seqs(events: &[EventView]) -> Vec<u64> {
    events.iter().map(|event| event.event.seq.0).collect()
}

/// No gap, no fault in the chain or in SQLite's own structure.
#[track_caller]
fn assert_whole(file: &Path, events: u64) {
    let report = check_file(file, None, &mut |_, _, _| {}).unwrap();
    assert_eq!(report.faults, Vec::<String>::new());
    assert_eq!(report.events, events);
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
