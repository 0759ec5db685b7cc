//! The doors: listeners with their rules, and the routes behind them.

mod auth;
pub mod body;
mod conn;
mod control;
pub mod door;
mod feed;
mod ingest;
mod params;
mod query;
mod reply;
mod room;
mod socket;
pub mod wire;

pub use auth::{Secrets, Senders, Signature};
pub use control::{Control, routes as control_routes};
pub use ingest::{Ingest, Refusals, routes as ingest_routes};
pub use query::{Query, routes as query_routes};

/// The path at which a webhook with this secret is taken.
#[must_use]
pub fn webhook_path(secret: &crate::config::Secret) -> String {
    let secret =
        percent_encoding::utf8_percent_encode(secret.expose(), percent_encoding::NON_ALPHANUMERIC);
    format!("/webhooks/waldo/{secret}")
}
