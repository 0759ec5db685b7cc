//! The only wiring: open the store, open the doors, tell that they are open, and stop in reverse.

mod backups;
mod descriptors;
mod files;
mod lookout;
mod outbound;
mod retention;
mod rights;
mod samples;
mod sandbox;
mod secrets;
mod serving;
mod sockets;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::config::{Config, ConfigError, Environment, Loaded, WaldoConfig};
use crate::door::{self, BodyLimits, Door, DoorMetrics, Hosts, Limits, Routes};
use crate::http::errands::Errands;
use crate::http::{
    Control, Ingest, MAX_WAITING, Query, Refusals, Room, Secrets, Senders, webhook_path,
};
use crate::metrics::Metrics;
use crate::store::{Options, Store, StoreError};
use crate::systemd;
use crate::waldo::upstream::UpstreamError;

pub use files::{DOORS_FILE, Doors, write_whole};
pub use outbound::{OutboundOptions, run as run_outbound};
pub use sandbox::run as run_sandbox;
pub use secrets::{fresh_secret, make_secret};

use files::remove;
use secrets::signature;
use serving::Serving;
use sockets::Socket;

/// Bytes of a body past its limit that are read and thrown away, so that its sender reads the answer.
const DISCARD_BYTES: u64 = 16 << 20;

/// Why the daemon did not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// A door cannot be opened.
    #[error("cannot open the {door} door at {address}: {source}{}", hint(.source))]
    Door {
        /// Which.
        door: &'static str,
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A file that tells others something cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration does not do.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The way to Waldo cannot be made.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The outbound role has neither of its works.
    #[error(
        "outbound has nothing to do: give the gateway an address ([gateway] listen = \"127.0.0.1:7313\", or --gateway), or \
         credentials for Waldo ([waldo] api_key_file and client_secret_file)"
    )]
    NothingOutbound,
    /// The outbound role ended while it should run.
    #[error("the outbound role ended by a fault; start it again")]
    OutboundEnded,
    /// The writer ended while the daemon ran.
    #[error("the writer ended by a fault; what was acknowledged is on the disk")]
    WriterEnded,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another process has it: stop that one, or give this door another address"
        }
        io::ErrorKind::PermissionDenied => {
            "; use a port above 1023, or let systemd open the socket"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    }
}

/// What `serve` is told beside the configuration.
#[derive(Clone, Debug, Default)]
pub struct ServeOptions {
    /// Where to write where the doors are.
    pub ready_file: Option<PathBuf>,
    /// Whether a person is watching who may be shown the webhook URL.
    pub on_terminal: bool,
    /// Whether the outbound role runs in this process too.
    pub outbound: bool,
    /// Where a stand-in for Waldo listens that runs in this process too; then so does the outbound role.
    pub sandbox: Option<String>,
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// When it cannot start, or the writer ends by a fault.
pub async fn run(
    loaded: &Loaded,
    environment: &Environment,
    options: &ServeOptions,
) -> Result<(), DaemonError> {
    let config = &loaded.config;
    let data_dir = environment.data_dir(&config.store)?;
    let (store, thread) = Store::open(Options {
        directory: data_dir.clone(),
        queue_events: config.store.queue_events,
        queue_bytes: config.store.queue_bytes.as_usize(),
        max_lag: config.store.max_lag,
        clock: crate::clock::now,
    })?;
    rights::narrow(&data_dir);
    let result = serve(loaded, environment, options, &data_dir, &store).await;
    let last = store.clone();
    let stopped = tokio::task::spawn_blocking(move || thread.stop(&last)).await;
    if stopped.is_err() {
        log::error!("the store did not stop cleanly");
    }
    // A stop that left the file open should be told from a clean one: the doors file goes last.
    remove(&data_dir.join(DOORS_FILE));
    result
}

async fn serve(
    loaded: &Loaded,
    environment: &Environment,
    options: &ServeOptions,
    data_dir: &Path,
    store: &Store,
) -> Result<(), DaemonError> {
    let mut terminate = on_signal(SignalKind::terminate())?;
    let mut interrupt = on_signal(SignalKind::interrupt())?;
    let serving = Serving::open(&serving::From {
        loaded,
        environment,
        options,
        data_dir,
        store,
    })
    .await?;
    announce(&serving.doors, data_dir, options)?;
    tell_what_to_do(&serving, options);
    let result = tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
        () = store.stopped() => Err(DaemonError::WriterEnded),
    };
    systemd::stopping();
    if let Ok(signal) = &result {
        log::info!("stopping on {signal}: answers in flight are finished first");
    }
    serving.end().await;
    result.map(|_| ())
}

/// What whoever has started it may want to know.
fn tell_what_to_do(serving: &Serving, options: &ServeOptions) {
    let config = &serving.config;
    if !serving.is_outbound() && is_for_outbound(config) {
        log::info!(
            "[gateway] and [waldo] are for `waldo-syncd outbound`, or for `serve --outbound`: this process calls nobody"
        );
    }
    if let (Some(socket), false) = (&config.query.socket, config.query.listen.is_empty()) {
        log::info!("the query door is open at {} too", socket.display());
    }
    if let Some(ingest) = serving
        .doors
        .ingest
        .as_ref()
        .filter(|_| options.on_terminal)
    {
        // For the eyes of whoever started it; never for the log.
        let path = webhook_path(&serving.known.current);
        eprintln!("webhooks are taken at http://{ingest}{path}");
        eprintln!(
            "for Waldo: `waldo-syncd webhook-url --public https://YOUR-NAME`, with a TLS proxy in front"
        );
    }
}

/// What the doors are made from.
struct Shared<'a> {
    config: &'a Config,
    environment: &'a Environment,
    store: &'a Store,
    metrics: &'a Arc<Metrics>,
    stopped: &'a watch::Receiver<bool>,
    errands: Arc<Errands>,
}

impl Shared<'_> {
    fn ingest(&self, secrets: &Secrets, warnings: &mut Vec<String>) -> Result<Ingest, DaemonError> {
        let config = &self.config.ingest;
        Ok(Ingest {
            store: self.store.clone(),
            metrics: Arc::clone(self.metrics),
            secrets: secrets.clone(),
            signature: signature(self.config, self.environment, warnings)?,
            senders: Senders {
                allow_from: config.allow_from.clone(),
                trusted_proxies: config.trusted_proxies.clone(),
            },
            body: BodyLimits {
                limit: config.max_body.as_usize(),
                discard_limit: DISCARD_BYTES,
                deadline: self.config.limits.body_timeout,
            },
            refusals: Refusals::default(),
        })
    }

    fn query(&self, warnings: &mut Vec<String>) -> Result<Query, DaemonError> {
        let config = &self.config.query;
        let tokens = config.token(self.environment, warnings)?.map(|token| {
            let tokens = Secrets::default();
            tokens.set([&token].into_iter());
            tokens
        });
        Ok(Query {
            store: self.store.clone(),
            metrics: Arc::clone(self.metrics),
            tokens,
            hosts: Hosts {
                names: config.hosts.clone(),
            },
            cors_origins: config.cors_origins.clone(),
            give_up_after: self.config.requests.give_up_after,
            queue_limits: (
                self.config.store.queue_events,
                self.config.store.queue_bytes.bytes(),
            ),
            errands: Arc::clone(&self.errands),
            silence_after: self.config.requests.silence_after,
            answer_room: Room::for_answers(),
            event_room: Room::for_events(),
            stop: self.stopped.clone(),
        })
    }

    fn control(&self) -> Control {
        Control {
            store: self.store.clone(),
            errands: Arc::clone(&self.errands),
            deadline: self.config.requests.deadline,
            body_timeout: self.config.limits.body_timeout,
            waiting: Semaphore::new(MAX_WAITING),
            stop: self.stopped.clone(),
        }
    }
}

/// The doors that are being served.
struct OpenDoors {
    limits: Limits,
    stopped: watch::Receiver<bool>,
    tasks: JoinSet<()>,
    metrics: Vec<(&'static str, Arc<DoorMetrics>)>,
}

impl OpenDoors {
    fn new(limits: Limits, stopped: watch::Receiver<bool>) -> Self {
        Self {
            limits,
            stopped,
            tasks: JoinSet::new(),
            metrics: Vec::new(),
        }
    }

    fn door(&mut self, name: &'static str, socket: Option<Socket>, routes: Routes) {
        if let Some(socket) = socket {
            let metrics = Arc::new(DoorMetrics::default());
            self.metrics.push((name, Arc::clone(&metrics)));
            let door = Door::new(name, socket.listener, self.limits.clone(), metrics);
            self.tasks
                .spawn(door::serve(door, routes, self.stopped.clone()));
        }
    }
}

/// Says where the doors are, everywhere it is asked for.
fn announce(doors: &Doors, data_dir: &Path, options: &ServeOptions) -> Result<(), DaemonError> {
    let text = serde_json::to_string(doors).unwrap_or_default();
    write_whole(&data_dir.join(DOORS_FILE), &text)?;
    for (name, address) in [
        ("ingest", &doors.ingest),
        ("query", &doors.query),
        ("control", &doors.control),
        ("gateway", &doors.gateway),
    ] {
        if let Some(address) = address {
            log::info!("the {name} door is open at {address}");
        }
    }
    if let Some(path) = &options.ready_file {
        write_whole(path, &text)?;
    }
    systemd::ready();
    Ok(())
}

/// What is configured in a way that lets others in.
#[must_use]
pub fn open_doors_warnings(config: &Config) -> Vec<String> {
    let loopback = |listen: &str| {
        let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare.eq_ignore_ascii_case("localhost")
            || bare
                .parse()
                .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    };
    let mut warnings = Vec::new();
    let query = &config.query;
    if !query.listen.is_empty() && !loopback(&query.listen) && query.token_file.is_none() {
        warnings.push(format!(
            "[query] listen = {}: other machines can read every customer; set [query] token_file or listen on 127.0.0.1",
            query.listen
        ));
    }
    if let Some(listen) = config
        .gateway
        .listen
        .as_ref()
        .filter(|listen| !loopback(listen))
    {
        warnings.push(format!(
            "[gateway] listen = {listen}: other machines can call Waldo through this one, with its credentials where they \
             are configured; listen on 127.0.0.1"
        ));
    }
    if !loopback(&config.ingest.listen) {
        warnings.push(format!(
            "[ingest] listen = {}: there is no TLS here, and the secret crosses the network in the clear; put a TLS proxy \
             in front and listen on 127.0.0.1",
            config.ingest.listen
        ));
    }
    if !config.ingest.allow_from.is_empty()
        && config.ingest.trusted_proxies.is_empty()
        && loopback(&config.ingest.listen)
    {
        warnings.push(
            "[ingest] allow_from without trusted_proxies on a loopback address: only senders on this machine can match"
                .to_owned(),
        );
    }
    warnings
}

/// Whether something is configured that only the outbound role does.
fn is_for_outbound(config: &Config) -> bool {
    config.gateway.listen.is_some() || config.waldo != WaldoConfig::default()
}

fn limits(config: &Config) -> Limits {
    let limits = &config.limits;
    Limits {
        max_connections: limits.max_connections,
        head_timeout: limits.head_timeout,
        body_timeout: limits.body_timeout,
        idle_timeout: limits.idle_timeout,
        write_timeout: limits.write_timeout,
        drain_timeout: limits.drain_timeout,
        max_head_bytes: limits.max_head_bytes.as_usize(),
        max_head_fields: limits.max_head_fields,
    }
}

fn on_signal(kind: SignalKind) -> Result<tokio::signal::unix::Signal, DaemonError> {
    signal(kind).map_err(|source| DaemonError::Door {
        door: "signal",
        address: "this process".to_owned(),
        source,
    })
}
