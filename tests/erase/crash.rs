//! Killed at any moment, an erasure is either not begun or brought to an end by the next start.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

use crate::common::place::poll;
use crate::*;

fn lines(daemon: &Daemon) -> Vec<Value> {
    let text = std::fs::read_to_string(daemon.data().join(LIST)).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// The daemon goes on and all is as one fold gives it.
#[track_caller]
fn assert_whole(daemon: &mut Daemon) {
    let next = daemon.deliver(flag(DOT, true));
    daemon.event(next);
    assert_sound(daemon.place());
    daemon.stop();
    assert_sound(daemon.place());
}

/// As a daemon leaves it that was killed right after it noted the intent: the list of another one's whole erasure, without
/// its end.
#[track_caller]
fn stopped_with_an_erasure_begun() -> Daemon {
    let mut daemon = Daemon::start();
    live(&daemon);
    daemon.stop();
    let copy = Place::new();
    std::fs::create_dir(copy.data()).unwrap();
    std::fs::copy(daemon.data().join(FILE), copy.data().join(FILE)).unwrap();
    copy.cli(&["erase", EVE, "--yes"]).assert_code(0);
    let list = std::fs::read_to_string(copy.data().join(LIST)).unwrap();
    let begun: Vec<_> = list.lines().take(2).collect();
    assert!(begun[1].contains("begun"), "{list}");
    std::fs::write(daemon.data().join(LIST), begun.join("\n") + "\n").unwrap();
    assert!(!holding(&daemon.data(), EVE).is_empty());
    daemon
}

#[test]
fn a_start_completes_what_was_begun() {
    let mut daemon = stopped_with_an_erasure_begun();
    daemon.start_again();
    assert_no_trace(&daemon.data());
    assert_eq!(lines(&daemon)[2]["state"], "done");
    assert_whole(&mut daemon);
}

/// A program that reads for long, as a replicating tool does, keeps the WAL from being emptied, whatever was to be done.
#[test]
fn who_reads_on_keeps_no_door_shut_and_the_next_start_completes_what_was_begun() {
    let mut daemon = stopped_with_an_erasure_begun();
    let reader = rusqlite::Connection::open(daemon.data().join(FILE)).unwrap();
    reader
        .execute("UPDATE projection SET rules_version = 0", [])
        .unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let count = "SELECT count(*) FROM log";
    let counted: i64 = reader.query_row(count, [], |row| row.get(0)).unwrap();
    daemon.start_again();
    assert!(daemon.log().contains("the next start goes on with it"));
    assert_eq!(lines(&daemon).last().unwrap()["state"], "begun");
    assert_eq!(daemon.get(&format!("/v1/customers/{EVE}")).status, 404);
    let next = daemon.deliver(flag(ADA, true));
    daemon.event(next);
    assert_eq!(reader.query_row(count, [], |row| row.get(0)), Ok(counted));
    drop(reader);
    daemon.stop();
    daemon.start_again();
    assert_eq!(lines(&daemon).last().unwrap()["state"], "done");
    assert_no_trace(&daemon.data());
    assert_whole(&mut daemon);
}

/// The rows say what is the customer's; where they are damaged, the log gives them again.
#[test]
fn what_was_begun_is_completed_also_over_damaged_rows() {
    let mut daemon = stopped_with_an_erasure_begun();
    let file = rusqlite::Connection::open(daemon.data().join(FILE)).unwrap();
    let damage = "UPDATE verdicts SET previous_of_customer = seq WHERE previous_of_customer > 0";
    assert!(file.execute(damage, []).unwrap() > 0);
    drop(file);
    daemon.start_again();
    assert!(daemon.log().contains("the links of the tables are broken"));
    assert_eq!(lines(&daemon).last().unwrap()["state"], "done");
    assert_no_trace(&daemon.data());
    assert_whole(&mut daemon);
}

/// A trigger that keeps a row as it is would leave it, with the list saying that it is gone.
#[test]
fn nothing_is_said_to_be_erased_that_a_trigger_keeps() {
    for what in [
        "UPDATE OF payload ON log",
        "DELETE ON customers",
        "DELETE ON requests",
        "DELETE ON verdicts",
    ] {
        assert_kept(&format!(
            "CREATE TRIGGER keep BEFORE {what} BEGIN SELECT RAISE(IGNORE); END"
        ));
    }
}

#[track_caller]
fn assert_kept(keep: &str) {
    let mut daemon = Daemon::start();
    live(&daemon);
    let file = daemon.data().join(FILE);
    let sql = |text: &str| {
        let connection = rusqlite::Connection::open(&file).unwrap();
        connection.execute_batch(text).unwrap();
    };
    sql(keep);
    let run = daemon.place().cli(&["erase", EVE, "--yes"]);
    run.assert_code(1);
    daemon.stop();
    let begun = lines(&daemon);
    assert_eq!(begun.last().unwrap()["state"], "begun");
    let arguments = daemon.place().serve_arguments();
    let all: Vec<&str> = arguments.iter().map(String::as_str).collect();
    daemon.place().run(&all).assert_code(1);
    assert_eq!(lines(&daemon), begun);
    sql("DROP TRIGGER keep");
    daemon.start_again();
    assert_eq!(lines(&daemon).last().unwrap()["state"], "done");
    assert_no_trace(&daemon.data());
    assert_whole(&mut daemon);
}

/// A daemon that was killed while it noted the intent: of that line stands a part, and nothing else has happened.
#[test]
fn a_line_that_was_torn_while_it_was_written_stands_for_nothing_and_is_told() {
    let mut daemon = Daemon::start();
    live(&daemon);
    daemon.place().cli(&["erase", CAY, "--yes"]).assert_code(0);
    let list = daemon.data().join(LIST);
    let before = std::fs::read(&list).unwrap();
    daemon.stop();
    let copy = Place::new();
    std::fs::create_dir(copy.data()).unwrap();
    for name in [FILE, LIST] {
        std::fs::copy(daemon.data().join(name), copy.data().join(name)).unwrap();
    }
    copy.cli(&["erase", EVE, "--yes"]).assert_code(0);
    let after = std::fs::read(copy.data().join(LIST)).unwrap();
    std::fs::write(&list, &after[..before.len() + 100]).unwrap();
    daemon.start_again();
    let told = daemon.log();
    assert!(told.contains("has to ask again"), "{told}");
    assert!(std::fs::read(&list).unwrap() == before, "it is cut off");
    assert_eq!(daemon.get(&format!("/v1/customers/{EVE}")).status, 200);
    assert_eq!(daemon.get(&format!("/v1/customers/{CAY}")).status, 404);
    daemon.place().cli(&["erase", EVE, "--yes"]).assert_code(0);
    assert_eq!(lines(&daemon).len(), 5);
    assert_no_trace(&daemon.data());
}

/// What was under no customer cannot be found again by the id once it is gone: that it was noted before is what counts.
#[test]
fn what_was_under_no_customer_stays_erased_when_the_end_was_not_noted() {
    const LOOSE: &str = "loose-id-of-nobody-4711";
    let mut daemon = Daemon::start();
    let last = daemon.deliver(format!("no JSON that names {LOOSE}"));
    daemon.event(last);
    daemon.stop();
    let backup = daemon.place().path().join("backup.db");
    std::fs::copy(daemon.data().join(FILE), &backup).unwrap();
    daemon
        .place()
        .cli(&["erase", LOOSE, "--yes"])
        .assert_code(0);
    let path = daemon.data().join(LIST);
    let list = std::fs::read_to_string(&path).unwrap();
    let begun: Vec<_> = list.lines().take(2).collect();
    std::fs::write(&path, begun.join("\n") + "\n").unwrap();
    daemon.start_again();
    assert_eq!(lines(&daemon)[2]["state"], "done");
    daemon.stop();
    let restore = ["restore", backup.to_str().unwrap(), "--force", "--yes"];
    daemon.place().cli(&restore).assert_code(0);
    let file = daemon.data().join(FILE);
    let bytes = std::fs::read(file).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains(LOOSE));
}

#[test]
fn a_kill_during_an_erasure_leaves_none_of_it_half_done() {
    for round in 0..6_u32 {
        let mut daemon = Daemon::start();
        live(&daemon);
        for n in 0..60 {
            daemon.deliver(with(flag(EVE, n % 2 == 0), json!({"n": n})));
        }
        std::thread::scope(|scope| {
            let mut control = daemon.controller();
            let eraser = scope.spawn(move || {
                // Whether it was answered is not known.
                drop(control.call(
                    "POST",
                    &format!("/v1/customers/{EVE}/erase"),
                    &[],
                    Some(b"{}"),
                ));
            });
            // From a kill before it has begun to one after it is noted, and anywhere behind that.
            let list = daemon.data().join(LIST);
            if round > 0 {
                poll("the intent", Duration::from_secs(30), || {
                    let written = std::fs::metadata(&list).map_or(0, |meta| meta.len());
                    (written > u64::from(round - 1) * 90).then_some(())
                });
            }
            daemon.kill();
            eraser.join().unwrap();
        });
        let begun = lines(&daemon).len() > 1;
        daemon.start_again();
        if begun {
            assert_no_trace(&daemon.data());
            assert_eq!(lines(&daemon).last().unwrap()["state"], "done");
        } else {
            assert_eq!(daemon.get(&format!("/v1/customers/{EVE}")).status, 200);
        }
        assert_whole(&mut daemon);
    }
}

#[test]
fn a_file_whose_rows_wait_to_be_folded_again_is_folded_by_the_next_start() {
    let mut daemon = Daemon::start();
    live(&daemon);
    daemon.stop();
    // As an erasure that needs a fold leaves it when it is killed before the fold.
    let connection = rusqlite::Connection::open(daemon.data().join(FILE)).unwrap();
    connection
        .execute("UPDATE projection SET rules_version = 0", [])
        .unwrap();
    connection.execute("DELETE FROM customers", []).unwrap();
    let last: i64 = connection
        .query_row("SELECT max(seq) FROM log", [], |row| row.get(0))
        .unwrap();
    drop(connection);
    daemon.start_again();
    let eve = format!("/v1/customers/{EVE}?minSeq={last}");
    assert_eq!(daemon.get(&eve).status, 200);
    assert_whole(&mut daemon);
}

#[test]
fn an_erasure_goes_on_when_whoever_asked_for_it_hangs_up() {
    let daemon = Daemon::start();
    live(&daemon);
    let mut asking = UnixStream::connect(daemon.place().control()).unwrap();
    let request = format!(
        "POST /v1/customers/{EVE}/erase HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    );
    asking.write_all(request.as_bytes()).unwrap();
    drop(asking);
    let done = || {
        let list = std::fs::read_to_string(daemon.data().join(LIST)).ok()?;
        list.contains("\"done\"").then_some(())
    };
    poll("the end of the erasure", Duration::from_secs(20), done);
    assert_eq!(daemon.get(&format!("/v1/customers/{EVE}")).status, 404);
}
