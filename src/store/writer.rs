//! The thread that owns the file's write side: appends what waits, answers, projects, and so on turn by turn.
//!
//! Invariants: an answer `Ok` is given only after the fsync'd commit that holds the event; an error in a commit is the
//! answer to all in it, and nothing is appended again before the WAL was emptied into the file anew, for pages that a
//! failed fsync has dropped must not stand before an acknowledged event. A fault in a rule never stops the intake.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::{TransactionBehavior, params};
use tokio::sync::{oneshot, watch};

use super::ahead::BodyRead;
use super::checkpoint::{move_again, truncate};
use super::counted::Counted;
use super::disk::Disk;
use super::erase::{self, Taken, Wanted};
use super::open::{Head, Identity, Open, identity};
use super::points::{Points, Queue};
use super::project::{Projector, SliceLimits};
use super::prune::{Pruned, take_out};
use super::raw::RawFile;
use super::rows::int;
use super::schema::BUSY_TIMEOUT;
use super::{Delivery, StoreError};
use crate::domain::fold::Event;
use crate::domain::{Seq, Source, Timestamp};

/// Deliveries that share one commit at most.
const MAX_COMMIT_EVENTS: usize = 1024;
/// Bytes of bodies that share one commit at most (one larger body still goes alone).
const MAX_COMMIT_BYTES: usize = 8 << 20;
/// How often a writer in trouble tries again when nobody asks it to.
const RETRY_EVERY: Duration = Duration::from_millis(200);

/// How long an event may wait to be projected, so that others are projected with it.
const PROJECT_WITHIN: Duration = Duration::from_millis(4);
/// The same under load: the more are projected at once, the fewer pages each costs.
const PROJECT_WITHIN_UNDER_LOAD: Duration = Duration::from_millis(10);
/// There is load when so many events wait.
const MANY_EVENTS: u64 = 128;
/// The projections are near the log's end when they are no more events behind it.
const NEAR_EVENTS: u64 = 4096;

/// What the writer is asked to do.
#[derive(Debug)]
pub enum Command {
    /// Keep a body; answered when it is durable.
    Append(Box<Append>),
    /// Take payloads out that were found to be old.
    Prune {
        /// The events.
        seqs: Vec<Seq>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Pruned, StoreError>>,
    },
    /// Take a customer out; answered when neither file nor WAL holds anything of it that SQLite knows of.
    Erase {
        /// Whom, and what else names it.
        wanted: Wanted,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Option<Taken>, StoreError>>,
    },
    /// Say whether commits are possible.
    Checkup {
        /// Where the answer goes.
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
    /// Finish what is queued and end.
    Stop,
}

/// A body to be kept.
#[derive(Debug)]
pub struct Append {
    /// The body.
    pub delivery: Delivery,
    /// What was read of it, unless that is left to the projector.
    pub read: Option<BodyRead>,
    /// Where the answer goes; nobody need be there any more.
    pub reply: oneshot::Sender<Result<Seq, StoreError>>,
}

pub struct Writer {
    path: PathBuf,
    raw: Arc<RawFile>,
    identity: Identity,
    clock: fn() -> Timestamp,
    queue: Arc<Queue>,
    commands: Receiver<Command>,
    points: Arc<Points>,
    projector: Projector,
    /// Since when there is something to project, and whether somebody waits for it to be visible.
    unprojected: Option<Unprojected>,
    open: Option<Open>,
    /// The file is not the one that was opened: this is the end.
    replaced: bool,
}

/// What is on the disk and not in the rows yet.
#[derive(Clone, Copy)]
struct Unprojected {
    since: Instant,
    urgent: bool,
}

impl Writer {
    /// Opens the write side and finds out where log and projections end.
    pub fn open(
        path: &Path,
        raw: Arc<RawFile>,
        clock: fn() -> Timestamp,
        queue: Arc<Queue>,
        commands: Receiver<Command>,
    ) -> Result<Self, StoreError> {
        let mut disk = Disk::open(path)?;
        move_again(disk.log()?, &raw)?;
        let mut open = Open::with(disk, path, Arc::clone(&raw))?;
        let identity = identity(path)?;
        let counted = Arc::new(Counted::default());
        let projector = Projector::resume(open.disk.rows()?)?.counting(&counted);
        let unprojected = (open.head.seq > projector.projected()).then(Unprojected::now);
        let points = Points {
            counted,
            durable: AtomicU64::new(open.head.seq.0),
            projected: watch::Sender::new(projector.projected()),
            catching_up: AtomicBool::new(false),
            health: watch::Sender::default(),
            stopped: watch::Sender::new(false),
        };
        Ok(Self {
            path: path.to_owned(),
            raw,
            identity,
            clock,
            queue,
            commands,
            points: Arc::new(points),
            projector,
            unprojected,
            open: Some(open),
            replaced: false,
        })
    }

    /// Where the writer publishes how far it is.
    pub fn points(&self) -> Arc<Points> {
        Arc::clone(&self.points)
    }

    /// Works until told to stop.
    pub fn run(mut self) {
        let announce = AnnounceEnd(Arc::clone(&self.points));
        let mut batch: Vec<Append> = Vec::new();
        let mut stopping = false;
        while !stopping && !self.replaced {
            stopping = self.gather(&mut batch);
            if !batch.is_empty() {
                self.append(&mut batch);
            } else if self.points.health.borrow().unwritable.is_some() {
                self.try_again();
            }
            if self.due_in() == Some(Duration::ZERO) {
                self.project();
            }
            // Also where nothing was projected: a rule that failed, and what prune takes out, fill the WAL too.
            self.checkpoint();
        }
        self.close();
        drop(announce);
    }

    fn backlog(&self) -> u64 {
        self.points
            .durable
            .load(Ordering::Relaxed)
            .saturating_sub(self.projector.projected().0)
    }

    /// How long until a slice is to be projected; `None` when there is nothing that could be.
    ///
    /// Every transaction has its price, and rows that several events of a slice touch are written once: so a moment is
    /// waited for more. Appends that come meanwhile are made meanwhile.
    fn due_in(&self) -> Option<Duration> {
        let unprojected = self.unprojected?;
        let backlog = self.backlog();
        if backlog == 0 || self.projector.halt().is_some() {
            return None;
        }
        let patience = match backlog {
            _ if unprojected.urgent => Duration::ZERO,
            ..MANY_EVENTS => PROJECT_WITHIN,
            MANY_EVENTS.. => PROJECT_WITHIN_UNDER_LOAD,
        };
        Some(patience.saturating_sub(unprojected.since.elapsed()))
    }

    /// Takes what waits, waiting for something if there is nothing else to do. True: told to stop.
    fn gather(&mut self, batch: &mut Vec<Append>) -> bool {
        let trouble = {
            let health = self.points.health.borrow();
            self.open.is_none() || health.unwritable.is_some() || health.unprojectable.is_some()
        };
        let patience = match self.due_in() {
            _ if trouble => Some(RETRY_EVERY),
            due_in => due_in,
        };
        let first = match patience {
            Some(patience) => self
                .commands
                .recv_timeout(patience)
                .map_err(|error| error == RecvTimeoutError::Disconnected),
            None => self.commands.recv().map_err(|_| true),
        };
        let mut next = match first {
            Ok(command) => Some(command),
            Err(disconnected) => return disconnected,
        };
        let mut bytes = 0;
        while let Some(command) = next {
            match command {
                Command::Append(append) => {
                    bytes += append.delivery.body.len();
                    batch.push(*append);
                }
                Command::Checkup { reply } => {
                    // Whoever asked may have gone.
                    let _ = reply.send(self.checkup());
                }
                Command::Prune { seqs, reply } => {
                    let _ = reply.send(self.prune(&seqs));
                }
                Command::Erase { wanted, reply } => {
                    let _ = reply.send(self.erase(&wanted));
                }
                Command::Stop => return true,
            }
            if batch.len() >= MAX_COMMIT_EVENTS || bytes >= MAX_COMMIT_BYTES {
                break;
            }
            next = self.commands.try_recv().ok();
        }
        false
    }

    fn append(&mut self, batch: &mut Vec<Append>) {
        let began = Instant::now();
        let now = (self.clock)();
        let result = self.try_append(now, batch);
        let counted = &self.points.counted;
        counted.commit(batch.len(), began.elapsed(), result.is_ok());
        let bytes = batch.iter().map(|waiting| waiting.delivery.body.len());
        self.queue.leave(batch.len(), bytes.sum());
        match result {
            Ok(first) => {
                self.writable_again();
                let last = Seq(first.0 + batch.len() as u64 - 1);
                self.points.durable.store(last.0, Ordering::Release);
                let unprojected = self.unprojected.get_or_insert_with(Unprojected::now);
                // Whoever told the daemon something waits until it is visible; Waldo does not.
                unprojected.urgent |= batch
                    .iter()
                    .any(|waiting| waiting.delivery.source != Source::Webhook);
                let seqs = (first.0..).map(Seq);
                for (seq, waiting) in seqs.zip(batch.drain(..)) {
                    // A sender that hung up changes nothing: the event is kept.
                    let _ = waiting.reply.send(Ok(seq));
                    if let Some(reading) = waiting.read {
                        self.projector.hand_over(Event {
                            seq,
                            received_at: now,
                            source: waiting.delivery.source,
                            digest: waiting.delivery.digest,
                            reading,
                        });
                    }
                }
            }
            Err(error) => {
                let reason = error.to_string();
                self.refuse(&error);
                for waiting in batch.drain(..) {
                    let _ = waiting
                        .reply
                        .send(Err(StoreError::Unavailable(reason.clone())));
                }
            }
        }
    }

    /// Appends a batch in one commit and returns its first seq.
    fn try_append(&mut self, now: Timestamp, batch: &[Append]) -> Result<Seq, StoreError> {
        let open = self.reopened()?;
        let mut head = open.head;
        let first = head.seq.next();
        let transaction = open
            .disk
            .log()?
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO log (seq, received_at, source, size, digest, chain, payload) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            for Append { delivery, .. } in batch {
                let seq = head.seq.next();
                head = Head {
                    seq,
                    chain: head.chain.link(seq, now, &delivery.digest),
                };
                insert.execute(params![
                    int(seq.0),
                    now.0,
                    delivery.source.code(),
                    int(delivery.size),
                    delivery.digest.0,
                    head.chain.0,
                    delivery.body.as_ref(),
                ])?;
            }
        }
        transaction.commit()?;
        open.head = head;
        Ok(first)
    }

    /// Projects a slice, if there is anything to project.
    fn project(&mut self) {
        let backlog = self.backlog();
        if backlog == 0 || self.projector.halt().is_some() {
            return;
        }
        let limits = SliceLimits::for_backlog(backlog);
        let queue = Arc::clone(&self.queue);
        let Some(open) = &mut self.open else {
            return;
        };
        let waiting = || queue.events.load(Ordering::Relaxed) > 0;
        let projector = &mut self.projector;
        let sliced = open
            .disk
            .rows()
            .and_then(|rows| projector.slice(rows, limits, &waiting));
        match sliced {
            Ok(projected) => {
                let left = self.backlog();
                self.unprojected = (left > 0).then(Unprojected::now);
                if left <= NEAR_EVENTS {
                    self.points.catching_up.store(false, Ordering::Release);
                }
                let halt = self.projector.halt().cloned();
                self.points.health.send_if_modified(|health| {
                    let changed = health.unprojectable.take().is_some() || halt.is_some();
                    health.halt = halt;
                    changed
                });
                // Last: who waits for this point finds no trouble that is over.
                self.points.projected.send_replace(projected);
            }
            Err(error) => {
                let reason = error.to_string();
                self.points.health.send_if_modified(|health| {
                    let changed = health.unprojectable.as_ref() != Some(&reason);
                    if changed {
                        log::error!(
                            "the projections cannot be written, will be tried again: {reason}"
                        );
                        health.unprojectable = Some(reason);
                    }
                    changed
                });
            }
        }
    }

    fn checkpoint(&mut self) {
        let result = match &mut self.open {
            Some(open) => open.checkpointer.move_when_due(&mut open.disk),
            None => Ok(()),
        };
        if let Err(error) = result {
            self.let_go();
            self.refuse(&error);
        }
    }

    /// Notes that nothing can be written. A full disk or a file that another process holds leaves what SQLite knows of
    /// the file as it was; after any other error that is no longer to be trusted.
    fn refuse(&mut self, error: &StoreError) {
        self.replaced |= matches!(error, StoreError::Replaced(_));
        if !error.is_passing() {
            self.let_go();
        }
        let reason = error.to_string();
        self.points.health.send_if_modified(|health| {
            let news = health.unwritable.is_none();
            if news {
                log::error!(
                    "the file cannot be written, deliveries are refused until it can: {reason}"
                );
            }
            health.unwritable = Some(reason);
            news
        });
    }

    fn let_go(&mut self) {
        self.open = None;
        self.projector.forget();
    }

    /// Something was written to the disk.
    fn writable_again(&self) {
        self.points.health.send_if_modified(|health| {
            let news = health.unwritable.take().is_some();
            if news {
                log::info!("the file can be written again");
            }
            news
        });
    }

    /// Comes back from trouble without waiting for the next delivery.
    fn try_again(&mut self) {
        match self.write_something() {
            Ok(()) => self.writable_again(),
            Err(error) => self.refuse(&error),
        }
    }

    /// Commits a row as it is: what only a file that can be written takes.
    fn write_something(&mut self) -> Result<(), StoreError> {
        let open = self.reopened()?;
        open.disk
            .log()?
            .execute("UPDATE projection SET projected_seq = projected_seq", [])?;
        Ok(())
    }

    /// The open file, opened again if an error closed it. All of the WAL is moved into the file first. Its name must
    /// still lead to it: in another file nothing of what was acknowledged would stand before what comes.
    fn reopened(&mut self) -> Result<&mut Open, StoreError> {
        if identity(&self.path)? != self.identity {
            return Err(StoreError::Replaced(self.path.clone()));
        }
        if let Some(open) = &mut self.open {
            open.must_have_its_wal(&self.path)?;
            if let Err(error) = open.checkpointer.must_have_moved() {
                // It is told once: whoever asked, the file is opened again before anything is appended.
                self.let_go();
                return Err(error);
            }
        } else {
            let mut disk = Disk::open(&self.path)?;
            let log = disk.log()?;
            move_again(log, &self.raw)?;
            truncate(log)?;
            let mut open = Open::with(disk, &self.path, Arc::clone(&self.raw))?;
            // A batch that was refused may have reached the file after all; it is kept, and shown like any other.
            self.points
                .durable
                .store(open.head.seq.0, Ordering::Release);
            self.projector = Projector::resume(open.disk.rows()?)?.counting(&self.points.counted);
            self.unprojected = Some(Unprojected::now());
            self.open = Some(open);
        }
        self.open
            .as_mut()
            .ok_or_else(|| StoreError::Unavailable("the file is closed".to_owned()))
    }

    /// Says whether commits are possible: by the last one, and by taking and giving back the write lock.
    fn checkup(&mut self) -> Result<(), StoreError> {
        if self.points.health.borrow().unwritable.is_some() {
            self.try_again();
        }
        if let Some(reason) = &self.points.health.borrow().unwritable {
            return Err(StoreError::Unavailable(reason.clone()));
        }
        let open = match self.reopened() {
            Ok(open) => open,
            Err(error) => {
                self.refuse(&error);
                return Err(error);
            }
        };
        let transaction = open
            .disk
            .log()?
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        Ok(transaction.rollback()?)
    }

    /// Takes payloads out. The commit needs no fsync of its own: lost in a crash, they are found again.
    fn prune(&mut self, seqs: &[Seq]) -> Result<Pruned, StoreError> {
        let open = self.reopened()?;
        let result = open.disk.rows().and_then(|rows| take_out(rows, seqs));
        self.changed(result)
    }

    /// Takes a customer out. All events must be projected for that: the rows say what is the customer's.
    fn erase(&mut self, wanted: &Wanted) -> Result<Option<Taken>, StoreError> {
        self.reopened()?;
        let deadline = Instant::now() + CATCH_UP;
        while self.backlog() > 0 {
            if self.projector.halt().is_some() || Instant::now() > deadline {
                return Err(StoreError::Unavailable(
                    "the rows are too far behind the log to erase from them".to_owned(),
                ));
            }
            self.project();
            self.checkpoint();
        }
        let open = self.reopened()?;
        let result = open.disk.log().and_then(|log| erase::take_out(log, wanted));
        // The rows at hand are not those of the file any more.
        self.projector.forget();
        let taken = self.changed(result)?;
        let open = self.reopened()?;
        // Whoever asks again does so without holding up what is to be appended.
        let log = open.disk.log()?;
        log.busy_timeout(Duration::ZERO)?;
        let emptied = truncate(log);
        log.busy_timeout(BUSY_TIMEOUT)?;
        let emptied = match self.changed(emptied) {
            Err(StoreError::Unavailable(_)) => false,
            other => other.map(|()| true)?,
        };
        match taken {
            None if emptied => Ok(None),
            taken => Ok(Some(Taken::after(taken, emptied))),
        }
    }

    /// After an error that is not passing, the file is opened again before anything is appended.
    fn changed<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result
            && !matches!(error, StoreError::Conflict(_) | StoreError::Unavailable(_))
        {
            self.refuse(error);
        }
        result
    }

    fn close(mut self) {
        let deadline = Instant::now() + LAST_PROJECTION;
        while self.backlog() > 0 && self.projector.halt().is_none() && Instant::now() < deadline {
            let before = self.projector.projected();
            self.project();
            self.checkpoint();
            if self.projector.projected() == before {
                break;
            }
        }
        let Some(mut open) = self.open.take() else {
            return;
        };
        open.checkpointer.stop();
        let emptied = open
            .checkpointer
            .must_have_moved()
            .and_then(|()| truncate(open.disk.log()?));
        if let Err(error) = emptied {
            log::warn!("the WAL stays beside the file: {error}");
        } else if let Err(error) = open.disk.close() {
            log::warn!("the file was not closed cleanly: {error}");
        }
    }
}

/// How long an erasure may wait for the rows to catch up with the log.
const CATCH_UP: Duration = Duration::from_secs(3);
/// How long a stop may spend on projecting; what is left is projected at the next start.
const LAST_PROJECTION: Duration = Duration::from_secs(2);

impl Unprojected {
    fn now() -> Self {
        Self {
            since: Instant::now(),
            urgent: false,
        }
    }
}

/// Tells whoever waits that the writer has ended, also when it ends by a fault.
struct AnnounceEnd(Arc<Points>);

impl Drop for AnnounceEnd {
    fn drop(&mut self) {
        self.0.stopped.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ahead::read;
    use crate::store::schema::{FILE_NAME, prepare};

    /// A writer that does its work when the test says so.
    fn writer(folder: &Path) -> Writer {
        let path = folder.join(FILE_NAME);
        prepare(&path).unwrap();
        let raw = Arc::new(RawFile::open(&path).unwrap());
        let (_, receiver) = std::sync::mpsc::channel();
        let queue = Arc::new(Queue::default());
        Writer::open(&path, raw, || Timestamp(0), queue, receiver).unwrap()
    }

    fn append(body: &'static str) -> Append {
        let delivery = Delivery::whole(Source::Webhook, body.into());
        let (reply, _) = tokio::sync::oneshot::channel();
        Append {
            read: read(&delivery),
            delivery,
            reply,
        }
    }

    #[test]
    fn what_is_at_hand_for_the_projector_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path());
        let at_hand = |writer: &Writer| writer.points.counted.ahead_events.load(Ordering::Relaxed);
        writer.queue.events.store(4, Ordering::Relaxed);
        writer.queue.bytes.store(64, Ordering::Relaxed);
        writer.append(&mut vec![append("{}"), append("no JSON")]);
        assert_eq!(at_hand(&writer), 2);
        writer.project();
        assert_eq!(at_hand(&writer), 0);
        writer.append(&mut vec![append("{}")]);
        writer.let_go();
        assert_eq!(at_hand(&writer), 0);
    }

    #[test]
    fn a_failed_checkpoint_has_the_file_opened_again_whoever_meets_it_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path());
        writer.open.as_ref().unwrap().checkpointer.fail();
        assert!(writer.prune(&[]).is_err());
        assert!(writer.open.is_none());
        writer.checkup().unwrap();
        assert!(writer.open.is_some());
    }
}
