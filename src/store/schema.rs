//! Opening the file: lock, create, check, set up each connection and read back what was set.
//!
//! Invariant: nobody gets a connection whose pragmas are not the ones asked for, nor to a file that is not ours or is
//! newer than this program.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::StoreError;
use crate::domain::RULES_VERSION;

/// The file's name inside the data directory.
pub const FILE_NAME: &str = "waldo-syncd.db";
/// "WALD": says that an SQLite file is ours.
pub const APPLICATION_ID: i32 = 0x5741_4C44;
/// The schema that this program writes.
pub const SCHEMA_VERSION: i32 = 1;
/// Below this, two connections that write and checkpoint at once may corrupt a WAL file.
const OLDEST_SQLITE: i32 = 3_051_003;
/// How long a connection waits for another process that holds the file (a backup tool, a curious sqlite3).
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Page cache of one connection in KiB; the operating system's cache does the rest.
const CACHE_KIB: i64 = 4096;
/// What stays of the -wal file on disk after it was emptied, in bytes.
const WAL_SIZE_LIMIT: i64 = 64 << 20;

const SCHEMA: &str = include_str!("../../schema.sql");
const PROJECTIONS_MARK: &str = "-- Projections";
/// The tables that are made from the log.
pub const PROJECTIONS: [&str; 6] = [
    "projection",
    "verdicts",
    "customers",
    "requests",
    "counts",
    "minutes",
];

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Appends to the log: each commit reaches the disk before it returns.
    Append,
    /// Writes rows that the log can give again: its commits reach the disk with the next append or checkpoint.
    Project,
    /// Reads, beside whoever writes.
    Read,
    /// Reads a file that nobody has open. Reading a WAL file makes a -wal and a -shm beside it, which only a connection
    /// that could write clears away again.
    Inspect,
}

impl Role {
    const fn synchronous(self) -> i64 {
        match self {
            Self::Append => 2,
            Self::Project | Self::Read | Self::Inspect => 1,
        }
    }
}

/// The lock on the data directory. It lives on the directory itself and so leaves no file behind; the kernel drops it
/// with the process.
#[derive(Debug)]
pub struct DirectoryLock {
    directory: File,
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing is not enough: a process that is being forked off at this moment holds the same lock until it runs its
        // own program.
        if let Err(error) = self.directory.unlock() {
            log::warn!("the data directory stays locked until this process ends: {error}");
        }
    }
}

impl DirectoryLock {
    /// Makes the directory if there is none (mode 0700) and locks it.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has the lock.
    pub fn take(directory: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Directory {
            path: directory.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| match error.kind() {
                // It is there, and is something else.
                io::ErrorKind::AlreadyExists => failed(io::ErrorKind::NotADirectory.into()),
                _ => failed(error),
            })?;
        let handle = File::open(directory).map_err(failed)?;
        match handle.try_lock() {
            Ok(()) => Ok(Self { directory: handle }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(directory.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// Makes sure that the file exists, is ours and has the present schema.
///
/// # Errors
/// When it cannot be opened or made, is another program's, or is newer than this program.
pub fn prepare(path: &Path) -> Result<(), StoreError> {
    let sqlite = rusqlite::version_number();
    if sqlite < OLDEST_SQLITE {
        return Err(StoreError::OldSqlite(rusqlite::version().to_owned()));
    }
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let looked_at = match created {
        Ok(_) => None,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Looked at before it is written to, be it only to set its journal mode.
            let connection = inspect(path)?;
            if tables(&connection)? > 0 {
                recognise(&connection, path)?;
            }
            Some(connection)
        }
        Err(source) => {
            return Err(StoreError::File {
                path: path.to_owned(),
                source,
            });
        }
    };
    let mut connection = connect(path, Role::Append)?;
    // Until here, so that what it found in the WAL of a crash is not looked for again. The other one is then the last to
    // close the file, and moves all of that WAL into it: nothing is appended behind what may never have reached the disk.
    drop(looked_at);
    if tables(&connection)? == 0 {
        let transaction = connection.transaction()?;
        transaction.execute_batch(SCHEMA)?;
        start_projections(&transaction)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        transaction.commit()?;
    }
    recognise(&connection, path)
}

/// The present schema with nothing in it, to be compared with.
///
/// # Errors
/// When there is no memory for it.
pub fn in_memory() -> Result<Connection, StoreError> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

fn tables(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?)
}

/// Checks that an open file is ours and not newer than this program.
///
/// # Errors
/// [`StoreError::NotOurs`], [`StoreError::NewerSchema`].
pub fn recognise(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let application: i32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(|error| opening(path, error))?;
    if application != APPLICATION_ID {
        return Err(StoreError::NotOurs(path.to_owned()));
    }
    let version: i32 = pragma(connection, "user_version")?;
    if version != SCHEMA_VERSION {
        return Err(StoreError::NewerSchema {
            path: path.to_owned(),
            found: version,
            known: SCHEMA_VERSION,
        });
    }
    Ok(())
}

/// Opens a connection and sets it up for its role.
///
/// # Errors
/// When the file cannot be opened or a setting does not take.
pub fn connect(path: &Path, role: Role) -> Result<Connection, StoreError> {
    open_and_set_up(path, role).map_err(|error| match error {
        StoreError::Sqlite(error) => opening(path, error),
        other => other,
    })
}

fn open_and_set_up(path: &Path, role: Role) -> Result<Connection, StoreError> {
    let access = match role {
        Role::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Role::Append | Role::Project | Role::Inspect => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // SQLite opens for reading what it may not write, and says nothing.
    if matches!(role, Role::Append | Role::Project) && connection.is_readonly("main")? {
        return Err(StoreError::ReadOnly(path.to_owned()));
    }
    // A statement keeps the plan that it was prepared with: else some are planned anew for each value that is bound.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    if matches!(role, Role::Append | Role::Project) {
        let asked = "wal";
        let got: String =
            connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if got != asked {
            return Err(StoreError::Setting {
                name: "journal_mode",
                asked: asked.to_owned(),
                got,
            });
        }
    }
    set_synchronous(&connection, role)?;
    set(&connection, "cache_size", -CACHE_KIB)?;
    set(&connection, "trusted_schema", 0)?;
    // Ours has no references, and those that tables of others make to ours must not hold up an erasure or a rebuild.
    set(&connection, "foreign_keys", 0)?;
    set(&connection, "cell_size_check", 1)?;
    match role {
        Role::Read | Role::Inspect => set(&connection, "query_only", 1)?,
        // Checkpoints are the business of the thread that does nothing else.
        Role::Append | Role::Project => {
            // What is taken out is overwritten, in the pages that stay and in those that are given back.
            set(&connection, "secure_delete", 1)?;
            set(&connection, "wal_autocheckpoint", 0)?;
            set(&connection, "journal_size_limit", WAL_SIZE_LIMIT)?;
        }
    }
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Sets what a connection's commits wait for.
///
/// # Errors
/// When the setting does not take, as within a transaction.
pub fn set_synchronous(connection: &Connection, role: Role) -> Result<(), StoreError> {
    set(connection, "synchronous", role.synchronous())
}

/// Sets whether the last connection that is closed moves what is left of the WAL and removes it, as SQLite does by itself.
///
/// # Errors
/// When the setting does not take.
pub fn set_clears_away(connection: &Connection, clears: bool) -> Result<(), StoreError> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !clears)?;
    Ok(())
}

/// Opens a connection to read a file without leaving anything beside it.
///
/// # Errors
/// As [`connect`].
pub fn inspect(path: &Path) -> Result<Connection, StoreError> {
    // Where there is a WAL somebody has the file open, or died with it: then nothing is to be cleared away.
    let role = if wal_path(path).exists() {
        Role::Read
    } else {
        Role::Inspect
    };
    connect(path, role)
}

/// Makes a scratch database that holds projections only and reads the log from the file.
///
/// # Errors
/// When the scratch file cannot be made or the real one not be opened.
pub fn scratch(scratch_path: &Path, file: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(scratch_path)?;
    // A crash in the middle of a rebuild throws the scratch file away: it needs no safety of its own.
    set(&connection, "synchronous", 0)?;
    set(&connection, "cache_size", -16 * CACHE_KIB)?;
    connection.execute_batch("PRAGMA journal_mode = MEMORY")?;
    connection.execute_batch(projections_sql()?)?;
    start_projections(&connection)?;
    let uri = format!(
        "file:{}?mode=ro",
        percent_encoding::utf8_percent_encode(
            &file.to_string_lossy(),
            percent_encoding::NON_ALPHANUMERIC
        )
    );
    connection.execute("ATTACH DATABASE ?1 AS real", [uri])?;
    recognise_attached(&connection, file)?;
    Ok(connection)
}

fn recognise_attached(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let application: i32 =
        connection.query_row("PRAGMA real.application_id", [], |row| row.get(0))?;
    if application == APPLICATION_ID {
        Ok(())
    } else {
        Err(StoreError::NotOurs(path.to_owned()))
    }
}

/// The text that makes the projections, without the log.
///
/// # Errors
/// Never in a program whose schema.sql has its mark.
pub fn projections_sql() -> Result<&'static str, StoreError> {
    SCHEMA
        .find(PROJECTIONS_MARK)
        .and_then(|at| SCHEMA.get(at..))
        .ok_or(StoreError::Corrupt(
            "schema.sql has lost its mark".to_owned(),
        ))
}

/// Puts the projector to the start of the log.
///
/// # Errors
/// When the row cannot be written.
pub fn start_projections(connection: &Connection) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO projection (id, projected_seq, rules_version, newest_minute) VALUES (1, 0, ?1, 0)",
        [RULES_VERSION],
    )?;
    Ok(())
}

/// The WAL, which stands beside the database while it is open.
#[must_use]
pub fn wal_path(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

/// The index of the WAL, which all who have the database open share.
#[must_use]
pub fn index_path(path: &Path) -> PathBuf {
    beside(path, "-shm")
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn pragma<T: rusqlite::types::FromSql>(
    connection: &Connection,
    name: &str,
) -> Result<T, StoreError> {
    Ok(connection.pragma_query_value(None, name, |row| row.get(0))?)
}

/// Sets a pragma and reads it back: SQLite ignores what it does not understand.
fn set(connection: &Connection, name: &'static str, value: i64) -> Result<(), StoreError> {
    connection.pragma_update(None, name, value)?;
    let got: i64 = pragma(connection, name)?;
    if got == value {
        return Ok(());
    }
    Err(StoreError::Setting {
        name,
        asked: value.to_string(),
        got: got.to_string(),
    })
}

fn opening(path: &Path, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => StoreError::NotOurs(path.to_owned()),
        Some(rusqlite::ErrorCode::DatabaseCorrupt) => StoreError::Sqlite(error).of_file(path),
        _ => StoreError::Open {
            path: path.to_owned(),
            source: error,
        },
    }
}
