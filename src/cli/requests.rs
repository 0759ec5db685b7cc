//! `requests`: the calls to Waldo that are waited for, and those that have ended.

use clap::Args;

use super::item::Item;
use super::lists::{client, list, print, time, time_heading};
use super::screen::{Field, Screen, Tone, column, ids};
use super::{CliError, Context};

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

pub fn requests(context: &Context, args: RequestsArgs) -> Result<(), CliError> {
    let client = client(context)?;
    let asked = [
        ("overdue", args.overdue.then(|| "true".to_owned())),
        ("state", args.state),
        ("customerId", args.customer),
        ("order", Some("desc".to_owned())),
    ];
    let items = list(&client, "/v1/requests", &asked, args.limit)?;
    let columns = [
        ids("REQUEST"),
        column("OPERATION"),
        ids("CUSTOMER"),
        column("STATE"),
        time_heading("REGISTERED", "REGISTERED", context),
    ];
    let row = |item: &Item, screen: Screen| {
        vec![
            item.cell("requestId").into(),
            item.cell("operation").into(),
            item.cell("customerId").into(),
            state(item),
            time(item.cell("registeredAt"), screen),
        ]
    };
    print(
        context,
        &items,
        &columns,
        row,
        "no request is known that fits",
    )
}

/// `pending, overdue`, `completed (webhook)`.
fn state(item: &Item) -> Field {
    let state = item.cell("state");
    let settled_by = item.cell("settledBy");
    let is_overdue = item.cell("overdue") == "true";
    let tone = match state.as_str() {
        "completed" => Tone::Good,
        "failed" | "expired" => Tone::Bad,
        _ if is_overdue => Tone::Odd,
        _ => Tone::Plain,
    };
    let text = match (is_overdue && state != "expired", settled_by.is_empty()) {
        (true, _) => format!("{state}, overdue"),
        (false, false) => format!("{state} ({settled_by})"),
        (false, true) => state,
    };
    Field::new(text, tone)
}
