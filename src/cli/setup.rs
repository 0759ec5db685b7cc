//! `init`, `webhook-url`, `config`: what is done before the daemon runs.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::client::Client;
use super::{CliError, Context};
use crate::config::{self, ConfigError, Secret, WEBHOOK_SECRET_FILE, WebhookSecrets};
use crate::daemon::{fresh_secret, make_secret, open_doors_warnings, write_whole};

/// What stands for the outside name where none is given; nobody can have it, so that nobody's server gets the secret.
const PUBLIC_UNKNOWN: &str = "https://YOUR-NAME.example";
/// An outside name as it may look.
const PUBLIC_EXAMPLE: &str = "https://hooks.example.com";

/// Write a commented configuration and a fresh secret.
#[derive(Debug, Args)]
#[command(after_help = "Example: waldo-syncd init --public https://hooks.example.com")]
pub struct InitArgs {
    /// The outside name, to show the URL as Waldo will call it
    #[arg(long, value_name = "BASE")]
    public: Option<String>,
}

/// Show the URL to paste into Waldo's dashboard.
#[derive(Debug, Args)]
#[command(after_help = "\
To change the secret without losing a webhook: --rotate, paste the new URL into the dashboard, then --retire.
Example: waldo-syncd webhook-url --public https://hooks.example.com")]
pub struct WebhookUrlArgs {
    /// The outside name
    #[arg(long, value_name = "BASE")]
    public: Option<String>,
    /// Add a new secret; the old ones stay valid
    #[arg(long, conflicts_with = "retire")]
    rotate: bool,
    /// Let the old secrets no longer be valid
    #[arg(long)]
    retire: bool,
}

/// Check or show the configuration.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example: waldo-syncd config show --config /etc/waldo-syncd/config.toml")]
pub enum ConfigCommand {
    /// Say whether the configuration can be used
    #[command(after_help = "Example: waldo-syncd config check --config ./config.toml")]
    Check,
    /// Print every key with its value and where that came from; secrets are not shown
    #[command(after_help = "Example: waldo-syncd config show")]
    Show,
}

pub fn init(context: &Context, args: InitArgs) -> Result<(), CliError> {
    let environment = &context.environment;
    let base = args.public.as_deref().unwrap_or(PUBLIC_UNKNOWN);
    check_base(base)?;
    let path = context
        .common
        .config
        .clone()
        .or_else(|| {
            context
                .common
                .data_dir
                .as_ref()
                .map(|directory| directory.join("config.toml"))
        })
        .or_else(|| {
            environment
                .user_config_dir
                .as_ref()
                .map(|directory| directory.join("config.toml"))
        })
        .ok_or_else(|| {
            CliError::Usage(
                "no place for the configuration is known; name one with --config".to_owned(),
            )
        })?;
    let path = std::path::absolute(path)?;
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|error| cannot("create", &folder, &error))?;
    // A daemon that ran without a configuration has made its secret already; another one would void its URL.
    let mut store = config::StoreConfig::default();
    store.data_dir.clone_from(&context.common.data_dir);
    let data_dir = environment.data_dir(&store)?;
    // In the file a relative path would begin at the file's folder.
    let of_daemon = std::path::absolute(data_dir.join(WEBHOOK_SECRET_FILE))?;
    let of_daemon = Some(of_daemon).filter(|path| path.exists());
    let secret_file = of_daemon.unwrap_or_else(|| folder.join(WEBHOOK_SECRET_FILE));
    let had_secret = secret_file.exists();
    make_secret(&secret_file)?;
    let mut template = config::template(&secret_file);
    if let Some(directory) = &context.common.data_dir {
        let directory = std::path::absolute(directory)?;
        let line = format!(
            "data_dir = {}",
            toml::Value::String(directory.display().to_string())
        );
        template = template.replacen("#data_dir = \"\"", &line, 1);
    }
    let wrote_config = write_new(&path, &template)?;

    let loaded = config::load(Some(&path), environment, &[])?;
    let secrets = known_secrets(context, &loaded, &data_dir)?;
    let url = webhook_url_of(base, &secrets.current);
    let listen = &loaded.config.ingest.listen;
    let local = webhook_url_of(&format!("http://{listen}"), &secrets.current);
    let proof = if args.public.is_some() { &url } else { &local };
    let host = base
        .trim_start_matches("https://")
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let said = |new: bool| {
        if new {
            "written"
        } else {
            "was there, left as it is"
        }
    };
    let mut out = io::stdout().lock();
    if context.common.json {
        let object = serde_json::json!({
            "config": path, "configWritten": wrote_config, "secretFile": secret_file, "secretWritten": !had_secret,
            "webhookUrl": url,
        });
        writeln!(out, "{object}")?;
        return Ok(());
    }
    writeln!(
        out,
        "Configuration: {} ({})",
        path.display(),
        said(wrote_config)
    )?;
    writeln!(
        out,
        "Secret:        {} ({})",
        secret_file.display(),
        said(!had_secret)
    )?;
    writeln!(
        out,
        "\nPaste this URL into Waldo's dashboard, page API Integration:\n  {url}"
    )?;
    if args.public.is_none() {
        writeln!(
            out,
            "with your own name in place of YOUR-NAME.example, here and below; `{}` puts it in",
            context.advise("init --public https://…")
        )?;
    }
    // What is not a webhook gets a 404: Caddy alone would answer 200, and a mistyped URL would lose events in silence.
    writeln!(
        out,
        "\nCaddy, in its Caddyfile:\n  {host} {{\n    @webhooks path /webhooks/waldo /webhooks/waldo/*\n    \
         handle @webhooks {{\n      reverse_proxy {listen}\n    }}\n    handle {{\n      respond 404\n    }}\n  }}"
    )?;
    writeln!(
        out,
        "
nginx, in the server block of {host}:
  location /webhooks/waldo {{
    \
         proxy_pass http://{listen};
    proxy_set_header Host $host;
    \
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    client_max_body_size 1m;
    \
         access_log off;       # the URL holds the secret
    \
         error_log /dev/null crit;  # and so would its errors
  }}"
    )?;
    writeln!(
        out,
        "\nThe complete examples, which also keep the secret out of the proxy's own error log, come with the source:\n  \
         packaging/caddy/Caddyfile, packaging/nginx/waldo-syncd.conf"
    )?;
    writeln!(
        out,
        "\nProve the whole path once `waldo-syncd serve --config {}` runs:\n  curl -sS '{proof}' -d \
         '{{\"event\":\"onboard\",\"customerId\":\"proof\",\"validation\":{{\"status\":\"REVIEW\"}}}}'",
        path.display()
    )?;
    writeln!(
        out,
        "That leaves a customer `proof`, which `waldo-syncd erase proof` takes out again. `waldo-syncd doctor --public \
         https://{host}`\nlooks at the proxy without posting anything."
    )?;
    Ok(())
}

pub fn webhook_url(context: &Context, args: WebhookUrlArgs) -> Result<(), CliError> {
    if let Some(base) = &args.public {
        check_base(base)?;
    }
    let loaded = context.load(&[])?;
    let data_dir = context.data_dir(&loaded)?;
    if args.rotate || args.retire {
        let current = known_secrets(context, &loaded, &data_dir)?;
        let path = loaded.config.ingest.webhook_secret_file(&context.environment, &data_dir).ok_or_else(|| {
            CliError::Failed(
                "the secret stands in the configuration itself; change [ingest] secret there, keep the old one in \
                 secrets_accepted for a while, and restart"
                    .to_owned(),
            )
        })?;
        let gone = rewrite_secrets(&path, &current, args.rotate)?;
        if args.retire && gone {
            eprintln!(
                "every other secret in {} is gone; this one is valid",
                path.display()
            );
        } else if args.retire {
            eprintln!(
                "{} holds no other secret: nothing was to be retired, this one stays valid",
                path.display()
            );
        }
    }
    let secrets = known_secrets(context, &loaded, &data_dir)?;
    let base = match &args.public {
        Some(base) => base.clone(),
        None => local_base(context, &loaded),
    };
    let url = webhook_url_of(&base, &secrets.current);
    let mut out = io::stdout().lock();
    if context.common.json {
        let object = serde_json::json!({ "url": url, "accepted": secrets.all().count() });
        writeln!(out, "{object}")?;
    } else {
        writeln!(out, "{url}")?;
    }
    if args.public.is_none() {
        eprintln!(
            "this is the address on this machine; for the dashboard add --public https://YOUR-NAME"
        );
    }
    let others = secrets.all().count() - 1;
    if others > 0 {
        eprintln!(
            "older secrets that are valid too: {others}; once the dashboard has the new URL: `{}` (those in [ingest] \
             secrets_accepted are taken out there)",
            context.advise("webhook-url --retire")
        );
    }
    Ok(())
}

pub fn config(context: &Context, command: ConfigCommand) -> Result<(), CliError> {
    let loaded = context.load(&[])?;
    let mut out = io::stdout().lock();
    match command {
        ConfigCommand::Check => {
            let data_dir = context.data_dir(&loaded)?;
            let mut warnings = loaded.warnings.clone();
            loaded
                .config
                .ingest
                .webhook_secrets(&context.environment, &data_dir, &mut warnings)?;
            loaded
                .config
                .ingest
                .hmac_key(&context.environment, &mut warnings)?;
            loaded
                .config
                .query
                .token(&context.environment, &mut warnings)?;
            loaded
                .config
                .waldo
                .credentials(&context.environment, &mut warnings)?;
            warnings.extend(open_doors_warnings(&loaded.config));
            for warning in &warnings {
                eprintln!("warning: {warning}");
            }
            let file = loaded.file.as_ref().map(|path| path.display().to_string());
            if context.common.json {
                writeln!(
                    out,
                    "{}",
                    serde_json::json!({ "ok": true, "file": file, "warnings": warnings })
                )?;
            } else {
                let file = file.unwrap_or_else(|| "no file, all defaults".to_owned());
                writeln!(out, "the configuration can be used ({file})")?;
            }
        }
        ConfigCommand::Show if context.common.json => {
            for key in config::show_json(&loaded) {
                writeln!(out, "{key}")?;
            }
        }
        ConfigCommand::Show => write!(out, "{}", config::show(&loaded))?,
    }
    Ok(())
}

/// The secrets that are valid for the daemon of this configuration and data directory.
pub fn known_secrets(
    context: &Context,
    loaded: &config::Loaded,
    data_dir: &Path,
) -> Result<WebhookSecrets, CliError> {
    let ingest = &loaded.config.ingest;
    let known = ingest.webhook_secrets(&context.environment, data_dir, &mut Vec::new())?;
    // Making one here would give a URL that no daemon takes.
    known.ok_or_else(|| {
        CliError::Failed(format!(
            "no webhook secret is known in {}: `{}` or `{}` makes one; if the daemon has one already, name its --config \
             and --data-dir",
            data_dir.display(),
            context.advise("serve"),
            context.advise("init")
        ))
    })
}

/// Writes the secrets' file anew: a fresh one in front of the others, or the first one alone. Whether any is gone.
fn rewrite_secrets(path: &Path, secrets: &WebhookSecrets, rotate: bool) -> Result<bool, CliError> {
    // Only what stands in this file is written back; secrets accepted by the configuration stay there.
    let in_file = config::read_secret_file(path, &config::Environment::default(), &mut Vec::new())
        .map_err(|error: ConfigError| CliError::Failed(error.to_string()))?;
    let mut lines: Vec<String> = Vec::new();
    if rotate {
        lines.push(fresh_secret()?);
        lines.extend(in_file.iter().map(|secret| secret.expose().to_owned()));
    } else {
        lines.push(secrets.current.expose().to_owned());
    }
    lines.push(String::new());
    write_whole(path, &lines.join("\n"))?;
    Ok(!rotate && in_file.len() > 1)
}

/// The URL under which the secret is taken.
fn webhook_url_of(base: &str, secret: &Secret) -> String {
    let path = crate::http::webhook_path(secret);
    format!("{}{path}", base.trim_end_matches('/'))
}

/// Whether a text is an outside name. One that may have a password or the secret in it is not shown.
pub(super) fn check_base(base: &str) -> Result<(), CliError> {
    if base.contains('@') {
        return Err(CliError::Usage(format!(
            "--public: expected a URL like {PUBLIC_EXAMPLE}, without `@`: the outside name has no user and no password"
        )));
    }
    if base.contains("/webhooks/") {
        return Err(CliError::Usage(format!(
            "--public: expected a URL like {PUBLIC_EXAMPLE}, without `/webhooks/` and what follows: that is added here"
        )));
    }
    let uri = base.parse::<http::Uri>().ok();
    let good = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("https" | "http"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.query().is_none()
    });
    if good {
        return Ok(());
    }
    Err(CliError::Usage(format!(
        "--public {base}: expected a URL like {PUBLIC_EXAMPLE}"
    )))
}

fn local_base(context: &Context, loaded: &config::Loaded) -> String {
    let running = Client::new(context, loaded).ok();
    let address = running
        .as_ref()
        .and_then(Client::ingest)
        .unwrap_or(&loaded.config.ingest.listen);
    format!("http://{address}")
}

fn write_new(path: &PathBuf, text: &str) -> Result<bool, CliError> {
    let opened = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match opened {
        Ok(mut file) => {
            file.write_all(text.as_bytes())
                .map_err(|error| cannot("write", path, &error))?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(cannot("write", path, &error)),
    }
}

fn cannot(verb: &str, path: &Path, error: &io::Error) -> CliError {
    CliError::Failed(format!("cannot {verb} {}: {error}", path.display()))
}
