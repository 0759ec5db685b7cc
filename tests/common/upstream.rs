//! A server that stands in for another one: answers each request as the test says, and remembers what it was asked.
//! One thread a connection, so that a test's answer may wait for something.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn is(&self, method: &str, target: &str) -> bool {
        self.method == method && self.target == target
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

/// What is answered: written as it is, then the connection is closed or not.
#[derive(Debug, Clone)]
pub struct Reply {
    bytes: Vec<u8>,
    close: bool,
}

impl Reply {
    /// With its Content-Length.
    pub fn new(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut bytes = format!("HTTP/1.1 {status} Something\r\n").into_bytes();
        for (name, value) in headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        Self {
            bytes,
            close: false,
        }
    }

    pub fn json(status: u16, body: impl ToString) -> Self {
        Self::new(
            status,
            &[("Content-Type", "application/json")],
            body.to_string(),
        )
    }

    /// Exactly these bytes, and then silence.
    pub fn open(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            close: false,
        }
    }

    /// Exactly these bytes, and the end of the connection.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            close: true,
        }
    }
}

pub struct Upstream {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

type Answer = dyn Fn(&Seen) -> Reply + Send + Sync;

impl Upstream {
    pub fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, list): (Arc<Answer>, _) = (Arc::new(answer), Arc::clone(&seen));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, list) = (Arc::clone(&answer), Arc::clone(&list));
                thread::spawn(move || serve(stream, &list, &*answer));
            }
        });
        Self { address, seen }
    }

    /// Remembers what a control socket is told, in place of a daemon.
    pub fn control(path: &Path, answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, list): (Arc<Answer>, _) = (Arc::new(answer), Arc::clone(&seen));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, list) = (Arc::clone(&answer), Arc::clone(&list));
                thread::spawn(move || serve(stream, &list, &*answer));
            }
        });
        Self {
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            seen,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was asked so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }

    #[track_caller]
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("a request")
    }

    pub fn count(&self, method: &str, target: &str) -> usize {
        let seen = self.seen();
        seen.iter().filter(|seen| seen.is(method, target)).count()
    }
}

fn serve(stream: impl Read + Write, list: &Mutex<Vec<Seen>>, answer: &Answer) {
    let mut stream = BufReader::new(stream);
    while let Some(seen) = read_request(&mut stream) {
        list.lock().expect("no panic").push(seen.clone());
        let reply = answer(&seen);
        let written = stream.get_mut().write_all(&reply.bytes);
        if written.is_err() || reply.close {
            return;
        }
    }
}

fn line(stream: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}

fn read_request(stream: &mut impl BufRead) -> Option<Seen> {
    let first = line(stream)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let line = line(stream)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut seen = Seen {
        method,
        target,
        headers,
        body: Vec::new(),
    };
    if let Some(length) = seen.header("content-length") {
        seen.body = vec![0; length.parse().ok()?];
        stream.read_exact(&mut seen.body).ok()?;
    } else if seen.header("transfer-encoding").is_some() {
        loop {
            let size = usize::from_str_radix(&line(stream)?, 16).ok()?;
            let mut part = vec![0; size];
            stream.read_exact(&mut part).ok()?;
            seen.body.append(&mut part);
            line(stream)?;
            if size == 0 {
                break;
            }
        }
    }
    Some(seen)
}
