//! `sandbox`: the stand-in for Waldo as a program of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{CliError, Context};
use crate::daemon::{DaemonError, write_whole};
use crate::door::{self, Door, DoorMetrics, Hosts, Limits, Listener};
use crate::logging;
use crate::waldo::sandbox::{API_KEY, CLIENT_SECRET, Mischief, Options, Sandbox, WebhookUrl};

/// Stand in for Waldo on this machine: its API, its outcomes, its webhooks and what goes wrong with them.
#[derive(Debug, Args)]
#[command(after_help = "\
Shares from 0 to 1: --fail --duplicates --reorder --lose --loops --unknown --changed-shapes;
amounts: --delay TIME (at most), --burst N, --token-life TIME. All of it: docs/SANDBOX.md
Example: waldo-syncd sandbox --webhook-url \"$(waldo-syncd webhook-url)\" --duplicates 0.1")]
pub struct SandboxArgs {
    /// Where the API is
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7314")]
    listen: String,
    /// Where webhooks go (http only); without it none are sent
    #[arg(long, value_name = "URL")]
    webhook_url: Option<WebhookUrl>,
    /// Write where it listens to this file once it does
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
    /// Time between the phases of an evaluation
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = humantime::parse_duration)]
    pace: Duration,
    /// The same seed decides the same [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The key to log in with
    #[arg(long, value_name = "KEY", default_value = API_KEY)]
    api_key: String,
    /// The secret to log in with
    #[arg(long, value_name = "SECRET", default_value = CLIENT_SECRET)]
    client_secret: String,
    /// How long a token is valid
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration, hide = true)]
    token_life: Duration,
    /// Evaluations that end failed
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share, hide = true)]
    fail: f64,
    /// Webhooks that come twice
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share, hide = true)]
    duplicates: f64,
    /// Webhooks that are overtaken by the customer's next one
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share, hide = true)]
    reorder: f64,
    /// Webhooks are late by up to this
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration, hide = true)]
    delay: Duration,
    /// Webhooks that never come
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share, hide = true)]
    lose: f64,
    /// Webhooks about API calls that come without their requestId
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share, hide = true)]
    loops: f64,
    /// Webhooks that are followed by one with a made-up event
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share, hide = true)]
    unknown: f64,
    /// Webhooks in another shape of the same meaning
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share, hide = true)]
    changed_shapes: f64,
    /// Webhooks are held back until there are so many
    #[arg(long, value_name = "N", default_value = "0", hide = true)]
    burst: usize,
}

fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

impl SandboxArgs {
    fn options(&self) -> Options {
        Options {
            api_key: self.api_key.clone(),
            client_secret: self.client_secret.clone(),
            token_life: self.token_life,
            webhook_url: self.webhook_url.clone(),
            pace: self.pace,
            seed: self.seed.unwrap_or_else(|| fastrand::u64(..)),
            fail: self.fail,
            mischief: Mischief {
                duplicates: self.duplicates,
                reorder: self.reorder,
                delay: self.delay,
                lose: self.lose,
                loops: self.loops,
                unknown: self.unknown,
                changed_shapes: self.changed_shapes,
                burst: self.burst,
            },
        }
    }
}

pub fn run(context: &Context, args: SandboxArgs) -> Result<(), CliError> {
    let loaded = context.load(&[])?;
    logging::start(&loaded.config.log).map_err(CliError::Failed)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?;
    runtime.block_on(serve(args))
}

/// Threads; the daemon beside it needs the others.
const WORKERS: usize = 2;

async fn serve(args: SandboxArgs) -> Result<(), CliError> {
    let failed = |source| DaemonError::Door {
        door: "sandbox",
        address: args.listen.clone(),
        source,
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(&args.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let options = args.options();
    let seed = options.seed;
    let sandbox = Sandbox::new(options);
    let hosts = Hosts {
        names: Vec::new(),
        address: Some(address.ip()),
    };
    let (stop, stopped) = watch::channel(false);
    let door = Door::new(
        "sandbox",
        Listener::Tcp(listener),
        Limits::default(),
        Arc::new(DoorMetrics::default()),
    );
    let door = tokio::spawn(door::serve(door, sandbox.routes(hosts), stopped.clone()));
    let courier = tokio::spawn(async move { sandbox.run(stopped).await });

    log::info!("the sandbox is open at {address}, its page at http://{address}/sandbox");
    if args.api_key == API_KEY && args.client_secret == CLIENT_SECRET {
        log::info!("log in with apiKey {API_KEY} and clientSecret {CLIENT_SECRET}");
    } else {
        log::info!("log in with the apiKey and clientSecret that were given");
    }
    match &args.webhook_url {
        Some(url) => log::info!("webhooks go to {url}; the seed is {seed}"),
        None => log::info!("no webhooks are sent: no --webhook-url was given; the seed is {seed}"),
    }
    if !address.ip().is_loopback() {
        log::warn!(
            "other machines can reach the sandbox at {address}: give it made-up people only"
        );
    }
    if let Some(path) = &args.ready_file {
        let text = serde_json::json!({"sandbox": address.to_string()}).to_string();
        write_whole(path, &text)?;
    }
    let signal = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    log::info!("stopping on {signal}: everything in the sandbox ends with it");
    stop.send_replace(true);
    let _ = tokio::join!(door, courier);
    Ok(())
}
