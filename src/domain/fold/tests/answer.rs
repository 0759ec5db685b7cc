//! Waldo's answers: those that the gateway forwarded, and those to the reconciler's questions.

use super::*;

const BY_GATEWAY: (Origin, Evidence) = (Origin::Api, Evidence::GatewayAnswer);

fn called(body: Value, operation: &str) -> Value {
    with(
        body,
        json!({"operation": operation, "deadlineSeconds": 900}),
    )
}

fn polled(body: Value, seen_version: u64) -> Value {
    with(body, json!({"seenVersion": seen_version}))
}

#[test]
fn a_forwarded_call_is_registered_and_waits() {
    let mut tale = Tale::new();
    let answer = called(run("c", "r", "fraud", "initiated"), "fraud");
    let verdict = tale.event(Source::Gateway, &answer);
    assert_eq!(origin(&verdict), API_BY_ID);
    let request = tale.request("r");
    assert_eq!(request.state, Some(State::Pending));
    assert_eq!(request.operation, Some(Operation::Fraud));
    assert_eq!(request.deadline_at, Some(Timestamp(tale.now + 900_000)));
    assert_eq!(tale.open("c"), ["r"]);
}

#[test]
fn a_call_is_registered_also_when_its_webhook_came_first() {
    let mut tale = Tale::new();
    tale.webhook(&run("c", "r", "fraud", "completed"));
    let answer = called(run("c", "r", "fraud", "initiated"), "fraud");
    let verdict = tale.event(Source::Gateway, &answer);
    assert_eq!(verdict.disposition, Disposition::Stale);
    let request = tale.request("r");
    assert_eq!(request.state, Some(State::Completed));
    assert_eq!(request.settled_by, Some(SettledBy::Webhook));
    assert_eq!(request.registered_at, Some(Timestamp(tale.now)));
    assert!(tale.open("c").is_empty());
}

#[test]
fn the_same_answer_recorded_twice_counts_once() {
    let mut tale = Tale::new();
    let answer = called(run("c", "r", "fraud", "initiated"), "fraud");
    tale.event(Source::Gateway, &answer);
    let first = tale.request("r").clone();
    tale.wait(MINUTE);
    let verdict = tale.event(Source::Gateway, &answer);
    assert_eq!(verdict.disposition, Disposition::Duplicate);
    let again = tale.request("r");
    assert_eq!(
        (again.registered_at, again.deadline_at),
        (first.registered_at, first.deadline_at)
    );
}

#[test]
fn a_fraud_evaluation_that_will_follow_keeps_an_onboarding_open() {
    let mut tale = Tale::new();
    let answer = with(
        called(run("c", "r", "kyc", "initiated"), "onboard"),
        json!({"expects": ["kyc", "fraud"]}),
    );
    tale.event(Source::Gateway, &answer);
    tale.event(Source::Poll, &polled(run("c", "r", "kyc", "completed"), 1));
    assert_eq!(tale.request("r").state, Some(State::InProgress));
    tale.webhook(&run("c", "r", "fraud", "completed"));
    assert_eq!(tale.request("r").state, Some(State::Completed));
}

#[test]
fn a_final_answer_settles_the_call_by_inference() {
    let mut tale = Tale::new();
    let answer = called(run("c", "r", "kyc", "completed"), "onboard");
    tale.event(Source::Gateway, &answer);
    assert_eq!(tale.request("r").settled_by, Some(SettledBy::Inferred));
}

#[test]
fn an_answer_without_a_request_id_is_still_the_companys_own_call() {
    let mut tale = Tale::new();
    tale.register("other", "fraud", "c");
    for body in [
        onboard("c", "REJECTED"),
        evaluation("c", "fraud", "initiated"),
    ] {
        let verdict = tale.event(Source::Gateway, &body);
        assert_eq!(origin(&verdict), BY_GATEWAY, "{body}");
        assert_eq!(verdict.request, None, "{body}");
    }
    assert_eq!(tale.customer("c").decided_by, Some(Origin::Api));
}

#[test]
fn an_answer_to_a_flag_call_explains_the_flag_webhook() {
    let mut tale = Tale::new();
    let answer = json!({"event": "flag", "customerId": "c", "flagged": true, "status": "REJECTED"});
    assert_eq!(origin(&tale.event(Source::Gateway, &answer)), API_BY_CALL);
    assert_eq!(tale.customer("c").status.as_deref(), Some("REJECTED"));
    assert_eq!(origin(&tale.webhook(&flag("c", true))), API_BY_CALL);
    tale.wait(11 * MINUTE);
    assert_eq!(origin(&tale.webhook(&flag("c", true))), DASHBOARD);
}

#[test]
fn a_flag_call_noted_before_it_was_made_counts_once() {
    let mut tale = Tale::new();
    tale.control(&flag_called("c", true));
    let answer =
        json!({"event": "flag", "customerId": "c", "flagged": true, "uri": "u", "noted": true});
    assert_eq!(origin(&tale.event(Source::Gateway, &answer)), API_BY_CALL);
    assert_eq!(origin(&tale.webhook(&flag("c", true))), API_BY_CALL);
    let other = with(flag("c", true), json!({"uri": "v"}));
    assert_eq!(origin(&tale.webhook(&other)), DASHBOARD);
}

#[test]
fn a_withdrawn_flag_call_explains_nothing_and_leaves_the_others() {
    let mut tale = Tale::new();
    let withdrawn = with(flag_called("c", true), json!({"withdrawn": true}));
    tale.control(&withdrawn);
    tale.control(&flag_called("c", false));
    tale.control(&flag_called("c", true));
    tale.wait(1);
    tale.control(&withdrawn);
    assert_eq!(origin(&tale.webhook(&flag("c", true))), DASHBOARD);
    assert_eq!(origin(&tale.webhook(&flag("c", false))), API_BY_CALL);
}

#[test]
fn a_polled_outcome_settles_by_poll() {
    let mut tale = Tale::new();
    tale.register("r", "fraud", "c");
    tale.webhook(&onboard("c", "REVIEW"));
    let found = with(
        polled(run("c", "r", "fraud", "completed"), 1),
        json!({"validation": {"status": "APPROVED", "fraudScore": 0}}),
    );
    let verdict = tale.event(Source::Poll, &found);
    assert_eq!(verdict.disposition, Disposition::Applied);
    let request = tale.request("r");
    assert_eq!(request.state, Some(State::Completed));
    assert_eq!(request.settled_by, Some(SettledBy::Poll));
    // The evaluation has completed, so a score of 0 is one.
    assert_eq!(tale.customer("c").fraud_score, Some(0.0));
}

#[test]
fn what_waldo_said_before_the_last_change_is_stale() {
    let mut tale = Tale::new();
    tale.register("r", "fraud", "c");
    tale.webhook(&onboard("c", "REVIEW"));
    let seen = tale.customer("c").version;
    tale.webhook(&onboard("c", "REJECTED"));
    for body in [
        onboard("c", "APPROVED"),
        run("c", "r", "fraud", "completed"),
    ] {
        let verdict = tale.event(Source::Poll, &polled(body, seen));
        assert_eq!(verdict.disposition, Disposition::Stale);
        assert_eq!(verdict.problems.len(), 1);
    }
    assert_eq!(tale.customer("c").status.as_deref(), Some("REJECTED"));
    assert_eq!(tale.request("r").state, Some(State::Pending));
    // The same question asked again finds the row as it is.
    let verdict = tale.event(Source::Poll, &polled(onboard("c", "APPROVED"), seen + 1));
    assert_eq!(verdict.disposition, Disposition::Applied);
}

#[test]
fn a_change_that_only_a_poll_has_found_is_the_dashboards() {
    let mut tale = Tale::new();
    let verdict = tale.event(Source::Poll, &polled(onboard("c", "APPROVED"), 0));
    assert_eq!(origin(&verdict), DASHBOARD);
    assert_eq!(verdict.disposition, Disposition::Applied);
}
