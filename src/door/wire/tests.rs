//! Heads good and bad, whole and in pieces.

use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap};

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
        (b"P / HTTP/1.1\r\nContent-Length: 18446744073709551614\r\n\r\n", refused(0, BadLength), true),
        (b"P / HTTP/1.1\r\nContent-Length: 18446744073709551613\r\n\r\nGET / HTTP/1.1\n", None, false),
        (b"GET / HTTP/1.1\r\n\r\nP / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\n\n", last(1), false),
        (b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\n\n", refused(2, BareLineFeed), true),
        (b"\x16\x03\x01\x02\0\x01", refused(0, BadRequestLine), true),
        (b"GET /\r\n", refused(0, BadRequestLine), true),
        (b"GET /a b HTTP/1.1\r\n", refused(0, BadRequestLine), true),
        (b"GET  / HTTP/1.1\r\n", refused(0, BadRequestLine), true),
        (b" GET / HTTP/1.1\r\n", refused(0, BadRequestLine), true),
        (b"G(T / HTTP/1.1\r\n", refused(0, BadRequestLine), true),
        (b"GET / http/1.1\r\n", refused(0, BadRequestLine), true),
        (b"GET / HTTP/1.2\r\n", refused(0, BadVersion), true),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", refused(0, BadVersion), true),
        (b"GET /\xff HTTP/1.1\r\n", refused(0, BadTarget), true),
        (b"GET /#\xff HTTP/1.1\r\n", refused(0, BadTarget), true),
        (b"GET a:b:c HTTP/1.1\r\n", refused(0, BadTarget), true),
        (b"GET /caf\xc3\xa9{}?a=b HTTP/1.1\r\n\r\n", None, false),
        (b"GET / HTTP/1.1\r\nBad Header: x\r\n", refused(0, BadField), true),
        (b"GET / HTTP/1.1\r\nContent-Length : 2\r\n", refused(0, BadField), true),
        (b"GET / HTTP/1.1\r\n: x\r\n", refused(0, BadField), true),
        (b"GET / HTTP/1.1\r\nA\r\n", refused(0, BadField), true),
        (b"GET / HTTP/1.1\r\nA: b\r\n c\r\n", refused(0, FoldedField), true),
        (b"GET / HTTP/1.1\r\n\tA: b\r\n", refused(0, FoldedField), true),
        (b"GET / HTTP/1.1\r\nA: b\0\r\n", refused(0, BadValue), true),
        (b"GET / HTTP/1.1\r\nA: b\rc\r\n", refused(0, BadValue), true),
        (b"GET / HTTP/1.1\r\nA: \tb\xff\r\n\r\n", None, false),
        (b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", refused(0, OldEncoding), true),
        (b"GET / HTTP/1.0\r\n\r\nP / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", last(1), false),
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
        for byte in input.chunks(1) {
            scanner.feed(byte);
        }
        assert_eq!(
            (scanner.finding(), scanner.is_inside_head()),
            (finding, inside),
            "byte by byte"
        );
    }
}

/// What hyper gets of these pieces.
fn passed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut scanner = Scanner::new(64, LIMIT);
    let mut all = Vec::new();
    for piece in pieces {
        match scanner.feed(piece) {
            Passing::AsTheyCame => all.extend_from_slice(piece),
            Passing::Instead(bytes) => all.extend(bytes),
        }
    }
    all
}

#[test]
fn hyper_gets_whole_lines_and_of_a_refused_head_an_end() {
    let good = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    let post = "POST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\n\nb\n";
    let chunked = "P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nwhat\never";
    let fields = "GET /a HTTP/1.1\r\nHost: a\r\n";
    let cases = [
        (format!("{good}{post}{good}"), format!("{good}{post}{good}")),
        (format!("{post}{chunked}"), format!("{post}{chunked}")),
        (format!("{good}{fields}Ho"), format!("{good}{fields}")),
        (
            format!("{good}{fields}Bad Field: x\r\n{good}"),
            format!("{good}{fields}\r\n"),
        ),
        (
            format!("{post}GET / HTTP/3\r\n{good}"),
            format!("{post}GET / HTTP/1.1\r\n\r\n"),
        ),
        (
            format!("{fields}A: {}", "b".repeat(LIMIT)),
            format!("{fields}\r\n"),
        ),
    ];
    for (came, expected) in cases {
        let came = came.as_bytes();
        for at in 0..=came.len().min(200) {
            let (first, second) = came.split_at(at);
            let got = passed([first, second]);
            assert_eq!(String::from_utf8_lossy(&got), expected, "split at {at}");
        }
        assert_eq!(passed(came.chunks(1)), expected.as_bytes(), "byte by byte");
    }
}

#[test]
fn whole_heads_need_no_memory() {
    let scanner = scan(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(scanner.held.capacity(), 0);
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
    let long =
        |bytes: usize| format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(bytes - 23)).repeat(2);
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
