//! Asks the running daemon: finds its doors, speaks HTTP to them, and says it plainly when nobody answers.

use std::fs;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::Full;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{CliError, Context};
use crate::client::{self, Answer, Fault};
use crate::config::{Loaded, Secret};
use crate::daemon::{DOORS_FILE, Doors};

/// How long one answer may take, beyond what was asked to be waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often is looked at how far the daemon is.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// The doors of a daemon as the command line finds them.
pub struct Client {
    doors: Doors,
    token: Option<Secret>,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    /// Finds the doors: where the daemon says they are, else where the configuration says.
    pub fn new(context: &Context, loaded: &Loaded) -> Result<Self, CliError> {
        let directory = context.data_dir(loaded)?;
        let named = context.common.data_dir.is_some();
        let doors = match told_doors(&directory) {
            Ok(Some(doors)) => doors,
            // Whoever names a data directory means the daemon of that one, and no other that happens to answer.
            Err(error) if named => {
                return Err(CliError::Failed(format!(
                    "cannot read {}: {error}; ask as the daemon's user, or leave --data-dir out and name the doors in the \
                     configuration",
                    directory.join(DOORS_FILE).display()
                )));
            }
            Ok(None) if named => {
                return Err(CliError::NotRunning(format!(
                    "no daemon runs in {}: it has no readable {DOORS_FILE}; start it with `{}`",
                    directory.display(),
                    context.advise("serve")
                )));
            }
            _ => configured_doors(context, loaded)?,
        };
        let token = loaded
            .config
            .query
            .token(&context.environment, &mut Vec::new())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            doors,
            token,
            runtime,
        })
    }

    /// The address of the ingest door.
    pub fn ingest(&self) -> Option<&str> {
        self.doors.ingest.as_deref()
    }

    /// Reads from the query door and takes the answer apart, leaving what comes from outside as it came.
    pub fn get<T: DeserializeOwned>(&self, path: &str, wait: Duration) -> Result<T, CliError> {
        let answer = self.get_raw(path, wait)?;
        let problem = || {
            detail(
                &serde_json::from_slice(&answer.body).unwrap_or_default(),
                answer.status,
            )
        };
        match answer.status {
            StatusCode::OK => serde_json::from_slice(&answer.body).map_err(|error| {
                CliError::Failed(format!(
                    "the daemon's answer to {path} cannot be read: {error}"
                ))
            }),
            StatusCode::NOT_FOUND => Err(CliError::NotFound(problem())),
            StatusCode::BAD_REQUEST => Err(CliError::Usage(problem())),
            _ => Err(CliError::Failed(format!(
                "the daemon answered: {}",
                problem()
            ))),
        }
    }

    /// Reads from the query door.
    pub fn get_raw(&self, path: &str, wait: Duration) -> Result<Answer, CliError> {
        let door = self
            .doors
            .query
            .as_deref()
            .ok_or_else(|| not_running("query", "no address is known"))?;
        let mut request = client::get(path).map_err(odd)?;
        if let Some(token) = &self.token {
            set_bearer(&mut request, token)?;
        }
        self.send(door, "query", request, wait)
    }

    /// Posts JSON to the ingest door with a secret.
    pub fn post(&self, secret: &Secret, body: Vec<u8>) -> Result<Answer, CliError> {
        let door = self
            .doors
            .ingest
            .as_deref()
            .ok_or_else(|| not_running("ingest", "no address is known"))?;
        let mut request = client::post("/webhooks/waldo", body).map_err(odd)?;
        set_bearer(&mut request, secret)?;
        self.send(door, "ingest", request, Duration::ZERO)
    }

    /// Posts JSON to the control door.
    pub fn tell(
        &self,
        path: &str,
        body: &impl serde::Serialize,
        wait: Duration,
    ) -> Result<Answer, CliError> {
        let (door, request) = self.to_control(path, body)?;
        self.send(door, "control", request, wait)
    }

    fn to_control(
        &self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Result<(&str, Request<Full<Bytes>>), CliError> {
        let body = serde_json::to_vec(body).map_err(|error| CliError::Failed(error.to_string()))?;
        let known = self.doors.control.as_deref();
        let door = known.ok_or_else(|| not_running("control", "no path is known"))?;
        Ok((door, client::post(path, body).map_err(odd)?))
    }

    /// The same, with a look at the stats every now and then until the answer is there. A look that fails is left out.
    pub fn tell_and_watch(
        &self,
        path: &str,
        body: &impl serde::Serialize,
        wait: Duration,
        mut watch: impl FnMut(&Value),
    ) -> Result<Answer, CliError> {
        let (door, request) = self.to_control(path, body)?;
        let answered = self.runtime.block_on(async {
            let mut telling = pin!(client::exchange(door, request, PATIENCE + wait));
            loop {
                tokio::select! {
                    answered = &mut telling => return answered,
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
                let stats = client::exchange(door, client::get("/v1/stats")?, PATIENCE).await;
                if let Some(stats) = stats
                    .ok()
                    .and_then(|answer| serde_json::from_slice(&answer.body).ok())
                {
                    watch(&stats);
                }
            }
        });
        answered.map_err(|fault| failed("control", door, fault))
    }

    /// Reads from the control door.
    pub fn ask_control(&self, path: &str, wait: Duration) -> Result<Answer, CliError> {
        let known = self.doors.control.as_deref();
        let door = known.ok_or_else(|| not_running("control", "no path is known"))?;
        self.send(door, "control", client::get(path).map_err(odd)?, wait)
    }

    fn send(
        &self,
        door: &str,
        name: &str,
        request: Request<Full<Bytes>>,
        wait: Duration,
    ) -> Result<Answer, CliError> {
        let exchange = client::exchange(door, request, PATIENCE + wait);
        self.runtime
            .block_on(exchange)
            .map_err(|fault| failed(name, door, fault))
    }
}

fn failed(name: &str, door: &str, fault: Fault) -> CliError {
    match fault {
        Fault::Connect(error) => not_running(name, &format!("{door}: {error}")),
        Fault::Timeout(_) => {
            CliError::Failed(format!("the {name} door at {door} did not answer in time"))
        }
        fault => CliError::Failed(format!("the {name} door at {door} broke off: {fault}")),
    }
}

fn odd(fault: Fault) -> CliError {
    CliError::Failed(fault.to_string())
}

fn set_bearer(request: &mut Request<Full<Bytes>>, secret: &Secret) -> Result<(), CliError> {
    let value = HeaderValue::try_from(format!("Bearer {}", secret.expose()))
        .map_err(|_| CliError::Failed("the secret has characters no header can hold".to_owned()))?;
    request.headers_mut().insert(AUTHORIZATION, value);
    Ok(())
}

/// What the daemon says of a problem.
pub fn detail(body: &Value, status: StatusCode) -> String {
    body["detail"]
        .as_str()
        .map_or_else(|| status.to_string(), str::to_owned)
}

/// What the daemon of a data directory wrote of its doors. None where none runs.
fn told_doors(data_dir: &Path) -> io::Result<Option<Doors>> {
    match fs::read_to_string(data_dir.join(DOORS_FILE)) {
        Ok(text) => Ok(serde_json::from_str(&text).ok()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        Err(_) => Ok(None),
    }
}

fn configured_doors(context: &Context, loaded: &Loaded) -> Result<Doors, CliError> {
    let config = &loaded.config;
    let known = |address: &str| {
        (!address.is_empty() && !address.ends_with(":0")).then(|| address.to_owned())
    };
    let socket = config
        .query
        .socket
        .as_ref()
        .map(|path| path.display().to_string());
    let control = context
        .environment
        .control_path(&config.control, &context.data_dir(loaded)?);
    Ok(Doors {
        ingest: known(&config.ingest.listen),
        query: known(&config.query.listen).or(socket),
        control: Some(control.display().to_string()),
        gateway: None,
        sandbox: None,
    })
}

fn not_running(door: &str, why: &str) -> CliError {
    CliError::NotRunning(format!(
        "no daemon answers at its {door} door ({why}); start it with `waldo-syncd serve`, or name its --data-dir"
    ))
}
