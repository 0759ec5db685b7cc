//! A daemon at work: what was opened, what runs beside the doors, and the order in which it ends.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::outbound::{Outbound, Parts};
use super::samples;
use super::sandbox::{self, OpenSandbox};
use super::secrets::{ensure_secrets, follow_secrets};
use super::sockets::Sockets;
use super::{
    DaemonError, Doors, OpenDoors, ServeOptions, Shared, backups, descriptors, limits, lookout,
    open_doors_warnings, retention,
};
use crate::config::{Config, Environment, Loaded, WebhookSecrets};
use crate::http::errands::Errands;
use crate::http::{Secrets, control_routes, ingest_routes, query_routes, webhook_path};
use crate::metrics::Metrics;
use crate::store::Store;

/// All that a daemon has open.
pub(super) struct Serving {
    /// Where its doors are.
    pub(super) doors: Doors,
    /// The configuration it works by.
    pub(super) config: Config,
    /// Who may post.
    pub(super) known: WebhookSecrets,
    sockets: Sockets,
    open: OpenDoors,
    stop: watch::Sender<bool>,
    /// The outbound role writes by the control door to its end, so that door is closed after it.
    stop_control: watch::Sender<bool>,
    outbound: Option<JoinHandle<()>>,
    sandbox: Option<JoinHandle<()>>,
    helpers: JoinSet<()>,
}

/// What a daemon is made from.
pub(super) struct From<'a> {
    pub(super) loaded: &'a Loaded,
    pub(super) environment: &'a Environment,
    pub(super) options: &'a ServeOptions,
    pub(super) data_dir: &'a Path,
    pub(super) store: &'a Store,
}

impl Serving {
    /// Opens every door and starts what runs beside them.
    pub(super) async fn open(from: &From<'_>) -> Result<Self, DaemonError> {
        let mut config = from.loaded.config.clone();
        let mut warnings = from.loaded.warnings.clone();
        let sandbox = match &from.options.sandbox {
            Some(listen) => {
                let sandbox = OpenSandbox::bind(listen).await?;
                sandbox.take_the_place_of_waldo(&mut config);
                Some(sandbox)
            }
            None => None,
        };
        let is_outbound = from.options.outbound || sandbox.is_some();
        descriptors::fit(&mut config, is_outbound, &mut warnings);
        let known = ensure_secrets(&config, from.environment, from.data_dir, &mut warnings)?;
        let secrets = Secrets::default();
        secrets.set(known.all());
        let control_path = from
            .environment
            .control_path(&config.control, from.data_dir);
        let mut sockets = Sockets::open(&config, &control_path, is_outbound)?;
        let mut doors = sockets.doors();
        doors.sandbox = sandbox.as_ref().map(OpenSandbox::address);

        let (stop, stopped) = watch::channel(false);
        let (stop_control, control_stopped) = watch::channel(false);
        let metrics = Arc::new(Metrics::default());
        let outbound = if is_outbound {
            let parts = Parts {
                config: &config,
                environment: from.environment,
                control: doors.control.clone().unwrap_or_default(),
            };
            let socket = sockets.gateway.take();
            Some(Outbound::open(parts, socket, &mut warnings)?)
        } else {
            None
        };
        let errands = Arc::new(Errands::numbered_after(
            u64::try_from(crate::clock::now().0).unwrap_or_default(),
        ));
        let shared = Shared {
            config: &config,
            environment: from.environment,
            store: from.store,
            metrics: &metrics,
            stopped: &stopped,
            errands: Arc::clone(&errands),
        };
        let mut open = OpenDoors::new(limits(&config), stopped.clone());
        shared.open(
            &mut open,
            &mut sockets,
            &secrets,
            control_stopped,
            &mut warnings,
        )?;
        let door_metrics = std::mem::take(&mut open.metrics);
        samples::register(&metrics, from.store, door_metrics, &errands);
        warnings.extend(open_doors_warnings(&config));
        for warning in &warnings {
            log::warn!("{warning}");
        }
        let outbound = outbound.map(|outbound| {
            let role = outbound.run(stopped.clone());
            tokio::spawn(run_beside(role, stopped.clone(), errands))
        });
        let ingest = doors.ingest.clone().unwrap_or_default();
        let sandbox = sandbox.map(|sandbox| {
            let options = sandbox::beside(&ingest, &webhook_path(&known.current));
            tokio::spawn(sandbox.serve(options, stopped))
        });
        let helpers = helpers(from, &config, secrets);
        Ok(Self {
            doors,
            config,
            known,
            sockets,
            open,
            stop,
            stop_control,
            outbound,
            sandbox,
            helpers,
        })
    }

    /// Whether the outbound role runs in this process.
    pub(super) fn is_outbound(&self) -> bool {
        self.outbound.is_some()
    }

    /// Ends what was opened, the last to be needed last.
    pub(super) async fn end(mut self) {
        self.stop.send_replace(true);
        if let Some(outbound) = self.outbound
            && outbound.await.is_err()
        {
            log::error!("the outbound role did not stop cleanly");
        }
        if let Some(sandbox) = self.sandbox {
            // It has nothing that outlives it.
            let _ = sandbox.await;
        }
        self.stop_control.send_replace(true);
        while self.open.tasks.join_next().await.is_some() {}
        self.helpers.shutdown().await;
        self.sockets.remove_files();
    }
}

impl Shared<'_> {
    /// Opens the daemon's own doors.
    fn open(
        &self,
        open: &mut OpenDoors,
        sockets: &mut Sockets,
        secrets: &Secrets,
        control_stopped: watch::Receiver<bool>,
        warnings: &mut Vec<String>,
    ) -> Result<(), DaemonError> {
        let ingest = self.ingest(secrets, warnings)?;
        let query = self.query(warnings)?;
        let reads = query_routes(Arc::new(query.for_group()));
        let query = query_routes(Arc::new(query));
        open.door("query", sockets.query.take(), query.clone());
        open.door("query socket", sockets.query_socket.take(), query);
        open.stopped = control_stopped;
        open.door(
            "control",
            sockets.control.take(),
            control_routes(Arc::new(self.control()), reads),
        );
        open.stopped = self.stopped.clone();
        open.door(
            "ingest",
            sockets.ingest.take(),
            ingest_routes(Arc::new(ingest)),
        );
        Ok(())
    }
}

/// Runs the outbound role beside the doors. If it ends by a fault the doors stay open, for webhooks go before; what is no
/// longer done is told by `/readyz` and `status` until the next start.
async fn run_beside(
    role: impl Future<Output = ()> + Send + 'static,
    stopped: watch::Receiver<bool>,
    errands: Arc<Errands>,
) {
    let ended = tokio::spawn(role).await;
    if !*stopped.borrow() {
        let told = "the outbound role has ended by a fault: no gateway, and Waldo is not asked; restart the daemon";
        match ended {
            Ok(()) => log::error!("{told}"),
            Err(error) => log::error!("{told} ({error})"),
        }
        errands.set_ended(told);
    }
}

/// What runs beside the doors.
fn helpers(from: &From<'_>, config: &Config, secrets: Secrets) -> JoinSet<()> {
    let store = from.store;
    let mut helpers = JoinSet::new();
    helpers.spawn(follow_secrets(
        config.clone(),
        from.environment.clone(),
        from.data_dir.to_owned(),
        secrets,
    ));
    helpers.spawn(lookout::feed_watchdog(store.clone()));
    helpers.spawn(lookout::log_head(store.clone()));
    if let Some(schedule) = backups::Schedule::of(&config.backup) {
        helpers.spawn(backups::make_when_due(store.clone(), schedule));
    }
    helpers.spawn(lookout::look_out_for_silence(
        store.clone(),
        config.requests.silence_after,
        config.requests.give_up_after,
    ));
    if let Some(age) = config.retention.payloads {
        helpers.spawn(retention::prune(store.clone(), age, config.retention.every));
    }
    helpers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_role_that_ends_by_itself_is_told_and_one_that_was_stopped_is_not() {
        let (stop, stopped) = watch::channel(false);
        let errands = Arc::new(Errands::default());
        run_beside(async {}, stopped.clone(), Arc::clone(&errands)).await;
        let told = errands.outbound().unwrap();
        assert!(told.trouble.unwrap().contains("ended by a fault"));
        assert!(!told.polling && told.gateway.is_none());

        let errands = Arc::new(Errands::default());
        stop.send_replace(true);
        run_beside(async {}, stopped, Arc::clone(&errands)).await;
        assert!(errands.outbound().is_none());
    }
}
