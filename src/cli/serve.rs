//! `serve`: the daemon, its runtime and its log.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Args;

use super::values::address;
use super::{CliError, Context};
use crate::daemon::{self, ServeOptions};
use crate::logging;

/// Run the daemon until SIGTERM or Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = "Example: waldo-syncd serve --ingest 127.0.0.1:7311 --query 127.0.0.1:7312")]
pub struct ServeArgs {
    /// Where webhooks are taken [default: 127.0.0.1:7311]
    #[arg(long, value_name = "ADDR")]
    ingest: Option<String>,
    /// Where apps read [default: 127.0.0.1:7312]
    #[arg(long, value_name = "ADDR")]
    query: Option<String>,
    /// Path of the control socket
    #[arg(long, value_name = "PATH")]
    control: Option<String>,
    /// Run what calls Waldo in this process too: the gateway and the questions about overdue requests
    #[arg(long)]
    outbound: bool,
    /// Run a stand-in for Waldo in this process and speak to it; data in a directory of its own
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "127.0.0.1:7314", value_parser = address)]
    sandbox: Option<String>,
    /// Where apps call Waldo through [usual: 127.0.0.1:7313]
    #[arg(long, value_name = "ADDR")]
    gateway: Option<String>,
    /// Write where the doors are to this file once they are open
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
}

pub fn run(context: &Context, args: ServeArgs) -> Result<(), CliError> {
    if args.gateway.is_some() && !args.outbound && args.sandbox.is_none() {
        return Err(CliError::Usage(
            "--gateway: only with --outbound or --sandbox".to_owned(),
        ));
    }
    let keys = [
        ("ingest.listen", args.ingest),
        ("query.listen", args.query),
        ("control.path", args.control),
        ("gateway.listen", args.gateway),
    ];
    let mut flags: Vec<_> = keys
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect();
    if args.sandbox.is_some() {
        stay_apart(context, &mut flags)?;
    }
    let loaded = context.load(&flags)?;
    logging::start(&loaded.config.log).map_err(CliError::Failed)?;
    let options = ServeOptions {
        ready_file: args.ready_file,
        on_terminal: std::io::stderr().is_terminal(),
        outbound: args.outbound,
        sandbox: args.sandbox,
    };
    // The writer has a thread of its own; more than a few workers only take the processor from it.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads((cores / 2).clamp(1, MAX_WORKERS))
        .enable_all()
        .build()?;
    Ok(runtime.block_on(daemon::run(&loaded, &context.environment, &options))?)
}

/// What a sandbox made up must not get among what Waldo said: its daemon has a directory and a control socket of its own.
fn stay_apart(context: &Context, flags: &mut Vec<(&str, String)>) -> Result<(), CliError> {
    let data_dir = match &context.common.data_dir {
        Some(given) => given.clone(),
        None => {
            let usual = context.data_dir(&context.load(flags)?)?;
            let apart = usual.join("sandbox");
            flags.push(("store.data_dir", apart.display().to_string()));
            apart
        }
    };
    if !flags.iter().any(|(key, _)| *key == "control.path") {
        let control = std::path::absolute(data_dir)?.join("control.sock");
        flags.push(("control.path", control.display().to_string()));
    }
    Ok(())
}

/// Threads that serve connections at most.
const MAX_WORKERS: usize = 4;
