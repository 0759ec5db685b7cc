//! Answers: JSON, problems (RFC 9457) with stable codes, and what the store's errors mean to a client.

use std::fmt::Display;

use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use serde::Serialize;
use warp::reply::Response as Reply;

use crate::domain::Seq;
use crate::store::StoreError;

/// The point in the log that an answer was read at.
pub const SEQ_HEADER: HeaderName = HeaderName::from_static("waldo-syncd-seq");
/// When a refused delivery may be tried again.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// What a request is answered with when it is not answered as asked.
#[derive(Debug)]
pub struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    code: &'static str,
    detail: String,
    parameter: Option<String>,
    header: Option<(HeaderName, HeaderValue)>,
    close: bool,
    seq: Option<Seq>,
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
}

/// A part of a list, and where it goes on.
#[derive(Debug, Serialize)]
pub struct Listing<'a, T, N> {
    /// The items.
    pub items: &'a [T],
    /// What goes back in to get the next part.
    pub next: N,
}

impl Problem {
    /// A problem of one kind, in words for one case.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            status,
            code,
            detail: detail.into(),
            parameter: None,
            header: None,
            close: false,
            seq: None,
        }))
    }

    /// There is nothing there.
    #[must_use]
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", what)
    }

    /// A parameter is unknown, or its value is not one it can have.
    #[must_use]
    pub fn bad_parameter(name: &str, why: impl Display) -> Self {
        let detail = format!("{name}: {why}");
        let mut problem = Self::new(StatusCode::BAD_REQUEST, "bad_parameter", detail);
        problem.0.parameter = Some(name.to_owned());
        problem
    }

    /// The path knows other methods.
    #[must_use]
    pub fn method_not_allowed(allowed: &'static str) -> Self {
        let detail = format!("this path takes {allowed}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
            .with(ALLOW, HeaderValue::from_static(allowed))
    }

    /// No secret, or a wrong one; which of the two is not told.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "a valid secret is needed",
        )
        .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// The body did not come in time.
    #[must_use]
    pub fn request_timeout() -> Self {
        let detail = "the body did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail).and_close()
    }

    /// Nothing was kept; the same request may succeed later.
    #[must_use]
    pub fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
            .with(RETRY_AFTER, RETRY_AFTER_SECONDS)
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.header = Some((name, value));
        self
    }

    /// The connection is of no more use.
    #[must_use]
    pub fn and_close(mut self) -> Self {
        self.0.close = true;
        self
    }

    /// Tells the point in the log at which this was found.
    #[must_use]
    pub fn at(mut self, seq: Seq) -> Self {
        self.0.seq = Some(seq);
        self
    }

    /// The status it is answered with.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.0.status
    }
}

impl From<Problem> for Reply {
    fn from(Problem(problem): Problem) -> Self {
        let problem = *problem;
        let body = ProblemBody {
            r#type: "about:blank",
            title: problem.status.canonical_reason().unwrap_or("Error"),
            status: problem.status.as_u16(),
            detail: &problem.detail,
            code: problem.code,
            parameter: problem.parameter.as_deref(),
        };
        let mut reply = json_bytes(problem.status, &body);
        let headers = reply.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some((name, value)) = problem.header {
            headers.insert(name, value);
        }
        if problem.close {
            headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(seq) = problem.seq {
            headers.insert(SEQ_HEADER, HeaderValue::from(seq.0));
        }
        reply
    }
}

/// The one table from the store's errors to answers. What the driver said stays in the log.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::QueueFull => Self::unavailable("queue_full", error.to_string()),
            StoreError::Lagging { .. } => Self::unavailable("lagging", error.to_string()),
            StoreError::NotReached(_) => Self::unavailable("seq_not_reached", error.to_string()),
            StoreError::Conflict(detail) => Self::new(StatusCode::CONFLICT, "conflict", detail),
            // The writer has logged it, once for all the deliveries that it concerns.
            StoreError::Unavailable(_) => {
                Self::unavailable("unavailable", "the store cannot serve this at present")
            }
            other => {
                log::error!("the store refused: {other}");
                Self::unavailable("unavailable", "the store cannot serve this at present")
            }
        }
    }
}

/// A value as JSON, and the point it was read at.
#[must_use]
pub fn json<T: Serialize>(value: &T, seq: Seq) -> Reply {
    let mut reply = json_bytes(StatusCode::OK, value);
    reply
        .headers_mut()
        .insert(SEQ_HEADER, HeaderValue::from(seq.0));
    reply
}

/// A value as JSON.
#[must_use]
pub fn json_bytes<T: Serialize>(status: StatusCode, value: &T) -> Reply {
    // Everything answered is structs of texts, numbers and lists of them.
    let body = serde_json::to_vec(value).unwrap_or_else(|error| {
        log::error!("an answer could not be written as JSON: {error}");
        b"null".to_vec()
    });
    bytes(status, "application/json", body)
}

/// A body of some type.
#[must_use]
pub fn bytes(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<bytes::Bytes>,
) -> Reply {
    let mut reply = Response::new(body.into().into());
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    reply
}

/// Whether `If-None-Match` names the tag, or any.
#[must_use]
pub fn none_match(headers: &http::HeaderMap, etag: &str) -> bool {
    headers
        .get_all(http::header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == etag || tag == "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_none_match_takes_lists_weak_tags_and_any() {
        let headers = |value: &'static str| {
            let mut headers = http::HeaderMap::new();
            headers.insert(http::header::IF_NONE_MATCH, HeaderValue::from_static(value));
            headers
        };
        assert!(none_match(&headers("\"1.2\""), "\"1.2\""));
        assert!(none_match(&headers("\"0.1\", W/\"1.2\""), "\"1.2\""));
        assert!(none_match(&headers("*"), "\"1.2\""));
        assert!(!none_match(&headers("\"1.3\""), "\"1.2\""));
    }

    #[test]
    fn a_full_queue_is_a_503_that_says_when_to_come_back() {
        let reply = Reply::from(Problem::from(StoreError::QueueFull));
        assert_eq!(reply.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(reply.headers()[RETRY_AFTER], "1");
    }
}
