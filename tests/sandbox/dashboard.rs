//! The page and who may use it.

use serde_json::json;

use super::Sandbox;

#[test]
fn the_page_is_served_with_a_strict_policy_and_asks_nobody_else() {
    let sandbox = Sandbox::quick(&[]);
    for path in ["/", "/sandbox", "/sandbox/app.js", "/sandbox/app.css"] {
        let answer = sandbox.plain("GET", path, None);
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let text = answer.text();
        for word in [
            "http://",
            "https://",
            "innerHTML",
            "insertAdjacent",
            "onclick",
            "style=",
            "eval(",
        ] {
            assert!(!text.contains(word), "{path}: {word}");
        }
    }
}

#[test]
fn pages_of_other_sites_may_do_nothing() {
    let sandbox = Sandbox::quick(&[]);
    let id = sandbox.somebody("fraud-review");
    let path = format!("/sandbox/customers/{id}/reject");
    let host = sandbox.process.address("sandbox").to_string();
    let call = |headers: &[(&str, &str)]| {
        let mut client = sandbox.client();
        client.call("POST", &path, headers, Some(b"")).unwrap()
    };
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        let answer = call(&[("Host", &host), ("Origin", origin)]);
        answer.assert_problem(403, "foreign_origin");
    }
    call(&[("Host", "evil.example")]).assert_problem(421, "misdirected_request");
    assert_eq!(sandbox.truth(&id)["status"], "REVIEW");
    let own = format!("http://{host}");
    assert_eq!(call(&[("Host", &host), ("Origin", &own)]).status, 200);
    assert_eq!(sandbox.truth(&id)["status"], "REJECTED");
}

#[test]
fn a_plain_form_post_is_a_decision_too() {
    let sandbox = Sandbox::quick(&[]);
    let id = sandbox.somebody("fraud-review");
    let path = format!("/sandbox/customers/{id}/flag");
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let mut client = sandbox.client();
    assert_eq!(
        client
            .call("POST", &path, &headers, Some(b"a=b"))
            .unwrap()
            .status,
        200
    );
    assert_eq!(sandbox.truth(&id)["flagged"], true);
}

#[test]
fn unknown_customers_and_actions_are_told() {
    let sandbox = Sandbox::quick(&[]);
    let id = sandbox.somebody("kyc-pass");
    for path in [
        "/sandbox/customers/nobody/approve".to_owned(),
        format!("/sandbox/customers/{id}/promote"),
    ] {
        sandbox
            .plain("POST", &path, None)
            .assert_problem(404, "not_found");
    }
    let wait = sandbox.plain("GET", "/sandbox/idle?wait=soon", None);
    wait.assert_bad_parameter("wait");
}

#[test]
fn hostile_text_comes_as_json_and_no_more() {
    let sandbox = Sandbox::quick(&[]);
    let hostile = "<img src=x onerror=alert(1)>";
    let id = sandbox.onboard(hostile, json!({}))["customerId"].clone();
    let answer = sandbox.plain("GET", "/sandbox/customers", None);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(sandbox.truth(id.as_str().unwrap())["externalId"], hostile);
}
