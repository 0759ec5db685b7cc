//! The documented refusals, each with its status and code.

use serde_json::{Value, json};

use super::common::bodies::with;
use super::common::http::Answer;
use super::{KEY, SECRET, Sandbox, assert_shape, request};

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, code: &str) {
    let json = answer.json();
    assert_eq!(
        (answer.status, &json["code"]),
        (status, &json!(code)),
        "{json}"
    );
    assert_shape(&json, "api-error-401.json");
    assert!(
        answer.header("authorization").is_none(),
        "no token comes with an error"
    );
}

#[test]
fn logging_in_needs_both_and_the_right_ones() {
    let sandbox = Sandbox::quick(&["--api-key", KEY]);
    let log_in = |body: Value| sandbox.plain("POST", "/authenticate", Some(&body));
    for body in [
        json!({}),
        json!({"apiKey": KEY}),
        json!({"clientSecret": SECRET}),
        json!([]),
    ] {
        assert_refused(&log_in(body), 400, "MISSING_PARAMETERS");
    }
    for (key, secret) in [(KEY, "no"), ("no", SECRET)] {
        let answer = log_in(json!({"apiKey": key, "clientSecret": secret}));
        assert_refused(&answer, 401, "INVALID_API_KEY");
    }
}

#[test]
fn every_call_but_the_login_needs_a_token() {
    let mut sandbox = Sandbox::quick(&[]);
    let calls = [
        ("POST", "/onboard"),
        ("POST", "/check-fraud"),
        ("POST", "/document"),
        ("POST", "/flag"),
        ("GET", "/customer?zipCode=1"),
        ("GET", "/history/kyc/x"),
        ("GET", "/history/fraud/x"),
    ];
    for (method, path) in calls {
        let body = (method == "POST").then(|| json!({}));
        let answer = sandbox.plain(method, path, body.as_ref());
        assert_refused(&answer, 403, "NOT_AUTHORIZED");
    }
    sandbox.token.push('x');
    for (method, path) in calls {
        let answer = if method == "POST" {
            sandbox.post(path, json!({}))
        } else {
            sandbox.get(path)
        };
        assert_refused(&answer, 401, "INVALID_TOKEN");
    }
}

#[test]
fn a_missing_or_wrong_field_is_named() {
    let sandbox = Sandbox::quick(&[]);
    let whole = request("api-onboard-request.json");
    for field in [
        "firstName",
        "lastName",
        "email",
        "phone",
        "address",
        "city",
        "state",
        "zipCode",
        "dob",
        "officialId",
    ] {
        for value in [Value::Null, json!("")] {
            let answer = sandbox.post("/onboard", with(whole.clone(), json!({field: value})));
            assert_refused(&answer, 400, "INVALID_DATA");
            assert!(answer.text().contains(field), "{}", answer.text());
        }
    }
    let born = sandbox.post("/onboard", with(whole, json!({"dob": "2.1.1990"})));
    assert_refused(&born, 400, "INVALID_DATA");
    let long = with(
        request("api-onboard-request.json"),
        json!({"externalId": "x".repeat(2000)}),
    );
    assert_refused(&sandbox.post("/onboard", long), 400, "INVALID_DATA");
    for body in [
        json!({}),
        json!({"customerId": 1}),
        json!({"customerId": "nobody"}),
    ] {
        assert_refused(&sandbox.post("/check-fraud", body), 400, "INVALID_DATA");
    }
    let id = sandbox.somebody("crm-1");
    for body in [
        json!({"flag": true}),
        json!({"customerId": id}),
        json!({"customerId": id, "flag": "yes"}),
        json!({"customerId": "nobody", "flag": true}),
        json!({"customerId": id, "flag": false, "note": "only with true"}),
    ] {
        assert_refused(&sandbox.post("/flag", body), 400, "INVALID_QUERY");
    }
    for query in ["", "?shoeSize=9"] {
        let answer = sandbox.get(&format!("/customer{query}"));
        assert_refused(&answer, 400, "INVALID_QUERY");
    }
    for kind in ["kyc", "fraud"] {
        let answer = sandbox.get(&format!("/history/{kind}/nobody"));
        assert_refused(&answer, 404, "NOT_FOUND");
    }
    assert_eq!(
        sandbox.list("customers").len(),
        1,
        "a refused call changes nothing"
    );
}

#[test]
fn a_revoked_key_refuses_everything_until_it_is_restored() {
    let sandbox = Sandbox::quick(&[]);
    assert_eq!(
        sandbox.plain("POST", "/sandbox/key/revoke", None).status,
        200
    );
    let log_in = json!({"apiKey": KEY, "clientSecret": SECRET});
    let answer = sandbox.plain("POST", "/authenticate", Some(&log_in));
    assert_refused(&answer, 403, "API_KEY_REVOKED");
    let answer = sandbox.get("/customer?zipCode=1");
    assert_refused(&answer, 403, "API_KEY_REVOKED");
    assert_eq!(
        sandbox.plain("POST", "/sandbox/key/restore", None).status,
        200
    );
    assert_eq!(sandbox.get("/customer?zipCode=1").status, 200);
}

#[test]
fn trouble_comes_as_often_as_it_was_asked_for() {
    let sandbox = Sandbox::quick(&[]);
    let ask = |body: Value| {
        sandbox
            .plain("POST", "/sandbox/trouble", Some(&body))
            .status
    };
    assert_eq!(
        ask(json!({"status": 429, "retryAfterSeconds": 7, "count": 2})),
        200
    );
    for _ in 0..2 {
        let answer = sandbox.get("/customer?zipCode=1");
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (429, Some("7"))
        );
    }
    assert_eq!(sandbox.get("/customer?zipCode=1").status, 200);
    assert_eq!(ask(json!({"status": 500})), 200);
    assert_eq!(sandbox.get("/customer?zipCode=1").status, 500);
    assert_eq!(ask(json!({"status": 403})), 200);
    let answer = sandbox.get("/customer?zipCode=1");
    assert_refused(&answer, 403, "NOT_AUTHORIZED");
    assert!(answer.text().contains("support"), "{}", answer.text());
    for bad in [
        json!({}),
        json!({"status": 200}),
        json!({"status": 500, "cuont": 1}),
    ] {
        assert_eq!(ask(bad), 400);
    }
}

#[test]
fn other_paths_and_methods_are_refused() {
    let sandbox = Sandbox::quick(&[]);
    assert_refused(&sandbox.get("/customers"), 404, "NOT_FOUND");
    assert_eq!(sandbox.get("/onboard").status, 405);
    assert_eq!(
        sandbox.plain("POST", "/sandbox/customers", None).status,
        405
    );
    assert_eq!(
        sandbox.plain("GET", "/sandbox/key/revoke", None).status,
        405
    );
    sandbox
        .plain("GET", "/sandbox/nothing", None)
        .assert_problem(404, "not_found");
}

#[test]
fn a_body_over_64_kib_is_refused() {
    let sandbox = Sandbox::quick(&[]);
    let long = json!({"firstName": "x".repeat(70_000)});
    assert_refused(&sandbox.post("/onboard", long), 413, "INVALID_DATA");
}
