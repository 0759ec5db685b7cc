//! Answers of any door: JSON, and problems (RFC 9457) with stable codes.

use std::fmt::Display;

use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use serde::Serialize;
use warp::reply::Response as Reply;

use super::Code;

/// When what is refused for the moment may be tried again.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// What a request is answered with when it is not answered as asked.
#[derive(Debug)]
pub struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    code: Code,
    detail: String,
    parameter: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A problem as it is answered (RFC 9457).
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Problem"))]
pub(crate) struct ProblemBody<'a> {
    /// `about:blank`: the status says what kind it is, `code` the rest.
    r#type: &'static str,
    /// The status in words.
    title: &'a str,
    /// As in the head of the answer.
    status: u16,
    /// What went wrong, for people.
    detail: &'a str,
    /// What went wrong, for programs: stable.
    code: Code,
    /// The query parameter that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
}

impl Problem {
    /// A problem of one kind, in words for one case. One of the moment (503) says when to come back.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let problem = Self(Box::new(Parts {
            code,
            detail: detail.into(),
            parameter: None,
            headers: Vec::new(),
        }));
        if code.status() == StatusCode::SERVICE_UNAVAILABLE {
            return problem.with(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        problem
    }

    /// There is nothing there.
    #[must_use]
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(Code::NotFound, what)
    }

    /// A parameter is unknown, or its value is not one it can have.
    #[must_use]
    pub fn bad_parameter(name: &str, why: impl Display) -> Self {
        let detail = format!("{name}: {why}");
        let mut problem = Self::new(Code::BadParameter, detail);
        problem.0.parameter = Some(name.to_owned());
        problem
    }

    /// The path knows other methods.
    #[must_use]
    pub fn method_not_allowed(allowed: &'static str) -> Self {
        let detail = format!("this path takes {allowed}");
        Self::new(Code::MethodNotAllowed, detail).with(ALLOW, HeaderValue::from_static(allowed))
    }

    /// No secret, or a wrong one; which of the two is not told.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(Code::Unauthorized, "a valid secret is needed")
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// The body did not come in time.
    #[must_use]
    pub fn request_timeout() -> Self {
        let detail = "the body did not arrive in time";
        Self::new(Code::RequestTimeout, detail).and_close()
    }

    /// Says more in a header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// The connection is of no more use.
    #[must_use]
    pub fn and_close(self) -> Self {
        self.with(CONNECTION, HeaderValue::from_static("close"))
    }

    /// What it is answered as.
    pub(crate) fn body(&self) -> ProblemBody<'_> {
        let Parts {
            code,
            detail,
            parameter,
            ..
        } = &*self.0;
        let status = code.status();
        ProblemBody {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail,
            code: *code,
            parameter: parameter.as_deref(),
        }
    }

    /// The status it is answered with.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.0.code.status()
    }
}

impl From<Problem> for Reply {
    fn from(problem: Problem) -> Self {
        let mut reply = json_bytes(problem.status(), &problem.body());
        let headers = reply.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.extend(problem.0.headers);
        reply
    }
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
