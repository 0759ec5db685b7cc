//! Customers: who makes them known, and what each source may tell.

use super::*;

#[test]
fn recognised_events_of_every_kind_and_source_make_a_customer_known() {
    for source in [Source::Webhook, Source::Gateway, Source::Poll] {
        for body in [
            onboard("c", "REVIEW"),
            flag("c", true),
            evaluation("c", "fraud", "initiated"),
            json!({"event": "onboard", "customerId": "c"}),
        ] {
            let mut tale = Tale::new();
            let verdict = tale.event(source, &body);
            assert!(verdict.created_customer, "{source}: {body}");
            let customer = tale.customer("c");
            assert_eq!((customer.version, customer.last_seq), (1, Seq(1)));
            assert_eq!(customer.first_seen_at, Timestamp(tale.now));
        }
    }
}

#[test]
fn unrecognised_event_creates_nobody() {
    let mut tale = Tale::new();
    let novel = json!({"event": "novel", "customerId": "c", "externalId": "e", "uri": "u"});
    let verdict = tale.webhook(&novel);
    assert!(!verdict.created_customer && verdict.replaced.is_empty());
    assert_eq!(verdict.customer, Some(1));
    let customer = tale.customer("c");
    assert!(!customer.is_known());
    assert_eq!((&customer.external_id, &customer.uri), (&None, &None));
}

#[test]
fn unrecognised_event_fills_only_unknown_ids_of_the_known() {
    let mut tale = Tale::new();
    tale.webhook(&with(onboard("c", "REVIEW"), json!({"uri": "u"})));
    let novel = json!({
        "event": "novel", "customerId": "c", "externalId": "e", "uri": "other", "flag": true,
        "evaluation": {"type": "fraud", "status": "completed"}, "validation": {"status": "REJECTED", "kyc": "PASSED"},
    });
    let verdict = tale.webhook(&novel);
    assert_eq!(verdict.disposition, Disposition::Unrecognised);
    let fields: Vec<_> = verdict.replaced.iter().map(|value| &value.field).collect();
    assert_eq!(fields, ["externalId"]);
    let customer = tale.customer("c");
    assert_eq!(customer.external_id.as_deref(), Some("e"));
    assert_eq!(customer.uri.as_deref(), Some("u"));
    assert_eq!(customer.status.as_deref(), Some("REVIEW"));
    assert_eq!((&customer.kyc, customer.flagged), (&None, None));
    assert!(customer.evaluations.is_empty());
    assert_eq!((customer.version, customer.last_seq), (2, Seq(2)));
    let again = with(novel, json!({"externalId": "f"}));
    assert!(tale.webhook(&again).replaced.is_empty());
    assert_eq!(tale.customer("c").version, 2);
}

#[test]
fn duplicate_and_stale_events_do_not_touch_the_row() {
    let mut tale = Tale::new();
    tale.webhook(&with(
        run("c", "r", "fraud", "completed"),
        json!({"validation": {"fraudScore": 0.5}}),
    ));
    let before = tale.customer("c").clone();
    let late = with(
        run("c", "r", "fraud", "in_progress"),
        json!({"validation": {"kyc": "PASSED"}, "externalId": "e", "flag": true}),
    );
    for expected in [Disposition::Stale, Disposition::Duplicate] {
        tale.wait(MINUTE);
        let verdict = tale.webhook(&late);
        assert_eq!(verdict.disposition, expected);
        assert!(verdict.replaced.is_empty());
        let mut after = tale.customer("c").clone();
        after.links = before.links;
        assert_eq!(after, before);
    }
}

#[test]
fn status_beside_the_flag_counts_in_waldos_answers_only() {
    let answer = json!({"event": "flag", "customerId": "c", "flagged": true, "status": "REJECTED"});
    for (source, status) in [
        (Source::Gateway, Some("REJECTED")),
        (Source::Poll, Some("REJECTED")),
        (Source::Webhook, None),
    ] {
        let mut tale = Tale::new();
        tale.event(source, &answer);
        assert_eq!(tale.customer("c").status.as_deref(), status, "{source}");
        assert_eq!(tale.customer("c").flagged, Some(true));
    }
}

#[test]
fn decided_by_is_the_origin_of_the_last_new_status() {
    let mut tale = Tale::new();
    tale.webhook(&with(onboard("c", "REVIEW"), json!({"requestId": "r"})));
    assert_eq!(tale.customer("c").decided_by, Some(Origin::Api));
    let verdict = tale.webhook(&onboard("c", "APPROVED"));
    assert_eq!(tale.customer("c").decided_by, Some(Origin::Dashboard));
    let fields: Vec<_> = verdict.replaced.iter().map(|value| &value.field).collect();
    assert_eq!(fields, ["status", "decidedBy"]);
    tale.event(
        Source::Poll,
        &with(onboard("c", "APPROVED"), json!({"requestId": "s"})),
    );
    assert_eq!(tale.customer("c").decided_by, Some(Origin::Dashboard));
}

#[test]
fn tied_request_shows_in_the_customers_run() {
    let mut tale = Tale::new();
    tale.register("r", "fraud", "c");
    tale.webhook(&evaluation("c", "fraud", "completed"));
    let run = &tale.customer("c").evaluations["fraud"];
    assert_eq!(run.request_id.as_deref(), Some("r"));
    assert_eq!(run.at, Timestamp(tale.now));
}
