//! Making backups: what is in them, where they may go, what happens when they are broken off.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::common::bodies::*;
use crate::common::mode;
use crate::common::place::poll;

#[test]
fn a_backup_under_load_holds_every_event_acknowledged_before_it_began() {
    let daemon = Daemon::start();
    let backups = folder(daemon.place());
    let acknowledged = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for sender in 0..8 {
            let (mut client, path) = (daemon.sender(), daemon.webhook_path());
            let (acknowledged, done) = (&acknowledged, &done);
            scope.spawn(move || {
                for post in 0.. {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    let body = flag(&format!("c{sender}-{}", post % 50), post % 2 == 0);
                    let body = with(body, json!({"post": post})).to_string();
                    let seq = client
                        .call("POST", &path, &[], Some(body.as_bytes()))
                        .unwrap()
                        .seq();
                    acknowledged.fetch_max(seq, Ordering::Relaxed);
                }
            });
        }
        poll("some load", SOON, || {
            (acknowledged.load(Ordering::Relaxed) > 500).then_some(())
        });
        for number in 0..5 {
            let before = acknowledged.load(Ordering::Relaxed);
            let file = backups.join(format!("{number}.db"));
            let backup = made(&daemon, &file);
            let last = backup["lastSeq"].as_u64().unwrap();
            assert!(
                last >= before,
                "{before} was acknowledged, the backup ends at {last}"
            );
            assert_eq!(backup["events"], last);
            assert_eq!(backup["verified"], true);
            daemon
                .place()
                .run(&["check", file.to_str().unwrap()])
                .assert_code(0);
            // Its head is the one that the live chain had at that event.
            let head = backup["head"].as_str().unwrap();
            let run = daemon.place().cli(&["check", "--json", "--head", head]);
            run.assert_code(0);
            assert_eq!(run.json_lines()[0]["headFoundAt"], last);
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_backup_is_one_file_for_its_owner_with_a_manifest_that_fits() {
    let daemon = Daemon::start();
    let backups = folder(daemon.place());
    let last = daemon.deliver(flag("c", true));
    let run = daemon
        .place()
        .cli(&["backup", "--json", backups.to_str().unwrap()]);
    run.assert_code(0);
    let backup = run.json_lines().remove(0);
    let file = file_of(&backup);
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(names(&backups), [name.clone(), format!("{name}.json")]);
    let manifest_file = backups.join(format!("{name}.json"));
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(&manifest_file), 0o600);
    let manifest: Value = serde_json::from_slice(&fs::read(manifest_file).unwrap()).unwrap();
    let bytes = fs::read(&file).unwrap();
    let sum: [u8; 32] = Sha256::digest(&bytes).into();
    let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    for (member, expected) in [
        ("file", json!(name)),
        ("events", json!(last)),
        ("firstSeq", json!(1)),
        ("lastSeq", json!(last)),
        ("bytes", json!(bytes.len())),
        ("sha256", json!(sum)),
        ("schemaVersion", json!(1)),
        ("verified", json!(true)),
    ] {
        assert_eq!(manifest[member], expected, "{member}");
        if member != "path" {
            assert_eq!(backup[member], expected, "{member}");
        }
    }
    // No WAL: a folder in which nothing can be written will do for reading it.
    assert_eq!(bytes[18..20], [1, 1], "a file that needs a WAL");
    fs::set_permissions(&backups, fs::Permissions::from_mode(0o500)).unwrap();
    let run = daemon.place().run(&["check", file.to_str().unwrap()]);
    fs::set_permissions(&backups, fs::Permissions::from_mode(0o700)).unwrap();
    run.assert_code(0);
    assert_eq!(names(&backups).len(), 2);
}

#[test]
fn the_last_backup_is_shown_also_after_a_restart() {
    let mut daemon = Daemon::start();
    let last = daemon.deliver(flag("c", true));
    let stats = daemon.get("/v1/stats").json();
    assert_eq!(stats["lastBackup"], Value::Null);
    assert!(
        !daemon
            .get("/metrics")
            .text()
            .contains("\nwaldo_syncd_last_backup_age_seconds ")
    );
    let backup = made(&daemon, &folder(daemon.place()));
    daemon.restart();
    let stats = daemon.get("/v1/stats").json();
    let shown = &stats["lastBackup"];
    for member in ["at", "path", "events", "head", "verified"] {
        assert_eq!(shown[member], backup[member], "{member}");
    }
    assert_eq!(shown["events"], last);
    let metrics = daemon.get("/metrics").text();
    assert!(
        metrics.contains("\nwaldo_syncd_last_backup_age_seconds "),
        "{metrics}"
    );
    let run = daemon.place().cli(&["status"]);
    run.assert_code(0);
    assert!(
        run.stdout.contains(shown["at"].as_str().unwrap()),
        "{}",
        run.stdout
    );
}

#[test]
fn a_backup_without_a_daemon_takes_what_a_kill_left_in_the_wal() {
    let mut daemon = Daemon::start();
    let last = daemon.deliver(flag("c", true));
    daemon.kill();
    assert!(daemon.data().join("waldo-syncd.db-wal").exists());
    let file = daemon.place().path().join("copy.db");
    let run = daemon.place().cli(&["backup", "--json", "copy.db"]);
    run.assert_code(0);
    let backup = run.json_lines().remove(0);
    assert_eq!(file_of(&backup), fs::canonicalize(file).unwrap());
    assert_eq!(backup["lastSeq"], last);
}

#[test]
fn a_backup_of_nothing_is_not_found() {
    let place = Place::new();
    let run = place.cli(&["backup", "copy.db"]);
    run.assert_code(3);
    assert!(!place.data().exists());
}

#[test]
fn a_second_backup_at_once_is_409() {
    let daemon = Daemon::start();
    fill(&daemon, 16);
    let backups = folder(daemon.place());
    let body = |name: &str| {
        let body = json!({"path": backups.join(name)}).to_string();
        common::http::request("POST", "/v1/backup", &[], Some(body.as_bytes()))
    };
    let (mut first, mut second) = (daemon.controller(), daemon.controller());
    first.send(&body("1.db")).unwrap();
    poll("the first backup to begin", SOON, || {
        (!names(&backups).is_empty()).then_some(())
    });
    let refused = second.exchange(&body("2.db"), false).unwrap();
    refused.assert_problem(409, "backup_running");
    let answer = first.receive(false).unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(names(&backups), ["1.db", "1.db.json"]);
    made(&daemon, &backups.join("2.db"));
}

#[test]
fn a_backup_goes_nowhere_where_it_could_do_harm() {
    let daemon = Daemon::start();
    daemon.deliver(flag("c", true));
    let backups = folder(daemon.place());
    let data = daemon.data();
    let foreign = backups.join("foreign.db");
    fs::write(&foreign, "somebody's work").unwrap();
    symlink(data.join("waldo-syncd.db"), backups.join("link.db")).unwrap();
    fs::hard_link(data.join("waldo-syncd.db"), backups.join("hard.db")).unwrap();
    fs::write(backups.join("noted.db.json"), "my notes").unwrap();
    symlink(&data, backups.join("data")).unwrap();
    for force in [false, true] {
        for (path, refused_as) in [
            (PathBuf::from("relative.db"), "bad_destination"),
            (data.clone(), "bad_destination"),
            (data.join("waldo-syncd.db"), "bad_destination"),
            (data.join("waldo-syncd.db-wal"), "bad_destination"),
            (data.join("doors.json"), "bad_destination"),
            (data.join("new.db"), "bad_destination"),
            (backups.join("data/new.db"), "bad_destination"),
            (backups.join("../data/new.db"), "bad_destination"),
            (backups.join("other.db-wal"), "bad_destination"),
            (backups.join("missing/new.db"), "bad_destination"),
            (backups.join("missing/"), "bad_destination"),
            (foreign.join("new.db"), "bad_destination"),
            (backups.join("noted.db"), "bad_destination"),
        ] {
            let answer = ask(&daemon, &path, force);
            let status = if refused_as == "bad_destination" {
                400
            } else {
                409
            };
            assert_eq!(
                answer.status,
                status,
                "{}: {}",
                path.display(),
                answer.text()
            );
            answer.assert_problem(status, refused_as);
        }
        for name in ["foreign.db", "link.db", "hard.db"] {
            let answer = ask(&daemon, &backups.join(name), force);
            if force {
                answer.assert_problem(400, "bad_destination");
            } else {
                answer.assert_problem(409, "destination_exists");
            }
        }
    }
    assert_eq!(fs::read(&foreign).unwrap(), b"somebody's work");
    assert!(!data.join("new.db").exists());
    // The daemon still has its locks and its file.
    let seq = daemon.deliver(flag("c", false));
    daemon.event(seq);
    daemon.place().cli(&["check"]).assert_code(0);
    let body = json!({"path": "/x", "more": 1}).to_string();
    let answer = daemon
        .controller()
        .call("POST", "/v1/backup", &[], Some(body.as_bytes()))
        .unwrap();
    answer.assert_problem(400, "bad_request");
}

#[test]
fn a_backup_is_replaced_only_when_that_is_asked_for() {
    let daemon = Daemon::start();
    daemon.deliver(flag("c", true));
    let file = folder(daemon.place()).join("copy.db");
    made(&daemon, &file);
    let before = fs::read(&file).unwrap();
    daemon.deliver(flag("c", false));
    ask(&daemon, &file, false).assert_problem(409, "destination_exists");
    assert!(fs::read(&file).unwrap() == before);
    let answer = ask(&daemon, &file, true);
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.json()["events"], 2);
    let run = restore(&Place::new(), &file, &[]);
    run.assert_code(0);
    assert_eq!(run.json_lines()[0]["manifest"], true);
}

#[test]
fn a_stop_breaks_a_backup_off_and_leaves_nothing_of_it() {
    let mut daemon = Daemon::start();
    fill(&daemon, 16);
    let backups = folder(daemon.place());
    let body = json!({"path": backups}).to_string();
    let mut controller = daemon.controller();
    let bytes = common::http::request("POST", "/v1/backup", &[], Some(body.as_bytes()));
    controller.send(&bytes).unwrap();
    poll("the backup to begin", SOON, || {
        (!names(&backups).is_empty()).then_some(())
    });
    daemon.stop();
    controller
        .receive(false)
        .unwrap()
        .assert_problem(503, "stopping");
    assert_eq!(names(&backups), Vec::<String>::new());
    assert!(!daemon.data().join("waldo-syncd.db-wal").exists());
    daemon.place().cli(&["check"]).assert_code(0);
}

#[test]
fn kill_9_in_a_backup_leaves_no_half_file_under_its_name() {
    let mut daemon = Daemon::start();
    let last = fill(&daemon, 16);
    let backups = folder(daemon.place());
    for round in 0..4 {
        let body = json!({"path": backups.join("copy.db")}).to_string();
        let bytes = common::http::request("POST", "/v1/backup", &[], Some(body.as_bytes()));
        let left = names(&backups);
        let mut controller = daemon.controller();
        controller.send(&bytes).unwrap();
        // From a kill at its very start to one in the check.
        poll("the backup to get on", SOON, || {
            let now = names(&backups);
            let work = now.iter().find(|name| !left.contains(name))?;
            let copy = fs::metadata(backups.join(work).join("waldo-syncd.db")).ok()?;
            (copy.len() >= round * 4_500_000).then_some(())
        });
        daemon.kill();
        assert!(!backups.join("copy.db").exists());
        assert!(!backups.join("copy.db.json").exists());
        daemon.start_again();
        assert_eq!(daemon.event(last)["seq"], last);
    }
    // The next one clears away what the others left.
    made(&daemon, &backups.join("copy.db"));
    assert_eq!(names(&backups), ["copy.db", "copy.db.json"]);
}

#[test]
fn a_disk_that_takes_no_backup_is_told_and_harms_nothing() {
    let daemon = Daemon::start();
    daemon.deliver(flag("c", true));
    // Not even root makes a file here.
    let answer = ask(&daemon, Path::new("/proc/copy.db"), false);
    answer.assert_problem(503, "backup_failed");
    assert!(answer.text().contains("/proc"), "{}", answer.text());
    let run = daemon.place().cli(&["backup", "/proc/copy.db"]);
    run.assert_code(1);
    assert!(run.stderr.contains("/proc"), "{}", run.stderr);
    daemon.deliver(flag("c", false));
}

/// A small file system in memory, gone with its handle.
pub struct Small(PathBuf);

impl Small {
    pub fn mount_of(at: PathBuf, size: &str) -> Option<Self> {
        let mounted = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size},mode=700"),
                "none",
            ])
            .arg(&at)
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(Self(at))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_takes_no_backup_and_keeps_nothing_of_it() {
    let daemon = Daemon::start();
    fill(&daemon, 4);
    let Some(small) = Small::mount_of(folder(daemon.place()), "1m") else {
        eprintln!("NOT TESTED: a full disk; mounting a small tmpfs needs root");
        return;
    };
    let answer = ask(&daemon, &small.0.join("copy.db"), false);
    answer.assert_problem(503, "backup_failed");
    assert!(
        answer.text().contains("full") || answer.text().contains("space"),
        "{}",
        answer.text()
    );
    assert_eq!(names(&small.0), Vec::<String>::new());
    let seq = daemon.deliver(flag("c", false));
    daemon.event(seq);
    assert_eq!(daemon.get("/readyz").status, 200);
}

#[test]
fn how_far_a_backup_is_stands_in_the_stats() {
    let daemon = Daemon::start();
    fill(&daemon, 12);
    let folder = folder(daemon.place());
    let running = || daemon.get("/v1/stats").json()["runningBackup"].clone();
    assert_eq!(running(), Value::Null);
    let mut steps = Vec::new();
    std::thread::scope(|scope| {
        let making = scope.spawn(|| made(&daemon, &folder));
        poll("the end of the backup", SOON, || {
            let seen = running();
            if let Some(step) = seen["step"].as_str() {
                let (done, of) = (seen["done"].as_u64().unwrap(), seen["of"].as_u64().unwrap());
                assert!(done <= of, "{seen}");
                steps.push(step.to_owned());
            }
            making.is_finished().then_some(())
        });
        making.join().unwrap();
    });
    assert!(steps.iter().any(|step| step == "copying"), "{steps:?}");
    assert_eq!(running(), Value::Null);
}
