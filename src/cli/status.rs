//! `status`: how the daemon is, at one look.

use std::io::{self, Write as _};
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::item::printable;
use super::show::{client, or_none, table, text};
use super::{CliError, Context};

/// Tell how the daemon is.
#[derive(Debug, Args)]
#[command(after_help = "Example: waldo-syncd status")]
pub struct StatusArgs {}

pub fn status(context: &Context, _: StatusArgs) -> Result<(), CliError> {
    let client = client(context)?;
    let stats: Value = client.get("/v1/stats", Duration::ZERO)?;
    let ready = client.get_raw("/readyz", Duration::ZERO)?;
    let trouble: Value = serde_json::from_slice(&ready.body).unwrap_or_default();
    let is_ready = ready.status.is_success();
    let mut out = io::stdout().lock();
    if context.common.json {
        let mut object = stats;
        object["ready"] = is_ready.into();
        object["trouble"] = if is_ready {
            Value::Null
        } else {
            trouble["detail"].clone()
        };
        writeln!(out, "{object}")?;
        return Ok(());
    }
    let ready = if is_ready {
        "yes".to_owned()
    } else {
        format!("no: {}", text(&trouble["detail"]))
    };
    let seq = format!(
        "{} (lag {})",
        text(&stats["projectedSeq"]),
        text(&stats["lag"])
    );
    let files = &stats["files"];
    let file = format!(
        "{} bytes (WAL {})",
        text(&files["databaseBytes"]),
        text(&files["walBytes"])
    );
    let mut table = table();
    for (name, value) in [
        ("ready", ready),
        ("events", counted(&stats["events"], "byDisposition")),
        ("customers", counted(&stats["customers"], "byStatus")),
        ("requests", counted(&stats["requests"], "byState")),
        ("overdue", text(&stats["overdue"])),
        ("oldest open", or_none(text(&stats["oldestOpenAt"]))),
        ("last webhook", or_none(text(&stats["lastWebhookAt"]))),
        ("silence", silence(&stats)),
        ("coverage", coverage(&stats["coverage"])),
        ("outbound", outbound(&stats["outbound"])),
        ("last poll", or_none(text(&stats["lastPoll"]))),
        ("last backup", last_backup(&stats["lastBackup"])),
        ("seq", seq),
        ("file", file),
    ] {
        table.add_row(vec![name.to_owned(), value]);
    }
    writeln!(out, "{}", table.trim_fmt())?;
    Ok(())
}

/// When the last backup was made and where it is.
fn last_backup(last: &Value) -> String {
    match last["at"].as_str() {
        Some(at) => format!(
            "{at}, {} events, {}",
            last["events"],
            printable(last["path"].as_str().unwrap_or_default())
        ),
        None => "none".to_owned(),
    }
}

/// Whether webhooks have stopped although requests wait for them.
fn silence(stats: &Value) -> String {
    match stats["silence"]["since"].as_str() {
        Some(since) => {
            format!(
                "no webhook since {since} although requests wait: check the URL, the secret, the proxy"
            )
        }
        None => "no".to_owned(),
    }
}

/// How much of what was settled the webhooks told.
fn coverage(coverage: &Value) -> String {
    match coverage["ratio"].as_f64() {
        Some(ratio) => format!(
            "{:.1} % of {} settled in {} days came by webhook ({} by asking Waldo, {} by hand)",
            ratio * 100.0,
            coverage["settled"],
            coverage["days"],
            coverage["byPoll"],
            coverage["manual"],
        ),
        None => "nothing settled yet".to_owned(),
    }
}

/// Whether the process that speaks to Waldo is there, and how it fares.
fn outbound(outbound: &Value) -> String {
    if outbound.is_null() {
        return "not connected".to_owned();
    }
    let gateway = match outbound["gateway"].as_str() {
        Some(address) => format!("gateway at {address}"),
        None => "no gateway".to_owned(),
    };
    let polling = if outbound["polling"] == true {
        "asks about overdue requests"
    } else {
        "asks nothing"
    };
    match outbound["trouble"].as_str() {
        Some(trouble) => format!("{gateway}, {polling}; {trouble}"),
        None => format!("{gateway}, {polling}"),
    }
}

fn counted(counts: &Value, by: &str) -> String {
    let words = counts[by].as_object().into_iter().flatten();
    let parts: Vec<_> = words
        .map(|(word, number)| format!("{number} {}", printable(word)))
        .collect();
    let total = text(&counts["total"]);
    if parts.is_empty() {
        total
    } else {
        format!("{total}: {}", parts.join(", "))
    }
}
