//! The gateway: the real binary between an app and a server that stands in for Waldo.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

#[path = "gateway/api.rs"]
mod api;
#[path = "gateway/forward.rs"]
mod forward;
#[path = "gateway/guard.rs"]
mod guard;
#[path = "gateway/limits.rs"]
mod limits;
#[path = "gateway/login.rs"]
mod login;
#[path = "gateway/outbound.rs"]
mod outbound;
#[path = "gateway/recording.rs"]
mod recording;

use std::time::Duration;

use common::place::poll;
use common::upstream::{Reply, Seen, Upstream};
use common::{Daemon, Place};

/// Configuration that lets the daemon log in by itself.
const CREDENTIALS: &str =
    "api_key = \"wk.sandbox.key-of-ours\"\nclient_secret = \"ws.sandbox.secret-of-ours\"\n";

/// `serve --outbound` with a gateway to this URL, and more lines for `[waldo]`.
#[track_caller]
fn gateway_to(url: &str, waldo: &str) -> Daemon {
    let place = Place::new();
    let config = place.file(
        "config.toml",
        format!("[waldo]\napi_url = \"{url}\"\n{waldo}"),
    );
    let mut arguments = place.serve_arguments();
    arguments.extend(
        [
            "--config",
            config.to_str().unwrap(),
            "--outbound",
            "--gateway",
            "127.0.0.1:0",
        ]
        .map(String::from),
    );
    Daemon::start_as(place, arguments)
}

#[track_caller]
fn gateway(upstream: &Upstream) -> Daemon {
    gateway_to(&upstream.url(), "")
}

/// The numbers of `/metrics` that start so.
fn metric(daemon: &Daemon, name: &str) -> u64 {
    let text = daemon.get("/metrics").text();
    text.lines()
        .filter_map(|line| {
            line.strip_prefix(name)?
                .rsplit(' ')
                .next()?
                .parse::<u64>()
                .ok()
        })
        .sum()
}

/// Waits until the outbound role has told of so many: it does so every 2 s.
#[track_caller]
fn await_metric(daemon: &Daemon, name: &str, number: u64) {
    poll(name, Duration::from_secs(30), || {
        (metric(daemon, name) == number).then_some(())
    });
}

fn ok(_: &Seen) -> Reply {
    Reply::json(200, "{}")
}
