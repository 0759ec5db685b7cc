//! `check`, `rebuild`: work on the file itself.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{CliError, Context};
use crate::domain::Chain;
use crate::store::{FILE_NAME, check_file, rebuild_file};

/// Prove that no event was altered, removed or inserted. Works beside a running daemon.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: waldo-syncd check --head 9f2c…  # a head noted earlier must still be in the log"
)]
pub struct CheckArgs {
    /// The file [default: the one in the data directory]
    file: Option<PathBuf>,
    /// A head of the chain noted earlier, which the log must contain
    #[arg(long, value_name = "HEX")]
    head: Option<Chain>,
}

/// Fold the log into fresh tables and put them in place of the old ones. The daemon must be stopped.
#[derive(Debug, Args)]
#[command(after_help = "Example: waldo-syncd rebuild --diff")]
pub struct RebuildArgs {
    /// Only tell what differs; works beside a running daemon
    #[arg(long)]
    diff: bool,
}

pub fn check(context: &Context, args: CheckArgs) -> Result<(), CliError> {
    let path = match args.file {
        Some(path) => path,
        None => context.data_dir(&context.load(&[])?)?.join(FILE_NAME),
    };
    must_exist(&path)?;
    let bar = bar("events checked");
    let report = check_file(&path, args.head, &mut |done, of| tell(&bar, done, of))?;
    bar.finish_and_clear();
    let mut out = io::stdout().lock();
    if context.common.json {
        let object = json!({
            "file": path, "ok": report.faults.is_empty(), "events": report.events, "head": report.head,
            "withoutPayload": report.without_payload, "truncated": report.truncated, "projectedSeq": report.projected,
            "headFoundAt": report.head_found_at, "faults": report.faults,
        });
        writeln!(out, "{object}")?;
    } else {
        writeln!(out, "{}", path.display())?;
        writeln!(
            out,
            "events  {} ({} without payload, {} of which only the beginning was kept)",
            report.events, report.without_payload, report.truncated
        )?;
        writeln!(out, "head    {}", report.head)?;
        if let Some(at) = report.head_found_at {
            writeln!(out, "the given head is that of event {at}")?;
        }
    }
    if report.faults.is_empty() {
        if !context.common.json {
            writeln!(out, "the chain is whole")?;
        }
        return Ok(());
    }
    Err(CliError::Failed(format!(
        "the file does not pass:\n  {}",
        report.faults.join("\n  ")
    )))
}

pub fn rebuild(context: &Context, args: RebuildArgs) -> Result<(), CliError> {
    let directory = context.data_dir(&context.load(&[])?)?;
    let path = directory.join(FILE_NAME);
    must_exist(&path)?;
    let bar = bar("events folded");
    let differences = rebuild_file(&directory, args.diff, &mut |done, of| tell(&bar, done, of))?;
    bar.finish_and_clear();
    let mut out = io::stdout().lock();
    for difference in &differences {
        let (table, before, after) = (
            &difference.table,
            difference.only_before,
            difference.only_after,
        );
        if context.common.json {
            writeln!(
                out,
                "{}",
                json!({ "table": table, "onlyBefore": before, "onlyAfter": after })
            )?;
        } else {
            writeln!(
                out,
                "{table}: {before} rows only as they were, {after} rows only as folded again"
            )?;
        }
    }
    if args.diff && !differences.is_empty() {
        return Err(CliError::Failed(
            "the rows are not what the log says; `waldo-syncd rebuild` puts that right".to_owned(),
        ));
    }
    if !context.common.json {
        let done = if args.diff {
            "the rows are what the log says"
        } else {
            "the tables are rebuilt from the log"
        };
        writeln!(out, "{done}")?;
    }
    Ok(())
}

pub(super) fn must_exist(path: &Path) -> Result<(), CliError> {
    match path.try_exists() {
        Ok(true) => Ok(()),
        Ok(false) => {
            let hint = if path.ends_with(FILE_NAME) {
                "; --data-dir names its directory, and `waldo-syncd serve` makes it"
            } else {
                ""
            };
            Err(CliError::NotFound(format!(
                "there is no file {}{hint}",
                path.display()
            )))
        }
        Err(error) => Err(CliError::Failed(format!(
            "cannot look at {}: {error}",
            path.display()
        ))),
    }
}

/// A bar on a terminal; nothing elsewhere.
pub(super) fn bar(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}, {eta} left");
    let bar = ProgressBar::new(0).with_message(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

pub(super) fn tell(bar: &ProgressBar, done: u64, of: u64) {
    bar.set_length(of);
    bar.set_position(done);
}
