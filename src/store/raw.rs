//! The database's files past SQLite: the bytes as they lie on the disk, and the index of the WAL, to have it made again.
//!
//! SQLite locks the file by POSIX locks, and Linux takes *all* of a process's locks on a file away when the process closes
//! *any* descriptor of it (fcntl(2)). Another program that then opens and closes the database takes itself for the last
//! one to close it, and removes the WAL from under the daemon: what is acknowledged from then on is lost with the process.
//! So nobody but SQLite and this file opens the database or its `-shm` in a process that has a connection to it;
//! `tests/architecture.sh` holds that. The `-wal` is never locked and may be read like any file.
//!
//! Invariant: a [`RawFile`] is opened before the first connection that it is to outlive, and dropped after the last.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::StoreError;
use super::open::{Identity, identity};
use super::schema::index_path;

/// Both copies of the header that the index of a WAL begins with, in bytes (<https://sqlite.org/walformat.html>).
const INDEX_HEADERS: usize = 2 * 48;

/// The descriptors that are held.
#[derive(Debug)]
pub struct RawFile {
    path: PathBuf,
    file: File,
    /// Of each `-shm` that had to be made again, the one in use last: none as a rule, and one where SQLite keeps the file.
    indexes: Mutex<Vec<(Identity, File)>>,
}

impl RawFile {
    /// Opens the file. Whoever does keeps it for as long as this process has connections to it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(|source| StoreError::Unusable {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            indexes: Mutex::default(),
        })
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

    /// Spoils the index of the WAL, as a crash may leave it: whoever reads next makes it again from the WAL itself, and then
    /// nothing of the WAL counts as moved into the file. Reads that are under way are not disturbed.
    ///
    /// # Errors
    /// When there is none, or it cannot be written.
    pub fn spoil_index(&self) -> Result<(), StoreError> {
        let path = index_path(&self.path);
        let its = identity(&path)?;
        let mut held = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |source| StoreError::Unusable {
            path: path.clone(),
            source,
        };
        if held.last().is_none_or(|(last, _)| *last != its) {
            let file = OpenOptions::new().write(true).open(&path).map_err(failed)?;
            held.push((its, file));
        }
        let Some((_, file)) = held.last() else {
            return Ok(());
        };
        file.write_all_at(&[0; INDEX_HEADERS], 0).map_err(failed)
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
