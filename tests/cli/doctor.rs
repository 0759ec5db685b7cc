//! doctor: what is wrong is named, with what to do, and nothing else is.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::common::bodies::*;
use crate::common::place::Run;
use crate::common::{Daemon, Place};

fn doctor(place: &Place, more: &[&str]) -> (Run, Vec<Value>) {
    let run = place.cli(&[&["doctor", "--json"], more].concat());
    let findings = run.json_lines();
    for finding in &findings {
        let level = finding["level"].as_str().unwrap();
        assert!(["ok", "warning", "problem"].contains(&level), "{finding}");
        assert!(finding["finding"].is_string(), "{finding}");
    }
    let problems = findings.iter().any(|finding| finding["level"] == "problem");
    run.assert_code(i32::from(problems));
    (run, findings)
}

/// The levels of a check.
fn levels(findings: &[Value], check: &str) -> Vec<String> {
    let of_check = findings.iter().filter(|finding| finding["check"] == check);
    of_check
        .map(|finding| finding["level"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_sound_daemon_has_no_problem() {
    let daemon = Daemon::start();
    let control = daemon.place().control();
    let config = daemon.place().file(
        "config.toml",
        format!("[control]\npath = \"{}\"\n", control.display()),
    );
    let config = ["--config", config.to_str().unwrap()];
    let (_, findings) = doctor(daemon.place(), &config);
    assert_eq!(levels(&findings, "webhooks"), ["warning"], "none came yet");
    let seq = daemon.deliver(flag(ADA, true));
    daemon.event(seq);
    let (run, findings) = doctor(daemon.place(), &config);
    run.assert_code(0);
    for check in [
        "config", "secret", "data", "disk", "database", "clock", "daemon", "webhooks", "control",
    ] {
        assert_eq!(levels(&findings, check), ["ok"], "{check}: {findings:#?}");
    }
    assert_eq!(levels(&findings, "backup"), ["warning"]);
    assert_eq!(levels(&findings, "waldo"), Vec::<String>::new());
    let people = daemon.place().cli(&["doctor"]);
    people.assert_code(0);
    assert!(people.stdout.contains("→"), "{}", people.stdout);
}

#[test]
fn a_daemon_that_does_not_run_is_a_problem() {
    let mut daemon = Daemon::start();
    daemon.stop();
    let (run, findings) = doctor(daemon.place(), &[]);
    run.assert_code(1);
    assert_eq!(levels(&findings, "daemon"), ["problem"]);
    assert_eq!(levels(&findings, "database"), ["ok"]);
}

#[test]
fn rights_that_are_too_wide_are_problems() {
    let daemon = Daemon::start();
    for (path, wide, right) in [
        (daemon.data(), 0o755, 0o700),
        (daemon.data().join("waldo-syncd.db"), 0o644, 0o600),
    ] {
        fs::set_permissions(&path, Permissions::from_mode(wide)).unwrap();
        let (run, findings) = doctor(daemon.place(), &[]);
        run.assert_code(1);
        assert_eq!(levels(&findings, "data"), ["problem"], "{}", path.display());
        assert!(run.stdout.contains("chmod"), "{}", run.stdout);
        fs::set_permissions(&path, Permissions::from_mode(right)).unwrap();
    }
    let control = daemon.place().control();
    let config = daemon.place().file(
        "config.toml",
        format!("[control]\npath = \"{}\"\n", control.display()),
    );
    fs::set_permissions(&control, Permissions::from_mode(0o666)).unwrap();
    let (_, findings) = doctor(daemon.place(), &["--config", config.to_str().unwrap()]);
    assert_eq!(levels(&findings, "control"), ["problem"]);
}

#[test]
fn a_broken_configuration_is_told() {
    let place = Place::new();
    let config = place.file("config.toml", "[ingest]\nlisten = 5\nlistne = \"x\"\n");
    let (run, findings) = doctor(&place, &["--config", config.to_str().unwrap()]);
    run.assert_code(1);
    assert_eq!(levels(&findings, "config"), ["problem"]);
    assert_eq!(findings.len(), 1);
}

#[test]
fn backups_that_are_late_are_a_problem() {
    let daemon = Daemon::start();
    let folder = daemon.place().path().join("backups");
    fs::create_dir(&folder).unwrap();
    let config = daemon.place().file(
        "config.toml",
        format!("[backup]\ndir = \"{}\"\nevery = \"1h\"\n", folder.display()),
    );
    let config = ["--config", config.to_str().unwrap()];
    let backup = || {
        let (_, findings) = doctor(daemon.place(), &config);
        levels(&findings, "backup")
    };
    assert_eq!(backup(), ["warning"]);
    let file = fs::File::create(folder.join("waldo-syncd.db")).unwrap();
    assert_eq!(backup(), ["ok"]);
    let old = SystemTime::now() - Duration::from_secs(3 * 3600);
    file.set_modified(old).unwrap();
    assert_eq!(backup(), ["problem"]);
}

#[test]
fn whether_waldo_answers_is_asked_only_online() {
    let daemon = Daemon::start();
    // Whatever answers there is not known to be no Waldo; a port that nobody listens at is.
    let there = format!(
        "[waldo]\napi_url = \"http://{}\"\n",
        daemon.doors()["query"].as_str().unwrap()
    );
    let there = daemon.place().file("there.toml", there);
    let (_, findings) = doctor(
        daemon.place(),
        &["--online", "--config", there.to_str().unwrap()],
    );
    assert_eq!(levels(&findings, "waldo"), ["ok"], "{findings:#?}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let gone = format!("[waldo]\napi_url = \"http://{address}\"\n");
    let gone = daemon.place().file("gone.toml", gone);
    let (_, findings) = doctor(
        daemon.place(),
        &["--online", "--config", gone.to_str().unwrap()],
    );
    assert_eq!(levels(&findings, "waldo"), ["problem"], "{findings:#?}");
}
