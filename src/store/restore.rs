//! `restore`: a backup in place of the database, or nothing at all.
//!
//! Invariants: what is put in place is the very copy that was checked; the file that is there stays whole under its name
//! until the moment the new one takes it, and under another name after that; no WAL is ever left beside a file that it does
//! not belong to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::StoreError;
use super::backup::stand_alone;
use super::check::{CheckReport, check_without_rows};
use super::erase::reapply_erasures;
use super::erased::{ERASED_FILE, ErasedList};
use super::header::Header;
use super::maintain::{Progress, fold_again};
use super::manifest::{Manifest, sync_folder, time_in_name};
use super::project::kept_reading;
use super::schema::{DirectoryLock, FILE_NAME, Role, SCHEMA_VERSION, connect, inspect, wal_path};
use super::step::{Step, Steps};
use super::workplace::{Workplace, give_to_owner_of};
use crate::domain::payload::Unreadable;
use crate::domain::{Chain, Digest, Seq, Timestamp};

/// How the folder begins in which a restore prepares its file.
pub(super) const RESTORE_KIND: &str = ".restore-";
/// Databases that are put aside within one second.
const MAX_REPLACED_AT_ONCE: u32 = 100;

/// Why nothing was restored. Whatever it is, the database is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file will not do.
    #[error("{} cannot be restored: {why}; nothing was changed", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// There is a database.
    #[error(
        "{} is there; --force puts the backup in its place and keeps it under another name", .0.display()
    )]
    Present(PathBuf),
    /// The disk or its rights do not allow it.
    #[error("cannot work on {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory is in use, or a database cannot be worked on.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The database.
    pub path: PathBuf,
    /// Customers that were erased since the backup was made, and were erased from it again.
    pub erased: u64,
    /// Events in its log.
    pub events: u64,
    /// The last of them.
    pub last: Option<Seq>,
    /// The end of the chain.
    pub head: Chain,
    /// Whether a manifest stood beside the backup; without one the rows were folded again from the log.
    pub had_manifest: bool,
    /// Where the database is that was there before.
    pub replaced: Option<PathBuf>,
    /// The last event of that one, where it could be read.
    pub replaced_last: Option<Seq>,
}

/// Puts a backup in place of the database in a directory.
///
/// # Errors
/// When the file does not pass the check or its manifest, when there is a database and `force` is not given, when a daemon
/// works in the directory, or when the disk refuses.
pub fn restore_file(
    directory: &Path,
    file: &Path,
    force: bool,
    now: Timestamp,
    steps: Steps<'_>,
) -> Result<Restored, RestoreError> {
    let refused = |why: String| RestoreError::Refused {
        path: file.to_owned(),
        why,
    };
    let manifest = look_at(file).map_err(refused)?;
    let _lock = DirectoryLock::take(directory)?;
    let database = directory.join(FILE_NAME);
    let present = match fs::symlink_metadata(&database) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(on(&database)(error)),
    };
    if present && !force {
        return Err(RestoreError::Present(database));
    }
    if is_same_file(file, &database) {
        return Err(refused("it is the database itself".to_owned()));
    }
    let list = directory.join(ERASED_FILE);
    if present && !list.exists() && has_erased(&database) {
        return Err(refused(format!(
            "{} is not there, although customers were erased from the present database: they would come back. Put the \
             list back, or move the database away to restore without it",
            list.display()
        )));
    }
    ErasedList::read(&list)?.must_be_whole().map_err(refused)?;
    let work = Workplace::make(directory, RESTORE_KIND).map_err(on(directory))?;
    let copy = work.path().join(FILE_NAME);
    let mut copied = |done, of| steps(Step::Copying, done, of);
    let (sha256, bytes) = copy_and_hash(file, &copy, &mut copied)?;
    let report = check(&copy, steps).map_err(refused)?;
    if let Some(manifest) = &manifest {
        matches(manifest, &report, sha256, bytes).map_err(refused)?;
    } else {
        // The chain proves the log; only a manifest proves the rows.
        fold_again(&copy, false, &mut |done, of| steps(Step::Folding, done, of))?;
    }
    // Whoever was erased since the backup was made is erased from it too.
    let mut looked_at = |done, of| steps(Step::Erasing, done, of);
    let erased = reapply_erasures(&copy, &list, &mut looked_at)?;
    stand_alone(&copy)?;
    File::open(&copy)
        .and_then(|file| file.sync_all())
        .map_err(on(&copy))?;
    let owner = if present { &database } else { directory };
    give_to_owner_of(&copy, owner).map_err(on(&copy))?;
    let mut restored = Restored {
        path: database,
        events: report.events,
        last: report.last,
        head: report.head,
        had_manifest: manifest.is_some(),
        erased,
        replaced: None,
        replaced_last: None,
    };
    if present {
        restored.replaced_last = last_seq(&restored.path);
        restored.replaced = Some(put_aside(directory, &restored.path, now)?);
    } else {
        // What a database left behind that is gone would be taken for a part of this one.
        put_remains_aside(&restored.path, &aside(directory, now)?)?;
    }
    fs::rename(&copy, &restored.path).map_err(on(&restored.path))?;
    sync_folder(directory).map_err(on(directory))?;
    Ok(restored)
}

/// What can be told of a file at once, and its manifest.
fn look_at(file: &Path) -> Result<Option<Manifest>, String> {
    let meta = fs::metadata(file).map_err(|error| error.to_string())?;
    if !meta.is_file() {
        return Err("it is no file".to_owned());
    }
    let wal = wal_path(file);
    if fs::metadata(&wal).is_ok_and(|meta| meta.len() > 0) {
        return Err(format!(
            "{} stands beside it, so it is a part of a database only; `waldo-syncd backup` makes a whole one",
            wal.display()
        ));
    }
    let header = File::open(file).and_then(Header::read);
    let header = header.map_err(|error| error.to_string())?;
    if !header.ours {
        return Err("it is not a waldo-syncd database".to_owned());
    }
    if header.version > SCHEMA_VERSION {
        return Err(format!(
            "it has schema {}, this program knows {SCHEMA_VERSION}: it was written by a newer waldo-syncd, which can \
             restore it",
            header.version
        ));
    }
    // Whoever restores may have links to the newest backup and to its manifest.
    let beside = Manifest::path_for(file);
    let beside = fs::canonicalize(&beside).unwrap_or(beside);
    Manifest::at(&beside).map_err(|error| format!("its manifest cannot be read: {error}"))
}

fn check(copy: &Path, steps: Steps<'_>) -> Result<CheckReport, String> {
    // The rows are made again from the log, or are those that the manifest's SHA-256 speaks for.
    let report = check_without_rows(copy, steps).map_err(|error| match error {
        StoreError::NotOurs(_) => "it is not a waldo-syncd database".to_owned(),
        // What was looked at is a copy, whose name says nothing.
        StoreError::Damaged { source, .. } => format!("it is damaged: {source}"),
        other => format!("it cannot be read: {other}"),
    })?;
    if report.faults.is_empty() {
        Ok(report)
    } else {
        Err(format!(
            "it does not pass the check:\n  {}\n",
            report.faults.join("\n  ")
        ))
    }
}

/// Whether a file is what its manifest says.
fn matches(
    manifest: &Manifest,
    report: &CheckReport,
    sha256: Digest,
    bytes: u64,
) -> Result<(), String> {
    let wrong = |what: &str, said: &dyn std::fmt::Display, found: &dyn std::fmt::Display| {
        Err(format!(
            "its manifest says {what} {said}, but it has {found}: it was altered, or is another file"
        ))
    };
    if manifest.bytes != bytes {
        return wrong("bytes", &manifest.bytes, &bytes);
    }
    if manifest.sha256 != sha256 {
        return wrong("SHA-256", &manifest.sha256, &sha256);
    }
    if manifest.events != report.events {
        return wrong("events", &manifest.events, &report.events);
    }
    if manifest.head != report.head {
        return wrong("chain head", &manifest.head, &report.head);
    }
    Ok(())
}

/// Copies a file, telling how far it is; what cannot be read and what cannot be written are told apart.
fn copy_and_hash(
    from: &Path,
    to: &Path,
    progress: Progress<'_>,
) -> Result<(Digest, u64), RestoreError> {
    let mut source = File::open(from).map_err(on(from))?;
    let length = source.metadata().map_err(on(from))?.len();
    let mut target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(on(to))?;
    let mut buffer = vec![0; 256 * 1024];
    let mut hash = Sha256::new();
    let mut bytes = 0;
    loop {
        let read = source.read(&mut buffer).map_err(on(from))?;
        let part = buffer.get(..read).unwrap_or_default();
        if part.is_empty() {
            return Ok((Digest(hash.finalize().into()), bytes));
        }
        hash.update(part);
        target.write_all(part).map_err(on(to))?;
        bytes += read as u64;
        progress(bytes, length);
    }
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path| fs::metadata(path).map(|meta: fs::Metadata| (meta.dev(), meta.ino()));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

/// The last event of a database, if it can be read at all.
fn last_seq(database: &Path) -> Option<Seq> {
    let connection = connect(database, Role::Read).ok()?;
    let sql = "SELECT coalesce(max(seq), 0) FROM log";
    let last = connection.query_row(sql, [], |row| row.get(0)).ok()?;
    Some(super::rows::seq(last))
}

/// Whether somebody was erased from a database, if it can be read at all. The log is asked: tables may be half made.
fn has_erased(database: &Path) -> bool {
    let found = || -> Result<bool, StoreError> {
        let connection = inspect(database)?;
        let sql = "SELECT reading FROM log WHERE payload IS NULL AND reading LIKE '%erased%'";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Err(Unreadable::Erased(_)) = kept_reading(row, 0)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    found().unwrap_or(false)
}

/// A name that nothing has yet, for what was there.
fn aside(directory: &Path, now: Timestamp) -> Result<PathBuf, RestoreError> {
    let name = directory.join(format!("{FILE_NAME}.replaced-{}", time_in_name(now)));
    let numbered =
        (2..=MAX_REPLACED_AT_ONCE).map(|number| with_ending(&name, &format!("-{number}")));
    std::iter::once(name.clone())
        .chain(numbered)
        .find(|name| {
            let all = ["", "-wal", "-journal", "-shm"];
            let free = |ending| fs::symlink_metadata(with_ending(name, ending)).is_err();
            all.into_iter().all(free)
        })
        .ok_or_else(|| on(&name)(io::ErrorKind::AlreadyExists.into()))
}

/// Gives the present database a second name and takes its WAL from beside the first one.
fn put_aside(directory: &Path, database: &Path, now: Timestamp) -> Result<PathBuf, RestoreError> {
    // A whole file needs no WAL. One that is too damaged for this keeps its WAL, under the new name too.
    let emptied = connect(database, Role::Append).and_then(|connection| {
        super::checkpoint::truncate(&connection)?;
        Ok(connection.close().map_err(|(_, error)| error)?)
    });
    if let Err(error) = emptied {
        log::warn!("what stands in the WAL of the replaced database stays there: {error}");
    }
    let name = aside(directory, now)?;
    // A link, so that there is no moment without a database: a daemon that found none would begin an empty one.
    fs::hard_link(database, &name)
        .or_else(|_| {
            fs::copy(database, &name)?;
            File::open(&name)?.sync_all()
        })
        .map_err(on(&name))?;
    put_remains_aside(database, &name)?;
    sync_folder(directory).map_err(on(directory))?;
    Ok(name)
}

fn put_remains_aside(database: &Path, name: &Path) -> Result<(), RestoreError> {
    for ending in ["-wal", "-journal", "-shm"] {
        let from = with_ending(database, ending);
        match fs::rename(&from, with_ending(name, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(on(&from)(error)),
            _ => {}
        }
    }
    Ok(())
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    PathBuf::from(path)
}

fn on(path: &Path) -> impl Fn(io::Error) -> RestoreError + use<> {
    let path = path.to_owned();
    move |source| RestoreError::File {
        path: path.clone(),
        source,
    }
}
