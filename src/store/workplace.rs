//! Hidden folders in which something is prepared before it takes its place, and their end after a crash.
//!
//! Invariant: a folder of ours that nobody has locked belongs to nobody any more.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;

use tempfile::TempDir;

/// A folder for work, gone with its handle.
#[derive(Debug)]
pub struct Workplace {
    folder: TempDir,
    _lock: File,
}

impl Workplace {
    /// Makes one in a directory, and removes those of this kind that a crash has left there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn make(directory: &Path, kind: &str) -> io::Result<Self> {
        sweep(directory, kind);
        let folder = tempfile::Builder::new()
            .prefix(kind)
            .tempdir_in(directory)?;
        let lock = File::open(folder.path())?;
        lock.try_lock()?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes what work of a kind that was broken off has left in a directory.
pub fn sweep(directory: &Path, kind: &str) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries {
        let ours = entry.file_name().to_string_lossy().starts_with(kind);
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !ours || !is_folder {
            continue;
        }
        let path = entry.path();
        let free = File::open(&path).is_ok_and(|folder| folder.try_lock().is_ok());
        if free && let Err(error) = fs::remove_dir_all(&path) {
            log::warn!("cannot remove {}: {error}", path.display());
        }
    }
}

/// Gives a file to the owner of another, where root works on what is the daemon's: a file of root's would keep it from
/// starting. Who is not root has made the file as their own, and it stays that.
pub fn give_to_owner_of(file: &Path, like: &Path) -> io::Result<()> {
    let owner = |path| fs::metadata(path).map(|meta| (meta.uid(), meta.gid()));
    let (is, should) = (owner(file)?, owner(like)?);
    if is == should || is.0 != 0 {
        return Ok(());
    }
    chown(file, Some(should.0), Some(should.1))
}
