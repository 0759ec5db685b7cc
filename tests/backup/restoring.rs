//! Restoring: the same rows come back, and what is not a good backup changes nothing.

use super::*;
use crate::common::bodies::*;

/// Everything that readers see.
pub fn rows(daemon: &Daemon) -> Vec<Value> {
    let mut rows = daemon.all("/v1/customers?sort=customerId", 1000);
    rows.extend(daemon.all("/v1/requests", 1000));
    rows.extend(daemon.get("/v1/events?limit=1000").items());
    rows
}

/// A daemon with some events, and a backup of it.
pub fn backed_up() -> (Daemon, Value) {
    let daemon = Daemon::start();
    for name in [
        "webhook-onboard-dashboard.json",
        "webhook-evaluation-fraud-initiated.json",
        "webhook-evaluation-fraud-completed.json",
        "webhook-flag-set.json",
    ] {
        daemon.deliver(sample(name));
    }
    let marked = with(flag("c", true), json!({"note": "tamper-with-me"}));
    let last = daemon.deliver(marked);
    daemon.event(last);
    let backup = made(&daemon, &folder(daemon.place()));
    (daemon, backup)
}

#[test]
fn what_was_backed_up_comes_back_elsewhere() {
    let (daemon, backup) = backed_up();
    let before = rows(&daemon);
    let place = Place::new();
    let run = restore(&place, &file_of(&backup), &[]);
    run.assert_code(0);
    let told = run.json_lines().remove(0);
    for member in ["events", "lastSeq", "head"] {
        assert_eq!(told[member], backup[member], "{member}");
    }
    assert_eq!(told["replaced"], Value::Null);
    let other = Place::new();
    let run = other.cli(&[
        "restore",
        file_of(&backup).to_str().unwrap(),
        "--config",
        "/dev/null",
    ]);
    run.assert_code(0);
    let start = format!(
        "start the daemon: `waldo-syncd serve --config /dev/null --data-dir {}`\n",
        other.data().display()
    );
    assert!(run.stdout.ends_with(&start), "{}", run.stdout);
    assert_eq!(common::mode(&place.data()), 0o700);
    assert_eq!(common::mode(&place.data().join("waldo-syncd.db")), 0o600);
    assert_eq!(names(&place.data()), ["waldo-syncd.db"]);
    let restored = Daemon::start_in(place);
    assert_eq!(rows(&restored), before);
    let seq = restored.deliver(flag("c", false));
    assert_eq!(seq, backup["lastSeq"].as_u64().unwrap() + 1);
    restored.place().cli(&["check"]).assert_code(0);
}

#[test]
fn without_a_manifest_the_rows_are_made_from_the_log() {
    let (daemon, backup) = backed_up();
    let before = rows(&daemon);
    let file = daemon.place().path().join("alone.db");
    fs::copy(file_of(&backup), &file).unwrap();
    {
        let connection = rusqlite::Connection::open(&file).unwrap();
        // Some of it cannot even be read; the log is whole.
        let forged =
            "UPDATE customers SET status = 'REJECTED', kyc = 'REJECTED', evaluations = '{'";
        assert!(connection.execute(forged, []).unwrap() > 0);
    }
    let place = Place::new();
    let run = restore(&place, &file, &[]);
    run.assert_code(0);
    assert_eq!(run.json_lines()[0]["manifest"], false);
    assert_eq!(names(&place.data()), ["waldo-syncd.db"]);
    assert_eq!(rows(&Daemon::start_in(place)), before);
}

#[test]
fn a_database_is_replaced_only_by_force_and_yes_and_is_kept() {
    let (mut daemon, backup) = backed_up();
    let file = file_of(&backup);
    let later = daemon.deliver(flag("later", true));
    daemon.event(later);
    let run = restore(daemon.place(), &file, &["--force", "--yes"]);
    run.assert_code(1);
    assert!(run.stderr.contains("stop it first"), "{}", run.stderr);
    // What a kill leaves in the WAL belongs to the database that is kept.
    daemon.kill();
    let run = restore(daemon.place(), &file, &[]);
    run.assert_code(1);
    assert!(run.stderr.contains("--force"), "{}", run.stderr);
    restore(daemon.place(), &file, &["--force"]).assert_code(2);
    daemon.place().cli(&["check"]).assert_code(0);
    let run = restore(daemon.place(), &file, &["--force", "--yes"]);
    run.assert_code(0);
    let told = run.json_lines().remove(0);
    assert_eq!(told["replacedLastSeq"], later);
    let replaced = PathBuf::from(told["replaced"].as_str().unwrap());
    assert_eq!(replaced.parent().unwrap(), daemon.data());
    let run = daemon
        .place()
        .run(&["check", "--json", replaced.to_str().unwrap()]);
    run.assert_code(0);
    assert_eq!(run.json_lines()[0]["events"], later);
    let left: Vec<_> = names(&daemon.data());
    assert!(!left.iter().any(|name| name.ends_with("-wal")), "{left:?}");
    daemon.start_again();
    assert_eq!(daemon.get("/v1/customers/later").status, 404);
    assert_eq!(daemon.deliver(flag("d", true)), later);
    // And back again, from the file that was kept.
    daemon.stop();
    restore(daemon.place(), &replaced, &["--force", "--yes"]).assert_code(0);
    daemon.start_again();
    assert_eq!(daemon.get_at("/v1/customers/later", later).status, 200);
}

#[test]
fn what_is_not_a_good_backup_is_refused_and_changes_nothing() {
    let (mut daemon, backup) = backed_up();
    daemon.stop();
    let file = file_of(&backup);
    let good = fs::read(&file).unwrap();
    let manifest = fs::read(file.with_extension("db.json")).unwrap();
    let database = daemon.data().join("waldo-syncd.db");
    let present = fs::read(&database).unwrap();
    let present_names = names(&daemon.data());
    let mark = b"tamper-with-me";
    let marked = good
        .windows(mark.len())
        .position(|window| window == mark)
        .unwrap();
    let altered = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let mut newer = good.clone();
    newer[60..64].copy_from_slice(&2_i32.to_be_bytes());
    let mut cases: Vec<(&str, Vec<u8>, bool, &str)> = vec![
        ("truncated", good[..good.len() - 4096].to_vec(), true, ""),
        (
            "half a page gone",
            good[..good.len() - 100].to_vec(),
            true,
            "",
        ),
        ("a head only", good[..100].to_vec(), true, ""),
        ("an altered payload", altered(marked, b'T'), true, "digest"),
        ("an altered page", altered(4096 + 3, 0xff), true, ""),
        (
            "foreign",
            altered(68, 0),
            true,
            "not a waldo-syncd database",
        ),
        (
            "no database",
            b"this is no database".repeat(500),
            true,
            "not a waldo-syncd database",
        ),
        ("nothing", Vec::new(), true, "not a waldo-syncd database"),
        ("newer", newer, true, "newer"),
        // A byte that neither the chain nor SQLite speaks for: only the manifest does.
        (
            "an altered number in the head",
            altered(95, good[95] ^ 1),
            false,
            "SHA-256",
        ),
    ];
    let spied = daemon.place().file("spied.db", &good);
    rusqlite::Connection::open(&spied)
        .unwrap()
        .execute_batch("CREATE TRIGGER spy AFTER INSERT ON log BEGIN SELECT 1; END")
        .unwrap();
    cases.push((
        "a trigger of others",
        fs::read(&spied).unwrap(),
        true,
        "spy",
    ));
    for (what, bytes, also_alone, why) in cases {
        for beside in [true, false] {
            if !beside && !also_alone {
                continue;
            }
            let bad = daemon.place().file("bad.db", &bytes);
            let its_manifest = daemon.place().path().join("bad.db.json");
            let _ = fs::remove_file(&its_manifest);
            if beside {
                fs::write(&its_manifest, &manifest).unwrap();
            }
            let run = restore(daemon.place(), &bad, &["--force", "--yes"]);
            assert_eq!(run.code, Some(1), "{what}: {}", run.stdout);
            assert!(run.stderr.contains("bad.db"), "{what}: {}", run.stderr);
            assert!(run.stderr.contains(why), "{what}: {}", run.stderr);
            assert!(fs::read(&database).unwrap() == present, "{what}");
            assert_eq!(names(&daemon.data()), present_names, "{what}");
        }
    }
    // A good file beside the manifest of another, and beside what is no manifest.
    for manifest in [
        String::from_utf8(manifest)
            .unwrap()
            .replace("\"events\":5", "\"events\":6"),
        "{}".to_owned(),
    ] {
        let bad = daemon.place().file("bad.db", &good);
        daemon.place().file("bad.db.json", manifest);
        let run = restore(daemon.place(), &bad, &["--force", "--yes"]);
        run.assert_code(1);
        assert!(run.stderr.contains("manifest"), "{}", run.stderr);
    }
    restore(daemon.place(), &database, &["--force", "--yes"]).assert_code(1);
    restore(daemon.place(), &daemon.data(), &["--force", "--yes"]).assert_code(1);
    assert!(fs::read(&database).unwrap() == present);
    daemon.start_again();
}

#[test]
fn a_part_of_a_database_is_refused() {
    let (mut daemon, _) = backed_up();
    daemon.kill();
    let torn = daemon.place().path().join("torn.db");
    for ending in ["", "-wal"] {
        let from = daemon.data().join(format!("waldo-syncd.db{ending}"));
        let to = daemon.place().path().join(format!("torn.db{ending}"));
        fs::copy(from, to).unwrap();
    }
    let run = restore(&Place::new(), &torn, &[]);
    run.assert_code(1);
    assert!(run.stderr.contains("-wal"), "{}", run.stderr);
}

#[test]
fn a_wal_that_was_left_behind_is_no_part_of_what_is_restored() {
    let (mut daemon, backup) = backed_up();
    let later = daemon.deliver(flag("later", true));
    daemon.kill();
    fs::remove_file(daemon.data().join("waldo-syncd.db")).unwrap();
    restore(daemon.place(), &file_of(&backup), &[]).assert_code(0);
    daemon.place().cli(&["check"]).assert_code(0);
    daemon.start_again();
    assert_eq!(daemon.deliver(flag("d", true)), later);
    assert_eq!(daemon.get("/v1/customers/later").status, 404);
}

#[test]
fn whoever_was_erased_since_is_erased_from_the_restored_file_too() {
    let (mut daemon, backup) = backed_up();
    daemon.place().cli(&["erase", "c", "--yes"]).assert_code(0);
    let erased = rows(&daemon);
    daemon.stop();
    let force = ["--force", "--yes"];
    let run = restore(daemon.place(), &file_of(&backup), &force);
    run.assert_code(0);
    assert_eq!(run.json_lines().remove(0)["erasedAgain"], 1);
    let file = fs::read(daemon.data().join("waldo-syncd.db")).unwrap();
    assert!(!String::from_utf8_lossy(&file).contains("tamper-with-me"));
    daemon.place().cli(&["check"]).assert_code(0);
    daemon.start_again();
    assert_eq!(daemon.get("/v1/customers/c").status, 404);
    assert_eq!(rows(&daemon), erased);
}

#[test]
fn a_list_of_the_erased_that_is_there_in_part_stops_the_restore_until_a_start_has_cut_it() {
    let (mut daemon, backup) = backed_up();
    daemon.place().cli(&["erase", "c", "--yes"]).assert_code(0);
    daemon.stop();
    let list = daemon.data().join("erased.jsonl");
    let whole = fs::read(&list).unwrap();
    fs::write(&list, &whole[..whole.len() - 5]).unwrap();
    let database = daemon.data().join("waldo-syncd.db");
    let present = fs::read(&database).unwrap();
    let run = restore(daemon.place(), &file_of(&backup), &["--force", "--yes"]);
    run.assert_code(1);
    for part in [
        "was cut short",
        "copy it again, whole",
        "start the daemon once",
    ] {
        assert!(run.stderr.contains(part), "{}", run.stderr);
    }
    assert!(fs::read(&database).unwrap() == present);
    daemon.start_again();
    let told = daemon.log();
    assert!(told.contains("is brought to its end now"), "{told}");
    assert!(!told.contains("has to ask again"), "{told}");
    daemon.stop();
    let run = restore(daemon.place(), &file_of(&backup), &["--force", "--yes"]);
    run.assert_code(0);
    assert_eq!(run.json_lines().remove(0)["erasedAgain"], 1);
}

#[test]
fn a_list_of_the_erased_that_cannot_be_read_stops_the_restore() {
    let (daemon, backup) = backed_up();
    let place = Place::new();
    fs::create_dir_all(place.data()).unwrap();
    fs::write(place.data().join("erased.jsonl"), "{}\n").unwrap();
    let run = restore(&place, &file_of(&backup), &[]);
    run.assert_code(1);
    assert!(run.stderr.contains("erased"), "{}", run.stderr);
    assert_eq!(names(&place.data()), ["erased.jsonl"]);
    drop(daemon);
}
