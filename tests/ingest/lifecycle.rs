//! Start, second start, stop: doors that cannot be opened, one daemon a folder, what stays on the disk and who may read it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::common::bodies::*;
use crate::common::place::{EXIT_LIMIT, Run, poll};
use crate::common::{Daemon, Place, mode};

/// Starts `serve` in a place with one argument replaced; it must refuse.
#[track_caller]
fn refused(place: &Place, name: &str, value: &str) -> Run {
    let mut arguments = place.serve_arguments();
    let at = arguments
        .iter()
        .position(|argument| argument == name)
        .unwrap();
    arguments[at + 1] = value.to_owned();
    let mut command = place.command();
    command.args(&arguments);
    let run = place.finish(command);
    run.assert_code(1);
    assert!(
        !place.path().join("ready.json").exists(),
        "it said that it was ready"
    );
    run
}

#[test]
fn busy_port_ends_the_start_and_names_door_address_and_cause() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for door in ["ingest", "query"] {
        let place = Place::new();
        let run = refused(&place, &format!("--{door}"), &address);
        let text = run.stderr.to_lowercase();
        assert!(text.contains(door), "{text}");
        assert!(text.contains(&address), "{text}");
        assert!(text.contains("in use"), "{text}");
    }
}

#[test]
fn control_path_that_is_no_socket_is_refused_and_left_alone() {
    let place = Place::new();
    let file = place.file("precious", "content");
    let run = refused(&place, "--control", file.to_str().unwrap());
    assert!(run.stderr.contains("control"), "{}", run.stderr);
    assert!(
        run.stderr.contains(file.to_str().unwrap()),
        "{}",
        run.stderr
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "content");
}

#[test]
fn second_daemon_on_the_same_folder_is_refused() {
    let daemon = Daemon::start();
    let other = Place::new();
    let mut arguments = other.serve_arguments();
    let data = daemon.data();
    arguments[2] = data.to_str().unwrap().to_owned();
    let mut command = other.command();
    command.args(&arguments);
    let run = other.finish(command);
    run.assert_code(1);
    let text = &run.stderr;
    assert!(
        text.contains(data.to_str().unwrap()),
        "the folder is not named: {text}"
    );
    let said = ["already", "another", "in use", "running"];
    assert!(said.iter().any(|word| text.contains(word)), "{text}");
    daemon.deliver(flag("c", true));
    let doors = fs::read_to_string(data.join("doors.json")).unwrap();
    assert!(
        doors.contains(&daemon.address("query").to_string()),
        "{doors}"
    );
}

#[test]
fn folder_is_free_again_after_a_kill() {
    let mut daemon = Daemon::start();
    let before = daemon.deliver(flag("c", true));
    daemon.kill();
    daemon.start_again();
    let after = daemon.deliver(flag("c", false));
    assert!(after > before);
    assert_eq!(daemon.event(before)["customerId"], "c");
}

#[test]
fn ready_file_names_the_real_doors() {
    let daemon = Daemon::start();
    for door in ["ingest", "query"] {
        assert_ne!(daemon.address(door).port(), 0);
        assert!(daemon.address(door).ip().is_loopback());
    }
    assert_eq!(daemon.doors()["gateway"], json!(null));
    let doors = fs::read(daemon.data().join("doors.json")).unwrap();
    let doors: serde_json::Value = serde_json::from_slice(&doors).unwrap();
    assert_eq!(&doors, daemon.doors());
    let log = daemon.log();
    for door in ["ingest", "query", "control"] {
        let address = daemon.doors()[door].as_str().unwrap();
        let said = log
            .lines()
            .any(|line| line.contains(door) && line.contains(address));
        assert!(said, "no line about {door} at {address}:\n{log}");
    }
}

#[test]
fn clean_stop_leaves_one_database_file() {
    let mut daemon = Daemon::start();
    for flagged in [true, false, true] {
        daemon.deliver(flag("c", flagged));
    }
    daemon.stop();
    let mut names: Vec<String> = fs::read_dir(daemon.data())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["waldo-syncd.db", "webhook-secret"]);
}

#[test]
fn restart_goes_on_where_it_stopped() {
    let mut daemon = Daemon::start();
    let first = daemon.deliver(onboard("c", "APPROVED", "PASSED"));
    let before = daemon.get_at("/v1/customers/c", first).json();
    daemon.restart();
    assert_eq!(daemon.get("/v1/customers/c").json(), before);
    let second = daemon.deliver(onboard("c", "REJECTED", "PASSED"));
    assert!(second > first, "{second} after {first}");
    let row = daemon.get_at("/v1/customers/c", second).json();
    assert_eq!(row["status"], "REJECTED");
    assert_eq!(row["version"], 2);
}

#[test]
fn files_are_for_the_owner_only() {
    let mut daemon = Daemon::start();
    daemon.deliver(flag("c", true));
    assert_eq!(mode(&daemon.data()), 0o700);
    for entry in fs::read_dir(daemon.data()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
    assert_eq!(mode(&daemon.data().join("waldo-syncd.db")), 0o600);
    assert_eq!(mode(&daemon.data().join("webhook-secret")), 0o600);
    daemon.stop();
    assert_eq!(mode(&daemon.data()), 0o700);
    assert_eq!(mode(&daemon.data().join("waldo-syncd.db")), 0o600);
}

#[test]
fn stop_finishes_the_answers_in_flight() {
    let mut daemon = Daemon::start();
    let path = daemon.webhook_path();
    let seqs: Vec<u64> = std::thread::scope(|scope| {
        let (go, gone) = std::sync::mpsc::channel();
        let mut senders = Vec::new();
        for sender in 0..4 {
            let (mut client, path, go) = (daemon.sender(), &path, go.clone());
            senders.push(scope.spawn(move || {
                let mut seqs = Vec::new();
                for post in 0..100_000 {
                    let body = flag(&format!("c{sender}-{post}"), true).to_string();
                    // The door closing is expected; an answer that is no 200 is not.
                    let Ok(answer) = client.call("POST", path, &[], Some(body.as_bytes())) else {
                        break;
                    };
                    seqs.push(answer.seq());
                    let _ = go.send(());
                }
                seqs
            }));
        }
        for _ in 0..40 {
            gone.recv().unwrap();
        }
        daemon.stop();
        senders
            .into_iter()
            .flat_map(|sender| sender.join().unwrap())
            .collect()
    });
    daemon.start_again();
    let last = *seqs.iter().max().unwrap();
    for seq in seqs {
        let answer = daemon.get_at(&format!("/v1/events/{seq}"), last);
        assert_eq!(answer.status, 200, "acknowledged {seq} is gone");
    }
}

/// What is written to a file that no name leads to any more is lost with the daemon: nothing of it may be acknowledged.
#[test]
fn nothing_is_acknowledged_into_a_file_that_was_removed_or_replaced() {
    for replace in [false, true] {
        let mut daemon = Daemon::start();
        daemon.deliver(onboard("before", "REVIEW", "PASSED"));
        let file = daemon.data().join("waldo-syncd.db");
        if replace {
            let other = daemon.place().path().join("other.db");
            fs::copy(&file, &other).unwrap();
            fs::rename(&other, &file).unwrap();
        } else {
            fs::remove_file(&file).unwrap();
        }
        let answer = daemon.post(onboard("after", "REVIEW", "PASSED"));
        assert_eq!(answer.status, 503, "replaced: {replace}");
        let code = daemon.wait();
        assert_eq!(code, Some(1), "{}", daemon.log());
        assert!(
            daemon.log().contains("removed or replaced"),
            "{}",
            daemon.log()
        );
    }
}

/// What others may clear away "because it is only a WAL" holds what was acknowledged last.
#[test]
fn a_wal_that_was_removed_ends_the_daemon_and_loses_nothing() {
    let mut daemon = Daemon::start();
    let last = daemon.deliver(onboard("before", "REVIEW", "PASSED"));
    for ending in ["-wal", "-shm"] {
        fs::remove_file(daemon.data().join(format!("waldo-syncd.db{ending}"))).unwrap();
    }
    let answer = daemon.post(onboard("after", "REVIEW", "PASSED"));
    assert_eq!(answer.status, 503);
    assert_eq!(daemon.wait(), Some(1), "{}", daemon.log());
    assert!(daemon.log().contains("waldo-syncd.db-wal was removed"));
    daemon.start_again();
    assert_eq!(daemon.event(last)["customerId"], "before");
    daemon.place().cli(&["check"]).assert_code(0);
}

/// A body over a small limit would fit whole into what is kept of it, and must not pass for one that was taken.
#[test]
fn refused_body_is_quarantined_also_under_a_very_small_limit() {
    let daemon = Daemon::configured(|_| "[ingest]\nmax_body = \"1 KiB\"\n".to_owned());
    let mut body = onboard("c", "APPROVED", "PASSED");
    body["filler"] = json!("x".repeat(1500));
    assert_eq!(daemon.post(body).status, 413);
    let last = daemon.deliver(json!({"event": "novel"}));
    assert_eq!(daemon.get_at("/v1/customers/c", last).status, 404);
    assert_eq!(daemon.event(1)["disposition"], "quarantined");
}

#[test]
fn files_are_for_the_owner_only_whatever_the_umask() {
    let place = Place::new();
    // The shell gives its umask on to the program that takes its place.
    let mut command = std::process::Command::new("/bin/sh");
    let program = place.command();
    command
        .args(["-c", "umask 0; exec \"$@\"", "sh"])
        .arg(program.get_program())
        .args(place.serve_arguments())
        .env_clear()
        .env("HOME", place.path().join("home"))
        .stdin(std::process::Stdio::null())
        .stderr(fs::File::create(place.path().join("stderr.log")).unwrap());
    let mut child = command.spawn().unwrap();
    let ready = place.path().join("ready.json");
    poll("the ready file", EXIT_LIMIT, || {
        ready.exists().then_some(())
    });
    let modes: Vec<_> = fs::read_dir(place.data())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (mode(&path), path))
        .collect();
    let socket = mode(&place.control());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(modes.len() >= 3, "{modes:?}");
    for (mode, path) in modes {
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
    assert_eq!(mode(&place.data()), 0o700);
    assert_eq!(socket, 0o660);
}

#[test]
fn wider_rights_are_told_at_the_start_and_those_of_the_files_narrowed() {
    let mut daemon = Daemon::start();
    daemon.deliver(flag("c", true));
    daemon.kill();
    let (data, file) = (daemon.data(), daemon.data().join("waldo-syncd.db"));
    let (wal, secret) = (data.join("waldo-syncd.db-wal"), data.join("webhook-secret"));
    assert!(wal.exists(), "the case has no sense");
    let widen =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    widen(&data, 0o755);
    widen(&file, 0o644);
    widen(&wal, 0o640);
    daemon.start_again();
    assert_eq!((mode(&file), mode(&secret)), (0o600, 0o600));
    assert_eq!(mode(&wal), 0o600);
    // Whoever made the directory may have meant it.
    assert_eq!(mode(&data), 0o755);
    let log = daemon.log();
    let told = |path: &Path, mode: &str, what: &str| {
        let (path, mode) = (format!("{} ", path.display()), format!("(mode {mode})"));
        let line = log.lines().filter(|line| line.contains(&mode));
        let line: Vec<_> = line.filter(|line| line.contains(&path)).collect();
        assert!(line.len() == 1 && line[0].contains(what), "{path}: {log}");
    };
    told(&data, "0755", &format!("chmod 700 {}", data.display()));
    told(&file, "0644", "owner's alone now");
    daemon.stop();
    widen(&data, 0o700);
    let before = daemon.log().lines().count();
    daemon.start_again();
    let log = daemon.log();
    let since: Vec<_> = log.lines().skip(before).collect();
    assert!(
        !since.iter().any(|line| line.contains("open to others")),
        "{since:?}"
    );
}

#[test]
fn a_link_at_the_control_path_is_refused_and_not_followed() {
    let place = Place::new();
    let precious = place.file("precious", "content");
    for target in [precious.clone(), place.path().join("nothing-yet")] {
        let link = place.control();
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let run = refused(&place, "--control", link.to_str().unwrap());
        assert!(run.stderr.contains("control door"), "{}", run.stderr);
        assert_eq!(fs::read_link(&link).unwrap(), target);
        assert_eq!(fs::read_to_string(&precious).unwrap(), "content");
        assert!(!place.path().join("nothing-yet").exists());
    }
}

#[test]
fn a_socket_that_a_kill_left_behind_is_replaced() {
    let mut daemon = Daemon::start();
    daemon.kill();
    assert!(
        daemon.place().control().exists(),
        "a kill leaves the socket"
    );
    daemon.start_again();
    let answer = daemon.controller().get("/v1/stats");
    assert_eq!(answer.status, 200);
}
