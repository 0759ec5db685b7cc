//! `send`: one made-up webhook, to see the whole path work.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use super::client::{Client, detail};
use super::{CliError, Context, values};

/// Post one made-up webhook to the running daemon.
#[derive(Debug, Args)]
#[command(
    override_usage = "\
waldo-syncd send [OPTIONS] <--customer <ID> <EVENT>|--file <FILE>>",
    after_help = "\
Examples: waldo-syncd send onboard --customer c-1 --status APPROVED
          waldo-syncd send evaluation --customer c-1 --run fraud:completed"
)]
pub struct SendArgs {
    /// onboard, flag, evaluation, or any other name
    #[arg(required_unless_present = "file")]
    event: Option<String>,
    /// customerId
    #[arg(long, value_name = "ID", required_unless_present = "file")]
    customer: Option<String>,
    /// externalId
    #[arg(long, value_name = "ID")]
    external: Option<String>,
    /// requestId
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// Evaluation type and status
    #[arg(long, value_name = "TYPE:STATUS")]
    run: Option<String>,
    /// validation.status
    #[arg(long, value_name = "WORD")]
    status: Option<String>,
    /// validation.kyc
    #[arg(long, value_name = "WORD")]
    kyc: Option<String>,
    /// validation.fraudScore
    #[arg(long, value_name = "0..1", value_parser = values::share)]
    score: Option<f64>,
    /// flag; true for the event flag
    #[arg(long, value_name = "true|false", hide_possible_values = true)]
    flag: Option<bool>,
    /// Send this file as it is instead (- is standard input)
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub fn run(context: &Context, args: SendArgs) -> Result<(), CliError> {
    let body = body(&args)?;
    let loaded = context.load(&[])?;
    let client = Client::new(context, &loaded)?;
    let data_dir = context.data_dir(&loaded)?;
    let ingest = &loaded.config.ingest;
    let secrets = ingest.webhook_secrets(&context.environment, &data_dir, &mut Vec::new())?;
    // A daemon that has ever run here has made one.
    let secrets = secrets.ok_or_else(|| {
        CliError::NotRunning(format!(
            "no daemon has run with {} yet, for it holds no webhook secret; start it with `{}`, or name its --config and \
             --data-dir",
            data_dir.display(),
            context.advise("serve")
        ))
    })?;
    let answer = client.post(&secrets.current, body)?;
    let text: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if !answer.status.is_success() {
        let hint = if answer.status == 401 {
            "; does this command see the daemon's --config and --data-dir?"
        } else {
            ""
        };
        return Err(CliError::Failed(format!(
            "the daemon answered: {}{hint}",
            detail(&text, answer.status)
        )));
    }
    let mut out = io::stdout().lock();
    if context.common.json {
        writeln!(out, "{text}")?;
    } else {
        writeln!(out, "kept as event {}", text["seq"])?;
    }
    Ok(())
}

fn body(args: &SendArgs) -> Result<Vec<u8>, CliError> {
    if let Some(path) = &args.file {
        let mut bytes = Vec::new();
        if path.as_os_str() == "-" {
            io::stdin().read_to_end(&mut bytes)?;
        } else {
            bytes = std::fs::read(path).map_err(|error| {
                CliError::Failed(format!("cannot read {}: {error}", path.display()))
            })?;
        }
        return Ok(bytes);
    }
    let mut body = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    put("event", args.event.as_ref().map(|name| json!(name)));
    put("requestId", args.request.as_ref().map(|id| json!(id)));
    if let Some(run) = &args.run {
        let (evaluation, status) = run.split_once(':').ok_or_else(|| {
            CliError::Usage(format!(
                "--run {run}: expected TYPE:STATUS, as in fraud:completed"
            ))
        })?;
        put(
            "evaluation",
            Some(json!({ "type": evaluation, "status": status })),
        );
    }
    let mut validation = Map::new();
    let members = [
        ("status", args.status.as_ref().map(|word| json!(word))),
        ("kyc", args.kyc.as_ref().map(|word| json!(word))),
        ("fraudScore", args.score.map(|score| json!(score))),
    ];
    for (name, value) in members {
        if let Some(value) = value {
            validation.insert(name.to_owned(), value);
        }
    }
    put(
        "validation",
        (!validation.is_empty()).then_some(Value::Object(validation)),
    );
    let flags = args.event.as_deref() == Some("flag");
    let flag = args.flag.or(flags.then_some(true));
    put("flag", flag.map(|flag| json!(flag)));
    put("externalId", args.external.as_ref().map(|id| json!(id)));
    put("customerId", args.customer.as_ref().map(|id| json!(id)));
    Ok(Value::Object(body).to_string().into_bytes())
}
