//! Restoring where things go wrong: killed at each step, on a full disk, by root, with links in the way, and without the
//! list of who was erased.

use std::os::unix::fs::{MetadataExt as _, chown, symlink};
use std::process::Stdio;

use super::making::Small;
use super::restoring::{backed_up, rows};
use super::*;
use crate::common::bodies::*;
use crate::common::place::poll;

const FORCE: [&str; 2] = ["--force", "--yes"];

/// A stopped daemon with some MiB and a backup of it, which lacks the last event.
fn large() -> (Daemon, PathBuf, u64) {
    let mut daemon = Daemon::start();
    fill(&daemon, 12);
    let backup = made(&daemon, &folder(daemon.place()));
    let later = daemon.deliver(flag("later", true));
    daemon.event(later);
    daemon.stop();
    (daemon, file_of(&backup), later)
}

#[test]
fn killed_at_any_step_of_a_restore_one_whole_database_is_there_and_nothing_is_left_over() {
    let (mut daemon, file, later) = large();
    let length = fs::metadata(&file).unwrap().len();
    let hidden = |data: &Path| -> Option<PathBuf> {
        let name = names(data)
            .into_iter()
            .find(|name| name.starts_with(".restore-"))?;
        Some(data.join(name).join("waldo-syncd.db"))
    };
    let mut restored = 0;
    for step in 0..5 {
        let data = daemon.data();
        let mut command = daemon.place().command();
        command
            .args([
                "restore",
                file.to_str().unwrap(),
                "--force",
                "--yes",
                "--data-dir",
            ])
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        poll("that step of the restore", SOON, || {
            let copied = hidden(&data).and_then(|copy| fs::metadata(copy).ok());
            let replaced = || names(&data).iter().any(|name| name.contains(".replaced-"));
            let there = match step {
                0 => copied.is_some(),
                1 => copied.is_some_and(|copy| copy.len() > length / 2),
                2 => copied.is_some_and(|copy| copy.len() == length),
                _ => replaced(),
            };
            (there || child.try_wait().unwrap().is_some()).then_some(())
        });
        child.kill().unwrap();
        child.wait().unwrap();
        let run = daemon.place().cli(&["check", "--json"]);
        run.assert_code(0);
        let events = run.json_lines()[0]["events"].as_u64().unwrap();
        assert!(
            events == later || events == later - 1,
            "step {step}: {events}"
        );
        // What a killed one has left goes with the next start, and no half of anything is taken for the database.
        daemon.start_again();
        assert_eq!(hidden(&daemon.data()), None, "step {step}");
        daemon.stop();
        if events == later - 1 {
            restored += 1;
            let kept = names(&daemon.data())
                .into_iter()
                .find(|name| name.contains(".replaced-"))
                .expect("the database that was there");
            let kept = daemon.data().join(kept);
            daemon
                .place()
                .run(&["check", kept.to_str().unwrap()])
                .assert_code(0);
            restore(daemon.place(), &kept, &FORCE).assert_code(0);
        }
        for name in names(&daemon.data())
            .iter()
            .filter(|name| name.contains(".replaced-"))
        {
            fs::remove_file(daemon.data().join(name)).unwrap();
        }
    }
    eprintln!("{restored} of the kills came after the new file was in place");
}

#[test]
fn a_full_disk_while_restoring_leaves_the_present_file_as_it_is() {
    let (daemon, file, _) = large();
    let place = Place::new();
    fs::create_dir(place.data()).unwrap();
    let Some(_small) = Small::mount_of(place.data(), "4m") else {
        eprintln!("NOT TESTED: a full disk; mounting a small tmpfs needs root");
        return;
    };
    let mut there = Daemon::start_in(place);
    there.deliver(flag("c", true));
    there.stop();
    let before = fs::read(there.data().join("waldo-syncd.db")).unwrap();
    let known = names(&there.data());
    let run = restore(there.place(), &file, &FORCE);
    run.assert_code(1);
    assert!(
        run.stderr.contains("full") || run.stderr.contains("space"),
        "{}",
        run.stderr
    );
    assert!(fs::read(there.data().join("waldo-syncd.db")).unwrap() == before);
    assert_eq!(names(&there.data()), known);
    there.start_again();
    drop(daemon);
}

#[test]
fn of_two_restores_at_once_one_is_refused() {
    let (daemon, file, _) = large();
    let place = Place::new();
    let start = || {
        let mut command = place.command();
        command
            .args(["restore", file.to_str().unwrap(), "--data-dir"])
            .arg(place.data());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let children = [start(), start()];
    let ended = children.map(|child| child.wait_with_output().unwrap());
    let mut codes = ended.each_ref().map(|output| output.status.code());
    codes.sort();
    assert_eq!(codes, [Some(0), Some(1)], "{ended:?}");
    assert_eq!(names(&place.data()), ["waldo-syncd.db"]);
    place.cli(&["check"]).assert_code(0);
    drop(daemon);
}

#[test]
fn what_root_restores_and_erases_stays_the_daemons() {
    let (mut daemon, backup) = backed_up();
    daemon.stop();
    let nobody = 65_534;
    let all = || {
        names(&daemon.data())
            .into_iter()
            .map(|name| daemon.data().join(name))
    };
    for path in all().chain([daemon.data()]) {
        if chown(path, Some(nobody), Some(nobody)).is_err() {
            eprintln!("NOT TESTED: whose the files are; giving them away needs root");
            return;
        }
    }
    restore(daemon.place(), &file_of(&backup), &FORCE).assert_code(0);
    daemon.place().cli(&["erase", "c", "--yes"]).assert_code(0);
    for path in all() {
        let meta = fs::metadata(&path).unwrap();
        assert_eq!(
            (meta.uid(), meta.gid()),
            (nobody, nobody),
            "{}",
            path.display()
        );
        assert_eq!(common::mode(&path), 0o600, "{}", path.display());
    }
    assert!(daemon.data().join("erased.jsonl").exists());
}

#[test]
fn a_database_behind_a_link_is_replaced_and_what_it_leads_to_stays() {
    let (mut daemon, backup) = backed_up();
    daemon.stop();
    let before = rows_of_file(&daemon);
    let elsewhere = daemon.place().path().join("elsewhere.db");
    let database = daemon.data().join("waldo-syncd.db");
    fs::rename(&database, &elsewhere).unwrap();
    symlink(&elsewhere, &database).unwrap();
    restore(daemon.place(), &file_of(&backup), &FORCE).assert_code(0);
    assert!(fs::symlink_metadata(&database).unwrap().is_file());
    assert!(fs::read(&elsewhere).unwrap() == before);
    daemon.place().cli(&["check"]).assert_code(0);
}

fn rows_of_file(daemon: &Daemon) -> Vec<u8> {
    fs::read(daemon.data().join("waldo-syncd.db")).unwrap()
}

#[test]
fn a_backup_does_not_follow_a_link_that_stands_in_its_place() {
    let (daemon, _) = backed_up();
    let victim = daemon.place().file("victim", "precious");
    let link = folder(daemon.place()).join("link.db");
    symlink(&victim, &link).unwrap();
    for force in [false, true] {
        let answer = ask(&daemon, &link, force);
        assert!(matches!(answer.status, 400 | 409), "{}", answer.text());
    }
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    // Nor to the live database, which the daemon must not open and close by itself: its locks would be gone, and the WAL with
    // the next program that closes the file.
    let database = daemon.data().join("waldo-syncd.db");
    symlink(&database, folder(daemon.place()).join("other.db.json")).unwrap();
    let answer = ask(&daemon, &folder(daemon.place()).join("other.db"), false);
    assert_eq!(answer.status, 400, "{}", answer.text());
    let other = rusqlite::Connection::open(&database).unwrap();
    let sql = "SELECT count(*) FROM log";
    assert_eq!(
        other
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .unwrap(),
        5
    );
    drop(other);
    assert!(daemon.data().join("waldo-syncd.db-wal").exists());
}

#[test]
fn without_the_list_of_the_erased_nobody_who_was_erased_comes_back() {
    let (mut daemon, backup) = backed_up();
    daemon.place().cli(&["erase", "c", "--yes"]).assert_code(0);
    let erased = rows(&daemon);
    daemon.stop();
    let list = daemon.data().join("erased.jsonl");
    let kept = fs::read(&list).unwrap();
    fs::remove_file(&list).unwrap();
    // As they are while tables are made again, which is not before the log says what was erased.
    let file = rusqlite::Connection::open(daemon.data().join("waldo-syncd.db")).unwrap();
    file.execute_batch("DELETE FROM counts").unwrap();
    drop(file);
    let run = restore(daemon.place(), &file_of(&backup), &FORCE);
    run.assert_code(1);
    assert!(run.stderr.contains("erased.jsonl"), "{}", run.stderr);
    fs::write(&list, kept).unwrap();
    restore(daemon.place(), &file_of(&backup), &FORCE).assert_code(0);
    daemon.start_again();
    assert_eq!(rows(&daemon), erased);
}
