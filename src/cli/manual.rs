//! `man`, `completions`: pages and shell scripts made from the table of commands.
//!
//! Invariant: nothing is said here that the table does not say, so help, pages and completions agree.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, CliError};

/// Print a man page, in roff: of the whole, or of one command.
#[derive(Debug, Args)]
#[command(after_help = "Example: waldo-syncd man serve | man -l -")]
pub struct ManArgs {
    /// The command, as in `serve` or `config show`
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Write every page to this directory instead
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    to: Option<PathBuf>,
}

/// Print completions for a shell.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: waldo-syncd completions bash > ~/.local/share/bash-completion/completions/waldo-syncd"
)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(["bash", "zsh", "fish"]))]
    shell: String,
}

pub fn man(args: &ManArgs) -> Result<(), CliError> {
    // Building fills in what commands share and names each page after its command.
    let mut whole = Cli::command().disable_help_subcommand(true);
    whole.build();
    if let Some(directory) = &args.to {
        std::fs::create_dir_all(directory)?;
        return write_pages(&whole, directory);
    }
    let mut command = &whole;
    for name in &args.command {
        command = command.find_subcommand(name).ok_or_else(|| {
            CliError::Usage(format!(
                "there is no command `{}`; `waldo-syncd --help` lists them",
                args.command.join(" ")
            ))
        })?;
    }
    Ok(io::stdout().lock().write_all(&page(command)?)?)
}

pub fn completions(args: &CompletionsArgs) -> Result<(), CliError> {
    let shell: Shell = args.shell.parse().map_err(CliError::Usage)?;
    // Gathered first: the generator takes a reader that has gone for a fault.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "waldo-syncd", &mut script);
    Ok(io::stdout().lock().write_all(&script)?)
}

fn write_pages(command: &Command, directory: &std::path::Path) -> Result<(), CliError> {
    let name = page_name(command);
    std::fs::write(directory.join(format!("{name}.1")), page(command)?)?;
    command
        .get_subcommands()
        .try_for_each(|command| write_pages(command, directory))
}

fn page(command: &Command) -> Result<Vec<u8>, CliError> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(page_name(command))
        .manual("User Commands")
        .source(concat!("waldo-syncd ", env!("CARGO_PKG_VERSION")))
        .render(&mut text)?;
    Ok(text)
}

/// `waldo-syncd-config-show`
fn page_name(command: &Command) -> &str {
    command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
}
