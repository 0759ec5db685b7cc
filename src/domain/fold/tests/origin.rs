//! The table of origins, row by row and at its edges.

use super::*;

#[test]
fn event_with_a_request_id_is_the_apis_whatever_it_is() {
    let bodies = [
        onboard("c", "REVIEW"),
        flag("c", true),
        evaluation("c", "fraud", "completed"),
        json!({"event": "profile.updated", "customerId": "c"}),
        json!({"event": "evaluation"}),
    ];
    for source in [Source::Webhook, Source::Gateway, Source::Poll] {
        for body in &bodies {
            let body = with(body.clone(), json!({"requestId": "r"}));
            let mut tale = Tale::new();
            let verdict = tale.event(source, &body);
            assert_eq!(origin(&verdict), API_BY_ID, "{source}: {body}");
            assert_eq!(verdict.request, Some(1), "{source}: {body}");
        }
    }
}

#[test]
fn anything_else_is_the_dashboards() {
    let bodies = [
        onboard("c", "APPROVED"),
        flag("c", true),
        evaluation("c", "fraud", "completed"),
        json!({"event": "profile.updated", "customerId": "c"}),
        json!({}),
    ];
    for body in bodies {
        let verdict = Tale::new().webhook(&body);
        assert_eq!(origin(&verdict), DASHBOARD, "{body}");
        assert_eq!(verdict.request, None, "{body}");
    }
}

#[test]
fn evaluation_is_tied_to_the_only_open_request_of_customer_and_type() {
    // What was told of the request → the types that it waits for.
    let cases: [(&[Value], &[&str]); 7] = [
        (&[registered("r", "onboard", json!("c"))], &["kyc"]),
        (&[registered("r", "fraud", json!("c"))], &["fraud"]),
        (&[registered("r", "document", json!("c"))], &["document"]),
        (&[registered("r", "other", json!("c"))], &[]),
        (
            &[with(
                registered("r", "onboard", json!("c")),
                json!({"expects": ["fraud"]}),
            )],
            &["kyc", "fraud"],
        ),
        (
            &[
                with(
                    registered("r", "onboard", json!("c")),
                    json!({"expects": ["fraud"]}),
                ),
                run("c", "r", "kyc", "completed"),
            ],
            &["fraud"],
        ),
        (&[run("c", "r", "document", "in_progress")], &["document"]),
    ];
    for (told, waited_for) in cases {
        for kind in ["kyc", "fraud", "document"] {
            let mut tale = Tale::new();
            for body in told {
                let from_app = body["event"] == "request.registered";
                let source = if from_app {
                    Source::Control
                } else {
                    Source::Webhook
                };
                tale.event(source, body);
            }
            let verdict = tale.webhook(&evaluation("c", kind, "in_progress"));
            let (expected, request) = if waited_for.contains(&kind) {
                (API_BY_TIE, Some(1))
            } else {
                (DASHBOARD, None)
            };
            assert_eq!(origin(&verdict), expected, "{told:?}, then {kind}");
            assert_eq!(verdict.request, request, "{told:?}, then {kind}");
        }
    }
}

#[test]
fn several_open_requests_tie_nothing() {
    let mut tale = Tale::new();
    tale.register("r", "fraud", "c");
    tale.register("s", "fraud", "c");
    let verdict = tale.webhook(&evaluation("c", "fraud", "in_progress"));
    assert_eq!(origin(&verdict), DASHBOARD);
    tale.webhook(&run("c", "r", "fraud", "completed"));
    let verdict = tale.webhook(&evaluation("c", "fraud", "completed"));
    assert_eq!(
        (origin(&verdict), verdict.request),
        (API_BY_TIE, Some(tale.request("s").key))
    );
}

#[test]
fn open_request_of_another_type_does_not_stand_in_the_way() {
    let mut tale = Tale::new();
    tale.register("r", "fraud", "c");
    tale.register("s", "document", "c");
    let verdict = tale.webhook(&evaluation("c", "fraud", "completed"));
    assert_eq!(
        (origin(&verdict), verdict.request),
        (API_BY_TIE, Some(tale.request("r").key))
    );
}

#[test]
fn only_evaluation_events_of_that_customer_are_tied() {
    let mut tale = Tale::new();
    tale.register("r", "onboard", "c");
    let onboarding = with(
        onboard("c", "APPROVED"),
        json!({"evaluation": {"type": "kyc", "status": "completed"}}),
    );
    assert_eq!(origin(&tale.webhook(&onboarding)), DASHBOARD);
    assert_eq!(
        origin(&tale.webhook(&evaluation("d", "kyc", "completed"))),
        DASHBOARD
    );
    let without_type = json!({"event": "evaluation", "customerId": "c"});
    assert_eq!(origin(&tale.webhook(&without_type)), DASHBOARD);
    assert_eq!(
        origin(&tale.webhook(&evaluation("c", "kyc", "failed"))),
        API_BY_TIE
    );
}

#[test]
fn settled_requests_are_not_open() {
    for how in [
        (Source::Webhook, run("c", "r", "fraud", "failed")),
        (Source::Poll, run("c", "r", "fraud", "completed")),
        (Source::Control, settled("r", "completed")),
    ] {
        let mut tale = Tale::new();
        tale.register("r", "fraud", "c");
        tale.event(how.0, &how.1);
        let verdict = tale.webhook(&evaluation("c", "fraud", "completed"));
        assert_eq!(origin(&verdict), DASHBOARD, "{how:?}");
    }
}

#[test]
fn own_flag_call_explains_up_to_exactly_15_minutes() {
    for (wait, expected) in [
        (0, API_BY_CALL),
        (15 * MINUTE, API_BY_CALL),
        (15 * MINUTE + 1, DASHBOARD),
        // A clock that was set back makes the call no older.
        (-60 * MINUTE, API_BY_CALL),
    ] {
        for (source, call) in [
            (Source::Control, flag_called("c", true)),
            (
                Source::Gateway,
                json!({"event": "flag", "customerId": "c", "flagged": true}),
            ),
        ] {
            let mut tale = Tale::new();
            assert_eq!(origin(&tale.event(source, &call)), API_BY_CALL);
            tale.wait(wait);
            let verdict = tale.webhook(&flag("c", true));
            assert_eq!(origin(&verdict), expected, "{source}, {wait} ms later");
            assert_eq!(verdict.disposition, Disposition::Applied);
        }
    }
}

#[test]
fn own_flag_call_explains_its_own_customer_and_value_only() {
    let mut tale = Tale::new();
    tale.control(&flag_called("c", true));
    assert_eq!(origin(&tale.webhook(&flag("c", false))), DASHBOARD);
    assert_eq!(origin(&tale.webhook(&flag("d", true))), DASHBOARD);
    assert_eq!(origin(&tale.webhook(&onboard("c", "REVIEW"))), DASHBOARD);
    assert_eq!(origin(&tale.webhook(&flag("c", true))), API_BY_CALL);
}

#[test]
fn each_flag_call_explains_one_event() {
    let mut tale = Tale::new();
    tale.control(&flag_called("c", true));
    tale.wait(1);
    tale.control(&flag_called("c", true));
    let echo = |n: u64| with(flag("c", true), json!({"n": n}));
    assert_eq!(origin(&tale.webhook(&echo(1))), API_BY_CALL);
    // An event that names its request needs no call, and leaves it to the next.
    let named = with(echo(2), json!({"requestId": "r"}));
    assert_eq!(origin(&tale.webhook(&named)), API_BY_ID);
    assert_eq!(origin(&tale.webhook(&echo(3))), API_BY_CALL);
    assert_eq!(origin(&tale.webhook(&echo(4))), DASHBOARD);
}

#[test]
fn flag_call_after_the_event_explains_nothing_before_it() {
    let mut tale = Tale::new();
    assert_eq!(origin(&tale.webhook(&flag("c", true))), DASHBOARD);
    tale.control(&flag_called("c", true));
    assert_eq!(tale.verdicts[0].origin, Origin::Dashboard);
    let next = with(flag("c", true), json!({"n": 2}));
    assert_eq!(origin(&tale.webhook(&next)), API_BY_CALL);
}
