//! The query door's paths about the daemon itself: health, metrics.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use warp::reply::Response as Reply;

use super::params::Params;
use super::query::{Asked, Query};
use super::reply::{self, Code, Problem};

/// How long `/readyz` waits for a sign of life from the writer.
const CHECKUP_WITHIN: Duration = Duration::from_secs(2);

/// The process serves.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Health {
    /// `ok`
    status: &'static str,
}

/// Events can be taken and shown.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Readiness {
    /// `ready`
    status: &'static str,
    /// What is wrong all the same, in words.
    details: Vec<String>,
}

pub(super) async fn healthz(
    query: Arc<Query>,
    _: String,
    _: Params,
    _: Asked,
) -> Result<Reply, Problem> {
    Ok(reply::json(
        &Health { status: "ok" },
        query.store.projected(),
    ))
}

pub(super) async fn readyz(
    query: Arc<Query>,
    _: String,
    _: Params,
    _: Asked,
) -> Result<Reply, Problem> {
    let not_ready = |reason: String| Problem::new(Code::NotReady, reason);
    if let Some(trouble) = query.store.trouble() {
        return Err(not_ready(trouble));
    }
    query
        .store
        .checkup(CHECKUP_WITHIN)
        .await
        .map_err(|error| not_ready(error.to_string()))?;
    // What keeps Waldo from being asked does not keep its webhooks from being taken.
    let trouble = query
        .errands
        .outbound()
        .and_then(|outbound| outbound.trouble);
    let backup = query.store.backups().trouble();
    let readiness = Readiness {
        status: "ready",
        details: trouble.into_iter().chain(backup).collect(),
    };
    Ok(reply::json(&readiness, query.store.projected()))
}
