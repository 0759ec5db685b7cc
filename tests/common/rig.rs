//! All three at once, each a process of its own: the daemon, the sandbox in Waldo's place, and what speaks to it.

use std::time::Duration;

use serde_json::{Value, json};

use super::Daemon;
use super::http::{Answer, Client, percent};
use super::place::{Place, Run, poll};

/// How long anything may take to show.
pub const SOON: Duration = Duration::from_secs(30);

const KEY: &str = "wk.sandbox.waldo-syncd";
const SECRET: &str = "ws.sandbox.waldo-syncd";

pub struct Rig {
    pub daemon: Daemon,
    pub sandbox: Daemon,
    pub outbound: Daemon,
}

impl Rig {
    /// Requests are overdue after `deadline`; the sandbox is told `more`.
    #[track_caller]
    pub fn start(deadline: &str, more: &[&str]) -> Self {
        let settings = format!("[requests]\ndeadline = {deadline:?}\n");
        let daemon = Daemon::configured(|_| settings.clone());
        let url = format!(
            "http://{}{}",
            daemon.address("ingest"),
            daemon.webhook_path()
        );
        let mut arguments = vec!["sandbox", "--listen", "127.0.0.1:0", "--webhook-url", &url];
        if !more.contains(&"--pace") {
            arguments.extend(["--pace", "0s"]);
        }
        arguments.extend(more);
        let sandbox = process(&arguments, &[]);
        let api_url = format!("http://{}", sandbox.address("sandbox"));
        let control = daemon.place().control();
        let outbound = process(
            &[
                "outbound",
                "--gateway",
                "127.0.0.1:0",
                "--control",
                control.to_str().expect("a UTF-8 path"),
            ],
            &[
                ("WALDO_SYNCD_WALDO__API_URL", &api_url),
                ("WALDO_SYNCD_WALDO__API_KEY", KEY),
                ("WALDO_SYNCD_WALDO__CLIENT_SECRET", SECRET),
                ("WALDO_SYNCD_REQUESTS__DEADLINE", deadline),
            ],
        );
        let rig = Self {
            daemon,
            sandbox,
            outbound,
        };
        poll("the outbound process to come for errands", SOON, || {
            (!rig.stats()["outbound"].is_null()).then_some(())
        });
        rig
    }

    /// A call of an app's, through the gateway.
    #[track_caller]
    pub fn call(&self, path: &str, body: &Value) -> Answer {
        let body = body.to_string().into_bytes();
        let answer = Client::tcp(self.outbound.address("gateway")).call(
            "POST",
            path,
            &[("Content-Type", "application/json")],
            Some(&body),
        );
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Onboards somebody; the answer.
    #[track_caller]
    pub fn onboard(&self, external_id: &str, fraud_too: bool) -> Value {
        let answer = self.call(
            "/onboard",
            &json!({
                "firstName": "Ada", "lastName": "Example", "email": "ada@example.com", "phone": "(555) 010-0001",
                "address": "1 Sample Street", "city": "Anytown", "state": "NY", "zipCode": "00000", "country": "US",
                "dob": "1990-01-02", "externalId": external_id,
                "officialId": {"docType": "SSN", "value": "000-00-0000", "country": "US"},
                "options": {"includeFraudCheck": fraud_too},
            }),
        );
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("waldo-syncd-recorded"), None);
        answer.json()
    }

    /// Something that is done on the sandbox's own paths.
    #[track_caller]
    pub fn at_sandbox(&self, path: &str, body: &Value) -> Answer {
        let body = body.to_string().into_bytes();
        let answer = Client::tcp(self.sandbox.address("sandbox")).call(
            "POST",
            &format!("/sandbox/{path}"),
            &[("Content-Type", "application/json")],
            Some(&body),
        );
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A decision on the dashboard.
    #[track_caller]
    pub fn decide(&self, customer_id: &str, what: &str) {
        let path = format!("customers/{customer_id}/{what}");
        let answer = self.at_sandbox(&path, &json!({}));
        assert!(answer.status < 300, "{what}: {}", answer.text());
    }

    /// What the sandbox knows: `customers`, `requests` or `deliveries`.
    #[track_caller]
    pub fn truth(&self, what: &str) -> Vec<Value> {
        let answer = Client::tcp(self.sandbox.address("sandbox")).get(&format!("/sandbox/{what}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()[what].as_array().expect("a list").clone()
    }

    /// Waits until no evaluation runs and no webhook is on its way.
    #[track_caller]
    pub fn idle(&self) {
        let answer = Client::tcp(self.sandbox.address("sandbox")).get("/sandbox/idle?wait=35");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    #[track_caller]
    pub fn stats(&self) -> Value {
        self.daemon.get("/v1/stats").json()
    }

    #[track_caller]
    pub fn request(&self, request_id: &str) -> Value {
        let path = format!("/v1/requests/{}", percent(request_id));
        self.daemon.get(&path).json()
    }

    #[track_caller]
    pub fn customer(&self, customer_id: &str) -> Value {
        let path = format!("/v1/customers/{}", percent(customer_id));
        self.daemon.get(&path).json()
    }

    /// `waldo-syncd resync` with these arguments; what it says with `--json`.
    #[track_caller]
    pub fn resync(&self, arguments: &[&str]) -> (Run, Value) {
        let run = self
            .daemon
            .place()
            .cli(&[&["resync", "--json"], arguments].concat());
        let lines = run.json_lines();
        let standing = lines.first().cloned().unwrap_or_default();
        (run, standing)
    }

    /// Waits until a request is settled, and gives it.
    #[track_caller]
    pub fn settled(&self, request_id: &str) -> Value {
        poll("a settlement", SOON, || {
            let request = self.request(request_id);
            request["settledBy"].is_string().then_some(request)
        })
    }
}

#[track_caller]
fn process(arguments: &[&str], environment: &[(&str, &str)]) -> Daemon {
    let place = Place::new();
    let ready = place.path().join("ready.json");
    let mut arguments: Vec<_> = arguments.iter().map(|&one| one.to_owned()).collect();
    arguments.push("--ready-file".to_owned());
    arguments.push(ready.to_str().expect("a UTF-8 path").to_owned());
    Daemon::start_with_env(place, arguments, environment)
}
