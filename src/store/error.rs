//! What can go wrong with the file.

use std::io;
use std::path::{Path, PathBuf};

use crate::domain::Seq;

/// What went wrong, in kinds that the edge can tell apart. The driver's words are for the log.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// As much is waiting to be written as may wait.
    #[error("the queue of the writer is full")]
    QueueFull,
    /// The projections are too far behind the log.
    #[error("the projections are {lag} events behind the log, more than the {max_lag} allowed")]
    Lagging {
        /// How far behind.
        lag: u64,
        /// How far they may be.
        max_lag: u64,
    },
    /// Nothing can be written at present.
    #[error("the file cannot be written at present: {0}")]
    Unavailable(String),
    /// The name no longer leads to the file that is open.
    #[error(
        "{} was removed or replaced while it was open; nothing more is taken, put the right file there and start again",
        .0.display()
    )]
    Replaced(PathBuf),
    /// The writer gives no sign of life.
    #[error("the writer does not answer")]
    NoAnswer,
    /// What was told contradicts what is known.
    #[error("{0}")]
    Conflict(String),
    /// The point in the log that was asked for did not become visible in time.
    #[error("event {0} is not visible yet")]
    NotReached(Seq),
    /// The data directory cannot be made, opened or locked.
    #[error(
        "cannot use the data directory {}: {source}; name one that this user can read and write with --data-dir",
        path.display()
    )]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be made.
    #[error("cannot create {}: {source}; this user must be able to write in that directory", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is there cannot be read or written.
    #[error("cannot use {}: {source}; it must be a file that this user can read and write", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be opened.
    #[error("cannot open {}: {source}; it must be a file that this user can read and write", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// Another process has the data directory.
    #[error("another waldo-syncd works in {}; stop it first, or give this one its own --data-dir", .0.display())]
    InUse(PathBuf),
    /// The file is no SQLite file, or another program's.
    #[error("{} is not a waldo-syncd database; move it away, or name another --data-dir", .0.display())]
    NotOurs(PathBuf),
    /// Something in the file could act in our tables, or something of ours is not there.
    #[error("{} is not as this program makes it: {fault}", path.display())]
    Altered {
        /// Which file.
        path: PathBuf,
        /// The first thing that was found.
        fault: String,
    },
    /// SQLite finds that the file is not what it wrote.
    #[error(
        "{} is damaged: {source}; `waldo-syncd restore` puts a backup in its place",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file can be read only.
    #[error(
        "{} cannot be written: its owner or its mode forbids it, or its file system can only be read",
        .0.display()
    )]
    ReadOnly(PathBuf),
    /// The file was written by a newer program.
    #[error(
        "{} has schema {found}, this program knows {known}: it was written by a newer waldo-syncd; install that version \
         or restore a backup of before the upgrade", path.display()
    )]
    NewerSchema {
        /// Which file.
        path: PathBuf,
        /// The schema it has.
        found: i32,
        /// The schema this program has.
        known: i32,
    },
    /// The SQLite library is one that may corrupt the file.
    #[error("SQLite {0} may corrupt files of this kind; 3.51.3 or later is needed")]
    OldSqlite(String),
    /// A setting did not take.
    #[error("SQLite did not take the setting {name} = {asked}: it says {got}")]
    Setting {
        /// Which.
        name: &'static str,
        /// What was asked for.
        asked: String,
        /// What it is.
        got: String,
    },
    /// The file does not hold what this program writes.
    #[error("the file is damaged: {0}")]
    Corrupt(String),
    /// The driver refused.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
}

impl StoreError {
    /// Names the file, where SQLite found it damaged.
    pub(crate) fn of_file(self, path: &Path) -> Self {
        match self {
            Self::Sqlite(source) if is_damage(&source) => Self::Damaged {
                path: path.to_owned(),
                source,
            },
            other => other,
        }
    }

    /// What was found of a file, without what to do about the one of the data directory.
    #[must_use]
    pub fn finding(&self) -> String {
        match self {
            Self::NotOurs(path) => format!("{} is not a waldo-syncd database", path.display()),
            Self::Damaged { path, source } => format!("{} is damaged: {source}", path.display()),
            other => other.to_string(),
        }
    }

    /// Whether what SQLite knows of the file is as good as before: the disk was full, or another process held the file.
    pub(crate) fn is_passing(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull};
        let code = match self {
            Self::Sqlite(error) => error.sqlite_error_code(),
            _ => None,
        };
        matches!(code, Some(DatabaseBusy | DatabaseLocked | DiskFull))
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt)
}
