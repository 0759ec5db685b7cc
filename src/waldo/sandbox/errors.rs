//! Waldo's refusals: `{code, message}`.

use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};
use serde_json::json;
use warp::reply::Response as Reply;

use crate::door::problem::json_bytes;

/// Why a call of the API was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiError {
    /// Key or secret is missing.
    MissingParameters,
    /// Wrong key or secret.
    InvalidApiKey,
    /// The key was switched off.
    KeyRevoked,
    /// No Authorization header.
    NoHeader,
    /// The account may not do that.
    NotEntitled,
    /// Not our token, or expired.
    InvalidToken,
    /// A field is missing or wrong.
    InvalidData(String),
    /// A field of a document is missing.
    MissingData(&'static str),
    /// `customerId` or `flag` is missing or wrong.
    InvalidQuery(&'static str),
    /// An unknown customer, or not evaluated yet.
    NotFound,
    /// The body is larger than the path takes.
    TooLarge(&'static str),
    /// A limit of the sandbox's memory.
    Full(&'static str),
    /// There is no such path.
    NoPath,
    /// The path knows other methods.
    NoMethod,
    /// What `POST /sandbox/trouble` asked for.
    Trouble {
        /// To answer.
        status: StatusCode,
        /// For the header.
        retry_after_seconds: Option<u32>,
    },
}

impl ApiError {
    fn parts(&self) -> (StatusCode, &'static str, String) {
        let (status, code, message) = match self {
            Self::MissingParameters => (400, "MISSING_PARAMETERS", "A parameter is missing"),
            Self::InvalidApiKey => (401, "INVALID_API_KEY", "Bad key or secret"),
            Self::KeyRevoked => (
                403,
                "API_KEY_REVOKED",
                "Key was switched off; see the dashboard",
            ),
            Self::NoHeader => (403, "NOT_AUTHORIZED", "Header missing"),
            Self::NotEntitled => (
                403,
                "NOT_AUTHORIZED",
                "This account may not do that; ask support to enable it",
            ),
            Self::InvalidToken => (401, "INVALID_TOKEN", "Bad or expired token"),
            Self::InvalidData(field) => {
                return (
                    StatusCode::BAD_REQUEST,
                    "INVALID_DATA",
                    format!("Bad value: {field}"),
                );
            }
            Self::MissingData(field) => {
                return (
                    StatusCode::BAD_REQUEST,
                    "MISSING_DATA",
                    format!("No value: {field}"),
                );
            }
            Self::InvalidQuery(what) => (400, "INVALID_QUERY", *what),
            Self::NotFound => (404, "NOT_FOUND", "No history for this customer"),
            Self::TooLarge(what) => (413, "INVALID_DATA", *what),
            Self::Full(what) => (503, "SANDBOX_FULL", *what),
            Self::NoPath => (404, "NOT_FOUND", "There is no such path"),
            Self::NoMethod => (405, "METHOD_NOT_ALLOWED", "This path takes another method"),
            Self::Trouble { status, .. } => {
                return (*status, "TROUBLE", "Asked for by /sandbox/trouble".into());
            }
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, code, message.to_owned())
    }
}

impl From<ApiError> for Reply {
    fn from(error: ApiError) -> Self {
        let error = match error {
            // These have documented bodies.
            ApiError::Trouble { status, .. } if status == StatusCode::UNAUTHORIZED => {
                ApiError::InvalidToken
            }
            ApiError::Trouble { status, .. } if status == StatusCode::FORBIDDEN => {
                ApiError::NotEntitled
            }
            other => other,
        };
        let (status, code, message) = error.parts();
        let mut reply = json_bytes(status, &json!({"code": code, "message": message}));
        if let ApiError::Trouble {
            retry_after_seconds: Some(seconds),
            ..
        } = error
        {
            reply
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        reply
    }
}
