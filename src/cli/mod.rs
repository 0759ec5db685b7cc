//! The command line: one table of commands from which parsing and help are made, and the exit codes.

mod backup;
mod client;
mod confirm;
mod control;
mod customers;
mod doctor;
mod events;
mod export;
mod file;
mod item;
mod lists;
mod manual;
mod openapi;
mod outbound;
mod progress;
mod requests;
mod resync;
mod retention;
mod sandbox;
mod screen;
mod send;
mod serve;
mod setup;
mod status;
mod values;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::config::{self, ConfigError, Environment, Loaded};
use crate::daemon::DaemonError;
use crate::store::{BackupError, RestoreError, StoreError};

/// Takes Waldo AI's webhooks durably into one SQLite file and serves what they mean to local apps.
#[derive(Debug, Parser)]
#[command(
    name = "waldo-syncd",
    version,
    max_term_width = 100,
    after_help = "\
Start with `waldo-syncd serve`, then `waldo-syncd send onboard --customer c-1 --status APPROVED`.
Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 the daemon is not running."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// What every command takes.
#[derive(Debug, Args)]
struct Common {
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the database is
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// One JSON object a line, for programs
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Outbound(outbound::OutboundArgs),
    Sandbox(sandbox::SandboxArgs),
    /// Write a commented configuration and a fresh secret; overwrites nothing
    Init(setup::InitArgs),
    /// Show the URL to paste into Waldo's dashboard, or change its secret
    WebhookUrl(setup::WebhookUrlArgs),
    /// Post one made-up webhook to the running daemon
    Send(send::SendArgs),
    /// Tell how the daemon is
    Status(status::StatusArgs),
    /// List customers
    Customers(customers::CustomersArgs),
    /// Show one customer with its timeline
    Customer(customers::CustomerArgs),
    /// List events, or follow them as they come
    Events(events::EventsArgs),
    /// Show one event with its payload
    Event(events::EventArgs),
    /// List the API requests that are waited for
    Requests(requests::RequestsArgs),
    Doctor(doctor::DoctorArgs),
    Track(control::TrackArgs),
    Settle(control::SettleArgs),
    Resync(resync::ResyncArgs),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    Check(file::CheckArgs),
    Rebuild(file::RebuildArgs),
    Prune(retention::PruneArgs),
    Erase(retention::EraseArgs),
    Export(export::ExportArgs),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(setup::ConfigCommand),
    Openapi(openapi::OpenapiArgs),
    Man(manual::ManArgs),
    Completions(manual::CompletionsArgs),
}

/// What a command failed with; each kind has its exit code.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// It was tried and did not work.
    #[error("{0}")]
    Failed(String),
    /// It was asked for in a way that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// What was asked for is not there.
    #[error("{0}")]
    NotFound(String),
    /// There is no daemon to ask.
    #[error("{0}")]
    NotRunning(String),
    /// Whoever read our output has gone; nobody is left to tell.
    #[error("")]
    OutputClosed,
}

impl CliError {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NotFound(_) => 3,
            Self::NotRunning(_) => 4,
        }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        let told = error.to_string();
        if error.is_usage() {
            Self::Usage(told)
        } else {
            Self::Failed(told)
        }
    }
}

impl From<DaemonError> for CliError {
    fn from(error: DaemonError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<BackupError> for CliError {
    fn from(error: BackupError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<RestoreError> for CliError {
    fn from(error: RestoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// What a command works with.
struct Context {
    common: Common,
    environment: Environment,
}

impl Context {
    /// Loads the configuration, with command line values over it.
    fn load(&self, flags: &[(&str, String)]) -> Result<Loaded, CliError> {
        let mut flags = flags.to_vec();
        if let Some(directory) = &self.common.data_dir {
            flags.push(("store.data_dir", directory.to_string_lossy().into_owned()));
        }
        Ok(config::load(
            self.common.config.as_deref(),
            &self.environment,
            &flags,
        )?)
    }

    /// A command of this program, to be typed by whoever reads it: on the same configuration and data directory as this
    /// one, where they were named.
    fn advise(&self, words: &str) -> String {
        let mut command = format!("waldo-syncd {words}");
        let named = [
            ("--config", &self.common.config),
            ("--data-dir", &self.common.data_dir),
        ];
        for (option, path) in named {
            if let Some(path) = path {
                command = format!("{command} {option} {}", as_a_word(path));
            }
        }
        command
    }

    fn data_dir(&self, loaded: &Loaded) -> Result<PathBuf, CliError> {
        Ok(self.environment.data_dir(&loaded.config.store)?)
    }
}

/// A path as a shell takes it for one word.
fn as_a_word(path: &Path) -> String {
    let shown = path.display().to_string();
    let is_plain = |char: char| char.is_alphanumeric() || "/._-+:,@".contains(char);
    if !shown.is_empty() && shown.chars().all(is_plain) {
        shown
    } else {
        format!("'{}'", shown.replace('\'', r"'\''"))
    }
}

/// Runs the program and gives its exit code.
#[must_use]
pub fn main() -> ExitCode {
    // What a fault was about may hold a body; where it was is enough to find it.
    std::panic::set_hook(Box::new(|fault| {
        let place = fault
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        eprintln!("waldo-syncd: an internal fault at {place}; please report it");
    }));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output and are no failure; the rest is usage.
            let asked = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            return if error.print().is_ok() && asked {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(2)
            };
        }
    };
    let context = Context {
        common: cli.common,
        environment: Environment::from_process(),
    };
    match run(&context, cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !matches!(error, CliError::OutputClosed) {
                eprintln!("waldo-syncd: {}", harmless(&error.to_string()));
            }
            ExitCode::from(error.exit_code())
        }
    }
}

/// A message of several lines, in which ids may stand, for a terminal.
fn harmless(message: &str) -> String {
    let lines: Vec<_> = message.split('\n').map(screen::printable).collect();
    lines.join("\n")
}

fn run(context: &Context, command: Command) -> Result<(), CliError> {
    match command {
        Command::Serve(args) => serve::run(context, args),
        Command::Outbound(args) => outbound::run(context, args),
        Command::Sandbox(args) => sandbox::run(context, args),
        Command::Init(args) => setup::init(context, args),
        Command::WebhookUrl(args) => setup::webhook_url(context, args),
        Command::Send(args) => send::run(context, args),
        Command::Status(args) => status::status(context, args),
        Command::Customers(args) => customers::customers(context, args),
        Command::Customer(args) => customers::customer(context, args),
        Command::Events(args) => events::events(context, args),
        Command::Event(args) => events::event(context, args),
        Command::Requests(args) => requests::requests(context, args),
        Command::Doctor(args) => doctor::run(context, args),
        Command::Track(args) => control::track(context, args),
        Command::Settle(args) => control::settle(context, args),
        Command::Resync(args) => resync::run(context, args),
        Command::Backup(args) => backup::backup(context, args),
        Command::Restore(args) => backup::restore(context, args),
        Command::Check(args) => file::check(context, args),
        Command::Rebuild(args) => file::rebuild(context, args),
        Command::Prune(args) => retention::prune(context, args),
        Command::Erase(args) => retention::erase(context, args),
        Command::Export(args) => export::run(context, args),
        Command::Config(command) => setup::config(context, command),
        Command::Openapi(args) => openapi::run(&args),
        Command::Man(args) => manual::man(&args),
        Command::Completions(args) => manual::completions(&args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        assert_eq!(as_a_word(Path::new("/var/lib/a-b_1")), "/var/lib/a-b_1");
        assert_eq!(as_a_word(Path::new("it's mine")), r"'it'\''s mine'");
    }

    #[test]
    fn the_table_of_commands_is_sound() {
        Cli::command().debug_assert();
    }
}
