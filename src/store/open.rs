//! The write side while it is open: connection, checkpoints, the log's end, and which files these were.

use std::path::Path;
use std::sync::Arc;

use super::StoreError;
use super::checkpoint::{Checkpointer, truncate};
use super::disk::Disk;
use super::raw::RawFile;
use super::rows::seq;
use super::schema::wal_path;
use crate::domain::{Chain, Seq};

/// The end of the log.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Its newest event.
    pub seq: Seq,
    /// That event's link.
    pub chain: Chain,
}

/// The open write side.
pub struct Open {
    /// Its connection.
    pub disk: Disk,
    /// What moves the WAL.
    pub checkpointer: Checkpointer,
    /// Where the log ends.
    pub head: Head,
    wal: Identity,
}

/// Device and number of a file: what a name leads to.
pub type Identity = (u64, u64);

impl Open {
    /// Finds where the log ends, and starts what moves the WAL.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn with(mut disk: Disk, path: &Path, raw: Arc<RawFile>) -> Result<Self, StoreError> {
        let log = disk.log()?;
        let head = log
            .query_row(
                "SELECT seq, chain FROM log ORDER BY seq DESC LIMIT 1",
                [],
                |row| {
                    Ok(Head {
                        seq: seq(row.get(0)?),
                        chain: Chain(row.get(1)?),
                    })
                },
            )
            .or_else(|error| match error {
                rusqlite::Error::QueryReturnedNoRows => Ok(Head {
                    seq: Seq::START,
                    chain: Chain::GENESIS,
                }),
                other => Err(other),
            })?;
        let checkpointer = Checkpointer::start(path.to_owned(), raw)?;
        checkpointer.watch(log)?;
        // The read above has made it if there was none.
        let wal = identity(&wal_path(path))?;
        Ok(Self {
            disk,
            checkpointer,
            head,
            wal,
        })
    }

    /// What is committed to a WAL without a name is lost with this process. So it is moved into the file while that can be
    /// done, unless another program has begun a WAL of its own meanwhile, and the daemon starts again.
    ///
    /// # Errors
    /// [`StoreError::Replaced`] when the WAL is not the one that was opened.
    pub fn must_have_its_wal(&mut self, path: &Path) -> Result<(), StoreError> {
        let wal = wal_path(path);
        let is_unwritten = match identity(&wal) {
            Ok(found) if found == self.wal => return Ok(()),
            Ok(_) => std::fs::metadata(&wal).is_ok_and(|meta| meta.len() == 0),
            Err(StoreError::Replaced(_)) => true,
            Err(error) => return Err(error),
        };
        if is_unwritten {
            self.checkpointer.stop();
            truncate(self.disk.log()?)?;
        }
        Err(StoreError::Replaced(wal))
    }
}

/// A name that leads nowhere is that of a removed file; one that cannot be looked at tells nothing.
///
/// # Errors
/// [`StoreError::Replaced`] and [`StoreError::Unavailable`] for these two.
pub fn identity(path: &Path) -> Result<Identity, StoreError> {
    use std::os::unix::fs::MetadataExt as _;
    match std::fs::metadata(path) {
        Ok(meta) => Ok((meta.dev(), meta.ino())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(StoreError::Replaced(path.to_owned()))
        }
        Err(error) => Err(StoreError::Unavailable(format!(
            "cannot look at {}: {error}",
            path.display()
        ))),
    }
}
