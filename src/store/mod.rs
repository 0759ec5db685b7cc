//! The store: an append-only log of what happened and the rows that follow from it, in one SQLite file.
//!
//! What every store promises, whatever is behind it:
//! - an append is answered when it is durable, and not before;
//! - readers see log and projections at one point, `projected`; nobody sees an event before those with a lower seq;
//! - the tail is a hint: whoever waits for it reads again.
//!
//! `Store` is the seam: no SQL, no row id and no driver's type is in its signatures.

mod ahead;
mod backup;
mod backups;
mod brief;
mod check;
mod checkpoint;
mod counted;
mod customers;
mod disk;
mod erase;
mod erased;
mod error;
mod export;
mod facts;
mod feed;
mod header;
mod indexes;
mod leash;
mod links;
mod lists;
mod maintain;
mod manifest;
mod news;
mod objects;
mod open;
mod points;
mod project;
mod prune;
mod raw;
mod readable;
mod readers;
mod requests;
mod restore;
mod rows;
mod schema;
mod shown;
mod stats;
mod step;
mod sums;
mod workplace;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::domain::{Digest, Seq, Source, Timestamp};

pub use backup::{BackupError, backup_file};
pub use backups::{Backups, Running};
pub use check::{CheckReport, check_file};
pub use counted::Counted;
pub use customers::{AsOf, CustomerFilter, CustomerSort};
pub use erase::{Certificate, erase_file, reapply_erasures};
pub use erased::{ERASED_FILE, ErasedEvent, HashedId, warning_of_list};
pub use error::StoreError;
pub use export::{Exported, Exports, export_file, newest_event};
pub use facts::{Registered, Registration};
pub use feed::{Feed, FeedFilter, Order, PageLimit};
pub use lists::{Listed, Page};
pub use maintain::{Difference, Progress, rebuild_file};
pub use manifest::{Backup, Manifest, folder_of, keep_newest, last_backup, newest_in, sync_folder};
pub use prune::{Pruned, prune_file};
pub use requests::{RequestFilter, RequestRow};
pub use restore::{RestoreError, Restored, restore_file};
pub use schema::{DirectoryLock, FILE_NAME};
pub use shown::ShownCustomer;
pub use stats::{Stats, StatsBucket};
pub use step::{Step, Steps};

use news::News;
use points::{Points, Queue};
use raw::RawFile;
use readers::Readers;
use writer::{Append, Command};

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory.
    pub directory: PathBuf,
    /// Deliveries that may wait for the writer.
    pub queue_events: usize,
    /// Bytes of bodies that may wait for the writer.
    pub queue_bytes: usize,
    /// Events that the projections may be behind before appends are refused.
    pub max_lag: u64,
    /// Where the time of an event comes from.
    pub clock: fn() -> Timestamp,
}

/// One body to be kept.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// How it came.
    pub source: Source,
    /// The body, or the beginning of one that was too large.
    pub body: Bytes,
    /// Bytes that arrived.
    pub size: u64,
    /// SHA-256 of what arrived.
    pub digest: Digest,
}

impl Delivery {
    /// A body that arrived whole.
    #[must_use]
    pub fn whole(source: Source, body: Bytes) -> Self {
        Self {
            source,
            size: body.len() as u64,
            digest: Digest::of(&body),
            body,
        }
    }
}

/// Something read, and the point in the log at which it was read.
#[derive(Clone, Debug)]
pub struct At<T> {
    /// The point.
    pub seq: Seq,
    /// What was read.
    pub value: T,
}

/// A handle to the store; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Options,
    path: PathBuf,
    queue: Arc<Queue>,
    points: Arc<Points>,
    commands: std::sync::mpsc::Sender<Command>,
    readers: Readers,
    news: News,
    backups: Arc<Backups>,
    /// Erasures go one after the other, for they share a list.
    erasing: tokio::sync::Mutex<()>,
    /// The last of these fields: it is closed when no connection is open any more.
    raw: Arc<RawFile>,
}

/// The store's thread and its lock on the directory; whoever opened the store stops it with this.
#[derive(Debug)]
pub struct StoreThread {
    thread: std::thread::JoinHandle<()>,
    _lock: DirectoryLock,
}

impl Store {
    /// Opens the store in a directory, making both if there is none, and starts its writer. Projections that were made
    /// by other rules, or whose tables are not as we make them, are made again from the log meanwhile: reads see them grow.
    ///
    /// # Errors
    /// When the directory is in use, or the file cannot be opened, is not ours, is newer than this program, or has
    /// something else in its schema that is not as we make it.
    pub fn open(options: Options) -> Result<(Self, StoreThread), StoreError> {
        let lock = DirectoryLock::take(&options.directory)?;
        maintain::sweep(&options.directory);
        let path = options.directory.join(FILE_NAME);
        if let Some(warning) = erased::warning_of_list(&options.directory) {
            log::warn!("{warning}");
        }
        schema::prepare(&path)
            .and_then(|()| maintain::begin_anew(&path))
            .map_err(|error| error.of_file(&path))?;
        match erase::complete(&path, &mut |_, _| {}) {
            // Its rows are gone. Webhooks are not to wait for whoever reads what is left of them in the WAL.
            Err(StoreError::Unavailable(reason)) => {
                log::warn!(
                    "an erasure is not at its end yet, the next start goes on with it: {reason}"
                );
            }
            other => other.map_err(|error| error.of_file(&path))?,
        }
        let raw = Arc::new(RawFile::open(&path)?);
        let queue = Arc::new(Queue::default());
        let (commands, receiver) = std::sync::mpsc::channel();
        let writer = writer::Writer::open(
            &path,
            Arc::clone(&raw),
            options.clock,
            Arc::clone(&queue),
            receiver,
        )
        .map_err(|error| error.of_file(&path))?;
        let points = writer.points();
        let behind = points.lag();
        points
            .catching_up
            .store(behind > options.max_lag, Ordering::Release);
        let readers = Readers::open(&path, Arc::clone(&raw))?;
        let held = Arc::clone(&raw);
        let work = move || {
            writer.run();
            // After the last connection of the writer's.
            drop(held);
        };
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(work)
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let inner = Inner {
            backups: Arc::new(Backups::of(&options.directory)),
            options,
            path,
            queue,
            points,
            commands,
            readers,
            news: News::default(),
            erasing: tokio::sync::Mutex::default(),
            raw,
        };
        Ok((
            Self {
                inner: Arc::new(inner),
            },
            StoreThread {
                thread,
                _lock: lock,
            },
        ))
    }

    /// Appends a body to the log and returns its seq once it is durable.
    ///
    /// # Errors
    /// [`StoreError::QueueFull`], [`StoreError::Lagging`], [`StoreError::Unavailable`]: nothing was acknowledged, and
    /// the same delivery may be tried again.
    pub async fn append(&self, delivery: Delivery) -> Result<Seq, StoreError> {
        let inner = &*self.inner;
        let lag = self.lag();
        // A rule that fails holds up the projections, never the intake; nor does making them again.
        if lag > inner.options.max_lag
            && !inner.points.catching_up.load(Ordering::Acquire)
            && inner.points.health.borrow().halt.is_none()
        {
            return Err(StoreError::Lagging {
                lag,
                max_lag: inner.options.max_lag,
            });
        }
        let bytes = delivery.body.len();
        inner.queue.enter(bytes, &inner.options)?;
        let (reply, receipt) = oneshot::channel();
        if inner
            .commands
            .send(Command::Append(Box::new(Append {
                read: ahead::read(&delivery),
                delivery,
                reply,
            })))
            .is_err()
        {
            inner.queue.leave(1, bytes);
            return Err(StoreError::Unavailable("the writer has stopped".to_owned()));
        }
        receipt
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("the writer has stopped".to_owned())))
    }

    /// The newest event that is on the disk.
    #[must_use]
    pub fn durable(&self) -> Seq {
        Seq(self.inner.points.durable.load(Ordering::Acquire))
    }

    /// The newest event that readers see.
    #[must_use]
    pub fn projected(&self) -> Seq {
        *self.inner.points.projected.borrow()
    }

    /// How many events the projections are behind the log.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.inner.points.lag()
    }

    /// Waits until an event is visible.
    ///
    /// # Errors
    /// [`StoreError::NotReached`] when it is not within `patience`.
    pub async fn wait_projected(&self, seq: Seq, patience: Duration) -> Result<(), StoreError> {
        let mut points = self.inner.points.projected.subscribe();
        let reached = points.wait_for(|projected| *projected >= seq);
        match tokio::time::timeout(patience, reached).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(StoreError::NotReached(seq)),
        }
    }

    /// Why the store is not ready to take and show events; `None` when it is.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let health = self.inner.points.health.borrow().clone();
        let lag = self.lag();
        let max_lag = self.inner.options.max_lag;
        if *self.inner.points.stopped.borrow() {
            return Some("the writer has stopped".to_owned());
        }
        let lagging = || {
            if self.inner.points.catching_up.load(Ordering::Acquire) {
                let (projected, durable) = (self.projected(), self.durable());
                return format!(
                    "the tables are being made again from the log, up to event {projected} of {durable} by now; \
                     webhooks are taken meanwhile"
                );
            }
            StoreError::Lagging { lag, max_lag }.to_string()
        };
        health.trouble().or_else(|| (lag > max_lag).then(lagging))
    }

    /// Asks the writer for a sign of life and whether it can commit.
    ///
    /// # Errors
    /// When it cannot, or does not answer within `patience`.
    pub async fn checkup(&self, patience: Duration) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.inner.commands.send(Command::Checkup { reply });
        sent.map_err(|_| StoreError::Unavailable("the writer has stopped".to_owned()))?;
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(answer)) => answer,
            _ => Err(StoreError::NoAnswer),
        }
    }

    /// What the store counts of its own work.
    #[must_use]
    pub fn counted(&self) -> &Counted {
        &self.inner.points.counted
    }

    /// The version of SQLite that is built in.
    #[must_use]
    pub fn sqlite_version() -> &'static str {
        rusqlite::version()
    }

    /// How the store was opened, its limits among it.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// Bytes that are free for this process where the file is; `None` where the system does not tell.
    #[must_use]
    pub fn free_bytes(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.inner.options.directory).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// What waits for the writer: deliveries and bytes.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        let queue = &self.inner.queue;
        (
            queue.events.load(Ordering::Relaxed),
            queue.bytes.load(Ordering::Relaxed),
        )
    }

    /// Waits until the writer has ended, which it does only when told to, or by a fault.
    pub async fn stopped(&self) {
        let mut stopped = self.inner.points.stopped.subscribe();
        // An error means that the writer is gone, which is what is waited for.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }
}

impl StoreThread {
    /// Stops the writer after what is queued: projects it, empties the WAL into the file and closes it. Blocks.
    pub fn stop(self, store: &Store) {
        store.inner.readers.close();
        // A reader in the WAL would keep the writer from emptying it.
        store.inner.backups.end();
        // A writer that is gone already needs no telling.
        let _ = store.inner.commands.send(Command::Stop);
        if self.thread.join().is_err() {
            log::error!("the writer ended by a fault; the log is as its last commit left it");
        }
    }
}
