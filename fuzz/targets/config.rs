//! Any text as a configuration file: it is taken, or each problem names the line or the key; never a panic, never a
//! secret on the way out.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use waldo_syncd::config::{ConfigError, KEYS, Problem, load_text, show, show_json};

const SECRET: &str = "canary-0123456789-secret";

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if text.contains(SECRET) {
        return;
    }
    try_text(text);
    try_text(&format!("[ingest]\nsecret = \"{SECRET}\"\n{text}"));
    try_text(&format!("[waldo]\napi_key = \"{SECRET}\"\n{text}"));
});

fn try_text(text: &str) {
    let said = match load_text(Path::new("/etc/waldo-syncd/config.toml"), text) {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|warning| one_line(warning));
            let json = serde_json::to_string(&show_json(&loaded)).expect("objects");
            format!("{}\n{json}\n{loaded:?}", show(&loaded))
        }
        Err(ConfigError::Invalid(problems)) => {
            assert!(!problems.is_empty());
            problems.iter().for_each(check);
            format!("{problems:?}")
        }
        Err(other) => {
            one_line(&other.to_string());
            format!("{other}\n{other:?}")
        }
    };
    assert!(!said.contains(SECRET), "{said}");
}

fn check(problem: &Problem) {
    let message = problem.to_string();
    one_line(&message);
    let lines = message.split("line ").skip(1);
    let names_line = lines
        .filter_map(|rest| rest.chars().next())
        .any(|digit| digit.is_ascii_digit());
    let names_key = KEYS.iter().any(|key| message.contains(key.name));
    assert!(names_line || names_key, "neither line nor key: {message}");
}

fn one_line(message: &str) {
    assert!(!message.is_empty());
    assert!(!message.contains(|c: char| c.is_control()), "{message:?}");
}
