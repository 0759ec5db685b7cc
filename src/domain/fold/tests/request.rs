//! Requests: how they settle, reopen, and whom they belong to.

use super::*;

fn outcome(tale: &Tale, request: &str) -> (Option<State>, Option<SettledBy>) {
    let row = tale.request(request);
    (row.state, row.settled_by)
}

#[test]
fn what_settles_a_request_is_told_by_its_event() {
    let end = |body: Value| {
        with(
            body,
            json!({"evaluation": {"type": "fraud", "status": "completed"}}),
        )
    };
    let named = end(json!({"event": "evaluation", "customerId": "c", "requestId": "r"}));
    let unnamed = end(json!({"event": "evaluation", "customerId": "c"}));
    for (source, body, by) in [
        (Source::Webhook, &named, SettledBy::Webhook),
        (Source::Webhook, &unnamed, SettledBy::Inferred),
        (Source::Poll, &named, SettledBy::Poll),
        (Source::Poll, &unnamed, SettledBy::Poll),
        (Source::Gateway, &named, SettledBy::Inferred),
        (
            Source::Control,
            &settled("r", "completed"),
            SettledBy::Manual,
        ),
    ] {
        let mut tale = Tale::new();
        tale.register("r", "fraud", "c");
        tale.wait(MINUTE);
        tale.event(source, body);
        assert_eq!(
            outcome(&tale, "r"),
            (Some(State::Completed), Some(by)),
            "{source}: {body}"
        );
        assert_eq!(tale.request("r").settled_at, Some(Timestamp(tale.now)));
        assert!(tale.open("c").is_empty());
    }
}

#[test]
fn answer_of_the_gateway_alone_leaves_it_pending() {
    let mut tale = Tale::new();
    tale.event(Source::Gateway, &run("c", "r", "fraud", "initiated"));
    assert_eq!(outcome(&tale, "r"), (Some(State::Pending), None));
    assert_eq!(tale.request("r").first_event_at, None);
    assert_eq!(tale.request("r").evaluations["fraud"], "initiated");
    assert_eq!(tale.open("c"), ["r"]);
    tale.wait(MINUTE);
    tale.event(Source::Poll, &run("c", "r", "fraud", "in_progress"));
    assert_eq!(outcome(&tale, "r"), (Some(State::InProgress), None));
    assert_eq!(tale.request("r").first_event_at, Some(Timestamp(tale.now)));
}

#[test]
fn first_to_tell_the_outcome_has_settled_it() {
    let mut tale = Tale::new();
    tale.event(Source::Poll, &run("c", "r", "fraud", "completed"));
    let settled_at = tale.request("r").settled_at;
    tale.wait(MINUTE);
    let confirming = with(run("c", "r", "fraud", "completed"), json!({"n": 2}));
    tale.webhook(&confirming);
    assert_eq!(
        outcome(&tale, "r"),
        (Some(State::Completed), Some(SettledBy::Poll))
    );
    assert_eq!(tale.request("r").settled_at, settled_at);
}

#[test]
fn of_completed_and_failed_the_later_one_counts() {
    let mut tale = Tale::new();
    tale.event(Source::Poll, &run("c", "r", "fraud", "failed"));
    tale.webhook(&run("c", "r", "fraud", "completed"));
    assert_eq!(
        outcome(&tale, "r"),
        (Some(State::Completed), Some(SettledBy::Webhook))
    );
    tale.webhook(&with(run("c", "r", "fraud", "failed"), json!({"n": 2})));
    assert_eq!(tale.request("r").state, Some(State::Failed));
}

#[test]
fn new_type_reopens_and_its_end_settles_again() {
    let mut tale = Tale::new();
    tale.webhook(&run("c", "r", "fraud", "completed"));
    assert!(tale.open("c").is_empty());
    tale.webhook(&run("c", "r", "document", "initiated"));
    assert_eq!(outcome(&tale, "r"), (Some(State::InProgress), None));
    assert_eq!(tale.request("r").settled_at, None);
    assert_eq!(tale.open("c"), ["r"]);
    tale.webhook(&evaluation("c", "document", "failed"));
    assert_eq!(
        outcome(&tale, "r"),
        (Some(State::Failed), Some(SettledBy::Inferred))
    );
}

#[test]
fn kyc_is_over_once_a_later_type_has_completed() {
    let mut tale = Tale::new();
    tale.event(Source::Gateway, &run("c", "r", "kyc", "initiated"));
    tale.webhook(&run("c", "r", "fraud", "initiated"));
    assert_eq!(outcome(&tale, "r"), (Some(State::InProgress), None));
    tale.webhook(&run("c", "r", "fraud", "completed"));
    assert_eq!(outcome(&tale, "r").0, Some(State::Completed));
    assert_eq!(tale.request("r").evaluations["kyc"], "initiated");
}

/// "Once": what has ended the KYC part does not begin again because the later type is corrected.
#[test]
fn kyc_stays_over_when_the_later_type_is_corrected_to_failed() {
    let mut tale = Tale::new();
    tale.webhook(&run("c", "r", "kyc", "initiated"));
    tale.webhook(&run("c", "r", "fraud", "completed"));
    tale.webhook(&run("c", "r", "fraud", "failed"));
    assert_eq!(outcome(&tale, "r").0, Some(State::Failed));
    assert!(tale.open("c").is_empty());
}

#[test]
fn settled_by_hand_holds_against_everything_but_news() {
    let mut tale = Tale::new();
    tale.register("r", "fraud", "c");
    tale.webhook(&run("c", "r", "fraud", "initiated"));
    tale.control(&settled("r", "failed"));
    tale.webhook(&run("c", "r", "fraud", "in_progress"));
    assert_eq!(
        outcome(&tale, "r"),
        (Some(State::Failed), Some(SettledBy::Manual))
    );
    tale.webhook(&run("c", "r", "fraud", "completed"));
    assert_eq!(
        outcome(&tale, "r"),
        (Some(State::Completed), Some(SettledBy::Webhook))
    );
}

#[test]
fn request_of_another_customer_stays_with_its_own() {
    let mut tale = Tale::new();
    tale.register("r", "fraud", "a");
    let verdict = tale.webhook(&run("b", "r", "fraud", "in_progress"));
    assert_eq!(verdict.disposition, Disposition::Applied);
    assert_eq!(
        verdict.problems,
        ["customerId: the request belongs to another customer"]
    );
    assert_eq!(tale.request("r").customer_id.as_deref(), Some("a"));
    assert_eq!(tale.request("r").state, Some(State::InProgress));
    assert_eq!(tale.open("a"), ["r"]);
    assert!(tale.open("b").is_empty());
    // What it says of the customer it names counts; what it says of the request reaches the owner.
    assert_eq!(
        tale.customer("b").evaluations["fraud"]
            .request_id
            .as_deref(),
        Some("r")
    );
    tale.webhook(&run("b", "r", "fraud", "completed"));
    assert!(tale.open("a").is_empty() && tale.open("b").is_empty());
    assert!(!tale.customer("a").is_known());
}

#[test]
fn requests_of_a_customer_hang_together_in_the_order_they_were_tied() {
    let mut tale = Tale::new();
    tale.control(&json!({"event": "request.registered", "requestId": "r", "operation": "fraud"}));
    tale.register("s", "fraud", "c");
    tale.webhook(&run("c", "r", "fraud", "initiated"));
    assert_eq!(tale.open("c"), ["s", "r"]);
    let (r, s) = (tale.request("r"), tale.request("s"));
    assert_eq!(tale.customer("c").links.last_request, Some(r.key));
    assert_eq!(r.previous_of_customer, Some(s.key));
    assert_eq!(s.previous_of_customer, None);
}

#[test]
fn flag_event_under_a_request_is_all_there_is_to_wait_for() {
    let mut tale = Tale::new();
    tale.register("r", "flag", "c");
    tale.webhook(&with(flag("c", true), json!({"requestId": "r"})));
    assert_eq!(
        outcome(&tale, "r"),
        (Some(State::Completed), Some(SettledBy::Webhook))
    );
}

#[test]
fn request_that_an_unrecognised_event_names_is_not_known() {
    let mut tale = Tale::new();
    let verdict = tale.webhook(&json!({"event": "novel", "customerId": "c", "requestId": "r"}));
    assert_eq!(verdict.request, Some(1));
    assert!(!tale.request("r").is_known());
    assert_eq!(tale.request("r").customer_id, None);
    assert!(tale.open("c").is_empty());
}
