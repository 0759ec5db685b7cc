//! What the surroundings of the process say: variables, directories, systemd credentials, captured once.
//!
//! Invariant: `Environment::from_process` is the only place of the configuration that looks at the process itself, so
//! that a test can fill an `Environment` by hand.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::table::{ControlConfig, StoreConfig};

const SYSTEM_CONFIG: &str = "/etc/waldo-syncd/config.toml";
const CONTROL_SOCKET: &str = "control.sock";

/// The surroundings of a process. The user's directories end in `waldo-syncd` already.
#[derive(Clone, Default)]
pub struct Environment {
    /// The environment variables.
    pub variables: BTreeMap<String, String>,
    /// Where relative paths of flags and variables start.
    pub current_dir: PathBuf,
    /// The configuration of the whole machine, looked for first.
    pub system_config: Option<PathBuf>,
    /// The user's directory for configuration.
    pub user_config_dir: Option<PathBuf>,
    /// The user's directory for data.
    pub user_data_dir: Option<PathBuf>,
    /// The user's directory for sockets.
    pub user_runtime_dir: Option<PathBuf>,
}

/// Names only: a variable may hold a secret.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("variables", &self.variables.keys())
            .field("current_dir", &self.current_dir)
            .field("system_config", &self.system_config)
            .field("user_config_dir", &self.user_config_dir)
            .field("user_data_dir", &self.user_data_dir)
            .field("user_runtime_dir", &self.user_runtime_dir)
            .finish()
    }
}

impl Environment {
    /// The surroundings of this process. Variables that are not UTF-8 are kept with replacement characters, so that a
    /// broken one of ours is refused by its check instead of being passed over.
    pub fn from_process() -> Self {
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let dirs = directories::ProjectDirs::from("", "", "waldo-syncd");
        let dirs = dirs.as_ref();
        Self {
            variables: std::env::vars_os()
                .map(|(name, value)| (lossy(name), lossy(value)))
                .collect(),
            current_dir: std::env::current_dir().unwrap_or_default(),
            system_config: Some(PathBuf::from(SYSTEM_CONFIG)),
            user_config_dir: dirs.map(|dirs| dirs.config_dir().to_owned()),
            user_data_dir: dirs.map(|dirs| dirs.data_dir().to_owned()),
            user_runtime_dir: dirs.and_then(|dirs| dirs.runtime_dir()).map(Path::to_owned),
        }
    }

    /// Surroundings of these variables and nothing else.
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            variables: variables.into_iter().collect(),
            ..Self::default()
        }
    }

    /// The configuration file to read: the explicit one, else the machine's, else the user's, else none. A file that
    /// cannot be looked at is an error: to pass over it would start a daemon with other settings than meant.
    pub fn config_file(&self, explicit: Option<&Path>) -> Result<Option<PathBuf>, ConfigError> {
        if let Some(path) = explicit {
            return Ok(Some(self.current_dir.join(path)));
        }
        let user = self
            .user_config_dir
            .as_ref()
            .map(|dir| dir.join("config.toml"));
        for path in self.system_config.iter().chain(&user) {
            match path.try_exists() {
                Ok(true) => return Ok(Some(path.clone())),
                Ok(false) => {}
                Err(source) => {
                    return Err(ConfigError::Unreadable {
                        path: path.clone(),
                        source,
                    });
                }
            }
        }
        Ok(None)
    }

    /// The data directory: the configured one, else systemd's, else the user's.
    pub fn data_dir(&self, store: &StoreConfig) -> Result<PathBuf, ConfigError> {
        (store.data_dir.clone())
            .or_else(|| self.first_path("STATE_DIRECTORY"))
            .or_else(|| self.user_data_dir.clone())
            .ok_or(ConfigError::NoDataDir)
    }

    /// The runtime directory: systemd's, else the user's for the user's own data directory, else the data directory,
    /// so that two daemons of one user do not meet at one socket.
    pub fn runtime_dir(&self, data_dir: &Path) -> PathBuf {
        let usual = self.user_data_dir.as_deref() == Some(data_dir);
        (self.first_path("RUNTIME_DIRECTORY"))
            .or_else(|| self.user_runtime_dir.clone().filter(|_| usual))
            .unwrap_or_else(|| data_dir.to_owned())
    }

    /// The control socket: the configured one, else `control.sock` in the runtime directory.
    pub fn control_path(&self, control: &ControlConfig, data_dir: &Path) -> PathBuf {
        let usual = || self.runtime_dir(data_dir).join(CONTROL_SOCKET);
        control.path.clone().unwrap_or_else(usual)
    }

    /// The file of a systemd credential, if the unit was given it.
    pub fn credential(&self, name: &str) -> Option<PathBuf> {
        self.first_path("CREDENTIALS_DIRECTORY")
            .map(|dir| dir.join(name))
            .filter(|path| path.is_file())
    }

    pub(super) fn is_credential(&self, path: &Path) -> bool {
        self.first_path("CREDENTIALS_DIRECTORY")
            .is_some_and(|dir| path.starts_with(dir))
    }

    /// systemd gives several directories of a kind separated by colons.
    fn first_path(&self, variable: &str) -> Option<PathBuf> {
        let first = self.variables.get(variable)?.split(':').next()?;
        (!first.is_empty()).then(|| self.current_dir.join(first))
    }
}
