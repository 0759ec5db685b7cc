//! An event as the API shows it. Its JSON is written member by member (`domain::view`), so this states its shape for the
//! document alone; the tests hold the answers to it.

use schemars::JsonSchema;

use crate::domain::customer::Change;
use crate::domain::payload::Evaluation;
use crate::domain::{Chain, Digest, Disposition, Evidence, Origin, Seq, Source, Timestamp};

/// One event of the log, with what the rules said of it.
#[derive(JsonSchema)]
#[schemars(
    rename_all = "camelCase",
    extend("oneOf" = [{"required": ["payload"]}, {"required": ["payloadBase64"]}])
)]
#[expect(dead_code, reason = "only its shape is wanted")]
pub struct Event {
    /// Its place in the log.
    seq: Seq,
    /// When it came.
    received_at: Timestamp,
    /// How it reached the daemon.
    source: Source,
    /// Its raw name.
    event: Option<String>,
    /// Waldo's id of the customer: opaque text.
    customer_id: Option<String>,
    /// The company's own id of the customer; not unique.
    external_id: Option<String>,
    /// The request that it names or was tied to.
    request_id: Option<String>,
    /// What runs or ran.
    evaluation: Option<Evaluation>,
    /// Who caused it.
    origin: Origin,
    /// How that is known.
    origin_evidence: Evidence,
    /// What became of it.
    disposition: Disposition,
    /// The event that it repeats.
    duplicate_of: Option<Seq>,
    /// What is odd about it, in words.
    problems: Vec<String>,
    /// SHA-256 of the body as it came.
    digest: Digest,
    /// Its link in the chain over the log.
    chain: Chain,
    /// What it changed in the customer.
    changes: Vec<Change>,
    /// The body as the JSON it came as, every digit kept; null once it was taken out.
    #[schemars(with = "serde_json::Value", skip_serializing_if = "no")]
    payload: (),
    /// The body, where it is no JSON.
    #[schemars(with = "String", skip_serializing_if = "no")]
    payload_base64: (),
}
