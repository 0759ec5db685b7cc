//! The path by which a backup is asked for.

use std::path::PathBuf;

use http::StatusCode;
use serde::Deserialize;
use warp::reply::Response as Reply;

use super::{Control, bad, parse};
use crate::http::reply::{Problem, json_bytes};

/// Bytes of a path, as the kernel limits it.
const MAX_PATH_BYTES: usize = 4096;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BackupBody {
    path: String,
    #[serde(default)]
    force: bool,
}

impl Control {
    /// Answered when the backup is done, however long that takes. Whoever goes away does not end it.
    pub(super) async fn backup(&self, body: &[u8]) -> Result<Reply, Problem> {
        let body: BackupBody = parse(body)?;
        if !(1..=MAX_PATH_BYTES).contains(&body.path.len()) || body.path.contains('\0') {
            return Err(bad(format!("path: expected 1 to {MAX_PATH_BYTES} bytes")));
        }
        let making = self.store.backup(PathBuf::from(body.path), body.force);
        let backup = self.unless_stopped(making).await??;
        Ok(json_bytes(StatusCode::CREATED, &backup))
    }
}
