//! Who may post: reading, making and following the webhook secrets.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::DaemonError;
use crate::config::{Config, Environment, WEBHOOK_SECRET_FILE, WebhookSecrets};
use crate::http::{Secrets, Signature};
use crate::store::{folder_of, sync_folder};
use crate::words::counted;

/// How often the file of secrets is looked at, so that a rotation needs no restart.
const SECRETS_EVERY: Duration = Duration::from_secs(1);

/// The secrets that are valid. Where none is configured, a fresh one is made and kept in the data directory.
pub(super) fn ensure_secrets(
    config: &Config,
    environment: &Environment,
    data_dir: &Path,
    warnings: &mut Vec<String>,
) -> Result<WebhookSecrets, DaemonError> {
    let known = config
        .ingest
        .webhook_secrets(environment, data_dir, warnings)?;
    let found = match known {
        Some(found) => Some(found),
        None => {
            let path = data_dir.join(WEBHOOK_SECRET_FILE);
            make_secret(&path)?;
            warnings.push(format!(
                "made a new webhook secret in {}: Waldo's dashboard needs the URL that `waldo-syncd webhook-url` shows",
                path.display()
            ));
            config
                .ingest
                .webhook_secrets(environment, data_dir, warnings)?
        }
    };
    let unreadable = || io::Error::new(io::ErrorKind::NotFound, "the fresh secret cannot be read");
    found.ok_or_else(|| DaemonError::File {
        path: data_dir.join(WEBHOOK_SECRET_FILE),
        source: unreadable(),
    })
}

/// Writes a fresh secret of 256 bits to a file that only its owner can read, unless the file is there already. It takes its
/// name when it is whole: a crash leaves no half of one, which would be taken for a short secret or none.
///
/// # Errors
/// When the file cannot be written.
pub fn make_secret(path: &Path) -> Result<(), DaemonError> {
    let write = || -> io::Result<()> {
        let folder = folder_of(path);
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        writeln!(file, "{}", fresh_secret()?)?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(path) {
            Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
            _ => sync_folder(folder),
        }
    };
    if path.exists() {
        return Ok(());
    }
    write().map_err(|source| DaemonError::File {
        path: path.to_owned(),
        source,
    })
}

/// 256 random bits as 64 hex digits.
///
/// # Errors
/// When the system has no randomness to give.
pub fn fresh_secret() -> io::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(hex::encode(bytes))
}

pub(super) fn signature(
    config: &Config,
    environment: &Environment,
    warnings: &mut Vec<String>,
) -> Result<Option<Signature>, DaemonError> {
    let key = config.ingest.hmac_key(environment, warnings)?;
    let header = config.ingest.hmac_header.clone();
    Ok(header
        .zip(key)
        .map(|(header, key)| Signature { header, key }))
}

/// Takes up a rotation of the webhook secret when its file changes.
pub(super) async fn follow_secrets(
    config: Config,
    environment: Environment,
    data_dir: PathBuf,
    secrets: Secrets,
) {
    let Some(path) = config.ingest.webhook_secret_file(&environment, &data_dir) else {
        return;
    };
    let mut seen: Option<(SystemTime, u64)> = None;
    loop {
        let found = tokio::fs::metadata(&path).await.ok();
        let stamp = found.and_then(|meta| Some((meta.modified().ok()?, meta.len())));
        if stamp.is_some() && stamp != seen {
            match config
                .ingest
                .webhook_secrets(&environment, &data_dir, &mut Vec::new())
            {
                Ok(Some(found)) => {
                    if seen.is_some() {
                        let number = found.all().count() as u64;
                        log::info!(
                            "the webhook secrets have changed: {} valid now",
                            counted(number, "is", "are")
                        );
                    }
                    secrets.set(found.all());
                }
                Ok(None) => {}
                Err(error) => log::error!("the webhook secrets stay as they were: {error}"),
            }
            seen = stamp;
        }
        tokio::time::sleep(SECRETS_EVERY).await;
    }
}
