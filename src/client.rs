//! Speaks HTTP to one of the daemon's doors: one exchange, one connection.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};

/// Bytes of an answer that are taken; a page of the feed has at most 8 MiB of payloads, which JSON may lengthen.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Nobody takes connections there.
    #[error("{0}")]
    Connect(#[source] io::Error),
    /// The connection broke off.
    #[error("{0}")]
    Talk(#[source] hyper::Error),
    /// The request cannot be written.
    #[error("{0}")]
    Request(#[source] http::Error),
    /// The answer is longer than is taken.
    #[error("the answer is longer than {} MiB", MAX_ANSWER_BYTES >> 20)]
    TooLarge,
    /// No answer came in time.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
}

/// A GET without a body.
///
/// # Errors
/// When the path is none.
pub fn get(path: &str) -> Result<Request<Full<Bytes>>, Fault> {
    Request::get(path)
        .header(HOST, "localhost")
        .body(Full::default())
        .map_err(Fault::Request)
}

/// A POST of JSON.
///
/// # Errors
/// When the path is none.
pub fn post(path: &str, json: impl Into<Bytes>) -> Result<Request<Full<Bytes>>, Fault> {
    Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, "localhost")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::from(json.into()))
        .map_err(Fault::Request)
}

/// Sends a request to a door, which is an address or, from its first `/`, the path of a Unix socket.
///
/// # Errors
/// When nobody is there, the connection breaks, or the answer takes longer than `patience`.
pub async fn exchange(
    door: &str,
    request: Request<Full<Bytes>>,
    patience: Duration,
) -> Result<Answer, Fault> {
    let talk = async {
        if door.starts_with('/') {
            let stream = UnixStream::connect(door).await.map_err(Fault::Connect)?;
            return talk(TokioIo::new(stream), request).await;
        }
        let stream = TcpStream::connect(door).await.map_err(Fault::Connect)?;
        talk(TokioIo::new(stream), request).await
    };
    tokio::time::timeout(patience, talk)
        .await
        .unwrap_or(Err(Fault::Timeout(patience)))
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
    let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES)
        .collect()
        .await
        .map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => Fault::Talk(*error),
            Err(_) => Fault::TooLarge,
        })?
        .to_bytes();
    connection.abort();
    Ok(Answer { status, body })
}
