//! `resync`: has Waldo asked how things stand, and shows what differed.

use std::io::{self, Write as _};
use std::time::Duration;

use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::client::{Client, detail};
use super::control::tell;
use super::progress::{Counted, Work};
use super::screen::printable;
use super::{CliError, Context};
use crate::words::counted;

/// How long the daemon is asked to wait for news of it, in seconds; what the bar shows is no older.
const NEWS_EVERY: u64 = 1;

/// Ask Waldo how customers stand now, or what became of overdue requests, and take over what differs. Needs
/// `waldo-syncd outbound` or `serve --outbound`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("whom").required(true).args(["customer_id", "all", "overdue"]), after_help = "\
Examples: waldo-syncd resync 71c0de5a19b24f0e83d6a4b1
          waldo-syncd resync --overdue")]
pub struct ResyncArgs {
    /// One customer, and its open requests
    customer_id: Option<String>,
    /// Every known customer
    #[arg(long)]
    all: bool,
    /// Every overdue request
    #[arg(long)]
    overdue: bool,
}

pub fn run(context: &Context, args: ResyncArgs) -> Result<(), CliError> {
    let errand = match args.customer_id {
        Some(customer_id) => json!({ "customerId": customer_id }),
        None if args.all => json!({ "all": true }),
        None => json!({ "overdue": true }),
    };
    let loaded = context.load(&[])?;
    let client = Client::new(context, &loaded)?;
    let (_, taken) = tell(&client, "/v1/resync", &errand)?;
    let standing = follow(&client, &taken["id"])?;
    let mut out = io::stdout().lock();
    if context.common.json {
        writeln!(out, "{standing}")?;
    } else {
        show(&mut out, &standing)?;
    }
    let failed = standing["failed"].as_u64().unwrap_or(0);
    match standing["detail"].as_str() {
        Some(why) => Err(CliError::Failed(printable(why).into_owned())),
        None if failed > 0 => Err(CliError::Failed(format!(
            "{} had no answer; the log of the outbound process says more, and trying again is safe",
            counted(failed, "question", "questions")
        ))),
        None => Ok(()),
    }
}

/// Waits for the end of it, with a bar on a terminal.
fn follow(client: &Client, id: &Value) -> Result<Value, CliError> {
    let work = Work::begin("waiting for the outbound process");
    loop {
        let path = format!("/v1/resync/{id}?wait={NEWS_EVERY}");
        let answer = client.ask_control(&path, Duration::from_secs(NEWS_EVERY))?;
        let standing: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if !answer.status.is_success() {
            return Err(CliError::Failed(format!(
                "the daemon answered: {}",
                detail(&standing, answer.status)
            )));
        }
        if let Some(total) = standing["total"].as_u64() {
            let checked = standing["checked"].as_u64().unwrap_or(0);
            work.tell(Counted::AskedAbout, checked, total);
        }
        if !matches!(standing["state"].as_str(), Some("queued" | "running")) {
            work.end();
            return Ok(standing);
        }
    }
}

fn show(out: &mut impl io::Write, standing: &Value) -> io::Result<()> {
    for drift in standing["drift"].as_array().into_iter().flatten() {
        let customer = drift["customerId"].as_str().unwrap_or_default();
        writeln!(out, "{}", printable(customer))?;
        for field in drift["fields"].as_array().into_iter().flatten() {
            let name = field["field"].as_str().unwrap_or_default();
            let change = format!("{name}: {} → {}", field["from"], field["to"]);
            writeln!(out, "  {}", printable(&change))?;
        }
    }
    let number = |name: &str| standing[name].as_u64().unwrap_or(0);
    let shown = standing["drift"].as_array().map_or(0, Vec::len) as u64;
    if number("drifted") > shown {
        let more = number("drifted") - shown;
        writeln!(
            out,
            "… and {}",
            counted(more, "more customer", "more customers")
        )?;
    }
    writeln!(
        out,
        "checked {}, differed {}, requests settled {}, without an answer {}",
        number("checked"),
        number("drifted"),
        number("settled"),
        number("failed")
    )
}
