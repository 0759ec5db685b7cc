//! What a body is read as: words in any case, wrong types, empty ids, unknown words.

use serde_json::{Value, json};

use crate::common::bodies::*;
use crate::story::Story;

#[test]
fn event_has_every_member() {
    let story = Story::new().post(sample("webhook-evaluation-fraud-initiated.json"));
    let answer = story
        .daemon()
        .get_at(&format!("/v1/events/{}", story.seq(1)), story.seq(1));
    let event = answer.json();
    for member in [
        "seq",
        "receivedAt",
        "source",
        "event",
        "customerId",
        "externalId",
        "requestId",
        "evaluation",
        "origin",
        "originEvidence",
        "disposition",
        "duplicateOf",
        "problems",
        "digest",
        "chain",
        "changes",
        "payload",
    ] {
        assert!(event.get(member).is_some(), "no {member} in {event}");
    }
    assert_eq!(event["seq"], story.seq(1));
    assert_eq!(
        event["evaluation"],
        json!({"type": "fraud", "status": "initiated"})
    );
    assert_eq!(event["payload"]["requestId"], FRAUD_CHECK);
    assert_eq!(event["chain"].as_str().map(str::len), Some(64), "{event}");
    let at = event["receivedAt"].as_str().unwrap_or_default();
    assert!(
        at.ends_with('Z') && at.len() == 24,
        "no time in milliseconds: {at}"
    );
}

#[test]
fn digest_is_the_sha256_of_the_body() {
    use sha2::{Digest, Sha256};
    let body = sample("webhook-flag-set.json");
    let digest = hex::encode(Sha256::digest(&body));
    Story::new().post(body).event(1, json!({"digest": digest}));
}

#[test]
fn customer_has_every_member() {
    let story = Story::new().post(sample("webhook-flag-set.json"));
    let row = story.row("customers", BEN).json();
    for member in [
        "customerId",
        "externalId",
        "uri",
        "status",
        "kyc",
        "fraudScore",
        "flagged",
        "warnings",
        "warningTags",
        "evaluations",
        "decidedBy",
        "firstSeenAt",
        "updatedAt",
        "lastSeq",
        "version",
    ] {
        assert!(row.get(member).is_some(), "no {member} in {row}");
    }
    let at = story.daemon().event(story.seq(1))["receivedAt"].clone();
    assert_eq!(row["firstSeenAt"], at);
    assert_eq!(row["updatedAt"], at);
}

#[test]
fn request_has_every_member() {
    let story = Story::new().post(sample(
        "webhook-evaluation-fraud-completed-with-requestid-inferred.json",
    ));
    let row = story.row("requests", FRAUD_CHECK).json();
    for member in [
        "requestId",
        "operation",
        "customerId",
        "externalId",
        "state",
        "evaluations",
        "expects",
        "settledBy",
        "overdue",
        "registeredAt",
        "firstEventAt",
        "settledAt",
        "deadlineAt",
        "context",
        "events",
    ] {
        assert!(row.get(member).is_some(), "no {member} in {row}");
    }
    let at = story.daemon().event(story.seq(1))["receivedAt"].clone();
    assert_eq!(row["firstEventAt"], at);
    assert_eq!(row["settledAt"], at);
    assert_eq!(row["events"], json!([story.seq(1)]));
}

#[test]
fn words_are_read_whatever_their_case() {
    Story::new()
        .post(json!({
            "event": "EVALUATION", "requestId": "r1", "customerId": "case",
            "evaluation": {"type": "Fraud", "status": "COMPLETED"},
            "validation": {"status": "approved", "kyc": "Passed", "fraudScore": 0},
        }))
        .applied(1)
        .event(1, json!({"event": "EVALUATION", "problems": []}))
        .customer(
            "case",
            json!({
                "status": "APPROVED", "kyc": "PASSED", "fraudScore": 0,
                "evaluations": {"fraud": {"status": "completed"}},
            }),
        )
        .request(
            "r1",
            json!({"state": "completed", "evaluations": {"fraud": "completed"}}),
        )
        .post(onboard("other", "aCcEpTeD", "accepted"))
        .customer("other", json!({"status": "APPROVED", "kyc": "PASSED"}))
        .post(json!({"event": "Flag", "flag": true, "customerId": "case"}))
        .applied(3)
        .customer("case", json!({"flagged": true}))
        .post(
            json!({"event": "ONBOARD", "customerId": "case", "validation": {"status": "Rejected"}}),
        )
        .applied(4)
        .customer("case", json!({"status": "REJECTED"}));
}

#[test]
fn unknown_status_and_kyc_words_are_kept_as_they_are() {
    Story::new()
        .post(onboard("words", "On_Hold", "Escalated"))
        .applied(1)
        .customer("words", json!({"status": "On_Hold", "kyc": "Escalated"}));
}

/// A body with one member of the wrong type, and the rest right.
fn crooked(customer: &str, member: &str, value: Value) -> Value {
    let whole = json!({
        "event": "evaluation", "requestId": format!("r-{customer}"), "customerId": customer,
        "externalId": "ext", "uri": "https://app.waldo.ai/x",
        "evaluation": {"type": "fraud", "status": "completed"},
        "validation": {
            "status": "APPROVED", "kyc": "PASSED", "fraudScore": 0.5, "fraudFlag": false,
            "warnings": 1, "warningTags": [],
        },
    });
    match member.split_once('.') {
        Some((outer, inner)) => {
            let part = with(whole[outer].clone(), json!({inner: value}));
            with(whole, json!({outer: part}))
        }
        None => with(whole, json!({member: value})),
    }
}

#[test]
fn member_of_the_wrong_type_is_absent_and_the_rest_counts() {
    let cases = [
        ("externalId", json!(42), "externalId"),
        ("uri", json!(5), "uri"),
        ("validation.status", json!(1), "status"),
        ("validation.kyc", json!({}), "kyc"),
        ("validation.fraudScore", json!("0.5"), "fraudScore"),
        ("validation.fraudFlag", json!("yes"), "fraudFlag"),
        ("validation.warnings", json!("2"), "warnings"),
        ("validation.warningTags", json!(3), "warningTags"),
    ];
    let mut story = Story::new();
    for (index, (member, value, name)) in cases.into_iter().enumerate() {
        let customer = format!("crooked-{index}");
        let absent = match name {
            "fraudFlag" => "flagged",
            other => other,
        };
        let mut expected = json!({
            "externalId": "ext", "uri": "https://app.waldo.ai/x", "status": "APPROVED", "kyc": "PASSED",
            "fraudScore": 0.5, "flagged": false, "warnings": 1,
            "evaluations": {"fraud": {"status": "completed"}},
        });
        // Tags that were never heard of may be null or an empty list.
        if name != "warningTags" {
            expected[absent] = Value::Null;
        }
        story = story
            .post(crooked(&customer, member, value))
            .applied(index + 1)
            .problem(index + 1, name)
            .customer(&customer, expected);
    }
}

#[test]
fn validation_of_the_wrong_type_leaves_ids_and_evaluation() {
    Story::new()
        .post(crooked("v", "validation", json!(["APPROVED"])))
        .applied(1)
        .problem(1, "validation")
        .customer("v", json!({"status": null, "externalId": "ext"}))
        .request("r-v", json!({"state": "completed"}));
}

#[test]
fn evaluation_of_the_wrong_type_is_absent() {
    Story::new()
        .post(crooked("whole", "evaluation", json!("fraud")))
        .problem(1, "evaluation")
        .event(1, json!({"evaluation": null}))
        .customer("whole", json!({"evaluations": {"fraud": null}}))
        .post(crooked("type", "evaluation.type", json!(7)))
        .problem(2, "type")
        .post(crooked("status", "evaluation.status", json!(true)))
        .problem(3, "status");
}

#[test]
fn flag_of_the_wrong_type_sets_nothing() {
    Story::new()
        .post(json!({"event": "flag", "flag": "true", "customerId": "f", "externalId": "e"}))
        .problem(1, "flag")
        .customer("f", json!({"flagged": null, "externalId": "e"}));
}

#[test]
fn request_id_of_the_wrong_type_is_absent() {
    Story::new()
        .post(with(
            evaluation("rid", "fraud", "completed"),
            json!({"requestId": 1234567890}),
        ))
        .problem(1, "requestId")
        .event(
            1,
            json!({"requestId": null, "origin": "dashboard", "originEvidence": "none"}),
        )
        .no_request("1234567890");
}

#[test]
fn customer_id_of_the_wrong_type_leaves_the_event_unrecognised() {
    Story::new()
        .post(json!({"event": "flag", "flag": true, "customerId": 42}))
        .problem(1, "customerId")
        .event(
            1,
            json!({"disposition": "unrecognised", "customerId": null}),
        )
        .no_customer("42");
}

#[test]
fn event_name_of_the_wrong_type_leaves_the_event_unrecognised() {
    Story::new()
        .post(json!({"event": 7, "customerId": "e"}))
        .problem(1, "event")
        .event(1, json!({"disposition": "unrecognised", "event": null}))
        .no_customer("e");
}

#[test]
fn score_outside_zero_to_one_is_absent() {
    let mut story = Story::new();
    for (index, score) in [json!(1.01), json!(-0.1), json!(74)]
        .into_iter()
        .enumerate()
    {
        let customer = format!("score-{index}");
        story = story
            .post(crooked(&customer, "validation.fraudScore", score))
            .problem(index + 1, "fraudScore")
            .customer(&customer, json!({"fraudScore": null, "status": "APPROVED"}));
    }
    story
        .post(crooked("one", "validation.fraudScore", json!(1)))
        .no_problems(4)
        .customer("one", json!({"fraudScore": 1}));
}

#[test]
fn empty_and_null_ids_are_absent() {
    Story::new()
        .post(json!({
            "event": "evaluation", "customerId": "ids", "requestId": "", "externalId": "",
            "evaluation": {"type": "fraud", "status": "completed"},
        }))
        .event(
            1,
            json!({"requestId": null, "externalId": null, "origin": "dashboard", "originEvidence": "none"}),
        )
        .customer("ids", json!({"externalId": null}))
        .post(json!({
            "event": "flag", "flag": true, "customerId": "ids", "requestId": null, "externalId": null,
        }))
        .event(2, json!({"requestId": null, "disposition": "applied"}))
        .post(json!({"event": "flag", "flag": true, "customerId": ""}))
        .event(3, json!({"customerId": null, "disposition": "unrecognised"}))
        .post(json!({"event": "flag", "flag": true, "customerId": null}))
        .event(4, json!({"customerId": null, "disposition": "unrecognised"}));
}

#[test]
fn empty_external_id_does_not_erase_a_known_one() {
    Story::new()
        .post(with(flag("e", true), json!({"externalId": "known"})))
        .post(with(flag("e", false), json!({"externalId": ""})))
        .post(with(flag("e", true), json!({"externalId": null})))
        .customer("e", json!({"externalId": "known", "flagged": true}));
}

#[test]
fn ids_are_opaque_text_of_any_length() {
    let long = "ä/ ?#%".repeat(400);
    let request = "R".repeat(3000);
    Story::new()
        .post(run(&long, &request, "fraud", "completed"))
        .applied(1)
        .event(1, json!({"customerId": long, "requestId": request}))
        .post(flag(" padded ", true))
        .customer(" padded ", json!({"flagged": true}))
        .no_customer("padded")
        .post(flag("Case", true))
        .no_customer("case");
}
