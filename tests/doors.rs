//! A door as its clients see it, over raw sockets. Time is tokio's paused clock, which jumps to the next timer when
//! nothing else can happen: waits of minutes take none, and durations are exact.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

#[path = "doors/bodies.rs"]
mod bodies;
#[path = "doors/framing.rs"]
mod framing;
#[path = "doors/protocol.rs"]
mod protocol;
#[path = "doors/room.rs"]
mod room;
#[path = "doors/stop.rs"]
mod stop;
#[path = "doors/time.rs"]
mod time;

use std::convert::Infallible;
use std::future::Future;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use waldo_syncd::door::{
    BodyError, BodyLimits, Door, DoorMetrics, Limits, Listener, Peer, read_body,
};
use warp::Filter;
use warp::http::{Response, StatusCode};

const GET: &str = "GET /quick HTTP/1.1\r\nHost: a\r\n\r\n";
const GET_SLOW: &str = "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";

/// A door with these routes: quick, slow (ends when released), large, stream (a line a minute), peer, body.
struct Running {
    address: SocketAddr,
    metrics: Arc<DoorMetrics>,
    /// Requests that reached a handler.
    handled: Arc<AtomicUsize>,
    release: Arc<Notify>,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
}

/// An answer in pieces, with time between them.
struct Minutes(u32, std::pin::Pin<Box<tokio::time::Sleep>>);

impl futures_util::Stream for Minutes {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        if self.0 == 0 {
            return std::task::Poll::Ready(None);
        }
        std::task::ready!(self.1.as_mut().poll(cx));
        self.1 = Box::pin(sleep(Duration::from_secs(60)));
        self.0 -= 1;
        std::task::Poll::Ready(Some(Ok(Bytes::from_static(b"minute\n"))))
    }
}

async fn start(limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    start_on(Listener::Tcp(listener), address, limits)
}

fn start_on(listener: Listener, address: SocketAddr, limits: Limits) -> Running {
    let handled = Arc::new(AtomicUsize::new(0));
    let release = Arc::new(Notify::new());
    let counted = {
        let handled = Arc::clone(&handled);
        warp::any()
            .map(move || {
                handled.fetch_add(1, Ordering::SeqCst);
            })
            .untuple_one()
    };
    let quick = warp::path!("quick").map(|| String::from("quick"));
    let released = Arc::clone(&release);
    let slow = warp::path!("slow").then(move || {
        let released = Arc::clone(&released);
        async move {
            released.notified().await;
            String::from("slow")
        }
    });
    let large = warp::path!("large").map(|| vec![b'x'; 64 << 20]);
    let stream = warp::path!("stream").map(|| {
        let body = Minutes(10, Box::pin(sleep(Duration::from_secs(60))));
        warp::reply::stream(body)
    });
    let peer = warp::path!("peer")
        .and(warp::ext::get::<Peer>())
        .map(|peer: Peer| format!("{peer:?}"));
    let limit = BodyLimits {
        limit: 64 * 1024,
        discard_limit: 64 * 1024,
        deadline: limits.body_timeout,
    };
    let body = warp::path!("body")
        .and(warp::body::stream())
        .then(move |body| async move {
            match read_body(body, &limit).await {
                Ok(bytes) => status(StatusCode::OK, format!("{} bytes", bytes.len())),
                Err(BodyError::TooLarge { size, .. }) => {
                    status(StatusCode::PAYLOAD_TOO_LARGE, format!("{size} read"))
                }
                Err(BodyError::Timeout) => status(StatusCode::REQUEST_TIMEOUT, String::new()),
                Err(BodyError::Broken) => status(StatusCode::BAD_REQUEST, String::new()),
            }
        });
    // Waits for the body with no deadline of its own.
    let patient = warp::path!("patient")
        .and(warp::body::bytes())
        .map(|body: Bytes| format!("{}", body.len()));
    let routes = counted.and(
        quick
            .or(slow)
            .or(large)
            .or(stream)
            .or(peer)
            .or(body)
            .or(patient),
    );
    let metrics = Arc::new(DoorMetrics::default());
    let (stop, stopped) = watch::channel(false);
    let door = Door::new("test", listener, limits, Arc::clone(&metrics));
    let served = tokio::spawn(door.serve(warp::service(routes), stopped));
    Running {
        address,
        metrics,
        handled,
        release,
        stop,
        served,
    }
}

/// The same on a Unix socket, for bytes by the megabyte: TCP has timers of its own, which run on the real clock.
struct UnixDoor {
    door: Running,
    folder: tempfile::TempDir,
}

fn start_unix(limits: Limits) -> UnixDoor {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    UnixDoor {
        door: start_on(Listener::Unix(listener), nowhere, limits),
        folder,
    }
}

impl UnixDoor {
    async fn send(&self, request: &str) -> UnixStream {
        let mut client = UnixStream::connect(self.folder.path().join("socket"))
            .await
            .unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        client
    }
}

fn status(status: StatusCode, text: String) -> Response<String> {
    Response::builder().status(status).body(text).unwrap()
}

impl Running {
    async fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).await.unwrap();
        client.set_nodelay(true).unwrap();
        client
    }

    async fn send(&self, request: impl AsRef<[u8]>) -> TcpStream {
        let mut client = self.connect().await;
        client.write_all(request.as_ref()).await.unwrap();
        client
    }

    /// Sends and reads until the door closes.
    async fn answer(&self, request: impl AsRef<[u8]>) -> String {
        rest(&mut self.send(request).await).await
    }

    async fn handled(&self, count: usize) {
        until(|| self.handled.load(Ordering::SeqCst) == count).await;
    }
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::SeqCst)
}

/// Lets virtual time pass until it is so.
async fn until(so: impl Fn() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(
            start.elapsed() < Duration::from_secs(3600),
            "it never came to be so"
        );
        sleep(Duration::from_millis(1)).await;
    }
}

/// Everything up to the close; a reset counts as one.
async fn rest(client: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

/// One answer with its Content-Length, the connection stays open.
async fn one(client: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = String::new();
    loop {
        if let Some((head, body)) = answer.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .unwrap();
            if body.len() == length.parse::<usize>().unwrap() {
                return answer;
            }
        }
        answer.push(char::from(client.read_u8().await.unwrap()));
    }
}

fn assert_lasted(start: Instant, seconds: u64) {
    // The door reckons in whole milliseconds.
    let lasted = start.elapsed().as_millis() + 1;
    assert_eq!(lasted / 1000, u128::from(seconds), "{lasted} ms");
}
