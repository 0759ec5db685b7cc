//! Any bytes at a door: whatever its scanner lets through, a handler sees as the same requests that a strict reading of
//! RFC 9112 finds in the bytes, body and all, and none that this does not find. What is refused gets an answer with a cause.
#![no_main]

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tower_service::Service;
use waldo_syncd::door::{Door, Limits, Listener, RequestBody};

/// A request as somebody understood it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    method: Vec<u8>,
    target: Vec<u8>,
    fields: usize,
    /// `None`: it was not whole.
    body: Option<Vec<u8>>,
}

/// Notes what reaches a handler.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<Seen>>>);

impl Service<Request<RequestBody>> for Notes {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let notes = Arc::clone(&self.0);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.ok();
            notes.lock().expect("no panic before").push(Seen {
                method: head.method.as_str().as_bytes().to_vec(),
                target: head.uri.to_string().into_bytes(),
                fields: head.headers.len(),
                body: body.map(|body| body.to_bytes().to_vec()),
            });
            Ok(Response::new(Full::new(Bytes::from_static(b"{}"))))
        })
    }
}

struct Place {
    runtime: Runtime,
    notes: Notes,
    directory: TempDir,
    _stop: watch::Sender<bool>,
}

fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let directory = tempfile::tempdir().expect("a folder");
        let notes = Notes::default();
        let (stop, stopped) = watch::channel(false);
        let guard = runtime.enter();
        let listener = UnixListener::bind(directory.path().join("door")).expect("a socket");
        let door = Door::new(
            "fuzz",
            Listener::Unix(listener),
            Limits::default(),
            Arc::default(),
        );
        runtime.spawn(door.serve(notes.clone(), stopped));
        drop(guard);
        Place {
            runtime,
            notes,
            directory,
            _stop: stop,
        }
    })
}

fuzz_target!(|bytes: &[u8]| {
    let place = place();
    let Some((split, bytes)) = bytes.split_first() else {
        return;
    };
    let (first, second) = bytes.split_at(usize::from(*split).min(bytes.len()));
    let answers = place.runtime.block_on(async {
        let mut stream = UnixStream::connect(place.directory.path().join("door"))
            .await
            .expect("a door");
        let mut answers = Vec::new();
        // A door that has refused does not read on.
        let _ = stream.write_all(first).await;
        tokio::task::yield_now().await;
        let _ = stream.write_all(second).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut answers).await;
        answers
    });
    let seen = std::mem::take(&mut *place.notes.0.lock().expect("no panic before"));
    let strict = strictly(bytes);
    assert!(
        seen.len() <= strict.len(),
        "{seen:?}\n{strict:?}\n{:?}",
        String::from_utf8_lossy(bytes)
    );
    for (seen, strict) in seen.iter().zip(&strict) {
        assert_eq!(
            seen.method,
            strict.method,
            "{:?}",
            String::from_utf8_lossy(bytes)
        );
        assert_eq!(
            seen.fields,
            strict.fields,
            "{:?}",
            String::from_utf8_lossy(bytes)
        );
        let same = seen.target == strict.target || is_whole_target(&strict.target);
        assert!(same, "{seen:?}\n{strict:?}");
        if seen.body.is_some() {
            assert_eq!(
                seen.body,
                strict.body,
                "{:?}",
                String::from_utf8_lossy(bytes)
            );
        }
    }
    let text = String::from_utf8_lossy(&answers);
    let answered = text.matches("HTTP/1.1 200 OK\r\n").count();
    assert!(answered <= seen.len(), "{text}\n{seen:?}");
    // hyper refuses what it cannot read, too, but without a body: the door has to be the first to find it.
    assert!(
        !text.contains("content-length: 0\r\n"),
        "{text}\n{:?}",
        String::from_utf8_lossy(bytes)
    );
});

/// Targets that hyper writes in another way than they came: with a scheme, or with a fragment that it drops.
fn is_whole_target(target: &[u8]) -> bool {
    !target.starts_with(b"/") || target.contains(&b'#')
}

/// The requests that stand in the bytes, as RFC 9112 has them and no reading more lenient; the last may be cut off.
fn strictly(mut bytes: &[u8]) -> Vec<Seen> {
    let mut all = Vec::new();
    while let Some((request, rest)) = one(bytes) {
        all.push(request);
        let Some(rest) = rest else { break };
        bytes = rest;
    }
    all
}

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    Some((&bytes[..end], &bytes[end + 2..]))
}

/// One request, and what comes after it if its end is there.
fn one(mut bytes: &[u8]) -> Option<(Seen, Option<&[u8]>)> {
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    let (start, mut bytes) = line(bytes)?;
    let mut words = start
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    let (method, target) = (words.next()?.to_vec(), words.next()?.to_vec());
    let (mut fields, mut length, mut chunked) = (0, 0_usize, false);
    loop {
        let (field, rest) = line(bytes)?;
        bytes = rest;
        if field.is_empty() {
            break;
        }
        fields += 1;
        let colon = field.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&field[..colon], field[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            length = std::str::from_utf8(value).ok()?.parse().ok()?;
        }
        chunked |= name.eq_ignore_ascii_case(b"transfer-encoding");
    }
    let mut seen = Seen {
        method,
        target,
        fields,
        body: None,
    };
    if chunked {
        seen.body = dechunked(bytes);
        // The door answers nothing after it.
        return Some((seen, None));
    }
    if bytes.len() < length {
        return Some((seen, None));
    }
    seen.body = Some(bytes[..length].to_vec());
    Some((seen, Some(&bytes[length..])))
}

fn dechunked(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let (size, rest) = line(bytes)?;
        let digits = size.split(|byte| *byte == b';').next()?.trim_ascii_end();
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        bytes = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}
