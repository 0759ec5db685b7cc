//! The life of a request as webhooks tell it.

use serde_json::{Value, json};

use crate::common::bodies::*;
use crate::story::{Story, events};

#[test]
fn request_first_seen_in_a_webhook_is_not_registered() {
    Story::new()
        .post(run("c", "r", "fraud", "initiated"))
        .request(
            "r",
            json!({
                "state": "in_progress", "registeredAt": null, "settledAt": null, "settledBy": null,
                "context": null, "overdue": false, "customerId": "c",
            }),
        );
}

#[test]
fn operation_of_an_unregistered_request_follows_its_event() {
    Story::new()
        .post(sample("webhook-onboard-api-initiated.json"))
        .request(ONBOARDING, json!({"operation": "onboard"}))
        .post(sample("webhook-evaluation-fraud-initiated.json"))
        .request(FRAUD_CHECK, json!({"operation": "fraud"}))
        .post(sample("webhook-evaluation-document-completed.json"))
        .request(DOCUMENT, json!({"operation": "document"}));
}

#[test]
fn request_is_completed_when_every_type_seen_is() {
    Story::new()
        .post(run("c", "r", "fraud", "initiated"))
        .post(run("c", "r", "document", "initiated"))
        .post(run("c", "r", "fraud", "completed"))
        .request("r", json!({"state": "in_progress", "settledAt": null, "settledBy": null}))
        .post(run("c", "r", "document", "completed"))
        .request(
            "r",
            json!({"state": "completed", "evaluations": {"fraud": "completed", "document": "completed"}}),
        );
}

#[test]
fn kyc_counts_as_completed_once_a_later_type_has() {
    Story::new()
        .post(run("c", "r", "kyc", "initiated"))
        .request("r", json!({"state": "in_progress"}))
        .post(run("c", "r", "fraud", "initiated"))
        .request("r", json!({"state": "in_progress"}))
        .post(run("c", "r", "fraud", "completed"))
        .request(
            "r",
            json!({
                "state": "completed", "settledBy": "webhook",
                "evaluations": {"kyc": "initiated", "fraud": "completed"},
            }),
        );
}

#[test]
fn fraud_does_not_count_as_completed_once_a_document_has() {
    Story::new()
        .post(run("c", "r", "fraud", "initiated"))
        .post(run("c", "r", "document", "completed"))
        .request("r", json!({"state": "in_progress"}));
}

#[test]
fn failed_later_type_does_not_complete_the_kyc() {
    Story::new()
        .post(run("c", "r", "kyc", "initiated"))
        .post(run("c", "r", "fraud", "failed"))
        .request(
            "r",
            json!({"state": "in_progress", "evaluations": {"kyc": "initiated", "fraud": "failed"}}),
        );
}

#[test]
fn request_is_failed_when_all_are_terminal_and_one_failed() {
    Story::new()
        .post(run("c", "r", "kyc", "failed"))
        .request("r", json!({"state": "failed"}))
        .post(run("c", "r", "document", "initiated"))
        .request("r", json!({"state": "in_progress"}))
        .post(run("c", "r", "document", "completed"))
        .request(
            "r",
            json!({"state": "failed", "evaluations": {"kyc": "failed", "document": "completed"}}),
        );
}

#[test]
fn new_type_reopens_a_settled_request() {
    Story::new()
        .post(run("c", "r", "fraud", "completed"))
        .request("r", json!({"state": "completed"}))
        .post(run("c", "r", "document", "initiated"))
        .applied(2)
        .request(
            "r",
            json!({"state": "in_progress", "settledAt": null, "settledBy": null}),
        )
        .post(run("c", "r", "document", "completed"))
        .request("r", json!({"state": "completed", "settledBy": "webhook"}));
}

#[test]
fn unknown_status_word_leaves_a_request_open_and_shows() {
    Story::new()
        .post(run("c", "r", "fraud", "paused"))
        .applied(1)
        .request(
            "r",
            json!({"state": "in_progress", "evaluations": {"fraud": "paused"}, "settledAt": null}),
        )
        .customer("c", json!({"evaluations": {"fraud": {"status": "paused"}}}));
}

#[test]
fn settled_at_is_the_time_of_the_outcome() {
    let story = Story::new()
        .post(run("c", "r", "fraud", "initiated"))
        .post(run("c", "r", "fraud", "completed"))
        .post(with(
            run("c", "r", "fraud", "completed"),
            json!({"again": true}),
        ));
    let at = |delivery| story.daemon().event(story.seq(delivery))["receivedAt"].clone();
    let (first, settled) = (at(1), at(2));
    story.request("r", json!({"firstEventAt": first, "settledAt": settled}));
}

#[test]
fn one_customer_may_have_many_requests() {
    let story = Story::new()
        .post(run("c", "r1", "fraud", "completed"))
        .post(run("c", "r2", "fraud", "initiated"))
        .request("r1", json!({"state": "completed"}))
        .request("r2", json!({"state": "in_progress"}));
    let target = "/v1/requests?customerId=c";
    let found = story.daemon().get_at(target, story.seq(2)).items();
    let ids: Vec<&Value> = found.iter().map(|row| &row["requestId"]).collect();
    assert_eq!(ids, ["r1", "r2"]);
}

#[test]
fn request_id_filter_finds_tied_events_too() {
    let story = Story::new()
        .post(run("c", "r1", "fraud", "initiated"))
        .post(evaluation("c", "fraud", "completed"))
        .event(2, json!({"requestId": "r1"}));
    let found = events(story.daemon(), "requestId=r1");
    assert_eq!(found.len(), 2, "{found:?}");
}
