//! What apps tell: registrations, flag calls, settlements.

use super::*;

#[test]
fn registration_makes_a_pending_request_that_its_customer_waits_for() {
    let mut tale = Tale::new();
    let verdict = tale.control(&with(
        registered("r", "onboard", json!("c")),
        json!({"expects": ["fraud"], "externalId": "e", "context": {"ticket": 7}}),
    ));
    assert_eq!(
        (verdict.disposition, origin(&verdict)),
        (Disposition::Applied, API_BY_ID)
    );
    let request = tale.request("r");
    assert_eq!(request.state, Some(State::Pending));
    assert_eq!(request.operation, Some(Operation::Onboard));
    assert_eq!(request.registered_at, Some(Timestamp(tale.now)));
    assert_eq!(request.deadline_at, Some(Timestamp(tale.now + 15 * MINUTE)));
    assert_eq!(request.registered_seq, Some(Seq(1)));
    assert_eq!((request.first_event_at, request.settled_by), (None, None));
    assert_eq!(request.context.as_deref(), Some(r#"{"ticket":7}"#));
    assert_eq!(tale.open("c"), ["r"]);
    // An app's word makes nobody known.
    assert!(!tale.customer("c").is_known());
    assert!(verdict.replaced.is_empty() && !verdict.created_customer);
}

#[test]
fn same_registration_again_is_a_duplicate_and_another_one_fills_in() {
    let mut tale = Tale::new();
    let bare = json!({"event": "request.registered", "requestId": "r", "operation": "fraud"});
    tale.control(&bare);
    let before = tale.request("r").clone();
    tale.wait(MINUTE);
    let verdict = tale.control(&bare);
    assert_eq!(
        (verdict.disposition, verdict.duplicate_of),
        (Disposition::Duplicate, Some(Seq(1)))
    );
    let filled = with(
        registered("r", "fraud", json!("c")),
        json!({"expects": ["document"], "context": [1]}),
    );
    assert_eq!(tale.control(&filled).disposition, Disposition::Applied);
    let other = with(filled, json!({"context": [2], "expects": []}));
    assert_eq!(tale.control(&other).disposition, Disposition::Applied);
    let request = tale.request("r");
    assert_eq!(request.registered_at, before.registered_at);
    assert_eq!(request.deadline_at, before.deadline_at);
    assert_eq!(request.registered_seq, Some(Seq(1)));
    assert_eq!(request.customer_id.as_deref(), Some("c"));
    assert_eq!(request.expects, ["document"]);
    assert_eq!(request.context.as_deref(), Some("[1]"));
    assert_eq!(tale.open("c"), ["r"]);
}

#[test]
fn contradicting_registration_is_kept_and_changes_nothing() {
    let mut tale = Tale::new();
    tale.register("r", "fraud", "c");
    let before = tale.request("r").clone();
    for (body, with_what) in [
        (registered("r", "document", json!("c")), "operation"),
        (registered("r", "fraud", json!("d")), "customerId"),
    ] {
        for _ in 0..2 {
            let verdict = tale.control(&body);
            assert_eq!(verdict.disposition, Disposition::Stale);
            assert_eq!(
                verdict.problems,
                [format!(
                    "conflict: the request is registered with another {with_what}"
                )]
            );
        }
    }
    let after = tale.request("r");
    let same_facts = WaldoRequest {
        last_event: before.last_event,
        seen: before.seen.clone(),
        ..after.clone()
    };
    assert_eq!(same_facts, before);
    assert_eq!(after.last_event, Some(Seq(5)));
    assert_eq!(tale.open("c"), ["r"]);
    assert!(tale.open("d").is_empty());
}

#[test]
fn registration_after_the_webhook_fills_the_row_in() {
    let mut tale = Tale::new();
    tale.webhook(&run("c", "r", "fraud", "completed"));
    assert_eq!(tale.request("r").operation, Some(Operation::Fraud));
    assert_eq!(tale.request("r").registered_at, None);
    // What was read off a webhook is a guess; what the app says counts.
    let told = with(
        registered("r", "onboard", json!("c")),
        json!({"expects": ["fraud"]}),
    );
    assert_eq!(tale.control(&told).disposition, Disposition::Applied);
    let request = tale.request("r");
    assert_eq!(request.operation, Some(Operation::Onboard));
    assert_eq!(request.state, Some(State::Completed));
    assert_eq!(request.settled_by, Some(SettledBy::Webhook));
    assert!(tale.open("c").is_empty());
    // The webhook has said whose it is.
    let foreign = registered("r", "onboard", json!("d"));
    assert_eq!(tale.control(&foreign).disposition, Disposition::Stale);
}

#[test]
fn flag_call_makes_nobody_known() {
    let mut tale = Tale::new();
    let verdict = tale.control(&flag_called("c", true));
    assert_eq!(
        (verdict.disposition, origin(&verdict)),
        (Disposition::Applied, API_BY_CALL)
    );
    assert!(!tale.customer("c").is_known());
    assert_eq!(tale.customer("c").flagged, None);
}

#[test]
fn remembered_flag_calls_are_bounded_and_the_oldest_gives_way() {
    let mut tale = Tale::new();
    for n in 0..(MAX_OWN_FLAG_CALLS + 5) {
        tale.wait(1);
        tale.control(&flag_called("c", n >= 5));
    }
    let calls = &tale.customer("c").memory.own_flag_calls;
    assert_eq!(calls.len(), MAX_OWN_FLAG_CALLS);
    assert!(calls.iter().all(|call| call.flag));
    tale.wait(15 * MINUTE + 1);
    tale.control(&flag_called("c", false));
    assert_eq!(tale.customer("c").memory.own_flag_calls.len(), 1);
}

#[test]
fn settlement_leaves_the_customers_open_requests() {
    for (word, state) in [("completed", State::Completed), ("failed", State::Failed)] {
        let mut tale = Tale::new();
        tale.register("r", "fraud", "c");
        tale.register("s", "fraud", "c");
        tale.wait(MINUTE);
        // The event itself does not name the customer.
        let verdict = tale.control(&settled("r", word));
        assert_eq!(
            (verdict.disposition, origin(&verdict)),
            (Disposition::Applied, API_BY_ID)
        );
        let request = tale.request("r");
        assert_eq!(request.state, Some(state));
        assert_eq!(request.settled_by, Some(SettledBy::Manual));
        assert_eq!(request.settled_at, Some(Timestamp(tale.now)));
        assert_eq!(tale.open("c"), ["s"]);
    }
}

#[test]
fn control_events_without_what_they_need_are_unrecognised() {
    for body in [
        json!({"event": "request.registered", "operation": "fraud"}),
        json!({"event": "request.registered", "requestId": "r"}),
        json!({"event": "request.settled", "requestId": "r"}),
        json!({"event": "request.settled", "requestId": "r", "state": "pending"}),
        json!({"event": "request.settled", "state": "failed"}),
        json!({"event": "flag.called", "customerId": "c"}),
        json!({"event": "flag.called", "flag": true}),
    ] {
        let mut tale = Tale::new();
        let verdict = tale.control(&body);
        assert_eq!(verdict.disposition, Disposition::Unrecognised, "{body}");
        if body.get("requestId").is_some() {
            assert!(!tale.request("r").is_known(), "{body}");
        }
    }
}

#[test]
fn apps_do_not_speak_for_waldo_nor_waldo_for_apps() {
    let mut tale = Tale::new();
    for body in [onboard("c", "APPROVED"), flag("c", true)] {
        assert_eq!(tale.control(&body).disposition, Disposition::Unrecognised);
    }
    for source in [Source::Webhook, Source::Gateway, Source::Poll] {
        for body in [
            registered("r", "fraud", json!("c")),
            settled("r", "failed"),
            flag_called("c", true),
        ] {
            let verdict = tale.event(source, &body);
            assert_eq!(verdict.disposition, Disposition::Unrecognised, "{body}");
        }
    }
    assert!(!tale.customer("c").is_known() && !tale.request("r").is_known());
    assert_eq!(origin(&tale.webhook(&flag("c", true))), DASHBOARD);
}
