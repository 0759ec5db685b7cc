//! Asks the running daemon: finds its doors, speaks HTTP to them, and says it plainly when nobody answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::{TcpStream, UnixStream};

use super::{CliError, Context};
use crate::config::{Loaded, Secret};
use crate::daemon::{DOORS_FILE, Doors};

/// How long one answer may take, beyond what was asked to be waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The doors of a daemon as the command line finds them.
pub struct Client {
    doors: Doors,
    token: Option<Secret>,
    runtime: tokio::runtime::Runtime,
}

/// An answer.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

impl Client {
    /// Finds the doors: where the daemon says they are, else where the configuration says.
    pub fn new(context: &Context, loaded: &Loaded) -> Result<Self, CliError> {
        let doors = match told_doors(&context.data_dir(loaded)?) {
            Some(doors) => doors,
            // Whoever names a data directory means the daemon of that one, and no other that happens to answer.
            None if context.common.data_dir.is_some() => {
                let directory = context.data_dir(loaded)?;
                return Err(CliError::NotRunning(format!(
                    "no daemon runs in {}: it has no readable {DOORS_FILE}; start it with `waldo-syncd serve --data-dir {}`",
                    directory.display(),
                    directory.display()
                )));
            }
            None => configured_doors(context, loaded)?,
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
        let mut request = Request::builder()
            .method(Method::GET)
            .uri(path)
            .header(HOST, "localhost");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        self.send(door, "query", request.body(Full::default()), wait)
    }

    /// Posts JSON to the ingest door with a secret.
    pub fn post(&self, secret: &Secret, body: Vec<u8>) -> Result<Answer, CliError> {
        let door = self
            .doors
            .ingest
            .as_deref()
            .ok_or_else(|| not_running("ingest", "no address is known"))?;
        let request = Request::builder()
            .method(Method::POST)
            .uri("/webhooks/waldo")
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, format!("Bearer {}", secret.expose()))
            .body(Full::from(body));
        self.send(door, "ingest", request, Duration::ZERO)
    }

    /// Posts JSON to the control door.
    pub fn tell(&self, path: &str, body: &impl serde::Serialize) -> Result<Answer, CliError> {
        let body = serde_json::to_vec(body).map_err(|error| CliError::Failed(error.to_string()))?;
        let known = self.doors.control.as_deref();
        let door = known.ok_or_else(|| not_running("control", "no path is known"))?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body));
        self.send(door, "control", request, Duration::ZERO)
    }

    fn send(
        &self,
        door: &str,
        name: &str,
        request: http::Result<Request<Full<Bytes>>>,
        wait: Duration,
    ) -> Result<Answer, CliError> {
        let request = request.map_err(|error| CliError::Failed(error.to_string()))?;
        // The timer can only be made inside the runtime.
        let exchange =
            async { tokio::time::timeout(PATIENCE + wait, exchange(door, request)).await };
        match self.runtime.block_on(exchange) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Fault::Connect(error))) => Err(not_running(name, &format!("{door}: {error}"))),
            Ok(Err(Fault::Talk(error))) => Err(CliError::Failed(format!(
                "the {name} door at {door} broke off: {error}"
            ))),
            Err(_) => Err(CliError::Failed(format!(
                "the {name} door at {door} did not answer in time"
            ))),
        }
    }
}

/// What the daemon says of a problem.
pub fn detail(body: &Value, status: StatusCode) -> String {
    body["detail"]
        .as_str()
        .map_or_else(|| status.to_string(), str::to_owned)
}

enum Fault {
    Connect(std::io::Error),
    Talk(hyper::Error),
}

async fn exchange(door: &str, request: Request<Full<Bytes>>) -> Result<Answer, Fault> {
    if door.starts_with('/') {
        let stream = UnixStream::connect(door).await.map_err(Fault::Connect)?;
        return talk(TokioIo::new(stream), request).await;
    }
    let stream = TcpStream::connect(door).await.map_err(Fault::Connect)?;
    talk(TokioIo::new(stream), request).await
}

async fn talk<T>(stream: T, request: Request<Full<Bytes>>) -> Result<Answer, Fault>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
        .await
        .map_err(Fault::Talk)?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(Fault::Talk)?;
    let status = answer.status();
    let body = answer
        .into_body()
        .collect()
        .await
        .map_err(Fault::Talk)?
        .to_bytes();
    connection.abort();
    Ok(Answer { status, body })
}

fn told_doors(data_dir: &Path) -> Option<Doors> {
    let path: PathBuf = data_dir.join(DOORS_FILE);
    serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
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
    })
}

fn not_running(door: &str, why: &str) -> CliError {
    CliError::NotRunning(format!(
        "no daemon answers at its {door} door ({why}); start it with `waldo-syncd serve`, or name its --data-dir"
    ))
}
