//! applied, duplicate, stale, unrecognised, quarantined: when, and that all of them are kept.

use serde_json::json;

use crate::common::bodies::*;
use crate::story::Story;

#[test]
fn same_body_with_request_id_is_a_duplicate_for_ever() {
    let completed = "webhook-onboard-api-completed-with-validation-inferred.json";
    Story::new()
        .post(sample(completed))
        .post(sample(completed))
        .duplicate(2, 1)
        .origin(2, "api", "request_id")
        .post(onboard(CAY, "REJECTED", "PASSED"))
        .post(sample("webhook-evaluation-fraud-initiated.json"))
        .post(sample(completed))
        .duplicate(5, 1)
        .customer(CAY, json!({"status": "REJECTED", "lastSeq": "#3"}));
}

#[test]
fn repeated_earlier_phase_is_a_duplicate_and_steps_nothing_back() {
    Story::new()
        .post(sample("webhook-evaluation-fraud-initiated.json"))
        .post(sample("webhook-evaluation-fraud-failed-inferred.json"))
        .post(sample("webhook-evaluation-fraud-initiated.json"))
        .duplicate(3, 1)
        .request(FRAUD_CHECK, json!({"state": "failed"}));
}

#[test]
fn same_meaning_in_other_bytes_is_no_duplicate() {
    Story::new()
        .post(r#"{"event":"flag","flag":true,"customerId":"c"}"#)
        .post(r#"{"event":"flag", "flag":true, "customerId":"c"}"#)
        .applied(2)
        .changes_nothing(2);
}

#[test]
fn same_body_without_request_id_repeats_the_latest_of_its_kind() {
    Story::new()
        .post(flag("c", true))
        .post(flag("c", true))
        .duplicate(2, 1)
        .post(flag("c", true))
        .duplicate(3, 1)
        .origin(3, "dashboard", "none");
}

#[test]
fn flag_set_cleared_and_set_again_is_three_events() {
    Story::new()
        .post(sample("webhook-flag-set.json"))
        .post(sample("webhook-flag-cleared.json"))
        .post(sample("webhook-flag-set.json"))
        .applied(1)
        .applied(2)
        .applied(3)
        .customer(BEN, json!({"flagged": true, "version": 3}));
}

#[test]
fn approved_rejected_and_approved_again_is_three_events() {
    Story::new()
        .post(sample("webhook-onboard-dashboard.json"))
        .post(sample("webhook-onboard-dashboard-rejected.json"))
        .post(sample("webhook-onboard-dashboard.json"))
        .applied(3)
        .customer(ADA, json!({"status": "APPROVED", "version": 3}));
}

#[test]
fn another_kind_between_does_not_hide_a_repetition() {
    Story::new()
        .post(flag("c", true))
        .post(onboard("c", "APPROVED", "PASSED"))
        .post(flag("c", true))
        .duplicate(3, 1);
}

#[test]
fn another_customers_event_does_not_hide_a_repetition() {
    Story::new()
        .post(flag("c", true))
        .post(flag("d", false))
        .post(flag("c", true))
        .duplicate(3, 1);
}

#[test]
fn evaluation_type_is_part_of_the_kind() {
    Story::new()
        .post(evaluation("c", "fraud", "completed"))
        .post(evaluation("c", "document", "completed"))
        .post(evaluation("c", "fraud", "completed"))
        .duplicate(3, 1);
}

#[test]
fn duplicate_without_request_id_takes_over_the_tied_request() {
    Story::new()
        .post(sample("webhook-evaluation-fraud-initiated.json"))
        .post(sample("webhook-evaluation-fraud-completed.json"))
        .post(sample("webhook-evaluation-fraud-completed.json"))
        .duplicate(3, 2)
        .origin(3, "api", "pending_request")
        .event(3, json!({"requestId": FRAUD_CHECK}));
}

#[test]
fn late_initiated_is_stale() {
    Story::new()
        .post(sample(
            "webhook-onboard-api-completed-with-validation-inferred.json",
        ))
        .post(sample("webhook-onboard-api-initiated.json"))
        .stale(2)
        .origin(2, "api", "request_id")
        .post(sample("webhook-onboard-api-in-progress-inferred.json"))
        .stale(3)
        .customer(
            CAY,
            json!({
                "status": "APPROVED", "fraudScore": 0.93, "version": 1,
                "evaluations": {"fraud": {"status": "completed"}},
            }),
        )
        .request(
            ONBOARDING,
            json!({"state": "completed", "evaluations": {"fraud": "completed"}}),
        );
}

#[test]
fn initiated_after_in_progress_is_stale() {
    Story::new()
        .post(run("c", "r", "fraud", "in_progress"))
        .post(run("c", "r", "fraud", "initiated"))
        .stale(2)
        .request("r", json!({"evaluations": {"fraud": "in_progress"}}));
}

#[test]
fn in_progress_after_failed_is_stale() {
    Story::new()
        .post(run("c", "r", "fraud", "failed"))
        .post(run("c", "r", "fraud", "in_progress"))
        .stale(2)
        .request("r", json!({"state": "failed"}));
}

#[test]
fn completed_and_failed_have_one_rank_and_the_later_one_counts() {
    Story::new()
        .post(run("c", "r", "fraud", "failed"))
        .post(run("c", "r", "fraud", "completed"))
        .applied(2)
        .request("r", json!({"state": "completed"}))
        .post(run("d", "s", "fraud", "completed"))
        .post(run("d", "s", "fraud", "failed"))
        .applied(4)
        .request("s", json!({"state": "failed"}));
}

#[test]
fn unknown_status_ranks_as_in_progress() {
    Story::new()
        .post(run("c", "r", "fraud", "paused"))
        .applied(1)
        .post(run("c", "r", "fraud", "initiated"))
        .stale(2)
        .post(run("c", "r", "fraud", "completed"))
        .applied(3)
        .post(run("c", "r", "fraud", "resumed"))
        .stale(4)
        .request("r", json!({"state": "completed"}));
}

#[test]
fn staleness_is_of_one_request_and_one_type() {
    Story::new()
        .post(run("c", "r1", "fraud", "completed"))
        .post(run("c", "r2", "fraud", "initiated"))
        .applied(2)
        .post(run("c", "r1", "document", "initiated"))
        .applied(3)
        .customer(
            "c",
            json!({"evaluations": {"fraud": {"status": "initiated", "requestId": "r2"}}}),
        );
}

#[test]
fn late_in_progress_without_request_id_is_stale() {
    Story::new()
        .post(evaluation("c", "fraud", "completed"))
        .post(evaluation("c", "fraud", "in_progress"))
        .stale(2)
        .customer(
            "c",
            json!({"evaluations": {"fraud": {"status": "completed"}}}),
        );
}

#[test]
fn late_in_progress_after_a_tied_outcome_is_stale() {
    Story::new()
        .post(sample("webhook-evaluation-fraud-initiated.json"))
        .post(sample("webhook-evaluation-fraud-completed.json"))
        .post(evaluation(ADA, "fraud", "in_progress"))
        .stale(3)
        .request(FRAUD_CHECK, json!({"state": "completed"}));
}

#[test]
fn initiated_without_request_id_after_an_outcome_begins_a_new_run() {
    let completed = |score: f64| {
        with(
            evaluation("c", "fraud", "completed"),
            json!({"validation": {"fraudScore": score}}),
        )
    };
    Story::new()
        .post(completed(0.2))
        .post(evaluation("c", "fraud", "initiated"))
        .applied(2)
        .customer(
            "c",
            json!({"evaluations": {"fraud": {"status": "initiated"}}}),
        )
        .post(evaluation("c", "fraud", "in_progress"))
        .applied(3)
        .post(completed(0.8))
        .applied(4)
        .customer(
            "c",
            json!({"fraudScore": 0.8, "evaluations": {"fraud": {"status": "completed"}}}),
        );
}

#[test]
fn initiated_without_request_id_during_a_run_is_stale() {
    Story::new()
        .post(evaluation("c", "fraud", "in_progress"))
        .post(evaluation("c", "fraud", "initiated"))
        .stale(2);
}

#[test]
fn event_without_customer_is_unrecognised() {
    Story::new()
        .post(json!({"event": "flag", "flag": true}))
        .event(
            1,
            json!({"disposition": "unrecognised", "event": "flag", "origin": "dashboard", "originEvidence": "none"}),
        )
        .post(json!({}))
        .event(2, json!({"disposition": "unrecognised", "event": null}))
        .post(json!({"test": true}))
        .event(3, json!({"disposition": "unrecognised"}));
}

#[test]
fn unknown_event_is_unrecognised_and_creates_no_customer() {
    let story = Story::new()
        .post(json!({"event": "profile.updated", "customerId": "u", "externalId": "e"}))
        .event(
            1,
            json!({"disposition": "unrecognised", "event": "profile.updated", "customerId": "u"}),
        )
        .post(onboard("other", "APPROVED", "PASSED"))
        .no_customer("u");
    let named = story
        .daemon()
        .get_at("/v1/customers/u/events", story.seq(1))
        .items();
    assert_eq!(named.len(), 1, "{named:?}");
    assert_eq!(named[0]["seq"], story.seq(1));
}

#[test]
fn unknown_event_fills_only_unknown_ids() {
    Story::new()
        .post(onboard("u", "APPROVED", "PASSED"))
        .post(json!({
            "event": "profile.updated", "customerId": "u", "externalId": "e", "flag": true,
            "validation": {"status": "REJECTED", "warnings": 3},
        }))
        .event(2, json!({"disposition": "unrecognised"}))
        .customer(
            "u",
            json!({"externalId": "e", "status": "APPROVED", "flagged": null, "warnings": null}),
        )
        .post(json!({"event": "profile.updated", "customerId": "u", "externalId": "other"}))
        .customer("u", json!({"externalId": "e"}));
}

#[test]
fn unrecognised_and_quarantined_are_never_duplicates() {
    Story::new()
        .post(json!({"event": "novel", "customerId": "u", "requestId": "r"}))
        .post(json!({"event": "novel", "customerId": "u", "requestId": "r"}))
        .event(
            2,
            json!({"disposition": "unrecognised", "duplicateOf": null}),
        )
        .post("no json")
        .post("no json")
        .quarantined(3)
        .quarantined(4);
}

#[test]
fn what_is_no_json_object_is_quarantined() {
    let bodies: [&[u8]; 13] = [
        b"",
        b" ",
        b"hello",
        b"[]",
        b"[{\"event\":\"flag\",\"flag\":true,\"customerId\":\"c\"}]",
        b"null",
        b"42",
        b"\"text\"",
        b"{\"event\":\"flag\"",
        b"{\"event\":\"flag\",\"flag\":true,\"customerId\":\"c\"} trailing",
        b"{'event':'flag'}",
        b"{\"event\":\"flag\",\"customerId\":\"\xff\xfe\"}",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03junk",
    ];
    let mut story = Story::new();
    for (index, body) in bodies.into_iter().enumerate() {
        story = story.post(body).quarantined(index + 1);
    }
    story.no_customer("c");
}
