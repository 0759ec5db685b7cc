//! Each misbehaviour happens when it is asked for, by the seed, and the deliveries tell of it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Sandbox;

/// A few operations, one after the other.
fn a_story(sandbox: &Sandbox) {
    for external_id in ["fraud-pass", "crm-1", "kyc-review", "crm-2", "crm-3"] {
        let id = sandbox.somebody(external_id);
        sandbox.post("/check-fraud", json!({"customerId": id}));
        sandbox.idle();
        sandbox.post("/flag", json!({"customerId": id, "flag": true}));
        sandbox.decide(&id, "approve");
        sandbox.idle();
    }
}

fn marked(listed: &[Value], name: &str) -> Vec<Value> {
    let has = |one: &&Value| one["mischief"].as_array().unwrap().contains(&json!(name));
    listed.iter().filter(has).cloned().collect()
}

#[test]
fn the_same_seed_decides_the_same() {
    let tell = |seed: &str| {
        let sandbox = Sandbox::start(&[
            "--pace",
            "0s",
            "--seed",
            seed,
            "--duplicates",
            "0.3",
            "--lose",
            "0.2",
            "--loops",
            "0.3",
            "--unknown",
            "0.2",
            "--changed-shapes",
            "0.3",
            "--fail",
            "0.1",
            "--reorder",
            "0.1",
        ]);
        a_story(&sandbox);
        let mut told = sandbox.list("deliveries");
        for one in &mut told {
            for name in ["madeAt", "sentAt", "sentNumber"] {
                one.as_object_mut().unwrap().remove(name);
            }
        }
        let mut customers = sandbox.list("customers");
        for one in &mut customers {
            one.as_object_mut().unwrap().remove("createdAt");
        }
        (told, customers)
    };
    let first = tell("42");
    assert!(first.0.len() > 20);
    assert_eq!(first, tell("42"));
    assert_ne!(first, tell("43"));
}

#[test]
fn duplicates_have_the_same_bytes() {
    let sandbox = Sandbox::quick(&["--duplicates", "1"]);
    sandbox.somebody("fraud-pass");
    let listed = sandbox.list("deliveries");
    let bodies = sandbox.receiver.take_bytes();
    let distinct: BTreeSet<_> = bodies.iter().collect();
    assert_eq!(bodies.len(), listed.len());
    assert_eq!(distinct.len() * 2, bodies.len());
    for copy in marked(&listed, "duplicate") {
        let number = copy["duplicateOf"].as_u64().unwrap();
        let original = listed.iter().find(|one| one["number"] == number).unwrap();
        assert_eq!(original["evaluation"], copy["evaluation"]);
    }
    assert_eq!(marked(&listed, "duplicate").len(), distinct.len());
}

#[test]
fn lost_webhooks_never_come() {
    let sandbox = Sandbox::quick(&["--lose", "1"]);
    let id = sandbox.somebody("fraud-pass");
    assert!(sandbox.webhooks().is_empty());
    let listed = sandbox.list("deliveries");
    assert!(!listed.is_empty() && listed.iter().all(|one| one["fate"] == "lost"));
    assert_eq!(
        sandbox.truth(&id)["status"],
        "APPROVED",
        "it happened all the same"
    );
}

#[test]
fn a_held_webhook_is_overtaken() {
    let sandbox = Sandbox::quick(&["--reorder", "0.5"]);
    let mut overtaken = 0;
    for _ in 0..10 {
        sandbox.somebody("fraud-pass");
    }
    let came: Vec<_> = sandbox.webhooks();
    for one in marked(&sandbox.list("deliveries"), "held") {
        let same = |body: &&Value| body["customerId"] == one["customerId"];
        let of_customer: Vec<_> = came.iter().filter(same).collect();
        let last = of_customer.last().unwrap();
        overtaken += u32::from(last["evaluation"]["status"] != "completed");
    }
    assert!(overtaken > 0);
}

#[test]
fn late_webhooks_are_late_by_no_more_than_asked() {
    let sandbox = Sandbox::quick(&["--delay", "200ms"]);
    for _ in 0..5 {
        sandbox.somebody("fraud-pass");
    }
    let listed = sandbox.list("deliveries");
    let late = marked(&listed, "late");
    assert_eq!(late.len(), listed.len());
    let wait = |one: &Value| one["sentAt"].as_i64().unwrap() - one["madeAt"].as_i64().unwrap();
    assert!(late.iter().any(|one| wait(one) > 20));
}

#[test]
fn loops_take_the_request_id_away() {
    let sandbox = Sandbox::quick(&["--loops", "1"]);
    sandbox.somebody("fraud-pass");
    let came = sandbox.webhooks();
    assert!(!came.is_empty() && came.iter().all(|body| body["requestId"].is_null()));
    let listed = sandbox.list("deliveries");
    assert_eq!(marked(&listed, "loop").len(), listed.len());
    assert!(listed.iter().all(|one| one["cause"] == "api"));
}

#[test]
fn unknown_events_come_between() {
    let sandbox = Sandbox::quick(&["--unknown", "1"]);
    for _ in 0..4 {
        sandbox.somebody("fraud-pass");
    }
    let known = |body: &&Value| {
        ["onboard", "evaluation", "flag"]
            .iter()
            .any(|name| body["event"] == *name)
    };
    let came = sandbox.webhooks();
    assert_eq!(came.iter().filter(known).count() * 2, came.len());
    let listed = sandbox.list("deliveries");
    assert_eq!(marked(&listed, "unknown").len() * 2, listed.len());
}

#[test]
fn changed_shapes_say_the_same() {
    let sandbox = Sandbox::quick(&["--changed-shapes", "1"]);
    for _ in 0..10 {
        let id = sandbox.somebody("fraud-review");
        let came = sandbox.webhooks();
        let last = came.last().unwrap();
        assert_eq!(last["customerId"], id.as_str());
        assert_eq!(
            last["validation"]["fraudScore"],
            sandbox.truth(&id)["fraudScore"]
        );
        let tags = &last["validation"]["warningTags"];
        assert!(tags.is_array() || tags.is_object());
    }
    let listed = sandbox.list("deliveries");
    assert_eq!(marked(&listed, "changed_shape").len(), listed.len());
}

#[test]
fn a_burst_comes_at_once() {
    let sandbox = Sandbox::quick(&["--burst", "4"]);
    let id = sandbox.somebody("crm-1");
    sandbox.webhooks();
    for _ in 0..3 {
        sandbox.decide(&id, "approve");
    }
    assert_eq!(
        sandbox.plain("GET", "/sandbox/idle", None).status,
        503,
        "three are held back"
    );
    assert!(sandbox.receiver.take().is_empty());
    sandbox.decide(&id, "reject");
    assert_eq!(sandbox.webhooks().len(), 4);
    // One that stays alone goes out all the same.
    sandbox.decide(&id, "review");
    assert_eq!(sandbox.webhooks().len(), 1);
    assert!(!marked(&sandbox.list("deliveries"), "burst").is_empty());
}
