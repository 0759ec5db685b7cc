//! `backup`, `restore`: the whole database to another place and back.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::client::{Client, detail};
use super::confirm::confirm;
use super::file::must_exist;
use super::progress::Work;
use super::{CliError, Context};
use crate::clock::now;
use crate::store::{Backup, FILE_NAME, Restored, Running, backup_file, restore_file};
use crate::words::counted;

/// How long a daemon may take for a backup before it is no longer waited for; it goes on by itself.
const BACKUP_WITHIN: Duration = Duration::from_secs(12 * 3600);

/// Write a whole, checked copy of the database, while the daemon works or without one.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: waldo-syncd backup /mnt/backups/  # a file named by the time, and its manifest"
)]
pub struct BackupArgs {
    /// A directory, or the file to write; a running daemon writes it, with its own rights
    dest: PathBuf,
    /// Replace a backup that is there
    #[arg(long)]
    force: bool,
}

/// Put a backup in place of the database. The daemon must be stopped.
#[derive(Debug, Args)]
#[command(after_help = "Example: waldo-syncd restore /mnt/backups/waldo-syncd-20261124T030000Z.db")]
pub struct RestoreArgs {
    /// The backup
    file: PathBuf,
    /// Replace the database that is there; it is kept under another name
    #[arg(long)]
    force: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub fn backup(context: &Context, args: BackupArgs) -> Result<(), CliError> {
    let loaded = context.load(&[])?;
    let dest = absolute(&args.dest)?;
    let asked = Client::new(context, &loaded).and_then(|client| ask(&client, &dest, args.force));
    let object = match asked {
        Ok(object) => object,
        // Nobody works on the file, then: the lock on its directory says whether that is so.
        Err(CliError::NotRunning(_)) => {
            let directory = context.data_dir(&loaded)?;
            must_exist(&directory.join(FILE_NAME))?;
            let work = Work::begin("looking at the file");
            let mut steps = |step, done, of| work.tell(step, done, of);
            let made: Backup = backup_file(&directory, &dest, args.force, now(), &mut steps)?;
            work.end();
            serde_json::to_value(made).map_err(|error| CliError::Failed(error.to_string()))?
        }
        Err(error) => return Err(error),
    };
    let mut out = io::stdout().lock();
    if context.common.json {
        writeln!(out, "{object}")?;
    } else {
        writeln!(out, "{}", object["path"].as_str().unwrap_or_default())?;
        writeln!(
            out,
            "events  {} (to event {})",
            object["events"],
            object["lastSeq"].as_u64().unwrap_or(0)
        )?;
        for (name, member) in [("head", "head"), ("sha256", "sha256")] {
            writeln!(
                out,
                "{name:<7} {}",
                object[member].as_str().unwrap_or_default()
            )?;
        }
        writeln!(out, "bytes   {}", object["bytes"])?;
        writeln!(
            out,
            "written, read again and checked; the manifest is beside it"
        )?;
    }
    Ok(())
}

/// Has the running daemon make it.
fn ask(client: &Client, dest: &Path, force: bool) -> Result<Value, CliError> {
    let path = dest.to_str().ok_or_else(|| {
        CliError::Usage(
            "a running daemon can be told of paths in UTF-8 only; name another".to_owned(),
        )
    })?;
    let work = Work::elsewhere("the daemon copies the database and checks the copy");
    let body = json!({ "path": path, "force": force });
    let answer = if work.is_seen() {
        client.tell_and_watch("/v1/backup", &body, BACKUP_WITHIN, |stats| {
            let running = stats["runningBackup"].clone();
            if let Ok(Running { step, done, of }) = serde_json::from_value(running) {
                work.tell(step, done, of);
            }
        })
    } else {
        client.tell("/v1/backup", &body, BACKUP_WITHIN)
    };
    work.end();
    let answer = answer?;
    let object: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status.is_success() {
        return Ok(object);
    }
    Err(CliError::Failed(format!(
        "the daemon answered: {}",
        detail(&object, answer.status)
    )))
}

fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path)
        .map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))
}

pub fn restore(context: &Context, args: RestoreArgs) -> Result<(), CliError> {
    let directory = context.data_dir(&context.load(&[])?)?;
    must_exist(&args.file)?;
    let database = directory.join(FILE_NAME);
    if args.force && database.exists() {
        confirm(
            &format!(
                "Put {} in place of {}?",
                args.file.display(),
                database.display()
            ),
            args.yes,
        )?;
    }
    let work = Work::begin("looking at the backup");
    let mut steps = |step, done, of| work.tell(step, done, of);
    let restored = restore_file(&directory, &args.file, args.force, now(), &mut steps)?;
    work.end();
    let mut out = io::stdout().lock();
    if context.common.json {
        let object = json!({
            "restored": restored.path, "from": args.file, "events": restored.events, "lastSeq": restored.last,
            "head": restored.head, "manifest": restored.had_manifest, "replaced": restored.replaced,
            "replacedLastSeq": restored.replaced_last, "erasedAgain": restored.erased,
        });
        writeln!(out, "{object}")?;
    } else {
        show(&mut out, &restored, &context.advise("serve"))?;
    }
    Ok(())
}

fn show(out: &mut impl io::Write, restored: &Restored, start: &str) -> io::Result<()> {
    let last = restored.last.unwrap_or_default();
    writeln!(out, "{}", restored.path.display())?;
    writeln!(out, "events  {} (to event {last})", restored.events)?;
    writeln!(out, "head    {}", restored.head)?;
    if !restored.had_manifest {
        writeln!(
            out,
            "no manifest stood beside the backup: the chain was checked, and all rows were made anew from the log"
        )?;
    }
    if restored.erased > 0 {
        writeln!(
            out,
            "{} erased since the backup was made, and erased from it again",
            counted(restored.erased, "customer was", "customers were")
        )?;
    }
    if let Some(replaced) = &restored.replaced {
        writeln!(out, "what was there is now {}", replaced.display())?;
    }
    if restored.replaced_last.is_some_and(|before| before > last) {
        writeln!(
            out,
            "events after {last} are not in this backup: programs that have read further must go back to {last}"
        )?;
    }
    writeln!(out, "start the daemon: `{start}`")
}
