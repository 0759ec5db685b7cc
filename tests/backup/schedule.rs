//! Backups that the daemon makes by itself.

use super::*;
use crate::common::bodies::*;
use crate::common::place::poll;

/// A daemon that makes backups every second and keeps two.
fn scheduled() -> Daemon {
    Daemon::configured(|place| {
        let dir = place.path().join("backups");
        format!("[backup]\ndir = {dir:?}\nevery = \"1s\"\nkeep = 2\n")
    })
}

fn metric(daemon: &Daemon, name: &str) -> u64 {
    let metrics = daemon.get("/metrics").text();
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(&format!("waldo_syncd_{name} ")));
    line.map_or(0, |value| value.parse().unwrap())
}

#[test]
fn the_newest_backups_are_kept_and_nothing_else_is_removed() {
    let place = Place::new();
    let dir = folder(&place);
    let strangers = [
        "notes.txt",
        "waldo-syncd-before.db",
        "other-20200101T000000Z.db",
    ];
    for name in strangers {
        fs::write(dir.join(name), name).unwrap();
    }
    // Of our names, but never finished, and newer than any: it stays, and counts for nothing.
    let unfinished = "waldo-syncd-29990101T000000Z.db";
    fs::write(dir.join(unfinished), "half").unwrap();
    fs::write(dir.join("waldo-syncd-20200101T000000Z.db"), "half").unwrap();
    let config = place.file(
        "config.toml",
        format!("[backup]\ndir = {dir:?}\nevery = \"1s\"\nkeep = 2\n"),
    );
    let mut arguments = place.serve_arguments();
    arguments.extend(["--config".to_owned(), config.display().to_string()]);
    let mut daemon = Daemon::start_as(place, arguments);
    daemon.deliver(flag("c", true));
    poll("four backups", SOON, || {
        (metric(&daemon, "backups_total") >= 4).then_some(())
    });
    daemon.stop();
    let left = names(&dir);
    for name in strangers.iter().chain([&unfinished]) {
        assert!(left.contains(&(*name).to_owned()), "{name}: {left:?}");
    }
    let ours: Vec<_> = left
        .iter()
        .filter(|name| name.starts_with("waldo-syncd-20") && name.ends_with(".db"))
        .collect();
    // One more where the stop came between a backup and the removal of an older one.
    assert!((2..=3).contains(&ours.len()), "{left:?}");
    for name in ours {
        assert!(left.contains(&format!("{name}.json")), "{left:?}");
        daemon
            .place()
            .run(&["check", dir.join(name).to_str().unwrap()])
            .assert_code(0);
    }
    assert!(!left.iter().any(|name| name.starts_with('.')), "{left:?}");
}

#[test]
fn a_backup_that_fails_is_told_and_tried_again() {
    let place = Place::new();
    let in_the_way = place.file("backups", "a file");
    let config = place.file(
        "config.toml",
        format!("[backup]\ndir = {in_the_way:?}\nevery = \"1s\"\n"),
    );
    let mut arguments = place.serve_arguments();
    arguments.extend(["--config".to_owned(), config.display().to_string()]);
    let daemon = Daemon::start_as(place, arguments);
    daemon.deliver(flag("c", true));
    let told = poll("the failure to be told", SOON, || {
        let ready = daemon.get("/readyz");
        assert_eq!(ready.status, 200, "{}", ready.text());
        ready.text().contains("backup").then(|| ready.text())
    });
    assert!(told.contains("was not made"), "{told}");
    assert!(daemon.log().contains("was not made"));
    fs::remove_file(&in_the_way).unwrap();
    poll("a backup", SOON, || {
        (metric(&daemon, "backups_total") >= 1).then_some(())
    });
    poll("the trouble to be over", SOON, || {
        (!daemon.get("/readyz").text().contains("backup")).then_some(())
    });
    assert_eq!(common::mode(&in_the_way), 0o700);
}

#[test]
fn a_backup_that_is_young_enough_is_not_made_again_at_a_restart() {
    let mut daemon = Daemon::configured(|place| {
        let dir = place.path().join("backups");
        format!("[backup]\ndir = {dir:?}\nevery = \"1h\"\n")
    });
    let dir = daemon.place().path().join("backups");
    poll("the first backup", SOON, || {
        (metric(&daemon, "backups_total") == 1).then_some(())
    });
    daemon.restart();
    // Time enough for a second one, were it due.
    daemon.deliver(flag("c", true));
    let stats = daemon.get("/v1/stats").json();
    assert!(stats["lastBackup"]["path"].is_string(), "{stats}");
    assert_eq!(metric(&daemon, "backups_total"), 0);
    assert_eq!(names(&dir).len(), 2);
}

#[test]
fn a_directory_alone_makes_no_backups() {
    let daemon = Daemon::configured(|place| {
        let dir = place.path().join("backups");
        format!("[backup]\ndir = {dir:?}\n")
    });
    daemon.deliver(flag("c", true));
    assert!(
        !daemon.log().contains("does not do it yet"),
        "{}",
        daemon.log()
    );
    assert!(!daemon.place().path().join("backups").exists());
    drop(scheduled());
}
