//! Small sets of deliveries about two customers and two requests, each chosen so that its members get in each other's
//! way. Every sequence of a set is tried.

use serde_json::{Value, json};

/// What can happen next.
pub enum Next {
    /// Somebody tells something: who, and what.
    Told(&'static str, Value),
    /// Time goes by, in milliseconds.
    Wait(i64),
}

use Next::{Told, Wait};

const MINUTE: i64 = 60_000;

fn from(by: &'static str, event: &str, customer: &str, more: Value) -> Next {
    let mut body = json!({"event": event, "customerId": customer});
    let members = more.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(members);
    Told(by, body)
}

fn evaluation(customer: &str, request: Option<&str>, kind: &str, status: &str) -> Next {
    let run = json!({"requestId": request, "evaluation": {"type": kind, "status": status}});
    from("webhook", "evaluation", customer, run)
}

fn registered(request: &str, operation: &str, customer: Option<&str>, expects: &[&str]) -> Next {
    Told(
        "control",
        json!({
            "event": "request.registered", "requestId": request, "operation": operation, "customerId": customer,
            "expects": expects, "deadlineSeconds": 900,
        }),
    )
}

fn settled(request: &str, state: &str) -> Next {
    let body = json!({"event": "request.settled", "requestId": request, "state": state});
    Told("control", body)
}

fn outcomes(customer: &str, status: &str, validation: Value) -> Next {
    let more = json!({"evaluation": {"type": "fraud", "status": status}, "validation": validation});
    from("webhook", "evaluation", customer, more)
}

/// One request from its beginning to its end.
pub fn one_request() -> Vec<Next> {
    vec![
        registered("r", "fraud", Some("a"), &[]),
        evaluation("a", Some("r"), "fraud", "initiated"),
        evaluation("a", Some("r"), "fraud", "in_progress"),
        evaluation("a", Some("r"), "fraud", "completed"),
        evaluation("a", Some("r"), "fraud", "failed"),
        evaluation("a", None, "fraud", "completed"),
    ]
}

/// One request of several types, of which some are expected.
pub fn several_types() -> Vec<Next> {
    let begun = json!({"requestId": "r", "evaluation": {"type": "kyc", "status": "initiated"}});
    vec![
        registered("r", "onboard", Some("a"), &["kyc", "fraud"]),
        from("webhook", "onboard", "a", begun),
        evaluation("a", Some("r"), "fraud", "paused"),
        evaluation("a", Some("r"), "fraud", "completed"),
        evaluation("a", Some("r"), "kyc", "failed"),
        evaluation("a", Some("r"), "document", "initiated"),
    ]
}

/// What has no requestId while two requests are open.
pub fn which_request() -> Vec<Next> {
    vec![
        registered("r", "fraud", Some("a"), &[]),
        registered("s", "onboard", Some("a"), &["fraud"]),
        evaluation("a", None, "fraud", "initiated"),
        evaluation("a", None, "fraud", "completed"),
        evaluation("a", Some("r"), "fraud", "in_progress"),
        evaluation("a", Some("s"), "fraud", "failed"),
    ]
}

/// Two customers under one request.
pub fn two_customers() -> Vec<Next> {
    vec![
        registered("r", "document", None, &[]),
        registered("r", "document", Some("b"), &["fraud"]),
        evaluation("a", Some("r"), "document", "completed"),
        evaluation("b", Some("r"), "document", "initiated"),
        evaluation("b", None, "document", "completed"),
        evaluation("a", Some("s"), "document", "in_progress"),
    ]
}

/// Flags, and own flag calls that explain them. Each delivery takes a millisecond: the wait ends on the very bound
/// where the next delivery follows at once, and past it otherwise.
pub fn flags() -> Vec<Next> {
    let call = json!({"event": "flag.called", "customerId": "a", "flag": true});
    let withdrawn =
        json!({"event": "flag.called", "customerId": "a", "flag": true, "withdrawn": true});
    vec![
        Told("control", call),
        Told("control", withdrawn),
        from("webhook", "flag", "a", json!({"flag": true})),
        from("webhook", "flag", "a", json!({"flag": false})),
        from(
            "webhook",
            "onboard",
            "a",
            json!({"validation": {"fraudFlag": true}}),
        ),
        Wait(15 * MINUTE - 1),
    ]
}

/// Repeats, and how long ago; the wait is like that of [`flags`].
pub fn repeats() -> Vec<Next> {
    vec![
        from(
            "webhook",
            "onboard",
            "a",
            json!({"validation": {"status": "APPROVED"}}),
        ),
        from(
            "webhook",
            "onboard",
            "a",
            json!({"validation": {"status": "REJECTED"}}),
        ),
        from(
            "webhook",
            "onboard",
            "b",
            json!({"validation": {"status": "APPROVED"}}),
        ),
        evaluation("a", Some("r"), "fraud", "completed"),
        from(
            "poll",
            "onboard",
            "a",
            json!({"validation": {"status": "APPROVED"}}),
        ),
        Wait(10 * MINUTE - 1),
    ]
}

/// Values that are old, new, absent and null.
pub fn values() -> Vec<Next> {
    let known =
        json!({"status": "accepted", "kyc": "ACCEPTED", "fraudScore": 0, "fraudFlag": false});
    let nothing = json!({"status": null, "kyc": null, "fraudScore": null, "fraudFlag": null, "warnings": null});
    let shown = json!({"status": "REVIEW", "kyc": "PENDING", "fraudScore": 0.5, "warnings": 1,
                       "warningTags": [{"tag": "ssn", "passed": false}]});
    vec![
        outcomes("a", "initiated", shown.clone()),
        outcomes("a", "completed", known.clone()),
        outcomes("a", "completed", shown),
        from("webhook", "onboard", "a", json!({"validation": known})),
        from(
            "webhook",
            "onboard",
            "a",
            json!({"validation": nothing, "externalId": null, "uri": ""}),
        ),
        from(
            "webhook",
            "onboard",
            "a",
            json!({"externalId": "e", "uri": "u", "validation": {"warnings": 2}}),
        ),
    ]
}

/// Settling by hand and by asking.
pub fn by_hand() -> Vec<Next> {
    // What Waldo said is taken only while the customer is as it was when Waldo was asked.
    let run = json!({"type": "fraud", "status": "completed"});
    let polled = json!({"requestId": "r", "evaluation": run, "seenVersion": 1});
    let polled = from("poll", "evaluation", "a", polled);
    vec![
        registered("r", "fraud", Some("a"), &[]),
        settled("r", "failed"),
        settled("r", "completed"),
        polled,
        evaluation("a", None, "fraud", "in_progress"),
        registered("r", "fraud", None, &["document"]),
    ]
}

/// Runs of no request.
pub fn runs() -> Vec<Next> {
    vec![
        evaluation("a", None, "kyc", "initiated"),
        evaluation("a", None, "kyc", "In_Progress"),
        evaluation("a", None, "KYC", "completed"),
        evaluation("a", None, "kyc", "failed"),
        evaluation("a", None, "fraud", "initiated"),
        Wait(11 * MINUTE),
    ]
}

/// Waldo's answers to calls and questions.
pub fn answers() -> Vec<Next> {
    let begun = json!({"requestId": "r", "evaluation": {"type": "kyc", "status": "initiated"}, "operation": "onboard",
                       "expects": ["kyc", "fraud"], "deadlineSeconds": 900});
    let seen = |version: u64| json!({"seenVersion": version, "validation": {"status": "APPROVED"}});
    vec![
        from("gateway", "onboard", "a", begun),
        evaluation("a", Some("r"), "kyc", "completed"),
        from(
            "gateway",
            "evaluation",
            "a",
            json!({"evaluation": {"type": "fraud", "status": "failed"}}),
        ),
        from(
            "gateway",
            "flag",
            "a",
            json!({"flagged": true, "status": "REVIEW"}),
        ),
        from("webhook", "flag", "a", json!({"flag": true})),
        from("poll", "onboard", "a", seen(2)),
    ]
}

/// What is not recognised, and what is no object.
pub fn unrecognised() -> Vec<Next> {
    vec![
        from(
            "webhook",
            "novel",
            "a",
            json!({"externalId": "n", "uri": "n", "validation": {"status": "REJECTED"}}),
        ),
        from(
            "webhook",
            "novel",
            "a",
            json!({"requestId": "r", "flag": true}),
        ),
        Told("webhook", json!({"event": "onboard", "requestId": "r"})),
        Told("webhook", json!([])),
        from(
            "webhook",
            "onboard",
            "a",
            json!({"requestId": "r", "validation": {"status": "APPROVED"}}),
        ),
        from(
            "webhook",
            "onboard",
            "a",
            json!({"externalId": "e", "evaluation": {"type": "idle", "status": "idle"}}),
        ),
    ]
}

/// A flag call that is waited for.
pub fn flag_request() -> Vec<Next> {
    let flag = |request: &str| {
        from(
            "webhook",
            "flag",
            "a",
            json!({"flag": true, "requestId": request}),
        )
    };
    vec![
        registered("r", "flag", Some("a"), &[]),
        flag("r"),
        flag("s"),
        evaluation("a", Some("r"), "fraud", "initiated"),
        evaluation("a", Some("r"), "fraud", "completed"),
        registered("s", "other", Some("a"), &[]),
    ]
}

/// Registering one request in several ways.
pub fn registrations() -> Vec<Next> {
    let told = |operation: &str, more: Value| {
        let mut body = json!({
            "event": "request.registered", "requestId": "r", "operation": operation, "deadlineSeconds": 900,
        });
        let members = more.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(members);
        Told("control", body)
    };
    vec![
        told("fraud", json!({"externalId": "e", "customerId": "a"})),
        told(
            "fraud",
            json!({"externalId": "f", "expects": ["kyc"], "deadlineSeconds": 60}),
        ),
        told("onboard", json!({"externalId": null})),
        told("fraud", json!({"customerId": "b"})),
        evaluation("a", Some("r"), "fraud", "completed"),
    ]
}

/// Which events without requestId are tied to a request.
pub fn tied() -> Vec<Next> {
    let run = json!({"evaluation": {"type": "fraud", "status": "completed"}});
    let no_status = json!({"evaluation": {"type": "fraud"}});
    vec![
        registered("r", "fraud", Some("a"), &[]),
        from("webhook", "onboard", "a", run.clone()),
        from("webhook", "evaluation", "a", no_status),
        from("poll", "evaluation", "a", run),
        evaluation("a", None, "fraud", "in_progress"),
    ]
}

/// Names that are for apps, said by Waldo, and the other way round.
pub fn names() -> Vec<Next> {
    let body =
        |event: &str| json!({"event": event, "customerId": "a", "requestId": "r", "flag": true});
    let call = json!({"event": "flag.called", "customerId": "a", "flag": true});
    let state = json!({"event": "request.settled", "requestId": "r", "state": "failed"});
    vec![
        Told("webhook", call),
        Told("webhook", state),
        Told("control", body("flag")),
        registered("r", "flag", Some("a"), &[]),
        from("webhook", "flag", "a", json!({"flag": true})),
    ]
}

/// Who decided, and who only said the same.
pub fn decided() -> Vec<Next> {
    let status = |status: &str| json!({"validation": {"status": status}});
    let under = |status: &str| json!({"requestId": "r", "validation": {"status": status}});
    vec![
        from("webhook", "onboard", "a", status("APPROVED")),
        from("webhook", "onboard", "a", under("APPROVED")),
        from("webhook", "onboard", "a", under("REJECTED")),
        from("poll", "onboard", "a", status("REJECTED")),
        from("gateway", "onboard", "a", status("APPROVED")),
    ]
}
