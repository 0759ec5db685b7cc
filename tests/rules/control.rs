//! Rules that need an own call to be known: registrations, flag calls and settlements over the control socket.
//! They are ignored until `POST /v1/requests` on that socket is there.

use serde_json::{Value, json};

use crate::common::bodies::*;
use crate::common::mode;
use crate::story::{Story, events};

fn registration(request: &str, operation: &str, customer: &str) -> Value {
    json!({"requestId": request, "operation": operation, "customerId": customer})
}

#[test]
fn registered_request_is_pending_until_something_is_heard() {
    let story = Story::new()
        .control("/v1/requests", registration("r", "fraud", "c"), 201)
        .request(
            "r",
            json!({
                "state": "pending", "operation": "fraud", "customerId": "c", "overdue": false,
                "firstEventAt": null, "settledAt": null, "settledBy": null, "evaluations": {},
            }),
        );
    let row = story.row("requests", "r").json();
    assert!(row["registeredAt"].is_string(), "{row}");
    assert!(
        row["deadlineAt"].as_str() > row["registeredAt"].as_str(),
        "{row}"
    );
    story
        .post(run("c", "r", "fraud", "initiated"))
        .request("r", json!({"state": "in_progress"}))
        .post(run("c", "r", "fraud", "completed"))
        .request("r", json!({"state": "completed", "settledBy": "webhook"}));
}

#[test]
fn registration_after_the_webhook_fills_the_row_in() {
    Story::new()
        .post(run("c", "r", "fraud", "completed"))
        .request("r", json!({"registeredAt": null, "state": "completed"}))
        .control(
            "/v1/requests",
            json!({
                "requestId": "r", "operation": "fraud", "customerId": "c", "externalId": "e",
                "context": {"ticket": 7},
            }),
            201,
        )
        .request(
            "r",
            json!({
                "state": "completed", "settledBy": "webhook", "operation": "fraud", "externalId": "e",
                "context": {"ticket": 7},
            }),
        );
}

#[test]
fn registering_again_fills_in_and_erases_nothing() {
    let story = Story::new()
        .control(
            "/v1/requests",
            json!({"requestId": "r", "operation": "fraud", "context": {"a": 1}, "externalId": "e"}),
            201,
        )
        .control(
            "/v1/requests",
            json!({"requestId": "r", "operation": "fraud", "customerId": "c"}),
            200,
        )
        .control("/v1/requests", registration("r", "fraud", "c"), 200)
        .request(
            "r",
            json!({"customerId": "c", "externalId": "e", "context": {"a": 1}, "state": "pending"}),
        );
    let noted = events(story.daemon(), "source=control");
    assert_eq!(noted.len(), 3, "{noted:?}");
    assert_eq!(noted[0]["event"], "request.registered");
    assert_eq!(noted[0]["disposition"], "applied");
    assert_eq!(noted[0]["origin"], "api");
    assert_eq!(noted[0]["originEvidence"], "request_id");
}

#[test]
fn another_operation_or_customer_is_a_conflict() {
    Story::new()
        .control("/v1/requests", registration("r", "fraud", "c"), 201)
        .control("/v1/requests", registration("r", "document", "c"), 409)
        .control("/v1/requests", registration("r", "fraud", "d"), 409)
        .request("r", json!({"operation": "fraud", "customerId": "c"}));
}

#[test]
fn registration_without_sense_is_refused() {
    let long = "x".repeat(5000);
    Story::new()
        .control("/v1/requests", json!({"operation": "fraud"}), 400)
        .control(
            "/v1/requests",
            json!({"requestId": "", "operation": "fraud"}),
            400,
        )
        .control("/v1/requests", json!({"requestId": "r"}), 400)
        .control(
            "/v1/requests",
            json!({"requestId": "r", "operation": "dance"}),
            400,
        )
        .control("/v1/requests", json!([]), 400)
        .control(
            "/v1/requests",
            json!({"requestId": "r", "operation": "fraud", "context": {"long": long}}),
            400,
        )
        .no_request("r");
}

#[test]
fn context_comes_back_untouched() {
    let story = Story::new();
    let context = r#"{"z":1,"a":2.50,"n":12345678901234567890}"#;
    let body = format!(r#"{{"requestId":"r","operation":"fraud","context":{context}}}"#);
    let answer = story
        .daemon()
        .controller()
        .call("POST", "/v1/requests", &[], Some(body.as_bytes()))
        .unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    let row = story.row("requests", "r").text();
    assert!(row.contains(context), "{row}");
}

#[test]
fn expected_types_keep_a_request_open() {
    Story::new()
        .control(
            "/v1/requests",
            json!({"requestId": "r", "operation": "onboard", "customerId": "c", "expects": ["kyc", "fraud"]}),
            201,
        )
        .post(run("c", "r", "kyc", "completed"))
        .request("r", json!({"state": "in_progress", "expects": ["kyc", "fraud"]}))
        .post(run("c", "r", "fraud", "completed"))
        .request("r", json!({"state": "completed"}));
}

#[test]
fn c6_registered_request_explains_an_evaluation_without_request_id() {
    Story::new()
        .control("/v1/requests", registration(FRAUD_CHECK, "fraud", ADA), 201)
        .post(sample("webhook-evaluation-fraud-completed.json"))
        .origin(1, "api", "pending_request")
        .event(1, json!({"requestId": FRAUD_CHECK}))
        .request(
            FRAUD_CHECK,
            json!({"state": "completed", "settledBy": "inferred"}),
        );
}

#[test]
fn c6_two_registered_requests_explain_nothing() {
    Story::new()
        .control("/v1/requests", registration("r1", "fraud", ADA), 201)
        .control("/v1/requests", registration("r2", "fraud", ADA), 201)
        .post(sample("webhook-evaluation-fraud-completed.json"))
        .origin(1, "dashboard", "none")
        .request("r1", json!({"state": "pending"}))
        .request("r2", json!({"state": "pending"}));
}

#[test]
fn c6_operation_implies_the_evaluation_type() {
    Story::new()
        .control("/v1/requests", registration("o", "onboard", "c"), 201)
        .control("/v1/requests", registration("d", "document", "c"), 201)
        .post(evaluation("c", "fraud", "completed"))
        .origin(1, "dashboard", "none")
        .post(evaluation("c", "document", "completed"))
        .event(
            2,
            json!({"originEvidence": "pending_request", "requestId": "d"}),
        )
        .post(evaluation("c", "kyc", "completed"))
        .event(
            3,
            json!({"originEvidence": "pending_request", "requestId": "o"}),
        );
}

#[test]
fn c7_own_flag_call_explains_one_flag_event() {
    Story::new()
        .post(onboard(BEN, "APPROVED", "PASSED"))
        .control("/v1/flags", json!({"customerId": BEN, "flag": true}), 200)
        .post(sample("webhook-flag-set.json"))
        .origin(2, "api", "own_flag_call")
        .post(with(
            flag(BEN, true),
            json!({"uri": "https://app.waldo.ai/again"}),
        ))
        .origin(3, "dashboard", "none");
}

#[test]
fn c7_own_flag_call_of_another_value_or_customer_explains_nothing() {
    Story::new()
        .post(onboard(BEN, "APPROVED", "PASSED"))
        .control("/v1/flags", json!({"customerId": BEN, "flag": true}), 200)
        .post(sample("webhook-flag-cleared.json"))
        .origin(2, "dashboard", "none")
        .post(flag(ADA, true))
        .origin(3, "dashboard", "none")
        .post(sample("webhook-flag-set.json"))
        .origin(4, "api", "own_flag_call");
}

#[test]
fn settlement_by_hand_is_manual() {
    let story = Story::new()
        .control("/v1/requests", registration("r", "fraud", "c"), 201)
        .control(
            "/v1/requests/r/settle",
            json!({"state": "completed", "note": "seen on the dashboard"}),
            200,
        )
        .request("r", json!({"state": "completed", "settledBy": "manual"}));
    let names: Vec<Value> = events(story.daemon(), "source=control")
        .into_iter()
        .map(|event| event["event"].clone())
        .collect();
    assert_eq!(names, ["request.registered", "request.settled"]);
}

#[test]
fn control_socket_is_for_owner_and_group_only() {
    let story = Story::new();
    assert_eq!(mode(&story.daemon().place().control()), 0o660);
}
