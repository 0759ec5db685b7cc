//! The command line: exit codes, JSON lines, errors that help, help that fits a screen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

#[path = "cli/contract.rs"]
mod contract;
#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/manual.rs"]
mod manual;
#[path = "cli/setup.rs"]
mod setup;
#[path = "cli/show.rs"]
mod show;

use common::place::Run;
use common::{Daemon, Place};

/// Lines of a terminal of the usual size.
const SCREEN_LINES: usize = 24;

/// An error stands on stderr alone, says something, and fits on a few lines.
#[track_caller]
pub fn assert_helpful(run: &Run) {
    assert_eq!(run.stdout, "", "an error stands on stderr");
    assert!(run.stderr.trim().len() > 15, "no help: {:?}", run.stderr);
}

#[test]
fn help_of_each_verb_fits_a_screen_and_shows_an_example() {
    let place = Place::new();
    let verbs: [&[&str]; 27] = [
        &["serve"],
        &["sandbox"],
        &["init"],
        &["webhook-url"],
        &["send"],
        &["status"],
        &["customers"],
        &["customer"],
        &["events"],
        &["event"],
        &["requests"],
        &["outbound"],
        &["track"],
        &["settle"],
        &["resync"],
        &["backup"],
        &["restore"],
        &["check"],
        &["rebuild"],
        &["prune"],
        &["erase"],
        &["export"],
        &["doctor"],
        &["config", "check"],
        &["config", "show"],
        &["man"],
        &["completions"],
    ];
    for verb in verbs {
        let run = place.run(&[verb, &["--help"]].concat());
        run.assert_code(0);
        let lines = run.stdout.lines().count();
        assert!(
            lines <= SCREEN_LINES,
            "{verb:?}: {lines} lines\n{}",
            run.stdout
        );
        let text = run.stdout.to_lowercase();
        assert!(
            text.contains("example"),
            "{verb:?} has no example:\n{}",
            run.stdout
        );
        let call = format!("waldo-syncd {}", verb.join(" "));
        assert!(
            run.stdout.contains(&call),
            "{verb:?} never shows a call:\n{}",
            run.stdout
        );
        assert!(
            !run.stdout.contains('\x1b'),
            "{verb:?}: colours without a terminal"
        );
    }
}

#[test]
fn help_of_the_whole_names_every_verb() {
    let place = Place::new();
    let run = place.run(&["--help"]);
    run.assert_code(0);
    for verb in [
        "init",
        "serve",
        "sandbox",
        "send",
        "webhook-url",
        "status",
        "customers",
        "customer",
        "events",
        "requests",
        "check",
        "rebuild",
        "config",
        "man",
        "completions",
    ] {
        assert!(
            run.stdout.contains(verb),
            "{verb} is missing:\n{}",
            run.stdout
        );
    }
    place.run(&["--version"]).assert_code(0);
}

#[test]
fn wrong_usage_is_2() {
    let place = Place::new();
    for arguments in [
        &["frobnicate"] as &[&str],
        &["status", "--frobnicate"],
        &["customer"],
        &["send"],
        &["events", "--limit", "many"],
        &["serve", "--ingest"],
        &["config", "frobnicate"],
        &["check", "a.db", "b.db"],
    ] {
        let run = place.run(arguments);
        run.assert_code(2);
        assert_helpful(&run);
    }
}

#[test]
fn no_verb_at_all_is_2() {
    let place = Place::new();
    place.run(&[]).assert_code(2);
}

#[test]
fn verbs_that_need_the_daemon_are_4_when_it_is_not_running() {
    let never = Place::new();
    let mut killed = Daemon::start();
    killed.kill();
    assert!(
        killed.data().join("doors.json").exists(),
        "the case has no sense"
    );
    let mut stopped = Daemon::start();
    stopped.stop();
    for place in [&never, killed.place(), stopped.place()] {
        for arguments in [
            &["status"] as &[&str],
            &["status", "--json"],
            &["customers"],
            &["customer", "c"],
            &["events"],
            &["event", "1"],
            &["requests"],
            &["send", "onboard", "--customer", "c"],
        ] {
            let run = place.cli(arguments);
            run.assert_code(4);
            assert_helpful(&run);
            let text = run.stderr.to_lowercase();
            assert!(
                text.contains("not running") || text.contains("serve"),
                "{text}"
            );
        }
    }
}

#[test]
fn nothing_known_is_3() {
    let daemon = Daemon::start();
    for (verb, id) in [("customer", "nobody"), ("event", "4711")] {
        let run = daemon.place().cli(&[verb, id]);
        run.assert_code(3);
        assert_helpful(&run);
        assert!(run.stderr.contains(id), "{}", run.stderr);
    }
}
