//! Moves the WAL into the file, off the path of acknowledgements.
//!
//! SQLite starts the WAL over only when a commit finds all of it moved and no reader in it. A thread of its own moves
//! most of it while appends go on; once the WAL has grown past `RESET_PAGES` the writer moves the little that is left
//! between two commits, so that the next one starts over.
//!
//! A checkpoint first syncs the WAL, which may hold commits of the projector that no sync has covered yet. If that fails
//! their pages may be gone from the cache unwritten, and nothing may be appended behind them: the thread says so, and the
//! writer treats it like a failed commit.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::StoreError;
use super::disk::Disk;
use super::schema::{Role, connect};

/// The WAL's length, in pages of 4 KiB, from which the thread moves it.
const MOVE_PAGES: i32 = 1000;
/// The length from which the writer moves the rest itself.
const RESET_PAGES: i32 = 4000;

/// The thread, and the WAL's length as the last commit left it.
#[derive(Debug)]
pub struct Checkpointer {
    pages: Arc<AtomicI32>,
    failure: Arc<Mutex<Option<StoreError>>>,
    wake: Option<mpsc::SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread.
    pub fn start(path: PathBuf) -> Result<Self, StoreError> {
        let (wake, woken) = mpsc::sync_channel::<()>(1);
        let failure = Arc::new(Mutex::new(None));
        let told = Arc::clone(&failure);
        let work = move || {
            let mut connection = None;
            while woken.recv().is_ok() {
                if let Err(error) = passive(&mut connection, &path) {
                    connection = None;
                    *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(work)
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self {
            pages: Arc::default(),
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

    /// Sees after a commit whether the WAL is to be moved.
    ///
    /// # Errors
    /// When moving it failed, here or in the thread: the file must be opened again before anything is appended.
    pub fn after_commit(&self, disk: &mut Disk) -> Result<(), StoreError> {
        if let Some(error) = self
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            return Err(error);
        }
        let pages = self.pages.load(Ordering::Relaxed);
        if pages >= RESET_PAGES {
            run(disk.log()?, "PASSIVE")?;
        } else if pages >= MOVE_PAGES
            && let Some(wake) = &self.wake
        {
            // Full means that it is at it already.
            let _ = wake.try_send(());
        }
        Ok(())
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
        none => none.insert(connect(path, Role::Project)?),
    };
    run(connection, "PASSIVE").map(|_| ())
}

/// Empties the WAL into the file and cuts it to nothing; waits for readers as long as the busy timeout allows.
///
/// # Errors
/// When the file cannot be written, or [`StoreError::Unavailable`] when a reader held on.
pub fn truncate(connection: &Connection) -> Result<(), StoreError> {
    match run(connection, "TRUNCATE")? {
        Outcome::Done => Ok(()),
        Outcome::Busy => Err(StoreError::Unavailable("a reader holds the WAL".to_owned())),
    }
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
