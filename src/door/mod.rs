//! A door: one listener with its limits, driving one warp service over HTTP/1.1. Knows nothing of what is served there.
//!
//! warp's own server has no limit on connections, no timer and no end to its stop, so every listener of ours is one of
//! these. Here live the door's plain data and the task of one connection; who may stay is decided in `room`.
//! Invariant: no request reaches a handler that the door has not admitted.

mod body;
mod code;
mod conn;
mod host;
mod numbers;
pub mod page;
pub mod problem;
mod room;
mod socket;
pub mod wire;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tower_service::Service;

pub use body::{BodyError, BodyLimits, KEPT_BYTES, read_body};
pub use code::Code;
pub use conn::RequestBody;
pub use host::{Hosts, is_foreign};
pub use numbers::{DoorMetrics, DoorNumber};
pub use problem::Problem;

use conn::{AnswerBody, BoxError, Conn};
use room::Room;
use socket::{Socket, Stream};
use wire::{Fault, Finding, Verdict, check_host};

/// hyper parses so many fields without allocating; a smaller limit is held by the scanner, a larger one costs.
const FREE_FIELDS: usize = 100;
/// hyper's least buffer.
const LEAST_BUFFER: usize = 8192;
/// Room for hyper past the longest head, so that the scanner is the one to find it too long.
const SPARE_BUFFER: usize = 1024;

/// The routes of a door.
pub type Routes = warp::filters::BoxedFilter<(warp::reply::Response,)>;

/// Serves a door until `stop` is true and the answers in flight are finished.
pub async fn serve(door: Door, routes: Routes, stop: watch::Receiver<bool>) {
    door.serve(warp::service(routes), stop).await;
}

/// The limits of one door.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open at once; further ones wait in the accept queue.
    pub max_connections: usize,
    /// From the first byte of a head to its end; the first head of a connection has its time from the accept on.
    pub head_timeout: Duration,
    /// For handlers, as the deadline of `read_body`.
    pub body_timeout: Duration,
    /// Without a byte of a request on a kept connection; also without a byte of a body that a handler waits for.
    pub idle_timeout: Duration,
    /// Without the client taking a byte of the answer.
    pub write_timeout: Duration,
    /// For answers in flight at a stop.
    pub drain_timeout: Duration,
    /// Request line and fields; hyper wants 8 KiB at least.
    pub max_head_bytes: usize,
    /// Lines after the request line.
    pub max_head_fields: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
            max_head_bytes: 16 * 1024,
            max_head_fields: 64,
        }
    }
}

/// A bound socket, inherited or our own.
#[derive(Debug)]
pub enum Listener {
    /// `address:port`.
    Tcp(TcpListener),
    /// A path.
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Answers are written whole; where this fails the connection is broken and its task will notice.
                let _ = stream.set_nodelay(true);
                let here = stream.local_addr().ok();
                Ok((
                    Stream::Tcp(stream),
                    Peer {
                        address: Some(address),
                        here: here.map(|here| here.ip().to_canonical()),
                        credentials: None,
                    },
                ))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let credentials = stream.peer_cred().ok().map(|peer| PeerCredentials {
                    pid: peer.pid(),
                    uid: peer.uid(),
                    gid: peer.gid(),
                });
                Ok((
                    Stream::Unix(stream),
                    Peer {
                        address: None,
                        here: None,
                        credentials,
                    },
                ))
            }
        }
    }
}

/// Who is at the other end; stands in each request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// On TCP.
    pub address: Option<SocketAddr>,
    /// On TCP: the address of this machine that it has connected to.
    pub here: Option<IpAddr>,
    /// On a Unix socket, as the kernel tells.
    pub credentials: Option<PeerCredentials>,
}

/// The process at the other end of a Unix socket, as it was when it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCredentials {
    /// Process.
    pub pid: Option<i32>,
    /// Effective user.
    pub uid: u32,
    /// Effective group; the user may be in others too.
    pub gid: u32,
}

fn add_one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What all connections of a door share.
#[derive(Debug)]
struct Shared {
    http: http1::Builder,
    pub metrics: Arc<DoorMetrics>,
    pub stopping: AtomicBool,
    /// Who has connected before the stop and sent nothing yet is not waited for any longer.
    pub grace_is_over: AtomicBool,
}

impl Shared {
    pub fn new(limits: &Limits, metrics: Arc<DoorMetrics>) -> Self {
        let mut http = http1::Builder::new();
        // hyper's only timer is off: it cannot tell idle from head, and costs an allocation a request.
        http.timer(TokioTimer::new()).header_read_timeout(None);
        http.max_buf_size(limits.max_head_bytes.max(LEAST_BUFFER) + SPARE_BUFFER);
        if limits.max_head_fields > FREE_FIELDS {
            http.max_headers(limits.max_head_fields);
        }
        Self {
            http,
            metrics,
            stopping: AtomicBool::new(false),
            grace_is_over: AtomicBool::new(false),
        }
    }
}

/// One listener, ready to serve.
#[derive(Debug)]
pub struct Door {
    name: &'static str,
    listener: Listener,
    limits: Limits,
    metrics: Arc<DoorMetrics>,
}

impl Door {
    /// `name` stands in log lines; the metrics are the caller's to read.
    #[must_use]
    pub fn new(
        name: &'static str,
        listener: Listener,
        limits: Limits,
        metrics: Arc<DoorMetrics>,
    ) -> Self {
        let max_connections = u64::try_from(limits.max_connections).unwrap_or(u64::MAX);
        let shown = &metrics.max_connections;
        shown.store(max_connections, Ordering::Relaxed);
        Self {
            name,
            listener,
            limits,
            metrics,
        }
    }

    /// Serves until `stop` is true (or its sender gone) and the connections have ended. The service, what
    /// `warp::service` gives, must be ready at any time; each connection gets a clone.
    pub async fn serve<S, B>(self, service: S, stop: watch::Receiver<bool>)
    where
        S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Self {
            name,
            listener,
            limits,
            metrics,
        } = self;
        let shared = Arc::new(Shared::new(&limits, metrics));
        let mut room = Room::new(name, limits, Arc::clone(&shared));
        let drive = move |socket, conn, peer| {
            drive(socket, conn, peer, service.clone(), Arc::clone(&shared))
        };
        room.accept_until(stop, &listener, drive).await;
        drop(listener);
        room.drain().await;
    }
}

/// The task of one connection.
async fn drive<S, B>(socket: Socket, conn: Arc<Conn>, peer: Peer, service: S, shared: Arc<Shared>)
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let service = RefCell::new(service);
    let heads = Cell::new(0_u64);
    let (its_conn, its_door) = (Arc::clone(&conn), Arc::clone(&shared));
    let answer = service_fn(move |request: Request<Incoming>| {
        let conn = Arc::clone(&its_conn);
        let head = heads.replace(heads.get() + 1);
        let admitted = admit(&conn, head, &request).map(|last| {
            let mut request = request.map(|body| RequestBody::new(body, Arc::clone(&conn)));
            request.extensions_mut().insert(peer.clone());
            (service.borrow_mut().call(request), last)
        });
        if let Err(Refusal::Fault(_)) = admitted {
            add_one(&its_door.metrics.refused);
        }
        let its_door = Arc::clone(&its_door);
        async move {
            match admitted {
                Ok((answer, last)) => {
                    let Ok(response) = answer.await;
                    let mut response = response.map(|body| AnswerBody::of_handler(body, conn));
                    if last || its_door.stopping.load(Ordering::Acquire) {
                        response
                            .headers_mut()
                            .insert(CONNECTION, HeaderValue::from_static("close"));
                    }
                    Ok(response)
                }
                Err(Refusal::Fault(fault)) => {
                    Ok(fault.answer().map(|body| AnswerBody::of_door(body, conn)))
                }
                Err(Refusal::Gone) => Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
            }
        }
    });
    let mut http = pin!(shared.http.serve_connection(TokioIo::new(socket), answer));
    let mut known = false;
    let mut stopping = false;
    // Broken connections end in an error here; what the door wants to know of them it has counted itself.
    let _ = poll_fn(|cx| {
        if !known {
            known = true;
            conn.set_waker(cx.waker());
        }
        match http.as_mut().poll(cx) {
            Poll::Pending
                if !stopping
                    && shared.stopping.load(Ordering::Acquire)
                    // hyper would close a connection whose first request is still under way to us, and one of whose
                    // next head it has no whole line yet.
                    && !conn.is_inside_head()
                    && (conn.has_begun() || shared.grace_is_over.load(Ordering::Acquire)) =>
            {
                stopping = true;
                http.as_mut().graceful_shutdown();
                http.as_mut().poll(cx)
            }
            outcome => outcome,
        }
    })
    .await;
}

enum Refusal {
    Gone,
    Fault(Fault),
}

/// Whether a handler gets the request, and if so, whether it is the connection's last one.
fn admit(conn: &Conn, head: u64, request: &Request<Incoming>) -> Result<bool, Refusal> {
    if !conn.begin() {
        return Err(Refusal::Gone);
    }
    let verdict = conn.finding().and_then(|finding| match finding {
        Finding { head: at, verdict } if at == head => Some(verdict),
        // hyper never gets past the head of a finding; if it did, the head at hand was not scanned.
        Finding { head: at, .. } if at < head => Some(Verdict::Refuse(Fault::BareLineFeed)),
        _ => None,
    });
    if let Some(Verdict::Refuse(fault)) = verdict {
        return Err(Refusal::Fault(fault));
    }
    check_host(request.uri(), request.headers()).map_err(Refusal::Fault)?;
    Ok(verdict == Some(Verdict::ServeAndClose))
}
