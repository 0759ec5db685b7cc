//! Tests of the configuration, a file a noun; here is what they share.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod environment;
mod layers;
mod secrets;
mod show;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

/// A folder with a configuration file in it.
struct Folder {
    dir: TempDir,
}

impl Folder {
    fn new(config: &str) -> Self {
        let folder = Self {
            dir: TempDir::new().unwrap(),
        };
        folder.write("config.toml", config);
        folder
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        set_mode(&path, 0o600);
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        load(
            Some(&self.path("config.toml")),
            &Environment::default(),
            &[],
        )
    }
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn variables(pairs: &[(&str, &str)]) -> Environment {
    Environment::of(
        pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string())),
    )
}

fn from_flags(flags: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let flags: Vec<_> = flags
        .iter()
        .map(|(key, value)| (*key, value.to_string()))
        .collect();
    load(None, &Environment::default(), &flags)
}

/// Loads a file of this text and gives the error's text with the file's path as `FILE`.
fn complaint(config: &str) -> String {
    let folder = Folder::new(config);
    let error = folder
        .load()
        .expect_err("the configuration should be refused")
        .to_string();
    error.replace(&folder.path("config.toml").display().to_string(), "FILE")
}
