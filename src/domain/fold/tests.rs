//! Tests of the fold without any file: events in, rows and verdicts out. A file a noun; here is what they share.
//!
//! A `Tale` is a world with a clock of its own, all of whose rows stay at hand; its log can be folded again.

mod answer;
mod control;
mod customer;
mod disposition;
mod origin;
mod properties;
mod request;

use serde_json::{Value, json};

use super::super::rows::Row;
use super::super::{Operation, State, payload};
use super::*;

const MINUTE: i64 = 60_000;

#[derive(Default)]
struct Tale {
    world: World,
    now: i64,
    log: Vec<Event>,
    verdicts: Vec<Verdict>,
}

impl Tale {
    fn new() -> Self {
        Self {
            now: 1_764_000_000_000,
            ..Self::default()
        }
    }

    /// Moves the clock; backwards too.
    fn wait(&mut self, ms: i64) {
        self.now += ms;
    }

    fn bytes(&mut self, source: Source, body: &[u8], size: u64) -> Verdict {
        let event = Event {
            seq: Seq(self.log.len() as u64 + 1),
            received_at: Timestamp(self.now),
            source,
            digest: Digest::of(body),
            reading: payload::read(source, body, size),
        };
        let verdict = self.world.step(&event);
        self.log.push(event);
        self.verdicts.push(verdict.clone());
        verdict
    }

    fn event(&mut self, source: Source, body: &Value) -> Verdict {
        let text = body.to_string();
        self.bytes(source, text.as_bytes(), text.len() as u64)
    }

    fn webhook(&mut self, body: &Value) -> Verdict {
        self.event(Source::Webhook, body)
    }

    fn control(&mut self, body: &Value) -> Verdict {
        self.event(Source::Control, body)
    }

    #[track_caller]
    fn register(&mut self, request: &str, operation: &str, customer: &str) {
        let verdict = self.control(&registered(request, operation, json!(customer)));
        assert_eq!(verdict.disposition, Disposition::Applied);
    }

    #[track_caller]
    fn customer(&self, id: &str) -> &Customer {
        self.world.customers.get(id).expect("a customer's row")
    }

    #[track_caller]
    fn request(&self, id: &str) -> &WaldoRequest {
        self.world.requests.get(id).expect("a request's row")
    }

    /// The ids of the requests that the customer waits for, oldest first.
    fn open(&self, customer: &str) -> Vec<&str> {
        let keys = &self.customer(customer).memory.open_requests;
        let row = |key: &u64| self.world.requests.by_key(*key).expect("an open request");
        keys.iter()
            .map(|key| row(key).request_id.as_str())
            .collect()
    }
}

/// A body with members laid over it, for instance to give the same meaning other bytes.
fn with(mut body: Value, over: Value) -> Value {
    let members = over.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(members);
    body
}

fn flag(customer: &str, value: bool) -> Value {
    json!({"event": "flag", "customerId": customer, "flag": value})
}

fn onboard(customer: &str, status: &str) -> Value {
    json!({"event": "onboard", "customerId": customer, "validation": {"status": status}})
}

/// An evaluation event without requestId.
fn evaluation(customer: &str, kind: &str, status: &str) -> Value {
    json!({"event": "evaluation", "customerId": customer, "evaluation": {"type": kind, "status": status}})
}

/// An evaluation event under a requestId.
fn run(customer: &str, request: &str, kind: &str, status: &str) -> Value {
    with(
        evaluation(customer, kind, status),
        json!({"requestId": request}),
    )
}

fn registered(request: &str, operation: &str, customer: Value) -> Value {
    json!({
        "event": "request.registered", "requestId": request, "operation": operation, "customerId": customer,
        "deadlineSeconds": 900,
    })
}

fn settled(request: &str, state: &str) -> Value {
    json!({"event": "request.settled", "requestId": request, "state": state})
}

fn flag_called(customer: &str, value: bool) -> Value {
    json!({"event": "flag.called", "customerId": customer, "flag": value})
}

const API_BY_ID: (Origin, Evidence) = (Origin::Api, Evidence::RequestId);
const API_BY_TIE: (Origin, Evidence) = (Origin::Api, Evidence::PendingRequest);
const API_BY_CALL: (Origin, Evidence) = (Origin::Api, Evidence::OwnFlagCall);
const DASHBOARD: (Origin, Evidence) = (Origin::Dashboard, Evidence::None);

fn origin(verdict: &Verdict) -> (Origin, Evidence) {
    (verdict.origin, verdict.evidence)
}
