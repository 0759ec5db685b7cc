//! `prune`, `erase`: take out of the log what is not to be kept. Through the daemon when one runs, for only one process
//! writes to the file; else on the file itself.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::confirm::confirm;
use super::control::tell_within;
use super::file::must_exist;
use super::lists::client;
use super::progress::{Counted, Work};
use super::screen::printable;
use super::{CliError, Context, values};
use crate::clock::now;
use crate::daemon::write_whole;
use crate::domain::Timestamp;
use crate::store::{FILE_NAME, Pruned, StoreError, erase_file, prune_file, warning_of_list};
use crate::words::counted;

/// How long the daemon may take for one answer: it searches all bodies for an id that is erased.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Take old payloads out. What was read of them stays, and the chain stays whole.
#[derive(Debug, Args)]
#[command(after_help = "Example: waldo-syncd prune --older-than 365d --yes")]
pub struct PruneArgs {
    /// Age past which payloads go [default: `[retention] payloads`]
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    older_than: Option<Duration>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Take out all that is known of one customer: payloads, rows and ids. There is no way back.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: waldo-syncd erase 71c0de5a19b24f0e83d6a4b1 --certificate erased-4711.json"
)]
pub struct EraseArgs {
    /// The customer
    customer_id: String,
    /// Write what was erased here too: seqs and digests, no ids
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub fn prune(context: &Context, args: PruneArgs) -> Result<(), CliError> {
    let loaded = context.load(&[])?;
    let age = args
        .older_than
        .or(loaded.config.retention.payloads)
        .ok_or_else(|| {
            CliError::Usage(
                "how old? name --older-than, as in 365d, or set [retention] payloads".to_owned(),
            )
        })?;
    let directory = context.data_dir(&loaded)?;
    must_exist(&directory.join(FILE_NAME))?;
    let before = now().plus_ms(-i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    // Nothing is younger than that, so it says what it comes to.
    let question = match age.is_zero() {
        true => "Take out every payload there is, of whatever age?".to_owned(),
        false => format!("Take out all payloads from before {before}?"),
    };
    confirm(&question, args.yes)?;
    let work = Work::begin("looking at the file");
    let mut looked_at = |done, of| work.tell(Counted::LookedAt, done, of);
    let pruned = match prune_file(&directory, before, &mut looked_at) {
        Err(StoreError::InUse(_)) => prune_by_daemon(context, before, &work)?,
        done => done?,
    };
    work.end();
    let mut out = io::stdout().lock();
    let (events, bytes) = (pruned.events, pruned.bytes);
    if context.common.json {
        writeln!(
            out,
            "{}",
            json!({ "before": before, "events": events, "bytes": bytes })
        )?;
    } else {
        writeln!(
            out,
            "took out {} ({bytes} bytes) from before {before}{}; new events use their space",
            counted(events, "payload", "payloads"),
            match age.is_zero() {
                true => ", which is every payload there was",
                false => "",
            }
        )?;
    }
    Ok(())
}

/// The daemon works for a few seconds at a time and says where to go on.
fn prune_by_daemon(context: &Context, before: Timestamp, work: &Work) -> Result<Pruned, CliError> {
    let client = client(context)?;
    let mut pruned = Pruned::default();
    let mut after = 0;
    loop {
        let body = json!({ "before": before, "after": after });
        let (_, answer) = tell_within(&client, "/v1/prune", &body, PATIENCE)?;
        pruned.events += answer["events"].as_u64().unwrap_or(0);
        pruned.bytes += answer["bytes"].as_u64().unwrap_or(0);
        match answer["next"].as_u64() {
            Some(next) => after = next,
            None => return Ok(pruned),
        }
        let of = answer["seq"].as_u64().unwrap_or(after);
        work.tell(Counted::LookedAt, after, of);
    }
}

pub fn erase(context: &Context, args: EraseArgs) -> Result<(), CliError> {
    let directory = context.data_dir(&context.load(&[])?)?;
    must_exist(&directory.join(FILE_NAME))?;
    if let Some(path) = args.certificate.as_ref().filter(|path| path.exists()) {
        return Err(CliError::Usage(format!(
            "{} is there already; name a new file for the certificate",
            path.display()
        )));
    }
    confirm(
        &format!(
            "Erase all that is known of the customer {}? There is no way back.",
            printable(&args.customer_id)
        ),
        args.yes,
    )?;
    let unknown = || {
        CliError::NotFound(format!(
            "no event names the customer {}",
            printable(&args.customer_id)
        ))
    };
    let warning = warning_of_list(&directory);
    let work = Work::begin("looking for the customer");
    let on_file = erase_file(&directory, &args.customer_id, now(), &mut |done, of| {
        work.tell(Counted::LookedAt, done, of);
    });
    let certificate = match on_file {
        Err(StoreError::InUse(_)) => {
            let id = utf8_percent_encode(&args.customer_id, NON_ALPHANUMERIC);
            let path = format!("/v1/customers/{id}/erase");
            let told = tell_within(&client(context)?, &path, &json!({}), PATIENCE);
            let told = told.map_err(|error| match error {
                CliError::NotFound(_) => unknown(),
                other => other,
            });
            told?.1
        }
        done => {
            if let Some(warning) = warning {
                eprintln!("warning: {warning}");
            }
            serde_json::to_value(done?.ok_or_else(unknown)?)
                .map_err(|error| CliError::Failed(error.to_string()))?
        }
    };
    work.end();
    show(context, &certificate)?;
    if let Some(path) = &args.certificate {
        write_whole(path, &format!("{certificate}\n"))?;
    }
    if certificate["searchedClean"] == false {
        return Err(CliError::Failed(
            "the customer is erased from all rows, but the bytes of the file still hold the id in unused places: stop \
             the daemon and run the same again, which writes the file anew"
                .to_owned(),
        ));
    }
    Ok(())
}

fn show(context: &Context, certificate: &Value) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    if context.common.json {
        writeln!(out, "{certificate}")?;
        return Ok(());
    }
    let word = |name: &str| certificate[name].as_str().unwrap_or_default().to_owned();
    let list = |name: &str| certificate[name].as_array().cloned().unwrap_or_default();
    let events = list("events");
    writeln!(
        out,
        "erased   {}, {}",
        counted(events.len() as u64, "event", "events"),
        counted(
            certificate["requests"].as_u64().unwrap_or_default(),
            "request",
            "requests"
        )
    )?;
    writeln!(out, "at       {}", word("erasedAt"))?;
    writeln!(out, "customer {} (hashed)", word("customer"))?;
    writeln!(
        out,
        "head     {} at event {}",
        word("head"),
        certificate["headSeq"]
    )?;
    for event in &events {
        let digest = event["digest"].as_str().unwrap_or_default();
        writeln!(out, "event    {} {digest}", event["seq"])?;
    }
    for seq in list("mentionedIn") {
        writeln!(
            out,
            "note     event {seq} of another customer or request mentions the id; it was left as it is"
        )?;
    }
    if certificate["searchedClean"].is_null() {
        writeln!(
            out,
            "note     the bytes of the file were not searched for remains: the id is shorter than 8 bytes, or others mention it"
        )?;
    }
    Ok(())
}
