//! The daemon and the sandbox side by side: what happened there stands here.

use std::time::Duration;

use serde_json::json;

use super::common::bodies::with;
use super::common::http::Client;
use super::common::place::poll;
use super::common::{Daemon, Place};
use super::{Sandbox, document};

#[test]
fn what_the_sandbox_tells_ends_in_the_right_row() {
    let daemon = Daemon::start();
    let url = format!(
        "http://{}{}",
        daemon.address("ingest"),
        daemon.webhook_path()
    );
    let sandbox = Sandbox::with_url(
        super::Receiver::start(),
        &url,
        &[
            "--pace",
            "0s",
            "--duplicates",
            "0.5",
            "--changed-shapes",
            "0.5",
            "--unknown",
            "0.2",
        ],
    );
    let mut ids = Vec::new();
    for external_id in ["fraud-pass", "fraud-reject", "crm-1", "crm-2"] {
        let id = sandbox.somebody(external_id);
        sandbox.post("/check-fraud", json!({"customerId": id}));
        sandbox.idle();
        document::upload(&sandbox, &id, b"%PDF-1.7");
        sandbox.idle();
        sandbox.decide(&id, "flag");
        sandbox.idle();
        ids.push(id);
    }
    assert!(
        sandbox
            .list("deliveries")
            .iter()
            .all(|one| one["status"] == 200)
    );
    let sent = sandbox.list("deliveries").len() as u64;
    for id in ids {
        let truth = sandbox.truth(&id);
        let row = daemon.get_at(&format!("/v1/customers/{id}"), sent).json();
        for name in ["status", "kyc", "fraudScore", "flagged", "externalId"] {
            assert_eq!(row[name], truth[name], "{name}: {row}");
        }
        for check in ["fraud", "document"] {
            assert_eq!(row["evaluations"][check]["status"], "completed", "{row}");
        }
    }
    let overdue = daemon.get("/v1/requests?state=in_progress").items();
    assert!(overdue.is_empty(), "every request is settled: {overdue:?}");
    let log = daemon.log() + &sandbox.process.log();
    assert!(!log.contains(&daemon.secret()), "{log}");
}

#[test]
fn a_daemon_with_a_sandbox_speaks_to_nobody_else_and_needs_no_key() {
    let place = Place::new();
    let mut arguments = place.serve_arguments();
    for argument in ["--sandbox", "127.0.0.1:0", "--gateway", "127.0.0.1:0"] {
        arguments.push(argument.to_owned());
    }
    let environment = [
        ("WALDO_SYNCD_WALDO__API_URL", "http://127.0.0.1:9"),
        ("WALDO_SYNCD_WALDO__API_KEY", "the key of the real Waldo"),
        ("WALDO_SYNCD_WALDO__CLIENT_SECRET", "its secret"),
    ];
    let daemon = Daemon::start_with_env(place, arguments, &environment);
    let person = super::request("api-onboard-request.json");
    let body = with(
        person,
        json!({"externalId": "fraud-pass", "options": {"includeFraudCheck": true}}),
    );
    let body = body.to_string();
    let answer = Client::tcp(daemon.address("gateway"))
        .call("POST", "/onboard", &[], Some(body.as_bytes()))
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("waldo-syncd-recorded"), None);
    let request_id = answer.json()["requestId"].as_str().unwrap().to_owned();
    let request = poll("the outcome", Duration::from_secs(30), || {
        let request = daemon.get(&format!("/v1/requests/{request_id}")).json();
        (request["state"] == "completed").then_some(request)
    });
    assert_eq!(request["settledBy"], "webhook");
    let customer = daemon.get("/v1/customers").items().remove(0);
    assert_eq!(customer["status"], "APPROVED");
    assert_eq!(customer["decidedBy"], "api");
}

#[test]
fn a_daemon_with_a_sandbox_keeps_away_from_the_usual_data() {
    let place = Place::new();
    let ready = place.path().join("ready.json");
    let arguments = [
        "serve",
        "--sandbox",
        "127.0.0.1:0",
        "--gateway",
        "127.0.0.1:0",
        "--ingest",
        "127.0.0.1:0",
        "--query",
        "127.0.0.1:0",
        "--ready-file",
        ready.to_str().unwrap(),
    ];
    let mut daemon = Daemon::start_as(place, arguments.map(str::to_owned).to_vec());
    let data = daemon.place().path().join("home/.local/share/waldo-syncd");
    assert!(data.join("sandbox/waldo-syncd.db").exists());
    assert!(data.join("sandbox/control.sock").exists());
    assert!(!data.join("waldo-syncd.db").exists());
    daemon.stop();
    let run = daemon.place().cli(&["serve", "--gateway", "127.0.0.1:0"]);
    run.assert_code(2);
}
