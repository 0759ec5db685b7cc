//! The database file's bytes as they lie on the disk, read past SQLite.
//!
//! SQLite locks the file by POSIX locks, and Linux takes *all* of a process's locks on a file away when the process closes
//! *any* descriptor of it (fcntl(2)). Another program that then opens and closes the database takes itself for the last
//! one to close it, and removes the WAL from under the daemon: what is acknowledged from then on is lost with the process.
//! So nobody but SQLite and this file opens the database or its `-shm` in a process that has a connection to it;
//! `tests/architecture.sh` holds that. The `-wal` is never locked and may be read like any file.
//!
//! Invariant: a [`RawFile`] is opened before the first connection that it is to outlive, and dropped after the last.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::StoreError;

/// The one descriptor.
#[derive(Debug)]
pub struct RawFile {
    file: File,
}

impl RawFile {
    /// Opens the file. Whoever does keeps it for as long as this process has connections to it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(|source| StoreError::File {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self { file })
    }

    /// Waits until what was written to the file by whomever is on the disk.
    ///
    /// # Errors
    /// When some of it is not.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.file
            .sync_data()
            .map_err(|error| StoreError::Unavailable(format!("the file cannot be synced: {error}")))
    }

    /// Its bytes from the beginning.
    pub fn bytes(&self) -> impl Read {
        Bytes {
            of: &self.file,
            at: 0,
        }
    }
}

/// A place in the bytes; several may read at once.
struct Bytes<'a> {
    of: &'a File,
    at: u64,
}

impl Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.of.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
