//! The one connection that writes while the daemon runs, and what its commits wait for.
//!
//! Invariant: what is written by [`Disk::log`] is on the disk when its commit returns; what is written by [`Disk::rows`]
//! gets there with the next such commit or checkpoint, for the log can give it again. There is no other way to the
//! connection. Each of the two sets what it promises, and reads it back, before it gives the connection out; neither can
//! be had while a transaction of the other is open.

use std::path::Path;

use rusqlite::Connection;

use super::StoreError;
use super::schema::{Role, connect, set_clears_away, set_synchronous};

/// The open file.
#[derive(Debug)]
pub struct Disk {
    connection: Connection,
    /// What commits wait for at present; `None` when that is not known.
    set: Option<Role>,
}

impl Disk {
    /// Opens the file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = connect(path, Role::Append)?;
        set_clears_away(&connection, false)?;
        Ok(Self {
            connection,
            set: Some(Role::Append),
        })
    }

    /// To write what is acknowledged: each commit is synced before it returns.
    ///
    /// # Errors
    /// When the setting does not take.
    pub fn log(&mut self) -> Result<&mut Connection, StoreError> {
        self.for_role(Role::Append)
    }

    /// To write what the log can give again: its commits are not waited for.
    ///
    /// # Errors
    /// When the setting does not take.
    pub fn rows(&mut self) -> Result<&mut Connection, StoreError> {
        self.for_role(Role::Project)
    }

    fn for_role(&mut self, role: Role) -> Result<&mut Connection, StoreError> {
        if self.set != Some(role) {
            self.set = None;
            set_synchronous(&self.connection, role)?;
            self.set = Some(role);
        }
        Ok(&mut self.connection)
    }

    /// Closes the file, and has SQLite clear away what stands beside it. Dropped otherwise, after an error, everything stays as
    /// it is: SQLite would move what is left of the WAL, by a descriptor that has told of the error already, and remove it.
    ///
    /// # Errors
    /// When SQLite cannot.
    pub fn close(self) -> Result<(), StoreError> {
        set_clears_away(&self.connection, true)?;
        self.connection.close().map_err(|(_, error)| error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema::prepare;

    #[test]
    fn the_log_is_always_written_synced_whatever_was_written_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waldo-syncd.db");
        prepare(&path).unwrap();
        let mut disk = Disk::open(&path).unwrap();
        let level = |connection: &mut Connection| -> i64 {
            connection
                .pragma_query_value(None, "synchronous", |row| row.get(0))
                .unwrap()
        };
        for _ in 0..2 {
            assert_eq!(level(disk.log().unwrap()), 2);
            assert_eq!(level(disk.rows().unwrap()), 1);
        }
        // SQLite does not change it within a transaction: an error, and not a commit that is not synced.
        disk.rows().unwrap().execute_batch("BEGIN").unwrap();
        assert!(disk.log().is_err());
        assert!(disk.log().is_err());
        disk.connection.execute_batch("COMMIT").unwrap();
        assert_eq!(level(disk.log().unwrap()), 2);
    }
}
