//! The only wiring: open the store, open the doors, tell that they are open, and stop in reverse.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{
    Config, ConfigError, Environment, Loaded, WEBHOOK_SECRET_FILE, WebhookSecrets,
};
use crate::http::body::BodyLimits;
use crate::http::door::{Door, DoorMetrics, Limits, Listener};
use crate::http::{
    Control, Ingest, Query, Refusals, Secrets, Senders, Signature, control_routes, ingest_routes,
    query_routes, webhook_path,
};
use crate::metrics::{Metrics, Sample, Sampled};
use crate::store::{Options, Store, StoreError};
use crate::systemd::{self, Inherited};

/// Where the doors are, beside the database, for as long as the daemon runs.
pub const DOORS_FILE: &str = "doors.json";
/// Bytes of a body past its limit that are read and thrown away, so that its sender reads the answer.
const DISCARD_BYTES: u64 = 16 << 20;
/// The daemon's user and group may speak to the control socket, nobody else.
const CONTROL_MODE: u32 = 0o660;
/// How often the file of secrets is looked at, so that a rotation needs no restart.
const SECRETS_EVERY: Duration = Duration::from_secs(1);
/// How long the writer may take to give the sign of life that the watchdog is fed for.
const ALIVE_WITHIN: Duration = Duration::from_secs(5);

/// Where the doors are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doors {
    /// Address of the ingest door.
    pub ingest: Option<String>,
    /// Address of the query door; a path where it is a Unix socket only.
    pub query: Option<String>,
    /// Path of the control socket.
    pub control: Option<String>,
    /// Address of the gateway.
    pub gateway: Option<String>,
}

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
    let config = &loaded.config;
    let mut warnings = loaded.warnings.clone();
    let known = ensure_secrets(config, environment, data_dir, &mut warnings)?;
    let secrets = Secrets::default();
    secrets.set(known.all());
    let mut terminate = on_signal(SignalKind::terminate())?;
    let mut interrupt = on_signal(SignalKind::interrupt())?;
    let control_path = environment.control_path(&config.control, data_dir);
    let mut sockets = Sockets::open(config, &control_path)?;

    let (stop, stopped) = watch::channel(false);
    let metrics = Arc::new(Metrics::default());
    metrics.sample(Arc::new(StoreSamples(store.clone())));
    let ingest = Arc::new(Ingest {
        store: store.clone(),
        metrics: Arc::clone(&metrics),
        secrets: secrets.clone(),
        signature: signature(config, environment, &mut warnings)?,
        senders: Senders {
            allow_from: config.ingest.allow_from.clone(),
            trusted_proxies: config.ingest.trusted_proxies.clone(),
        },
        body: BodyLimits {
            limit: config.ingest.max_body.as_usize(),
            discard_limit: DISCARD_BYTES,
            deadline: config.limits.body_timeout,
        },
        refusals: Refusals::default(),
    });
    let tokens = config
        .query
        .token(environment, &mut warnings)?
        .map(|token| {
            let tokens = Secrets::default();
            tokens.set([&token].into_iter());
            tokens
        });
    let query = Arc::new(Query {
        store: store.clone(),
        metrics: Arc::clone(&metrics),
        tokens,
        hosts: config.query.hosts.clone(),
        address: sockets
            .query
            .as_ref()
            .and_then(|door| door.tcp())
            .map(|address| address.ip()),
        cors_origins: config.query.cors_origins.clone(),
        give_up_after: config.requests.give_up_after,
        queue_limits: (config.store.queue_events, config.store.queue_bytes.bytes()),
        stop: stopped.clone(),
    });

    let doors = sockets.doors();
    let mut tasks = JoinSet::new();
    let limits = limits(config);
    let mut door_metrics = Vec::new();
    let mut counted = |name| {
        let counts = Arc::new(DoorMetrics::default());
        door_metrics.push((name, Arc::clone(&counts)));
        counts
    };
    let ingest_service = warp::service(ingest_routes(ingest));
    let query_service = warp::service(query_routes(query));
    for (name, socket) in [
        ("query", sockets.query.take()),
        ("query socket", sockets.query_socket.take()),
    ] {
        if let Some(socket) = socket {
            let door = Door::new(name, socket.listener, limits.clone(), counted(name));
            tasks.spawn(door.serve(query_service.clone(), stopped.clone()));
        }
    }
    if let Some(socket) = sockets.control.take() {
        let control = Arc::new(Control {
            store: store.clone(),
            deadline: config.requests.deadline,
            body_timeout: config.limits.body_timeout,
        });
        let door = Door::new(
            "control",
            socket.listener,
            limits.clone(),
            counted("control"),
        );
        tasks.spawn(door.serve(warp::service(control_routes(control)), stopped.clone()));
    }
    if let Some(socket) = sockets.ingest.take() {
        let door = Door::new("ingest", socket.listener, limits, counted("ingest"));
        tasks.spawn(door.serve(ingest_service, stopped.clone()));
    }
    metrics.sample(Arc::new(DoorSamples(door_metrics)));
    for warning in &warnings {
        log::warn!("{warning}");
    }
    announce(&doors, data_dir, options)?;
    if let Some(ingest) = doors.ingest.as_ref().filter(|_| options.on_terminal) {
        // For the eyes of whoever started it; never for the log.
        eprintln!(
            "the webhook URL, behind your proxy's name: http://{ingest}{}",
            webhook_path(&known.current)
        );
    }
    let mut helpers = JoinSet::new();
    helpers.spawn(follow_secrets(
        config.clone(),
        environment.clone(),
        data_dir.to_owned(),
        secrets,
    ));
    helpers.spawn(feed_watchdog(store.clone()));

    let result = tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
        () = store.stopped() => Err(DaemonError::WriterEnded),
    };
    systemd::stopping();
    if let Ok(signal) = &result {
        log::info!("stopping on {signal}: answers in flight are finished first");
    }
    stop.send_replace(true);
    while tasks.join_next().await.is_some() {}
    helpers.shutdown().await;
    sockets.remove_files();
    result.map(|_| ())
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

/// The secrets that are valid. Where none is configured, a fresh one is made and kept in the data directory.
fn ensure_secrets(
    config: &Config,
    environment: &Environment,
    data_dir: &Path,
    warnings: &mut Vec<String>,
) -> Result<WebhookSecrets, DaemonError> {
    let known = config
        .ingest
        .webhook_secrets(environment, data_dir, warnings)?;
    let found = match known {
        Some(found) => Some(found),
        None => {
            make_secret(&data_dir.join(WEBHOOK_SECRET_FILE))?;
            config
                .ingest
                .webhook_secrets(environment, data_dir, warnings)?
        }
    };
    let unreadable = || io::Error::new(io::ErrorKind::NotFound, "the fresh secret cannot be read");
    found.ok_or_else(|| DaemonError::File {
        path: data_dir.join(WEBHOOK_SECRET_FILE),
        source: unreadable(),
    })
}

/// Writes a fresh secret of 256 bits to a file that only its owner can read, unless the file is there already.
///
/// # Errors
/// When the file cannot be written.
pub fn make_secret(path: &Path) -> Result<(), DaemonError> {
    let failed = |source| DaemonError::File {
        path: path.to_owned(),
        source,
    };
    let opened = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(source) => return Err(failed(source)),
    };
    let secret = fresh_secret().map_err(failed)?;
    writeln!(file, "{secret}")
        .and_then(|()| file.sync_all())
        .map_err(failed)
}

/// 256 random bits as 64 hex digits.
///
/// # Errors
/// When the system has no randomness to give.
pub fn fresh_secret() -> io::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(hex::encode(bytes))
}

fn signature(
    config: &Config,
    environment: &Environment,
    warnings: &mut Vec<String>,
) -> Result<Option<Signature>, DaemonError> {
    let key = config.ingest.hmac_key(environment, warnings)?;
    let header = config.ingest.hmac_header.clone();
    Ok(header
        .zip(key)
        .map(|(header, key)| Signature { header, key }))
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

/// Takes up a rotation of the webhook secret when its file changes.
async fn follow_secrets(
    config: Config,
    environment: Environment,
    data_dir: PathBuf,
    secrets: Secrets,
) {
    let Some(path) = config.ingest.webhook_secret_file(&environment, &data_dir) else {
        return;
    };
    let mut seen: Option<(SystemTime, u64)> = None;
    loop {
        let found = tokio::fs::metadata(&path).await.ok();
        let stamp = found.and_then(|meta| Some((meta.modified().ok()?, meta.len())));
        if stamp.is_some() && stamp != seen {
            match config
                .ingest
                .webhook_secrets(&environment, &data_dir, &mut Vec::new())
            {
                Ok(Some(found)) => {
                    if seen.is_some() {
                        log::info!(
                            "the webhook secrets have changed: {} are valid now",
                            found.all().count()
                        );
                    }
                    secrets.set(found.all());
                }
                Ok(None) => {}
                Err(error) => log::error!("the webhook secrets stay as they were: {error}"),
            }
            seen = stamp;
        }
        tokio::time::sleep(SECRETS_EVERY).await;
    }
}

/// Feeds systemd's watchdog, after each sign of life from the writer.
async fn feed_watchdog(store: Store) {
    let Some(every) = systemd::watchdog_every() else {
        return;
    };
    loop {
        // A disk that is full is trouble, but no reason to be killed for: the writer has answered.
        match store.checkup(ALIVE_WITHIN.min(every)).await {
            Err(StoreError::Unavailable(reason)) if reason.ends_with("does not answer") => {
                log::error!("the watchdog is not fed: {reason}");
            }
            _ => systemd::alive(),
        }
        tokio::time::sleep(every).await;
    }
}

/// A listener and where it is.
struct Socket {
    listener: Listener,
    address: String,
    /// The socket file to remove at the end, if we made it.
    made: Option<PathBuf>,
}

impl Socket {
    fn tcp(&self) -> Option<SocketAddr> {
        self.address.parse().ok()
    }
}

struct Sockets {
    ingest: Option<Socket>,
    query: Option<Socket>,
    query_socket: Option<Socket>,
    control: Option<Socket>,
    made: Vec<PathBuf>,
}

impl Sockets {
    fn open(config: &Config, control_path: &Path) -> Result<Self, DaemonError> {
        let mut inherited = systemd::inherited_sockets().map_err(|source| DaemonError::Door {
            door: "inherited",
            address: "LISTEN_FDS".to_owned(),
            source,
        })?;
        let ingest = open_tcp("ingest", &config.ingest.listen, &mut inherited)?;
        let query = if config.query.listen.is_empty() && !inherited.contains_key("query") {
            None
        } else {
            Some(open_tcp("query", &config.query.listen, &mut inherited)?)
        };
        let query_socket = config
            .query
            .socket
            .as_ref()
            .map(|path| open_unix("query socket", path, config.query.socket_mode.0))
            .transpose()?;
        let control = match inherited.remove("control") {
            Some(Inherited::Unix(socket)) => inherited_unix("control", socket)?,
            _ => open_unix("control", control_path, CONTROL_MODE)?,
        };
        let made = query_socket
            .iter()
            .chain([&control])
            .filter_map(|socket| socket.made.clone())
            .collect();
        Ok(Self {
            ingest: Some(ingest),
            query,
            query_socket,
            control: Some(control),
            made,
        })
    }

    fn doors(&self) -> Doors {
        let address =
            |socket: &Option<Socket>| socket.as_ref().map(|socket| socket.address.clone());
        Doors {
            ingest: address(&self.ingest),
            query: address(&self.query).or(address(&self.query_socket)),
            control: address(&self.control),
            gateway: None,
        }
    }

    fn remove_files(&self) {
        for path in &self.made {
            remove(path);
        }
    }
}

fn open_tcp(
    door: &'static str,
    address: &str,
    inherited: &mut BTreeMap<String, Inherited>,
) -> Result<Socket, DaemonError> {
    let failed = |source| DaemonError::Door {
        door,
        address: address.to_owned(),
        source,
    };
    let socket = match inherited.remove(door) {
        Some(Inherited::Unix(socket)) => return inherited_unix(door, socket),
        Some(Inherited::Tcp(socket)) => socket,
        None => std::net::TcpListener::bind(address).map_err(failed)?,
    };
    socket.set_nonblocking(true).map_err(failed)?;
    let listener = TcpListener::from_std(socket).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?.to_string();
    Ok(Socket {
        listener: Listener::Tcp(listener),
        address,
        made: None,
    })
}

fn inherited_unix(
    door: &'static str,
    socket: std::os::unix::net::UnixListener,
) -> Result<Socket, DaemonError> {
    let failed = |source| DaemonError::Door {
        door,
        address: "a socket of systemd's".to_owned(),
        source,
    };
    socket.set_nonblocking(true).map_err(failed)?;
    let path = socket.local_addr().map_err(failed)?;
    let address = path
        .as_pathname()
        .map(|path| path.display().to_string())
        .unwrap_or_default();
    let listener = Listener::Unix(UnixListener::from_std(socket).map_err(failed)?);
    Ok(Socket {
        listener,
        address,
        made: None,
    })
}

fn open_unix(door: &'static str, path: &Path, mode: u32) -> Result<Socket, DaemonError> {
    let failed = |source| DaemonError::Door {
        door,
        address: path.display().to_string(),
        source,
    };
    // What a daemon that was killed left behind is cleared away, but only if it is a socket that nobody answers at.
    if let Ok(meta) = fs::symlink_metadata(path) {
        if !meta.file_type().is_socket() {
            return Err(failed(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "there is a file that is no socket",
            )));
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(failed(io::ErrorKind::AddrInUse.into()));
        }
        fs::remove_file(path).map_err(failed)?;
    }
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
    let address = path.display().to_string();
    Ok(Socket {
        listener: Listener::Unix(listener),
        address,
        made: Some(path.to_owned()),
    })
}

/// Writes a file so that others see all of it or nothing: beside it first, then over it.
///
/// # Errors
/// When it cannot be written.
pub fn write_whole(path: &Path, text: &str) -> Result<(), DaemonError> {
    let failed = |source| DaemonError::File {
        path: path.to_owned(),
        source,
    };
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.as_file().sync_all())
        .map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        log::warn!("cannot remove {}: {error}", path.display());
    }
}

struct StoreSamples(Store);

impl Sampled for StoreSamples {
    fn sample(&self) -> Vec<Sample> {
        let (events, bytes) = self.0.queued();
        let gauges = [
            (
                "durable_seq",
                "Newest event on the disk",
                self.0.durable().0,
            ),
            (
                "projected_seq",
                "Newest event that readers see",
                self.0.projected().0,
            ),
            (
                "lag_events",
                "Events that the projections are behind the log",
                self.0.lag(),
            ),
            (
                "queue_events",
                "Deliveries that wait for the writer",
                events as u64,
            ),
            (
                "queue_bytes",
                "Bytes that wait for the writer",
                bytes as u64,
            ),
            (
                "ready",
                "1 when events can be taken and shown",
                u64::from(self.0.trouble().is_none()),
            ),
        ];
        let sample = |(name, help, value)| Sample {
            name,
            help,
            grows: false,
            values: vec![(None, value)],
        };
        gauges.into_iter().map(sample).collect()
    }
}

struct DoorSamples(Vec<(&'static str, Arc<DoorMetrics>)>);

impl Sampled for DoorSamples {
    fn sample(&self) -> Vec<Sample> {
        let sample = |name, help, grows, read: fn(&DoorMetrics) -> u64| Sample {
            name,
            help,
            grows,
            values: self
                .0
                .iter()
                .map(|(door, metrics)| (Some(*door), read(metrics)))
                .collect(),
        };
        vec![
            sample("door_connections", "Open connections", false, |door| {
                door.connections.load(Relaxed)
            }),
            sample("door_accepted", "Connections accepted", true, |door| {
                door.accepted.load(Relaxed)
            }),
            sample(
                "door_accept_errors",
                "Errors while accepting",
                true,
                |door| door.accept_errors.load(Relaxed),
            ),
            sample(
                "door_evicted",
                "Connections closed to make room",
                true,
                |door| door.evicted.load(Relaxed),
            ),
            sample(
                "door_refused",
                "Requests refused for their framing",
                true,
                |door| door.refused.load(Relaxed),
            ),
            sample(
                "door_head_timeouts",
                "Heads that did not come in time",
                true,
                |door| door.head_timeouts.load(Relaxed),
            ),
            sample(
                "door_idle_timeouts",
                "Idle connections closed",
                true,
                |door| door.idle_timeouts.load(Relaxed),
            ),
            sample(
                "door_body_timeouts",
                "Bodies that did not come in time",
                true,
                |door| door.body_timeouts.load(Relaxed),
            ),
            sample(
                "door_write_timeouts",
                "Answers that were not taken in time",
                true,
                |door| door.write_timeouts.load(Relaxed),
            ),
            sample(
                "door_aborted",
                "Connections cut off by a stop",
                true,
                |door| door.aborted.load(Relaxed),
            ),
        ]
    }
}
