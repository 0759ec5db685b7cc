//! waldo-syncd takes Waldo AI's webhooks durably into one SQLite file and serves what they mean to local apps.
//!
//! Arrows point inwards: `cli` → `daemon` → `http` → `store` → `domain`. `domain` holds the rules and does no I/O;
//! `store` is the only place with SQL; `waldo` speaks to Waldo and tells the daemon by its control socket; warp is under `door`, `http` and `waldo` only; `door`, `config` and `metrics` are
//! leaves.

pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod domain;
pub mod door;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod store;
pub mod systemd;
pub mod waldo;
pub mod words;
