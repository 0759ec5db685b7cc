//! A small HTTP/1.1 client over plain sockets. It changes nothing on the way: the request target, the headers and the
//! body go out exactly as a test wrote them, and an answer is read even when the daemon stopped taking the body.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

/// Long enough for the slowest promise that a test waits for, short enough to end a hanging test.
const READ_TIMEOUT: Duration = Duration::from_secs(40);

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("the answer is no JSON ({error}): {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The member `items` of a list.
    #[track_caller]
    pub fn items(&self) -> Vec<Value> {
        let json = self.json();
        json["items"]
            .as_array()
            .unwrap_or_else(|| panic!("no items in {json}"))
            .clone()
    }

    /// The answer of the ingest door to a body that it took.
    #[track_caller]
    pub fn seq(&self) -> u64 {
        assert_eq!(self.status, 200, "not acknowledged: {}", self.text());
        let json = self.json();
        json["seq"]
            .as_u64()
            .unwrap_or_else(|| panic!("no seq in {json}"))
    }

    /// Asserts an RFC 9457 answer with this status and code.
    #[track_caller]
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.text());
        let kind = self.header("content-type").unwrap_or_default();
        assert!(
            kind.starts_with("application/problem+json"),
            "content type {kind}"
        );
        let json = self.json();
        assert_eq!(json["status"], status, "{json}");
        assert_eq!(json["code"], code, "{json}");
        assert!(json["title"].is_string(), "{json}");
    }

    /// Asserts a 400 that names the parameter.
    #[track_caller]
    pub fn assert_bad_parameter(&self, name: &str) {
        self.assert_problem(400, "bad_parameter");
        assert_eq!(self.json()["parameter"], name, "{}", self.text());
    }
}

/// Request bytes with a Host (unless given) and, when there is a body, its length.
pub fn request(
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    let given = |name: &str| {
        headers
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name))
    };
    if !given("host") {
        head.push_str("Host: localhost\r\n");
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = body
        && !given("transfer-encoding")
        && !given("content-length")
    {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body.unwrap_or_default());
    bytes
}

/// The body in chunks of the given size, as Transfer-Encoding: chunked wants it.
pub fn chunked(body: &[u8], chunk: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for part in body.chunks(chunk) {
        out.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// Every byte that is not unreserved as %XX.
pub fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

#[derive(Debug, Clone)]
enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// One connection, kept alive over several requests and opened anew when the daemon closed it.
pub struct Client {
    target: Target,
    stream: Option<BufReader<Box<dyn Duplex>>>,
}

impl Client {
    pub fn tcp(address: SocketAddr) -> Self {
        Self {
            target: Target::Tcp(address),
            stream: None,
        }
    }

    pub fn unix(path: &Path) -> Self {
        Self {
            target: Target::Unix(path.to_owned()),
            stream: None,
        }
    }

    /// Sends the bytes; the answer is not read. For pollers that must be on their way before something else happens.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            empty => empty.insert(BufReader::new(connect(&self.target)?)),
        };
        stream.get_mut().write_all(bytes)?;
        stream.get_mut().flush()
    }

    /// Reads one answer; `bodiless` when it answers HEAD.
    pub fn receive(&mut self, bodiless: bool) -> io::Result<Answer> {
        let stream = self
            .stream
            .as_mut()
            .ok_or_else(|| io::Error::other("nothing was sent"))?;
        let read = read_answer(stream, bodiless);
        let keep = read.as_ref().is_ok_and(|(_, keep)| *keep);
        if !keep {
            self.stream = None;
        }
        read.map(|(answer, _)| answer)
    }

    /// Reads the head of an answer, and its body where the status says so. For bodies without an end.
    pub fn head_then(&mut self, whole: impl Fn(u16) -> bool) -> io::Result<Answer> {
        let stream = self
            .stream
            .as_mut()
            .ok_or_else(|| io::Error::other("nothing was sent"))?;
        let head = read_head(stream)?;
        if !whole(head.status) {
            self.stream = None;
            return Ok(head);
        }
        read_body(stream, head, false).map(|(answer, _)| answer)
    }

    /// Sends raw bytes and reads one answer. An answer counts also when the daemon would not take all the bytes.
    pub fn exchange(&mut self, bytes: &[u8], bodiless: bool) -> io::Result<Answer> {
        let sent = self.send(bytes);
        if self.stream.is_none() {
            sent?;
            return Err(io::Error::other("no connection"));
        }
        let answer = self.receive(bodiless);
        if sent.is_err() {
            self.stream = None;
        }
        answer
    }

    pub fn call(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> io::Result<Answer> {
        self.exchange(&request(method, target, headers, body), method == "HEAD")
    }

    #[track_caller]
    pub fn get(&mut self, target: &str) -> Answer {
        self.call("GET", target, &[], None)
            .unwrap_or_else(|error| panic!("GET {target}: {error}"))
    }

    /// The next line of a body that never ends, without its line break.
    pub fn line(&mut self) -> io::Result<String> {
        let stream = self
            .stream
            .as_mut()
            .ok_or_else(|| io::Error::other("nothing was sent"))?;
        read_line(stream)
    }
}

fn connect(target: &Target) -> io::Result<Box<dyn Duplex>> {
    match target {
        Target::Tcp(address) => {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(READ_TIMEOUT))?;
            stream.set_write_timeout(Some(READ_TIMEOUT))?;
            Ok(Box::new(stream))
        }
        Target::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(READ_TIMEOUT))?;
            stream.set_write_timeout(Some(READ_TIMEOUT))?;
            Ok(Box::new(stream))
        }
    }
}

fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    if stream.read_until(b'\n', &mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    while line
        .last()
        .is_some_and(|byte| matches!(byte, b'\r' | b'\n'))
    {
        line.pop();
    }
    String::from_utf8(line).map_err(io::Error::other)
}

fn read_head(stream: &mut impl BufRead) -> io::Result<Answer> {
    let line = read_line(stream)?;
    let status = line
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| io::Error::other(format!("no status line: {line:?}")))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| io::Error::other(format!("no header: {line:?}")))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(Answer {
        status,
        headers,
        body: Vec::new(),
    })
}

/// The answer, and whether the connection can be used again.
fn read_answer(stream: &mut impl BufRead, bodiless: bool) -> io::Result<(Answer, bool)> {
    let mut answer = read_head(stream)?;
    while answer.status < 200 {
        answer = read_head(stream)?;
    }
    read_body(stream, answer, bodiless)
}

fn read_body(
    stream: &mut impl BufRead,
    mut answer: Answer,
    bodiless: bool,
) -> io::Result<(Answer, bool)> {
    let keep = answer
        .header("connection")
        .is_none_or(|value| !value.eq_ignore_ascii_case("close"));
    if bodiless || matches!(answer.status, 204 | 304) {
        return Ok((answer, keep));
    }
    if answer
        .header("transfer-encoding")
        .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    {
        loop {
            let line = read_line(stream)?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            let mut part = vec![0; size];
            stream.read_exact(&mut part)?;
            answer.body.append(&mut part);
            read_line(stream)?;
            if size == 0 {
                return Ok((answer, keep));
            }
        }
    }
    if let Some(length) = answer.header("content-length") {
        let length = length.parse().map_err(io::Error::other)?;
        answer.body = vec![0; length];
        stream.read_exact(&mut answer.body)?;
        return Ok((answer, keep));
    }
    stream.read_to_end(&mut answer.body)?;
    Ok((answer, false))
}
