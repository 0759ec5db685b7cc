//! Secrets: the type that cannot be printed, and where each one is read from.
//!
//! Invariant: a secret leaves this type by `expose` only. Debug, Display and Serialize say `[redacted]`, and no error
//! or warning of this module carries any part of one.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;

use super::check::MIN_SECRET_CHARS;
use super::environment::Environment;
use super::error::ConfigError;
use super::table::{IngestConfig, QueryConfig, WaldoConfig};

/// The file of the daemon's own webhook secret inside the data directory, and the name of its systemd credential.
pub const WEBHOOK_SECRET_FILE: &str = "webhook-secret";
const REDACTED: &str = "[redacted]";
/// Nothing that is a secret file is larger; a wrong path may well be.
const MAX_SECRET_FILE_BYTES: u64 = 64 * 1024;

/// A text that is shown as `[redacted]` wherever it is printed.
#[derive(Clone, Eq)]
pub struct Secret(String);

impl Secret {
    /// Trims the text; None when nothing is left or it holds control characters, line breaks among them.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let good = !text.is_empty() && !text.chars().any(char::is_control);
        good.then(|| Self(text.to_owned()))
    }

    /// The secret itself: for comparing and sending, never for a log line or an answer.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(super) fn is_long(&self) -> bool {
        self.0.chars().count() >= MIN_SECRET_CHARS
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl serde::Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

/// The webhook secrets that are valid at once.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookSecrets {
    /// The one that `webhook-url` shows.
    pub current: Secret,
    /// Older ones that are still taken.
    pub accepted: Vec<Secret>,
}

impl WebhookSecrets {
    /// Every secret that is taken, the current one first.
    pub fn all(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.current).chain(&self.accepted)
    }
}

/// What Waldo's login asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct WaldoCredentials {
    /// Names the key.
    pub api_key: Secret,
    /// Proves that it is ours.
    pub client_secret: Secret,
}

impl IngestConfig {
    /// The file the webhook secret is read from, whether it exists or not: `secret_file`, else the systemd credential,
    /// else `webhook-secret` in the data directory. None when the secret stands in the configuration itself.
    pub fn webhook_secret_file(
        &self,
        environment: &Environment,
        data_dir: &Path,
    ) -> Option<PathBuf> {
        if self.secret.is_some() {
            return None;
        }
        let configured = self.secret_file.clone();
        let found = configured.or_else(|| environment.credential(WEBHOOK_SECRET_FILE));
        Some(found.unwrap_or_else(|| data_dir.join(WEBHOOK_SECRET_FILE)))
    }

    /// The valid webhook secrets. None when none is configured and the data directory has none yet: the caller makes
    /// one. Remarks on file rights are added to `warnings`, as in all readers here.
    pub fn webhook_secrets(
        &self,
        environment: &Environment,
        data_dir: &Path,
        warnings: &mut Vec<String>,
    ) -> Result<Option<WebhookSecrets>, ConfigError> {
        let own = data_dir.join(WEBHOOK_SECRET_FILE);
        let mut lines = match (
            &self.secret,
            self.webhook_secret_file(environment, data_dir),
        ) {
            (Some(secret), _) => vec![secret.clone()],
            (None, Some(path)) => {
                if path == own && self.secret_file.is_none() && is_absent(&path) {
                    return Ok(None);
                }
                let read = read_secret_file(&path, environment, warnings).and_then(|lines| {
                    match lines.iter().all(Secret::is_long) {
                        true => Ok(lines),
                        false => Err(ConfigError::SecretShort { path }),
                    }
                });
                of_key("ingest.secret_file", &self.secret_file, read)?
            }
            (None, None) => return Ok(None),
        };
        lines.extend(self.secrets_accepted.iter().cloned());
        let current = lines.remove(0);
        let mut accepted: Vec<Secret> = Vec::new();
        for secret in lines {
            if secret != current && !accepted.contains(&secret) {
                accepted.push(secret);
            }
        }
        Ok(Some(WebhookSecrets { current, accepted }))
    }

    /// The key for `hmac_header`; None when no header is configured.
    pub fn hmac_key(
        &self,
        environment: &Environment,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Secret>, ConfigError> {
        if self.hmac_header.is_none() {
            return Ok(None);
        }
        let file = self
            .hmac_key_file
            .clone()
            .or_else(|| environment.credential("hmac-key"));
        let read = file.map(|path| read_long_secret(path, environment, warnings));
        of_key(
            "ingest.hmac_key_file",
            &self.hmac_key_file,
            read.transpose(),
        )
    }
}

impl QueryConfig {
    /// The bearer token that readers must present; None when the door asks for none.
    pub fn token(
        &self,
        environment: &Environment,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Secret>, ConfigError> {
        let file = self
            .token_file
            .clone()
            .or_else(|| environment.credential("query-token"));
        let read = file.map(|path| read_long_secret(path, environment, warnings));
        of_key("query.token_file", &self.token_file, read.transpose())
    }
}

impl WaldoConfig {
    /// The credentials for Waldo's API; None when neither is configured, an error when one is missing.
    pub fn credentials(
        &self,
        environment: &Environment,
        warnings: &mut Vec<String>,
    ) -> Result<Option<WaldoCredentials>, ConfigError> {
        let mut find = |text: &Option<Secret>, file: &Option<PathBuf>, key, credential| match text {
            Some(secret) => Ok(Some(secret.clone())),
            None => {
                let found = file.clone().or_else(|| environment.credential(credential));
                let read = found.map(|path| read_one_secret(path, environment, warnings));
                of_key(key, file, read.transpose())
            }
        };
        let api_key = find(
            &self.api_key,
            &self.api_key_file,
            "waldo.api_key_file",
            "waldo-api-key",
        )?;
        let secret = find(
            &self.client_secret,
            &self.client_secret_file,
            "waldo.client_secret_file",
            "waldo-client-secret",
        )?;
        match (api_key, secret) {
            (Some(api_key), Some(client_secret)) => Ok(Some(WaldoCredentials {
                api_key,
                client_secret,
            })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(ConfigError::HalfCredentials {
                has: "api_key",
                lacks: "client_secret",
            }),
            (None, Some(_)) => Err(ConfigError::HalfCredentials {
                has: "client_secret",
                lacks: "api_key",
            }),
        }
    }
}

/// Only "not there" counts as absent: a file that cannot be looked at is reported when it is read.
fn is_absent(path: &Path) -> bool {
    matches!(path.try_exists(), Ok(false))
}

/// A file with exactly one secret of at least 16 characters: a key or token the user chose.
/// Names the key, where it is one that named the file.
fn of_key<T>(
    key: &'static str,
    configured: &Option<PathBuf>,
    read: Result<T, ConfigError>,
) -> Result<T, ConfigError> {
    read.map_err(|error| match configured {
        Some(_) => ConfigError::OfKey {
            key,
            error: Box::new(error),
        },
        None => error,
    })
}

fn read_long_secret(
    path: PathBuf,
    environment: &Environment,
    warnings: &mut Vec<String>,
) -> Result<Secret, ConfigError> {
    let secret = read_one_secret(path.clone(), environment, warnings)?;
    if secret.is_long() {
        Ok(secret)
    } else {
        Err(ConfigError::SecretShort { path })
    }
}

fn read_one_secret(
    path: PathBuf,
    environment: &Environment,
    warnings: &mut Vec<String>,
) -> Result<Secret, ConfigError> {
    let lines = read_secret_file(&path, environment, warnings)?;
    match <[Secret; 1]>::try_from(lines) {
        Ok([secret]) => Ok(secret),
        Err(lines) => Err(ConfigError::SecretMany {
            path,
            count: lines.len(),
        }),
    }
}

/// The secrets of a file, one a line, at least one. Blank lines and lines that start with `#` do not count.
pub fn read_secret_file(
    path: &Path,
    environment: &Environment,
    warnings: &mut Vec<String>,
) -> Result<Vec<Secret>, ConfigError> {
    let unreadable = |source| ConfigError::SecretUnreadable {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    // systemd sees to the rights of its credentials, and shows some of them as readable by a group.
    if !environment.is_credential(path) {
        warnings.extend(open_to_others(&file, path));
    }
    let text = read_text(file, MAX_SECRET_FILE_BYTES).map_err(unreadable)?;
    let mut secrets = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let broken = || ConfigError::SecretBroken {
            path: path.to_owned(),
        };
        secrets.push(Secret::new(line).ok_or_else(broken)?);
    }
    if secrets.is_empty() {
        return Err(ConfigError::SecretEmpty {
            path: path.to_owned(),
        });
    }
    Ok(secrets)
}

/// Reads a text file of at most `limit` bytes.
pub(super) fn read_text(file: File, limit: u64) -> io::Result<String> {
    let mut text = String::new();
    file.take(limit + 1).read_to_string(&mut text)?;
    if text.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {limit} bytes"),
        ));
    }
    Ok(text)
}

/// A warning when others than the owner may read the file.
#[cfg(unix)]
pub(super) fn open_to_others(file: &File, path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;

    let mode = file.metadata().ok()?.permissions().mode() & 0o777;
    (mode & 0o044 != 0).then(|| {
        let path = path.display();
        format!("{path} holds a secret and is readable by group or others (mode {mode:04o}): chmod 600 {path}")
    })
}

#[cfg(not(unix))]
pub(super) fn open_to_others(_file: &File, _path: &Path) -> Option<String> {
    None
}
