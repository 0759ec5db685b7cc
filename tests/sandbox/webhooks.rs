//! The webhooks of each operation, in the documented shapes and with the documented contradictions.

use serde_json::{Value, json};

use super::receiver::Receiver;
use super::{Sandbox, assert_shape, document};

/// Takes out the optional `in_progress`, whose shape is checked here.
#[track_caller]
fn split(webhooks: Vec<Value>, in_progress: &str) -> Vec<Value> {
    let (running, rest): (Vec<_>, Vec<_>) = webhooks
        .into_iter()
        .partition(|body| body["evaluation"]["status"] == "in_progress");
    assert!(running.len() <= 1);
    for body in &running {
        assert_shape(body, in_progress);
    }
    rest
}

#[test]
fn an_onboarding_with_fraud_check_tells_of_the_fraud_evaluation_only() {
    let sandbox = Sandbox::quick(&[]);
    let answer = sandbox.onboard("fraud-review", json!({"includeFraudCheck": true}));
    let all = sandbox.webhooks();
    assert!(all.iter().all(|body| body["event"] == "onboard"));
    assert!(all.iter().all(|body| body["evaluation"]["type"] == "fraud"));
    assert!(
        all.iter()
            .all(|body| body["requestId"] == answer["requestId"])
    );
    let rest = split(all, "webhook-onboard-api-in-progress-inferred.json");
    let [first, last] = rest.as_slice() else {
        panic!("{rest:?}")
    };
    assert_shape(first, "webhook-onboard-api-initiated.json");
    assert_eq!(first["evaluation"]["status"], "initiated");
    let pending = json!({"status": "REVIEW", "kyc": "PENDING", "fraudScore": 0});
    assert_eq!(first["validation"], pending, "old values are repeated");
    assert_shape(
        last,
        "webhook-onboard-api-completed-with-validation-inferred.json",
    );
    assert_eq!(last["evaluation"]["status"], "completed");
    let truth = sandbox.truth(answer["customerId"].as_str().unwrap());
    for (told, true_name) in [
        ("status", "status"),
        ("kyc", "kyc"),
        ("fraudScore", "fraudScore"),
    ] {
        assert_eq!(last["validation"][told], truth[true_name]);
    }
    let tags = last["validation"]["warningTags"].as_object().unwrap();
    let failed = tags.values().filter(|tag| tag["passed"] == false).count();
    assert_eq!(last["validation"]["warnings"], failed);
    assert!(failed > 0, "a score for review has reasons");
}

#[test]
fn an_onboarding_without_fraud_check_tells_of_the_identity() {
    let sandbox = Sandbox::quick(&[]);
    let answer = sandbox.onboard("kyc-review", json!({}));
    let all = sandbox.webhooks();
    assert!(all.iter().all(|body| body["event"] == "onboard"));
    assert!(
        all.iter()
            .all(|body| body["requestId"] == answer["requestId"])
    );
    let last = all.last().unwrap();
    assert_shape(last, "webhook-evaluation-kyc-completed-inferred.json");
    assert_eq!(
        last["evaluation"],
        json!({"type": "kyc", "status": "completed"})
    );
    // Without a fraud check a person must decide, and 0 is no score.
    let expected = json!({"status": "REVIEW", "kyc": "REVIEW", "fraudScore": 0});
    assert_eq!(last["validation"], expected);
}

#[test]
fn the_end_of_a_fraud_check_comes_without_its_request_id() {
    let sandbox = Sandbox::quick(&[]);
    let id = sandbox.somebody("fraudCheck-reject");
    let before = sandbox.truth(&id)["fraudScore"].clone();
    sandbox.webhooks();
    let answer = sandbox
        .post("/check-fraud", json!({"customerId": id}))
        .json();
    assert_eq!(answer["validation"]["fraudScore"], before);
    let all = sandbox.webhooks();
    let rest = split(all, "webhook-evaluation-fraud-in-progress-inferred.json");
    let [first, last] = rest.as_slice() else {
        panic!("{rest:?}")
    };
    assert_shape(first, "webhook-evaluation-fraud-initiated.json");
    assert_eq!(first["requestId"], answer["requestId"]);
    assert_eq!(
        first["validation"]["fraudScore"], before,
        "the previous score"
    );
    assert_shape(last, "webhook-evaluation-fraud-completed.json");
    assert_eq!(last["event"], "evaluation");
    assert_eq!(last["requestId"], Value::Null);
    assert!(last["uri"].as_str().unwrap().contains("customers//"));
    assert!(last["validation"]["warningTags"].is_object());
    assert_eq!(last["validation"]["status"], "REJECTED");
    assert_ne!(last["validation"]["fraudScore"], before);
    let requests = sandbox.list("requests");
    let request = requests.last().unwrap();
    assert_eq!(request["requestId"], answer["requestId"]);
    assert_eq!(request["evaluations"], json!({"fraud": "completed"}));
    assert!(request["completedAt"].as_i64() >= request["startedAt"].as_i64());
}

#[test]
fn the_end_of_a_document_evaluation_has_an_array_of_tags() {
    let sandbox = Sandbox::quick(&[]);
    let id = sandbox.somebody("documentUpload-warn");
    sandbox.webhooks();
    let answer = document::upload(&sandbox, &id, b"\x89PNG\r\n\x1a\n").json();
    let all = sandbox.webhooks();
    assert!(
        all.iter()
            .all(|body| body["requestId"] == answer["requestId"])
    );
    let last = all.last().unwrap();
    assert_shape(last, "webhook-evaluation-document-completed.json");
    let tags = last["validation"]["warningTags"].as_array().unwrap();
    let failed: Vec<_> = tags.iter().filter(|tag| tag["passed"] == false).collect();
    assert_eq!(last["validation"]["warnings"], failed.len());
    assert!(failed.iter().all(|tag| tag["isDoc"] == true) && !failed.is_empty());
}

#[test]
fn a_flag_webhook_has_no_request_id_and_no_status() {
    let sandbox = Sandbox::quick(&[]);
    let id = sandbox.somebody("fraud-pass");
    sandbox.webhooks();
    for flag in [true, false] {
        let answer = sandbox.post("/flag", json!({"customerId": id, "flag": flag}));
        assert_eq!(answer.json()["flagged"], flag);
        let all = sandbox.webhooks();
        let [body] = all.as_slice() else {
            panic!("{all:?}")
        };
        assert_shape(body, "webhook-flag-set.json");
        assert_eq!(
            (&body["event"], &body["flag"]),
            (&json!("flag"), &json!(flag))
        );
        assert_eq!(sandbox.truth(&id)["flagged"], flag);
    }
    assert_eq!(sandbox.truth(&id)["status"], "REJECTED");
}

#[test]
fn a_decision_on_the_dashboard_is_an_onboard_event_in_the_older_shape() {
    let sandbox = Sandbox::quick(&[]);
    let id = sandbox.somebody("fraud-review");
    sandbox.webhooks();
    let mut words = std::collections::BTreeSet::new();
    for round in 0..20 {
        for (action, status) in [
            ("approve", "APPROVED"),
            ("reject", "REJECTED"),
            ("review", "REVIEW"),
        ] {
            sandbox.decide(&id, action);
            let all = sandbox.webhooks();
            let [body] = all.as_slice() else {
                panic!("{all:?}")
            };
            assert_shape(body, "webhook-onboard-dashboard.json");
            assert_eq!(sandbox.truth(&id)["status"], status, "{round}");
            words.insert(body["validation"]["status"].as_str().unwrap().to_owned());
        }
    }
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    assert_eq!(words, ["ACCEPTED", "APPROVED", "REJECTED", "REVIEW"]);
}

#[test]
fn what_a_person_starts_on_the_dashboard_has_no_request_id() {
    let sandbox = Sandbox::quick(&[]);
    let id = sandbox.somebody("fraudCheck-pass");
    sandbox.webhooks();
    for action in ["check-fraud", "flag", "unflag"] {
        sandbox.decide(&id, action);
        let all = sandbox.webhooks();
        assert!(!all.is_empty());
        assert!(
            all.iter().all(|body| body["requestId"].is_null()),
            "{all:?}"
        );
    }
    let newest = sandbox.list("deliveries").pop().unwrap();
    assert_eq!(newest["cause"], "dashboard");
    let request = sandbox.list("requests").pop().unwrap();
    assert_eq!(
        (&request["cause"], &request["requestId"]),
        (&json!("dashboard"), &Value::Null)
    );
}

#[test]
fn every_webhook_is_on_the_list_of_deliveries() {
    let sandbox = Sandbox::quick(&[]);
    sandbox.somebody("fraud-pass");
    let webhooks = sandbox.webhooks();
    let listed = sandbox.list("deliveries");
    assert_eq!(listed.len(), webhooks.len());
    for (place, (one, body)) in listed.iter().zip(&webhooks).enumerate() {
        assert_eq!(one["number"], place + 1);
        assert_eq!(
            (&one["fate"], &one["status"]),
            (&json!("delivered"), &json!(200))
        );
        for name in ["event", "customerId", "requestId", "evaluation"] {
            assert_eq!(one[name], body[name], "{name}");
        }
        assert_eq!(one["cause"], "api");
    }
    let rest = sandbox
        .plain("GET", "/sandbox/deliveries?after=1&last=1", None)
        .json();
    let rest = rest["deliveries"].as_array().unwrap();
    assert_eq!(rest.as_slice(), &listed[listed.len() - 1..]);
}

#[test]
fn nobody_at_the_url_is_a_failed_delivery_and_no_second_attempt() {
    let sandbox = Sandbox::with_url(
        Receiver::start(),
        "http://127.0.0.1:1/hooks/s3cret",
        &["--pace", "0s"],
    );
    sandbox.somebody("fraud-pass");
    let listed = sandbox.list("deliveries");
    assert!(!listed.is_empty() && listed.iter().all(|one| one["fate"] == "failed"));
    let text = Value::from(listed).to_string() + &sandbox.process.log();
    assert!(!text.contains("s3cret"), "{text}");
}

#[test]
fn a_refused_webhook_is_not_sent_again() {
    let receiver = Receiver::answering("503 Service Unavailable");
    let url = receiver.url();
    let sandbox = Sandbox::with_url(receiver, &url, &["--pace", "0s"]);
    sandbox.somebody("fraud-pass");
    let listed = sandbox.list("deliveries");
    assert!(
        listed
            .iter()
            .all(|one| one["fate"] == "delivered" && one["status"] == 503)
    );
    assert_eq!(sandbox.webhooks().len(), listed.len());
}

#[test]
fn without_a_url_no_webhook_is_made() {
    let sandbox = Sandbox::with_url(Receiver::start(), "", &["--pace", "0s"]);
    let id = sandbox.somebody("fraud-pass");
    assert_eq!(sandbox.truth(&id)["status"], "APPROVED");
    assert!(sandbox.list("deliveries").is_empty());
    assert!(sandbox.process.log().contains("no webhooks are sent"));
}
