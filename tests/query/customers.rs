//! One customer: its row, its ETag, its row as it was, its events.

use serde_json::json;

use crate::common::Daemon;
use crate::common::bodies::*;
use crate::common::http::percent;

#[test]
fn unknown_customer_is_404() {
    let daemon = Daemon::start();
    for path in [
        "/v1/customers/nobody",
        "/v1/customers/nobody/events",
        "/v1/customers/nobody?asOfSeq=1",
    ] {
        daemon.get(path).assert_problem(404, "not_found");
    }
}

#[test]
fn etag_is_strong_and_moves_with_the_version() {
    let daemon = Daemon::start();
    let first = daemon.deliver(flag("c", true));
    let one = daemon.get_at("/v1/customers/c", first);
    let tag = one.header("etag").unwrap().to_owned();
    assert!(
        tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2,
        "{tag}"
    );
    let same = daemon.deliver(with(flag("c", true), json!({"x": 1})));
    assert_eq!(
        daemon.get_at("/v1/customers/c", same).header("etag"),
        Some(tag.as_str())
    );
    let other = daemon.deliver(flag("c", false));
    assert_ne!(
        daemon.get_at("/v1/customers/c", other).header("etag"),
        Some(tag.as_str())
    );
}

#[test]
fn if_none_match_answers_304_without_a_body() {
    let daemon = Daemon::start();
    let seq = daemon.deliver(flag("c", true));
    let tag = daemon
        .get_at("/v1/customers/c", seq)
        .header("etag")
        .unwrap()
        .to_owned();
    let ask = |method: &str, value: &str| {
        daemon
            .reader()
            .call(method, "/v1/customers/c", &[("if-none-match", value)], None)
            .unwrap()
    };
    for value in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"x\", {tag}"),
        "*".to_owned(),
    ] {
        let answer = ask("GET", &value);
        assert_eq!(answer.status, 304, "{value}");
        assert!(answer.body.is_empty());
        assert_eq!(answer.header("etag"), Some(tag.as_str()), "{value}");
        assert!(answer.header("waldo-syncd-seq").is_some());
    }
    assert_eq!(ask("HEAD", &tag).status, 304);
    for value in ["\"x\"", "nonsense", tag.trim_matches('"')] {
        assert_eq!(ask("GET", value).status, 200, "{value}");
    }
    let changed = daemon.deliver(flag("c", false));
    daemon.event(changed);
    assert_eq!(ask("GET", &tag).status, 200);
}

#[test]
fn as_of_seq_gives_the_row_as_it_was_at_each_point() {
    let daemon = Daemon::start();
    let strange = daemon.deliver(flag("other", true));
    let bodies = [
        sample("webhook-onboard-dashboard.json"),
        sample("webhook-evaluation-fraud-initiated.json"),
        sample("webhook-evaluation-fraud-completed.json"),
        flag(ADA, true).to_string().into_bytes(),
        sample("webhook-onboard-dashboard-rejected.json"),
        flag(ADA, false).to_string().into_bytes(),
    ];
    let path = format!("/v1/customers/{ADA}");
    let known: Vec<_> = bodies
        .into_iter()
        .map(|body| {
            let seq = daemon.deliver(body);
            let between = daemon.deliver(flag("other", seq.is_multiple_of(2)));
            let row = daemon.get_at(&path, between).json();
            (seq, between, row)
        })
        .collect();
    for (seq, between, row) in &known {
        for point in [seq, between] {
            let answer = daemon.get(&format!("{path}?asOfSeq={point}"));
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(&answer.json(), row, "as of {point}");
        }
    }
    for before in [strange, known[0].0 - 1] {
        let answer = daemon.get(&format!("{path}?asOfSeq={before}"));
        answer.assert_problem(404, "not_found");
    }
}

#[test]
fn as_of_time_gives_the_row_as_it_was_then() {
    let daemon = Daemon::start();
    // Two points that a clock of milliseconds tells apart.
    let mut points: Vec<(String, serde_json::Value)> = Vec::new();
    for turn in 0..10_000 {
        let seq = daemon.deliver(flag("c", turn % 2 == 0));
        let row = daemon.get_at("/v1/customers/c", seq).json();
        let at = daemon.event(seq)["receivedAt"].as_str().unwrap().to_owned();
        match points.last_mut() {
            Some(last) if last.0 == at => last.1 = row,
            _ => points.push((at, row)),
        }
        if points.len() == 4 {
            break;
        }
    }
    assert_eq!(points.len(), 4, "the clock stands still");
    for (at, row) in &points[..3] {
        let answer = daemon.get(&format!("/v1/customers/c?asOf={}", percent(at)));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(&answer.json(), row, "as of {at}");
    }
    let now = daemon.get("/v1/customers/c").json();
    let later = daemon.get("/v1/customers/c?asOf=2999-01-01T00:00:00Z");
    assert_eq!(later.json(), now);
    let before = daemon.get("/v1/customers/c?asOf=1999-12-31T23:59:59.999Z");
    before.assert_problem(404, "not_found");
}

#[test]
fn as_of_of_nonsense_is_400() {
    let daemon = Daemon::start();
    let seq = daemon.deliver(flag("c", true));
    daemon.event(seq);
    for value in ["yesterday", "", "12", "2024-13-01T00:00:00Z"] {
        daemon
            .get(&format!("/v1/customers/c?asOf={value}"))
            .assert_bad_parameter("asOf");
    }
    for value in ["-1", "x", "", "1.5", "99999999999999999999"] {
        daemon
            .get(&format!("/v1/customers/c?asOfSeq={value}"))
            .assert_bad_parameter("asOfSeq");
    }
}

#[test]
fn events_of_a_customer_come_oldest_first_and_page_to_the_end() {
    let daemon = Daemon::start();
    let mut wanted = Vec::new();
    for turn in 0..10 {
        wanted.push(daemon.deliver(flag("c", turn % 2 == 0)));
        daemon.deliver(flag("other", turn % 2 == 0));
    }
    // The log also has what changed nothing.
    wanted.push(daemon.deliver(flag("c", false)));
    wanted.push(daemon.deliver(json!({"event": "novel", "customerId": "c"})));
    daemon.event(wanted[11]);
    for limit in [1, 3, 5, 12, 1000] {
        let found: Vec<u64> = daemon
            .all("/v1/customers/c/events", limit)
            .iter()
            .map(|event| event["seq"].as_u64().unwrap())
            .collect();
        assert_eq!(found, wanted, "limit {limit}");
    }
    let first = daemon.get("/v1/customers/c/events").items().remove(0);
    assert_eq!(first["disposition"], "applied");
    assert_eq!(
        first["changes"],
        json!([{"field": "flagged", "from": null, "to": true}])
    );
}

#[test]
fn ids_are_read_percent_encoded() {
    let daemon = Daemon::start();
    let ids = [
        "a/b", "a b", "a+b", "a%2Fb", "ä😀", "?q=1&x#y", "..", ".", "a\"b\\c", "nul\0id", "%",
        "a;b",
    ];
    for id in ids {
        let seq = daemon.deliver(run(id, &format!("r:{id}"), "fraud", "completed"));
        let row = daemon.get_at(&format!("/v1/customers/{}", percent(id)), seq);
        assert_eq!(row.status, 200, "{id:?}: {}", row.text());
        assert_eq!(row.json()["customerId"], id);
        let events = daemon.get(&format!("/v1/customers/{}/events", percent(id)));
        assert_eq!(events.items().len(), 1, "{id:?}");
        let request = daemon.get(&format!("/v1/requests/{}", percent(&format!("r:{id}"))));
        assert_eq!(request.json()["customerId"], id, "{id:?}");
        let feed = daemon.get(&format!("/v1/events?customerId={}", percent(id)));
        assert_eq!(feed.items().len(), 1, "{id:?}");
    }
    assert_eq!(
        daemon.get("/v1/customers/a%20b").json()["customerId"],
        "a b"
    );
    assert_eq!(daemon.get("/v1/customers/a+b").json()["customerId"], "a+b");
    let plus = daemon.get("/v1/events?customerId=a+b").items();
    assert_eq!(plus[0]["customerId"], "a b", "a plus in a query is a space");
    assert_eq!(
        daemon.get("/v1/customers?limit=1000").items().len(),
        ids.len()
    );
}
