//! `doctor`: what is wrong, and what to do about it.
//!
//! Looks at what can be known from here and changes nothing. Only `--online` and `--public` speak to anybody but the local
//! daemon, and they send neither credentials nor the secret.

mod backups;
mod daemon;
mod findings;
mod outside;
mod place;
mod secrets;

use std::io;

use clap::Args;

use super::{CliError, Context};
use crate::config::Loaded;
use crate::daemon::open_doors_warnings;

use findings::Findings;

/// Tell what is wrong and what to do about it. Exit code 1 when something is.
#[derive(Debug, Args)]
#[command(after_help = "Example: waldo-syncd doctor --public https://hooks.example.com")]
pub struct DoctorArgs {
    /// Also see whether Waldo's API can be reached; sends no credentials
    #[arg(long)]
    online: bool,
    /// The outside name: also see what the proxy there passes on
    #[arg(long, value_name = "BASE")]
    public: Option<String>,
}

pub fn run(context: &Context, args: DoctorArgs) -> Result<(), CliError> {
    if let Some(base) = &args.public {
        super::setup::check_base(base)?;
    }
    let mut findings = Findings::default();
    match context.load(&[]) {
        Ok(loaded) => look(context, &loaded, &args, &mut findings),
        Err(error) => findings.problem(
            "config",
            error.to_string(),
            "put that right; nothing else can be looked at before",
        ),
    }
    findings.tell(&mut io::stdout().lock(), context.common.json)
}

fn look(context: &Context, loaded: &Loaded, args: &DoctorArgs, findings: &mut Findings) {
    let config = &loaded.config;
    let file = loaded
        .file
        .as_ref()
        .map_or("no file, all defaults".to_owned(), |path| {
            path.display().to_string()
        });
    findings.ok("config", file);
    let mut warnings = loaded.warnings.clone();
    warnings.extend(open_doors_warnings(config));
    for warning in warnings {
        findings.warn("config", warning, "");
    }
    let directory = match context.data_dir(loaded) {
        Ok(directory) => directory,
        Err(error) => return findings.problem("data", error.to_string(), "name --data-dir"),
    };
    let stats = daemon::look(context, loaded, &directory, findings);
    if place::is_closed(&directory) {
        findings.warn(
            "data",
            format!("this user may not look into {}", directory.display()),
            "run this as root or as the daemon's user: secrets, rights and database were not looked at",
        );
    } else {
        secrets::look(context, loaded, &directory, stats.as_ref(), findings);
        place::look(context, &directory, findings);
    }
    backups::look(&config.backup, &directory, stats.as_ref(), findings);
    if args.online {
        outside::waldo(&config.waldo.api_url, findings);
    }
    if let Some(base) = &args.public {
        outside::proxy(base, findings);
    }
}
