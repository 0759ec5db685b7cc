//! docs/CLI-JSON.md is a contract: what it says of each verb is what the verb prints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::channel;

use serde_json::{Value, json};

use crate::common::bodies::*;
use crate::common::{Daemon, Place};

const DOCUMENT: &str = include_str!("../../docs/CLI-JSON.md");
/// What prints no JSON, and what always does.
const WITHOUT: [&str; 8] = [
    "serve",
    "outbound",
    "sandbox",
    "man",
    "openapi",
    "completions",
    "export",
    "help",
];

type Members = BTreeMap<String, String>;

/// Verb → member → type.
fn documented() -> BTreeMap<String, Members> {
    let mut verbs = BTreeMap::new();
    for section in DOCUMENT.split("\n## ").skip(1) {
        let (heading, text) = section.split_once('\n').unwrap();
        let verb = heading.trim().trim_matches('`').to_owned();
        let mut members = Members::new();
        for row in text.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
            let name = cells[0].trim_matches('`').to_owned();
            assert!(members.insert(name, cells[1].to_owned()).is_none(), "{row}");
        }
        verbs.insert(verb, members);
    }
    // What the text says in words.
    let (events, customers) = (verbs["events"].clone(), verbs["customers"].clone());
    verbs.get_mut("event").unwrap().extend(events);
    verbs.get_mut("customer").unwrap().extend(customers);
    verbs
}

fn is_of(value: &Value, kind: &str) -> bool {
    kind.split(" or ").any(|kind| match kind {
        "text" => value.is_string(),
        "time" => value
            .as_str()
            .is_some_and(|at| at.len() == 24 && at.ends_with('Z')),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "list" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        "absent" => false,
        "any" => true,
        other => panic!("no such type: {other}"),
    })
}

struct Contract {
    verbs: BTreeMap<String, Members>,
    seen: BTreeSet<String>,
}

impl Contract {
    #[track_caller]
    fn holds(&mut self, verb: &str, lines: &[Value]) {
        assert!(!lines.is_empty(), "{verb} printed nothing");
        let members = &self.verbs[verb];
        for line in lines {
            for (name, value) in line.as_object().unwrap() {
                let kind = members
                    .get(name)
                    .unwrap_or_else(|| panic!("{verb}: {name} is not documented: {line}"));
                assert!(is_of(value, kind), "{verb}: {name} is no {kind}: {line}");
            }
            for (name, kind) in members {
                let there = line.get(name).is_some() || kind.contains("absent");
                assert!(there, "{verb}: {name} is documented and absent: {line}");
            }
        }
        self.seen.insert(verb.to_owned());
    }

    /// Runs a verb that must end with 0.
    #[track_caller]
    fn run(&mut self, place: &Place, verb: &str, arguments: &[&str]) {
        let words: Vec<_> = verb.split(' ').collect();
        let run = place.cli(&[&words, arguments, &["--json"]].concat());
        run.assert_code(0);
        self.holds(verb, &run.json_lines());
    }
}

/// Plays the process that speaks to Waldo: takes one errand and reports on it.
fn outbound(daemon: &Daemon) -> std::thread::JoinHandle<()> {
    let mut controller = daemon.controller();
    let mut tell = move |path: &str, body: Value| {
        let body = body.to_string();
        let answer = controller.call("POST", path, &[], Some(body.as_bytes()));
        answer.unwrap().json()
    };
    tell(
        "/v1/outbound",
        json!({"polling": true, "lastPollAt": "2026-11-24T13:00:00.000Z"}),
    );
    let (ready, is_ready) = channel();
    let thread = std::thread::spawn(move || {
        ready.send(()).unwrap();
        let errand = tell("/v1/errands", json!({"waitSeconds": 60}));
        let path = format!("/v1/errands/{}", errand["id"]);
        let fields = [json!({"field": "status", "from": "REVIEW", "to": "APPROVED"})];
        let drift = [json!({"customerId": "c", "fields": fields})];
        tell(
            &path,
            json!({"checked": 1, "total": 1, "drifted": 1, "drift": drift, "finished": true}),
        );
    });
    is_ready.recv().unwrap();
    thread
}

#[test]
fn each_verb_prints_what_the_document_says() {
    let mut contract = Contract {
        verbs: documented(),
        seen: BTreeSet::new(),
    };
    let mut daemon = Daemon::start();
    daemon.deliver(sample("webhook-onboard-dashboard.json"));
    daemon.deliver(sample("webhook-evaluation-fraud-initiated.json"));
    daemon.deliver(sample("webhook-evaluation-fraud-completed.json"));
    let last = daemon.deliver("no json");
    daemon.event(last);
    let place = daemon.place();
    let file = |name: &str| place.path().join(name).display().to_string();
    contract.run(place, "init", &["--config", &file("fresh.toml")]);
    contract.run(
        place,
        "send",
        &["onboard", "--customer", "c", "--status", "REVIEW"],
    );
    contract.run(
        place,
        "track",
        &["r-1", "--operation", "onboard", "--customer", "c"],
    );
    contract.run(place, "settle", &["r-1", "--state", "completed"]);
    contract.run(place, "customers", &[]);
    contract.run(place, "customer", &[ADA]);
    contract.run(place, "events", &[]);
    contract.run(place, "event", &["1"]);
    contract.run(place, "event", &[&last.to_string()]);
    contract.run(place, "requests", &[]);
    let errands = outbound(&daemon);
    contract.run(place, "resync", &["c"]);
    errands.join().unwrap();
    let backup = file("backup.db");
    contract.run(place, "backup", &[&backup]);
    contract.run(place, "status", &[]);
    contract.run(place, "webhook-url", &[]);
    contract.run(place, "config check", &[]);
    contract.run(place, "config show", &[]);
    contract.run(place, "prune", &["--older-than", "365d", "--yes"]);
    contract.run(place, "erase", &["c", "--yes"]);
    let looked = place.cli(&["doctor", "--json"]);
    contract.holds("doctor", &looked.json_lines());
    daemon.stop();
    let place = daemon.place();
    contract.run(place, "check", &[]);
    let database = rusqlite::Connection::open(daemon.data().join("waldo-syncd.db")).unwrap();
    database
        .execute("UPDATE customers SET status = 'X'", [])
        .unwrap();
    drop(database);
    let differs = place.cli(&["rebuild", "--diff", "--json"]);
    differs.assert_code(1);
    contract.holds("rebuild", &differs.json_lines());
    contract.run(place, "restore", &[&backup, "--force", "--yes"]);

    let unseen: Vec<_> = contract
        .verbs
        .keys()
        .filter(|verb| !contract.seen.contains(*verb))
        .collect();
    assert!(unseen.is_empty(), "documented and not tried: {unseen:?}");
}

#[test]
fn every_verb_is_in_the_document() {
    let place = Place::new();
    let help = place.run(&["--help"]).stdout;
    let commands = help.split_once("Commands:").unwrap().1;
    let verbs = commands
        .lines()
        .skip(1)
        .take_while(|line| !line.trim().is_empty())
        // Further lines of a description are indented deeper.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    let documented = documented();
    let mut seen = 0;
    for verb in verbs.filter(|verb| !WITHOUT.contains(verb)) {
        let is_there = documented
            .keys()
            .any(|known| known.split(' ').next() == Some(verb));
        assert!(is_there, "{verb} is not in docs/CLI-JSON.md");
        seen += 1;
    }
    assert!(seen > 15, "{help}");
}
