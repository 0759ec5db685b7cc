//! `events` and `event`: the log for people.

use std::io::{self, Write as _};
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use serde_json::value::RawValue;

use super::client::Client;
use super::item::{Item, Page, indented};
use super::lists::{PAGE, client, items, print, time, time_heading, with_query};
use super::screen::{Column, Field, Screen, Tone, column, ids, printable};
use super::{CliError, Context, values};

/// How long one question of `events --follow` waits for news, in seconds.
const FOLLOW_SECONDS: u64 = 30;
/// Columns that a followed event's fields take on a terminal of 80.
const FOLLOW_WIDTHS: [usize; 5] = [6, 14, 18, 11, 9];
/// Longer values are in `--json`; here it is enough that they changed.
const LONG_CHANGE: usize = 60;

/// List the newest events, or follow them as they come.
#[derive(Debug, Args)]
#[command(after_help = "Example: waldo-syncd events --follow --origin dashboard")]
pub struct EventsArgs {
    /// Go on after this seq, oldest first
    #[arg(long, value_name = "SEQ", value_parser = values::seq)]
    after: Option<u64>,
    /// Wait for further events and show them as they come
    #[arg(long)]
    follow: bool,
    /// dashboard or api
    #[arg(long, value_name = "WORD")]
    origin: Option<String>,
    /// applied, duplicate, stale, unrecognised, quarantined, erased
    #[arg(long, value_name = "WORD")]
    disposition: Option<String>,
    /// Of this customer
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// Of this request
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// At most so many (without --follow)
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

/// Show one event: what was read of it, what it changed, and its payload.
#[derive(Debug, Args)]
#[command(after_help = "Example: waldo-syncd event 4711")]
pub struct EventArgs {
    /// Its place in the log
    #[arg(value_parser = values::seq)]
    seq: u64,
}

pub fn events(context: &Context, args: EventsArgs) -> Result<(), CliError> {
    let client = client(context)?;
    let filters = [
        ("origin", args.origin),
        ("disposition", args.disposition),
        ("customerId", args.customer),
        ("requestId", args.request),
    ];
    if args.follow {
        return follow(context, &client, args.after, &filters);
    }
    let limit = ("limit", args.limit.to_string());
    let (place, is_newest) = match args.after {
        Some(after) => ([("after", after.to_string()), limit], false),
        None => ([("order", "desc".to_owned()), limit], true),
    };
    let page: Page = client.get(&with_query("/v1/events", &filters, &place), Duration::ZERO)?;
    let mut items = items(&page);
    if is_newest {
        items.reverse();
    }
    print(
        context,
        &items,
        &columns(context),
        row,
        "no event is known that fits",
    )
}

fn columns(context: &Context) -> [Column; 6] {
    [
        column("SEQ"),
        time_heading("RECEIVED", "RECEIVED (UTC)", context),
        column("EVENT"),
        ids("CUSTOMER"),
        column("ORIGIN"),
        column("BECAME"),
    ]
}

fn row(event: &Item, screen: Screen) -> Vec<Field> {
    vec![
        event.cell("seq").into(),
        time(event.cell("receivedAt"), screen),
        Field::new(event.cell("event"), Tone::Head),
        event.cell("customerId").into(),
        event.cell("origin").into(),
        disposition(event),
    ]
}

/// What became of an event.
pub fn disposition(event: &Item) -> Field {
    let word = event.cell("disposition");
    let tone = match word.as_str() {
        "applied" => Tone::Good,
        "quarantined" => Tone::Bad,
        "unrecognised" => Tone::Odd,
        _ => Tone::Quiet,
    };
    Field::new(word, tone)
}

/// What an event changed, a member each.
pub fn changes(event: &Item) -> Vec<String> {
    let changes = event.list("changes");
    let said = changes.iter().map(|change| {
        let (field, from, to) = (change.cell("field"), change.cell("from"), change.cell("to"));
        let short = from.chars().count() + to.chars().count() <= LONG_CHANGE;
        match (short, from.is_empty()) {
            (false, _) => format!("{field} changed"),
            (true, true) => format!("{field}: {to}"),
            (true, false) => format!("{field}: {from} → {to}"),
        }
    });
    said.collect()
}

/// Shows events as they come, until somebody ends it.
fn follow(
    context: &Context,
    client: &Client,
    after: Option<u64>,
    filters: &[(&str, Option<String>)],
) -> Result<(), CliError> {
    let screen = Screen::of(context);
    let mut after = match after {
        Some(after) => after,
        // Following begins at the end of what there is.
        None => client.get::<Value>("/v1/stats", Duration::ZERO)?["projectedSeq"]
            .as_u64()
            .unwrap_or(0),
    };
    loop {
        let place = [
            ("after", after.to_string()),
            ("limit", PAGE.to_string()),
            ("wait", FOLLOW_SECONDS.to_string()),
        ];
        let path = with_query("/v1/events", filters, &place);
        let page: Page = client.get(&path, Duration::from_secs(FOLLOW_SECONDS))?;
        after = page.next.as_u64().unwrap_or(after);
        let mut out = io::stdout().lock();
        for item in items(&page) {
            if context.common.json {
                writeln!(out, "{}", item.line())?;
            } else {
                let line = screen.line(&row(&item, screen), &FOLLOW_WIDTHS);
                writeln!(out, "{line}")?;
            }
        }
        out.flush()?;
    }
}

pub fn event(context: &Context, args: EventArgs) -> Result<(), CliError> {
    let client = client(context)?;
    let path = format!("/v1/events/{}", args.seq);
    let event =
        client
            .get::<Box<RawValue>>(&path, Duration::ZERO)
            .map_err(|error| match error {
                CliError::NotFound(_) => CliError::NotFound(format!(
                    "there is no event {}; `waldo-syncd events` lists the newest",
                    args.seq
                )),
                other => other,
            })?;
    let event = Item::of(&event);
    let mut out = io::stdout().lock();
    if context.common.json {
        writeln!(out, "{}", event.line())?;
        return Ok(());
    }
    let screen = Screen::of(context);
    let mut facts = Vec::new();
    for (name, value) in event.cells() {
        let field = match name.as_str() {
            "payload" | "payloadBase64" | "changes" => continue,
            "disposition" => disposition(&event),
            "problems" => Field::new(event.texts("problems").join("; "), Tone::Odd),
            "evaluation" => {
                let of = event.object("evaluation");
                let said = of.map(|of| format!("{} {}", of.cell("type"), of.cell("status")));
                said.unwrap_or_default().into()
            }
            _ => value.into(),
        };
        facts.push((printable(&name).into_owned(), field));
    }
    for (place, change) in changes(&event).into_iter().enumerate() {
        let name = if place == 0 { "changed" } else { "" };
        facts.push((name.to_owned(), change.into()));
    }
    writeln!(out, "{}", screen.facts(facts))?;
    match (event.raw("payload"), event.cell("payloadBase64")) {
        (Some(payload), _) if payload != "null" => writeln!(out, "\n{}", indented(&payload))?,
        (_, base64) if !base64.is_empty() => writeln!(
            out,
            "\nthe payload is no JSON; in Base64:\n{}",
            screen.wrapped(&base64, 0)
        )?,
        _ => writeln!(out, "\nthe payload was taken out")?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Disposition;

    #[test]
    fn a_followed_event_fits_eighty_columns() {
        let words = Disposition::ALL.iter().map(|word| word.as_str().len());
        let last = words.max().unwrap();
        let gaps = 2 * FOLLOW_WIDTHS.len();
        assert!(FOLLOW_WIDTHS.iter().sum::<usize>() + gaps + last <= 80);
    }
}
