//! The doors: listeners with their rules, and the routes behind them.

mod auth;
pub mod body;
mod conn;
mod control;
mod customers;
pub mod door;
mod feed;
mod health;
mod ingest;
mod params;
mod query;
mod reply;
mod requests;
mod room;
mod socket;
mod stream;
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

/// The routes of a door.
pub type Routes = warp::filters::BoxedFilter<(warp::reply::Response,)>;

/// Serves a door until `stop` is true and the answers in flight are finished.
pub async fn serve(door: door::Door, routes: Routes, stop: tokio::sync::watch::Receiver<bool>) {
    door.serve(warp::service(routes), stop).await;
}
