//! check and rebuild: the verbs that work on the file itself.

use std::fs;
use std::io::Read as _;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::assert_helpful;
use crate::common::bodies::*;
use crate::common::{Daemon, Place};

/// A stopped daemon whose file holds a few events, and the last of their seqs.
fn stopped() -> (Daemon, u64) {
    let mut daemon = Daemon::start();
    for name in [
        "webhook-onboard-dashboard.json",
        "webhook-evaluation-fraud-initiated.json",
        "webhook-evaluation-fraud-completed.json",
        "webhook-flag-set.json",
    ] {
        daemon.deliver(sample(name));
    }
    let last = daemon.deliver(with(
        flag("c", true),
        serde_json::json!({"note": "tamper-with-me"}),
    ));
    daemon.event(last);
    daemon.stop();
    (daemon, last)
}

#[test]
fn check_of_a_sound_file_is_0() {
    let (daemon, _) = stopped();
    daemon.place().cli(&["check"]).assert_code(0);
    let file = daemon.data().join("waldo-syncd.db");
    daemon
        .place()
        .run(&["check", file.to_str().unwrap()])
        .assert_code(0);
    let run = daemon.place().cli(&["check", "--json"]);
    run.assert_code(0);
    assert!(!run.json_lines().is_empty());
}

#[test]
fn check_works_beside_the_running_daemon() {
    let daemon = Daemon::start();
    let seq = daemon.deliver(flag("c", true));
    daemon.event(seq);
    daemon.place().cli(&["check"]).assert_code(0);
    daemon.deliver(flag("c", false));
}

#[test]
fn check_leaves_the_file_as_it_is() {
    let (daemon, _) = stopped();
    let file = daemon.data().join("waldo-syncd.db");
    let before = fs::read(&file).unwrap();
    daemon.place().cli(&["check"]).assert_code(0);
    assert!(
        fs::read(&file).unwrap() == before,
        "check wrote to the file"
    );
}

#[test]
fn check_finds_an_altered_payload() {
    let (daemon, seq) = stopped();
    let file = daemon.data().join("waldo-syncd.db");
    let mut bytes = fs::read(&file).unwrap();
    let mark = b"tamper-with-me";
    let at = bytes
        .windows(mark.len())
        .position(|window| window == mark)
        .expect("the payload stands in the file as it came");
    bytes[at] = b'T';
    fs::write(&file, bytes).unwrap();
    let run = daemon.place().cli(&["check"]);
    run.assert_code(1);
    let text = run.stdout + &run.stderr;
    assert!(
        text.contains(&seq.to_string()),
        "the altered seq is not named: {text}"
    );
}

#[test]
fn check_refuses_what_is_no_database_of_ours() {
    let place = Place::new();
    let junk = place.file("junk.db", "this is no database".repeat(500));
    for (file, code) in [(junk, 1), (place.file("empty.db", ""), 1)] {
        let run = place.run(&["check", file.to_str().unwrap()]);
        run.assert_code(code);
        assert!(
            run.stderr.contains(file.to_str().unwrap()),
            "{}",
            run.stderr
        );
    }
    let missing = place.path().join("missing.db");
    let run = place.run(&["check", missing.to_str().unwrap()]);
    assert!(matches!(run.code, Some(1 | 3)), "{run:?}");
    assert_helpful(&run);
    assert!(!missing.exists(), "check made a file");
}

#[test]
fn rebuild_gives_the_same_rows() {
    let (mut daemon, _) = stopped();
    daemon.start_again();
    let rows = |daemon: &Daemon| {
        let mut rows = daemon.all("/v1/customers?sort=customerId", 1000);
        rows.extend(daemon.all("/v1/requests", 1000));
        rows.extend(daemon.get("/v1/events?limit=1000").items());
        rows
    };
    let before = rows(&daemon);
    daemon.stop();
    daemon.place().cli(&["rebuild", "--diff"]).assert_code(0);
    daemon.place().cli(&["rebuild"]).assert_code(0);
    daemon.place().cli(&["rebuild", "--diff"]).assert_code(0);
    daemon.place().cli(&["check"]).assert_code(0);
    daemon.start_again();
    assert_eq!(rows(&daemon), before);
}

#[test]
fn damaged_file_ends_the_start_with_a_clear_sentence() {
    let (daemon, _) = stopped();
    let file = daemon.data().join("waldo-syncd.db");
    fs::write(&file, "this is no database".repeat(500)).unwrap();
    let mut command = daemon.place().command();
    command.args(daemon.place().serve_arguments());
    let run = daemon.place().finish(command);
    run.assert_code(1);
    assert!(run.stderr.contains("waldo-syncd.db"), "{}", run.stderr);
}

/// Runs a verb on a terminal of its own, with 80 columns; what was shown there.
fn on_terminal(daemon: &Daemon, arguments: &[&str]) -> String {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let mut ours = std::fs::File::from(openpt(flags).unwrap());
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let mut command = daemon.place().command();
    command.args(arguments).arg("--data-dir").arg(daemon.data());
    command.env("TERM", "xterm");
    command.stderr(theirs).stdout(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    // The terminal ends when nobody has it open any more.
    drop(command);
    let mut shown = Vec::new();
    let _ = ours.read_to_end(&mut shown);
    assert!(child.wait().unwrap().success());
    String::from_utf8_lossy(&shown).into_owned()
}

#[test]
fn long_work_is_shown_on_a_terminal_and_nowhere_else() {
    let (daemon, _) = stopped();
    let target = daemon.place().path().join("copy.db");
    let backup = ["backup", target.to_str().unwrap(), "--force"];
    let works: [(&[&str], &str); 5] = [
        (&["check"], "events checked"),
        (&["check"], "rows compared with their indexes"),
        (&["rebuild"], "events folded"),
        (&["export", "--events"], "events looked at"),
        (&backup, "events checked"),
    ];
    for (arguments, shown) in works {
        let terminal = on_terminal(&daemon, arguments);
        assert!(terminal.contains(shown), "{arguments:?}: {terminal:?}");
        assert!(terminal.contains("so far"), "{arguments:?}: {terminal:?}");
        let run = daemon.place().cli(arguments);
        run.assert_code(0);
        assert_eq!(run.stderr, "", "{arguments:?}");
    }
    let check = daemon.place().cli(&["check", "--json"]);
    assert!(check.json_lines()[0]["seconds"].as_f64().is_some());
}
