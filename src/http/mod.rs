//! What the daemon's doors serve: webhooks in, reads, and what local apps tell.

mod auth;
mod control;
mod customers;
pub mod errands;
mod feed;
mod health;
mod ingest;
mod metrics;
pub mod openapi;
mod page;
mod params;
mod paths;
mod query;
mod reply;
mod requests;
mod room;
mod stats;
mod stream;

pub use auth::{Secrets, Senders, Signature};
pub use control::{Control, MAX_WAITING, routes as control_routes};
pub use ingest::{Ingest, Refusals, routes as ingest_routes};
pub use query::{Query, routes as query_routes};
pub use room::Room;

/// The path at which a webhook with this secret is taken.
#[must_use]
pub fn webhook_path(secret: &crate::config::Secret) -> String {
    let secret =
        percent_encoding::utf8_percent_encode(secret.expose(), percent_encoding::NON_ALPHANUMERIC);
    format!("/webhooks/waldo/{secret}")
}
