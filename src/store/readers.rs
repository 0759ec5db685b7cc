//! The read-only connections: each read sees log and projections at one point and never holds up the writer.
//!
//! What may take long runs on a thread of its own. What touches a few rows runs where it is asked for, for handing it
//! over costs several times as much as the read itself.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::brief::{Apart, Brief, begin, end};
use super::raw::RawFile;
use super::schema::{Role, connect};
use super::{At, Store, StoreError};

/// Long reads at once; more wait. Each holds a connection and a thread while it lasts.
const MAX_READERS: usize = 8;

/// How much a read may look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Effort {
    /// Rows.
    pub rows: usize,
    /// Bytes of one body.
    pub bytes: u64,
}

impl Effort {
    /// For a read on a thread that serves connections.
    const BRIEF: Self = Self {
        rows: 64,
        bytes: 64 << 10,
    };
    /// For a read on a thread of its own.
    const ANY: Self = Self {
        rows: usize::MAX,
        bytes: u64::MAX,
    };
}

/// The read-only connections.
#[derive(Debug)]
pub struct Readers {
    path: PathBuf,
    /// Outlives every connection, also that of a read nobody waits for any more.
    raw: Arc<RawFile>,
    permits: Arc<Semaphore>,
    idle: Arc<Pool>,
    brief: Arc<Brief>,
}

/// Connections that nobody uses at the moment.
#[derive(Debug, Default)]
struct Pool(Mutex<Vec<Connection>>);

impl Pool {
    fn take(&self) -> Option<Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put(&self, connection: Connection) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
    }

    fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl Readers {
    /// Opens the first connection, so that a file that cannot be read is found out at the start.
    pub fn open(path: &Path, raw: Arc<RawFile>) -> Result<Self, StoreError> {
        let idle = Pool::default();
        idle.put(connect(path, Role::Read)?);
        Ok(Self {
            path: path.to_owned(),
            raw,
            permits: Arc::new(Semaphore::new(MAX_READERS)),
            idle: Arc::new(idle),
            brief: Arc::new(Brief::of(path)),
        })
    }

    /// Something was changed that moves no seq: brief reads from now on see it, as all others do anyway.
    pub fn changed(&self) {
        self.brief.changed();
    }

    /// Has brief reads leave nothing open while this lives.
    pub fn apart(&self) -> Apart {
        self.brief.apart()
    }

    /// Ends reading: waiting reads fail, idle connections are closed.
    pub fn close(&self) {
        self.permits.close();
        self.idle.clear();
        self.brief.clear();
    }
}

impl Store {
    /// Runs a read at one point of the log, on a thread of its own.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<At<T>, StoreError> {
        let readers = &self.inner.readers;
        let permit = Arc::clone(&readers.permits)
            .acquire_owned()
            .await
            .map_err(|_| closing())?;
        let idle = Arc::clone(&readers.idle);
        let path = readers.path.clone();
        let raw = Arc::clone(&readers.raw);
        let work = move || {
            // Held by the work itself, which goes on when whoever asked has gone.
            let _held = (permit, raw);
            let connection = idle.take().map_or_else(|| connect(&path, Role::Read), Ok)?;
            let found = at_one_point(&connection, ask)?;
            // Only a connection whose read went well is used again.
            idle.put(connection);
            Ok(found)
        };
        let result = tokio::task::spawn_blocking(work).await;
        if readers.permits.is_closed() {
            readers.close();
        }
        result.unwrap_or_else(|_| {
            Err(StoreError::Unavailable(
                "a read ended by a fault".to_owned(),
            ))
        })
    }

    /// Runs a read of a few rows at one point of the log, at once and on this thread. Where it turns out to be longer
    /// than the effort it is given (`None`), or the file is held by somebody, it is begun again on a thread of its own.
    pub(super) async fn read_briefly<T: Send + 'static>(
        &self,
        ask: impl Fn(&Connection, Effort) -> Result<Option<T>, StoreError> + Send + 'static,
    ) -> Result<At<T>, StoreError> {
        match self.read_now(|connection| ask(connection, Effort::BRIEF)) {
            Ok(At {
                seq,
                value: Some(value),
            }) => return Ok(At { seq, value }),
            Err(error) if !error.is_passing() => return Err(error),
            Ok(_) | Err(_) => {}
        }
        let longer = move |connection: &Connection| {
            let found = ask(connection, Effort::ANY)?;
            found.ok_or_else(|| StoreError::Unavailable("a read found no end".to_owned()))
        };
        self.read(longer).await
    }

    /// Runs a read of a few rows at once, on this thread and waiting for nobody.
    pub(super) fn read_now<T>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<At<T>, StoreError> {
        let readers = &self.inner.readers;
        if readers.permits.is_closed() {
            return Err(closing());
        }
        let found = readers.brief.read(self.projected(), ask)?;
        if readers.permits.is_closed() {
            readers.close();
        }
        Ok(found)
    }
}

/// One transaction, with statements that need not be parsed again. After an error the connection is of no more use.
fn at_one_point<T>(
    connection: &Connection,
    ask: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<At<T>, StoreError> {
    let seq = begin(connection)?;
    let value = ask(connection)?;
    end(connection)?;
    Ok(At { seq, value })
}

fn closing() -> StoreError {
    StoreError::Unavailable("the store is closing".to_owned())
}
