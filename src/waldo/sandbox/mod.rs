//! A local stand-in for Waldo: its documented API, its sandbox's outcomes, its webhooks, and what may go wrong on the
//! way of a webhook. Everything is in memory and made up.
//!
//! Invariant: nothing leaves this machine's listener but webhooks to the one URL that was given; neither that URL's path
//! nor a token, a body or a personal field is ever logged.

mod api;
mod courier;
mod customer;
mod dashboard;
mod document;
mod errors;
mod mischief;
mod outcomes;
mod post;
mod run;
mod schedule;
mod target;
mod tokens;
mod webhooks;
mod words;
mod world;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::door::{Hosts, Routes};

pub use mischief::Mischief;
pub use target::WebhookUrl;

use api::Trouble;
use post::LANES;
use schedule::Moment;
use tokens::Tokens;
use world::World;

/// The key that the sandbox takes unless another is given.
pub const API_KEY: &str = "wk.sandbox.waldo-syncd";
/// The secret that goes with it.
pub const CLIENT_SECRET: &str = "ws.sandbox.waldo-syncd";

/// How a sandbox behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// The key to log in with.
    pub api_key: String,
    /// The secret to log in with.
    pub client_secret: String,
    /// How long a token is valid.
    pub token_life: Duration,
    /// Where webhooks go; without it none are made.
    pub webhook_url: Option<WebhookUrl>,
    /// Between the phases of an evaluation.
    pub pace: Duration,
    /// What decides about everything that is not asked for.
    pub seed: u64,
    /// How often an evaluation ends `failed`, from 0 to 1.
    pub fail: f64,
    /// What goes wrong with webhooks.
    pub mischief: Mischief,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            api_key: API_KEY.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            token_life: Duration::from_secs(3600),
            webhook_url: None,
            pace: Duration::from_millis(500),
            seed: 0,
            fail: 0.0,
            mischief: Mischief::default(),
        }
    }
}

/// A handle to one sandbox.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    options: Options,
    tokens: Tokens,
    revoked: AtomicBool,
    trouble: Mutex<Option<Trouble>>,
    world: Mutex<World>,
    /// Something was put into the schedule.
    scheduled: Notify,
    /// Something waits in a lane.
    lanes: [Notify; LANES],
    /// The world may have come to rest.
    settled: Notify,
}

impl Sandbox {
    /// An empty one.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let world = World::new(
            options.seed,
            options.pace,
            options.fail,
            options.mischief.clone(),
            options.webhook_url.is_some(),
        );
        Self(Arc::new(Inner {
            tokens: Tokens::new(options.token_life),
            options,
            revoked: AtomicBool::new(false),
            trouble: Mutex::new(None),
            world: Mutex::new(world),
            scheduled: Notify::new(),
            lanes: std::array::from_fn(|_| Notify::new()),
            settled: Notify::new(),
        }))
    }

    /// Its routes: Waldo's API, and its own under `/sandbox`. It answers for these host names only.
    #[must_use]
    pub fn routes(&self, hosts: Hosts) -> Routes {
        api::routes(Arc::clone(&self.0), hosts)
    }

    /// Lets evaluations go on and sends their webhooks, until `stop` is true. A webhook that is being sent then is
    /// finished; those that wait are not sent.
    pub async fn run(&self, stop: watch::Receiver<bool>) {
        courier::run(&self.0, stop).await;
    }
}

impl Inner {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the world, and wakes whoever has work from it.
    fn with<T>(&self, act: impl FnOnce(&mut World, Moment) -> T) -> T {
        let result = act(&mut self.world(), Moment::now());
        self.scheduled.notify_one();
        result
    }

    fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Relaxed)
    }
}
