//! `check`, `rebuild`: work on the file itself.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::progress::{Counted, Work, per_second};
use super::{CliError, Context};
use crate::domain::Chain;
use crate::store::{FILE_NAME, StoreError, check_file, rebuild_file};

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
    let is_named = args.file.is_some();
    let path = match args.file {
        Some(path) => path,
        None => context.data_dir(&context.load(&[])?)?.join(FILE_NAME),
    };
    must_exist(&path)?;
    if path.is_dir() {
        return Err(CliError::Usage(format!(
            "{} is a directory; name the file, or say --data-dir for the one in it",
            path.display()
        )));
    }
    let work = Work::begin("looking at the file");
    let began = Instant::now();
    let mut steps = |step, done, of| work.tell(step, done, of);
    let checked = check_file(&path, args.head, &mut steps);
    let report = checked.map_err(|error| match error {
        // What is in the data directory can be moved or restored; of a file that was named only the finding is told.
        StoreError::NotOurs(_) | StoreError::Damaged { .. } if is_named => {
            CliError::Failed(error.finding())
        }
        other => other.into(),
    })?;
    let took = began.elapsed();
    work.end();
    let mut out = io::stdout().lock();
    if context.common.json {
        let object = json!({
            "file": path, "ok": report.faults.is_empty(), "events": report.events, "head": report.head,
            "withoutPayload": report.without_payload, "truncated": report.truncated, "projectedSeq": report.projected,
            "headFoundAt": report.head_found_at, "seconds": took.as_secs_f64(), "faults": report.faults,
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
        writeln!(
            out,
            "time    {:.1} s, {} events a second",
            took.as_secs_f64(),
            per_second(report.events, took)
        )?;
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
    let work = Work::begin("looking at the file");
    let differences = rebuild_file(&directory, args.diff, &mut |done, of| {
        work.tell(Counted::Folded, done, of);
    })?;
    work.end();
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
        return Err(CliError::Failed(format!(
            "the rows are not what the log says; `{}` puts that right",
            context.advise("rebuild")
        )));
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
