//! The stand-in for Waldo: a process of its own, or part of `serve` for trying things out.
//!
//! Invariant: a `serve` with a sandbox has the sandbox for Waldo and nobody else, whatever is configured.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::SignalKind;
use tokio::sync::watch;

use super::files::write_whole;
use super::{DaemonError, on_signal};
use crate::config::{Config, Secret};
use crate::door::{self, Door, DoorMetrics, Hosts, Limits, Listener};
use crate::waldo::sandbox::{API_KEY, CLIENT_SECRET, Options, Sandbox, WebhookUrl};

/// Where apps find the gateway beside a sandbox unless another address is given.
const GATEWAY: &str = "127.0.0.1:7313";

/// The sandbox's listener, open but not served yet.
pub(super) struct OpenSandbox {
    listener: TcpListener,
    address: SocketAddr,
}

impl OpenSandbox {
    pub(super) async fn bind(listen: &str) -> Result<Self, DaemonError> {
        let failed = |source| DaemonError::Door {
            door: "sandbox",
            address: listen.to_owned(),
            source,
        };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Puts the sandbox in Waldo's place, and opens a gateway to it.
    pub(super) fn take_the_place_of_waldo(&self, config: &mut Config) {
        config.waldo.api_url = format!("http://{}", self.address);
        config.waldo.api_key = Secret::new(API_KEY);
        config.waldo.client_secret = Secret::new(CLIENT_SECRET);
        config.waldo.api_key_file = None;
        config.waldo.client_secret_file = None;
        config.gateway.listen.get_or_insert(GATEWAY.to_owned());
    }

    /// Says where it is and serves until `stop` is true.
    pub(super) async fn serve(self, options: Options, stop: watch::Receiver<bool>) {
        let address = self.address;
        log::info!("the sandbox is open at {address}, its page at http://{address}/sandbox");
        if options.api_key == API_KEY && options.client_secret == CLIENT_SECRET {
            log::info!("log in with apiKey {API_KEY} and clientSecret {CLIENT_SECRET}");
        } else {
            log::info!("log in with the apiKey and clientSecret that were given");
        }
        let seed = options.seed;
        match &options.webhook_url {
            Some(url) => log::info!("webhooks go to {url}; the seed is {seed}"),
            None => {
                log::info!("no webhooks are sent: no --webhook-url was given; the seed is {seed}");
            }
        }
        if !address.ip().is_loopback() {
            log::warn!(
                "other machines can reach the sandbox at {address}: give it made-up people only"
            );
        }
        let sandbox = Sandbox::new(options);
        let door = Door::new(
            "sandbox",
            Listener::Tcp(self.listener),
            Limits::default(),
            Arc::new(DoorMetrics::default()),
        );
        tokio::join!(
            door::serve(door, sandbox.routes(Hosts::default()), stop.clone()),
            sandbox.run(stop)
        );
    }
}

/// The options of a sandbox beside a daemon that takes its webhooks there.
pub(super) fn beside(ingest: &str, webhook_path: &str) -> Options {
    let url = format!("http://{ingest}{webhook_path}");
    Options {
        webhook_url: url.parse::<WebhookUrl>().ok(),
        seed: fastrand::u64(..),
        ..Options::default()
    }
}

/// Runs a sandbox as a process of its own until it is told to stop.
///
/// # Errors
/// When it cannot start.
pub async fn run(
    listen: &str,
    options: Options,
    ready_file: Option<&Path>,
) -> Result<(), DaemonError> {
    let mut terminate = on_signal(SignalKind::terminate())?;
    let mut interrupt = on_signal(SignalKind::interrupt())?;
    let sandbox = OpenSandbox::bind(listen).await?;
    let ready = serde_json::json!({ "sandbox": sandbox.address() }).to_string();
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(sandbox.serve(options, stopped));
    if let Some(path) = ready_file {
        write_whole(path, &ready)?;
    }
    let signal = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    log::info!("stopping on {signal}: everything in the sandbox ends with it");
    stop.send_replace(true);
    if serving.await.is_err() {
        log::error!("the sandbox did not stop cleanly");
    }
    Ok(())
}
