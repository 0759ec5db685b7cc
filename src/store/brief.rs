//! Brief reads: a few rows, on the thread that asks, waiting for nobody.
//!
//! Those that come close together share a transaction, for beginning and ending one costs more than such a read. Whoever
//! begins it leaves it open; it is ended as soon as the thread has done what was ready to be done. So nobody stands in
//! the WAL while nothing is read, and what has become visible before a read is seen by it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::runtime::Handle;

use super::rows::seq;
use super::schema::{Role, connect};
use super::{At, StoreError};
use crate::domain::Seq;

/// The connections for brief reads: as many as there are threads that serve connections.
#[derive(Debug)]
pub(super) struct Brief {
    path: PathBuf,
    idle: Mutex<Vec<Reader>>,
    /// Whether the end of the transactions that are open is on its way.
    ending: AtomicBool,
    /// How often something was changed that no seq tells of.
    changes: AtomicU64,
    /// How many ask that nothing is left open.
    apart: AtomicUsize,
}

/// While this lives each read has a transaction of its own: between two of them the WAL can be emptied.
#[derive(Debug)]
pub(super) struct Apart(Arc<Brief>);

#[derive(Debug)]
struct Reader {
    connection: Connection,
    /// Where its open transaction reads.
    at: Option<Point>,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    seq: Seq,
    changes: u64,
}

impl Brief {
    pub fn of(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            idle: Mutex::default(),
            ending: AtomicBool::default(),
            changes: AtomicU64::default(),
            apart: AtomicUsize::default(),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads at one point of the log, which is not before `visible`. After an error the connection is of no more use.
    pub fn read<T>(
        self: &Arc<Self>,
        visible: Seq,
        ask: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<At<T>, StoreError> {
        let changes = self.changes.load(Ordering::Acquire);
        let idle = self.idle().pop();
        let mut reader = idle.map_or_else(|| Reader::open(&self.path), Ok)?;
        let seq = reader.enter(visible, changes)?;
        let value = ask(&reader.connection)?;
        self.put(reader)?;
        Ok(At { seq, value })
    }

    /// Something was changed that moves no seq: reads from now on see it.
    pub fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// Has no read leave its transaction open.
    pub fn apart(self: &Arc<Self>) -> Apart {
        self.apart.fetch_add(1, Ordering::AcqRel);
        Apart(Arc::clone(self))
    }

    /// Closes all connections that nobody uses.
    pub fn clear(&self) {
        self.idle().clear();
    }

    fn put(self: &Arc<Self>, mut reader: Reader) -> Result<(), StoreError> {
        // Outside of a runtime nobody would end it.
        let runtime = Handle::try_current().ok();
        let runtime = runtime.filter(|_| self.apart.load(Ordering::Acquire) == 0);
        let Some(runtime) = runtime else {
            reader.leave()?;
            self.idle().push(reader);
            return Ok(());
        };
        self.idle().push(reader);
        if !self.ending.swap(true, Ordering::AcqRel) {
            let end = End(Arc::clone(self));
            runtime.spawn(async move {
                // This comes back when the thread has looked for new work.
                tokio::task::yield_now().await;
                drop(end);
            });
        }
        Ok(())
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.0.apart.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Ends the open transactions when it is dropped, be it with a runtime that ends before its tasks do.
struct End(Arc<Brief>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.ending.store(false, Ordering::Release);
        self.0.idle().retain_mut(|reader| reader.leave().is_ok());
    }
}

impl Reader {
    fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = connect(path, Role::Read)?;
        // A thread that serves connections waits for nobody who holds the file.
        connection.busy_timeout(Duration::ZERO)?;
        Ok(Self {
            connection,
            at: None,
        })
    }

    /// The point that is read at: the one of the open transaction, if there is nothing newer to be seen.
    fn enter(&mut self, visible: Seq, changes: u64) -> Result<Seq, StoreError> {
        if let Some(at) = self.at
            && at.seq >= visible
            && at.changes == changes
        {
            return Ok(at.seq);
        }
        self.leave()?;
        let seq = begin(&self.connection)?;
        self.at = Some(Point { seq, changes });
        Ok(seq)
    }

    fn leave(&mut self) -> Result<(), StoreError> {
        match self.at.take() {
            Some(_) => end(&self.connection),
            None => Ok(()),
        }
    }
}

/// Begins to read, and tells the point of the log at which.
pub(super) fn begin(connection: &Connection) -> Result<Seq, StoreError> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let at = connection
        .prepare_cached("SELECT projected_seq FROM projection")?
        .query_row([], |row| row.get(0))?;
    Ok(seq(at))
}

/// Ends reading.
pub(super) fn end(connection: &Connection) -> Result<(), StoreError> {
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema::{FILE_NAME, prepare};

    struct File {
        brief: Arc<Brief>,
        writer: Connection,
        _folder: tempfile::TempDir,
    }

    fn file() -> File {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        prepare(&path).unwrap();
        File {
            brief: Arc::new(Brief::of(&path)),
            writer: connect(&path, Role::Append).unwrap(),
            _folder: folder,
        }
    }

    impl File {
        fn moves_to(&self, seq: i64) {
            let sql = "UPDATE projection SET projected_seq = ?1";
            self.writer.execute(sql, [seq]).unwrap();
        }

        fn seen(&self, visible: u64) -> u64 {
            self.brief.read(Seq(visible), |_| Ok(())).unwrap().seq.0
        }

        fn is_read(&self) -> bool {
            self.writer.busy_timeout(Duration::ZERO).unwrap();
            let sql = "PRAGMA wal_checkpoint(RESTART)";
            self.writer.query_row(sql, [], |row| row.get(0)).unwrap()
        }
    }

    #[tokio::test]
    async fn reads_share_a_point_until_there_is_something_new_to_see() {
        let file = file();
        file.moves_to(1);
        assert_eq!(file.seen(1), 1);
        file.moves_to(2);
        // It is written and not yet told of.
        assert_eq!(file.seen(1), 1);
        assert_eq!(file.seen(2), 2);
        file.moves_to(3);
        assert_eq!(file.seen(2), 2);
        file.brief.changed();
        assert_eq!(file.seen(2), 3);
    }

    #[tokio::test]
    async fn nobody_stands_in_the_wal_once_the_thread_is_idle() {
        let file = file();
        file.moves_to(1);
        assert_eq!(file.seen(1), 1);
        file.moves_to(2);
        assert!(file.is_read());
        // It comes back behind what was put off before it.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert!(!file.is_read());
        assert_eq!(file.seen(1), 2);
    }

    #[tokio::test]
    async fn nothing_is_left_open_while_somebody_asks_for_that() {
        let file = file();
        file.moves_to(1);
        let apart = file.brief.apart();
        assert_eq!(file.seen(1), 1);
        file.moves_to(2);
        assert!(!file.is_read());
        drop(apart);
        assert_eq!(file.seen(2), 2);
        file.moves_to(3);
        assert!(file.is_read());
    }

    #[test]
    fn a_runtime_that_ends_takes_no_transaction_along() {
        let file = file();
        file.moves_to(1);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async { assert_eq!(file.seen(1), 1) });
        file.moves_to(2);
        drop(runtime);
        assert!(!file.is_read());
        // Outside of one nothing is left open at all.
        assert_eq!(file.seen(2), 2);
        file.moves_to(3);
        assert!(!file.is_read());
    }
}
