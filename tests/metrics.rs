//! The metrics: what the documentation names is served, what is served is documented, and the numbers are true.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use common::Daemon;
use common::bodies::sample as payload;

const OPERATIONS: &str = include_str!("../docs/OPERATIONS.md");

/// Name → type and label names.
type Series = BTreeMap<String, (String, BTreeSet<String>)>;

type Read = (String, Vec<(String, String)>, f64);

/// The name of a sample without what a histogram or the format adds, and its labels with their values.
fn sample(line: &str) -> Read {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let value = value.parse().unwrap();
    let Some((name, labels)) = series.split_once('{') else {
        return (series.to_owned(), Vec::new(), value);
    };
    let labels = labels
        .trim_end_matches('}')
        .split(',')
        .filter(|label| !label.is_empty())
        .map(|label| {
            let (label, word) = label.split_once('=').unwrap();
            (label.to_owned(), word.trim_matches('"').to_owned())
        });
    (name.to_owned(), labels.collect(), value)
}

fn samples(text: &str) -> Vec<Read> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(sample).collect()
}

/// What a text says of types; `open` for OpenMetrics, which leaves out the endings of some names there.
fn read(text: &str, open: bool) -> Series {
    let mut series = Series::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let (name, kind) = match kind {
                "counter" if open => (format!("{name}_total"), "counter"),
                "info" if open => (format!("{name}_info"), "gauge"),
                kind => (name.to_owned(), kind),
            };
            let known = series.insert(name, (kind.to_owned(), BTreeSet::new()));
            assert!(known.is_none(), "named twice: {line}");
        }
    }
    for (name, labels, _) in samples(text) {
        let name = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| {
                name.strip_suffix(end)
                    .filter(|name| series.contains_key(*name))
            })
            .unwrap_or(&name);
        let (_, known) = series
            .get_mut(name)
            .unwrap_or_else(|| panic!("{name} has no type"));
        known.extend(
            labels
                .into_iter()
                .map(|(label, _)| label)
                .filter(|label| label != "le"),
        );
    }
    series
}

fn served(text: &str) -> Series {
    read(text, false)
}

/// The table of docs/OPERATIONS.md.
fn documented() -> Series {
    let rows = OPERATIONS
        .lines()
        .filter(|line| line.starts_with("| `waldo_syncd_"));
    let mut series = Series::new();
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() >= 4, "{row}");
        assert!(!cells[3].is_empty(), "no meaning: {row}");
        let words = |cell: &str| -> BTreeSet<String> {
            let words = cell
                .split(',')
                .map(|word| word.trim().trim_matches('`').to_owned());
            words.filter(|word| !word.is_empty()).collect()
        };
        let name = cells[0].trim_matches('`').to_owned();
        let known = series.insert(name, (cells[1].to_owned(), words(cells[2])));
        assert!(known.is_none(), "documented twice: {row}");
    }
    series
}

/// A daemon of which every number is known: it was told of an outbound process, has a settled request and a backup.
fn busy() -> Daemon {
    let daemon = Daemon::start();
    for body in [
        payload("webhook-onboard-dashboard.json"),
        payload("webhook-evaluation-fraud-initiated.json"),
        payload("webhook-evaluation-fraud-completed.json"),
    ] {
        daemon.deliver(body);
    }
    daemon.deliver("no json");
    daemon.post_to("/webhooks/waldo/wrong", &[], "{}");
    let mut controller = daemon.controller();
    let mut tell = |path: &str, body: serde_json::Value| {
        let body = body.to_string();
        let answer = controller.call("POST", path, &[], Some(body.as_bytes()));
        let answer = answer.unwrap();
        assert!(answer.status < 300, "{path}: {}", answer.text());
    };
    tell(
        "/v1/outbound",
        json!({
            "gateway": "127.0.0.1:7313", "polling": true, "lastPollAt": "2026-11-24T13:00:00.000Z",
            "counted": {
                "gatewayCalls": {"2xx": 7, "canary": 1}, "gatewayAnswers": {"yes": 6, "no": 1},
                "polls": {"settled": 3}, "door": {"door_accepted": 5, "door_connections": 2},
            },
        }),
    );
    tell(
        "/v1/requests",
        json!({"requestId": "request-canary", "operation": "other", "customerId": "customer-canary"}),
    );
    tell(
        "/v1/backup",
        json!({"path": daemon.place().path().join("b.db")}),
    );
    let seq = daemon.deliver(json!({
        "event": "event-canary", "customerId": "customer-canary", "validation": {"status": "status-canary"},
    }));
    daemon.event(seq);
    daemon
}

#[track_caller]
fn value(text: &str, series: &str) -> f64 {
    let found = text.lines().find_map(|line| {
        line.strip_prefix(series)
            .and_then(|rest| rest.strip_prefix(' '))
    });
    let found = found.unwrap_or_else(|| panic!("no {series} in\n{text}"));
    found.parse().unwrap()
}

#[test]
fn what_is_served_is_documented_and_what_is_documented_is_served() {
    let text = busy().get("/metrics").text();
    let (served, documented) = (served(&text), documented());
    for (name, known) in &served {
        assert_eq!(
            documented.get(name),
            Some(known),
            "{name}, as documented and as served"
        );
    }
    for name in documented.keys() {
        assert!(
            served.contains_key(name),
            "{name} is documented, but not served"
        );
    }
}

#[test]
fn open_metrics_say_the_same_to_those_who_ask_for_them() {
    let daemon = busy();
    let plain = daemon.get("/metrics").text();
    let accept = [("accept", "application/openmetrics-text; version=1.0.0")];
    let answer = daemon
        .reader()
        .call("GET", "/metrics", &accept, None)
        .unwrap();
    let kind = answer.header("content-type").unwrap().to_owned();
    assert_eq!(
        kind,
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let text = answer.text();
    assert!(
        text.ends_with("# EOF\n") && text.contains("# TYPE waldo_syncd_ingest_answers counter\n"),
        "{text}"
    );
    assert_eq!(read(&text, true), served(&plain));
    // In the older format a help, a type and the samples of a metric are named alike, and nothing else is a comment.
    let mut lines = plain.lines().peekable();
    let mut metrics = 0;
    while let Some(line) = lines.next() {
        let name = line
            .strip_prefix("# HELP ")
            .and_then(|rest| rest.split(' ').next())
            .unwrap_or_else(|| panic!("{line}"));
        let kind = lines
            .next()
            .and_then(|line| line.strip_prefix(&format!("# TYPE {name} ")))
            .unwrap();
        assert!(
            ["counter", "gauge", "histogram"].contains(&kind),
            "{name}: {kind}"
        );
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (of, ..) = sample(line);
            let ending = of
                .strip_prefix(name)
                .unwrap_or_else(|| panic!("{line} under {name}"));
            assert!(
                ending.is_empty()
                    || (kind == "histogram" && ["_sum", "_count", "_bucket"].contains(&ending)),
                "{line}"
            );
        }
        metrics += 1;
    }
    assert!(metrics > 50, "{metrics}");
}

#[test]
fn the_numbers_are_true() {
    let daemon = busy();
    let text = daemon.get("/metrics").text();
    let number = |series: &str| value(&text, &format!("waldo_syncd_{series}"));
    assert_eq!(number("ingest_answers_total{status=\"200\"}"), 5.0);
    assert_eq!(number("ingest_answers_total{status=\"404\"}"), 1.0);
    assert_eq!(number("ingest_answers_total{status=\"503\"}"), 0.0);
    assert_eq!(number("ingest_acknowledgement_seconds_count"), 5.0);
    // Five deliveries and a registration.
    assert_eq!(number("commit_events_sum"), 6.0);
    assert!(number("commit_seconds_count") >= 1.0 && number("slice_seconds_count") >= 1.0);
    assert_eq!(number("durable_seq"), 6.0);
    assert_eq!(number("projected_seq"), 6.0);
    for disposition in ["applied", "quarantined", "unrecognised"] {
        let series = |name: &str| number(&format!("{name}{{disposition=\"{disposition}\"}}"));
        assert!(series("events_total") >= 1.0, "{disposition}");
        assert_eq!(
            series("events_total"),
            series("log_events"),
            "{disposition}"
        );
    }
    let dispositions = samples(&text)
        .into_iter()
        .filter(|(name, ..)| name == "waldo_syncd_events_total")
        .map(|(_, _, value)| value);
    assert_eq!(dispositions.sum::<f64>(), 6.0);
    assert_eq!(number("requests{state=\"pending\"}"), 1.0);
    assert_eq!(number("requests{state=\"completed\"}"), 1.0);
    assert_eq!(number("requests{state=\"expired\"}"), 0.0);
    assert_eq!(number("coverage_ratio"), 1.0);
    // By a webhook that fits it: the sample of its end names no request.
    assert_eq!(number("settled_requests{by=\"inferred\"}"), 1.0);
    assert_eq!(number("settled_requests{by=\"poll\"}"), 0.0);
    assert_eq!(number("gateway_calls_total{status=\"2xx\"}"), 7.0);
    assert_eq!(number("gateway_calls_total{status=\"5xx\"}"), 0.0);
    assert_eq!(number("polls_total{outcome=\"settled\"}"), 3.0);
    assert_eq!(number("door_connections{door=\"gateway\"}"), 2.0);
    assert_eq!(number("door_max_connections{door=\"query\"}"), 1024.0);
    assert_eq!(number("outbound_connected"), 1.0);
    assert_eq!(number("outbound_polling"), 1.0);
    assert!(number("last_backup_age_seconds") < 600.0);
    assert!(number("database_bytes") > 0.0 && number("disk_free_bytes") > 0.0);
    assert!(number("resident_memory_bytes") > 1e6 && number("cpu_seconds_total") > 0.0);
    assert_eq!((number("file_readable"), number("ready")), (1.0, 1.0));
}

#[test]
fn what_only_grows_counts_from_the_start_of_the_process() {
    let mut daemon = busy();
    daemon.restart();
    let text = daemon.get("/metrics").text();
    let number = |series: &str| value(&text, &format!("waldo_syncd_{series}"));
    assert_eq!(number("events_total{disposition=\"quarantined\"}"), 0.0);
    assert_eq!(number("log_events{disposition=\"quarantined\"}"), 1.0);
    assert_eq!(number("ingest_answers_total{status=\"200\"}"), 0.0);
}

#[test]
fn no_label_has_a_word_from_outside() {
    let text = busy().get("/metrics").text();
    assert!(!text.contains("canary"), "{text}");
    let values = samples(&text).into_iter().map(|(name, ..)| name);
    assert!(values.count() < 400, "that many series:\n{text}");
}

#[test]
fn readers_of_the_feed_are_counted_while_they_are_there() {
    let daemon = Daemon::start();
    let readers = |kind: &str| {
        let text = daemon.get("/metrics").text();
        value(
            &text,
            &format!("waldo_syncd_feed_readers{{kind=\"{kind}\"}}"),
        )
    };
    let limit = std::time::Duration::from_secs(30);
    let ask = |path: &str| {
        let mut reader = daemon.reader();
        reader
            .send(&common::http::request("GET", path, &[], None))
            .unwrap();
        reader
    };
    let waiting = [ask("/v1/events?wait=60"), ask("/v1/events/stream")];
    for kind in ["long_poll", "stream"] {
        common::place::poll(kind, limit, || (readers(kind) == 1.0).then_some(()));
    }
    drop(waiting);
    for kind in ["long_poll", "stream"] {
        common::place::poll("the end", limit, || (readers(kind) == 0.0).then_some(()));
    }
}

#[test]
fn alerts_and_dashboard_ask_for_what_is_served() {
    let served = served(&busy().get("/metrics").text());
    for (file, text) in [
        (
            "rules",
            include_str!("../packaging/prometheus/waldo-syncd.rules.yml"),
        ),
        (
            "dashboard",
            include_str!("../packaging/grafana/waldo-syncd.json"),
        ),
    ] {
        let mut asked = 0;
        for (at, _) in text.match_indices("waldo_syncd_") {
            let name: String = text[at..]
                .chars()
                .take_while(|char| char.is_ascii_lowercase() || *char == '_')
                .collect();
            let known = |name: &str| served.contains_key(name);
            let whole = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|end| name.strip_suffix(end))
                .any(known);
            assert!(known(&name) || whole, "{file}: {name} is not served");
            asked += 1;
        }
        assert!(asked > 20, "{file} asks for {asked} series");
    }
}
