//! Work on the file that only its one writer may do: taking old payloads out, and erasing a customer.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use warp::reply::Response as Reply;

use super::{Asked, Control, parse};
use crate::domain::{Seq, Timestamp};
use crate::http::reply::{Code, Problem, json_bytes};
use crate::store::StoreError;

/// How long one call takes payloads out; the next goes on from there.
const PRUNE_FOR: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PruneBody {
    before: Timestamp,
    after: Option<Seq>,
}

/// What was taken out.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Pruned"))]
pub struct PrunedView {
    /// How many payloads.
    events: u64,
    /// How long they were together.
    bytes: u64,
    /// Goes back in as `after`; null at the end.
    next: Option<Seq>,
    /// The newest event that is visible.
    seq: Seq,
}

impl Control {
    pub(super) async fn prune(&self, body: &[u8]) -> Result<Reply, Problem> {
        let body: PruneBody = parse(body)?;
        let work = self
            .store
            .prune(body.before, body.after.unwrap_or_default(), PRUNE_FOR);
        let pruned = self.unless_stopped(work).await??;
        let answer = PrunedView {
            events: pruned.events,
            bytes: pruned.bytes,
            next: pruned.next,
            seq: self.store.projected(),
        };
        Ok(json_bytes(StatusCode::OK, &answer))
    }

    pub(super) async fn erase(&self, asked: Asked) -> Result<Reply, Problem> {
        // The id stands in the path; a body would only be passed over.
        if !asked.body.is_empty() {
            let _: Empty = parse(&asked.body)?;
        }
        let certificate = self
            .store
            .erase(asked.id)
            .await
            .map_err(|error| match error {
                StoreError::Unavailable(detail) => Problem::new(
                    Code::Unavailable,
                    format!(
                        "{detail}; the erasure is noted, and the next start does what is left of it"
                    ),
                ),
                error => error.into(),
            })?;
        let certificate =
            certificate.ok_or_else(|| Problem::not_found("no event names such a customer"))?;
        Ok(json_bytes(StatusCode::OK, &certificate))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Empty {}
