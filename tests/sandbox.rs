//! The stand-in for Waldo, seen from outside: the real binary, called as an app would call Waldo, and a receiver that
//! takes its webhooks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

#[path = "sandbox/api.rs"]
mod api;
#[path = "sandbox/dashboard.rs"]
mod dashboard;
#[path = "sandbox/document.rs"]
mod document;
#[path = "sandbox/errors.rs"]
mod errors;
#[path = "sandbox/mischief.rs"]
mod mischief;
#[path = "sandbox/process.rs"]
mod process;
#[path = "sandbox/receiver.rs"]
mod receiver;
#[path = "sandbox/together.rs"]
mod together;
#[path = "sandbox/webhooks.rs"]
mod webhooks;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use common::bodies::{sample, with};
use common::http::{Answer, Client};
use common::{Daemon, Place};
use receiver::Receiver;

pub(crate) const KEY: &str = "wk.sandbox.waldo-syncd";
pub(crate) const SECRET: &str = "ws.sandbox.waldo-syncd";

/// A running sandbox, whoever takes its webhooks, and a token for its API.
pub(crate) struct Sandbox {
    pub(crate) process: Daemon,
    pub(crate) receiver: Receiver,
    pub(crate) token: String,
}

impl Sandbox {
    /// Evaluations end at once, and the seed is fixed.
    #[track_caller]
    pub(crate) fn quick(more: &[&str]) -> Self {
        Self::start(&[&["--pace", "0s", "--seed", "1"], more].concat())
    }

    #[track_caller]
    pub(crate) fn start(more: &[&str]) -> Self {
        let receiver = Receiver::start();
        let url = receiver.url();
        Self::with_url(receiver, &url, more)
    }

    #[track_caller]
    pub(crate) fn with_url(receiver: Receiver, url: &str, more: &[&str]) -> Self {
        let place = Place::new();
        let ready = place.path().join("ready.json");
        let mut arguments = vec!["sandbox", "--listen", "127.0.0.1:0"];
        arguments.extend(["--ready-file", ready.to_str().unwrap()]);
        if !url.is_empty() {
            arguments.extend(["--webhook-url", url]);
        }
        arguments.extend(more);
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        let process = Daemon::start_as(place, arguments);
        let mut sandbox = Self {
            process,
            receiver,
            token: String::new(),
        };
        sandbox.token = sandbox.log_in();
        sandbox
    }

    #[track_caller]
    pub(crate) fn log_in(&self) -> String {
        let answer = self.plain(
            "POST",
            "/authenticate",
            Some(&json!({"apiKey": KEY, "clientSecret": SECRET})),
        );
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn client(&self) -> Client {
        Client::tcp(self.process.address("sandbox"))
    }

    /// Without a token.
    #[track_caller]
    pub(crate) fn plain(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let body = body.map(|body| body.to_string().into_bytes());
        let answer = self.client().call(method, path, &[], body.as_deref());
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: Value) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let bytes = body.to_string().into_bytes();
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
        ];
        let answer = self.client().call("POST", path, &headers, Some(&bytes));
        answer.unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("Authorization", bearer.as_str())];
        let answer = self.client().call("GET", path, &headers, None);
        answer.unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// Onboards somebody and gives the answer, which must be a good one.
    #[track_caller]
    pub(crate) fn onboard(&self, external_id: &str, options: Value) -> Value {
        let over = json!({"externalId": external_id, "options": options});
        let answer = self.post("/onboard", with(request("api-onboard-request.json"), over));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Onboards somebody, waits for the end of it, and gives the id.
    #[track_caller]
    pub(crate) fn somebody(&self, external_id: &str) -> String {
        let answer = self.onboard(external_id, json!({"includeFraudCheck": true}));
        self.idle();
        answer["customerId"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn idle(&self) {
        let answer = self.plain("GET", "/sandbox/idle?wait=30", None);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    #[track_caller]
    pub(crate) fn list(&self, name: &str) -> Vec<Value> {
        let answer = self.plain("GET", &format!("/sandbox/{name}"), None);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()[name].as_array().unwrap().clone()
    }

    /// The truth about one customer.
    #[track_caller]
    pub(crate) fn truth(&self, customer: &str) -> Value {
        let all = self.list("customers");
        let found = all.into_iter().find(|one| one["customerId"] == customer);
        found.unwrap_or_else(|| panic!("no {customer}"))
    }

    #[track_caller]
    pub(crate) fn decide(&self, customer: &str, action: &str) {
        let path = format!("/sandbox/customers/{customer}/{action}");
        let answer = self.plain("POST", &path, None);
        assert_eq!(answer.status, 200, "{action}: {}", answer.text());
    }

    /// What the receiver got since it was last asked, once nothing runs any more.
    #[track_caller]
    pub(crate) fn webhooks(&self) -> Vec<Value> {
        self.idle();
        self.receiver.take()
    }
}

#[track_caller]
pub(crate) fn request(name: &str) -> Value {
    serde_json::from_slice(&sample(name)).unwrap()
}

/// The paths of all members, those of tags under one name whether they are in an array or in an object.
pub(crate) fn members(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) if path.ends_with(".warningTags") => {
                for item in object.values() {
                    walk(item, &format!("{path}*"), found);
                }
            }
            Value::Object(object) => {
                for (name, value) in object {
                    let path = format!("{path}.{name}");
                    found.insert(path.clone());
                    walk(value, &path, found);
                }
            }
            Value::Array(items) => {
                for item in items {
                    walk(item, &format!("{path}*"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    walk(value, "", &mut found);
    found
}

/// The same members as a sample.
#[track_caller]
pub(crate) fn assert_shape(value: &Value, name: &str) {
    assert_eq!(members(value), members(&request(name)), "{name}: {value}");
}
