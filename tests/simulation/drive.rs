//! What apps and people do: drawn from the seed, one after the other.

use std::fmt;

use serde_json::{Value, json};

use super::common::http::{Answer, Client};
use super::common::rig::Rig;

const KEY: &str = "wk.sandbox.waldo-syncd";
const SECRET: &str = "ws.sandbox.waldo-syncd";
/// When what an app registers by itself is due: early enough for a test to see it overdue.
const DEADLINE_SECONDS: u64 = 1;
/// Of the customers that something happens to, the newest are the busiest.
const BUSY: usize = 6;
/// Ids that decide outcomes, of which many customers may have the same.
const SCENARIOS: [&str; 5] = [
    "fraud-reject",
    "kyc-review",
    "fraudCheck-review",
    "documentUpload-warn",
    "",
];

/// How much was done.
#[derive(Clone, Copy, Default)]
pub(crate) struct Done {
    by_gateway: u64,
    directly: u64,
    by_people: u64,
    refused: u64,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "operations: {} by gateway, {} directly, {} on the dashboard, {} more refused",
            self.by_gateway, self.directly, self.by_people, self.refused
        )
    }
}

/// Somebody who calls and clicks.
pub(crate) struct Drive {
    rng: fastrand::Rng,
    gateway: Client,
    waldo: Client,
    control: Client,
    bearer: String,
    customers: Vec<String>,
    pub(crate) done: Done,
}

/// How a call reaches Waldo.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Gateway,
    Direct,
}

impl Drive {
    pub(crate) fn new(rig: &Rig, rng: fastrand::Rng) -> Self {
        let mut waldo = Client::tcp(rig.sandbox.address("sandbox"));
        let login = json!({"apiKey": KEY, "clientSecret": SECRET}).to_string();
        let answer = waldo
            .call("POST", "/authenticate", &[], Some(login.as_bytes()))
            .unwrap();
        let token = answer.json()["token"].as_str().unwrap().to_owned();
        Self {
            rng,
            gateway: Client::tcp(rig.outbound.address("gateway")),
            waldo,
            control: rig.daemon.controller(),
            bearer: format!("Bearer {token}"),
            customers: Vec::new(),
            done: Done::default(),
        }
    }

    /// Does something.
    pub(crate) fn operation(&mut self) {
        if self.customers.is_empty() {
            return self.onboard(Way::Gateway);
        }
        match self.rng.u32(0..100) {
            0..11 => self.onboard(Way::Gateway),
            11..15 => self.onboard(Way::Direct),
            15..32 => self.evaluate(Way::Gateway, "/check-fraud"),
            32..40 => self.evaluate(Way::Direct, "/check-fraud"),
            40..50 => self.evaluate(Way::Gateway, "/document"),
            50..54 => self.evaluate(Way::Direct, "/document"),
            54..64 => self.flag(Way::Gateway),
            64..70 => self.flag(Way::Direct),
            70..74 => self.decide("approve"),
            74..78 => self.decide("reject"),
            78..82 => self.decide("review"),
            82..87 => self.decide("flag"),
            87..91 => self.decide("unflag"),
            _ => self.decide("check-fraud"),
        }
    }

    fn somebody(&mut self) -> String {
        let last = self.customers.len() - 1;
        let place = if self.rng.bool() {
            last - self.rng.usize(0..BUSY).min(last)
        } else {
            self.rng.usize(0..=last)
        };
        self.customers[place].clone()
    }

    fn call(&mut self, way: Way, path: &str, kind: &str, body: &[u8]) -> Option<Value> {
        let bearer = self.bearer.clone();
        let mut headers = vec![("Content-Type", kind)];
        let client = match way {
            Way::Gateway => &mut self.gateway,
            Way::Direct => {
                headers.push(("Authorization", &bearer));
                &mut self.waldo
            }
        };
        let answer = client
            .call("POST", path, &headers, Some(body))
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(
            answer.header("waldo-syncd-recorded"),
            None,
            "{path}: not recorded"
        );
        if self.refused(&answer) {
            return None;
        }
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        match way {
            Way::Gateway => self.done.by_gateway += 1,
            Way::Direct => self.done.directly += 1,
        }
        Some(answer.json())
    }

    /// Documents and checks are refused while an onboarding runs.
    fn refused(&mut self, answer: &Answer) -> bool {
        let refused =
            matches!(answer.status, 400 | 409) && answer.text().contains("has not completed");
        self.done.refused += u64::from(refused);
        refused
    }

    fn tell(&mut self, path: &str, fact: &Value) {
        let fact = fact.to_string();
        let told = self
            .control
            .call("POST", path, &[], Some(fact.as_bytes()))
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(
            matches!(told.status, 200 | 201),
            "{path} {fact}: {}",
            told.text()
        );
    }

    fn register(&mut self, operation: &str, expects: &[&str], answer: &Value) {
        let fact = json!({
            "requestId": answer["requestId"], "operation": operation, "customerId": answer["customerId"],
            "expects": expects, "deadlineSeconds": DEADLINE_SECONDS,
        });
        self.tell("/v1/requests", &fact);
    }

    fn onboard(&mut self, way: Way) {
        let fraud_too = self.rng.bool();
        let external_id = if self.rng.u8(0..10) == 0 {
            (*self.rng.choice(&SCENARIOS).unwrap()).to_owned()
        } else {
            format!("crm-{}", self.customers.len())
        };
        let body = json!({
            "firstName": "Ada", "lastName": "Example", "email": "ada@example.com", "phone": "(555) 010-0001",
            "address": "1 Sample Street", "city": "Anytown", "state": "NY", "zipCode": "00000", "country": "US",
            "dob": "1990-01-02", "externalId": external_id,
            "officialId": {"docType": "SSN", "value": "000-00-0000", "country": "US"},
            "options": {"includeFraudCheck": fraud_too},
        });
        let body = body.to_string();
        let Some(answer) = self.call(way, "/onboard", "application/json", body.as_bytes()) else {
            return;
        };
        self.customers
            .push(answer["customerId"].as_str().unwrap().to_owned());
        if way == Way::Direct {
            let expects: &[&str] = if fraud_too { &["kyc", "fraud"] } else { &[] };
            self.register("onboard", expects, &answer);
        }
    }

    fn evaluate(&mut self, way: Way, path: &str) {
        let id = self.somebody();
        let (operation, kind, body) = if path == "/document" {
            (
                "document",
                "multipart/form-data; boundary=frame",
                document(&id),
            )
        } else {
            let body = json!({"customerId": id}).to_string();
            ("fraud", "application/json", body)
        };
        let answer = self.call(way, path, kind, body.as_bytes());
        if let Some(answer) = answer.filter(|_| way == Way::Direct) {
            self.register(operation, &[], &answer);
        }
    }

    fn flag(&mut self, way: Way) {
        let (id, flag) = (self.somebody(), self.rng.bool());
        let body = json!({"customerId": id, "flag": flag});
        if way == Way::Direct {
            self.tell("/v1/flags", &body);
        }
        let body = body.to_string();
        self.call(way, "/flag", "application/json", body.as_bytes());
    }

    fn decide(&mut self, what: &str) {
        let path = format!("/sandbox/customers/{}/{what}", self.somebody());
        let answer = self.waldo.call("POST", &path, &[], Some(b"{}")).unwrap();
        if !self.refused(&answer) {
            assert_eq!(answer.status, 200, "{what}: {}", answer.text());
            self.done.by_people += 1;
        }
    }
}

fn document(customer_id: &str) -> String {
    let mut body = String::new();
    for (name, value) in [
        ("customerId", customer_id),
        ("side", "front"),
        ("documentType", "passport"),
        ("issuingCountry", "DEU"),
    ] {
        body.push_str(&format!(
            "--frame\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        ));
    }
    body.push_str(
        "--frame\r\nContent-Disposition: form-data; name=\"document\"; filename=\"d\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n%PDF-\r\n--frame--\r\n",
    );
    body
}
