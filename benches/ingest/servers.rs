//! The two servers that are compared, each in a process of its own: the daemon, and the same door answering 204 with
//! nothing behind it.

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
use waldo_syncd::door::{BodyLimits, Door, DoorMetrics, Limits, Listener, Peer, read_body};
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

    fn start(folder: &Path, name: &str, command: Vec<OsString>) -> Result<Self> {
        let process = Process::start(folder, name, command, &[])?;
        Ok(Self {
            address: process.door("ingest")?,
            path: String::new(),
            query: process.door("query").ok(),
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
    pub fn stop(self) -> Result<()> {
        self.process.stop()
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
