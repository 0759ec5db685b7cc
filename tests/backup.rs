//! Backups and restores: what a backup holds while webhooks come in, what stops one, what is refused, what a crash leaves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "backup/making.rs"]
mod making;
#[path = "backup/replica.rs"]
mod replica;
#[path = "backup/restoring.rs"]
mod restoring;
#[path = "backup/schedule.rs"]
mod schedule;
#[path = "backup/trouble.rs"]
mod trouble;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use common::http::Answer;
use common::place::Run;
use common::{Daemon, Place};

const SOON: Duration = Duration::from_secs(30);

/// A folder for backups in a daemon's place.
fn folder(place: &Place) -> PathBuf {
    let path = place.path().join("backups");
    fs::create_dir_all(&path).unwrap();
    path
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Asks the control door for a backup.
#[track_caller]
fn ask(daemon: &Daemon, path: &Path, force: bool) -> Answer {
    let body = json!({"path": path, "force": force}).to_string();
    daemon
        .controller()
        .call("POST", "/v1/backup", &[], Some(body.as_bytes()))
        .unwrap()
}

/// A backup that must be made; what the daemon says of it.
#[track_caller]
fn made(daemon: &Daemon, path: &Path) -> Value {
    let answer = ask(daemon, path, false);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

/// Where a backup is.
#[track_caller]
fn file_of(backup: &Value) -> PathBuf {
    PathBuf::from(backup["path"].as_str().expect("a path"))
}

/// `restore FILE` into the data directory of a place.
#[track_caller]
fn restore(place: &Place, file: &Path, more: &[&str]) -> Run {
    let file = file.to_str().unwrap();
    place.cli(&[&["restore", file, "--json"], more].concat())
}

/// Bodies that make the file large enough for a backup to take a while.
#[track_caller]
fn fill(daemon: &Daemon, mebibytes: usize) -> u64 {
    let path = daemon.webhook_path();
    let mut sender = daemon.sender();
    let mut last = 0;
    for number in 0..mebibytes {
        let filler = "x".repeat(1_000_000);
        let body = json!({"event": "flag", "flag": true, "customerId": format!("c{number}"), "filler": filler});
        let answer = sender.call("POST", &path, &[], Some(body.to_string().as_bytes()));
        last = answer.unwrap().seq();
    }
    last
}
