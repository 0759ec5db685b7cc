//! doctor: what is wrong is named, with what to do, and nothing else is.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

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
    let data = daemon.data();
    for said in [
        format!("`waldo-syncd serve --data-dir {}`", data.display()),
        format!("`waldo-syncd check --data-dir {}`", data.display()),
        "1 webhook secret is valid".to_owned(),
    ] {
        assert!(run.stdout.contains(&said), "{said}: {}", run.stdout);
    }
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

/// Has the note of the last backup say another time, as if it had been made then.
fn made_hours_ago(note: &Path, hours: i64) {
    let mut noted: Value = serde_json::from_slice(&fs::read(note).unwrap()).unwrap();
    let then = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours);
    noted["at"] = then.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string().into();
    fs::write(note, noted.to_string()).unwrap();
}

#[test]
fn backups_that_are_late_are_a_problem() {
    let mut daemon = Daemon::start();
    let folder = daemon.place().path().join("backups");
    fs::create_dir(&folder).unwrap();
    let config = daemon.place().file(
        "config.toml",
        format!("[backup]\ndir = \"{}\"\nevery = \"1h\"\n", folder.display()),
    );
    let config = ["--config", config.to_str().unwrap()];
    let backup = |daemon: &Daemon, arguments: &[&str]| {
        let (_, findings) = doctor(daemon.place(), arguments);
        levels(&findings, "backup")
    };
    assert_eq!(backup(&daemon, &config), ["warning"]);
    // What has no manifest was not checked, whatever its name.
    fs::write(folder.join("waldo-syncd-20261124T030000Z.db"), "no backup").unwrap();
    assert_eq!(backup(&daemon, &config), ["warning"]);
    let run = daemon
        .place()
        .cli(&["backup", folder.to_str().unwrap(), "--json"]);
    run.assert_code(0);
    let path = run.json_lines()[0]["path"].as_str().unwrap().to_owned();
    assert_eq!(backup(&daemon, &config), ["ok"]);
    // Also where it is made from outside and no directory is configured.
    assert_eq!(backup(&daemon, &[]), ["ok"]);
    daemon.stop();
    let note = daemon.data().join("last-backup.json");
    fs::rename(&path, daemon.place().path().join("elsewhere.db")).unwrap();
    assert_eq!(backup(&daemon, &[]), ["warning"], "it is gone");
    made_hours_ago(&note, 3);
    assert_eq!(backup(&daemon, &config), ["problem"]);
    made_hours_ago(&note, 50);
    assert_eq!(backup(&daemon, &[]), ["warning"], "no timer is seen to run");
}

#[test]
fn what_the_proxy_passes_on_is_asked_only_where_its_name_is_given() {
    let daemon = Daemon::start();
    let base = |door: &str| format!("http://{}", daemon.address(door));
    let (_, findings) = doctor(daemon.place(), &[]);
    assert_eq!(levels(&findings, "proxy"), Vec::<String>::new());
    // Without TLS in both cases. A proxy that passes on what it should,
    let (run, findings) = doctor(daemon.place(), &["--public", &base("ingest")]);
    assert_eq!(
        levels(&findings, "proxy"),
        ["problem", "ok", "ok"],
        "{}",
        run.stdout
    );
    // and one that leads to the wrong door.
    let (run, findings) = doctor(daemon.place(), &["--public", &base("query")]);
    assert_eq!(levels(&findings, "proxy"), ["problem"; 3], "{}", run.stdout);
    assert!(
        run.stdout.contains("reads every customer"),
        "{}",
        run.stdout
    );
    let before = daemon.get("/v1/stats").json();
    assert_eq!(before["events"]["total"], 0, "nothing was posted");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = format!("https://{}", free.local_addr().unwrap());
    drop(free);
    let (run, findings) = doctor(daemon.place(), &["--public", &gone]);
    assert_eq!(levels(&findings, "proxy"), ["problem"], "{}", run.stdout);
    daemon
        .place()
        .cli(&["doctor", "--public", "hooks"])
        .assert_code(2);
}

#[test]
fn an_outside_name_with_a_password_or_the_secret_is_refused_and_not_shown() {
    let place = Place::new();
    for (base, why) in [
        ("https://user:hush@hooks.example.com", "without `@`"),
        ("https://user:hu/sh@hooks.example.com", "without `@`"),
        (
            "https://hooks.example.com/webhooks/waldo/hush",
            "without `/webhooks/`",
        ),
        (
            "https://hooks.example.com/base/webhooks/waldo/hush?a=b",
            "without `/webhooks/`",
        ),
    ] {
        for command in ["doctor", "init", "webhook-url"] {
            let run = place.cli(&[command, "--public", base]);
            run.assert_code(2);
            assert!(run.stderr.contains(why), "{}", run.stderr);
            let shown = [run.stdout, run.stderr].concat();
            assert!(
                !shown.contains("hush") && !shown.contains("hu/sh"),
                "{command} {base}: {shown}"
            );
        }
    }
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
