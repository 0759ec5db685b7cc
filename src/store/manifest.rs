//! What stands beside a backup: what is in it and how to know it again; and where the last one went.
//!
//! Invariant: a manifest is written only after its file was checked and is under its final name, so a backup with a
//! manifest that fits it is a verified one.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::domain::{Chain, Digest, Seq, Timestamp};

/// How names of backups begin and end that the daemon gives; between them stands the time.
const NAME: (&str, &str) = ("waldo-syncd-", ".db");
/// `20261124T125917Z`
const NAME_TIME: &str = "%Y%m%dT%H%M%SZ";
/// Bytes of a manifest that are read; what is longer is none.
const MAX_MANIFEST: u64 = 64 * 1024;
/// Where the last backup of a database is noted, beside it.
const LAST_FILE: &str = "last-backup.json";

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Manifest {
    /// The name of the file it is about.
    pub file: String,
    /// The moment whose state it holds.
    pub at: Timestamp,
    /// Events in its log.
    pub events: u64,
    /// The first of them.
    pub first_seq: Option<Seq>,
    /// The last of them.
    pub last_seq: Option<Seq>,
    /// The end of the chain over them.
    pub head: Chain,
    /// How far its projections are.
    pub projected_seq: Seq,
    /// SHA-256 of the file.
    pub sha256: Digest,
    /// Length of the file.
    pub bytes: u64,
    /// The schema it has.
    pub schema_version: i32,
    /// The program that wrote it, with its version.
    pub program: String,
    /// Whether the written file was read again and passed the check.
    pub verified: bool,
}

/// A backup and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Backup {
    /// The file.
    pub path: PathBuf,
    /// What it holds.
    #[serde(flatten)]
    pub manifest: Manifest,
}

/// The name of a backup made at this time.
#[must_use]
pub fn name_at(at: Timestamp) -> String {
    format!("{}{}{}", NAME.0, time_in_name(at), NAME.1)
}

/// A time as it stands in names of files.
pub fn time_in_name(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(
        |_| at.0.to_string(),
        |moment| moment.strftime(NAME_TIME).to_string(),
    )
}

/// Whether a name is one that the daemon gives.
fn is_our_name(name: &str) -> bool {
    let time = name
        .strip_prefix(NAME.0)
        .and_then(|rest| rest.strip_suffix(NAME.1));
    time.is_some_and(|time| {
        let shape = |(at, byte): (usize, u8)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        };
        time.len() == 16 && time.bytes().enumerate().all(shape)
    })
}

impl Manifest {
    /// Where the manifest of a file stands.
    #[must_use]
    pub fn path_for(file: &Path) -> PathBuf {
        let mut name = file.as_os_str().to_owned();
        name.push(".json");
        PathBuf::from(name)
    }

    /// The manifest of a file; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read or is no manifest.
    pub fn beside(file: &Path) -> io::Result<Option<Self>> {
        Self::at(&Self::path_for(file))
    }

    /// The manifest that stands at a path, which must be no link; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read or is no manifest.
    pub fn at(path: &Path) -> io::Result<Option<Self>> {
        read(path)
    }

    /// Writes it beside its file, whole.
    pub(super) fn write(&self, file: &Path) -> io::Result<()> {
        write_whole(&Self::path_for(file), self)
    }
}

impl Backup {
    /// Notes this as the last one.
    pub(super) fn note(&self, directory: &Path) -> io::Result<()> {
        write_whole(&directory.join(LAST_FILE), self)
    }
}

/// The last backup of the database in a directory, as it was noted there.
///
/// # Errors
/// When the note cannot be read.
pub fn last_backup(directory: &Path) -> io::Result<Option<Backup>> {
    read(&directory.join(LAST_FILE))
}

/// Removes what is older than the newest `keep` verified backups of a directory, of names that the daemon gives only,
/// and tells how many files went.
///
/// # Errors
/// When the directory cannot be read or a file not be removed.
pub fn keep_newest(directory: &Path, keep: usize) -> io::Result<usize> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        if let Some(name) = name.to_str()
            && is_our_name(name)
        {
            names.push(name.to_owned());
        }
    }
    // The time stands in the name, so that this is newest first.
    names.sort_unstable_by(|a, b| b.cmp(a));
    let verified = names
        .iter()
        .filter(|name| is_verified(&directory.join(name)));
    let Some(oldest_kept) = verified.take(keep.max(1)).last().cloned() else {
        return Ok(0);
    };
    let mut removed = 0;
    for name in names.iter().filter(|name| **name < oldest_kept) {
        let file = directory.join(name);
        // The manifest goes first: what is left of a removal that was broken off is then no verified backup.
        for path in [Manifest::path_for(&file), file] {
            match fs::remove_file(&path) {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(removed)
}

/// The newest verified backup of a directory.
///
/// # Errors
/// When the directory cannot be read.
pub fn newest_in(directory: &Path) -> io::Result<Option<Backup>> {
    let mut newest: Option<(String, Manifest)> = None;
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str().filter(|name| is_our_name(name)) else {
            continue;
        };
        if newest
            .as_ref()
            .is_none_or(|(known, _)| name > known.as_str())
        {
            let file = directory.join(name);
            if is_verified(&file)
                && let Ok(Some(manifest)) = Manifest::beside(&file)
            {
                newest = Some((name.to_owned(), manifest));
            }
        }
    }
    Ok(newest.map(|(name, manifest)| Backup {
        path: directory.join(name),
        manifest,
    }))
}

/// Whether a backup has its manifest and is as long as that says. Its bytes are not read again.
fn is_verified(file: &Path) -> bool {
    let manifest = Manifest::beside(file).ok().flatten();
    let length = fs::metadata(file).map(|meta| meta.len()).ok();
    manifest.is_some_and(|manifest| manifest.verified && Some(manifest.bytes) == length)
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> io::Result<Option<T>> {
    let file = match open_itself(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_MANIFEST).read_to_end(&mut bytes)?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

/// Opens a file to read it, but nothing that a link leads to: whoever may ask for a backup names its place, and the live
/// database must not be opened and closed here (`raw.rs`). A pipe gives nothing, and is not waited for.
pub(super) fn open_itself(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

/// Writes a file so that others see all of it or nothing, also after a power failure.
fn write_whole<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let folder = folder_of(path);
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    let mut file = tempfile::Builder::new()
        .prefix(&hidden(path))
        .tempfile_in(folder)?;
    file.write_all(&text)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Where a path's file is.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Has the names in a folder reach the disk.
///
/// # Errors
/// When the disk refuses.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn hidden(path: &Path) -> OsString {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push("-");
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_time_and_is_known_again() {
        let name = name_at(Timestamp(1_764_000_000_123));
        assert_eq!(name, "waldo-syncd-20251124T160000Z.db");
        assert!(is_our_name(&name));
        for other in [
            "waldo-syncd.db",
            "waldo-syncd-20251124T160000Z.db.json",
            "waldo-syncd-before.db",
            "waldo-syncd-20251124-160000Z.db",
            "my-waldo-syncd-20251124T160000Z.db",
        ] {
            assert!(!is_our_name(other), "{other}");
        }
    }
}
