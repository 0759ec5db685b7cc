//! The list of requests, and one of them.

use serde_json::Value;

use crate::common::Daemon;
use crate::common::bodies::*;

fn busy() -> Daemon {
    let daemon = Daemon::start();
    daemon.deliver(sample("webhook-onboard-api-initiated.json"));
    daemon.deliver(sample("webhook-evaluation-fraud-initiated.json"));
    daemon.deliver(sample("webhook-evaluation-document-completed.json"));
    daemon.deliver(sample("webhook-evaluation-kyc-completed-inferred.json"));
    daemon.deliver(run(ADA, "failed-one", "fraud", "failed"));
    let mut last = 0;
    for n in 0..6 {
        last = daemon.deliver(run(
            "c",
            &format!("r{n}"),
            "fraud",
            ["initiated", "completed"][n % 2],
        ));
    }
    daemon.event(last);
    daemon
}

fn ids(rows: &[Value]) -> Vec<String> {
    rows.iter()
        .map(|row| row["requestId"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn unknown_request_is_404() {
    let daemon = Daemon::start();
    daemon
        .get("/v1/requests/nothing")
        .assert_problem(404, "not_found");
}

#[test]
fn requests_come_in_the_order_of_first_sight_and_page_to_the_end() {
    let daemon = busy();
    let wanted = [
        ONBOARDING,
        FRAUD_CHECK,
        DOCUMENT,
        KYC_CHECK,
        "failed-one",
        "r0",
        "r1",
        "r2",
        "r3",
        "r4",
        "r5",
    ];
    for limit in [1, 3, 11, 1000] {
        assert_eq!(
            ids(&daemon.all("/v1/requests", limit)),
            wanted,
            "by {limit}"
        );
        let mut back = ids(&daemon.all("/v1/requests?order=desc", limit));
        back.reverse();
        assert_eq!(back, wanted, "backwards by {limit}");
    }
}

#[test]
fn requests_are_filtered_by_each_member() {
    let daemon = busy();
    let all = daemon.all("/v1/requests", 1000);
    for name in ["state", "operation", "customerId"] {
        let mut values: Vec<&str> = all.iter().filter_map(|row| row[name].as_str()).collect();
        values.sort_unstable();
        values.dedup();
        assert!(values.len() > 1, "{name} has one value only: {values:?}");
        for value in values {
            let wanted: Vec<Value> = all
                .iter()
                .filter(|row| row[name] == value)
                .cloned()
                .collect();
            let found = daemon.all(&format!("/v1/requests?{name}={value}"), 2);
            assert_eq!(ids(&found), ids(&wanted), "{name}={value}");
        }
    }
    for state in ["pending", "in_progress", "completed", "failed", "expired"] {
        let found = daemon.all(&format!("/v1/requests?state={state}"), 1000);
        assert!(found.iter().all(|row| row["state"] == state), "{found:?}");
    }
    assert_eq!(
        daemon.all("/v1/requests?overdue=false", 1000).len(),
        all.len()
    );
    assert_eq!(daemon.all("/v1/requests?overdue=true", 1000).len(), 0);
}

#[test]
fn request_filters_are_combined_with_and() {
    let daemon = busy();
    let found = daemon.all("/v1/requests?customerId=c&state=completed", 1000);
    assert_eq!(ids(&found), ["r1", "r3", "r5"]);
    let none = daemon.get("/v1/requests?customerId=c&state=failed");
    assert!(none.items().is_empty());
}

#[test]
fn request_lists_the_same_row_as_the_request_itself() {
    let daemon = busy();
    for row in daemon.all("/v1/requests", 1000) {
        let id = row["requestId"].as_str().unwrap();
        assert_eq!(daemon.get(&format!("/v1/requests/{id}")).json(), row);
    }
}
