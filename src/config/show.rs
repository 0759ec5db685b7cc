//! What a person sees of a configuration: `config show` as TOML or JSON, and the commented example for `init`.
//!
//! Invariant: secrets come out as `[redacted]`; the TOML reads back as the same configuration, secrets apart.

use std::path::Path;

use serde_json::json;

use super::load::{Loaded, Origin};
use super::table::SECTIONS;

const EXAMPLE: &str = include_str!("../../packaging/config.toml");

/// The effective configuration as TOML; a comment behind each value says where it came from.
pub fn show(loaded: &Loaded) -> String {
    let mut text = match &loaded.file {
        Some(path) => format!("# file: {}\n", path.display()),
        None => "# no configuration file\n".to_owned(),
    };
    for (section, _) in SECTIONS {
        text.push_str(&format!("\n[{section}]\n"));
        for (key, origin) in loaded.settings().filter(|(key, _)| key.section == *section) {
            let value = key.value(&loaded.config).unwrap_or_else(|| "".into());
            text.push_str(&format!("{} = {value} # {}\n", key.name, origin.word()));
        }
    }
    text
}

/// The same as one JSON object a key: `key`, `value` (null when absent), `origin`, `line` (of the file, or null).
pub fn show_json(loaded: &Loaded) -> Vec<serde_json::Value> {
    let one = |(key, origin): (&super::Key, Origin)| {
        let line = if let Origin::File { line } = origin {
            Some(line)
        } else {
            None
        };
        json!({
            "key": key.dotted(),
            "value": key.value(&loaded.config),
            "origin": origin.word(),
            "line": line,
        })
    };
    loaded.settings().map(one).collect()
}

/// The commented example with the webhook secret's file filled in.
pub fn template(secret_file: &Path) -> String {
    let path = toml::Value::String(secret_file.display().to_string());
    let mut text = String::with_capacity(EXAMPLE.len() + 64);
    for line in EXAMPLE.lines() {
        match line.strip_prefix("#secret_file = ") {
            Some(_) => text.push_str(&format!("secret_file = {path}\n")),
            None => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}
