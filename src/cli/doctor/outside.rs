//! What is beyond this machine: Waldo's API, and what the proxy in front of the daemon passes on.

use std::time::Duration;

use bytes::Bytes;
use http::header::LOCATION;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;

use super::findings::{Findings, Level};
use crate::waldo::body::whole;
use crate::waldo::upstream::UpstreamError;
use crate::waldo::{CallError, Times, Upstream};

/// How long an answer may take, each of its waits.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);
/// Bytes of an answer that are looked at.
const MAX_ANSWER: usize = 64 * 1024;
/// What the proxy must pass on.
const WEBHOOKS: &str = "/webhooks/waldo";
/// What it must not: a path that the query door has and the ingest door has not.
const READS: &str = "/v1/stats";

/// Whether Waldo's API answers at all: name, connection, TLS.
pub(super) fn waldo(url: &str, findings: &mut Findings) {
    const CHECK: &str = "waldo";
    let upstream = Upstream::new(url, times()).map_err(|error| error.to_string());
    match upstream.and_then(|upstream| ask(&upstream, "/").map_err(|error| error.to_string())) {
        // Whatever it says of a path that nobody documented: somebody with a good certificate is there.
        Ok(_) => findings.ok(CHECK, format!("{url} answers")),
        Err(why) => findings.problem(
            CHECK,
            format!("{url}: {why}"),
            "does this machine resolve the name, may it connect out, are its certificates current?",
        ),
    }
}

/// Whether the proxy passes webhooks on, by TLS, and nothing else.
pub(super) fn proxy(base: &str, findings: &mut Findings) {
    const CHECK: &str = "proxy";
    let base = base.trim_end_matches('/');
    if !base.starts_with("https://") {
        findings.problem(
            CHECK,
            format!("{base} is not https://: the secret and what it guards cross the network in the clear"),
            "let the proxy speak TLS, and give Waldo the https:// URL only",
        );
    }
    let prefix = base.parse::<Uri>().map_or(String::new(), |uri| {
        uri.path().trim_end_matches('/').to_owned()
    });
    let look = |path: &str| -> Result<Answer, String> {
        let upstream = Upstream::to_any_address(base, times()).map_err(|error| match error {
            UpstreamError::NoCertificates(error) => format!(
                "this system has no certificates to check its own with ({error}); install the package ca-certificates"
            ),
            UpstreamError::Url(_) => "it is no URL of a host".to_owned(),
        })?;
        ask(&upstream, &format!("{prefix}{path}")).map_err(|error| match error {
            CallError::Unreachable(cause) => cause,
            CallError::TooSlow => format!("no answer within {} s", ANSWERS_WITHIN.as_secs()),
            error => error.to_string(),
        })
    };
    match look(WEBHOOKS) {
        Ok(answer) => {
            let (level, finding, advice) = of_webhooks(&answer);
            let finding = format!("GET {base}{WEBHOOKS} {finding}");
            findings.add(CHECK, level, finding, Some(advice));
        }
        Err(why) => {
            return findings.problem(
                CHECK,
                format!("{base} cannot be reached from here: {why}"),
                "name, certificate, firewall, is the proxy running? From inside the network it may be reached in another \
                 way than by Waldo: ask from elsewhere too",
            );
        }
    }
    match look(READS) {
        Ok(answer) => {
            let (level, finding, advice) = of_reads(&answer);
            let finding = format!("GET {base}{READS} {finding}");
            findings.add(CHECK, level, finding, Some(advice));
        }
        Err(why) => findings.warn(CHECK, format!("GET {base}{READS}: {why}"), "ask again"),
    }
}

/// What came back.
#[derive(Debug, Default)]
struct Answer {
    status: StatusCode,
    location: String,
    body: Value,
}

impl Answer {
    /// The code of a problem, as every door of ours names it.
    fn code(&self) -> Option<&str> {
        self.body["code"].as_str()
    }
}

type Judged = (Level, String, &'static str);

/// The ingest door takes POST only, and says so to a GET.
fn of_webhooks(answer: &Answer) -> Judged {
    const PASS_ON: &str = "let the proxy pass /webhooks/waldo and what is below it on to the ingest door, before anything else \
                           of that name answers; `waldo-syncd init` prints how";
    let status = answer.status;
    match status.as_u16() {
        405 if answer.code() == Some("method_not_allowed") => {
            (Level::Ok, "leads to the ingest door".to_owned(), "")
        }
        405 => (
            Level::Warning,
            format!("answers {status}, but not in the daemon's words"),
            "the proxy replaces its answers or refuses the method by itself: post a webhook with the curl of \
             `waldo-syncd init` and see whether it comes",
        ),
        300..=399 => (
            Level::Problem,
            format!("is redirected to {}", answer.location),
            "a sender that follows may do so without the body: give Waldo the URL it ends at, or take the redirect out",
        ),
        200..=299 => (
            Level::Problem,
            format!(
                "answers {status}: something else is there, and takes webhooks without keeping them"
            ),
            PASS_ON,
        ),
        401 | 403 => (
            Level::Problem,
            format!("answers {status}: something keeps senders out before the daemon is asked"),
            "no login and no filter for this path; the secret in it is the login",
        ),
        404 => (
            Level::Problem,
            format!("answers {status}: it is not passed on"),
            PASS_ON,
        ),
        502..=504 => (
            Level::Problem,
            format!("answers {status}: the proxy does not reach the daemon"),
            "does the daemon run, and is it the address of the ingest door that the proxy has?",
        ),
        _ => (Level::Problem, format!("answers {status}"), PASS_ON),
    }
}

/// The query door belongs on this machine.
fn of_reads(answer: &Answer) -> Judged {
    const SHUT: &str =
        "let the proxy pass /webhooks/waldo on and answer everything else itself, with 404";
    let status = answer.status;
    match (status.as_u16(), answer.code()) {
        (200, _) if answer.body["projectedSeq"].is_number() => (
            Level::Problem,
            "answers 200: the query door is open, and anybody out there reads every customer"
                .to_owned(),
            SHUT,
        ),
        (421, Some("misdirected_request")) => (
            Level::Problem,
            "reaches the query door, which only refuses the name it was called by".to_owned(),
            SHUT,
        ),
        (401, Some("unauthorized")) => (
            Level::Warning,
            "reaches the query door, which asks for its token".to_owned(),
            SHUT,
        ),
        (200..=299, _) => (
            Level::Warning,
            format!("answers {status}: not the query door, but something that takes any path"),
            "a mistyped webhook URL would lose events in silence: answer 404 to what is not served",
        ),
        (400..=499, _) => (
            Level::Ok,
            format!("answers {status}: the query door is not behind it"),
            "",
        ),
        _ => (
            Level::Warning,
            format!("answers {status}, which does not say what is behind it"),
            SHUT,
        ),
    }
}

fn times() -> Times {
    Times {
        connect: ANSWERS_WITHIN,
        head: ANSWERS_WITHIN,
        body_idle: ANSWERS_WITHIN,
    }
}

fn ask(upstream: &Upstream, path: &str) -> Result<Answer, CallError> {
    let broken = |error: &dyn std::fmt::Display| CallError::Unreachable(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| broken(&error))?;
    runtime.block_on(async {
        let request = Request::get(path)
            .body(whole(Bytes::new()))
            .map_err(|error| broken(&error))?;
        let answer = upstream.send(request).await?;
        let status = answer.status();
        let location = answer.headers().get(LOCATION);
        let location = location.map_or_else(String::new, |value| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        });
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect();
        // What breaks off, never ends or is too long is not ours.
        let body = match tokio::time::timeout(ANSWERS_WITHIN, body).await {
            Ok(Ok(body)) => serde_json::from_slice(&body.to_bytes()).unwrap_or_default(),
            _ => Value::Null,
        };
        Ok(Answer {
            status,
            location,
            body,
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: Value) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            body,
            ..Answer::default()
        }
    }

    #[test]
    fn webhooks_get_through_only_where_the_ingest_door_answers() {
        let ours = answer(405, json!({"code": "method_not_allowed"}));
        assert_eq!(of_webhooks(&ours).0, Level::Ok);
        assert_eq!(of_webhooks(&answer(405, Value::Null)).0, Level::Warning);
        for status in [
            200, 204, 301, 308, 400, 401, 403, 404, 421, 500, 502, 503, 504,
        ] {
            let judged = of_webhooks(&answer(status, Value::Null));
            assert_eq!(judged.0, Level::Problem, "{status}");
            assert!(!judged.2.is_empty(), "{status}");
        }
    }

    #[test]
    fn a_query_door_that_is_behind_the_proxy_is_told_whatever_it_answers() {
        for (status, body, level) in [
            (200, json!({"projectedSeq": 5}), Level::Problem),
            (421, json!({"code": "misdirected_request"}), Level::Problem),
            (401, json!({"code": "unauthorized"}), Level::Warning),
            (200, Value::Null, Level::Warning),
            (401, Value::Null, Level::Ok),
            (404, json!({"code": "not_found"}), Level::Ok),
            (403, Value::Null, Level::Ok),
            (301, Value::Null, Level::Warning),
            (502, Value::Null, Level::Warning),
        ] {
            let answer = answer(status, body);
            assert_eq!(of_reads(&answer).0, level, "{answer:?}");
        }
    }
}
