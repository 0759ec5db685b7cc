//! Tokens that the daemon brings itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::common::upstream::{Reply, Seen, Upstream};
use super::{CREDENTIALS, gateway_to};

fn token_of(seen: &Seen) -> &str {
    seen.header("authorization")
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or("")
}

fn invalid_token() -> Reply {
    Reply::json(
        401,
        json!({"code": "INVALID_TOKEN", "message": "Invalid token"}),
    )
}

/// Gives tokens `t1`, `t2` …, and answers other calls as told.
fn waldo(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Upstream {
    let given = AtomicUsize::new(0);
    Upstream::start(move |seen| {
        if seen.is("POST", "/authenticate") {
            let number = given.fetch_add(1, Ordering::SeqCst) + 1;
            return Reply::json(200, json!({"token": format!("t{number}")}));
        }
        answer(seen)
    })
}

#[test]
fn twenty_calls_at_once_share_one_login() {
    let upstream = waldo(|_| Reply::json(200, "{}"));
    let daemon = gateway_to(&upstream.url(), CREDENTIALS);
    let start = Barrier::new(20);
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let mut app = daemon.app();
                start.wait();
                assert_eq!(app.get("/customer").status, 200);
            });
        }
    });
    assert_eq!(upstream.count("POST", "/authenticate"), 1);
    let login = upstream
        .seen()
        .into_iter()
        .find(|seen| seen.is("POST", "/authenticate"))
        .unwrap();
    assert_eq!(
        login.json(),
        json!({"apiKey": "wk.sandbox.key-of-ours", "clientSecret": "ws.sandbox.secret-of-ours"})
    );
    let calls = upstream.seen();
    let calls: Vec<_> = calls
        .iter()
        .filter(|seen| seen.is("GET", "/customer"))
        .collect();
    assert_eq!(calls.len(), 20);
    assert!(calls.iter().all(|seen| token_of(seen) == "t1"));
}

#[test]
fn the_apps_own_token_goes_before_ours_and_its_own_login_gets_none() {
    let upstream = waldo(|_| Reply::json(200, "{}"));
    let daemon = gateway_to(&upstream.url(), CREDENTIALS);
    let mut app = daemon.app();
    let own = [("Authorization", "Bearer of-the-app")];
    app.call("GET", "/customer", &own, None).unwrap();
    assert_eq!(token_of(&upstream.last()), "of-the-app");
    assert_eq!(upstream.seen().len(), 1);
    let answer = app
        .call(
            "POST",
            "/authenticate",
            &[],
            Some(b"{\"apiKey\":\"of-the-app\"}"),
        )
        .unwrap();
    assert_eq!(answer.json()["token"], "t1");
    assert_eq!(upstream.last().header("authorization"), None);
    assert_eq!(upstream.seen().len(), 2);
}

#[test]
fn without_credentials_nothing_is_added() {
    let upstream = waldo(|_| Reply::json(403, json!({"code": "NOT_AUTHORIZED", "message": "m"})));
    let daemon = gateway_to(&upstream.url(), "");
    assert_eq!(daemon.app().get("/customer").status, 403);
    assert_eq!(upstream.last().header("authorization"), None);
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn the_fresh_token_of_an_answer_is_used_from_then_on_and_given_to_the_app() {
    let upstream = waldo(|seen| {
        let fresh = format!("Bearer {}+", token_of(seen));
        Reply::new(200, &[("Authorization", &fresh)], "{}")
    });
    let daemon = gateway_to(&upstream.url(), CREDENTIALS);
    let mut app = daemon.app();
    for (used, given) in [
        ("t1", "Bearer t1+"),
        ("t1+", "Bearer t1++"),
        ("t1++", "Bearer t1+++"),
    ] {
        let answer = app.get("/customer");
        assert_eq!(token_of(&upstream.last()), used);
        assert_eq!(answer.header("authorization"), Some(given));
    }
    // What answers the app's own token is not taken over.
    app.call("GET", "/x", &[("Authorization", "Bearer own")], None)
        .unwrap();
    app.get("/customer");
    assert_eq!(token_of(&upstream.last()), "t1+++");
    assert_eq!(upstream.count("POST", "/authenticate"), 1);
}

#[test]
fn a_token_near_its_end_is_renewed_before_it() {
    let given = AtomicUsize::new(0);
    let upstream = Upstream::start(move |seen| {
        if seen.is("POST", "/authenticate") {
            let number = given.fetch_add(1, Ordering::SeqCst);
            // The first has two seconds to live, of which the last one is not used.
            let life = [2, 3600][number.min(1)];
            let claims =
                json!({"iat": 1_700_000_000, "exp": 1_700_000_000 + life, "n": number}).to_string();
            return Reply::json(
                200,
                json!({"token": format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims))}),
            );
        }
        Reply::json(200, "{}")
    });
    let daemon = gateway_to(&upstream.url(), CREDENTIALS);
    let mut app = daemon.app();
    app.get("/customer");
    super::common::place::poll("a second login", std::time::Duration::from_secs(30), || {
        app.get("/customer");
        (upstream.count("POST", "/authenticate") > 1).then_some(())
    });
    let tokens: std::collections::BTreeSet<_> = upstream
        .seen()
        .iter()
        .map(|seen| token_of(seen).to_owned())
        .collect();
    assert_eq!(tokens.len(), 3, "none for the logins, and two");
    app.get("/customer");
    assert_eq!(upstream.count("POST", "/authenticate"), 2);
}

#[test]
fn a_token_that_waldo_does_not_take_is_replaced_and_the_call_made_again() {
    let upstream = waldo(|seen| match token_of(seen) {
        "t1" => invalid_token(),
        _ => Reply::json(200, json!({"requestId": "r-again", "customerId": "c"})),
    });
    let daemon = gateway_to(&upstream.url(), CREDENTIALS);
    let body = br#"{"customerId":"c"}"#;
    let answer = daemon
        .app()
        .call("POST", "/check-fraud", &[], Some(body))
        .unwrap();
    assert_eq!(
        (answer.status, answer.json()["requestId"].as_str()),
        (200, Some("r-again"))
    );
    assert_eq!(answer.header("waldo-syncd-recorded"), None);
    let calls = upstream.seen();
    let calls: Vec<_> = calls
        .iter()
        .filter(|seen| seen.is("POST", "/check-fraud"))
        .collect();
    assert_eq!(
        calls.iter().map(|seen| token_of(seen)).collect::<Vec<_>>(),
        ["t1", "t2"]
    );
    assert!(calls.iter().all(|seen| seen.body == body));
    assert_eq!(daemon.get("/v1/requests/r-again").status, 200);
}

#[test]
fn a_call_with_a_large_body_is_not_made_twice_but_the_next_has_a_fresh_token() {
    let upstream = waldo(|seen| match token_of(seen) {
        "t1" => invalid_token(),
        _ => Reply::json(200, "{}"),
    });
    let daemon = gateway_to(&upstream.url(), CREDENTIALS);
    let mut app = daemon.app();
    let answer = app
        .call("POST", "/document", &[], Some(&vec![b'x'; 100_000]))
        .unwrap();
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (401, Some("INVALID_TOKEN"))
    );
    assert_eq!(upstream.count("POST", "/document"), 1);
    assert_eq!(app.get("/customer").status, 200);
    assert_eq!(token_of(&upstream.last()), "t2");
}

#[test]
fn a_waldo_that_takes_no_token_is_not_hammered() {
    let upstream = waldo(|_| invalid_token());
    let daemon = gateway_to(&upstream.url(), CREDENTIALS);
    let mut app = daemon.app();
    for _ in 0..10 {
        let answer = app.get("/customer");
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (401, Some("INVALID_TOKEN"))
        );
    }
    assert!(upstream.count("POST", "/authenticate") <= 3);
}

#[test]
fn another_401_is_handed_on() {
    let upstream = waldo(|_| Reply::json(401, json!({"code": "SOMETHING_ELSE", "message": "m"})));
    let daemon = gateway_to(&upstream.url(), CREDENTIALS);
    assert_eq!(
        daemon.app().get("/customer").json()["code"],
        "SOMETHING_ELSE"
    );
    assert_eq!(upstream.seen().len(), 2);
}

#[test]
fn a_refused_login_is_told_and_not_repeated_at_once() {
    for (status, code) in [(401, "INVALID_API_KEY"), (403, "API_KEY_REVOKED")] {
        let upstream =
            Upstream::start(move |_| Reply::json(status, json!({"code": code, "message": "m"})));
        let daemon = gateway_to(&upstream.url(), CREDENTIALS);
        let mut app = daemon.app();
        for _ in 0..5 {
            let answer = app.call("POST", "/onboard", &[], Some(b"{}")).unwrap();
            answer.assert_problem(502, "waldo_login_refused");
            assert!(answer.text().contains(code), "{}", answer.text());
        }
        assert_eq!(upstream.seen().len(), 1, "{:?}", upstream.seen());
        let log = daemon.log();
        assert_eq!(log.matches("cannot log in at Waldo").count(), 1, "{log}");
    }
}

#[test]
fn a_failed_login_is_shared_and_tried_again_later() {
    let well = Arc::new(Mutex::new(false));
    let now = Arc::clone(&well);
    let upstream =
        Upstream::start(
            move |seen| match (seen.target.as_str(), *now.lock().unwrap()) {
                ("/authenticate", false) => Reply::json(503, "{}"),
                ("/authenticate", true) => Reply::json(200, json!({"token": "t"})),
                _ => Reply::json(200, "{}"),
            },
        );
    let daemon = gateway_to(&upstream.url(), CREDENTIALS);
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                daemon
                    .app()
                    .get("/customer")
                    .assert_problem(502, "waldo_login_failed")
            });
        }
    });
    assert!(upstream.seen().len() <= 3, "{}", upstream.seen().len());
    *well.lock().unwrap() = true;
    let mut app = daemon.app();
    super::common::place::poll(
        "a login that works",
        std::time::Duration::from_secs(40),
        || (app.get("/customer").status == 200).then_some(()),
    );
}

#[test]
fn an_answer_that_is_no_login_is_told_as_such() {
    let upstream = Upstream::start(|_| Reply::new(200, &[], "<html>secret-page</html>"));
    let daemon = gateway_to(&upstream.url(), CREDENTIALS);
    let answer = daemon.app().get("/customer");
    answer.assert_problem(502, "waldo_login_failed");
    assert!(!answer.text().contains("secret-page") && !daemon.log().contains("secret-page"));
}

#[test]
fn no_key_token_body_or_query_is_in_the_log() {
    let upstream = waldo(|seen| match seen.target.as_str() {
        "/onboard" => Reply::new(
            200,
            &[("Authorization", "Bearer fresh-token-text")],
            "no json person-in-answer",
        ),
        _ => Reply::json(404, "{}"),
    });
    let mut daemon = gateway_to(
        &upstream.url(),
        &format!("{CREDENTIALS}\n[log]\nlevel = \"trace\"\n"),
    );
    let mut app = daemon.app();
    app.call(
        "POST",
        "/onboard?person-in-query=1",
        &[("X-A", "person-in-field")],
        Some(b"{\"lastName\":\"person-in-body\"}"),
    )
    .unwrap();
    app.get("/customer?email=person-in-query");
    app.get("/history/kyc/person-in-path");
    daemon.stop();
    let log = daemon.log();
    for secret in [
        "person-in",
        "key-of-ours",
        "secret-of-ours",
        "fresh-token-text",
        "Bearer",
        "t1\"",
    ] {
        assert!(!log.contains(secret), "{secret} in:\n{log}");
    }
}
