//! The customer's row: what fills, what sets, what erases nothing, and who decided.

use serde_json::{Value, json};

use crate::common::bodies::*;
use crate::story::Story;

#[test]
fn absent_and_null_members_never_erase() {
    let known = sample("webhook-evaluation-document-completed.json");
    let known = serde_json::from_slice(&known).unwrap();
    Story::new()
        .post(with(known, json!({"externalId": "own"})))
        .post(json!({
            "event": "evaluation", "requestId": "later", "customerId": ADA, "externalId": null, "uri": null,
            "evaluation": {"type": "document", "status": "completed"},
            "validation": {
                "status": null, "kyc": null, "fraudScore": null, "fraudFlag": null, "warnings": null,
                "warningTags": null,
            },
        }))
        .applied(2)
        .no_problems(2)
        .customer(
            ADA,
            json!({
                "status": "APPROVED", "kyc": "PASSED", "fraudScore": 0.74, "flagged": false, "warnings": 2,
                "externalId": "own", "uri": "https://app.waldo.ai/customers/71c0de5a19b24f0e83d6a4b1",
            }),
        )
        .post(json!({"event": "onboard", "customerId": ADA, "validation": null}))
        .applied(3)
        .customer(ADA, json!({"status": "APPROVED", "warnings": 2, "externalId": "own"}));
}

/// Known values, then an evaluation in the given status that repeats other ones.
fn repeats(status: &str) -> Story {
    Story::new()
        .post(json!({
            "event": "onboard", "customerId": "c",
            "validation": {"status": "REVIEW", "kyc": "PASSED", "fraudScore": 0.4, "fraudFlag": false, "warnings": 1},
        }))
        .post(with(
            run("c", "r", "fraud", status),
            json!({"validation": {
                "status": "REJECTED", "kyc": "REJECTED", "fraudScore": 0.9, "fraudFlag": true, "warnings": 9,
            }}),
        ))
        .applied(2)
}

#[test]
fn validation_of_an_initiated_evaluation_overwrites_nothing() {
    repeats("initiated").customer(
        "c",
        json!({
            "status": "REVIEW", "kyc": "PASSED", "fraudScore": 0.4, "flagged": false, "warnings": 1,
            "decidedBy": "dashboard", "evaluations": {"fraud": {"status": "initiated"}},
        }),
    );
}

#[test]
fn validation_of_an_evaluation_in_progress_overwrites_nothing() {
    repeats("in_progress").customer(
        "c",
        json!({
            "status": "REVIEW", "kyc": "PASSED", "fraudScore": 0.4, "flagged": false, "warnings": 1,
            "decidedBy": "dashboard", "evaluations": {"fraud": {"status": "in_progress"}},
        }),
    );
}

#[test]
fn validation_of_a_completed_evaluation_overwrites() {
    repeats("completed").customer(
        "c",
        json!({
            "status": "REJECTED", "kyc": "REJECTED", "fraudScore": 0.9, "flagged": false, "warnings": 9,
            "decidedBy": "api", "evaluations": {"fraud": {"status": "completed", "requestId": "r"}},
        }),
    );
}

#[test]
fn validation_of_a_running_evaluation_fills_what_is_unknown() {
    Story::new()
        .post(flag("c", true))
        .post(with(
            run("c", "r", "fraud", "in_progress"),
            json!({"validation": {"status": "REVIEW", "kyc": "PASSED", "fraudScore": 0.4, "fraudFlag": false}}),
        ))
        .changed(2, "status", Value::Null, json!("REVIEW"))
        .customer(
            "c",
            json!({"status": "REVIEW", "kyc": "PASSED", "fraudScore": 0.4, "flagged": true, "decidedBy": "api"}),
        );
}

#[test]
fn decided_by_changes_only_with_the_status() {
    Story::new()
        .post(with(
            run("c", "r", "fraud", "completed"),
            json!({"validation": {"status": "APPROVED"}}),
        ))
        .customer("c", json!({"decidedBy": "api"}))
        .post(onboard("c", "APPROVED", "PASSED"))
        .origin(2, "dashboard", "none")
        .customer("c", json!({"decidedBy": "api", "kyc": "PASSED"}))
        .post(onboard("c", "REJECTED", "PASSED"))
        .customer("c", json!({"decidedBy": "dashboard"}));
}

#[test]
fn version_and_last_seq_move_only_when_something_changed() {
    let story = Story::new()
        .post(onboard("c", "APPROVED", "PASSED"))
        .customer("c", json!({"version": 1, "lastSeq": "#1"}))
        .post(with(
            onboard("c", "APPROVED", "PASSED"),
            json!({"note": "again"}),
        ))
        .applied(2)
        .changes_nothing(2)
        .customer("c", json!({"version": 1, "lastSeq": "#1"}))
        .post(flag("c", true))
        .customer("c", json!({"version": 2, "lastSeq": "#3"}));
    let first = story.daemon().event(story.seq(1))["receivedAt"].clone();
    let third = story.daemon().event(story.seq(3))["receivedAt"].clone();
    story.customer("c", json!({"firstSeenAt": first, "updatedAt": third}));
}

#[test]
fn flag_event_on_an_unknown_customer_creates_it() {
    Story::new().post(flag("new", false)).applied(1).customer(
        "new",
        json!({"flagged": false, "version": 1, "status": null}),
    );
}

#[test]
fn external_id_may_name_several_customers() {
    let shared = json!({"externalId": "kyc-pass"});
    let story = Story::new()
        .post(with(flag("one", true), shared.clone()))
        .post(with(flag("two", false), shared))
        .customer("one", json!({"externalId": "kyc-pass", "flagged": true}))
        .customer("two", json!({"externalId": "kyc-pass", "flagged": false}));
    let target = "/v1/customers?externalId=kyc-pass";
    let found = story.daemon().get_at(target, story.seq(2)).items();
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn evaluation_knows_the_time_of_its_status() {
    let story = Story::new()
        .post(run("c", "r", "fraud", "initiated"))
        .post(run("c", "r", "document", "initiated"))
        .post(run("c", "r", "fraud", "completed"));
    let at = |delivery| story.daemon().event(story.seq(delivery))["receivedAt"].clone();
    let expected = json!({"evaluations": {
        "fraud": {"status": "completed", "requestId": "r", "at": at(3)},
        "document": {"status": "initiated", "requestId": "r", "at": at(2)},
    }});
    story.customer("c", expected);
}

#[test]
fn idle_evaluation_is_none() {
    Story::new()
        .post(run("c", "r", "fraud", "completed"))
        .post(json!({
            "event": "evaluation", "customerId": "c", "evaluation": {"type": "idle", "status": "idle"},
            "validation": {"status": "APPROVED"},
        }))
        .customer(
            "c",
            json!({"evaluations": {"fraud": {"status": "completed"}, "idle": null}}),
        );
}
