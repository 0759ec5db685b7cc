//! `status`, `customers`, `customer`, `events`, `requests`: the query door for people.

use std::io::{self, Write as _};
use std::time::Duration;

use clap::Args;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use form_urlencoded::Serializer;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use serde_json::value::RawValue;

use super::client::Client;
use super::item::{Item, Page, printable};
use super::{CliError, Context};

/// How long one question of `events --follow` waits for news, in seconds.
const FOLLOW_SECONDS: u64 = 30;
/// Items asked for at a time.
const PAGE: usize = 500;

/// List customers, the last changed first.
#[derive(Debug, Args)]
#[command(after_help = "Example: waldo-syncd customers --status REVIEW --limit 20")]
pub struct CustomersArgs {
    /// APPROVED, REJECTED, REVIEW, PENDING
    #[arg(long, value_name = "WORD")]
    status: Option<String>,
    /// PASSED, REJECTED, REVIEW, PENDING
    #[arg(long, value_name = "WORD")]
    kyc: Option<String>,
    /// Flagged or not
    #[arg(long, value_name = "true|false")]
    flagged: Option<bool>,
    /// The company's own id
    #[arg(long, value_name = "ID")]
    external: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

/// Show one customer with its timeline: each event, and what it changed.
#[derive(Debug, Args)]
#[command(after_help = "Example: waldo-syncd customer 71c0de5a19b24f0e83d6a4b1")]
pub struct CustomerArgs {
    /// Waldo's id of the customer
    id: String,
}

/// List the newest events, or follow them as they come.
#[derive(Debug, Args)]
#[command(after_help = "Example: waldo-syncd events --follow --origin dashboard")]
pub struct EventsArgs {
    /// Go on after this seq, oldest first
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,
    /// Wait for further events and show them as they come
    #[arg(long)]
    follow: bool,
    /// dashboard or api
    #[arg(long, value_name = "WORD")]
    origin: Option<String>,
    /// applied, duplicate, stale, unrecognised, quarantined
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

/// List the API requests that are waited for, and those that have ended.
#[derive(Debug, Args)]
#[command(after_help = "Example: waldo-syncd requests --overdue")]
pub struct RequestsArgs {
    /// Only those past their deadline
    #[arg(long)]
    overdue: bool,
    /// pending, in_progress, completed, failed, expired
    #[arg(long, value_name = "WORD")]
    state: Option<String>,
    /// Of this customer
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

pub fn customers(context: &Context, args: CustomersArgs) -> Result<(), CliError> {
    let client = client(context)?;
    let flagged = args.flagged.map(|flagged| flagged.to_string());
    let asked = [
        ("status", args.status),
        ("kyc", args.kyc),
        ("flagged", flagged),
        ("externalId", args.external),
        ("order", Some("desc".to_owned())),
    ];
    let items = list(&client, "/v1/customers", &asked, args.limit)?;
    let header = [
        "CUSTOMER", "EXTERNAL", "STATUS", "KYC", "SCORE", "FLAG", "UPDATED",
    ];
    let members = [
        "customerId",
        "externalId",
        "status",
        "kyc",
        "fraudScore",
        "flagged",
        "updatedAt",
    ];
    print(context, &items, &header, |item| {
        members.map(|name| item.cell(name)).to_vec()
    })
}

pub fn customer(context: &Context, args: CustomerArgs) -> Result<(), CliError> {
    let client = client(context)?;
    let path = format!(
        "/v1/customers/{}",
        utf8_percent_encode(&args.id, NON_ALPHANUMERIC)
    );
    let row = client
        .get::<Box<RawValue>>(&path, Duration::ZERO)
        .map_err(|error| match error {
            CliError::NotFound(_) => CliError::NotFound(format!(
                "no customer {} is known; `waldo-syncd customers` lists them",
                printable(&args.id)
            )),
            other => other,
        })?;
    let row = Item::of(&row);
    let events = list(&client, &format!("{path}/events"), &[], usize::MAX)?;
    let mut out = io::stdout().lock();
    if context.common.json {
        writeln!(out, "{}", row.with("events", &events))?;
        return Ok(());
    }
    let mut facts = table();
    for (name, value) in row.cells() {
        if name != "warningTags" {
            facts.add_row(vec![name, value]);
        }
    }
    let failed: Vec<_> = row
        .list("warningTags")
        .iter()
        .filter(|tag| tag.cell("passed") == "false")
        .map(|tag| tag.cell("tag"))
        .collect();
    if !failed.is_empty() {
        facts.add_row(vec!["failed checks".to_owned(), failed.join(", ")]);
    }
    writeln!(out, "{}\n", facts.trim_fmt())?;
    let mut timeline = table();
    timeline.set_header(["SEQ", "RECEIVED", "EVENT", "ORIGIN", "BECAME", "CHANGED"]);
    for event in &events {
        timeline.add_row(vec![
            event.cell("seq"),
            event.cell("receivedAt"),
            event.cell("event"),
            format!(
                "{} ({})",
                event.cell("origin"),
                event.cell("originEvidence")
            ),
            event.cell("disposition"),
            changes(event),
        ]);
    }
    writeln!(out, "{}", timeline.trim_fmt())?;
    Ok(())
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
    let limit = args.limit.to_string();
    if let Some(after) = args.after {
        let place = [("after", after.to_string()), ("limit", limit)];
        let page: Page = client.get(&with_query("/v1/events", &filters, &place), Duration::ZERO)?;
        return print(context, &items(&page), &EVENT_HEADER, event_row);
    }
    let place = [("order", "desc".to_owned()), ("limit", limit)];
    let page: Page = client.get(&with_query("/v1/events", &filters, &place), Duration::ZERO)?;
    let mut items = items(&page);
    items.reverse();
    print(context, &items, &EVENT_HEADER, event_row)
}

/// Shows events as they come, until somebody ends it.
fn follow(
    context: &Context,
    client: &Client,
    after: Option<u64>,
    filters: &[(&str, Option<String>)],
) -> Result<(), CliError> {
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
                writeln!(out, "{}", event_row(&item).join("  "))?;
            }
        }
        out.flush()?;
    }
}

pub fn requests(context: &Context, args: RequestsArgs) -> Result<(), CliError> {
    let client = client(context)?;
    let asked = [
        ("overdue", args.overdue.then(|| "true".to_owned())),
        ("state", args.state),
        ("customerId", args.customer),
        ("order", Some("desc".to_owned())),
    ];
    let items = list(&client, "/v1/requests", &asked, args.limit)?;
    let header = [
        "REQUEST",
        "OPERATION",
        "CUSTOMER",
        "STATE",
        "SETTLED BY",
        "REGISTERED",
        "",
    ];
    let members = [
        "requestId",
        "operation",
        "customerId",
        "state",
        "settledBy",
        "registeredAt",
    ];
    print(context, &items, &header, |item| {
        let mut row = members.map(|name| item.cell(name)).to_vec();
        let overdue = item.cell("overdue") == "true";
        row.push(if overdue {
            "overdue".to_owned()
        } else {
            String::new()
        });
        row
    })
}

const EVENT_HEADER: [&str; 6] = ["SEQ", "RECEIVED", "EVENT", "CUSTOMER", "ORIGIN", "BECAME"];

fn event_row(event: &Item) -> Vec<String> {
    [
        "seq",
        "receivedAt",
        "event",
        "customerId",
        "origin",
        "disposition",
    ]
    .map(|name| event.cell(name))
    .to_vec()
}

pub(super) fn client(context: &Context) -> Result<Client, CliError> {
    let loaded = context.load(&[])?;
    Client::new(context, &loaded)
}

/// Reads a list to its end, or to so many items.
fn list(
    client: &Client,
    path: &str,
    asked: &[(&str, Option<String>)],
    limit: usize,
) -> Result<Vec<Item>, CliError> {
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut place = vec![("limit", (limit - found.len()).clamp(1, PAGE).to_string())];
        place.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page: Page = client.get(&with_query(path, asked, &place), Duration::ZERO)?;
        found.extend(items(&page));
        cursor = page.next.as_str().map(str::to_owned);
        if cursor.is_none() || found.len() >= limit {
            found.truncate(limit);
            return Ok(found);
        }
    }
}

fn items(page: &Page) -> Vec<Item> {
    page.items.iter().map(|raw| Item::of(raw)).collect()
}

fn with_query(path: &str, asked: &[(&str, Option<String>)], place: &[(&str, String)]) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in asked {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    for (name, value) in place {
        query.append_pair(name, value);
    }
    format!("{path}?{}", query.finish())
}

fn print<const N: usize>(
    context: &Context,
    items: &[Item],
    header: &[&str; N],
    row: impl Fn(&Item) -> Vec<String>,
) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    if context.common.json {
        for item in items {
            writeln!(out, "{}", item.line())?;
        }
        return Ok(());
    }
    if items.is_empty() {
        eprintln!("none");
        return Ok(());
    }
    let mut table = table();
    table.set_header(*header);
    for item in items {
        table.add_row(row(item));
    }
    writeln!(out, "{}", table.trim_fmt())?;
    Ok(())
}

pub(super) fn table() -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// A value of the daemon's own for a cell.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => printable(text),
        other => printable(&other.to_string()),
    }
}

pub(super) fn or_none(text: String) -> String {
    if text.is_empty() {
        "none".to_owned()
    } else {
        text
    }
}

fn changes(event: &Item) -> String {
    let parts: Vec<_> = event
        .list("changes")
        .iter()
        .map(|change| {
            let (field, from, to) = (change.cell("field"), change.cell("from"), change.cell("to"));
            // Long values are in --json; here it is enough that they changed.
            let short = from.len() + to.len() <= 60;
            match (short, from.is_empty()) {
                (false, _) => field,
                (true, true) => format!("{field}: {to}"),
                (true, false) => format!("{field}: {from} → {to}"),
            }
        })
        .collect();
    parts.join("; ")
}
