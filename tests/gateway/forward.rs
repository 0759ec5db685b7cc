//! What an app asks reaches Waldo as it is, and the answer comes back as it is.

use super::common::http::{chunked, request};
use super::common::upstream::{Reply, Upstream};
use super::{await_metric, gateway, ok};

#[test]
fn method_path_query_fields_and_body_go_on_unchanged() {
    let upstream = Upstream::start(ok);
    let daemon = gateway(&upstream);
    let mut app = daemon.app();
    for (method, target, body) in [
        ("GET", "/customer?email=a%40b&officialId=%31", None),
        (
            "POST",
            "/check-fraud?x=1",
            Some(&b"{\"customerId\":\"c\"}"[..]),
        ),
        ("PUT", "/new/path%2Fwith%20odd", Some(b"")),
        ("DELETE", "/x", None),
        ("OPTIONS", "/x", None),
        ("BREW", "/", Some(b"coffee")),
    ] {
        let fields = [
            ("Authorization", "Bearer of-the-app"),
            ("X-Own", "1"),
            ("Accept-Encoding", "br"),
        ];
        let answer = app.call(method, target, &fields, body).unwrap();
        assert_eq!(answer.status, 200, "{method} {target}: {}", answer.text());
        let seen = upstream.last();
        assert!(seen.is(method, target), "{seen:?}");
        assert_eq!(seen.body, body.unwrap_or_default(), "{method}");
        assert_eq!(seen.header("authorization"), Some("Bearer of-the-app"));
        assert_eq!(seen.header("x-own"), Some("1"));
        assert_eq!(
            seen.header("host"),
            Some(upstream.address.to_string().as_str())
        );
    }
}

#[test]
fn a_chunked_body_goes_on() {
    let upstream = Upstream::start(ok);
    let daemon = gateway(&upstream);
    let body = vec![b'x'; 300_000];
    let mut bytes = request(
        "POST",
        "/document",
        &[("Transfer-Encoding", "chunked")],
        None,
    );
    bytes.extend(chunked(&body, 7_000));
    let answer = daemon.app().exchange(&bytes, false).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(upstream.last().body == body);
}

#[test]
fn status_fields_and_body_come_back_unchanged() {
    let upstream = Upstream::start(|seen| match seen.target.as_str() {
        "/gzip" => Reply::new(
            200,
            &[
                ("Content-Encoding", "gzip"),
                ("Authorization", "Bearer fresh"),
                ("X-Twice", "1"),
                ("X-Twice", "2"),
            ],
            [0x1f, 0x8b, 0, 0xff],
        ),
        "/teapot" => Reply::json(418, r#"{ "code" : "TEA" }"#),
        "/unchanged" => Reply::raw(
            "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
        ),
        "/chunked" => Reply::raw(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        ),
        "/close" => Reply::raw("HTTP/1.1 200 OK\r\n\r\nto the end"),
        "/switch" => Reply::raw(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        ),
        _ => Reply::new(204, &[], ""),
    });
    let daemon = gateway(&upstream);
    let mut app = daemon.app();
    let answer = app.get("/gzip");
    assert_eq!(answer.body, [0x1f, 0x8b, 0, 0xff]);
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert_eq!(answer.header("authorization"), Some("Bearer fresh"));
    assert_eq!(
        answer
            .headers
            .iter()
            .filter(|(name, _)| name == "x-twice")
            .count(),
        2
    );
    let answer = app.get("/teapot");
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (418, r#"{ "code" : "TEA" }"#)
    );
    let answer = app.get("/unchanged");
    assert_eq!((answer.status, answer.header("etag")), (304, Some("\"1\"")));
    assert_eq!(app.get("/chunked").text(), "abcde");
    assert_eq!(app.get("/close").text(), "to the end");
    app.get("/switch").assert_problem(502, "waldo_unreachable");
    let answer = app.call("HEAD", "/gzip", &[], None).unwrap();
    assert_eq!(
        (answer.status, answer.header("content-length")),
        (200, Some("4"))
    );
    await_metric(
        &daemon,
        "waldo_syncd_gateway_calls_total{status=\"4xx\"}",
        1,
    );
    await_metric(
        &daemon,
        "waldo_syncd_gateway_calls_total{status=\"5xx\"}",
        1,
    );
}

#[test]
fn a_redirect_is_handed_on_and_not_followed() {
    let elsewhere = Upstream::start(ok);
    let to = format!("{}/stolen", elsewhere.url());
    let upstream = Upstream::start(move |_| Reply::new(307, &[("Location", &to)], "moved"));
    let daemon = gateway(&upstream);
    let answer = daemon.app().get("/x");
    assert_eq!((answer.status, answer.text().as_str()), (307, "moved"));
    assert!(answer.header("location").unwrap().ends_with("/stolen"));
    assert!(elsewhere.seen().is_empty());
}

#[test]
fn no_target_leads_to_another_host() {
    let elsewhere = Upstream::start(ok);
    let upstream = Upstream::start(ok);
    let daemon = gateway(&upstream);
    let there = elsewhere.address.to_string();
    let here = daemon.address("gateway").to_string();
    let call = |method: &str, target: &str, host: &str| {
        let bytes = request(method, target, &[("Host", host)], None);
        daemon.app().exchange(&bytes, false).unwrap()
    };
    // A path that looks like a host stays a path.
    let target = format!("//{there}/x");
    assert_eq!(call("GET", &target, &here).status, 200);
    assert_eq!(upstream.last().target, target);
    // Of a whole URL only path and query count; nobody is at the host and port of this one.
    assert_eq!(
        call("GET", "http://localhost:1/abs?q=1", "localhost:1").status,
        200
    );
    assert_eq!(upstream.last().target, "/abs?q=1");
    // A target of another host is refused whatever Host says.
    assert_eq!(call("GET", &format!("http://{there}/x"), &here).status, 400);
    let answer = call("GET", "http://evil.example/x", "evil.example");
    answer.assert_problem(421, "misdirected_request");
    assert_eq!(call("CONNECT", &there, &here).status, 400);
    call("CONNECT", &here, &here).assert_problem(405, "method_not_allowed");
    assert_eq!(upstream.seen().len(), 2);
    assert!(elsewhere.seen().is_empty());
}

#[test]
fn fields_between_neighbours_are_taken_out_both_ways() {
    let upstream = Upstream::start(|_| {
        Reply::new(
            200,
            &[
                ("Connection", "keep-alive, X-Hop"),
                ("X-Hop", "1"),
                ("Keep-Alive", "timeout=9"),
                ("Proxy-Authenticate", "Basic"),
                ("X-End", "1"),
            ],
            "",
        )
    });
    let daemon = gateway(&upstream);
    let fields = [
        ("Connection", "keep-alive, X-Own"),
        ("X-Own", "1"),
        ("Keep-Alive", "timeout=9"),
        ("TE", "trailers"),
        ("Upgrade", "websocket"),
        ("Expect", "100-continue"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic dXNlcjpzZWNyZXQ="),
        ("X-Kept", "1"),
    ];
    let answer = daemon
        .app()
        .call("POST", "/x", &fields, Some(b"body"))
        .unwrap();
    let seen = upstream.last();
    for (name, _) in &fields[..8] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(
        (seen.header("x-kept"), seen.body.as_slice()),
        (Some("1"), &b"body"[..])
    );
    for name in ["x-hop", "keep-alive", "proxy-authenticate"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!(answer.header("x-end"), Some("1"));
}

#[test]
fn a_length_beside_chunks_is_not_passed_on() {
    const LYING: &str = "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n\
                         10\r\n{\"customerId\":1}\r\n0\r\n\r\n";
    let upstream =
        Upstream::start(|_| Reply::raw(format!("HTTP/1.1 200 OK\r\n{LYING}").into_bytes()));
    let daemon = gateway(&upstream);
    for (method, path) in [("GET", "/customer"), ("POST", "/flag")] {
        let answer = daemon.app().call(method, path, &[], None).unwrap();
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(answer.text(), "{\"customerId\":1}", "{method}");
    }
}
