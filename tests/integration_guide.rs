//! The examples of docs/INTEGRATION.md, run as they stand against a daemon with a sandbox in Waldo's place.
//!
//! An interpreter that is not installed is said on stderr. With WALDO_SYNCD_EXAMPLES="sh python node php" the named ones
//! must be there; the gate sets it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use common::http::Client;
use common::place::{Run, poll};
use common::{Daemon, Place};

const MAX_LINES: usize = 60;

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// How the examples of one language are run.
struct Language {
    name: &'static str,
    ending: &'static str,
    program: &'static str,
    /// Each ends with 0 where the examples can run.
    needs: &'static [&'static [&'static str]],
}

const SH: Language = Language {
    name: "sh",
    ending: "sh",
    program: "sh",
    needs: &[&["curl", "--version"], &["jq", "--version"]],
};
const PYTHON: Language = Language {
    name: "python",
    ending: "py",
    program: "python3",
    needs: &[&["python3", "-c", "import sqlite3, urllib.request"]],
};
const NODE: Language = Language {
    name: "node",
    ending: "mjs",
    program: "node",
    needs: &[&["node", "-e", "process.exit(globalThis.fetch ? 0 : 1)"]],
};
const PHP: Language = Language {
    name: "php",
    ending: "php",
    program: "php",
    needs: &[&[
        "php",
        "-r",
        "exit(extension_loaded('curl') && extension_loaded('pdo_sqlite') ? 0 : 1);",
    ]],
};

impl Language {
    #[expect(
        clippy::disallowed_methods,
        reason = "the gate says by a variable which must be there"
    )]
    fn is_there(&self) -> bool {
        let works = |line: &&[&str]| {
            let mut command = Command::new(line[0]);
            command.args(&line[1..]).stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        let Some(missing) = self.needs.iter().find(|line| !works(line)) else {
            return true;
        };
        let missing = missing.join(" ");
        let required = std::env::var("WALDO_SYNCD_EXAMPLES").unwrap_or_default();
        assert!(
            !required.split_whitespace().any(|name| name == self.name),
            "the {} examples cannot run: `{missing}` does not work here",
            self.name
        );
        // Not by the macro, whose text the test runner hides when a test passes.
        let said = writeln!(
            std::io::stderr(),
            "NOT RUN: the {} examples, because `{missing}` does not work here",
            self.name
        );
        said.expect("a line on stderr");
        false
    }
}

/// A daemon with a sandbox, and an app written in one language.
struct App {
    daemon: Daemon,
    language: Language,
}

impl App {
    #[track_caller]
    fn start(language: Language) -> Option<Self> {
        if !language.is_there() {
            return None;
        }
        let place = Place::new();
        let mut arguments = place.serve_arguments();
        for argument in ["--sandbox", "127.0.0.1:0", "--gateway", "127.0.0.1:0"] {
            arguments.push(argument.to_owned());
        }
        let daemon = Daemon::start_as(place, arguments);
        Some(Self { daemon, language })
    }

    #[track_caller]
    fn run(&self, example: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
        let file = format!("examples/{example}.{}", self.language.ending);
        let place = self.daemon.place();
        let mut command = Command::new(self.language.program);
        command
            .arg(docs().join(file))
            .args(arguments)
            .env_clear()
            .env("HOME", place.path().join("home"))
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .current_dir(place.path())
            .stdin(Stdio::null());
        for (name, door) in [("WALDO_GATEWAY", "gateway"), ("WALDO_QUERY", "query")] {
            command.env(name, format!("http://{}", self.daemon.address(door)));
        }
        command.envs(environment.iter().copied());
        place.finish(command)
    }

    /// Onboards somebody by the gateway example; the ids of the request and of the customer.
    #[track_caller]
    fn onboard(&self, external_id: &str) -> (String, String) {
        let run = self.run("gateway", &[external_id], &[]);
        run.assert_code(0);
        assert_eq!(run.stderr, "", "the call was recorded");
        let ids = run.stdout.trim().split_once(' ').expect("two ids");
        (ids.0.to_owned(), ids.1.to_owned())
    }

    /// What one round of the follower prints; it waits for news where there should be some.
    #[track_caller]
    fn follow(&self, kept: &str, news: bool) -> String {
        let wait = if news { "30" } else { "0" };
        let run = self.run("follow", &[kept], &[("ROUNDS", "1"), ("WAIT", wait)]);
        run.assert_code(0);
        assert_eq!(run.stderr, "", "one answer, without a second try");
        run.stdout
    }

    /// A person on the dashboard decides, and that is known here.
    #[track_caller]
    fn decide(&self, customer: &str, action: &str) -> u64 {
        let events = format!("/v1/customers/{customer}/events?limit=1000");
        let before = self.daemon.get(&events).items().len();
        let path = format!("/sandbox/customers/{customer}/{action}");
        self.at_sandbox("POST", &path);
        let event = poll("the decision", Duration::from_secs(30), || {
            self.daemon.get(&events).items().get(before).cloned()
        });
        assert_eq!(event["origin"], "dashboard", "{event}");
        event["seq"].as_u64().expect("a seq")
    }

    #[track_caller]
    fn at_sandbox(&self, method: &str, path: &str) {
        let mut client = Client::tcp(self.daemon.address("sandbox"));
        let answer = client.call(method, path, &[], None).expect("an answer");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }

    /// Reads the customer by the example; the status and the body that it shows.
    #[track_caller]
    fn customer(&self, id: &str, seq: u64) -> (String, Value) {
        let run = self.run("customer", &[id, &seq.to_string(), "."], &[]);
        run.assert_code(0);
        let (status, body) = run.stdout.trim().split_once(' ').expect("two parts");
        let body = serde_json::from_str(body).expect("JSON");
        (status.to_owned(), body)
    }

    #[track_caller]
    fn live(&self) {
        let (request, customer) = self.onboard("fraud-review");
        self.at_sandbox("GET", "/sandbox/idle?wait=30");
        let state = poll("the outcome", Duration::from_secs(30), || {
            let request = self.daemon.get(&format!("/v1/requests/{request}")).json();
            (request["state"] == "completed").then_some(request)
        });
        assert_eq!(state["customerId"], customer.as_str());
        assert_eq!(self.follow("kept", false), "", "its own call is no news");

        let approved = self.decide(&customer, "approve");
        let first = format!("{approved} {customer} APPROVED\n");
        assert_eq!(self.follow("kept", true), first);
        assert_eq!(self.follow("kept", false), "", "nothing comes twice");

        let (status, shown) = self.customer(&customer, approved);
        assert_eq!(
            (status.as_str(), &shown["status"]),
            ("200", &"APPROVED".into())
        );
        let (status, again) = self.customer(&customer, approved);
        assert_eq!((status.as_str(), again), ("304", shown));

        let rejected = self.decide(&customer, "reject");
        let second = format!("{rejected} {customer} REJECTED\n");
        assert_eq!(self.follow("kept", true), second, "goes on where it was");
        assert_eq!(self.follow("kept", false), "", "nothing comes twice");
        let (status, shown) = self.customer(&customer, rejected);
        assert_eq!(
            (status.as_str(), &shown["status"]),
            ("200", &"REJECTED".into())
        );

        let all = self.follow("another", true);
        assert_eq!(all, first + &second, "whoever begins at 0 sees all of it");
        let unknown = self.run("customer", &["nobody", "0", "."], &[]);
        assert_ne!(unknown.code, Some(0));
        assert!(
            unknown.stderr.contains("no webhook has named"),
            "{unknown:?}"
        );
    }
}

#[test]
fn the_shell_examples_work() {
    let Some(app) = App::start(SH) else { return };
    app.live();
    let (request, _) = app.onboard("fraud-pass");
    let outcome = app.run("outcome", &[&request], &[]);
    outcome.assert_code(0);
    assert_eq!(outcome.json_lines()[0]["state"], "completed");
}

#[test]
fn the_python_examples_work() {
    if let Some(app) = App::start(PYTHON) {
        app.live();
    }
}

#[test]
fn the_node_examples_work() {
    if let Some(app) = App::start(NODE) {
        app.live();
    }
}

#[test]
fn the_php_examples_work() {
    if let Some(app) = App::start(PHP) {
        app.live();
    }
}

#[test]
fn the_guide_shows_the_examples_as_they_are() {
    let guide = fs::read_to_string(docs().join("INTEGRATION.md")).expect("the guide");
    let mut count = 0;
    for entry in fs::read_dir(docs().join("examples")).expect("the examples") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).expect("an example");
        let word = match path.extension().and_then(|ending| ending.to_str()) {
            Some("py") => "python",
            Some("mjs") => "js",
            Some(other @ ("sh" | "php")) => other,
            _ => panic!("{name} is in no language of the guide"),
        };
        assert!(text.lines().count() < MAX_LINES, "{name} is too long");
        assert!(
            guide.contains(&format!("](examples/{name})"))
                && guide.contains(&format!("\n```{word}\n{text}```\n")),
            "docs/INTEGRATION.md does not show examples/{name} as it is"
        );
        count += 1;
    }
    assert_eq!(count, 13, "four languages for three jobs, and outcome.sh");
}
