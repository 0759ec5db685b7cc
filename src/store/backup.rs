//! `backup`: one whole, checked file of the state at one moment, made while the daemon works.
//!
//! Invariants: a file under its final name is complete, on the disk and has passed the check; nothing is ever written
//! over unless it is a backup of ours and that was asked for.
//!
//! The pages are copied under one read transaction. That holds up neither the writer nor the checkpoint, but the WAL
//! cannot start over before the copy is done, so the copy has to end: by itself after each page was read once, or given up
//! when the WAL has grown by `MAX_WAL_GROWTH`. The check comes after, on the copy, when nothing is held any more.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::backup::StepResult;
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest as _, Sha256};
use tempfile::TempPath;

use super::StoreError;
use super::check::check_open;
use super::header::Header;
use super::leash::{Leash, Stint};
use super::manifest::{Backup, Manifest, folder_of, name_at, open_itself, sync_folder};
use super::rows::{seq, uint};
use super::schema::{self, DirectoryLock, FILE_NAME, SCHEMA_VERSION, wal_path};
use super::step::{Step, Steps};
use super::workplace::Workplace;
use crate::domain::{Chain, Digest, Seq, Timestamp};

/// Pages copied between two looks at whether to go on: 256 KiB.
const STEP_PAGES: i32 = 64;
/// Bytes copied between two syncs of the copy: a commit of the daemon's never waits for more than these to reach the disk.
const SYNC_EVERY: u64 = 256 << 10;
/// How long the disk is left to the daemon's commits after each such sync, beside as long as the sync took.
const DISK_RESTS: Duration = Duration::from_millis(4);
/// By how much the WAL may grow while pages are copied.
const MAX_WAL_GROWTH: u64 = 2 << 30;
/// Steps of SQLite's virtual machine between two looks at whether to go on.
const CHECK_STEPS: i32 = 20_000;
/// How the folders begin in which backups are made.
const WORK_KIND: &str = ".waldo-syncd-backup-";
/// Endings that mean something to SQLite beside a file that may stand there.
const RESERVED_ENDINGS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// One is being made.
    #[error("a backup is being made already; try again when it is done")]
    Running,
    /// It cannot go where it is to go.
    #[error("no backup can be written to {}: {why}", path.display())]
    Destination {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Something is there.
    #[error(
        "{} exists already; name another file or a directory, or replace it with --force", .0.display()
    )]
    Exists(PathBuf),
    /// The disk or its rights do not let it be written.
    #[error("the backup cannot be written in {}: {source}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The copy was not finished.
    #[error("the database cannot be copied to {}: {source}", path.display())]
    Copy {
        /// Where to.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The copy is not good.
    #[error("the copy does not pass the check and was thrown away: {0}")]
    NotVerified(String),
    /// The copy was too slow for what was written meanwhile.
    #[error(
        "given up: more than {} MiB were written to the database while it was copied; try again when less is going on",
        MAX_WAL_GROWTH >> 20
    )]
    TooMuchWritten,
    /// The daemon stops.
    #[error("the backup was broken off: the daemon stops")]
    Stopped,
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a backup of the database in a directory that no daemon works in.
///
/// # Errors
/// [`StoreError::InUse`] when one does; else when the backup cannot be made, and then nothing is left of it.
pub fn backup_file(
    directory: &Path,
    destination: &Path,
    force: bool,
    now: Timestamp,
    steps: Steps<'_>,
) -> Result<Backup, BackupError> {
    let _lock = DirectoryLock::take(directory)?;
    let job = Job {
        database: &directory.join(FILE_NAME),
        destination,
        force,
        now,
    };
    job.run(&Leash::default(), false, steps)
}

/// An error without the hidden name that was to be used, which says nothing to anybody.
fn without_name(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(_) => error,
        // The folder itself was found before.
        None if error.kind() == io::ErrorKind::NotFound => {
            io::Error::other("nothing can be made there")
        }
        None => error.kind().into(),
    }
}

/// One backup to be made.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub database: &'a Path,
    pub destination: &'a Path,
    pub force: bool,
    pub now: Timestamp,
}

/// The end of the log at the moment that is copied.
#[derive(Debug, PartialEq, Eq)]
struct End {
    last: Seq,
    head: Chain,
}

impl Job<'_> {
    /// Makes it; `rests` where the daemon needs the machine at the same time.
    pub fn run(&self, leash: &Leash, rests: bool, steps: Steps<'_>) -> Result<Backup, BackupError> {
        let target = self.target()?;
        let folder = folder_of(&target);
        let failed = |source| BackupError::Write {
            path: folder.to_owned(),
            source,
        };
        let work =
            Workplace::make(folder, WORK_KIND).map_err(|error| failed(without_name(error)))?;
        let copy = work.path().join(FILE_NAME);
        let stint = || Stint::begin(leash, rests);
        let end = self.copy(&copy, stint(), steps)?;
        let mut manifest = self.verified(&copy, &end, leash, rests, steps)?;
        (manifest.sha256, manifest.bytes) = match hash(&copy, &mut stint(), steps) {
            Ok(Some(found)) => found,
            Ok(None) => return Err(BackupError::Stopped),
            Err(error) => return Err(failed(error)),
        };
        manifest.file = target
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        self.put(&copy, &target, &manifest).map_err(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                BackupError::Exists(target.clone())
            } else {
                failed(error)
            }
        })?;
        let backup = Backup {
            path: target,
            manifest,
        };
        if let Err(error) = backup.note(folder_of(self.database)) {
            log::warn!("where the last backup is cannot be noted beside the database: {error}");
        }
        Ok(backup)
    }

    /// The file to be written, checked before anything is.
    fn target(&self) -> Result<PathBuf, BackupError> {
        let wrong = |why: &str| BackupError::Destination {
            path: self.destination.to_owned(),
            why: why.to_owned(),
        };
        if !self.destination.is_absolute() {
            return Err(wrong("an absolute path is needed"));
        }
        let is_folder = fs::metadata(self.destination).is_ok_and(|meta| meta.is_dir());
        let (folder, name) = if is_folder {
            (self.destination, name_at(self.now).into())
        } else {
            let shown = self.destination.to_string_lossy();
            let name = self
                .destination
                .file_name()
                .filter(|_| !shown.ends_with('/'));
            let name = name.ok_or_else(|| wrong("there is no such directory; make it first"))?;
            (folder_of(self.destination), name.to_owned())
        };
        let folder = fs::canonicalize(folder).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => wrong(&format!(
                "there is no directory {}; make it first",
                folder.display()
            )),
            _ => wrong(&format!("its directory cannot be used: {error}")),
        })?;
        if !folder.is_dir() {
            return Err(wrong("what it should stand in is no directory"));
        }
        let home = fs::canonicalize(folder_of(self.database)).ok();
        if home.as_deref() == Some(&folder) {
            return Err(wrong(
                "it is the directory of the database, whose files have meanings of their own; take another, best on \
                 another disk",
            ));
        }
        if has_reserved_ending(&name) {
            return Err(wrong(
                "names that end in -wal, -shm or -journal belong to SQLite",
            ));
        }
        let target = folder.join(name);
        // Something that is no manifest of ours may stand where the manifest goes.
        let beside = Manifest::path_for(&target);
        if Manifest::beside(&target).is_err() {
            return Err(wrong(&format!(
                "{} stands where its manifest goes, and is none",
                beside.display()
            )));
        }
        match fs::symlink_metadata(&target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(target),
            Err(error) => Err(wrong(&error.to_string())),
            Ok(_) if !self.force => Err(BackupError::Exists(target)),
            Ok(meta) => {
                // By its number first: opening and closing the live file here would drop SQLite's locks on it.
                let live = fs::metadata(self.database)
                    .is_ok_and(|live| (live.dev(), live.ino()) == (meta.dev(), meta.ino()));
                if live || !meta.is_file() || !is_ours(&target) {
                    return Err(wrong(
                        "what is there is no backup of ours, and stays as it is",
                    ));
                }
                Ok(target)
            }
        }
    }

    /// Copies all pages as they are at one moment into a file of its own, which needs no WAL.
    fn copy(&self, copy: &Path, mut stint: Stint, steps: Steps<'_>) -> Result<End, BackupError> {
        let failed = |source| BackupError::Write {
            path: folder_of(copy).to_owned(),
            source,
        };
        let not_copied = |source| BackupError::Copy {
            path: self.destination.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(copy)
            .map_err(failed)?;
        let from = schema::inspect(self.database)?;
        schema::recognise(&from, self.database)?;
        // The transaction holds the moment: without it the copy would begin again with each commit.
        let moment = from.unchecked_transaction().map_err(StoreError::from)?;
        let end = end_of_log(&moment)?;
        let page_size = moment
            .pragma_query_value(None, "page_size", |row| row.get(0))
            .map(uint)
            .map_err(StoreError::from)?;
        let wal = wal_path(self.database);
        let wal_bytes = || fs::metadata(&wal).map_or(0, |meta| meta.len());
        let wal_before = wal_bytes();
        let mut to = open_copy(copy).map_err(not_copied)?;
        let pages = rusqlite::backup::Backup::new(&moment, &mut to).map_err(not_copied)?;
        let mut synced_bytes = 0;
        loop {
            let step = pages.step(STEP_PAGES).map_err(not_copied)?;
            let seen = pages.progress();
            let [total, left] = [seen.pagecount, seen.remaining]
                .map(|pages| u64::try_from(pages).unwrap_or(0) * page_size);
            let done = total.saturating_sub(left);
            steps(Step::Copying, done, total);
            match step {
                StepResult::Done => break,
                StepResult::More => {}
                // Nobody else knows the copy, and a reader in a WAL waits for nobody.
                _ => {
                    return Err(StoreError::Unavailable("the database is locked".to_owned()).into());
                }
            }
            if done >= synced_bytes + SYNC_EVERY {
                let began = Instant::now();
                file.sync_data().map_err(failed)?;
                synced_bytes = done;
                stint.rest_for(began.elapsed() + DISK_RESTS);
            }
            if wal_bytes().saturating_sub(wal_before) > MAX_WAL_GROWTH {
                return Err(BackupError::TooMuchWritten);
            }
            if stint.is_over() {
                return Err(BackupError::Stopped);
            }
        }
        drop(pages);
        drop(moment);
        to.close().map_err(|(_, error)| not_copied(error))?;
        stand_alone(copy)?;
        file.sync_all().map_err(failed)?;
        Ok(end)
    }

    /// Reads the copy again, whole, and says what is in it.
    fn verified(
        &self,
        copy: &Path,
        end: &End,
        leash: &Leash,
        rests: bool,
        steps: Steps<'_>,
    ) -> Result<Manifest, BackupError> {
        let mut connection = schema::inspect(copy)?;
        let mut stint = Stint::begin(leash, rests);
        connection
            .progress_handler(CHECK_STEPS, Some(move || stint.is_over()))
            .map_err(StoreError::from)?;
        let report = match check_open(&connection, copy, None, steps) {
            Ok(report) => report,
            Err(_) if leash.is_pulled() => return Err(BackupError::Stopped),
            Err(error) => return Err(BackupError::NotVerified(error.to_string())),
        };
        if !report.faults.is_empty() {
            return Err(BackupError::NotVerified(report.faults.join("; ")));
        }
        let found = End {
            last: report.last.unwrap_or_default(),
            head: report.head,
        };
        if found != *end {
            return Err(BackupError::NotVerified(format!(
                "it ends at event {} and not at {}",
                found.last, end.last
            )));
        }
        Ok(Manifest {
            file: String::new(),
            at: self.now,
            events: report.events,
            first_seq: report.first,
            last_seq: report.last,
            head: report.head,
            projected_seq: report.projected,
            sha256: Digest([0; 32]),
            bytes: 0,
            schema_version: SCHEMA_VERSION,
            program: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned(),
            verified: true,
        })
    }

    /// Gives the copy its name, then its manifest, which was written before: a full disk is found out while nothing has
    /// a name yet.
    fn put(&self, copy: &Path, target: &Path, manifest: &Manifest) -> io::Result<()> {
        manifest.write(copy)?;
        if self.force {
            // An old manifest beside a new file would speak against it.
            match fs::remove_file(Manifest::path_for(target)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => fs::rename(copy, target)?,
            }
        } else {
            TempPath::try_from_path(copy)?
                .persist_noclobber(target)
                .map_err(|error| error.error)?;
        }
        sync_folder(folder_of(target))?;
        fs::rename(Manifest::path_for(copy), Manifest::path_for(target))?;
        sync_folder(folder_of(target))
    }
}

fn end_of_log(connection: &Connection) -> Result<End, StoreError> {
    let sql = "SELECT seq, chain FROM log ORDER BY seq DESC LIMIT 1";
    let found = connection.query_row(sql, [], |row| {
        Ok(End {
            last: seq(row.get(0)?),
            head: Chain(row.get(1)?),
        })
    });
    match found {
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(End {
            last: Seq::START,
            head: Chain::GENESIS,
        }),
        other => Ok(other?),
    }
}

/// The copy needs no safety of its own: one that is not finished is thrown away, and one that is was synced as a whole.
fn open_copy(copy: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(copy, flags)?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.query_row("PRAGMA journal_mode = OFF", [], |_| Ok(()))?;
    Ok(connection)
}

/// Makes a file one that is whole without a WAL and can be read where nothing can be written.
pub(super) fn stand_alone(path: &Path) -> Result<(), StoreError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let asked = "delete";
    let got: String = connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
    if got == asked {
        return Ok(());
    }
    Err(StoreError::Setting {
        name: "journal_mode",
        asked: asked.to_owned(),
        got,
    })
}

/// SHA-256 and length of a file; `None` when the work is to end.
fn hash(path: &Path, stint: &mut Stint, steps: Steps<'_>) -> io::Result<Option<(Digest, u64)>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut buffer = vec![0; 256 * 1024];
    let mut hash = Sha256::new();
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(Some((Digest(hash.finalize().into()), bytes)));
        }
        hash.update(buffer.get(..read).unwrap_or_default());
        bytes += read as u64;
        steps(Step::Hashing, bytes, length);
        if stint.is_over() {
            return Ok(None);
        }
    }
}

fn is_ours(file: &Path) -> bool {
    open_itself(file)
        .and_then(Header::read)
        .is_ok_and(|header| header.ours)
}

fn has_reserved_ending(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    RESERVED_ENDINGS.iter().any(|ending| name.ends_with(ending))
}
