//! Answers from the store: lists, the point they were read at, and what the store's errors mean to a client.

use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use serde::Serialize;
use warp::reply::Response as Reply;

use crate::domain::Seq;
pub use crate::door::page::none_match;
pub use crate::door::problem::{bytes, json_bytes};
pub use crate::door::{Code, Problem};
use crate::store::{BackupError, StoreError};

/// The point in the log that an answer was read at.
pub const SEQ_HEADER: HeaderName = HeaderName::from_static("waldo-syncd-seq");

/// A part of a list, and where it goes on.
#[derive(Debug, Serialize)]
pub struct Listing<'a, T, N> {
    /// The items.
    pub items: &'a [T],
    /// What goes back in to get the next part.
    pub next: N,
}

/// The one table from the store's errors to answers. What the driver said stays in the log.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::QueueFull => Self::new(Code::QueueFull, error.to_string()),
            StoreError::Lagging { .. } => Self::new(Code::Lagging, error.to_string()),
            StoreError::NotReached(_) => Self::new(Code::SeqNotReached, error.to_string()),
            StoreError::Conflict(detail) => Self::new(Code::Conflict, detail),
            // The writer has logged it, once for all the deliveries that it concerns.
            StoreError::Unavailable(_) => {
                Self::new(Code::Unavailable, "the store cannot serve this at present")
            }
            other => {
                log::error!("the store refused: {other}");
                Self::new(Code::Unavailable, "the store cannot serve this at present")
            }
        }
    }
}

/// What keeps a backup from being made, to whoever asked for it and named the path.
impl From<BackupError> for Problem {
    fn from(error: BackupError) -> Self {
        let detail = error.to_string();
        match error {
            BackupError::Running => Self::new(Code::BackupRunning, detail),
            BackupError::Exists(_) => Self::new(Code::DestinationExists, detail),
            BackupError::Destination { .. } => Self::new(Code::BadDestination, detail),
            BackupError::Stopped => Self::new(Code::Stopping, detail),
            BackupError::Store(error) => error.into(),
            BackupError::Write { .. }
            | BackupError::Copy { .. }
            | BackupError::NotVerified(_)
            | BackupError::TooMuchWritten => {
                log::error!("no backup was made: {detail}");
                Self::new(Code::BackupFailed, detail)
            }
        }
    }
}

impl Problem {
    /// Tells the point in the log at which this was found.
    #[must_use]
    pub fn at(self, seq: Seq) -> Self {
        self.with(SEQ_HEADER, HeaderValue::from(seq.0))
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

/// JSON that is written already, and the point it was read at.
#[must_use]
pub fn written(json: Vec<u8>, seq: Seq) -> Reply {
    let mut reply = bytes(StatusCode::OK, "application/json", json);
    reply
        .headers_mut()
        .insert(SEQ_HEADER, HeaderValue::from(seq.0));
    reply
}

/// A part of a list whose items are written already.
#[must_use]
pub fn written_list<'a>(
    items: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
    next: &impl Serialize,
    seq: Seq,
) -> Reply {
    let length: usize = items.clone().map(|item| item.len() + 1).sum();
    let mut body = Vec::with_capacity(length + 64);
    body.extend_from_slice(b"{\"items\":[");
    for (at, item) in items.enumerate() {
        if at > 0 {
            body.push(b',');
        }
        body.extend_from_slice(item);
    }
    body.extend_from_slice(b"],\"next\":");
    // A number, a text or nothing.
    if serde_json::to_writer(&mut body, next).is_err() {
        body.extend_from_slice(b"null");
    }
    body.push(b'}');
    written(body, seq)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::RETRY_AFTER;

    #[test]
    fn a_full_queue_is_a_503_that_says_when_to_come_back() {
        let reply = Reply::from(Problem::from(StoreError::QueueFull));
        assert_eq!(reply.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(reply.headers()[RETRY_AFTER], "1");
    }
}
