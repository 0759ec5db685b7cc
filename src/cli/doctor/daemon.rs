//! The running daemon: ready or not, the way that webhooks take, the control socket.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::findings::Findings;
use super::place::mode;
use crate::cli::Context;
use crate::cli::client::{Client, detail};
use crate::config::{Config, Loaded};

/// Whether it runs, is ready and hears of anything; its stats, where it answers.
pub(super) fn look(
    context: &Context,
    loaded: &Loaded,
    directory: &Path,
    findings: &mut Findings,
) -> Option<Value> {
    let stats = ask(context, loaded, findings);
    control(context, &loaded.config, directory, findings);
    stats
}

fn ask(context: &Context, loaded: &Loaded, findings: &mut Findings) -> Option<Value> {
    const CHECK: &str = "daemon";
    let start = &format!(
        "`{}`, or `systemctl start waldo-syncd`",
        context.advise("serve")
    );
    let client = match Client::new(context, loaded) {
        Ok(client) => client,
        Err(error) => {
            findings.problem(CHECK, error.to_string(), start);
            return None;
        }
    };
    let ready = match client.get_raw("/readyz", Duration::ZERO) {
        Ok(ready) => ready,
        Err(error) => {
            findings.problem(CHECK, error.to_string(), start);
            return None;
        }
    };
    let body: Value = serde_json::from_slice(&ready.body).unwrap_or_default();
    if ready.status.is_success() {
        findings.ok(CHECK, "it runs and is ready");
    } else {
        let why = detail(&body, ready.status);
        findings.problem(CHECK, why, "the daemon's log says more");
    }
    for trouble in body["details"].as_array().into_iter().flatten() {
        let text = trouble.as_str().unwrap_or_default();
        findings.warn(
            CHECK,
            text,
            "the daemon's log says more, and that of `waldo-syncd outbound`",
        );
    }
    let stats: Value = match client.get("/v1/stats", Duration::ZERO) {
        Ok(stats) => stats,
        Err(error) => {
            findings.warn(CHECK, error.to_string(), "");
            return None;
        }
    };
    webhooks(&stats, findings);
    Some(stats)
}

/// What can be known from here of the way that webhooks take: whether any came.
fn webhooks(stats: &Value, findings: &mut Findings) {
    const CHECK: &str = "webhooks";
    let advice = "is the URL of `waldo-syncd webhook-url --public …` on Waldo's dashboard, is its secret still valid, does \
                  the proxy pass it on? `waldo-syncd doctor --public https://YOUR-NAME` looks at the proxy";
    let last = stats["lastWebhookAt"].as_str();
    match (stats["silence"]["since"].as_str(), last) {
        (Some(since), _) => findings.problem(
            CHECK,
            format!("none has come since {since} although requests wait"),
            advice,
        ),
        (None, None) => findings.warn(CHECK, "none has ever come", advice),
        (None, Some(last)) => findings.ok(CHECK, format!("the last came at {last}")),
    }
}

fn control(context: &Context, config: &Config, directory: &Path, findings: &mut Findings) {
    const CHECK: &str = "control";
    let path: PathBuf = context.environment.control_path(&config.control, directory);
    // Without a daemon there need be none.
    let Ok(meta) = fs::metadata(&path) else {
        return;
    };
    let shown = path.display();
    if mode(&meta) & 0o007 != 0 {
        findings.problem(
            CHECK,
            format!(
                "any account may write to {shown} (mode {:04o})",
                mode(&meta)
            ),
            &format!("chmod 660 {shown}"),
        );
    } else {
        findings.ok(CHECK, format!("{shown} is for its owner and group"));
    }
}
