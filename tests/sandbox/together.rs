//! The daemon and the sandbox side by side: what happened there stands here.

use serde_json::json;

use super::common::Daemon;
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
