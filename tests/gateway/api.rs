//! The daemon's own questions to Waldo, through the library.

use std::time::Duration;

use serde_json::json;
use waldo_syncd::config::{Secret, WaldoCredentials};
use waldo_syncd::domain::Timestamp;
use waldo_syncd::waldo::{Api, ApiAnswer, ApiError, Login, Times, Upstream as Way};

use super::common::upstream::{Reply, Seen, Upstream};

/// Asks this one question, with a login that gives `t`.
fn ask(
    target: &str,
    answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> (Result<ApiAnswer, ApiError>, Vec<Seen>) {
    let upstream = Upstream::start(move |seen| match seen.target.as_str() {
        "/authenticate" => Reply::json(200, json!({"token": "t"})),
        _ => answer(seen),
    });
    (ask_at(&upstream.url(), target), upstream.seen())
}

fn ask_at(url: &str, target: &str) -> Result<ApiAnswer, ApiError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let way = Way::new(url, Times::default()).unwrap();
    let credentials = WaldoCredentials {
        api_key: Secret::new("wk.key").unwrap(),
        client_secret: Secret::new("ws.secret").unwrap(),
    };
    let api = Api::new(way.clone(), Login::new(way, credentials));
    runtime.block_on(api.get(target))
}

#[test]
fn an_answer_comes_with_its_body_and_waldos_time() {
    let (answer, seen) = ask("/customer?customerId=c%201", |_| {
        Reply::new(
            200,
            &[("Date", "Sun, 06 Nov 1994 08:49:37 GMT")],
            "{\"customers\":[]}",
        )
    });
    let answer = answer.unwrap();
    assert_eq!(answer.body, "{\"customers\":[]}");
    assert_eq!(answer.date, Some(Timestamp(784_111_777_000)));
    assert!(!format!("{answer:?}").contains("customers"));
    assert!(seen[1].is("GET", "/customer?customerId=c%201"));
    assert_eq!(seen[1].header("authorization"), Some("Bearer t"));
    let (answer, _) = ask("/x", |_| Reply::new(200, &[("Date", "yesterday")], ""));
    assert_eq!(answer.unwrap().date, None);
}

#[test]
fn refusals_are_told_apart() {
    let cases = [
        (404, "NOT_FOUND", ApiError::NotFound),
        (403, "API_KEY_REVOKED", ApiError::Revoked),
        (
            503,
            "",
            ApiError::Busy {
                status: 503,
                retry_after: Some(Duration::from_secs(7)),
            },
        ),
        (
            429,
            "",
            ApiError::Busy {
                status: 429,
                retry_after: Some(Duration::from_secs(7)),
            },
        ),
        (
            403,
            "NOT_AUTHORIZED",
            ApiError::Refused {
                status: 403,
                code: Some("NOT_AUTHORIZED".to_owned()),
            },
        ),
        (
            400,
            "not a code",
            ApiError::Refused {
                status: 400,
                code: None,
            },
        ),
        (
            302,
            "",
            ApiError::Refused {
                status: 302,
                code: None,
            },
        ),
    ];
    for (status, code, expected) in cases {
        let (answer, seen) = ask("/history/kyc/c", move |_| {
            Reply::new(
                status,
                &[("Retry-After", "7")],
                json!({"code": code, "message": "m"}).to_string(),
            )
        });
        assert_eq!(answer.unwrap_err(), expected);
        assert_eq!(seen.len(), 2);
    }
}

#[test]
fn a_token_that_is_not_taken_is_replaced_once() {
    let (answer, seen) = ask("/x", |_| {
        Reply::json(401, json!({"code": "INVALID_TOKEN", "message": "m"}))
    });
    let refused = ApiError::Refused {
        status: 401,
        code: Some("INVALID_TOKEN".to_owned()),
    };
    assert_eq!(answer.unwrap_err(), refused);
    assert_eq!(seen.iter().filter(|seen| seen.is("GET", "/x")).count(), 2);
}

#[test]
fn a_login_that_fails_says_how() {
    for (status, code, expected) in [
        (401, "INVALID_API_KEY", ApiError::LoginRefused),
        (403, "API_KEY_REVOKED", ApiError::Revoked),
        (
            500,
            "",
            ApiError::Busy {
                status: 500,
                retry_after: None,
            },
        ),
    ] {
        let upstream =
            Upstream::start(move |_| Reply::json(status, json!({"code": code, "message": "m"})));
        assert_eq!(ask_at(&upstream.url(), "/x").unwrap_err(), expected);
        assert_eq!(upstream.seen().len(), 1);
    }
    // What stands before Waldo knows nothing of keys: the next try may succeed.
    for status in [403, 404] {
        let upstream = Upstream::start(move |_| Reply::new(status, &[], "<html>no</html>"));
        let fault = ask_at(&upstream.url(), "/x").unwrap_err();
        assert!(matches!(fault, ApiError::Odd(_)), "{status}: {fault:?}");
    }
}

#[test]
fn what_is_too_large_or_not_there_or_no_path_is_told() {
    let (answer, _) = ask("/x", |_| Reply::new(200, &[], vec![b'x'; (8 << 20) + 1]));
    assert!(matches!(answer, Err(ApiError::Odd(_))), "{answer:?}");
    let (answer, seen) = ask("no path", super::ok);
    assert!(matches!(answer, Err(ApiError::Odd(_))), "{answer:?}");
    assert_eq!(seen.len(), 1);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    assert!(matches!(ask_at(&url, "/x"), Err(ApiError::Unreachable(_))));
}
