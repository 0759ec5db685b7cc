//! `doctor`: what is wrong, and what to do about it.
//!
//! Looks at what can be known from here and changes nothing. Only `--online` speaks to anybody but the local daemon, and
//! it sends no credentials.

use std::fs::{self, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use clap::Args;
use http::Request;
use serde::Serialize;
use serde_json::Value;

use super::client::{Client, detail};
use super::screen::printable;
use super::{CliError, Context};
use crate::clock::now;
use crate::config::{Config, Loaded};
use crate::daemon::open_doors_warnings;
use crate::domain::Timestamp;
use crate::store::{ERASED_FILE, FILE_NAME, newest_event};
use crate::waldo::body::whole;
use crate::waldo::{Times, Upstream};

/// Free space below which there is a warning, and below which it is a problem, in bytes.
const LITTLE_SPACE: (u64, u64) = (1 << 30, 64 << 20);
/// A WAL longer than this is not emptied as it should be.
const LONG_WAL: u64 = 256 << 20;
/// No clock that is right shows less (2025-01-01) or more (2100-01-01).
const SANE_TIMES: (Timestamp, Timestamp) =
    (Timestamp(1_735_689_600_000), Timestamp(4_102_444_800_000));
/// How far an event may lie in the future, in milliseconds.
const CLOCKS_DIFFER_MS: i64 = 60_000;
/// How long Waldo may take to answer.
const WALDO_ANSWERS_WITHIN: Duration = Duration::from_secs(15);

/// Tell what is wrong and what to do about it. Exit code 1 when something is.
#[derive(Debug, Args)]
#[command(after_help = "Example: waldo-syncd doctor --online")]
pub struct DoctorArgs {
    /// Also see whether Waldo's API can be reached; sends no credentials
    #[arg(long)]
    online: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warning,
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    check: &'static str,
    level: Level,
    finding: String,
    /// What to do; nothing where all is well.
    advice: Option<String>,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, check: &'static str, finding: impl Into<String>) {
        self.add(check, Level::Ok, finding.into(), None);
    }

    fn warn(&mut self, check: &'static str, finding: impl Into<String>, advice: &str) {
        self.add(check, Level::Warning, finding.into(), Some(advice));
    }

    fn problem(&mut self, check: &'static str, finding: impl Into<String>, advice: &str) {
        self.add(check, Level::Problem, finding.into(), Some(advice));
    }

    fn add(&mut self, check: &'static str, level: Level, finding: String, advice: Option<&str>) {
        let advice = advice.filter(|text| !text.is_empty()).map(str::to_owned);
        self.0.push(Finding {
            check,
            level,
            finding: printable(&finding).into_owned(),
            advice,
        });
    }
}

pub fn run(context: &Context, args: DoctorArgs) -> Result<(), CliError> {
    let mut findings = Findings::default();
    match context.load(&[]) {
        Ok(loaded) => look(context, &loaded, args.online, &mut findings),
        Err(error) => findings.problem(
            "config",
            error.to_string(),
            "put that right; nothing else can be looked at before",
        ),
    }
    let mut out = io::stdout().lock();
    for finding in &findings.0 {
        if context.common.json {
            let line = serde_json::to_string(finding)
                .map_err(|error| CliError::Failed(error.to_string()))?;
            writeln!(out, "{line}")?;
            continue;
        }
        let mark = match finding.level {
            Level::Ok => "ok      ",
            Level::Warning => "warning ",
            Level::Problem => "PROBLEM ",
        };
        writeln!(out, "{mark} {:<12} {}", finding.check, finding.finding)?;
        if let Some(advice) = &finding.advice {
            writeln!(out, "         {:<12} → {advice}", "")?;
        }
    }
    let problems = findings.0.iter().filter(|one| one.level == Level::Problem);
    match problems.count() {
        0 => Ok(()),
        1 => Err(CliError::Failed("there is 1 problem".to_owned())),
        many => Err(CliError::Failed(format!("there are {many} problems"))),
    }
}

fn look(context: &Context, loaded: &Loaded, online: bool, findings: &mut Findings) {
    let config = &loaded.config;
    let file = loaded
        .file
        .as_ref()
        .map_or("no file, all defaults".to_owned(), |path| {
            path.display().to_string()
        });
    findings.ok("config", file);
    let mut warnings = loaded.warnings.clone();
    warnings.extend(open_doors_warnings(config));
    for warning in warnings {
        findings.warn("config", warning, "");
    }
    let directory = match context.data_dir(loaded) {
        Ok(directory) => directory,
        Err(error) => return findings.problem("data", error.to_string(), "name --data-dir"),
    };
    secrets(context, loaded, &directory, findings);
    if data(&directory, findings) {
        space(&directory, findings);
        database(&directory, findings);
    }
    clock(&directory, findings);
    daemon(context, loaded, findings);
    control(context, config, &directory, findings);
    backups(config, findings);
    if online {
        waldo(config, findings);
    }
}

fn secrets(context: &Context, loaded: &Loaded, directory: &Path, findings: &mut Findings) {
    const CHECK: &str = "secret";
    let (config, environment) = (&loaded.config, &context.environment);
    let mut warnings = Vec::new();
    match config
        .ingest
        .webhook_secrets(environment, directory, &mut warnings)
    {
        Ok(Some(known)) => {
            let number = known.all().count();
            findings.ok(CHECK, format!("{number} webhook secrets are valid"));
        }
        Ok(None) => findings.warn(
            CHECK,
            "there is no webhook secret yet",
            "`waldo-syncd serve` or `waldo-syncd init` makes one",
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

fn mode(meta: &Metadata) -> u32 {
    meta.permissions().mode() & 0o7777
}

/// Looks at the rights of the data directory and of what is in it; whether there is one.
fn data(directory: &Path, findings: &mut Findings) -> bool {
    const CHECK: &str = "data";
    let shown = directory.display();
    let meta = match fs::metadata(directory) {
        Ok(meta) if meta.is_dir() => meta,
        Ok(_) => {
            findings.problem(CHECK, format!("{shown} is no directory"), "name --data-dir");
            return false;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            findings.warn(
                CHECK,
                format!("{shown} is not there yet"),
                "`waldo-syncd serve` makes it; or name the daemon's --config and --data-dir",
            );
            return false;
        }
        Err(error) => {
            findings.problem(
                CHECK,
                format!("cannot look at {shown}: {error}"),
                "run this as the daemon's user",
            );
            return false;
        }
    };
    let mut sound = true;
    if mode(&meta) & 0o077 != 0 {
        sound = false;
        findings.problem(
            CHECK,
            format!("{shown} is open to others (mode {:04o})", mode(&meta)),
            &format!("chmod 700 {shown}"),
        );
    }
    let wal = format!("{FILE_NAME}-wal");
    let shared = format!("{FILE_NAME}-shm");
    for name in [FILE_NAME, &wal, &shared, ERASED_FILE, "webhook-secret"] {
        let path = directory.join(name);
        let Ok(file) = fs::metadata(&path) else {
            continue;
        };
        if mode(&file) & 0o077 != 0 {
            sound = false;
            findings.problem(
                CHECK,
                format!(
                    "{} is open to others (mode {:04o})",
                    path.display(),
                    mode(&file)
                ),
                &format!("chmod 600 {}", path.display()),
            );
        }
        if file.uid() != meta.uid() {
            sound = false;
            findings.problem(
                CHECK,
                format!("{} has another owner than its directory", path.display()),
                "the daemon cannot write to it: chown it to the daemon's user",
            );
        }
        if name == wal && file.len() > LONG_WAL {
            findings.warn(
                "wal",
                format!("{} has {} MiB", path.display(), file.len() >> 20),
                "a program that reads the file for long keeps it from being emptied: find and end it",
            );
        }
    }
    if sound {
        findings.ok(
            CHECK,
            format!("{shown} and its files are their owner's alone"),
        );
    }
    true
}

fn space(directory: &Path, findings: &mut Findings) {
    const CHECK: &str = "disk";
    let free = match rustix::fs::statvfs(directory) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => return findings.warn(CHECK, format!("cannot be looked at: {error}"), ""),
    };
    let text = format!("{} MiB are free", free >> 20);
    let advice = "webhooks are refused with 503 when it is full: make room, or prune (it makes room inside the file)";
    match free {
        free if free < LITTLE_SPACE.1 => findings.problem(CHECK, text, advice),
        free if free < LITTLE_SPACE.0 => findings.warn(CHECK, text, advice),
        _ => findings.ok(CHECK, text),
    }
}

fn database(directory: &Path, findings: &mut Findings) {
    const CHECK: &str = "database";
    let path = directory.join(FILE_NAME);
    if !path.exists() {
        return findings.warn(
            CHECK,
            format!("{} is not there yet", path.display()),
            "`waldo-syncd serve` makes it",
        );
    }
    match newest_event(&path) {
        Ok(newest) => {
            let events = newest.map_or(0, |(seq, _)| seq.0);
            findings.ok(
                CHECK,
                format!("{events} events; `waldo-syncd check` proves them"),
            );
        }
        Err(error) => findings.problem(
            CHECK,
            error.to_string(),
            "`waldo-syncd check` tells more; a backup may have to be restored",
        ),
    }
}

fn clock(directory: &Path, findings: &mut Findings) {
    const CHECK: &str = "clock";
    let now = now();
    let advice = "set the clock, and let the system keep it (timedatectl set-ntp true)";
    if now < SANE_TIMES.0 || now > SANE_TIMES.1 {
        return findings.problem(CHECK, format!("it shows {now}"), advice);
    }
    let path = directory.join(FILE_NAME);
    let newest = if path.exists() {
        newest_event(&path).ok().flatten()
    } else {
        None
    };
    match newest {
        Some((seq, at)) if at.ms_since(now) > CLOCKS_DIFFER_MS => findings.problem(
            CHECK,
            format!("it shows {now}, but event {seq} came at {at}"),
            advice,
        ),
        _ => findings.ok(CHECK, format!("it shows {now}")),
    }
}

fn daemon(context: &Context, loaded: &Loaded, findings: &mut Findings) {
    const CHECK: &str = "daemon";
    let start = "`waldo-syncd serve`, or `systemctl start waldo-syncd`";
    let client = match Client::new(context, loaded) {
        Ok(client) => client,
        Err(error) => return findings.problem(CHECK, error.to_string(), start),
    };
    let ready = match client.get_raw("/readyz", Duration::ZERO) {
        Ok(ready) => ready,
        Err(error) => return findings.problem(CHECK, error.to_string(), start),
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
            "outbound",
            text,
            "the log of `waldo-syncd outbound` says more",
        );
    }
    let stats: Value = match client.get("/v1/stats", Duration::ZERO) {
        Ok(stats) => stats,
        Err(error) => return findings.warn(CHECK, error.to_string(), ""),
    };
    webhooks(&stats, findings);
}

/// What can be known from here of the way that webhooks take: whether any came.
fn webhooks(stats: &Value, findings: &mut Findings) {
    const CHECK: &str = "webhooks";
    let advice = "is the URL of `waldo-syncd webhook-url --public …` on Waldo's dashboard, does the proxy pass it on, is \
                  its secret still valid? `waldo-syncd init` prints a curl that proves the whole path";
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

fn backups(config: &Config, findings: &mut Findings) {
    const CHECK: &str = "backup";
    let Some(directory) = &config.backup.dir else {
        return findings.warn(
            CHECK,
            "none are configured",
            "[backup] dir and every, or a job of your own that copies the file and checks the copy",
        );
    };
    let newest = match newest_file(directory) {
        Ok(newest) => newest,
        Err(error) => {
            return findings.problem(
                CHECK,
                format!("cannot look into {}: {error}", directory.display()),
                "make it, and let the daemon's user write there",
            );
        }
    };
    let age = newest.and_then(|at| SystemTime::now().duration_since(at).ok());
    let late = |age: Duration| config.backup.every.is_some_and(|every| age > 2 * every);
    match (newest, age) {
        (None, _) => findings.warn(
            CHECK,
            format!("there is none in {}", directory.display()),
            "the daemon's log says why, or [backup] every is not set",
        ),
        (Some(_), Some(age)) if late(age) => findings.problem(
            CHECK,
            format!("the last is {} old", hours(age)),
            "the daemon's log says why",
        ),
        (Some(_), age) => findings.ok(
            CHECK,
            format!("the last is {} old", hours(age.unwrap_or_default())),
        ),
    }
}

fn newest_file(directory: &Path) -> io::Result<Option<SystemTime>> {
    let mut newest = None;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let is_database = entry
            .path()
            .extension()
            .is_some_and(|ending| ending == "db");
        if is_database && let Ok(at) = entry.metadata().and_then(|meta| meta.modified()) {
            newest = newest.max(Some(at));
        }
    }
    Ok(newest)
}

fn hours(age: Duration) -> String {
    let hours = age.as_secs() / 3600;
    match hours {
        0 => "less than an hour".to_owned(),
        1..48 => format!("{hours} h"),
        _ => format!("{} days", hours / 24),
    }
}

/// Whether Waldo's API answers at all: name, connection, TLS.
fn waldo(config: &Config, findings: &mut Findings) {
    const CHECK: &str = "waldo";
    let url = &config.waldo.api_url;
    let times = Times {
        connect: WALDO_ANSWERS_WITHIN,
        head: WALDO_ANSWERS_WITHIN,
        ..Times::default()
    };
    let ask = async {
        let upstream = Upstream::new(url, times).map_err(|error| error.to_string())?;
        let request = Request::get("/")
            .body(whole(Bytes::new()))
            .map_err(|error| error.to_string())?;
        let answer = upstream.send(request).await;
        answer.map_err(|error| error.to_string())
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let answer = match runtime {
        Ok(runtime) => runtime.block_on(ask),
        Err(error) => Err(error.to_string()),
    };
    match answer {
        // Whatever it says of a path that nobody documented: somebody with a good certificate is there.
        Ok(_) => findings.ok(CHECK, format!("{url} answers")),
        Err(why) => findings.problem(
            CHECK,
            format!("{url}: {why}"),
            "does this machine resolve the name, may it connect out, are its certificates current?",
        ),
    }
}
