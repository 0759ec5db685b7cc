//! The way to Waldo: one HTTP client for one host.
//!
//! Invariants: no call goes anywhere but to the configured `api_url`, whatever its target says; no redirect is followed; what
//! is between two neighbours only is passed on to neither side.

use std::error::Error;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Request, Response, Uri, Version};
use http_body_util::BodyExt as _;
use hyper::body::Body as HttpBody;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use super::body::{Body, BoxError, Paced, Progress, Upload, patiently};
use super::connect::Connector;

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
/// A Waldo that comes and goes is told of so often at most.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Fields that an answer may have.
const MAX_FIELDS: usize = 128;

/// Fields that are between two neighbours only, beside those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 10] = [
    CONNECTION,
    EXPECT,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
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
    away: Mutex<Away>,
}

/// What was told of a Waldo that does not answer.
#[derive(Debug, Default)]
struct Away {
    now: bool,
    told_at: Option<Instant>,
}

impl Upstream {
    /// The way to the host of `api_url`, which must be on the internet unless it is an address or `localhost`.
    ///
    /// # Errors
    /// When it is no URL, or HTTPS has no certificates to trust.
    pub fn new(api_url: &str, times: Times) -> Result<Self, UpstreamError> {
        Self::with(api_url, times, false)
    }

    /// The way to a host of one's own, wherever its name leads.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn to_any_address(url: &str, times: Times) -> Result<Self, UpstreamError> {
        Self::with(url, times, true)
    }

    fn with(api_url: &str, times: Times, any_address: bool) -> Result<Self, UpstreamError> {
        let no_url = || UpstreamError::Url(api_url.to_owned());
        let parts = api_url.parse::<Uri>().map_err(|_| no_url())?.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(no_url());
        };
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| no_url())?;
        let any_address = any_address || authority.host().eq_ignore_ascii_case("localhost");
        let connector = Connector::new(&scheme, any_address, times.connect)?;
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
            away: Mutex::default(),
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

    /// Logs when Waldo goes away and when it is back, not each call.
    fn say_whether_reached<T>(&self, outcome: &Result<T, CallError>) {
        let mut away = self.0.away.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(_) if away.now => {
                away.now = false;
                log::info!("Waldo answers again");
            }
            Err(error @ (CallError::Unreachable(_) | CallError::TooSlow))
                if !away.now && away.told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY) =>
            {
                away.now = true;
                away.told_at = Some(Instant::now());
                log::error!("{error} (said once, until it answers again)");
            }
            _ => {}
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
    if headers.contains_key(TRANSFER_ENCODING) {
        // The body does not end by it (RFC 9112, 6.3), and without the other field a reader would take it at its word.
        headers.remove(CONTENT_LENGTH);
    }
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
#[cfg(test)]
mod tests {
    use super::*;

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
