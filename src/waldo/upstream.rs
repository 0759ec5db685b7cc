//! The way to Waldo: one HTTP client for one host.
//!
//! Invariants: no call goes anywhere but to the configured `api_url`, whatever its target says; a name there never leads
//! to this machine or its neighbourhood; no redirect is followed; each wait has a limit. Bodies pass through as they come.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    CONNECTION, EXPECT, HOST, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Request, Response, Uri, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tower_service::Service;

use super::address::is_public;

/// Until the connection stands: name, TCP and TLS together.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Without a byte of the request's body taken, or after its end, until the head of the answer is there.
pub const HEAD_WITHIN: Duration = Duration::from_secs(60);
/// Without a byte of the answer's body.
pub const BODY_IDLE: Duration = Duration::from_secs(60);
/// Connections kept for the next call.
const IDLE_CONNECTIONS: usize = 8;
/// How long they are kept: servers that close after five seconds are common, and a call sent into the close is lost.
const IDLE_CONNECTION_FOR: Duration = Duration::from_secs(4);
/// The answer's head at most, and what is buffered of a body on its way.
const BUFFER_BYTES: usize = 64 * 1024;
/// Fields that an answer may have.
const MAX_FIELDS: usize = 128;

/// Anything that went wrong with a body.
pub type BoxError = Box<dyn Error + Send + Sync>;
/// A body on its way.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Fields that are between two neighbours only, beside those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    EXPECT,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// How long each wait may last.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// See [`CONNECT_WITHIN`].
    pub connect: Duration,
    /// See [`HEAD_WITHIN`].
    pub head: Duration,
    /// See [`BODY_IDLE`].
    pub body_idle: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: CONNECT_WITHIN,
            head: HEAD_WITHIN,
            body_idle: BODY_IDLE,
        }
    }
}

/// Why the way to Waldo cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// What is configured is no URL of a host.
    #[error("[waldo] api_url = {0}: it is no http:// or https:// URL of a host")]
    Url(String),
    /// HTTPS needs to know whom to trust.
    #[error(
        "[waldo] api_url is https://, but this system has no certificates to check it with ({0}); install the package \
         ca-certificates, or name a file in SSL_CERT_FILE"
    )]
    NoCertificates(std::io::Error),
}

/// Why a call has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// No connection, or it broke before the answer's head was there.
    #[error("Waldo cannot be reached: {0}")]
    Unreachable(String),
    /// A wait lasted too long.
    #[error("Waldo did not answer in time")]
    TooSlow,
    /// The body to be sent broke off.
    #[error("the request's body broke off")]
    RequestBroken,
    /// The target cannot be asked for.
    #[error("the target is no path")]
    Target,
}

/// The way to Waldo; cheap to clone.
#[derive(Clone, Debug)]
pub struct Upstream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    times: Times,
    client: Client<Connector, Upload>,
    /// Whether the last call found nobody, so that it is logged once.
    away: AtomicBool,
}

impl Upstream {
    /// The way to the host of `api_url`.
    ///
    /// # Errors
    /// When it is no URL, or HTTPS has no certificates to trust.
    pub fn new(api_url: &str, times: Times) -> Result<Self, UpstreamError> {
        let no_url = || UpstreamError::Url(api_url.to_owned());
        let parts = api_url.parse::<Uri>().map_err(|_| no_url())?.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(no_url());
        };
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| no_url())?;
        let connector = Connector::new(&scheme, authority.host(), times.connect)?;
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_CONNECTION_FOR)
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .http1_max_buf_size(BUFFER_BYTES)
            .http1_max_headers(MAX_FIELDS)
            .build(connector);
        Ok(Self(Arc::new(Inner {
            scheme,
            authority,
            host,
            times,
            client,
            away: AtomicBool::new(false),
        })))
    }

    /// Sends a request to Waldo, to the path and query of its target; what else the target says does not count.
    ///
    /// # Errors
    /// When no head of an answer came.
    pub async fn send<B>(&self, request: Request<B>) -> Result<Response<Body>, CallError>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        let target = head.uri.into_parts().path_and_query;
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(self.0.scheme.clone());
        uri.authority = Some(self.0.authority.clone());
        uri.path_and_query = Some(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
        let progress = Arc::new(Progress::new());
        let mut request = Request::new(Upload {
            body: body.map_err(Into::into).boxed_unsync(),
            progress: Arc::clone(&progress),
        });
        *request.method_mut() = head.method;
        *request.uri_mut() = Uri::from_parts(uri).map_err(|_| CallError::Target)?;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = head.headers;
        strip(request.headers_mut());
        request.headers_mut().insert(HOST, self.0.host.clone());
        let asked = self.0.client.request(request);
        let answer = match patiently(&progress, self.0.times.head, asked).await {
            None => Err(CallError::TooSlow),
            Some(Err(_)) if progress.broken.load(Ordering::Relaxed) => {
                Err(CallError::RequestBroken)
            }
            Some(Err(error)) => Err(CallError::Unreachable(cause(&error))),
            // Nothing was offered that a switch of protocols could answer.
            Some(Ok(answer)) if answer.status().is_informational() => Err(CallError::Unreachable(
                "it answered with another protocol".to_owned(),
            )),
            Some(Ok(answer)) => Ok(answer),
        };
        self.say_whether_reached(&answer);
        let mut answer =
            answer?.map(|body| Paced::new(body, self.0.times.body_idle).boxed_unsync());
        strip(answer.headers_mut());
        Ok(answer)
    }

    fn say_whether_reached<T>(&self, outcome: &Result<T, CallError>) {
        match outcome {
            Ok(_) => {
                if self.0.away.swap(false, Ordering::Relaxed) {
                    log::info!("Waldo answers again");
                }
            }
            Err(error @ (CallError::Unreachable(_) | CallError::TooSlow)) => {
                if !self.0.away.swap(true, Ordering::Relaxed) {
                    log::error!("{error} (said once, until it answers again)");
                }
            }
            Err(_) => {}
        }
    }
}

/// Takes out what is between two neighbours only.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

/// The innermost cause says most, and no error of ours or the libraries' quotes a body or a header.
fn cause(error: &ClientError) -> String {
    let mut inner: &dyn Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// How far a request's body has come.
#[derive(Debug)]
struct Progress {
    since: Instant,
    /// When something of it was last taken, its end included, in ms.
    last_ms: AtomicU64,
    /// Whoever sends it has failed.
    broken: AtomicBool,
}

impl Progress {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            last_ms: AtomicU64::new(0),
            broken: AtomicBool::new(false),
        }
    }

    fn touch(&self) {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.since + Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }
}

/// Waits for the answer's head as long as the request's body comes on, and so long after its end.
async fn patiently<T>(
    progress: &Progress,
    limit: Duration,
    answer: impl Future<Output = T>,
) -> Option<T> {
    let mut answer = pin!(answer);
    loop {
        let until = progress.last() + limit;
        tokio::select! {
            biased;
            answer = &mut answer => return Some(answer),
            () = sleep_until(until) => {
                if progress.last() + limit <= Instant::now() {
                    return None;
                }
            }
        }
    }
}

/// A request's body that tells how far it has come.
struct Upload {
    body: Body,
    progress: Arc<Progress>,
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Err(_))) => this.progress.broken.store(true, Ordering::Relaxed),
            Poll::Ready(_) => this.progress.touch(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The answer's body did not come on.
#[derive(Debug, thiserror::Error)]
#[error("Waldo's answer stopped in the middle")]
pub struct Stalled;

/// An answer's body that may not stand still for long.
struct Paced<B> {
    body: B,
    idle: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> Paced<B> {
    const fn new(body: B, idle: Duration) -> Self {
        Self {
            body,
            idle,
            timer: None,
        }
    }
}

impl<B> HttpBody for Paced<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.timer = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let idle = this.idle;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(idle)));
        timer.as_mut().poll(cx).map(|()| Some(Err(Stalled.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body that was read up to a limit.
pub enum Held {
    /// All of it.
    Whole(Bytes),
    /// It is larger; this has what was read, and goes on with the rest.
    Larger(Body),
}

/// Reads a body, up to a limit.
///
/// # Errors
/// When it broke off or stood still.
pub async fn hold(mut body: Body, limit: usize) -> Result<Held, CallError> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            if error.is::<Stalled>() {
                CallError::TooSlow
            } else {
                CallError::Unreachable("its answer broke off".to_owned())
            }
        })?;
        if let Ok(data) = frame.into_data() {
            read.extend_from_slice(&data);
        }
        if read.len() > limit {
            let first = Some(read.freeze());
            return Ok(Held::Larger(Resumed { first, rest: body }.boxed_unsync()));
        }
    }
    Ok(Held::Whole(read.freeze()))
}

/// A body that is at hand.
#[must_use]
pub fn whole(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// The beginning of a body, then the rest of it.
struct Resumed {
    first: Option<Bytes>,
    rest: Body,
}

impl HttpBody for Resumed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match this.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None => Pin::new(&mut this.rest).poll_frame(cx),
        }
    }
}

/// Opens connections: by TCP, or TLS where the URL says so, in a limited time.
#[derive(Clone, Debug)]
struct Connector {
    way: Way,
    within: Duration,
}

#[derive(Clone, Debug)]
enum Way {
    Plain(HttpConnector<Resolver>),
    Tls(HttpsConnector<HttpConnector<Resolver>>),
}

impl Connector {
    fn new(scheme: &Scheme, host: &str, within: Duration) -> Result<Self, UpstreamError> {
        let mut tcp = HttpConnector::new_with_resolver(Resolver {
            any_address: host.eq_ignore_ascii_case("localhost"),
        });
        tcp.set_connect_timeout(Some(within));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let way = if *scheme == Scheme::HTTPS {
            let tls = HttpsConnectorBuilder::new()
                .with_native_roots()
                .map_err(UpstreamError::NoCertificates)?;
            Way::Tls(tls.https_only().enable_http1().wrap_connector(tcp))
        } else {
            Way::Plain(tcp)
        };
        Ok(Self { way, within })
    }
}

type Connection = MaybeHttpsStream<TokioIo<TcpStream>>;

impl Service<Uri> for Connector {
    type Response = Connection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match &mut self.way {
            Way::Plain(tcp) => tcp.poll_ready(cx).map_err(Into::into),
            Way::Tls(tls) => tls.poll_ready(cx),
        }
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting: Self::Future = match &mut self.way {
            Way::Plain(tcp) => {
                let connecting = tcp.call(uri);
                Box::pin(async move { Ok(MaybeHttpsStream::Http(connecting.await?)) })
            }
            Way::Tls(tls) => tls.call(uri),
        };
        let within = self.within;
        Box::pin(async move {
            let late = || format!("no connection within {} s", within.as_secs_f64());
            tokio::time::timeout(within, connecting)
                .await
                .map_err(|_| late())?
        })
    }
}

/// Looks a name up, and passes over addresses that are not of the internet. Addresses in the URL never come here.
#[derive(Clone, Debug)]
struct Resolver {
    /// `localhost` was configured, so this machine is what is meant.
    any_address: bool,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the name in [waldo] api_url leads to {0}, which is not on the internet; write the address itself or localhost if that \
     is meant"
)]
struct NotPublic(IpAddr);

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let any_address = self.any_address;
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let first = found.first().map(SocketAddr::ip);
            let good: Vec<_> = found
                .into_iter()
                .filter(|address| any_address || is_public(address.ip()))
                .collect();
            match first {
                Some(address) if good.is_empty() => Err(NotPublic(address).into()),
                _ => Ok(good.into_iter()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slow_upload_is_not_cut_and_the_answer_has_its_time_after_it() {
        let progress = Arc::new(Progress::new());
        let started = Instant::now();
        let upload = Arc::clone(&progress);
        tokio::spawn(async move {
            for _ in 0..10 {
                sleep(Duration::from_secs(50)).await;
                upload.touch();
            }
        });
        let answer = async {
            sleep(Duration::from_secs(555)).await;
            "answer"
        };
        assert_eq!(
            patiently(&progress, HEAD_WITHIN, answer).await,
            Some("answer")
        );
        assert_eq!(started.elapsed().as_secs(), 555);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_begin_is_given_up_a_minute_after_the_request() {
        let progress = Arc::new(Progress::new());
        let started = Instant::now();
        let upload = Arc::clone(&progress);
        tokio::spawn(async move {
            sleep(Duration::from_secs(30)).await;
            upload.touch();
        });
        let silence = std::future::pending::<()>();
        assert_eq!(patiently(&progress, HEAD_WITHIN, silence).await, None);
        assert_eq!(started.elapsed().as_secs(), 90);
    }

    /// A body of frames, each with the time before it.
    struct Frames(VecDeque<Pin<Box<Sleep>>>);

    impl HttpBody for Frames {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            let Some(next) = self.0.front_mut() else {
                return Poll::Ready(None);
            };
            std::task::ready!(next.as_mut().poll(cx));
            self.0.pop_front();
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    fn frames(at_seconds: &[u64]) -> Body {
        let start = Instant::now();
        let frames = at_seconds
            .iter()
            .map(|at| Box::pin(sleep_until(start + Duration::from_secs(*at))))
            .collect();
        Paced::new(Frames(frames), BODY_IDLE).boxed_unsync()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_be_long_but_not_stand_still() {
        let held = hold(frames(&[50, 100, 150]), 100).await.unwrap();
        assert!(matches!(held, Held::Whole(bytes) if bytes == "xxx"));
        let started = Instant::now();
        let held = hold(frames(&[50, 150]), 100).await;
        assert!(matches!(held, Err(CallError::TooSlow)));
        assert_eq!(started.elapsed().as_secs(), 110);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_larger_than_the_limit_goes_on_whole() {
        let held = hold(frames(&[1, 2, 3, 4]), 2).await.unwrap();
        let Held::Larger(body) = held else {
            panic!("it was taken for whole")
        };
        assert_eq!(body.collect().await.unwrap().to_bytes(), "xxxx");
    }

    #[test]
    fn fields_for_the_neighbour_are_taken_out() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Own ,"),
            ("connection", "x-other"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("trailer", "x-t"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("expect", "100-continue"),
            ("x-own", "1"),
            ("x-other", "1"),
            ("x-kept", "1"),
            ("authorization", "Bearer t"),
        ] {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        strip(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "x-kept"]);
    }
}
