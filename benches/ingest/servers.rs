//! The two servers that are compared, each in a process of its own: the daemon, and the same door answering 204 with
//! nothing behind it.

#![allow(
    dead_code,
    reason = "each benchmark is a crate of its own and uses its part of this"
)]

use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use waldo_syncd::door::{BodyLimits, Door, DoorMetrics, Limits, Listener, Peer, Routes, read_body};
use warp::reply::Response as Reply;
use warp::{Filter, Stream};

use crate::common::Result;
use crate::common::process::Process;

/// The argument with which this benchmark starts itself as the server that has nothing behind its door.
pub const ANSWER_204: &str = "--answer-204";

/// A running server.
pub struct Server {
    process: Process,
    /// Where it takes webhooks.
    pub address: SocketAddr,
    /// The path at which it does.
    pub path: String,
    /// Where the daemon tells how far it is.
    pub query: Option<SocketAddr>,
}

/// The daemon's command line, with all that it keeps in `folder`.
pub fn daemon_command(folder: &Path, ingest: &str) -> Vec<OsString> {
    let mut command: Vec<OsString> = vec![env!("CARGO_BIN_EXE_waldo-syncd").into()];
    command.extend(["serve", "--ingest", ingest, "--query", "127.0.0.1:0"].map(OsString::from));
    command.extend(["--data-dir".into(), folder.join("data").into()]);
    command.extend(["--control".into(), folder.join("control.sock").into()]);
    command
}

/// Where a daemon that has been started on `folder` takes webhooks.
pub fn webhook_path(folder: &Path) -> Result<String> {
    let secret = fs::read_to_string(folder.join("data/webhook-secret"))?;
    Ok(format!("/webhooks/waldo/{}", secret.trim()))
}

impl Server {
    /// The daemon on the data in `folder`; where there is none, with an empty file.
    pub fn daemon(folder: &Path) -> Result<Self> {
        let mut server = Self::start(folder, "daemon", daemon_command(folder, "127.0.0.1:0"))?;
        server.path = webhook_path(folder)?;
        Ok(server)
    }

    /// The door with nothing behind it.
    pub fn answering_204(folder: &Path) -> Result<Self> {
        let command = vec![std::env::current_exe()?.into(), ANSWER_204.into()];
        let mut server = Self::start(folder, "204", command)?;
        server.path = format!("/webhooks/waldo/{}", "5".repeat(64));
        Ok(server)
    }

    /// A server that takes `--ready-file`.
    pub fn start(folder: &Path, name: &str, command: Vec<OsString>) -> Result<Self> {
        Self::of(Process::start(folder, name, command, &[])?)
    }

    /// A process that is ready.
    pub fn of(process: Process) -> Result<Self> {
        let query = process.door("query");
        Ok(Self {
            query: query.as_ref().ok().copied(),
            address: process.door("ingest").or(query)?,
            path: String::new(),
            process,
        })
    }

    /// Processor time used so far, in seconds.
    pub fn processor_seconds(&self) -> Result<f64> {
        self.process.processor_seconds()
    }

    /// Resident memory in MiB: now (`VmRSS`), or the most there ever was (`VmHWM`).
    pub fn resident_mib(&self, which: &str) -> Result<f64> {
        self.process.resident_mib(which)
    }

    /// How many events the rows are behind the log; none where there is no log.
    pub fn lag(&self) -> Result<u64> {
        self.query.map_or(Ok(0), |query| stat(query, "lag"))
    }

    /// From now on `VmHWM` counts from what there is now.
    pub fn forget_peak(&self) -> Result<()> {
        self.process.forget_peak()
    }

    /// Ends it without a word.
    pub fn kill(self) -> Result<()> {
        self.process.kill()
    }

    /// Stops it and waits for its end.
    pub fn stop(self) -> Result<()> {
        self.process.stop()
    }
}

/// A number of `/v1/stats`.
pub fn stat(query: SocketAddr, name: &str) -> Result<u64> {
    let stats: Value = serde_json::from_str(&get(query, "/v1/stats")?)?;
    let number = stats.get(name).and_then(Value::as_u64);
    Ok(number.ok_or_else(|| format!("no {name}"))?)
}

/// The body of one good answer.
pub fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    if !head.starts_with("HTTP/1.1 2") {
        return Err(format!("{path}: {head}").into());
    }
    Ok(body.to_owned())
}

/// The other process: the daemon's door, its route and its runtime, and an answer without a store.
pub fn answer_204(ready: &Path) -> Result<()> {
    let in_path = warp::path!("webhooks" / "waldo" / String).map(Some);
    let in_header = warp::path!("webhooks" / "waldo").map(|| None);
    let take = in_path
        .or(in_header)
        .unify()
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Peer>())
        .and(warp::body::stream())
        .then(|_, _: Method, _: HeaderMap, _: Option<Peer>, body| nothing(body));
    let no_route = warp::any().map(|| status(StatusCode::NOT_FOUND));
    serve(ready, "ingest", take.or(no_route).unify().boxed())
}

/// Serves routes at one door with the daemon's limits and runtime, until it is ended by a signal.
pub fn serve(ready: &Path, name: &'static str, routes: Routes) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads((cores / 2).clamp(1, 4))
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let doors = serde_json::json!({ name: listener.local_addr()?.to_string() });
        let beside: PathBuf = ready.with_extension("new");
        fs::write(&beside, doors.to_string())?;
        fs::rename(&beside, ready)?;
        let metrics = Arc::new(DoorMetrics::default());
        let door = Door::new(name, Listener::Tcp(listener), Limits::default(), metrics);
        // Ended by a signal: nothing here needs a clean stop.
        let (_stop, stopped) = watch::channel(false);
        door.serve(warp::service(routes), stopped).await;
        Ok(())
    })
}

async fn nothing<S, B>(body: S) -> Reply
where
    S: Stream<Item = std::result::Result<B, warp::Error>> + Send,
    B: Buf,
{
    let limits = BodyLimits {
        limit: 1 << 20,
        discard_limit: 16 << 20,
        deadline: Duration::from_secs(10),
    };
    status(match read_body(body, &limits).await {
        Ok(_) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::BAD_REQUEST,
    })
}

fn status(status: StatusCode) -> Reply {
    let mut reply = Reply::default();
    *reply.status_mut() = status;
    reply
}
