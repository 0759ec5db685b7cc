//! The two servers that are compared, each in a process of its own: the daemon, and the same door answering 204 with
//! nothing behind it. What they cost is read from `/proc`.
//!
//! Invariant: no server outlives the benchmark. Each hangs on a shell that stops it as soon as its input ends, and that
//! happens when its handle is dropped, and when the benchmark itself is killed.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use waldo_syncd::door::{BodyLimits, Door, DoorMetrics, Limits, Listener, Peer, read_body};
use warp::reply::Response as Reply;
use warp::{Filter, Stream};

use crate::common::{Result, poll};

/// The argument with which this benchmark starts itself as the server that has nothing behind its door.
pub const ANSWER_204: &str = "--answer-204";

const START_WITHIN: Duration = Duration::from_secs(20);
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// What the kernel counts processor time in, on every architecture of Linux that this is built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Starts what follows the log's path, tells its process id, and ends it when the input ends.
const GUARD: &str =
    r#"log=$1; shift; "$@" >"$log" 2>&1 & echo $!; read -r _; kill -TERM $!; wait $!"#;

/// A running server.
pub struct Server {
    guard: Child,
    process: u32,
    /// Where it takes webhooks.
    pub address: SocketAddr,
    /// The path at which it does.
    pub path: String,
    /// Where the daemon tells how far it is.
    query: Option<SocketAddr>,
}

impl Server {
    /// The daemon, with an empty data directory in `folder`.
    pub fn daemon(folder: &Path) -> Result<Self> {
        let data = folder.join("data");
        let arguments = ["serve", "--ingest", "127.0.0.1:0", "--query", "127.0.0.1:0"];
        let mut command: Vec<OsString> = vec![env!("CARGO_BIN_EXE_waldo-syncd").into()];
        command.extend(arguments.map(OsString::from));
        command.extend(["--data-dir".into(), data.clone().into()]);
        command.extend(["--control".into(), folder.join("control.sock").into()]);
        let mut server = Self::start(folder, "daemon", command)?;
        let secret = fs::read_to_string(data.join("webhook-secret"))?;
        server.path = format!("/webhooks/waldo/{}", secret.trim());
        Ok(server)
    }

    /// The door with nothing behind it.
    pub fn answering_204(folder: &Path) -> Result<Self> {
        let command = vec![std::env::current_exe()?.into(), ANSWER_204.into()];
        let mut server = Self::start(folder, "204", command)?;
        server.path = format!("/webhooks/waldo/{}", "5".repeat(64));
        Ok(server)
    }

    fn start(folder: &Path, name: &str, mut command: Vec<OsString>) -> Result<Self> {
        let ready = folder.join(format!("{name}-ready.json"));
        let log = folder.join(format!("{name}.log"));
        command.extend(["--ready-file".into(), ready.clone().into()]);
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .arg(&log)
            .args(command)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = guard.stdout.take().ok_or("no output of the shell")?;
        let mut process = String::new();
        BufReader::new(output).read_line(&mut process)?;
        let mut server = Self {
            guard,
            process: process.trim().parse()?,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            path: String::new(),
            query: None,
        };
        let doors = poll("a server to start", START_WITHIN, || {
            let text = fs::read(&ready).unwrap_or_default();
            Ok(serde_json::from_slice::<Value>(&text).ok())
        });
        let doors = doors.map_err(|error| {
            format!(
                "{error}; its log: {}",
                fs::read_to_string(&log).unwrap_or_default()
            )
        })?;
        let door = |name: &str| doors.get(name).and_then(Value::as_str);
        server.address = door("ingest").ok_or("no ingest door")?.parse()?;
        server.query = door("query").map(str::parse).transpose()?;
        Ok(server)
    }

    /// Processor time used so far, in seconds.
    pub fn processor_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process))?;
        // The second field is a name in parentheses, in which anything may stand.
        let (_, fields) = stat.rsplit_once(')').ok_or("no process")?;
        let ticks: f64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<f64>().ok())
            .sum();
        Ok(ticks / TICKS_PER_SECOND)
    }

    /// Resident memory in MiB: now (`VmRSS`), or the most there ever was (`VmHWM`).
    pub fn resident_mib(&self, which: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process))?;
        let line = status.lines().find(|line| line.starts_with(which));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(kib.ok_or("no such line")?.parse::<f64>()? / 1024.0)
    }

    /// How many events the rows are behind the log; none where there is no log.
    pub fn lag(&self) -> Result<u64> {
        let Some(address) = self.query else {
            return Ok(0);
        };
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream
            .write_all(b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
        let stats: Value = serde_json::from_str(body)?;
        Ok(stats.get("lag").and_then(Value::as_u64).ok_or("no lag")?)
    }

    /// Stops it and waits for its end.
    pub fn stop(mut self) -> Result<()> {
        drop(self.guard.stdin.take());
        let guard = &mut self.guard;
        let status = poll("a server to stop", STOP_WITHIN, || Ok(guard.try_wait()?))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("a server ended with {status}").into())
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let guard = &mut self.guard;
        // After a clean stop it has ended already; after an error there is nobody left to tell.
        let _ = poll("a server to stop", STOP_WITHIN, || Ok(guard.try_wait()?));
    }
}

/// The other process: the daemon's door, its route and its runtime, and an answer without a store.
pub fn answer_204(ready: &Path) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads((cores / 2).clamp(1, 4))
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let doors = serde_json::json!({ "ingest": listener.local_addr()?.to_string() });
        let beside: PathBuf = ready.with_extension("new");
        fs::write(&beside, doors.to_string())?;
        fs::rename(&beside, ready)?;
        let metrics = Arc::new(DoorMetrics::default());
        let door = Door::new(
            "ingest",
            Listener::Tcp(listener),
            Limits::default(),
            metrics,
        );
        // Ended by a signal: nothing here needs a clean stop.
        let (_stop, stopped) = watch::channel(false);
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
        let routes = take.or(no_route).unify().boxed();
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
