//! Every documented webhook shape, on its own and in the order in which Waldo sends them.

use serde_json::json;

use crate::common::Daemon;
use crate::common::bodies::*;
use crate::story::Story;

#[test]
fn every_sample_is_applied_without_a_problem() {
    let mut names: Vec<String> = std::fs::read_dir(payload_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("webhook-"))
        .collect();
    names.sort();
    assert!(names.len() >= 16, "fixtures are missing: {names:?}");
    for name in names {
        let daemon = Daemon::start();
        let body = sample(&name);
        let seq = daemon.deliver(body.as_slice());
        let event = daemon.event(seq);
        assert_eq!(event["disposition"], "applied", "{name}: {event}");
        assert_eq!(event["problems"], json!([]), "{name}: {event}");
        assert_eq!(event["source"], "webhook", "{name}: {event}");
        assert_eq!(daemon.payload(seq), body, "{name}");
    }
}

#[test]
fn dashboard_onboard_sets_the_customer() {
    Story::new()
        .post(sample("webhook-onboard-dashboard.json"))
        .event(
            1,
            json!({
                "event": "onboard", "source": "webhook", "customerId": ADA, "externalId": "crm-1001",
                "requestId": null, "evaluation": null, "origin": "dashboard", "originEvidence": "none",
                "disposition": "applied", "duplicateOf": null, "problems": [],
            }),
        )
        .changed(1, "status", json!(null), json!("APPROVED"))
        .changed(1, "kyc", json!(null), json!("PASSED"))
        .changed(1, "fraudScore", json!(null), json!(0.74))
        .customer(
            ADA,
            json!({
                "customerId": ADA, "externalId": "crm-1001", "status": "APPROVED", "kyc": "PASSED",
                "fraudScore": 0.74, "flagged": null, "warnings": null, "decidedBy": "dashboard",
                "uri": "https://app.waldo.ai/customers/71c0de5a19b24f0e83d6a4b1",
                "lastSeq": "#1", "version": 1, "evaluations": {},
            }),
        );
}

#[test]
fn dashboard_rejection_follows_an_approval() {
    Story::new()
        .post(sample("webhook-onboard-dashboard.json"))
        .post(sample("webhook-onboard-dashboard-rejected.json"))
        .applied(2)
        .changed(2, "status", json!("APPROVED"), json!("REJECTED"))
        .changed(2, "fraudScore", json!(0.74), json!(0.21))
        .customer(
            ADA,
            json!({"status": "REJECTED", "kyc": "PASSED", "fraudScore": 0.21, "version": 2, "lastSeq": "#2"}),
        );
}

#[test]
fn older_accepted_onboard_reads_as_approved() {
    Story::new()
        .post(sample("webhook-onboard-dashboard-older-accepted.json"))
        .applied(1)
        .customer(
            BEN,
            json!({"status": "APPROVED", "kyc": "PASSED", "fraudScore": 0.66}),
        );
}

#[test]
fn api_onboard_runs_through_its_three_phases() {
    Story::new()
        .post(sample("webhook-onboard-api-initiated.json"))
        .origin(1, "api", "request_id")
        .customer(
            CAY,
            json!({
                "status": "REVIEW", "kyc": "PENDING", "fraudScore": null, "decidedBy": "api",
                "evaluations": {"fraud": {"status": "initiated", "requestId": ONBOARDING}},
            }),
        )
        .request(
            ONBOARDING,
            json!({
                "requestId": ONBOARDING, "customerId": CAY, "externalId": "crm-1003",
                "state": "in_progress", "evaluations": {"fraud": "initiated"}, "settledBy": null,
                "overdue": false, "registeredAt": null, "settledAt": null, "events": ["#1"],
            }),
        )
        .post(sample("webhook-onboard-api-in-progress-inferred.json"))
        .applied(2)
        .customer(
            CAY,
            json!({
                "status": "REVIEW", "kyc": "PENDING", "fraudScore": null,
                "evaluations": {"fraud": {"status": "in_progress"}},
            }),
        )
        .request(
            ONBOARDING,
            json!({"state": "in_progress", "evaluations": {"fraud": "in_progress"}}),
        )
        .post(sample(
            "webhook-onboard-api-completed-with-validation-inferred.json",
        ))
        .applied(3)
        .customer(
            CAY,
            json!({
                "status": "APPROVED", "kyc": "PASSED", "fraudScore": 0.93, "flagged": false,
                "warnings": 1, "externalId": "crm-1003", "decidedBy": "api",
                "evaluations": {"fraud": {"status": "completed", "requestId": ONBOARDING}},
            }),
        )
        .tags(CAY, &[("ssn", true, false), ("address", false, false)])
        .request(
            ONBOARDING,
            json!({
                "state": "completed", "evaluations": {"fraud": "completed"}, "settledBy": "webhook",
                "events": ["#1", "#2", "#3"],
            }),
        );
}

#[test]
fn completed_onboard_without_validation_settles_and_erases_nothing() {
    Story::new()
        .post(sample("webhook-onboard-api-initiated.json"))
        .post(sample("webhook-onboard-api-completed.json"))
        .applied(2)
        .customer(
            CAY,
            json!({"status": "REVIEW", "kyc": "PENDING", "fraudScore": null, "externalId": "crm-1003"}),
        )
        .request(
            ONBOARDING,
            json!({"state": "completed", "settledBy": "webhook"}),
        );
}

#[test]
fn fraud_check_by_request_id_runs_to_completed() {
    Story::new()
        .post(sample("webhook-evaluation-fraud-initiated.json"))
        .customer(
            ADA,
            json!({"status": "APPROVED", "kyc": "PASSED", "fraudScore": 0.74, "decidedBy": "api"}),
        )
        .post(sample("webhook-evaluation-fraud-in-progress-inferred.json"))
        .applied(2)
        .post(sample(
            "webhook-evaluation-fraud-completed-with-requestid-inferred.json",
        ))
        .applied(3)
        .origin(3, "api", "request_id")
        .changed(3, "fraudScore", json!(0.74), json!(0.58))
        .customer(
            ADA,
            json!({
                "fraudScore": 0.58, "flagged": false, "warnings": 2,
                "evaluations": {"fraud": {"status": "completed", "requestId": FRAUD_CHECK}},
            }),
        )
        .request(
            FRAUD_CHECK,
            json!({"state": "completed", "settledBy": "webhook", "events": ["#1", "#2", "#3"]}),
        );
}

#[test]
fn failed_fraud_check_fails_the_request() {
    Story::new()
        .post(sample("webhook-evaluation-fraud-initiated.json"))
        .post(sample("webhook-evaluation-fraud-failed-inferred.json"))
        .applied(2)
        .customer(
            ADA,
            json!({"status": "APPROVED", "evaluations": {"fraud": {"status": "failed"}}}),
        )
        .request(
            FRAUD_CHECK,
            json!({"state": "failed", "evaluations": {"fraud": "failed"}, "settledBy": "webhook"}),
        );
}

#[test]
fn completed_kyc_without_fraud_check_leaves_the_score_unknown() {
    Story::new()
        .post(sample("webhook-evaluation-kyc-completed-inferred.json"))
        .customer(
            DOT,
            json!({
                "status": "REVIEW", "kyc": "REVIEW", "fraudScore": null,
                "evaluations": {"kyc": {"status": "completed", "requestId": KYC_CHECK}},
            }),
        )
        .request(
            KYC_CHECK,
            json!({"state": "completed", "evaluations": {"kyc": "completed"}}),
        );
}

#[test]
fn completed_document_brings_tags_that_know_their_document() {
    Story::new()
        .post(sample("webhook-evaluation-document-completed.json"))
        .customer(
            ADA,
            json!({
                "status": "APPROVED", "fraudScore": 0.74, "flagged": false, "warnings": 2,
                "evaluations": {"document": {"status": "completed", "requestId": DOCUMENT}},
            }),
        )
        .tags(
            ADA,
            &[
                ("ssn", true, false),
                ("date_of_birth", true, false),
                ("legal_and_regulatory_warnings", true, false),
                ("politically_exposed_person", true, false),
                ("sanction", true, false),
                ("age_validation", false, true),
                ("image_integrity", false, true),
                ("data_comparison", true, true),
                ("data_consistency", true, true),
                ("compromised_document", true, true),
            ],
        )
        .request(DOCUMENT, json!({"state": "completed"}));
}

#[test]
fn flag_is_set_and_cleared_on_the_dashboard() {
    Story::new()
        .post(sample("webhook-flag-set.json"))
        .origin(1, "dashboard", "none")
        .changed(1, "flagged", json!(null), json!(true))
        .customer(
            BEN,
            json!({"flagged": true, "status": null, "externalId": "crm-1002"}),
        )
        .post(sample("webhook-flag-cleared.json"))
        .changed(2, "flagged", json!(true), json!(false))
        .customer(BEN, json!({"flagged": false, "version": 2}));
}
