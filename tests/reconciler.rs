//! What webhooks did not tell is found out by asking: the real processes against the sandbox in Waldo's place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use common::http::percent;
use common::place::poll;
use common::rig::{Rig, SOON};
use common::upstream::{Reply, Seen, Upstream};
use common::{Daemon, Place};

/// How far before a registration an evaluation may have ended, and a little more.
const CALL_SLACK: Duration = Duration::from_millis(6_500);
/// Overdue at once, so that a question is due at once.
const AT_ONCE: &str = "100ms";
/// Never overdue in a test.
const LATER: &str = "1h";

#[test]
fn what_lost_webhooks_should_have_said_is_found_by_asking() {
    let rig = Rig::start(AT_ONCE, &["--lose", "1"]);
    let onboarded = rig.onboard("fraud-pass", true);
    let request_id = onboarded["requestId"].as_str().unwrap();
    let customer_id = onboarded["customerId"].as_str().unwrap();
    let request = rig.settled(request_id);
    assert_eq!(request["state"], "completed");
    assert_eq!(request["settledBy"], "poll");
    let truth = &rig.truth("customers")[0];
    let customer = rig.customer(customer_id);
    for member in ["status", "kyc", "fraudScore", "externalId"] {
        assert_eq!(customer[member], truth[member], "{member}");
    }
    assert_eq!(customer["evaluations"]["fraud"]["requestId"], *request_id);
    let stats = rig.stats();
    assert_eq!(stats["coverage"]["ratio"], 0.0);
    assert_eq!(stats["coverage"]["byPoll"], 1);
    poll("the time of the last answer", SOON, || {
        rig.stats()["lastPoll"].is_string().then_some(())
    });
    let events = rig
        .daemon
        .get(&format!("/v1/events?requestId={}", percent(request_id)))
        .items();
    assert!(events.iter().all(|event| event["origin"] == "api"));
}

#[test]
fn without_proof_a_request_waits() {
    let rig = Rig::start(LATER, &["--lose", "1"]);
    let onboarded = rig.onboard("crm-1", true);
    let customer_id = onboarded["customerId"].as_str().unwrap();
    rig.idle();
    let ended = SystemTime::now();
    let (run, standing) = rig.resync(&[customer_id]);
    run.assert_code(0);
    assert_eq!(standing["settled"], 1, "{standing}");
    // Waldo is idle and shows a fraud evaluation; once that is past the slack of the clocks, it proves nothing of a
    // request that is registered now.
    poll("a clock past the slack", SOON, || {
        (SystemTime::now() > ended + CALL_SLACK).then_some(())
    });
    let body = json!({"requestId": "later", "operation": "fraud", "customerId": customer_id});
    let body = body.to_string();
    let told = rig
        .daemon
        .controller()
        .call("POST", "/v1/requests", &[], Some(body.as_bytes()));
    assert_eq!(told.unwrap().status, 201);
    let (run, standing) = rig.resync(&[customer_id]);
    run.assert_code(0);
    assert_eq!(standing["settled"], 0, "{standing}");
    assert_eq!(rig.request("later")["state"], "pending");
    rig.decide(customer_id, "check-fraud");
    rig.idle();
    let (_, standing) = rig.resync(&[customer_id]);
    assert_eq!(standing["settled"], 1, "{standing}");
    assert_eq!(rig.request("later")["settledBy"], "poll");
}

#[test]
fn a_lost_decision_of_the_dashboard_is_drift_told_field_by_field() {
    let rig = Rig::start(LATER, &["--lose", "1"]);
    let ids: Vec<_> = ["kyc-pass", "kyc-pass", "kyc-review"]
        .iter()
        .map(|external| {
            rig.onboard(external, false)["customerId"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    rig.idle();
    let (run, standing) = rig.resync(&["--all"]);
    run.assert_code(0);
    assert_eq!(
        (&standing["checked"], &standing["total"]),
        (&json!(3), &json!(3))
    );
    let (_, standing) = rig.resync(&["--all"]);
    assert_eq!(standing["drifted"], 0, "{standing}");
    let version = rig.customer(&ids[0])["version"].as_u64().unwrap();
    rig.decide(&ids[0], "approve");
    let (run, standing) = rig.resync(&[&ids[0]]);
    run.assert_code(0);
    assert_eq!(standing["drifted"], 1);
    assert_eq!(
        standing["drift"],
        json!([{"customerId": ids[0], "fields": [{"field": "status", "from": "REVIEW", "to": "APPROVED"}]}])
    );
    let customer = rig.customer(&ids[0]);
    assert_eq!(customer["status"], "APPROVED");
    assert_eq!(customer["decidedBy"], "dashboard");
    assert_eq!(customer["version"], version + 1);
    let text = rig.daemon.place().cli(&["resync", &ids[0]]);
    text.assert_code(0);
    assert!(
        text.stdout.contains("checked 1, differed 0"),
        "{}",
        text.stdout
    );
    let (run, _) = rig.resync(&["nobody"]);
    run.assert_code(1);
    assert!(
        run.stderr.contains("Waldo knows no such customer"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_revoked_key_stops_the_questions_until_it_is_mended() {
    let rig = Rig::start(AT_ONCE, &["--lose", "1"]);
    rig.at_sandbox("key/revoke", &json!({}));
    let body =
        json!({"requestId": "r", "operation": "fraud", "customerId": "c", "deadlineSeconds": 1});
    let told = rig.daemon.controller().call(
        "POST",
        "/v1/requests",
        &[],
        Some(body.to_string().as_bytes()),
    );
    assert_eq!(told.unwrap().status, 201);
    let details = poll("a detail of /readyz", SOON, || {
        let details = rig.daemon.get("/readyz").json()["details"].clone();
        (details != json!([])).then_some(details)
    });
    assert!(
        details[0].as_str().unwrap().contains("switched off"),
        "{details}"
    );
    let (run, _) = rig.resync(&["--overdue"]);
    run.assert_code(1);
    let log = rig.outbound.log();
    assert_eq!(
        log.matches("nothing more is asked by itself").count(),
        1,
        "{log}"
    );
    rig.at_sandbox("key/restore", &json!({}));
    let (run, _) = rig.resync(&["--overdue"]);
    run.assert_code(0);
    poll("no detail of /readyz", SOON, || {
        (rig.daemon.get("/readyz").json()["details"] == json!([])).then_some(())
    });
}

#[test]
fn a_busy_waldo_is_asked_again_when_it_wants() {
    let rig = Rig::start(LATER, &["--lose", "1"]);
    let customer_id = rig.onboard("kyc-pass", false)["customerId"]
        .as_str()
        .unwrap()
        .to_owned();
    rig.idle();
    let trouble = json!({"status": 429, "retryAfterSeconds": 1, "count": 2});
    rig.at_sandbox("trouble", &trouble);
    let began = Instant::now();
    let (run, standing) = rig.resync(&[&customer_id]);
    run.assert_code(0);
    assert!(
        began.elapsed() >= Duration::from_secs(2),
        "a second each time"
    );
    assert_eq!(
        (&standing["failed"], &standing["settled"]),
        (&json!(0), &json!(1))
    );
    rig.at_sandbox("trouble", &json!({"status": 400, "count": 100}));
    let (run, standing) = rig.resync(&["--all"]);
    run.assert_code(1);
    assert_eq!(standing["failed"], 1);
}

#[test]
fn a_busy_waldo_is_left_alone_as_long_as_it_asks() {
    let rig = Rig::start(AT_ONCE, &["--lose", "1"]);
    // Whoever asks has a token: a login that is refused has its own pause.
    let onboarded = rig.onboard("fraud-pass", true);
    rig.settled(onboarded["requestId"].as_str().unwrap());
    let trouble = json!({"status": 429, "retryAfterSeconds": 10, "count": 1});
    rig.at_sandbox("trouble", &trouble);
    let body =
        json!({"requestId": "r", "operation": "fraud", "customerId": "c", "deadlineSeconds": 1});
    let body = body.to_string();
    let told = rig
        .daemon
        .controller()
        .call("POST", "/v1/requests", &[], Some(body.as_bytes()));
    assert_eq!(told.unwrap().status, 201);
    poll("a question that failed", SOON, || {
        let metrics = rig.daemon.get("/metrics").text();
        metrics
            .contains("waldo_syncd_polls_total{outcome=\"failed\"} 1")
            .then_some(())
    });
    // What failed is told within 2 s, so that a pause of 10 s has 8 to go, less what a busy machine takes.
    let began = Instant::now();
    let onboarded = rig.onboard("fraud-pass", true);
    rig.settled(onboarded["requestId"].as_str().unwrap());
    assert!(began.elapsed() >= Duration::from_secs(3), "no pause");
}

#[test]
fn nothing_personal_is_kept_or_logged() {
    let rig = Rig::start(AT_ONCE, &["--lose", "1"]);
    let onboarded = rig.onboard("fraud-pass", true);
    rig.settled(onboarded["requestId"].as_str().unwrap());
    let (run, _) = rig.resync(&["--all"]);
    run.assert_code(0);
    let mut kept = rig.daemon.log() + &rig.outbound.log();
    for entry in fs::read_dir(rig.daemon.data()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap_or_default();
        kept.push_str(&String::from_utf8_lossy(&bytes));
    }
    assert!(kept.contains("fraud-pass"), "what is kept can be searched");
    for word in [
        "Ada",
        "Sample Street",
        "000-00-0000",
        "ada@example.com",
        "wk.sandbox",
        "ws.sandbox",
        "Bearer",
    ] {
        assert!(!kept.contains(word), "{word}");
    }
}

#[test]
fn resync_without_an_outbound_process_says_so() {
    let daemon = Daemon::start();
    let run = daemon.place().cli(&["resync", "--all"]);
    run.assert_code(1);
    assert!(
        run.stderr.contains("waldo-syncd outbound"),
        "{}",
        run.stderr
    );
    daemon.place().cli(&["resync"]).assert_code(2);
    daemon.place().cli(&["resync", "c", "--all"]).assert_code(2);
}

/// A daemon that asks this Waldo.
#[track_caller]
fn asking(upstream: &Upstream) -> Daemon {
    let place = Place::new();
    let config = place.file(
        "config.toml",
        format!(
            "[waldo]\napi_url = \"{}\"\napi_key = \"wk.k\"\nclient_secret = \"ws.s\"\n",
            upstream.url()
        ),
    );
    let mut arguments = place.serve_arguments();
    arguments.extend(["--config", config.to_str().unwrap(), "--outbound"].map(String::from));
    let daemon = Daemon::start_as(place, arguments);
    poll("the outbound role", SOON, || {
        (!daemon.get("/v1/stats").json()["outbound"].is_null()).then_some(())
    });
    daemon
}

/// Registers a fraud check of `mine`, asks about it, and gives what is reported.
#[track_caller]
fn asked_about_a_fraud_check(
    date: &'static str,
    customer: serde_json::Value,
    history: serde_json::Value,
) -> (Daemon, serde_json::Value) {
    let answer = move |seen: &Seen| {
        let body = match seen.target.split('?').next().unwrap() {
            "/authenticate" => json!({"token": "t"}),
            "/customer" => json!({"customers": [customer]}),
            _ => json!({"active": {}, "history": history}),
        };
        let date = [("Date", date)];
        let dated = if date[0].1.is_empty() { &[][..] } else { &date };
        Reply::new(200, dated, body.to_string())
    };
    let daemon = asking(&Upstream::start(answer));
    let body = json!({"requestId": "r", "operation": "fraud", "customerId": "mine"}).to_string();
    let mut controller = daemon.controller();
    let told = controller.call("POST", "/v1/requests", &[], Some(body.as_bytes()));
    assert_eq!(told.unwrap().status, 201);
    let run = daemon.place().cli(&["resync", "--json", "mine"]);
    let standing = run.json_lines().first().cloned().unwrap_or_default();
    (daemon, standing)
}

fn now_ms() -> u128 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_millis()
}

#[test]
fn what_waldo_says_of_another_customer_is_kept_of_nobody() {
    for other in [
        json!({"customerId": "other", "validation": {"status": "REJECTED", "kyc": "REJECTED"}}),
        json!({"customerId": 7, "validation": {"status": "REJECTED"}}),
        json!({"code": "ODD", "message": "m"}),
    ] {
        let history = json!([{"date": now_ms() as u64, "score": 0.1}]);
        let (daemon, standing) = asked_about_a_fraud_check("", other.clone(), history);
        assert_eq!(standing["settled"], 0, "{other}: {standing}");
        let request = daemon.get("/v1/requests/r").json();
        assert_eq!(request["state"], "pending", "{other}");
        assert_eq!(daemon.get("/v1/events?source=poll").items().len(), 0);
        assert_eq!(standing["state"], "failed", "{other}: {standing}");
    }
}

#[test]
fn a_clock_that_is_far_off_proves_nothing() {
    let mine =
        json!({"customerId": "mine", "validation": {"status": "APPROVED", "fraudScore": 0.9}});
    let long_before = json!([{"date": now_ms() as u64 - 86_400_000, "score": 0.9}]);
    let old = "Sun, 06 Nov 1994 08:49:37 GMT";
    let (daemon, _) = asked_about_a_fraud_check(old, mine, long_before);
    assert_eq!(daemon.get("/v1/requests/r").json()["state"], "pending");
}

#[test]
fn an_evaluation_of_the_future_proves_nothing() {
    let mine =
        json!({"customerId": "mine", "validation": {"status": "APPROVED", "fraudScore": 0.9}});
    // In microseconds.
    let history = json!([{"date": now_ms() as u64 * 1000, "score": 0.9}]);
    let (daemon, _) = asked_about_a_fraud_check("", mine, history);
    assert_eq!(daemon.get("/v1/requests/r").json()["state"], "pending");
}

#[test]
fn an_id_that_no_question_can_hold_does_not_end_an_errand() {
    let upstream = Upstream::start(|seen| {
        let found = json!({"customers": [{"customerId": "mine", "validation": {"kyc": "PASSED"}}]});
        match seen.target.as_str() {
            "/authenticate" => Reply::json(200, json!({"token": "t"})),
            _ => Reply::json(200, found),
        }
    });
    let daemon = asking(&upstream);
    for id in ["mine".to_owned(), "a".repeat(20_000), "b".repeat(100_000)] {
        let flag = json!({"event": "flag", "flag": true, "customerId": id});
        let seq = daemon.deliver(flag.to_string());
        daemon.get_at("/v1/stats", seq);
    }
    let run = daemon.place().cli(&["resync", "--json", "--all"]);
    let lines = run.json_lines();
    let standing = lines.first().cloned().unwrap_or_default();
    assert_eq!(
        (
            &standing["checked"],
            &standing["failed"],
            &standing["drifted"]
        ),
        (&json!(3), &json!(2), &json!(1)),
        "{standing}"
    );
}
