//! `outbound`: what speaks to Waldo, as a process of its own.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, Context};
use crate::daemon::{self, OutboundOptions};
use crate::logging;

/// Run what calls Waldo: the gateway for apps, and the questions about overdue requests.
#[derive(Debug, Args)]
#[command(after_help = "Example: waldo-syncd outbound --gateway 127.0.0.1:7313")]
pub struct OutboundArgs {
    /// Where apps call Waldo through [usual: 127.0.0.1:7313]
    #[arg(long, value_name = "ADDR")]
    gateway: Option<String>,
    /// Path of the daemon's control socket
    #[arg(long, value_name = "PATH")]
    control: Option<String>,
    /// Write where the gateway is to this file once it is open
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
}

pub fn run(context: &Context, args: OutboundArgs) -> Result<(), CliError> {
    let keys = [
        ("gateway.listen", args.gateway),
        ("control.path", args.control),
    ];
    let flags: Vec<_> = keys
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect();
    let loaded = context.load(&flags)?;
    logging::start(&loaded.config.log).map_err(CliError::Failed)?;
    let options = OutboundOptions {
        ready_file: args.ready_file,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?;
    Ok(runtime.block_on(daemon::run_outbound(
        &loaded,
        &context.environment,
        &options,
    ))?)
}

/// Threads: one call must not wait for another's TLS.
const WORKERS: usize = 2;
