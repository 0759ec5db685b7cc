//! The outbound role: what opens connections to Waldo. A process of its own, or part of `serve`, where it speaks to the
//! daemon by the control socket all the same.
//!
//! Invariant: nothing outside this role has Waldo's credentials or a way to Waldo.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::SignalKind;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::files::write_whole;
use super::sockets::{Socket, gateway_socket, inherited_sockets};
use super::{DaemonError, limits, on_signal, open_doors_warnings};
use crate::config::{Config, Environment, Loaded};
use crate::door::{Door, Hosts, Limits};
use crate::systemd;
use crate::waldo::reconciler::{self, Settings};
use crate::waldo::{Api, Counted, Daemon, Gateway, Login, Recorder, Times, Upstream};

/// What `outbound` is told beside the configuration.
#[derive(Clone, Debug, Default)]
pub struct OutboundOptions {
    /// Where to write where the gateway is.
    pub ready_file: Option<PathBuf>,
}

/// Runs the outbound role as a process of its own until it is told to stop.
///
/// # Errors
/// When it cannot start.
pub async fn run(
    loaded: &Loaded,
    environment: &Environment,
    options: &OutboundOptions,
) -> Result<(), DaemonError> {
    let config = &loaded.config;
    let mut warnings = loaded.warnings.clone();
    let mut terminate = on_signal(SignalKind::terminate())?;
    let mut interrupt = on_signal(SignalKind::interrupt())?;
    let control = environment.control_path(&config.control, &environment.data_dir(&config.store)?);
    let parts = Parts {
        config,
        environment,
        control: control.display().to_string(),
    };
    let socket = gateway_socket(config, &mut inherited_sockets()?)?;
    let outbound = Outbound::open(parts, socket, &mut warnings)?;
    warnings.extend(open_doors_warnings(config));
    for warning in &warnings {
        log::warn!("{warning}");
    }
    let address = outbound.address();
    if let Some(address) = &address {
        log::info!("the gateway door is open at {address}");
    }
    if std::os::unix::net::UnixStream::connect(&control).is_err() {
        log::warn!(
            "no daemon answers at the control socket {} yet: what Waldo answers is not recorded until one does",
            control.display()
        );
    }
    if let Some(path) = &options.ready_file {
        write_whole(path, &serde_json::json!({ "gateway": address }).to_string())?;
    }
    let (stop, stopped) = watch::channel(false);
    let mut running = tokio::spawn(outbound.run(stopped));
    let mut helpers = JoinSet::new();
    helpers.spawn(feed_watchdog());
    systemd::ready();
    let signal = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        // Half of the role would look alive to systemd and do nothing.
        _ = &mut running => return Err(DaemonError::OutboundEnded),
    };
    systemd::stopping();
    log::info!("stopping on {signal}: calls in flight are finished first");
    stop.send_replace(true);
    if running.await.is_err() {
        log::error!("the outbound role did not stop cleanly");
    }
    helpers.shutdown().await;
    Ok(())
}

async fn feed_watchdog() {
    let Some(every) = systemd::watchdog_every() else {
        return;
    };
    loop {
        systemd::alive();
        tokio::time::sleep(every).await;
    }
}

/// What the role is made from.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) environment: &'a Environment,
    /// The path of the control socket.
    pub(super) control: String,
}

/// The role, ready to run: a gateway if one is configured, a reconciler that asks where there are credentials.
pub(super) struct Outbound {
    gateway: Option<OpenGateway>,
    reconciler: Reconciler,
    limits: Limits,
}

struct Reconciler {
    daemon: Daemon,
    api: Option<Api>,
    settings: Settings,
    counted: Arc<Counted>,
}

struct OpenGateway {
    socket: Socket,
    gateway: Arc<Gateway>,
    counted: Arc<Counted>,
}

impl Outbound {
    /// Reads the credentials and finds the way to Waldo. No connection is opened yet.
    pub(super) fn open(
        parts: Parts<'_>,
        socket: Option<Socket>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, DaemonError> {
        let config = parts.config;
        let counted = Arc::new(Counted::default());
        let credentials = config.waldo.credentials(parts.environment, warnings)?;
        if socket.is_none() && credentials.is_none() {
            return Err(DaemonError::NothingOutbound);
        }
        let upstream = Upstream::new(&config.waldo.api_url, Times::default())?;
        let login = credentials.map(|credentials| Login::new(upstream.clone(), credentials));
        let reconciler = Reconciler {
            daemon: Daemon::new(&parts.control),
            api: login.clone().map(|login| Api::new(upstream.clone(), login)),
            settings: Settings {
                at_once: config.waldo.poll_concurrency,
                look_every: Settings::look_every(config.requests.deadline),
                gateway: socket.as_ref().map(|socket| socket.address.clone()),
            },
            counted: Arc::clone(&counted),
        };
        if reconciler.api.is_none() {
            warnings.push(
                "[waldo]: without api_key and client_secret Waldo is not asked about overdue requests"
                    .to_owned(),
            );
        }
        let gateway = socket.map(|socket| OpenGateway {
            gateway: Arc::new(Gateway::new(
                upstream,
                login,
                Recorder::new(&parts.control, Arc::clone(&counted)),
                Arc::clone(&counted),
                Hosts::default(),
                config.limits.max_connections,
            )),
            socket,
            counted,
        });
        Ok(Self {
            gateway,
            reconciler,
            limits: limits(config),
        })
    }

    /// Where the gateway is.
    pub(super) fn address(&self) -> Option<String> {
        let gateway = self.gateway.as_ref()?;
        Some(gateway.socket.address.clone())
    }

    /// Works until `stop` is true and what was begun is finished.
    pub(super) async fn run(self, stop: watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        if let Some(gateway) = self.gateway {
            tasks.spawn(gateway.serve(self.limits, stop.clone()));
        }
        let Reconciler {
            daemon,
            api,
            settings,
            counted,
        } = self.reconciler;
        tasks.spawn(reconciler::run(
            daemon,
            api,
            settings,
            counted,
            stop.clone(),
        ));
        let mut stopped = stop;
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => {}
            _ = tasks.join_next() => {
                log::error!("a part of the outbound role has ended by a fault");
                return;
            }
        }
        while tasks.join_next().await.is_some() {}
    }
}

impl OpenGateway {
    async fn serve(self, limits: Limits, stop: watch::Receiver<bool>) {
        let drain = limits.drain_timeout;
        let mut stopped = stop.clone();
        let deadline = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
            Instant::now() + drain
        };
        let door = Door::new(
            "gateway",
            self.socket.listener,
            limits,
            Arc::clone(&self.counted.door),
        );
        let ((), deadline) = tokio::join!(door.serve(self.gateway.service(), stop), deadline);
        let left = deadline.saturating_duration_since(Instant::now());
        self.gateway.finish(left).await;
    }
}
