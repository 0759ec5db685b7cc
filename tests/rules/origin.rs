//! Loop prevention: what counts as an echo of an own call, and what never does.

use serde_json::json;

use crate::common::bodies::*;
use crate::story::Story;

#[test]
fn request_id_proves_an_api_call() {
    Story::new()
        .post(run("c", "never-seen-before", "fraud", "completed"))
        .origin(1, "api", "request_id")
        .post(with(flag("c", true), json!({"requestId": "r"})))
        .origin(2, "api", "request_id");
}

#[test]
fn two_open_requests_of_the_type_explain_nothing() {
    Story::new()
        .post(run("c", "r1", "fraud", "initiated"))
        .post(run("c", "r2", "fraud", "initiated"))
        .post(evaluation("c", "fraud", "completed"))
        .origin(3, "dashboard", "none")
        .event(3, json!({"requestId": null}))
        .request("r1", json!({"state": "in_progress"}))
        .request("r2", json!({"state": "in_progress"}));
}

#[test]
fn second_of_two_requests_explains_once_the_first_is_settled() {
    Story::new()
        .post(run("c", "r1", "fraud", "initiated"))
        .post(run("c", "r2", "fraud", "initiated"))
        .post(run("c", "r1", "fraud", "completed"))
        .post(evaluation("c", "fraud", "completed"))
        .origin(4, "api", "pending_request")
        .request("r2", json!({"state": "completed", "settledBy": "inferred"}));
}

#[test]
fn open_request_of_another_type_explains_nothing() {
    Story::new()
        .post(run("c", "r1", "document", "initiated"))
        .post(evaluation("c", "fraud", "completed"))
        .origin(2, "dashboard", "none")
        .request(
            "r1",
            json!({"state": "in_progress", "evaluations": {"document": "initiated"}}),
        );
}

#[test]
fn open_request_of_another_customer_explains_nothing() {
    Story::new()
        .post(run("other", "r1", "fraud", "initiated"))
        .post(evaluation("c", "fraud", "completed"))
        .origin(2, "dashboard", "none")
        .request("r1", json!({"state": "in_progress"}));
}

#[test]
fn settled_request_explains_nothing() {
    Story::new()
        .post(run("c", "r1", "fraud", "completed"))
        .post(evaluation("c", "fraud", "completed"))
        .origin(2, "dashboard", "none")
        .event(2, json!({"requestId": null, "disposition": "applied"}));
}

#[test]
fn open_request_explains_no_flag_event() {
    Story::new()
        .post(run("c", "r1", "fraud", "initiated"))
        .post(flag("c", true))
        .origin(2, "dashboard", "none");
}

#[test]
fn open_request_explains_no_dashboard_decision() {
    Story::new()
        .post(run("c", "r1", "kyc", "initiated"))
        .post(onboard("c", "APPROVED", "PASSED"))
        .origin(2, "dashboard", "none")
        .customer("c", json!({"decidedBy": "dashboard"}));
}

#[test]
fn each_step_without_request_id_follows_the_same_open_request() {
    Story::new()
        .post(run("c", "r1", "fraud", "initiated"))
        .post(evaluation("c", "fraud", "in_progress"))
        .origin(2, "api", "pending_request")
        .request("r1", json!({"evaluations": {"fraud": "in_progress"}}))
        .post(evaluation("c", "fraud", "completed"))
        .origin(3, "api", "pending_request")
        .request(
            "r1",
            json!({"state": "completed", "settledBy": "inferred", "events": ["#1", "#2", "#3"]}),
        )
        .customer(
            "c",
            json!({"evaluations": {"fraud": {"status": "completed", "requestId": "r1"}}}),
        );
}
