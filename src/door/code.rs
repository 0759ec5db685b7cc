//! The one list of problem codes: what every door may refuse with, and the status that each goes with. A code is a
//! promise: readers act on it.

use std::fmt;

use http::StatusCode;
use serde::{Serialize, Serializer};

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $status:ident $word:literal,)+) => {
        /// What a request was not answered as asked for, in one word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[doc = $doc])+ $name,)+ }

        impl Code {
            /// Every code, by status.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The code as the outside sees it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }

            /// The status that it is answered with.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),+ }
            }

            /// What it means, in a sentence.
            #[cfg(test)]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim()),+ }
            }
        }
    };
}

codes! {
    /// A query parameter is unknown, repeated or of a wrong value.
    BadParameter = BAD_REQUEST "bad_parameter",
    /// The request or its body is not as expected.
    BadRequest = BAD_REQUEST "bad_request",
    /// A backup cannot go there.
    BadDestination = BAD_REQUEST "bad_destination",
    /// A token or secret is needed.
    Unauthorized = UNAUTHORIZED "unauthorized",
    /// A web page of another origin sent this.
    ForeignOrigin = FORBIDDEN "foreign_origin",
    /// No such path, customer, request or event.
    NotFound = NOT_FOUND "not_found",
    /// The path takes other methods.
    MethodNotAllowed = METHOD_NOT_ALLOWED "method_not_allowed",
    /// The body did not come in time.
    RequestTimeout = REQUEST_TIMEOUT "request_timeout",
    /// What was told contradicts what is known.
    Conflict = CONFLICT "conflict",
    /// A backup is being made already.
    BackupRunning = CONFLICT "backup_running",
    /// Something is where a backup was to go.
    DestinationExists = CONFLICT "destination_exists",
    /// The body is over the limit.
    PayloadTooLarge = PAYLOAD_TOO_LARGE "payload_too_large",
    /// The door does not answer for this host.
    MisdirectedRequest = MISDIRECTED_REQUEST "misdirected_request",
    /// The request head is over the limits.
    HeadTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE "head_too_large",
    /// A call was broken off by a fault of ours.
    Internal = INTERNAL_SERVER_ERROR "internal",
    /// No connection to Waldo, or it broke before the answer was there.
    WaldoUnreachable = BAD_GATEWAY "waldo_unreachable",
    /// Waldo refuses the configured credentials.
    WaldoLoginRefused = BAD_GATEWAY "waldo_login_refused",
    /// Waldo could not take the login.
    WaldoLoginFailed = BAD_GATEWAY "waldo_login_failed",
    /// As many webhooks wait to be written as may.
    QueueFull = SERVICE_UNAVAILABLE "queue_full",
    /// The tables are too far behind the log.
    Lagging = SERVICE_UNAVAILABLE "lagging",
    /// The file cannot be written or read at present.
    Unavailable = SERVICE_UNAVAILABLE "unavailable",
    /// The daemon is not ready.
    NotReady = SERVICE_UNAVAILABLE "not_ready",
    /// The point that was asked for did not become visible in time.
    SeqNotReached = SERVICE_UNAVAILABLE "seq_not_reached",
    /// Nothing is running that could ask Waldo.
    NoOutbound = SERVICE_UNAVAILABLE "no_outbound",
    /// As much as may wait to be asked of Waldo is waiting.
    TooManyErrands = SERVICE_UNAVAILABLE "too_many_errands",
    /// As many as may wait at the control socket are waiting.
    TooManyWaiting = SERVICE_UNAVAILABLE "too_many_waiting",
    /// The room for answers that readers have not taken yet is full.
    TooManyAnswers = SERVICE_UNAVAILABLE "too_many_answers",
    /// No backup was made.
    BackupFailed = SERVICE_UNAVAILABLE "backup_failed",
    /// The daemon stops, and nobody waits any longer.
    Stopping = SERVICE_UNAVAILABLE "stopping",
    /// Too many calls are being finished for apps that hung up.
    GatewayBusy = SERVICE_UNAVAILABLE "gateway_busy",
    /// The stand-in for Waldo keeps as much as it may.
    SandboxFull = SERVICE_UNAVAILABLE "sandbox_full",
    /// The stand-in for Waldo is not idle yet.
    SandboxBusy = SERVICE_UNAVAILABLE "sandbox_busy",
    /// Waldo did not answer in time.
    WaldoTooSlow = GATEWAY_TIMEOUT "waldo_too_slow",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Code {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Code".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        // No list: a later version may have more, and each answer names its own.
        schemars::json_schema!({ "type": "string" })
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
