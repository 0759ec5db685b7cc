//! Secrets and credentials: whether they are there and can be read.

use std::path::Path;

use serde_json::Value;

use super::findings::Findings;
use crate::cli::Context;
use crate::config::Loaded;
use crate::words::counted;

pub(super) fn look(
    context: &Context,
    loaded: &Loaded,
    directory: &Path,
    stats: Option<&Value>,
    findings: &mut Findings,
) {
    const CHECK: &str = "secret";
    let (config, environment) = (&loaded.config, &context.environment);
    let mut warnings = Vec::new();
    match config
        .ingest
        .webhook_secrets(environment, directory, &mut warnings)
    {
        Ok(Some(known)) => {
            let number = known.all().count() as u64;
            let valid = counted(number, "webhook secret is valid", "webhook secrets are valid");
            findings.ok(CHECK, valid);
        }
        // A unit has its credentials to itself.
        Ok(None) if stats.is_some() => findings.ok(
            CHECK,
            "the daemon has its webhook secret where it cannot be seen from here, such as a systemd credential",
        ),
        Ok(None) => findings.warn(
            CHECK,
            "there is no webhook secret yet",
            &format!(
                "`{}` or `{}` makes one",
                context.advise("serve"),
                context.advise("init")
            ),
        ),
        Err(error) => findings.problem(CHECK, error.to_string(), "webhooks are refused without it"),
    }
    if let Err(error) = config.ingest.hmac_key(environment, &mut warnings) {
        findings.problem(CHECK, error.to_string(), "signatures cannot be checked");
    }
    if let Err(error) = config.query.token(environment, &mut warnings) {
        findings.problem(CHECK, error.to_string(), "readers cannot be told apart");
    }
    match config.waldo.credentials(environment, &mut warnings) {
        Ok(Some(_)) => findings.ok("credentials", "Waldo's API key and client secret are there"),
        Ok(None) if stats.is_some_and(|stats| stats["outbound"]["polling"] == true) => {
            findings.ok(
                "credentials",
                "`outbound` has those for Waldo's API: it asks",
            );
        }
        Ok(None) => findings.warn(
            "credentials",
            "there are none for Waldo's API, so lost webhooks are not asked for",
            "[waldo] api_key_file and client_secret_file, for `waldo-syncd outbound`",
        ),
        Err(error) => findings.problem("credentials", error.to_string(), ""),
    }
    for warning in warnings {
        findings.warn(CHECK, warning, "");
    }
}
