//! Calls that the daemon makes for its own sake: questions with a token of ours, answers as kinds to act on.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, DATE, HeaderValue};
use http::{HeaderMap, Request, StatusCode};

use super::answers::{MAX_ERROR_BYTES, error_code, http_date, retry_after};
use super::body::{Body, Held, hold, whole};
use super::login::{Login, LoginFault};
use super::upstream::{CallError, Upstream};
use crate::domain::Timestamp;

/// Bytes of an answer that are taken.
const MAX_ANSWER_BYTES: usize = 8 << 20;

/// What Waldo calls a login with a wrong key or secret, or without one.
const KEY_CODES: [&str; 2] = ["INVALID_API_KEY", "MISSING_PARAMETERS"];

/// Asks Waldo; cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    upstream: Upstream,
    login: Login,
}

/// What Waldo answered.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiAnswer {
    /// The body, which may hold personal data.
    pub body: Bytes,
    /// When, by Waldo's clock.
    pub date: Option<Timestamp>,
}

impl std::fmt::Debug for ApiAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiAnswer")
            .field("bytes", &self.body.len())
            .field("date", &self.date)
            .finish()
    }
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// Nobody there.
    #[error("Waldo cannot be reached: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("Waldo did not answer in time")]
    TooSlow,
    /// 404: unknown, or not evaluated yet.
    #[error("Waldo knows nothing of it (yet)")]
    NotFound,
    /// The API key was switched off: asking again makes no sense.
    #[error("the API key was switched off on Waldo's dashboard")]
    Revoked,
    /// The key or the secret is wrong.
    #[error("Waldo refuses the configured API key or client secret")]
    LoginRefused,
    /// 429 or 5xx: later.
    #[error("Waldo answered {status}")]
    Busy {
        /// The status.
        status: u16,
        /// When to ask again, if it said so.
        retry_after: Option<Duration>,
    },
    /// Any other status than 2xx.
    #[error("Waldo answered {status}{}", code.as_ref().map(|code| format!(" {code}")).unwrap_or_default())]
    Refused {
        /// The status.
        status: u16,
        /// Waldo's code.
        code: Option<String>,
    },
    /// An answer that makes no sense.
    #[error("Waldo's answer is not understood: {0}")]
    Odd(String),
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unreachable(why) => Self::Unreachable(why),
            CallError::TooSlow => Self::TooSlow,
            CallError::RequestBroken | CallError::Target => Self::Odd(error.to_string()),
        }
    }
}

impl From<LoginFault> for ApiError {
    fn from(fault: LoginFault) -> Self {
        match fault {
            // Some other server on the way says no as well, for a while; only Waldo's own words are about the key.
            LoginFault::Refused(code) if KEY_CODES.contains(&code.as_str()) => Self::LoginRefused,
            LoginFault::Refused(what) => Self::Odd(format!("it answered a login with {what}")),
            LoginFault::Revoked => Self::Revoked,
            LoginFault::Busy {
                status,
                retry_after,
            } => Self::Busy {
                status,
                retry_after,
            },
            LoginFault::Odd(why) => Self::Odd(why),
            LoginFault::Call(error) => error.into(),
        }
    }
}

impl Api {
    /// Asks by this way, with tokens from there.
    #[must_use]
    pub const fn new(upstream: Upstream, login: Login) -> Self {
        Self { upstream, login }
    }

    /// Lets the next question try a login that was refused a moment ago.
    pub async fn forget_refusal(&self) {
        self.login.forget_refusal().await;
    }

    /// The answer to a GET.
    ///
    /// # Errors
    /// When there is none, or another one than 2xx.
    pub async fn get(&self, path_and_query: &str) -> Result<ApiAnswer, ApiError> {
        let (head, body) = self.ask(path_and_query).await?;
        let date = head
            .headers
            .get(DATE)
            .and_then(|value| http_date(value.to_str().ok()?));
        if head.status.is_success() {
            return match hold(body, MAX_ANSWER_BYTES).await? {
                Held::Whole(body) => Ok(ApiAnswer { body, date }),
                Held::Larger(_) => Err(ApiError::Odd(format!(
                    "it is larger than {} MiB",
                    MAX_ANSWER_BYTES >> 20
                ))),
            };
        }
        let code = code_of(body).await?;
        Err(refusal(head.status, code, &head.headers))
    }

    /// Asks with a token, and once more with a fresh one if Waldo does not take that.
    async fn ask(&self, target: &str) -> Result<(http::response::Parts, Body), ApiError> {
        let mut again = true;
        loop {
            let token = self.login.token().await?;
            let mut request = Request::get(target)
                .body(whole(Bytes::new()))
                .map_err(|_| ApiError::Odd("the target is no path".to_owned()))?;
            let headers = request.headers_mut();
            headers.insert(AUTHORIZATION, token.header());
            headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            let answer = self.upstream.send(request).await?;
            self.login.take_fresh(&token, &answer);
            let unauthorized = answer.status() == StatusCode::UNAUTHORIZED;
            if !(unauthorized && again && self.login.give_up(&token)) {
                return Ok(answer.into_parts());
            }
            again = false;
        }
    }
}

async fn code_of(body: Body) -> Result<Option<String>, CallError> {
    Ok(match hold(body, MAX_ERROR_BYTES).await? {
        Held::Whole(body) => error_code(&body),
        Held::Larger(_) => None,
    })
}

fn refusal(status: StatusCode, code: Option<String>, headers: &HeaderMap) -> ApiError {
    match code.as_deref() {
        Some("API_KEY_REVOKED") => return ApiError::Revoked,
        Some("INVALID_API_KEY") => return ApiError::LoginRefused,
        _ => {}
    }
    match status {
        StatusCode::NOT_FOUND => ApiError::NotFound,
        status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
            ApiError::Busy {
                status: status.as_u16(),
                retry_after: retry_after(headers),
            }
        }
        status => ApiError::Refused {
            status: status.as_u16(),
            code,
        },
    }
}
