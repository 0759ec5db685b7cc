//! Where Waldo's pages contradict each other a tolerant reading is promised.

use serde_json::{Value, json};

use crate::common::bodies::*;
use crate::story::Story;

#[test]
fn c2_accepted_is_approved_as_status_and_passed_as_kyc() {
    Story::new()
        .post(onboard("c2", "ACCEPTED", "ACCEPTED"))
        .customer("c2", json!({"status": "APPROVED", "kyc": "PASSED"}))
        .event(1, json!({"problems": []}))
        .post(onboard("c2", "APPROVED", "PASSED"))
        .applied(2)
        .changes_nothing(2)
        .customer("c2", json!({"version": 1}));
}

#[test]
fn c3_pending_and_review_are_both_undecided_words() {
    Story::new()
        .post(onboard("c3", "pending", "pending"))
        .customer("c3", json!({"status": "PENDING", "kyc": "PENDING"}))
        .post(onboard("c3", "REVIEW", "REVIEW"))
        .customer("c3", json!({"status": "REVIEW", "kyc": "REVIEW"}));
}

#[test]
fn c4_zero_score_is_unknown_until_a_fraud_evaluation_completed() {
    let zero = json!({"status": "REVIEW", "kyc": "PASSED", "fraudScore": 0});
    let body = |kind: &str, status: &str| {
        with(
            run("c4", "r4", kind, status),
            json!({"validation": zero.clone()}),
        )
    };
    Story::new()
        .post(with(
            onboard("c4", "REVIEW", "PASSED"),
            json!({"validation": zero}),
        ))
        .customer("c4", json!({"fraudScore": null}))
        .no_problems(1)
        .post(body("kyc", "completed"))
        .customer("c4", json!({"fraudScore": null}))
        .post(body("fraud", "initiated"))
        .customer("c4", json!({"fraudScore": null}))
        .post(body("fraud", "in_progress"))
        .customer("c4", json!({"fraudScore": null}))
        .post(body("fraud", "completed"))
        .changed(5, "fraudScore", Value::Null, json!(0))
        .customer("c4", json!({"fraudScore": 0}));
}

#[test]
fn c4_zero_score_does_not_erase_a_known_one() {
    let score = |score: f64| json!({"event": "onboard", "customerId": "c4", "validation": {"fraudScore": score}});
    Story::new()
        .post(score(0.74))
        .post(score(0.0))
        .customer("c4", json!({"fraudScore": 0.74}));
}

#[test]
fn c5_onboard_of_an_api_run_is_told_apart_by_its_request_id() {
    Story::new()
        .post(sample("webhook-onboard-api-initiated.json"))
        .origin(1, "api", "request_id")
        .post(sample("webhook-onboard-dashboard.json"))
        .origin(2, "dashboard", "none");
}

#[test]
fn c6_fraud_completed_without_request_id_is_tied_to_the_open_request() {
    Story::new()
        .post(sample("webhook-evaluation-fraud-initiated.json"))
        .post(sample("webhook-evaluation-fraud-completed.json"))
        .event(
            2,
            json!({
                "origin": "api", "originEvidence": "pending_request", "requestId": FRAUD_CHECK,
                "disposition": "applied",
            }),
        )
        .customer(
            ADA,
            json!({
                "fraudScore": 0.58,
                "evaluations": {"fraud": {"status": "completed", "requestId": FRAUD_CHECK}},
            }),
        )
        .request(
            FRAUD_CHECK,
            json!({"state": "completed", "settledBy": "inferred", "events": ["#1", "#2"]}),
        );
}

#[test]
fn c6_fraud_completed_without_request_id_and_open_request_is_the_dashboards() {
    Story::new()
        .post(sample("webhook-evaluation-fraud-completed.json"))
        .origin(1, "dashboard", "none")
        .event(1, json!({"requestId": null, "disposition": "applied"}))
        .customer(
            ADA,
            json!({"status": "APPROVED", "fraudScore": 0.58, "decidedBy": "dashboard"}),
        );
}

#[test]
fn c7_flag_event_without_an_own_call_is_the_dashboards() {
    Story::new()
        .post(sample("webhook-onboard-api-initiated.json"))
        .post(flag(CAY, true))
        .origin(2, "dashboard", "none")
        .customer(CAY, json!({"flagged": true}));
}

#[test]
fn c8_warning_tags_are_one_shape_from_array_object_or_nothing() {
    let tagged = |customer: &str, tags: Value| {
        with(
            run(customer, &format!("r-{customer}"), "fraud", "completed"),
            json!({"validation": {"warningTags": tags}}),
        )
    };
    let one = json!({"tag": "ssn", "label": "SSN check", "passed": false});
    let two = json!({"tag": "address", "label": "Address check", "passed": true});
    let expected = [("ssn", false, false), ("address", true, false)];
    Story::new()
        .post(tagged("array", json!([one, two])))
        .tags("array", &expected)
        .no_problems(1)
        .post(tagged("object", json!({"ssn": one, "address": two})))
        .tags("object", &expected)
        .no_problems(2)
        .post(run("array", "later", "fraud", "completed"))
        .tags("array", &expected)
        .post(tagged("none", json!([])))
        .tags("none", &[])
        .no_problems(4);
}

#[test]
fn c9_external_id_counts_and_entity_id_does_not() {
    Story::new()
        .post(with(flag("c9", true), json!({"entityId": "entity"})))
        .no_problems(1)
        .customer("c9", json!({"externalId": null}))
        .post(with(
            flag("c9", false),
            json!({"entityId": "entity", "externalId": "external"}),
        ))
        .customer("c9", json!({"externalId": "external"}));
}

#[test]
fn c10_ip_address_of_any_type_is_no_problem() {
    Story::new()
        .post(with(flag("c10", true), json!({"ipAddress": true})))
        .no_problems(1)
        .post(with(
            flag("c10", false),
            json!({"ipAddress": {"valid": true, "value": "192.0.2.1"}}),
        ))
        .no_problems(2);
}

#[test]
fn c11_validation_is_optional() {
    Story::new()
        .post(run("c11", "r11", "fraud", "initiated"))
        .applied(1)
        .no_problems(1)
        .customer(
            "c11",
            json!({"status": null, "kyc": null, "fraudScore": null}),
        );
}

#[test]
fn c13_uri_is_kept_as_it_came_and_names_nobody() {
    let uri = "https://waldo.ai/customers//somebody-else";
    Story::new()
        .post(with(flag("c13", true), json!({"uri": uri})))
        .no_problems(1)
        .customer("c13", json!({"uri": uri}))
        .no_customer("somebody-else")
        .post(json!({"event": "flag", "flag": true, "uri": uri}))
        .event(
            2,
            json!({"disposition": "unrecognised", "customerId": null}),
        );
}

#[test]
fn c14_status_and_kyc_are_independent() {
    Story::new()
        .post(onboard("c14", "APPROVED", "REJECTED"))
        .no_problems(1)
        .customer("c14", json!({"status": "APPROVED", "kyc": "REJECTED"}))
        .post(json!({"event": "onboard", "customerId": "c14", "validation": {"kyc": "PASSED"}}))
        .customer("c14", json!({"status": "APPROVED", "kyc": "PASSED"}))
        .post(
            json!({"event": "onboard", "customerId": "c14", "validation": {"status": "REJECTED"}}),
        )
        .customer("c14", json!({"status": "REJECTED", "kyc": "PASSED"}));
}

#[test]
fn c16_flag_and_flagged_set_the_flag() {
    Story::new()
        .post(json!({"event": "flag", "flagged": true, "customerId": "c16"}))
        .no_problems(1)
        .customer("c16", json!({"flagged": true}))
        .post(flag("c16", false))
        .customer("c16", json!({"flagged": false}));
}

#[test]
fn c16_fraud_flag_only_fills_an_unknown_flag() {
    let snapshot = |request: &str, value: bool| {
        with(
            run("c16", request, "fraud", "completed"),
            json!({"validation": {"fraudFlag": value}}),
        )
    };
    Story::new()
        .post(snapshot("r1", true))
        .customer("c16", json!({"flagged": true}))
        .post(snapshot("r2", false))
        .customer("c16", json!({"flagged": true}))
        .post(flag("c16", false))
        .post(snapshot("r3", true))
        .customer("c16", json!({"flagged": false}));
}

#[test]
fn c16_fraud_report_and_fraud_check_derive_nothing() {
    Story::new()
        .post(json!({
            "event": "onboard", "customerId": "c16",
            "validation": {"status": "REVIEW", "fraudReport": true, "fraudCheck": true},
        }))
        .no_problems(1)
        .customer("c16", json!({"flagged": null, "fraudScore": null}));
}
