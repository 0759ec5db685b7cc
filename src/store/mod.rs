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
mod export;
mod feed;
mod header;
mod indexes;
mod leash;
mod lists;
mod maintain;
mod manifest;
mod news;
mod objects;
mod project;
mod prune;
mod raw;
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

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use crate::domain::{Digest, Disposition, Operation, Seq, Source, State, Timestamp};

pub use backup::{BackupError, backup_file};
pub use backups::{Backups, Running};
pub use check::{CheckReport, check_file};
pub use counted::Counted;
pub use customers::{AsOf, CustomerFilter, CustomerSort};
pub use erase::{Certificate, erase_file, reapply_erasures};
pub use erased::{ERASED_FILE, ErasedEvent, HashedId};
pub use export::{Exported, Exports, export_file, newest_event};
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
use raw::RawFile;
use readers::Readers;
use writer::{Append, Command, Health};

/// What went wrong, in kinds that the edge can tell apart. The driver's words are for the log.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// As much is waiting to be written as may wait.
    #[error("the queue of the writer is full")]
    QueueFull,
    /// The projections are too far behind the log.
    #[error("the projections are {lag} events behind the log, more than the {max_lag} allowed")]
    Lagging {
        /// How far behind.
        lag: u64,
        /// How far they may be.
        max_lag: u64,
    },
    /// Nothing can be written at present.
    #[error("the file cannot be written at present: {0}")]
    Unavailable(String),
    /// The name no longer leads to the file that is open.
    #[error(
        "{} was removed or replaced while it was open; nothing more is taken, put the right file there and start again",
        .0.display()
    )]
    Replaced(PathBuf),
    /// The writer gives no sign of life.
    #[error("the writer does not answer")]
    NoAnswer,
    /// What was told contradicts what is known.
    #[error("{0}")]
    Conflict(String),
    /// The point in the log that was asked for did not become visible in time.
    #[error("event {0} is not visible yet")]
    NotReached(Seq),
    /// The data directory cannot be made, opened or locked.
    #[error(
        "cannot use the data directory {}: {source}; name one that this user can read and write with --data-dir",
        path.display()
    )]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be made.
    #[error("cannot create {}: {source}; this user must be able to write in that directory", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be opened.
    #[error("cannot open {}: {source}; it must be a file that this user can read and write", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// Another process has the data directory.
    #[error("another waldo-syncd works in {}; stop it first, or give this one its own --data-dir", .0.display())]
    InUse(PathBuf),
    /// The file is no SQLite file, or another program's.
    #[error("{} is not a waldo-syncd database; move it away, or name another --data-dir", .0.display())]
    NotOurs(PathBuf),
    /// SQLite finds that the file is not what it wrote.
    #[error(
        "{} is damaged: {source}; `waldo-syncd restore` puts a backup in its place",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file can be read only.
    #[error(
        "{} cannot be written: its owner or its mode forbids it, or its file system can only be read",
        .0.display()
    )]
    ReadOnly(PathBuf),
    /// The file was written by a newer program.
    #[error(
        "{} has schema {found}, this program knows {known}: it was written by a newer waldo-syncd; install that version \
         or restore a backup of before the upgrade", path.display()
    )]
    NewerSchema {
        /// Which file.
        path: PathBuf,
        /// The schema it has.
        found: i32,
        /// The schema this program has.
        known: i32,
    },
    /// The SQLite library is one that may corrupt the file.
    #[error("SQLite {0} may corrupt files of this kind; 3.51.3 or later is needed")]
    OldSqlite(String),
    /// A setting did not take.
    #[error("SQLite did not take the setting {name} = {asked}: it says {got}")]
    Setting {
        /// Which.
        name: &'static str,
        /// What was asked for.
        asked: String,
        /// What it is.
        got: String,
    },
    /// The file does not hold what this program writes.
    #[error("the file is damaged: {0}")]
    Corrupt(String),
    /// The driver refused.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
}

impl StoreError {
    /// Names the file, where SQLite found it damaged.
    pub(crate) fn of_file(self, path: &Path) -> Self {
        match self {
            Self::Sqlite(source) if is_damage(&source) => Self::Damaged {
                path: path.to_owned(),
                source,
            },
            other => other,
        }
    }

    /// Whether what SQLite knows of the file is as good as before: the disk was full, or another process held the file.
    pub(crate) fn is_passing(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull};
        let code = match self {
            Self::Sqlite(error) => error.sqlite_error_code(),
            _ => None,
        };
        matches!(code, Some(DatabaseBusy | DatabaseLocked | DiskFull))
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt)
}

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

/// What an app tells of a request.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Waldo's id of the call.
    pub request_id: String,
    /// The kind of call.
    pub operation: Operation,
    /// The customer it is about, if known.
    pub customer_id: Option<String>,
    /// The company's own id of that customer.
    pub external_id: Option<String>,
    /// The evaluation types to wait for.
    pub expects: Vec<String>,
    /// JSON of the app's own, as text.
    pub context: Option<Box<serde_json::value::RawValue>>,
    /// When the outcome is due, after now.
    pub deadline: Duration,
}

/// What became of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its place in the log.
    pub seq: Seq,
    /// Whether the request was not registered before.
    pub new: bool,
}

/// What waits for the writer, and how much may.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    events: AtomicUsize,
    bytes: AtomicUsize,
}

/// The points that the writer publishes.
#[derive(Debug)]
pub(crate) struct Points {
    counted: Arc<Counted>,
    durable: AtomicU64,
    projected: watch::Sender<Seq>,
    /// Whether the projections were too far behind at the start and have not come near the log's end since. What is
    /// behind then has come before, and is no reason to refuse what comes.
    catching_up: AtomicBool,
    health: watch::Sender<Health>,
    stopped: watch::Sender<bool>,
}

impl Points {
    /// How many events the projections are behind the log.
    fn lag(&self) -> u64 {
        let durable = self.durable.load(Ordering::Acquire);
        durable.saturating_sub(self.projected.borrow().0)
    }
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
    /// by other rules are made again from the log meanwhile: reads see them grow.
    ///
    /// # Errors
    /// When the directory is in use, or the file cannot be opened, is not ours, or is newer than this program.
    pub fn open(options: Options) -> Result<(Self, StoreThread), StoreError> {
        let lock = DirectoryLock::take(&options.directory)?;
        maintain::sweep(&options.directory);
        let path = options.directory.join(FILE_NAME);
        schema::prepare(&path)
            .and_then(|()| erase::complete(&path, &mut |_, _| {}))
            .and_then(|()| maintain::begin_anew(&path))
            .map_err(|error| error.of_file(&path))?;
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

    /// Registers a request that an app waits for, and returns once that is durable and visible.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the request is known with another operation or customer; else as [`Self::append`].
    pub async fn register(&self, registration: Registration) -> Result<Registered, StoreError> {
        let mut fact = serde_json::json!({
            "event": "request.registered",
            "requestId": registration.request_id,
            "operation": registration.operation,
            "deadlineSeconds": registration.deadline.as_secs(),
        });
        let members = [
            ("customerId", registration.customer_id.map(Into::into)),
            ("externalId", registration.external_id.map(Into::into)),
            (
                "expects",
                (!registration.expects.is_empty()).then(|| registration.expects.into()),
            ),
        ];
        for (name, value) in members {
            if let Some(value) = value {
                fact[name] = value;
            }
        }
        let mut text = fact.to_string();
        if let Some(context) = registration.context {
            // The app's own JSON goes in as it came, digit for digit.
            text.truncate(text.len().saturating_sub(1));
            text.push_str(",\"context\":");
            text.push_str(context.get());
            text.push('}');
        }
        let seq = self.append_fact(text).await?;
        self.no_conflict(seq).await?;
        let request = self.request(registration.request_id).await?;
        let new = request
            .value
            .is_some_and(|row| row.request.registered_seq == Some(seq));
        Ok(Registered { seq, new })
    }

    /// Records Waldo's answer to a call (`gateway`) or to a question (`poll`), as [`crate::domain::answer::outcome`]
    /// reduced it, and returns once it is durable; it is usually visible then too.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn record_answer(&self, source: Source, outcome: String) -> Result<Seq, StoreError> {
        let seq = self.append(Delivery::whole(source, outcome.into())).await?;
        match self.wait_projected(seq, VISIBLE_WITHIN).await {
            // It is on the disk, and that is all that the answer has to wait for.
            Ok(()) | Err(StoreError::NotReached(_)) => Ok(seq),
            Err(error) => Err(error),
        }
    }

    /// Notes that an app calls Waldo's flag endpoint, so that the webhook it causes is known as its echo; or, withdrawn,
    /// that the call it noted last was not made.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn note_flag_call(
        &self,
        customer_id: &str,
        flag: bool,
        withdrawn: bool,
    ) -> Result<Seq, StoreError> {
        let mut fact =
            serde_json::json!({ "event": "flag.called", "customerId": customer_id, "flag": flag });
        if withdrawn {
            fact["withdrawn"] = true.into();
        }
        self.append_fact(fact.to_string()).await
    }

    /// Settles a request by hand; `None` when no such request is known.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is settled already; else as [`Self::append`].
    pub async fn settle(
        &self,
        request_id: &str,
        state: State,
        note: Option<&str>,
    ) -> Result<Option<Seq>, StoreError> {
        if self.request(request_id.to_owned()).await?.value.is_none() {
            return Ok(None);
        }
        let fact = serde_json::json!({
            "event": "request.settled", "requestId": request_id, "state": state, "note": note,
        });
        let seq = self.append_fact(fact.to_string()).await?;
        self.no_conflict(seq).await?;
        Ok(Some(seq))
    }

    /// What the rules found to contradict what is known is told to the app; it stays in the log as what it is.
    async fn no_conflict(&self, seq: Seq) -> Result<(), StoreError> {
        let verdict = self.verdict(seq).await?;
        match verdict.disposition {
            Disposition::Stale => Err(StoreError::Conflict(verdict.problems.join("; "))),
            _ => Ok(()),
        }
    }

    /// Appends what an app told and waits until it is visible.
    async fn append_fact(&self, fact: String) -> Result<Seq, StoreError> {
        let seq = self
            .append(Delivery::whole(Source::Control, fact.into()))
            .await?;
        self.wait_projected(seq, VISIBLE_WITHIN).await?;
        Ok(seq)
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

/// How long a fact that an app told may take to become visible.
const VISIBLE_WITHIN: Duration = Duration::from_secs(5);

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

impl Queue {
    fn enter(&self, bytes: usize, options: &Options) -> Result<(), StoreError> {
        let events = self.events.fetch_add(1, Ordering::AcqRel);
        let waiting = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        // One delivery always fits, however large a body the door takes.
        let full = events >= options.queue_events
            || (waiting > 0 && waiting.saturating_add(bytes) > options.queue_bytes);
        if full {
            self.leave(1, bytes);
            return Err(StoreError::QueueFull);
        }
        Ok(())
    }

    fn leave(&self, events: usize, bytes: usize) {
        self.events.fetch_sub(events, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}
