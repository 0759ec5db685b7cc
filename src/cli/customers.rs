//! `customers` and `customer`: who is known, and how each came to be as it is.

use std::io::{self, Write as _};
use std::time::Duration;

use clap::Args;
use serde_json::value::RawValue;

use super::events::{changes, disposition};
use super::item::Item;
use super::lists::{client, encoded, list, outcome, print, time, time_heading};
use super::screen::{Field, Screen, Tone, column, ids, printable};
use super::{CliError, Context};

/// Columns that a change stands in from the left: below the event's time.
const INDENT: usize = 8;

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
    let columns = [
        ids("CUSTOMER"),
        ids("EXTERNAL"),
        column("STATUS"),
        column("KYC"),
        column("SCORE"),
        column("FLAG"),
        time_heading("UPDATED", "UPDATED (UTC)", context),
    ];
    let row = |item: &Item, screen: Screen| {
        vec![
            item.cell("customerId").into(),
            item.cell("externalId").into(),
            outcome(item.cell("status")),
            outcome(item.cell("kyc")),
            item.cell("fraudScore").into(),
            flag(&item.cell("flagged")),
            time(item.cell("updatedAt"), screen),
        ]
    };
    print(
        context,
        &items,
        &columns,
        row,
        "no customer is known that fits",
    )
}

fn flag(flagged: &str) -> Field {
    match flagged {
        "true" => Field::new("flagged", Tone::Bad),
        "false" => Field::new("no", Tone::Plain),
        _ => Field::default(),
    }
}

pub fn customer(context: &Context, args: CustomerArgs) -> Result<(), CliError> {
    let client = client(context)?;
    let path = format!("/v1/customers/{}", encoded(&args.id));
    let row = client
        .get::<Box<RawValue>>(&path, Duration::ZERO)
        .map_err(|error| match error {
            CliError::NotFound(_) => CliError::NotFound(format!(
                "no customer {} is known; `waldo-syncd customers` lists them",
                args.id
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
    let screen = Screen::of(context);
    writeln!(out, "{}\n", screen.facts(facts(&row)))?;
    for event in &events {
        writeln!(out, "{}", headline(event, screen))?;
        for change in changes(event) {
            let change = screen.wrapped(&change, INDENT + 2);
            writeln!(out, "{}{change}", " ".repeat(INDENT))?;
        }
        if let Some(why) = beside(event) {
            let why = screen.wrapped(&why, INDENT);
            let why = screen.painted(&why, Tone::Quiet);
            writeln!(out, "{}{why}", " ".repeat(INDENT))?;
        }
    }
    Ok(())
}

fn facts(row: &Item) -> Vec<(String, Field)> {
    let mut facts = Vec::new();
    for (name, value) in row.cells() {
        let field = match name.as_str() {
            "warningTags" => continue,
            "status" | "kyc" => outcome(value),
            "flagged" if value == "true" => Field::new("yes", Tone::Bad),
            "flagged" => Field::new("no", Tone::Plain),
            "evaluations" => Field::new(evaluations(row), Tone::Plain),
            _ => value.into(),
        };
        facts.push((printable(&name).into_owned(), field));
    }
    let failed: Vec<_> = row
        .list("warningTags")
        .iter()
        .filter(|tag| tag.cell("passed") == "false")
        .map(|tag| tag.cell("tag"))
        .collect();
    if !failed.is_empty() {
        facts.push((
            "failed checks".to_owned(),
            Field::new(failed.join(", "), Tone::Odd),
        ));
    }
    facts
}

/// `fraud completed, kyc in_progress`.
fn evaluations(row: &Item) -> String {
    let each = row.members("evaluations");
    let words = each.iter().map(|(kind, evaluation)| {
        let kind = printable(kind);
        format!("{kind} {}", evaluation.cell("status"))
    });
    words.collect::<Vec<_>>().join(", ")
}

/// One event on a line of its own; what it changed comes below.
fn headline(event: &Item, screen: Screen) -> String {
    let evidence = event.cell("originEvidence");
    let origin = match evidence.as_str() {
        "none" | "" => event.cell("origin"),
        evidence => format!("{} ({evidence})", event.cell("origin")),
    };
    let fields = [
        event.cell("seq").into(),
        time(event.cell("receivedAt"), screen),
        Field::new(event.cell("event"), Tone::Head),
        origin.into(),
        disposition(event),
    ];
    screen.line(&fields, &[6, 14, 18, 21])
}

/// Why an event that changed nothing did not, and what was odd about it.
fn beside(event: &Item) -> Option<String> {
    let mut parts = Vec::new();
    let duplicate_of = event.cell("duplicateOf");
    if !duplicate_of.is_empty() {
        parts.push(format!("a duplicate of event {duplicate_of}"));
    }
    let problems = event.texts("problems");
    parts.extend(problems.iter().map(|problem| format!("problem: {problem}")));
    (!parts.is_empty()).then(|| parts.join("; "))
}
