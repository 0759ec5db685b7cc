//! Small files that tell others something: all of it or nothing is seen.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::DaemonError;
use crate::store::{folder_of, sync_folder};

/// Where the doors are, beside the database, for as long as the daemon runs.
pub const DOORS_FILE: &str = "doors.json";

/// Where the doors are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doors {
    /// Address of the ingest door.
    pub ingest: Option<String>,
    /// Address of the query door; a path where it is a Unix socket only.
    pub query: Option<String>,
    /// Path of the control socket.
    pub control: Option<String>,
    /// Address of the gateway.
    pub gateway: Option<String>,
    /// Address of the sandbox, where one stands in for Waldo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
}

/// Writes a file so that others see all of it or nothing: beside it first, then over it. A file that was there keeps its
/// owner, so that what root writes for the daemon stays the daemon's.
///
/// # Errors
/// When it cannot be written.
pub fn write_whole(path: &Path, text: &str) -> Result<(), DaemonError> {
    let failed = |source| DaemonError::File {
        path: path.to_owned(),
        source,
    };
    let folder = folder_of(path);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes())
        .and_then(|()| keep_owner(path, file.as_file()))
        .and_then(|()| file.as_file().sync_all())
        .map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    sync_folder(folder).map_err(failed)
}

fn keep_owner(path: &Path, file: &fs::File) -> io::Result<()> {
    let owner = |of: &fs::Metadata| (of.uid(), of.gid());
    match fs::metadata(path) {
        Ok(old) if owner(&old) != owner(&file.metadata()?) => {
            fchown(file, Some(old.uid()), Some(old.gid()))
        }
        _ => Ok(()),
    }
}

pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        log::warn!("cannot remove {}: {error}", path.display());
    }
}
