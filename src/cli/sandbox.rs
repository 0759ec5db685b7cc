//! `sandbox`: the stand-in for Waldo as a program of its own.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values::{address, share};
use super::{CliError, Context};
use crate::waldo::sandbox::{API_KEY, CLIENT_SECRET, Mischief, Options, WebhookUrl};
use crate::{daemon, logging};

/// Stand in for Waldo: its API, its outcomes, its webhooks and their troubles.
#[derive(Debug, Args)]
#[command(after_help = "\
Shares from 0 to 1: --fail --duplicates --reorder --lose --loops --unknown
--changed-shapes; amounts: --delay TIME (at most), --burst N, --token-life TIME.
All of it: docs/SANDBOX.md
Example:
  waldo-syncd sandbox --webhook-url \"$(waldo-syncd webhook-url)\" --lose 0.1")]
pub struct SandboxArgs {
    /// Where the API is
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7314", value_parser = address)]
    listen: String,
    /// Where webhooks go (http only); none without it
    #[arg(long, value_name = "URL")]
    webhook_url: Option<WebhookUrl>,
    /// Write where it listens to this file once it does
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
    /// Time between phases of a run
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = time)]
    pace: Duration,
    /// What decides all chance [default: a new one]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Login key
    #[arg(long, value_name = "KEY", default_value = API_KEY)]
    api_key: String,
    /// Login secret
    #[arg(long, value_name = "SECRET", default_value = CLIENT_SECRET)]
    client_secret: String,
    /// How long a token is valid
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time, hide = true)]
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
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time, hide = true)]
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

/// The longest time that can be asked for; the clock cannot count to any.
const MAX_TIME: Duration = Duration::from_secs(30 * 24 * 3600);

fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .ok()
        .filter(|time| *time <= MAX_TIME)
        .ok_or_else(|| "expected a time like 500ms or 2h, 30 days at most".to_owned())
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
    let options = args.options();
    let ready_file = args.ready_file.as_deref();
    Ok(runtime.block_on(daemon::run_sandbox(&args.listen, options, ready_file))?)
}

/// Threads; the daemon beside it needs the others.
const WORKERS: usize = 2;
