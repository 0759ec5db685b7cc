//! The read-only connections: each read sees log and projections at one point and never holds up the writer.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::rows::seq;
use super::schema::{Role, connect};
use super::{At, Store, StoreError};

/// Reads at once; more wait. Each holds a connection and a thread while it lasts.
const MAX_READERS: usize = 8;

/// The read-only connections.
#[derive(Debug)]
pub struct Readers {
    path: PathBuf,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    /// Opens the first connection, so that a file that cannot be read is found out at the start.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let first = connect(path, Role::Read)?;
        Ok(Self {
            path: path.to_owned(),
            permits: Arc::new(Semaphore::new(MAX_READERS)),
            idle: Arc::new(Mutex::new(vec![first])),
        })
    }

    /// Ends reading: waiting reads fail, idle connections are closed.
    pub fn close(&self) {
        self.permits.close();
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl Store {
    /// Runs a read at one point of the log.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<At<T>, StoreError> {
        let readers = &self.inner.readers;
        let closing = || StoreError::Unavailable("the store is closing".to_owned());
        let permit = Arc::clone(&readers.permits)
            .acquire_owned()
            .await
            .map_err(|_| closing())?;
        let idle = Arc::clone(&readers.idle);
        let path = readers.path.clone();
        let work = move || {
            // Held by the work itself, which goes on when whoever asked has gone.
            let _permit = permit;
            let pooled = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = pooled.map_or_else(|| connect(&path, Role::Read), Ok)?;
            let transaction = connection.unchecked_transaction()?;
            let at = transaction
                .query_row("SELECT projected_seq FROM projection", [], |row| row.get(0))?;
            let value = ask(&transaction)?;
            transaction.finish()?;
            // Only a connection whose read went well is used again.
            idle.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
            Ok(At {
                seq: seq(at),
                value,
            })
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
}
