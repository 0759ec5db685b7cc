//! `openapi`: the documents that the doors serve.

use std::io::{self, Write as _};

use clap::{Args, ValueEnum};

use super::CliError;
use crate::http::openapi::{CONTROL_DOOR, QUERY_DOOR};

/// Print the OpenAPI document of a door; no daemon is needed.
#[derive(Debug, Args)]
#[command(after_help = "Example: waldo-syncd openapi > openapi.json")]
pub struct OpenapiArgs {
    /// What apps read, or what they tell and ask for
    #[arg(long, value_enum, default_value_t = Door::Query)]
    door: Door,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Door {
    Query,
    Control,
}

pub fn run(args: &OpenapiArgs) -> Result<(), CliError> {
    let document = match args.door {
        Door::Query => QUERY_DOOR,
        Door::Control => CONTROL_DOOR,
    };
    Ok(io::stdout().lock().write_all(document.as_bytes())?)
}
