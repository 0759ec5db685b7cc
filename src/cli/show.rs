//! `status`, `customers`, `customer`, `events`, `requests`: the query door for people.

use std::io::{self, Write as _};
use std::time::Duration;

use clap::Args;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use form_urlencoded::Serializer;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::client::Client;
use super::{CliError, Context};

/// How long one question of `events --follow` waits for news, in seconds.
const FOLLOW_SECONDS: u64 = 30;
/// Items asked for at a time.
const PAGE: usize = 500;

/// Tell how the daemon is.
#[derive(Debug, Args)]
#[command(after_help = "Example: waldo-syncd status")]
pub struct StatusArgs {}

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

pub fn status(context: &Context, _: StatusArgs) -> Result<(), CliError> {
    let client = client(context)?;
    let stats = client.get("/v1/stats", Duration::ZERO)?;
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
    let line = |name: &str, value: String| vec![name.to_owned(), value];
    let mut table = table();
    let ready = if is_ready {
        "yes".to_owned()
    } else {
        format!("no: {}", text(&trouble["detail"]))
    };
    table.add_row(line("ready", ready));
    table.add_row(line("events", counted(&stats["events"], "byDisposition")));
    table.add_row(line("customers", counted(&stats["customers"], "byStatus")));
    table.add_row(line("requests", counted(&stats["requests"], "byState")));
    table.add_row(line("overdue", text(&stats["overdue"])));
    table.add_row(line("oldest open", or_none(&stats["oldestOpenAt"])));
    table.add_row(line("last webhook", or_none(&stats["lastWebhookAt"])));
    table.add_row(line(
        "seq",
        format!(
            "{} (lag {})",
            text(&stats["projectedSeq"]),
            text(&stats["lag"])
        ),
    ));
    let files = &stats["files"];
    table.add_row(line(
        "file",
        format!(
            "{} bytes (WAL {})",
            text(&files["databaseBytes"]),
            text(&files["walBytes"])
        ),
    ));
    writeln!(out, "{}", table.trim_fmt())?;
    Ok(())
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
    let row = |item: &Value| {
        vec![
            text(&item["customerId"]),
            text(&item["externalId"]),
            text(&item["status"]),
            text(&item["kyc"]),
            text(&item["fraudScore"]),
            text(&item["flagged"]),
            text(&item["updatedAt"]),
        ]
    };
    print(
        context,
        &items,
        &[
            "CUSTOMER", "EXTERNAL", "STATUS", "KYC", "SCORE", "FLAG", "UPDATED",
        ],
        row,
    )
}

pub fn customer(context: &Context, args: CustomerArgs) -> Result<(), CliError> {
    let client = client(context)?;
    let path = format!(
        "/v1/customers/{}",
        utf8_percent_encode(&args.id, NON_ALPHANUMERIC)
    );
    let row = client
        .get(&path, Duration::ZERO)
        .map_err(|error| match error {
            CliError::NotFound(_) => CliError::NotFound(format!(
                "no customer {} is known; `waldo-syncd customers` lists them",
                args.id
            )),
            other => other,
        })?;
    let events = list(&client, &format!("{path}/events"), &[], usize::MAX)?;
    let mut out = io::stdout().lock();
    if context.common.json {
        let mut object = row;
        object["events"] = events.into();
        writeln!(out, "{object}")?;
        return Ok(());
    }
    let mut facts = table();
    for (name, value) in row.as_object().into_iter().flatten() {
        if !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()) {
            facts.add_row(vec![name.clone(), text(value)]);
        }
    }
    writeln!(out, "{}\n", facts.trim_fmt())?;
    let mut timeline = table();
    timeline.set_header(["SEQ", "RECEIVED", "EVENT", "ORIGIN", "BECAME", "CHANGED"]);
    for event in &events {
        timeline.add_row(vec![
            text(&event["seq"]),
            text(&event["receivedAt"]),
            text(&event["event"]),
            format!(
                "{} ({})",
                text(&event["origin"]),
                text(&event["originEvidence"])
            ),
            text(&event["disposition"]),
            changes(event),
        ]);
    }
    writeln!(out, "{}", timeline.trim_fmt())?;
    Ok(())
}

pub fn events(context: &Context, args: EventsArgs) -> Result<(), CliError> {
    let client = client(context)?;
    let newest_first = args.after.is_none() && !args.follow;
    let filters = [
        ("origin", args.origin),
        ("disposition", args.disposition),
        ("customerId", args.customer),
        ("requestId", args.request),
    ];
    if newest_first {
        let mut asked = filters.to_vec();
        asked.push(("order", Some("desc".to_owned())));
        let path = with_query("/v1/events", &asked, &[("limit", args.limit.to_string())]);
        let mut items = items(client.get(&path, Duration::ZERO)?);
        items.reverse();
        return print(context, &items, &EVENT_HEADER, event_row);
    }
    let mut after = match args.after {
        Some(after) => after,
        // Following begins at the end of what there is.
        None => client.get("/v1/stats", Duration::ZERO)?["projectedSeq"]
            .as_u64()
            .unwrap_or(0),
    };
    loop {
        let wait = if args.follow { FOLLOW_SECONDS } else { 0 };
        let limit = if args.follow { PAGE } else { args.limit };
        let place = [
            ("after", after.to_string()),
            ("limit", limit.to_string()),
            ("wait", wait.to_string()),
        ];
        let page = client.get(
            &with_query("/v1/events", &filters, &place),
            Duration::from_secs(wait),
        )?;
        after = page["next"].as_u64().unwrap_or(after);
        let items = items(page);
        if !args.follow {
            return print(context, &items, &EVENT_HEADER, event_row);
        }
        let mut out = io::stdout().lock();
        for item in &items {
            if context.common.json {
                writeln!(out, "{item}")?;
            } else {
                writeln!(out, "{}", event_row(item).join("  "))?;
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
    let row = |item: &Value| {
        vec![
            text(&item["requestId"]),
            text(&item["operation"]),
            text(&item["customerId"]),
            text(&item["state"]),
            text(&item["settledBy"]),
            or_none(&item["registeredAt"]),
            if item["overdue"] == true {
                "overdue".to_owned()
            } else {
                String::new()
            },
        ]
    };
    print(
        context,
        &items,
        &[
            "REQUEST",
            "OPERATION",
            "CUSTOMER",
            "STATE",
            "SETTLED BY",
            "REGISTERED",
            "",
        ],
        row,
    )
}

const EVENT_HEADER: [&str; 6] = ["SEQ", "RECEIVED", "EVENT", "CUSTOMER", "ORIGIN", "BECAME"];

fn event_row(event: &Value) -> Vec<String> {
    [
        "seq",
        "receivedAt",
        "event",
        "customerId",
        "origin",
        "disposition",
    ]
    .map(|name| text(&event[name]))
    .to_vec()
}

fn client(context: &Context) -> Result<Client, CliError> {
    let loaded = context.load(&[])?;
    Client::new(context, &loaded)
}

/// Reads a list to its end, or to so many items.
fn list(
    client: &Client,
    path: &str,
    asked: &[(&str, Option<String>)],
    limit: usize,
) -> Result<Vec<Value>, CliError> {
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut place = vec![("limit", (limit - found.len()).clamp(1, PAGE).to_string())];
        place.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page = client.get(&with_query(path, asked, &place), Duration::ZERO)?;
        cursor = page["next"].as_str().map(str::to_owned);
        found.extend(items(page));
        if cursor.is_none() || found.len() >= limit {
            found.truncate(limit);
            return Ok(found);
        }
    }
}

fn items(mut page: Value) -> Vec<Value> {
    match page["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
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
    items: &[Value],
    header: &[&str; N],
    row: impl Fn(&Value) -> Vec<String>,
) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    if context.common.json {
        for item in items {
            writeln!(out, "{item}")?;
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

fn table() -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// A value for a cell: texts without quotes, nothing for null, and no control character for the terminal.
fn text(value: &Value) -> String {
    let plain = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    plain
        .chars()
        .map(|char| if char.is_control() { '\u{fffd}' } else { char })
        .collect()
}

fn or_none(value: &Value) -> String {
    if value.is_null() {
        "none".to_owned()
    } else {
        text(value)
    }
}

fn counted(counts: &Value, by: &str) -> String {
    let parts: Vec<_> = counts[by]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(word, n)| format!("{n} {word}"))
        .collect();
    let total = text(&counts["total"]);
    if parts.is_empty() {
        total
    } else {
        format!("{total}: {}", parts.join(", "))
    }
}

fn changes(event: &Value) -> String {
    let changes = event["changes"].as_array().into_iter().flatten();
    let parts: Vec<_> = changes
        .map(|change| {
            let (field, from, to) = (
                text(&change["field"]),
                text(&change["from"]),
                text(&change["to"]),
            );
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
