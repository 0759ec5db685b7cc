//! A story is a fresh daemon, the deliveries in their order, and what must be known after each: the table of rules.rs.
//!
//! Expected JSON names only the members that matter; `"#2"` stands for the seq of the second delivery.

use serde_json::{Map, Value, json};

use crate::common::bodies::Body;
use crate::common::http::{Answer, percent};
use crate::common::{Daemon, without_payload};

pub struct Story {
    daemon: Daemon,
    deliveries: Vec<(u64, Vec<u8>)>,
}

impl Story {
    #[track_caller]
    pub fn new() -> Self {
        Self {
            daemon: Daemon::start(),
            deliveries: Vec::new(),
        }
    }

    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Posts a body; whatever it is, it must be acknowledged.
    #[track_caller]
    pub fn post(mut self, body: impl Body) -> Self {
        let body = body.bytes();
        let seq = self.daemon.deliver(body.as_slice());
        self.deliveries.push((seq, body));
        self
    }

    #[track_caller]
    pub fn seq(&self, delivery: usize) -> u64 {
        self.deliveries[delivery - 1].0
    }

    fn last(&self) -> u64 {
        self.deliveries.last().map_or(0, |(seq, _)| *seq)
    }

    /// Expects members of the event of a delivery, and that its body is kept byte for byte.
    #[track_caller]
    pub fn event(self, delivery: usize, expected: Value) -> Self {
        let event = self.daemon.event(self.seq(delivery));
        self.compare(&event, &expected);
        let kept = self.daemon.payload(self.seq(delivery));
        assert!(
            kept == self.deliveries[delivery - 1].1,
            "the body of delivery {delivery} was altered"
        );
        self
    }

    #[track_caller]
    pub fn applied(self, delivery: usize) -> Self {
        self.event(
            delivery,
            json!({"disposition": "applied", "duplicateOf": null}),
        )
    }

    #[track_caller]
    pub fn stale(self, delivery: usize) -> Self {
        self.event(
            delivery,
            json!({"disposition": "stale", "duplicateOf": null}),
        )
        .changes_nothing(delivery)
    }

    #[track_caller]
    pub fn duplicate(self, delivery: usize, of: usize) -> Self {
        let of = format!("#{of}");
        self.event(
            delivery,
            json!({"disposition": "duplicate", "duplicateOf": of}),
        )
        .changes_nothing(delivery)
    }

    #[track_caller]
    pub fn quarantined(self, delivery: usize) -> Self {
        let expected = json!({
            "disposition": "quarantined", "event": null, "customerId": null, "externalId": null,
            "requestId": null, "evaluation": null, "origin": "dashboard", "originEvidence": "none",
            "duplicateOf": null,
        });
        let story = self.event(delivery, expected).changes_nothing(delivery);
        let event = story.daemon.event(story.seq(delivery));
        assert_ne!(event["problems"], json!([]), "the reason is missing");
        story
    }

    /// Expects where an event came from and how that is known.
    #[track_caller]
    pub fn origin(self, delivery: usize, origin: &str, evidence: &str) -> Self {
        self.event(
            delivery,
            json!({"origin": origin, "originEvidence": evidence}),
        )
    }

    #[track_caller]
    pub fn changes_nothing(self, delivery: usize) -> Self {
        self.event(delivery, json!({"changes": []}))
    }

    /// Expects one of the changes that an event made in its customer.
    #[track_caller]
    pub fn changed(self, delivery: usize, field: &str, from: Value, to: Value) -> Self {
        let event = self.daemon.event(self.seq(delivery));
        let wanted = json!({"field": field, "from": from, "to": to});
        let changes = event["changes"].as_array().cloned().unwrap_or_default();
        assert!(
            changes
                .iter()
                .any(|change| differ(change, &wanted).is_none()),
            "no change {wanted} in {changes:?}"
        );
        self
    }

    /// Expects a problem that names this member.
    #[track_caller]
    pub fn problem(self, delivery: usize, member: &str) -> Self {
        let event = self.daemon.event(self.seq(delivery));
        let problems = event["problems"].as_array().cloned().unwrap_or_default();
        assert!(
            problems
                .iter()
                .any(|text| text.as_str().is_some_and(|text| text.contains(member))),
            "no problem names {member}: {problems:?}"
        );
        self
    }

    #[track_caller]
    pub fn no_problems(self, delivery: usize) -> Self {
        self.event(delivery, json!({"problems": []}))
    }

    #[track_caller]
    pub fn customer(self, id: &str, expected: Value) -> Self {
        let row = self.row("customers", id);
        assert_eq!(row.status, 200, "customer {id}: {}", row.text());
        self.compare(&row.json(), &expected);
        self
    }

    #[track_caller]
    pub fn no_customer(self, id: &str) -> Self {
        let row = self.row("customers", id);
        row.assert_problem(404, "not_found");
        self
    }

    #[track_caller]
    pub fn request(self, id: &str, expected: Value) -> Self {
        let row = self.row("requests", id);
        assert_eq!(row.status, 200, "request {id}: {}", row.text());
        self.compare(&row.json(), &expected);
        self
    }

    #[track_caller]
    pub fn no_request(self, id: &str) -> Self {
        self.row("requests", id).assert_problem(404, "not_found");
        self
    }

    /// Expects the customer's tags, in any order, in the one shape inside.
    #[track_caller]
    pub fn tags(self, customer: &str, expected: &[(&str, bool, bool)]) -> Self {
        let row = self.row("customers", customer).json();
        let tags = row["warningTags"].as_array().cloned().unwrap_or_default();
        let mut found: Vec<(String, bool, bool)> = tags
            .iter()
            .map(|tag| {
                assert!(tag["label"].is_string(), "no label in {tag}");
                (
                    tag["tag"].as_str().unwrap_or_default().to_owned(),
                    tag["passed"] == true,
                    tag["isDoc"] == true,
                )
            })
            .collect();
        found.sort();
        let mut wanted: Vec<(String, bool, bool)> = expected
            .iter()
            .map(|(tag, passed, doc)| ((*tag).to_owned(), *passed, *doc))
            .collect();
        wanted.sort();
        assert_eq!(found, wanted);
        self
    }

    /// A call on the control door; expects this status.
    #[track_caller]
    pub fn control(self, path: &str, body: Value, status: u16) -> Self {
        let bytes = body.to_string().into_bytes();
        let answer = self
            .daemon
            .controller()
            .call(
                "POST",
                path,
                &[("content-type", "application/json")],
                Some(&bytes),
            )
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        self
    }

    #[track_caller]
    pub fn row(&self, kind: &str, id: &str) -> Answer {
        let path = format!("/v1/{kind}/{}", percent(id));
        self.daemon.get_at(&path, self.last())
    }

    #[track_caller]
    fn compare(&self, actual: &Value, expected: &Value) {
        let expected = self.resolve(expected);
        if let Some(difference) = differ(actual, &expected) {
            panic!("{difference}\nexpected {expected}\nin {actual}");
        }
    }

    fn resolve(&self, expected: &Value) -> Value {
        match expected {
            Value::String(text) => match text.strip_prefix('#').and_then(|n| n.parse().ok()) {
                Some(delivery) => self.seq(delivery).into(),
                None => expected.clone(),
            },
            Value::Array(items) => items.iter().map(|item| self.resolve(item)).collect(),
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| (name.clone(), self.resolve(value)))
                .collect::<Map<_, _>>()
                .into(),
            other => other.clone(),
        }
    }
}

/// Where the actual value lacks what the expected one names; objects may have more members than expected.
fn differ(actual: &Value, expected: &Value) -> Option<String> {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            expected.iter().find_map(|(name, value)| {
                let found = actual.get(name).unwrap_or(&Value::Null);
                differ(found, value).map(|text| format!(".{name}{text}"))
            })
        }
        (Value::Array(actual), Value::Array(expected)) if actual.len() == expected.len() => actual
            .iter()
            .zip(expected)
            .find_map(|(actual, expected)| differ(actual, expected)),
        (Value::Number(actual), Value::Number(expected))
            if actual.as_f64() == expected.as_f64() =>
        {
            None
        }
        _ if actual == expected => None,
        _ => Some(format!(": {actual} is not {expected}")),
    }
}

/// The events of a list that the filter names, oldest first, without their payloads.
#[track_caller]
pub fn events(daemon: &Daemon, filter: &str) -> Vec<Value> {
    let answer = daemon.get(&format!("/v1/events?limit=1000&{filter}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
        .items()
        .iter()
        .map(|item| without_payload(item.to_string().as_bytes()))
        .collect()
}
