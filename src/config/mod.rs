//! The configuration: plain data that each layer gets its own section of, and everything about how it comes to be.
//!
//! `table` lists the keys and makes the structs; `value` and `check` read single values; `load` puts the layers over
//! one another and `together` checks them as a whole; `environment` finds files and directories; `secret` reads secret
//! files; `show` prints. Invariants: imports nothing else of ours, logs nothing (warnings are returned), keeps no
//! global, and looks at the process in `Environment::from_process` only.

mod check;
mod environment;
mod error;
mod hint;
mod load;
mod secret;
mod show;
mod table;
#[cfg(test)]
mod tests;
mod together;
mod value;

pub use check::address;
pub use environment::Environment;
pub use error::{ConfigError, Given, Place, Problem};
pub use load::{Loaded, Origin, load, load_text};
pub use secret::{Secret, WEBHOOK_SECRET_FILE, WaldoCredentials, WebhookSecrets, read_secret_file};
pub use show::{show, show_json, template};
pub use table::{
    BackupConfig, Config, ControlConfig, GatewayConfig, IngestConfig, KEYS, Key, LimitsConfig,
    LogConfig, QueryConfig, RequestsConfig, RetentionConfig, SECTIONS, StoreConfig, WaldoConfig,
};
pub use value::{ByteSize, FileMode, LogFormat};
