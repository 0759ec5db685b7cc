//! Who may read what lies in the data directory, looked at once when the daemon starts.
//!
//! What the daemon makes is its owner's alone. A file that was copied there, from a backup say, has the mode that the copy
//! gave it: it is narrowed, for the daemon owns it and what lies beside it (the WAL) takes its mode. A directory may have been
//! made as it is by somebody who meant it: of that one is told.

use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::store::{ERASED_FILE, FILE_NAME};

/// What nobody but the owner has: all rights of group and others.
const OF_OTHERS: u32 = 0o077;

/// Narrows the modes of the store's files, and tells of each and of a directory that is open to others.
pub(super) fn narrow(directory: &Path) {
    if let Some(mode) = fs::metadata(directory).ok().and_then(open_to_others) {
        let shown = directory.display();
        log::warn!("{shown} is open to others (mode {mode:04o}): chmod 700 {shown}");
    }
    for ending in ["", "-wal", "-shm"] {
        narrow_file(&directory.join(format!("{FILE_NAME}{ending}")));
    }
    narrow_file(&directory.join(ERASED_FILE));
}

fn narrow_file(path: &Path) {
    // What a link leads to may be shared on purpose.
    let meta = fs::symlink_metadata(path).ok();
    let Some(mode) = meta.filter(Metadata::is_file).and_then(open_to_others) else {
        return;
    };
    let shown = path.display();
    // By its path: to open the file and close it again would take SQLite's locks away.
    match fs::set_permissions(path, Permissions::from_mode(mode & !OF_OTHERS)) {
        Ok(()) => {
            log::warn!("{shown} was open to others (mode {mode:04o}): it is its owner's alone now")
        }
        Err(error) => log::warn!(
            "{shown} is open to others (mode {mode:04o}) and stays so, {error}: chmod 600 {shown}"
        ),
    }
}

/// The mode, where it gives others than the owner any right.
fn open_to_others(meta: Metadata) -> Option<u32> {
    let mode = meta.permissions().mode() & 0o7777;
    (mode & OF_OTHERS != 0).then_some(mode)
}
