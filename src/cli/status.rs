//! `status`: how the daemon is, at one look.

use std::io::{self, Write as _};
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::lists::client;
use super::screen::{Field, Screen, Tone, bytes, printable, span};
use super::{CliError, Context};
use crate::clock::now;
use crate::domain::Timestamp;
use crate::words::counted as as_words;

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
        object["details"] = match &trouble["details"] {
            Value::Array(details) => details.clone().into(),
            _ => Vec::<Value>::new().into(),
        };
        object["trouble"] = if is_ready {
            Value::Null
        } else {
            trouble["detail"].clone()
        };
        writeln!(out, "{object}")?;
        return Ok(());
    }
    let screen = Screen::of(context);
    writeln!(out, "{}", screen.facts(facts(&stats, is_ready, &trouble)))?;
    Ok(())
}

fn facts(stats: &Value, is_ready: bool, ready: &Value) -> Vec<(String, Field)> {
    let mut facts = Vec::new();
    let mut tell = |name: &str, field: Field| facts.push((name.to_owned(), field));
    let is_ready = if is_ready {
        Field::new("yes", Tone::Good)
    } else {
        Field::new(format!("no: {}", text(&ready["detail"])), Tone::Bad)
    };
    tell("ready", is_ready);
    // What does not keep webhooks from being taken, and is wrong all the same.
    for detail in ready["details"].as_array().into_iter().flatten() {
        tell("", Field::new(text(detail), Tone::Bad));
    }
    tell(
        "events",
        counted(&stats["events"], "byDisposition", &["quarantined"]),
    );
    tell("customers", counted(&stats["customers"], "byStatus", &[]));
    tell(
        "requests",
        counted(&stats["requests"], "byState", &["expired"]),
    );
    let overdue = stats["overdue"].as_u64().unwrap_or(0);
    let tone = if overdue > 0 { Tone::Odd } else { Tone::Plain };
    tell("overdue", Field::new(overdue.to_string(), tone));
    tell("oldest open", ago(&stats["oldestOpenAt"]));
    tell("last webhook", ago(&stats["lastWebhookAt"]));
    tell("silence", silence(stats));
    tell("coverage", coverage(&stats["coverage"]));
    tell("outbound", outbound(&stats["outbound"]));
    tell("last poll", ago(&stats["lastPoll"]));
    tell("last backup", last_backup(&stats["lastBackup"]));
    if let Some(running) = running_backup(&stats["runningBackup"]) {
        tell("backup now", running);
    }
    tell("seq", seq(stats));
    tell("file", file(&stats["files"]));
    facts
}

/// A value of the daemon's own.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => printable(text).into_owned(),
        other => printable(&other.to_string()).into_owned(),
    }
}

fn quiet(text: &str) -> Field {
    Field::new(text, Tone::Quiet)
}

/// How long a moment is ago, and which it is.
fn ago(at: &Value) -> Field {
    let Some(text) = at.as_str() else {
        return quiet("none");
    };
    match text.parse::<Timestamp>() {
        Ok(moment) => format!("{} ago ({text})", span(now().ms_since(moment))).into(),
        Err(_) => printable(text).into_owned().into(),
    }
}

fn seq(stats: &Value) -> Field {
    let lag = stats["lag"].as_u64().unwrap_or(0);
    let seq = text(&stats["projectedSeq"]);
    if lag == 0 {
        seq.into()
    } else {
        format!("{seq} ({lag} behind the log)").into()
    }
}

fn file(files: &Value) -> Field {
    let size = |name: &str| bytes(files[name].as_u64().unwrap_or(0));
    format!("{} (WAL {})", size("databaseBytes"), size("walBytes")).into()
}

/// When the last backup was made and where it is.
fn last_backup(last: &Value) -> Field {
    match last["path"].as_str() {
        Some(path) => {
            let (made, path) = (ago(&last["at"]).text, printable(path));
            let events = last["events"].as_u64().unwrap_or(0);
            let events = as_words(events, "event", "events");
            format!("{made}, {events}, {path}").into()
        }
        None => Field::new("none", Tone::Odd),
    }
}

/// How far the backup is that is being made.
fn running_backup(running: &Value) -> Option<Field> {
    let step = running["step"].as_str()?;
    let (done, of) = (running["done"].as_u64()?, running["of"].as_u64()?);
    let part = match of {
        0 => String::new(),
        _ => format!(", {} %", u128::from(done) * 100 / u128::from(of)),
    };
    Some(format!("{}{part}", printable(step)).into())
}

/// Whether webhooks have stopped although requests wait for them.
fn silence(stats: &Value) -> Field {
    match stats["silence"]["since"].as_str() {
        Some(since) => {
            let text = format!(
                "no webhook since {since} although requests wait: check the URL, the secret, the proxy"
            );
            Field::new(text, Tone::Bad)
        }
        None => "no".to_owned().into(),
    }
}

/// How much of what was settled the webhooks told.
fn coverage(coverage: &Value) -> Field {
    match coverage["ratio"].as_f64() {
        Some(ratio) => {
            let text = format!(
                "{:.1} % of {} settled in {} days came by webhook ({} by asking Waldo, {} by hand)",
                ratio * 100.0,
                coverage["settled"],
                coverage["days"],
                coverage["byPoll"],
                coverage["manual"],
            );
            let tone = if ratio < 0.95 { Tone::Odd } else { Tone::Good };
            Field::new(text, tone)
        }
        None => quiet("nothing settled yet"),
    }
}

/// Whether the process that speaks to Waldo is there, and how it fares.
fn outbound(outbound: &Value) -> Field {
    if outbound.is_null() {
        return quiet("not connected");
    }
    let gateway = match outbound["gateway"].as_str() {
        Some(address) => format!("gateway at {}", printable(address)),
        None => "no gateway".to_owned(),
    };
    let polling = if outbound["polling"] == true {
        "asks about overdue requests"
    } else {
        "asks nothing"
    };
    match outbound["trouble"].as_str() {
        Some(trouble) => Field::new(
            format!("{gateway}, {polling}; {}", printable(trouble)),
            Tone::Bad,
        ),
        None => format!("{gateway}, {polling}").into(),
    }
}

/// A total and what it is made of, the most first; `odd` are words that should not be there.
fn counted(counts: &Value, by: &str, odd: &[&str]) -> Field {
    let mut words: Vec<_> = counts[by]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(word, number)| Some((word, number.as_u64()?)))
        .collect();
    words.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    let is_odd = words.iter().any(|(word, _)| odd.contains(&word.as_str()));
    let parts: Vec<_> = words
        .iter()
        .map(|(word, number)| format!("{number} {}", printable(word)))
        .collect();
    let total = text(&counts["total"]);
    let tone = if is_odd { Tone::Odd } else { Tone::Plain };
    if parts.is_empty() {
        Field::new(total, tone)
    } else {
        Field::new(format!("{total}: {}", parts.join(", ")), tone)
    }
}
