//! Rows that the log does not give are shown and put right; what runs meanwhile is left alone.

use std::sync::atomic::{AtomicBool, Ordering};

use waldo_syncd::store::rebuild_file;

use super::*;

#[test]
fn corrupted_rows_are_shown_by_diff_and_put_right_by_rebuild() {
    let (daemon, _) = stopped();
    let sound = dump(&daemon.data().join(FILE));
    for (table, damage) in [
        (
            "customers",
            "UPDATE customers SET status = 'REJECTED' WHERE key = 1",
        ),
        (
            "customers",
            "UPDATE customers SET fraud_score = fraud_score + 1e-16 WHERE fraud_score IS NOT NULL",
        ),
        ("customers", "DELETE FROM customers WHERE key = 2"),
        ("customers", "UPDATE customers SET memory = '{}'"),
        ("requests", "UPDATE requests SET state = 'pending'"),
        (
            "requests",
            "INSERT INTO requests (key, request_id, evaluations, expects) VALUES (99, 'r', '{}', '[]')",
        ),
        (
            "verdicts",
            "UPDATE verdicts SET origin = 3 - origin WHERE seq = 1",
        ),
        ("verdicts", "DELETE FROM verdicts WHERE seq = 4"),
        (
            "verdicts",
            "UPDATE verdicts SET previous_of_customer = NULL",
        ),
        (
            "counts",
            "UPDATE counts SET number = number + 1 WHERE kind = 'event'",
        ),
        ("minutes", "DELETE FROM minutes"),
        ("projection", "UPDATE projection SET last_webhook_at = 0"),
    ] {
        let place = copied(&daemon);
        let file = place.data().join(FILE);
        let changed = Connection::open(&file)
            .unwrap()
            .execute(damage, [])
            .unwrap();
        assert!(changed > 0, "{damage}");
        let shown = place.cli(&["rebuild", "--diff"]);
        shown.assert_code(1);
        let lines: Vec<_> = shown.stdout.lines().collect();
        assert!(
            lines.len() == 1 && lines[0].starts_with(&format!("{table}:")),
            "{damage}: {shown:?}"
        );
        assert_ne!(dump(&file), sound, "{damage}: --diff is only to show");
        place.cli(&["rebuild"]).assert_code(0);
        assert_same(&sound, &dump(&file));
        place.cli(&["rebuild", "--diff"]).assert_code(0);
    }
}

#[test]
fn diff_in_json_counts_rows_on_both_sides() {
    let (daemon, _) = stopped();
    let file = daemon.data().join(FILE);
    let damage =
        "UPDATE customers SET kyc = 'odd' WHERE key = 1; DELETE FROM counts WHERE kind = 'source'";
    Connection::open(&file)
        .unwrap()
        .execute_batch(damage)
        .unwrap();
    let shown = daemon.place().cli(&["rebuild", "--diff", "--json"]);
    shown.assert_code(1);
    let expected = [
        serde_json::json!({"table": "customers", "onlyBefore": 1, "onlyAfter": 1}),
        serde_json::json!({"table": "counts", "onlyBefore": 0, "onlyAfter": 1}),
    ];
    assert_eq!(shown.json_lines(), expected);
}

#[test]
fn rebuild_beside_a_daemon_is_refused_and_changes_nothing() {
    let daemon = Daemon::start();
    let seq = daemon.deliver(flag("c", true));
    daemon.event(seq);
    let refused = daemon.place().cli(&["rebuild"]);
    refused.assert_code(1);
    assert!(
        refused.stderr.contains("stop it first"),
        "{}",
        refused.stderr
    );
    daemon.deliver(flag("c", false));
}

/// "works beside a running daemon" (its help): what comes in while it folds is no difference.
#[test]
fn diff_beside_a_busy_daemon_shows_no_difference() {
    let daemon = Daemon::start();
    let path = daemon.webhook_path();
    let over = AtomicBool::new(false);
    for n in 0..200 {
        daemon.deliver(flag("c", n % 2 == 0));
    }
    std::thread::scope(|scope| {
        let (mut client, path, over) = (daemon.sender(), &path, &over);
        scope.spawn(move || {
            for n in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let body = flag("c", n % 2 == 0).to_string().into_bytes();
                client.call("POST", path, &[], Some(&body)).unwrap().seq();
            }
        });
        let runs: Vec<_> = (0..5)
            .map(|_| daemon.place().cli(&["rebuild", "--diff"]))
            .collect();
        over.store(true, Ordering::Relaxed);
        for run in runs {
            run.assert_code(0);
        }
    });
}

#[test]
fn work_on_a_stopped_file_leaves_no_other_file_behind() {
    let (daemon, _) = stopped();
    let names = || {
        let entries = std::fs::read_dir(daemon.data()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(), [FILE, "webhook-secret"]);
    for verb in [&["rebuild"][..], &["rebuild", "--diff"], &["check"]] {
        daemon.place().cli(verb).assert_code(0);
        assert_eq!(names(), [FILE, "webhook-secret"], "{verb:?}");
    }
    daemon.place().cli(&["erase", CAY, "--yes"]).assert_code(0);
    assert_eq!(names(), ["erased.jsonl", FILE, "webhook-secret"]);
    assert_eq!(common::mode(&daemon.data().join(FILE)), 0o600);
}

/// Rows that stand beyond the end of a log that was cut can never be reached again.
#[test]
fn rebuild_of_a_cut_log_ends() {
    let (daemon, last) = stopped();
    let place = copied(&daemon);
    let connection = Connection::open(place.data().join(FILE)).unwrap();
    connection
        .execute_batch(&format!(
            "DROP TRIGGER log_keeps_its_rows; DELETE FROM log WHERE seq > {}",
            last - 3
        ))
        .unwrap();
    drop(connection);
    let mut told = 0;
    let rebuilt = rebuild_file(&place.data(), false, &mut |_, _| {
        told += 1;
        assert!(told < 1000, "it never ends");
    });
    // Whether it repairs the rows or refuses the file, it says so.
    if rebuilt.is_ok() {
        place.cli(&["rebuild", "--diff"]).assert_code(0);
    }
}

/// What the log gives again stops neither the start nor the intake.
#[test]
fn tables_that_are_not_as_we_make_them_are_made_again_by_the_next_start() {
    let (daemon, last) = stopped();
    let sound = dump(&daemon.data().join(FILE));
    for (change, named) in [
        ("DROP INDEX requests_open", "the index requests_open"),
        (
            "ALTER TABLE customers ADD COLUMN more TEXT",
            "the table customers",
        ),
        ("DROP TABLE minutes", "the table minutes"),
        ("DROP TABLE projection", "the table projection"),
    ] {
        let place = copied(&daemon);
        let file = place.data().join(FILE);
        let connection = Connection::open(&file).unwrap();
        connection.execute_batch(change).unwrap();
        drop(connection);
        let prune = ["prune", "--older-than", "0s", "--yes"];
        for verb in [&["rebuild"][..], &["rebuild", "--diff"], &["check"], &prune] {
            let run = place.cli(verb);
            run.assert_code(1);
            assert!(run.stderr.contains(named), "{change}: {}", run.stderr);
            let advice = "a daemon that starts on the file makes it again";
            assert!(run.stderr.contains(advice), "{change}: {}", run.stderr);
        }
        let mut started = Daemon::start_in(place);
        started.event(last);
        assert!(started.log().contains(named), "{change}");
        started.stop();
        assert_same(&sound, &dump(&file));
        started.place().cli(&["check"]).assert_code(0);
    }
}
