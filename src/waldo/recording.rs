//! Keeps what Waldo answered, by telling it to the daemon's control socket.
//!
//! Invariant: only outcomes and ids leave here, and only 2xx means kept.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_ENCODING, HeaderMap};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::counted::Counted;
use super::daemon::{Daemon, DaemonFault};
use crate::domain::answer::{self, Beside, Call, NoOutcome};

/// How long the daemon may take.
const RECORD_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of an answer that are held back for recording; the documented ones have a few hundred.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;
/// The calls whose answers are recorded.
const PATHS: [(&str, Call); 4] = [
    ("/onboard", Call::Onboard),
    ("/check-fraud", Call::CheckFraud),
    ("/document", Call::Document),
    ("/flag", Call::Flag),
];

/// A call whose answer is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedCall {
    path: &'static str,
    call: Call,
}

/// Whether the answer to this call is recorded, and as what.
#[must_use]
pub fn recorded_call(method: &Method, path: &str) -> Option<RecordedCall> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let (path, call) = PATHS.into_iter().find(|(known, _)| *known == path)?;
    (method == Method::POST).then_some(RecordedCall { path, call })
}

impl RecordedCall {
    /// What a call with this body asks for, if it is a flag call that can be read.
    #[must_use]
    pub fn flag(self, body: &[u8]) -> Option<FlagCall> {
        serde_json::from_slice(body).ok().filter(|_| self.is_flag())
    }

    /// Whether it is a call to `/flag`.
    #[must_use]
    pub fn is_flag(self) -> bool {
        self.call == Call::Flag
    }
}

/// Why an answer was not recorded. No part of it is in here.
#[derive(Debug, thiserror::Error)]
pub enum NotRecorded {
    /// It was asked for in plain, and came otherwise.
    #[error("it is compressed")]
    Compressed,
    /// It is too large to be held.
    #[error("it is larger than {} KiB", MAX_ANSWER_BYTES >> 10)]
    TooLarge,
    /// It cannot be read.
    #[error("{0}")]
    NoOutcome(#[from] NoOutcome),
    /// It broke off.
    #[error("it broke off")]
    BrokenOff,
    /// The daemon is not there, or did not keep it.
    #[error(transparent)]
    Daemon(#[from] DaemonFault),
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn no_json(error: serde_json::Error) -> NotRecorded {
    // A syntax error names a place and quotes nothing.
    NoOutcome::NoObject(error.to_string()).into()
}

/// What the control socket takes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AnswerBody<'a> {
    source: &'static str,
    path: &'static str,
    status: u16,
    answer: &'a RawValue,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    flag_noted: bool,
}

/// What a call to `/flag` asks for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlagCall {
    customer_id: String,
    flag: bool,
}

/// Records answers; cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {
    daemon: Daemon,
    counted: Arc<Counted>,
}

impl Recorder {
    /// By the control socket at this path.
    #[must_use]
    pub fn new(control: &str, counted: Arc<Counted>) -> Self {
        Self {
            daemon: Daemon::new(control).that_answers_within(RECORD_WITHIN),
            counted,
        }
    }

    /// Keeps an answer that is at hand, and says when that did not work. Whether it is durable now.
    pub async fn record(
        &self,
        of: RecordedCall,
        status: http::StatusCode,
        headers: &HeaderMap,
        body: &Bytes,
        flag_noted: bool,
    ) -> bool {
        let outcome = self.tell(of, status, headers, body, flag_noted).await;
        self.count(of, &outcome);
        outcome.is_ok()
    }

    /// Notes a flag call before it is made: its webhook may be quicker than its answer. Whether that worked; if not, the
    /// answer will note it.
    pub async fn note_flag(&self, call: &FlagCall) -> bool {
        let noted = self.post("/v1/flags", call).await;
        if let Err(why) = &noted {
            log::warn!("a flag call was not noted before it is made: {why}");
        }
        noted.is_ok()
    }

    /// Takes back a note: Waldo refused the call.
    pub async fn withdraw_flag(&self, call: &FlagCall) {
        let body = serde_json::json!({
            "customerId": call.customer_id, "flag": call.flag, "withdrawn": true,
        });
        if let Err(why) = self.post("/v1/flags", &body).await {
            log::warn!("the note of a flag call that Waldo refused stays: {why}");
        }
    }

    /// Says that an answer could not be kept.
    pub fn missed(&self, of: RecordedCall, why: NotRecorded) {
        self.count(of, &Err(why));
    }

    fn count(&self, of: RecordedCall, outcome: &Result<(), NotRecorded>) {
        let recorded = match outcome {
            Ok(()) => "yes",
            Err(why) => {
                log::error!(
                    "an answer of Waldo's to {} was not recorded: {why}",
                    of.path
                );
                "no"
            }
        };
        self.counted.gateway_answers.add(recorded, 1);
    }

    async fn tell(
        &self,
        of: RecordedCall,
        status: http::StatusCode,
        headers: &HeaderMap,
        body: &Bytes,
        flag_noted: bool,
    ) -> Result<(), NotRecorded> {
        let plain = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
        if !headers.get_all(CONTENT_ENCODING).iter().all(plain) {
            return Err(NotRecorded::Compressed);
        }
        let answer: &RawValue = serde_json::from_slice(body).map_err(no_json)?;
        // The daemon keeps no more than this either; what is left out here does not even reach it.
        let outcome = answer::outcome(of.call, answer, Beside::default())?;
        let told = AnswerBody {
            source: "gateway",
            path: of.path,
            status: status.as_u16(),
            answer: &RawValue::from_string(outcome).map_err(no_json)?,
            flag_noted,
        };
        self.post("/v1/answers", &told).await
    }

    async fn post(&self, path: &str, body: &(impl Serialize + Sync)) -> Result<(), NotRecorded> {
        let _: IgnoredAny = self.daemon.post(path, body, Duration::ZERO).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_posts_to_four_paths_are_recorded() {
        for (method, path, recorded) in [
            (Method::POST, "/onboard", Some("/onboard")),
            (Method::POST, "/onboard/", Some("/onboard")),
            (Method::POST, "/check-fraud", Some("/check-fraud")),
            (Method::POST, "/document", Some("/document")),
            (Method::POST, "/flag/", Some("/flag")),
            (Method::POST, "/onboard//", None),
            (Method::POST, "//onboard", None),
            (Method::POST, "/onboard/x", None),
            (Method::POST, "/Onboard", None),
            (Method::POST, "/authenticate", None),
            (Method::GET, "/onboard", None),
            (Method::HEAD, "/flag", None),
            (Method::PUT, "/document", None),
        ] {
            let found = recorded_call(&method, path).map(|of| of.path);
            assert_eq!(found, recorded, "{method} {path}");
        }
    }
}
