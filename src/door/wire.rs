//! What hyper does not tell about a request head, read from the raw bytes before hyper sees them.
//!
//! hyper drops one of the two headers when Content-Length and Transfer-Encoding come together, takes bare LF for a line
//! end and merges equal Content-Lengths; each of these is a way to make two servers see two different requests. The
//! scanner follows the framing of one connection (head, body, head, ...) and remembers its first finding.
//! Invariant: whatever hyper accepts as the n-th head, the scanner has seen as its n-th head, and no head is served that
//! the scanner did not see whole: after a chunked request it stops, and the connection ends with that answer.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use http::{Response, Uri};

use super::Code;

/// Why a request is refused before any handler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "`detail` says it")]
pub enum Fault {
    BareLineFeed,
    LengthAndEncoding,
    RepeatedLength,
    BadLength,
    BadEncoding,
    TooManyFields,
    HeadTooLarge,
    NoHost,
    ManyHosts,
    BadHost,
    ForeignTarget,
}

impl Fault {
    /// The stable name of the problem.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::TooManyFields | Self::HeadTooLarge => Code::HeadTooLarge,
            _ => Code::BadRequest,
        }
    }

    /// The cause as one clause.
    #[must_use]
    pub fn detail(self) -> &'static str {
        match self {
            Self::BareLineFeed => "a line of the request head ends without CR",
            Self::LengthAndEncoding => "the request has both Content-Length and Transfer-Encoding",
            Self::RepeatedLength => "the request has more than one Content-Length",
            Self::BadLength => "the Content-Length is not a number",
            Self::BadEncoding => "the Transfer-Encoding is not `chunked`, once and alone",
            Self::TooManyFields => "the request head has too many fields",
            Self::HeadTooLarge => "the request head is too large",
            Self::NoHost => "the request has no Host",
            Self::ManyHosts => "the request has more than one Host",
            Self::BadHost => "the Host is not a host name with an optional port",
            Self::ForeignTarget => "the request target names another host than Host does",
        }
    }

    /// The whole answer: problem+json, and the connection ends with it.
    #[must_use]
    pub fn answer(self) -> Response<Bytes> {
        let status = self.code().status();
        let title = status.canonical_reason().unwrap_or("Bad Request");
        let (code, detail) = (self.code(), self.detail());
        let text = format!(
            r#"{{"type":"about:blank","title":"{title}","status":{},"detail":"{detail}","code":"{code}"}}"#,
            status.as_u16()
        );
        let mut response = Response::new(Bytes::from(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

/// What stands behind a finding: the request must be refused, or may be served but is the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No handler may see it.
    Refuse(Fault),
    /// The framing of what follows is not known.
    ServeAndClose,
}

/// The one finding of a connection: the head it is about (counted from 0) and the verdict. It is the last head that may
/// be answered, so one finding stands for a whole queue of verdicts: earlier heads are clean, later ones never served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which head, from 0.
    pub head: u64,
    /// What is to be done with it.
    pub verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the request line.
    Start,
    /// After the request line.
    Fields,
    /// Inside a body of which this many bytes are still to come.
    Body(u64),
    Stopped,
}

/// Follows the bytes of one connection.
#[derive(Debug)]
pub struct Scanner {
    max_fields: usize,
    max_head_bytes: usize,
    state: State,
    /// The beginning of a line whose end has not come yet: empty, and without memory, where heads come whole.
    carry: Vec<u8>,
    heads: u64,
    head_bytes: usize,
    fields: usize,
    length: Option<u64>,
    encoded: bool,
    finding: Option<Finding>,
}

impl Scanner {
    /// At the beginning of a connection.
    #[must_use]
    pub fn new(max_fields: usize, max_head_bytes: usize) -> Self {
        Self {
            max_fields,
            max_head_bytes,
            state: State::Start,
            carry: Vec::new(),
            heads: 0,
            head_bytes: 0,
            fields: 0,
            length: None,
            encoded: false,
            finding: None,
        }
    }

    /// Set once and final: nothing is read after it.
    #[must_use]
    pub fn finding(&self) -> Option<Finding> {
        self.finding
    }

    /// Whether a head has begun and not ended yet (true for ever once a head was found faulty).
    #[must_use]
    pub fn is_inside_head(&self) -> bool {
        self.head_bytes > 0
    }

    /// Whether nothing of a request is outstanding, as far as was read.
    #[must_use]
    pub fn is_between_requests(&self) -> bool {
        self.state == State::Start && self.head_bytes == 0
    }

    /// Reads on.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Stopped => return,
                State::Body(left) => self.skip_body(left, bytes),
                State::Start | State::Fields => self.take_line(bytes),
            };
        }
    }

    fn skip_body<'a>(&mut self, left: u64, bytes: &'a [u8]) -> &'a [u8] {
        let skipped = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let left = left.saturating_sub(u64::try_from(skipped).unwrap_or(u64::MAX));
        self.state = if left == 0 {
            State::Start
        } else {
            State::Body(left)
        };
        bytes.get(skipped..).unwrap_or_default()
    }

    /// Takes one line, or the beginning of one, and gives what comes after it.
    fn take_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        self.head_bytes += end.map_or(bytes.len(), |end| end + 1);
        if self.head_bytes > self.max_head_bytes {
            self.refuse(Fault::HeadTooLarge);
            return &[];
        }
        let Some((line, rest)) = end.and_then(|end| bytes.split_at_checked(end + 1)) else {
            self.carry.extend_from_slice(bytes);
            return &[];
        };
        if self.carry.is_empty() {
            self.line(line);
        } else {
            let mut whole = std::mem::take(&mut self.carry);
            whole.extend_from_slice(line);
            self.line(&whole);
        }
        rest
    }

    fn line(&mut self, line: &[u8]) {
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return self.refuse(Fault::BareLineFeed);
        };
        match (self.state, line.is_empty()) {
            // Empty lines before a request line are allowed (RFC 9112, 2.2), and hyper skips them too.
            (State::Start, true) => {}
            (State::Start, false) => self.state = State::Fields,
            (_, true) => self.end_head(),
            (_, false) => self.field(line),
        }
    }

    fn field(&mut self, line: &[u8]) {
        self.fields += 1;
        if self.fields > self.max_fields {
            return self.refuse(Fault::TooManyFields);
        }
        // Lines that hyper does not take for a field (no colon, a space before it) end in its own 400.
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else {
            return;
        };
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // hyper serves `gzip, chunked` and repeated codings, which the next server may read in another way.
            if self.encoded || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return self.refuse(Fault::BadEncoding);
            }
            self.encoded = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.is_some() {
                return self.refuse(Fault::RepeatedLength);
            }
            match decimal(value.trim_ascii()) {
                Some(length) => self.length = Some(length),
                None => self.refuse(Fault::BadLength),
            }
        }
    }

    fn end_head(&mut self) {
        match (self.encoded, self.length) {
            (true, Some(_)) => return self.refuse(Fault::LengthAndEncoding),
            (true, None) => {
                self.finding = Some(Finding {
                    head: self.heads,
                    verdict: Verdict::ServeAndClose,
                });
                self.state = State::Stopped;
            }
            (false, None | Some(0)) => self.state = State::Start,
            (false, Some(length)) => self.state = State::Body(length),
        }
        self.heads += 1;
        self.head_bytes = 0;
        self.fields = 0;
        self.length = None;
    }

    fn refuse(&mut self, fault: Fault) {
        self.finding = Some(Finding {
            head: self.heads,
            verdict: Verdict::Refuse(fault),
        });
        self.state = State::Stopped;
        self.carry = Vec::new();
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| match byte {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// Exactly one Host, well formed, and the same as the target's authority where the target has one.
pub fn check_host(target: &Uri, headers: &HeaderMap) -> Result<(), Fault> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().ok_or(Fault::NoHost)?.as_bytes();
    if hosts.next().is_some() {
        return Err(Fault::ManyHosts);
    }
    if host.is_empty() || !host.iter().all(|byte| is_host_byte(*byte)) {
        return Err(Fault::BadHost);
    }
    match target.authority() {
        Some(named) if !named.as_str().as_bytes().eq_ignore_ascii_case(host) => {
            Err(Fault::ForeignTarget)
        }
        _ => Ok(()),
    }
}

/// The bytes of `host [":" port]` (RFC 3986); no user information, no list.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 16 * 1024;

    fn scan(input: &[u8]) -> Scanner {
        let mut scanner = Scanner::new(64, LIMIT);
        scanner.feed(input);
        scanner
    }

    fn refused(head: u64, fault: Fault) -> Option<Finding> {
        Some(Finding {
            head,
            verdict: Verdict::Refuse(fault),
        })
    }

    /// Inputs, what they must lead to, and whether a head is left open.
    fn cases() -> Vec<(&'static [u8], Option<Finding>, bool)> {
        use Fault::*;
        let last = |head| {
            Some(Finding {
                head,
                verdict: Verdict::ServeAndClose,
            })
        };
        vec![
            (b"", None, false),
            (b"G", None, true),
            (b"GET / HTTP/1.1\r\nHost: a\r\n", None, true),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", None, false),
            (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n", None, true),
            (b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n\n\n\n\n", None, false),
            (b"POST / HTTP/1.1\r\nContent-Length:4 \r\n\r\n\n\n\n\n\n", refused(1, BareLineFeed), true),
            (b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\n", refused(1, BareLineFeed), true),
            (b"GET / HTTP/1.1\nHost: a\n\n", refused(0, BareLineFeed), true),
            (b"GET / HTTP/1.1\r\nHost: a\n\r\n", refused(0, BareLineFeed), true),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\n", refused(0, BareLineFeed), true),
            (b"\nGET / HTTP/1.1\r\n\r\n", refused(0, BareLineFeed), true),
            (b"P / HTTP/1.1\r\nContent-Length: 1\r\ntransfer-encoding: chunked\r\n\r\n", refused(0, LengthAndEncoding), true),
            (b"P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nCONTENT-LENGTH: 1\r\n\r\n", refused(0, LengthAndEncoding), true),
            (b"P / HTTP/1.1\r\nTransfer-Encoding: \tChunked \r\n\r\n", last(0), false),
            (b"P / HTTP/1.1\r\nTransfer-Encoding:\r\nContent-Length: 0\r\n\r\n", refused(0, BadEncoding), true),
            (b"P / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", refused(0, BadEncoding), true),
            (b"P / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", refused(0, BadEncoding), true),
            (b"P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n", refused(0, BadEncoding), true),
            (b"P / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", refused(0, RepeatedLength), true),
            (b"P / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", refused(0, BadLength), true),
            (b"P / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", refused(0, BadLength), true),
            (b"P / HTTP/1.1\r\nContent-Length:\r\n\r\n", refused(0, BadLength), true),
            (b"P / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n", refused(0, BadLength), true),
            (b"P / HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\nGET / HTTP/1.1\n", None, false),
            (b"GET / HTTP/1.1\r\n\r\nP / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\n\n", last(1), false),
            (b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\n\n", refused(2, BareLineFeed), true),
        ]
    }

    #[test]
    fn findings_name_the_right_head() {
        for (input, finding, inside) in cases() {
            let scanner = scan(input);
            let shown = String::from_utf8_lossy(input);
            assert_eq!(scanner.finding(), finding, "{shown}");
            assert_eq!(scanner.is_inside_head(), inside, "{shown}");
        }
    }

    #[test]
    fn every_split_gives_the_same_finding() {
        for (input, finding, inside) in cases() {
            for first in 0..=input.len() {
                for second in first..=input.len() {
                    let mut scanner = Scanner::new(64, LIMIT);
                    scanner.feed(&input[..first]);
                    scanner.feed(&input[first..second]);
                    scanner.feed(&input[second..]);
                    assert_eq!(
                        (scanner.finding(), scanner.is_inside_head()),
                        (finding, inside),
                        "{first} {second}"
                    );
                }
            }
            let mut scanner = Scanner::new(64, LIMIT);
            input.chunks(1).for_each(|byte| scanner.feed(byte));
            assert_eq!(
                (scanner.finding(), scanner.is_inside_head()),
                (finding, inside),
                "byte by byte"
            );
        }
    }

    #[test]
    fn whole_heads_need_no_memory() {
        let scanner = scan(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(scanner.carry.capacity(), 0);
    }

    #[test]
    fn limits_of_a_head() {
        let fields =
            |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count)).repeat(2);
        assert_eq!(scan(fields(64).as_bytes()).finding(), None);
        assert_eq!(
            scan(fields(65).as_bytes()).finding(),
            refused(0, Fault::TooManyFields)
        );
        let long = |bytes: usize| {
            format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(bytes - 23)).repeat(2)
        };
        assert_eq!(scan(long(LIMIT).as_bytes()).finding(), None);
        assert_eq!(
            scan(long(LIMIT + 1).as_bytes()).finding(),
            refused(0, Fault::HeadTooLarge)
        );
        assert_eq!(
            scan(&[b'a'; LIMIT + 1]).finding(),
            refused(0, Fault::HeadTooLarge)
        );
    }

    #[test]
    fn an_unread_body_is_outstanding() {
        assert!(scan(b"").is_between_requests());
        assert!(!scan(b"P / HTTP/1.1\r\nContent-Length: 2\r\n\r\n1").is_between_requests());
        assert!(scan(b"P / HTTP/1.1\r\nContent-Length: 2\r\n\r\n12").is_between_requests());
        assert!(!scan(b"P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").is_between_requests());
        assert!(!scan(b"GET").is_between_requests());
    }

    #[test]
    fn host_is_one_and_agrees_with_the_target() {
        let check = |target: &str, hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, host.parse().unwrap());
            }
            check_host(&target.parse().unwrap(), &headers)
        };
        assert_eq!(check("/", &["localhost:7312"]), Ok(()));
        assert_eq!(check("/", &["[::1]:7312"]), Ok(()));
        assert_eq!(check("*", &["a"]), Ok(()));
        assert_eq!(check("http://A.example/x", &["a.EXAMPLE"]), Ok(()));
        assert_eq!(check("/", &[]), Err(Fault::NoHost));
        assert_eq!(check("/", &["a", "a"]), Err(Fault::ManyHosts));
        for bad in ["", "a, b", "user@a", "a/b", "a b", "a\\b", "a?b"] {
            assert_eq!(check("/", &[bad]), Err(Fault::BadHost), "{bad}");
        }
        assert_eq!(check("http://a/x", &["b"]), Err(Fault::ForeignTarget));
        assert_eq!(check("http://b@a/x", &["a"]), Err(Fault::ForeignTarget));
    }

    #[test]
    fn answers_are_problem_json_and_close() {
        let response = Fault::NoHost.answer();
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[CONNECTION], "close");
        let text = r#"{"type":"about:blank","title":"Bad Request","status":400,"detail":"the request has no Host","code":"bad_request"}"#;
        assert_eq!(response.body(), text);
        assert_eq!(Fault::TooManyFields.answer().status(), 431);
    }
}
