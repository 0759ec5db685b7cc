//! The query door without the feed: customers, requests, stats, and what holds for every read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

#[path = "query/customers.rs"]
mod customers;
#[path = "query/damage.rs"]
mod damage;
#[path = "query/lists.rs"]
mod lists;
#[path = "query/page.rs"]
mod page;
#[path = "query/protocol.rs"]
mod protocol;
#[path = "query/requests.rs"]
mod requests;

use serde_json::json;

use common::Daemon;
use common::bodies::*;

#[test]
fn stats_count_by_event_disposition_status_and_state() {
    let daemon = Daemon::start();
    daemon.deliver(onboard("a", "APPROVED", "PASSED"));
    daemon.deliver(onboard("b", "REJECTED", "PASSED"));
    daemon.deliver(flag("a", true));
    daemon.deliver(flag("a", true));
    daemon.deliver(run("a", "r1", "fraud", "completed"));
    daemon.deliver(run("a", "r1", "fraud", "initiated"));
    daemon.deliver(run("b", "r2", "fraud", "initiated"));
    daemon.deliver(json!({"event": "novel"}));
    let last = daemon.deliver("no json");
    let answer = daemon.get_at("/v1/stats", last);
    assert_eq!(answer.status, 200);
    let stats = answer.json();
    assert_eq!(stats["projectedSeq"], last, "{stats}");
    assert_eq!(stats["durableSeq"], last, "{stats}");
    assert_eq!(stats["lag"], 0, "{stats}");
    assert_eq!(stats["events"]["total"], 9, "{stats}");
    let by_event = &stats["events"]["byEvent"];
    assert_eq!(by_event["onboard"], 2, "{stats}");
    assert_eq!(by_event["flag"], 2, "{stats}");
    assert_eq!(by_event["evaluation"], 3, "{stats}");
    assert_eq!(by_event["novel"], 1, "{stats}");
    let by_disposition = &stats["events"]["byDisposition"];
    for (disposition, count) in [
        ("applied", 5),
        ("duplicate", 1),
        ("stale", 1),
        ("unrecognised", 1),
        ("quarantined", 1),
    ] {
        assert_eq!(by_disposition[disposition], count, "{disposition}: {stats}");
    }
    assert_eq!(stats["customers"]["total"], 2, "{stats}");
    assert_eq!(stats["customers"]["byStatus"]["APPROVED"], 1, "{stats}");
    assert_eq!(stats["customers"]["byStatus"]["REJECTED"], 1, "{stats}");
    assert_eq!(stats["requests"]["total"], 2, "{stats}");
    assert_eq!(stats["requests"]["byState"]["completed"], 1, "{stats}");
    assert_eq!(stats["requests"]["byState"]["in_progress"], 1, "{stats}");
    assert_eq!(stats["overdue"], 0, "{stats}");
    assert!(
        stats["files"]["databaseBytes"].as_u64() > Some(0),
        "{stats}"
    );
    assert!(stats["queue"]["maxEvents"].as_u64() > Some(0), "{stats}");
    assert!(stats["lastWebhookAt"].is_string(), "{stats}");
    let hour: u64 = sum(&stats["rates"]["lastHour"]);
    let day: u64 = sum(&stats["rates"]["lastDay"]);
    assert_eq!((hour, day), (9, 9), "{stats}");
}

fn sum(buckets: &serde_json::Value) -> u64 {
    let buckets = buckets.as_array().unwrap();
    buckets
        .iter()
        .filter_map(|bucket| bucket["events"].as_u64())
        .sum()
}

#[test]
fn stats_of_an_empty_log_are_zero() {
    let daemon = Daemon::start();
    let stats = daemon.get("/v1/stats").json();
    assert_eq!(stats["events"]["total"], 0, "{stats}");
    assert_eq!(stats["customers"]["total"], 0, "{stats}");
    assert_eq!(stats["lastWebhookAt"], json!(null), "{stats}");
}

#[test]
fn health_and_readiness_are_200_while_it_serves() {
    let daemon = Daemon::start();
    assert_eq!(daemon.get("/healthz").status, 200);
    assert_eq!(daemon.get("/readyz").status, 200);
}

#[test]
fn metrics_are_prometheus_text_without_ids() {
    let daemon = Daemon::start();
    let seq = daemon.deliver(run(
        "customer-canary",
        "request-canary",
        "fraud",
        "initiated",
    ));
    daemon.event(seq);
    let answer = daemon.get("/metrics");
    assert_eq!(answer.status, 200);
    let kind = answer.header("content-type").unwrap_or_default();
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(answer.header("vary"), Some("Accept"));
    let text = answer.text();
    assert!(text.contains("waldo_syncd_"), "{text}");
    assert!(!text.contains("canary"), "{text}");
}
