//! `track`, `settle`: the control door for people and scripts.

use std::io::{self, Write as _};
use std::time::Duration;

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::client::{Client, detail};
use super::lists::client;
use super::screen::printable;
use super::{CliError, Context, values};
use crate::domain::{Operation, State};

/// Register a request of your own, so that its webhooks are known as echoes and a missing one is noticed.
#[derive(Debug, Args)]
#[command(after_help = "Example: waldo-syncd track k7Qm2ZtX9a --operation fraud --customer c-1")]
pub struct TrackArgs {
    /// The requestId that Waldo answered with
    request_id: String,
    /// onboard, fraud, document, flag, other
    #[arg(long, value_name = "WORD")]
    operation: Operation,
    /// customerId
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// externalId
    #[arg(long, value_name = "ID")]
    external: Option<String>,
    /// Evaluation types to wait for, as in kyc,fraud
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    expects: Vec<String>,
    /// JSON of your own, kept with the request
    #[arg(long, value_name = "JSON", value_parser = values::json)]
    context: Option<Box<RawValue>>,
    /// When the outcome is due, as in 15m
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    deadline: Option<Duration>,
}

/// Settle a request by hand, when its outcome will not come.
#[derive(Debug, Args)]
#[command(after_help = "Example: waldo-syncd settle k7Qm2ZtX9a --state failed --note 'withdrawn'")]
pub struct SettleArgs {
    /// The request
    request_id: String,
    /// completed or failed
    #[arg(long, value_name = "WORD", default_value = "completed", value_parser = settled)]
    state: State,
    /// Why, kept in the log
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// A state that a hand can give.
fn settled(word: &str) -> Result<State, &'static str> {
    let state = word.parse().ok();
    state
        .filter(|state: &State| state.is_settled())
        .ok_or("expected completed or failed")
}

/// What the control door takes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RegisterBody {
    request_id: String,
    operation: Operation,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expects: Vec<String>,
    /// As it was typed, digit for digit.
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_seconds: Option<u64>,
}

pub fn track(context: &Context, args: TrackArgs) -> Result<(), CliError> {
    let body = RegisterBody {
        request_id: args.request_id,
        operation: args.operation,
        customer_id: args.customer,
        external_id: args.external,
        expects: args.expects,
        context: args.context,
        deadline_seconds: args.deadline.map(|deadline| deadline.as_secs()),
    };
    let (status, answer) = tell(&client(context)?, "/v1/requests", &body)?;
    let said = if status == 201 {
        "registered"
    } else {
        "was registered already; filled in"
    };
    say(context, &answer, said)
}

pub fn settle(context: &Context, args: SettleArgs) -> Result<(), CliError> {
    let id = utf8_percent_encode(&args.request_id, NON_ALPHANUMERIC);
    let body = json!({ "state": args.state, "note": args.note });
    let told = tell(
        &client(context)?,
        &format!("/v1/requests/{id}/settle"),
        &body,
    );
    let (_, answer) = told.map_err(|error| match error {
        CliError::NotFound(_) => CliError::NotFound(format!(
            "no request {} is known; `waldo-syncd requests` lists them",
            printable(&args.request_id)
        )),
        other => other,
    })?;
    say(context, &answer, &format!("settled as {}", args.state))
}

pub(super) fn tell(
    client: &Client,
    path: &str,
    body: &impl Serialize,
) -> Result<(u16, Value), CliError> {
    tell_within(client, path, body, Duration::ZERO)
}

/// As `tell`, where the answer may take longer.
pub(super) fn tell_within(
    client: &Client,
    path: &str,
    body: &impl Serialize,
    wait: Duration,
) -> Result<(u16, Value), CliError> {
    let answer = client.tell(path, body, wait)?;
    let text: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match answer.status.as_u16() {
        status @ 200..=299 => Ok((status, text)),
        404 => Err(CliError::NotFound(detail(&text, answer.status))),
        400 => Err(CliError::Usage(detail(&text, answer.status))),
        _ => Err(CliError::Failed(format!(
            "the daemon answered: {}",
            detail(&text, answer.status)
        ))),
    }
}

fn say(context: &Context, answer: &Value, said: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    if context.common.json {
        writeln!(out, "{answer}")?;
    } else {
        writeln!(out, "{said} (event {})", answer["seq"])?;
    }
    Ok(())
}
