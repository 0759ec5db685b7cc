//! Moves the WAL into the file, off the path of acknowledgements.
//!
//! SQLite starts the WAL over only when a commit finds all of it moved and no reader in it. A thread of its own moves
//! most of it while appends go on; once the WAL has grown past `RESET_PAGES` the writer moves the little that is left
//! between two commits and waits a moment for readers to leave, so that the next one starts over. A reader that stays
//! longer has the WAL grow by `GROW_PAGES` before it is waited for again.
//!
//! SQLite syncs the file only when it has moved all of the WAL, which the thread never sees while appends go on: it would
//! be left to the writer to wait for every page that the thread has moved. So the thread syncs the file itself.
//!
//! A checkpoint first syncs the WAL, which may hold commits of the projector that no sync has covered yet. If that fails
//! their pages may be gone from the cache unwritten, and nothing may be appended behind them: the thread says so, and the
//! writer treats it like a failed commit.
//!
//! What was moved and not synced counts as moved all the same, for SQLite notes that without waiting. If the sync of the file
//! then fails, its pages may be gone too, and the next sync knows nothing of it (fsync(2) tells each error once). So after any
//! failure all of the WAL is moved again: [`move_again`].

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::StoreError;
use super::disk::Disk;
use super::raw::RawFile;
use super::schema::{BUSY_TIMEOUT, Role, connect, set_clears_away};

/// What the WAL grows by, in pages of 4 KiB, before the thread moves it again: little, for a commit that comes while the file
/// is synced waits until the disk has written all of it.
const MOVE_PAGES: i32 = 250;
/// The length from which the writer moves the rest itself.
const RESET_PAGES: i32 = 4000;
/// What the WAL may grow by when somebody reads on in it.
const GROW_PAGES: i32 = 1000;
/// How long the writer waits for readers to leave it: most of them read for less than a millisecond.
const READERS_LEAVE_WITHIN: Duration = Duration::from_millis(5);

/// The thread, and the WAL's length as the last commit left it.
#[derive(Debug)]
pub struct Checkpointer {
    pages: Arc<AtomicI32>,
    /// The length at which the thread was last asked to move it.
    asked_at: i32,
    /// The length at which the writer tries next to have it start over.
    reset_at: i32,
    /// Whether the thread is at it, or asked to be.
    moving: Arc<AtomicBool>,
    failure: Arc<Mutex<Option<StoreError>>>,
    wake: Option<mpsc::SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread; `raw` is the same file.
    pub fn start(path: PathBuf, raw: Arc<RawFile>) -> Result<Self, StoreError> {
        let (wake, woken) = mpsc::sync_channel::<()>(1);
        let failure = Arc::new(Mutex::new(None));
        let moving = Arc::new(AtomicBool::default());
        let (told, at_it) = (Arc::clone(&failure), Arc::clone(&moving));
        let work = move || {
            let mut connection = None;
            while woken.recv().is_ok() {
                at_it.store(true, Ordering::Release);
                if let Err(error) = passive(&mut connection, &path).and_then(|()| raw.sync()) {
                    connection = None;
                    *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
                at_it.store(false, Ordering::Release);
            }
        };
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(work)
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self {
            pages: Arc::default(),
            asked_at: 0,
            reset_at: RESET_PAGES,
            moving,
            failure,
            wake: Some(wake),
            thread: Some(thread),
        })
    }

    /// Has a connection tell the WAL's length after each of its commits.
    pub fn watch(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let pages = Arc::clone(&self.pages);
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, length| {
            pages.store(length, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(())
    }

    /// Has the WAL moved into the file where the last commit left it long enough for that.
    ///
    /// # Errors
    /// When moving it failed, here or in the thread: the file must be opened again before anything is appended.
    pub fn move_when_due(&mut self, disk: &mut Disk) -> Result<(), StoreError> {
        self.must_have_moved()?;
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.asked_at {
            self.asked_at = 0;
            self.reset_at = RESET_PAGES;
        }
        if pages < self.reset_at {
            if pages >= self.asked_at.saturating_add(MOVE_PAGES) {
                self.ask(pages);
            }
        } else if self.asked_at < self.reset_at {
            self.ask(pages);
        } else if !self.is_moving() {
            // What is left is little, and next to nothing of it is unsynced.
            let log = disk.log()?;
            log.busy_timeout(READERS_LEAVE_WITHIN)?;
            let outcome = run(log, "RESTART");
            log.busy_timeout(BUSY_TIMEOUT)?;
            match outcome? {
                // The next commit starts over.
                Outcome::Done => self.pages.store(0, Ordering::Relaxed),
                Outcome::Busy => self.reset_at = pages.saturating_add(GROW_PAGES),
            }
        }
        Ok(())
    }

    /// Says whether the thread has failed; to be asked before anything is appended.
    ///
    /// # Errors
    /// The thread's: what it could not sync may be gone, and the file must be opened again.
    pub fn must_have_moved(&self) -> Result<(), StoreError> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take().map_or(Ok(()), Err)
    }

    /// As if the thread had failed.
    #[cfg(test)]
    pub fn fail(&self) {
        let error = StoreError::Unavailable("the file cannot be synced".to_owned());
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// Has the thread move and sync what there is.
    fn ask(&mut self, pages: i32) {
        let Some(wake) = &self.wake else { return };
        self.asked_at = pages;
        self.moving.store(true, Ordering::Release);
        // Full means that it is asked already.
        let _ = wake.try_send(());
    }

    /// A thread that has ended by a fault moves nothing more.
    fn is_moving(&self) -> bool {
        let is_there = |thread: &JoinHandle<()>| !thread.is_finished();
        self.moving.load(Ordering::Acquire) && self.thread.as_ref().is_some_and(is_there)
    }

    /// Ends the thread after what it is doing.
    pub fn stop(&mut self) {
        self.wake = None;
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            log::warn!("the checkpoint thread ended by a fault");
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn passive(connection: &mut Option<Connection>, path: &std::path::Path) -> Result<(), StoreError> {
    let connection = match connection {
        Some(open) => open,
        none => {
            let new = connect(path, Role::Project)?;
            set_clears_away(&new, false)?;
            none.insert(new)
        }
    };
    move_some(connection)
}

/// Has all of the WAL count as not moved, for what was moved may have been lost since.
///
/// # Errors
/// When that cannot be had, [`StoreError::Unavailable`] when another program moves the WAL meanwhile.
pub fn move_again(connection: &Connection, raw: &RawFile) -> Result<(), StoreError> {
    if moved(connection)? == 0 {
        return Ok(());
    }
    raw.spoil_index()?;
    // This makes it again, and waits for whoever is at that already.
    connection.query_row("SELECT count(*) FROM projection", [], |_| Ok(()))?;
    if moved(connection)? == 0 {
        return Ok(());
    }
    Err(StoreError::Unavailable(
        "what was moved into the file may be lost, and the WAL is not read anew".to_owned(),
    ))
}

/// How many pages of the WAL count as moved; negative when that is not known.
fn moved(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(2))?)
}

/// Empties the WAL into the file and cuts it to nothing; waits for readers as long as the busy timeout allows.
///
/// # Errors
/// When the file cannot be written, or [`StoreError::Unavailable`] when a reader held on.
pub fn truncate(connection: &Connection) -> Result<(), StoreError> {
    if truncated(connection)? {
        return Ok(());
    }
    Err(StoreError::Unavailable("a reader holds the WAL".to_owned()))
}

/// The same; false when a reader held on.
///
/// # Errors
/// When the file cannot be written.
pub fn truncated(connection: &Connection) -> Result<bool, StoreError> {
    Ok(run(connection, "TRUNCATE")? == Outcome::Done)
}

/// Moves as much of the WAL into the file as readers let it, so that the WAL can start over.
///
/// # Errors
/// When the file cannot be written.
pub fn move_some(connection: &Connection) -> Result<(), StoreError> {
    run(connection, "PASSIVE").map(|_| ())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Busy,
}

fn run(connection: &Connection, mode: &str) -> Result<Outcome, StoreError> {
    let busy: i64 = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        row.get(0)
    })?;
    Ok(if busy == 0 {
        Outcome::Done
    } else {
        Outcome::Busy
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema::{FILE_NAME, prepare, wal_path};

    /// Commits a body of so many pages, and returns the WAL's length.
    fn commit(checkpointer: &Checkpointer, disk: &mut Disk, pages: i32) -> i32 {
        let sql = "INSERT INTO log (received_at, source, size, digest, chain, payload) \
             VALUES (0, 1, 0, x'', x'', zeroblob(?1))";
        disk.log().unwrap().execute(sql, [pages * 4096]).unwrap();
        checkpointer.pages.load(Ordering::Relaxed)
    }

    /// What a disk may do after a sync that failed: what was written since the last one is not there.
    #[test]
    fn what_was_moved_and_lost_is_moved_again_also_while_somebody_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        prepare(&path).unwrap();
        let before = folder.path().join("before");
        copy(&path, &before);
        let raw = RawFile::open(&path).unwrap();
        let mut disk = Disk::open(&path).unwrap();
        let log = disk.log().unwrap();
        let add = "INSERT INTO log (received_at, source, size, digest, chain, payload) \
             VALUES (0, 1, 0, x'', x'', randomblob(20000))";
        let count = |connection: &Connection| -> i64 {
            let sql = "SELECT count(payload) FROM log";
            connection.query_row(sql, [], |row| row.get(0)).unwrap()
        };
        log.execute(add, []).unwrap();
        let reader = connect(&path, Role::Read).unwrap();
        reader.execute_batch("BEGIN").unwrap();
        assert_eq!(count(&reader), 1);
        log.execute(add, []).unwrap();
        run(log, "PASSIVE").unwrap();
        assert!(
            moved(log).unwrap() > 0,
            "it is to be moved as far as the reader is"
        );
        drop(disk);
        copy(&before, &path);

        let mut disk = Disk::open(&path).unwrap();
        let log = disk.log().unwrap();
        move_again(log, &raw).unwrap();
        assert_eq!(moved(log).unwrap(), 0);
        assert_eq!(count(&reader), 1);
        reader.execute_batch("COMMIT").unwrap();
        assert_eq!(count(&reader), 2);
        truncate(log).unwrap();
        assert_eq!(std::fs::metadata(wal_path(&path)).unwrap().len(), 0);
        assert_eq!(count(log), 2);
        let sound: String = log
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(sound, "ok");
    }

    /// In a process of its own, for whoever closes the file in this one takes SQLite's locks away.
    fn copy(from: &std::path::Path, to: &std::path::Path) {
        let (from, to) = (from.display(), to.display());
        let copied = std::process::Command::new("dd")
            .args(["conv=notrunc", "status=none"])
            .args([format!("if={from}"), format!("of={to}")])
            .status();
        assert!(copied.unwrap().success());
    }

    #[test]
    fn the_wal_starts_over_once_readers_have_left_it_and_they_are_not_waited_for_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        prepare(&path).unwrap();
        let raw = Arc::new(RawFile::open(&path).unwrap());
        let mut disk = Disk::open(&path).unwrap();
        let mut checkpointer = Checkpointer::start(path.clone(), raw).unwrap();
        checkpointer.watch(disk.log().unwrap()).unwrap();
        let reader = connect(&path, Role::Read).unwrap();
        let reads = "BEGIN; SELECT projected_seq FROM projection";
        reader.execute_batch(reads).unwrap();

        let asked = commit(&checkpointer, &mut disk, RESET_PAGES);
        checkpointer.move_when_due(&mut disk).unwrap();
        assert_eq!(checkpointer.reset_at, RESET_PAGES, "the thread goes first");
        let long = loop {
            let length = commit(&checkpointer, &mut disk, 1);
            assert!(length < asked + GROW_PAGES, "the thread does not end");
            checkpointer.move_when_due(&mut disk).unwrap();
            if checkpointer.reset_at != RESET_PAGES {
                break length;
            }
        };
        assert_eq!(checkpointer.reset_at, long + GROW_PAGES);
        assert!(commit(&checkpointer, &mut disk, 1) > long);
        checkpointer.move_when_due(&mut disk).unwrap();
        assert_eq!(checkpointer.reset_at, long + GROW_PAGES);

        reader.execute_batch("COMMIT").unwrap();
        // The thread may be at it, and is not waited for either.
        let starts_over = (0..50).any(|_| {
            let length = commit(&checkpointer, &mut disk, GROW_PAGES);
            checkpointer.move_when_due(&mut disk).unwrap();
            length < long
        });
        assert!(starts_over);
    }
}
