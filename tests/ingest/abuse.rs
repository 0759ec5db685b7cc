//! HTTP that only an attacker or a broken proxy sends: refused or hung up on, and never stored.

use crate::common::Daemon;
use crate::common::bodies::*;
use crate::common::http::request;

const MARK: &str = "smuggled";

fn body() -> String {
    flag(MARK, true).to_string()
}

/// Sends each text on a connection of its own; the answers' status codes, `None` for a connection that was closed.
fn statuses(daemon: &Daemon, requests: &[Vec<u8>]) -> Vec<Option<u16>> {
    std::thread::scope(|scope| {
        let sent: Vec<_> = requests
            .iter()
            .map(|bytes| {
                let mut client = daemon.sender();
                scope.spawn(move || {
                    client
                        .exchange(bytes, false)
                        .ok()
                        .map(|answer| answer.status)
                })
            })
            .collect();
        sent.into_iter().map(|sent| sent.join().unwrap()).collect()
    })
}

/// Each text is answered with 4xx or a closed connection, and nothing of it is stored.
#[track_caller]
fn assert_refused(daemon: &Daemon, requests: &[Vec<u8>]) {
    for (status, bytes) in statuses(daemon, requests).into_iter().zip(requests) {
        let refused = status.is_none_or(|status| (400..500).contains(&status) || status == 505);
        let start: String = String::from_utf8_lossy(bytes).chars().take(200).collect();
        assert!(refused, "{status:?} for {start:?}");
    }
    assert_nothing_stored(daemon);
}

#[track_caller]
fn assert_nothing_stored(daemon: &Daemon) {
    let sentinel = daemon.deliver(flag("sentinel", true));
    let items = daemon.get_at("/v1/events?limit=1000", sentinel).items();
    assert!(
        items.iter().all(|event| event["customerId"] == "sentinel"),
        "stored: {items:?}"
    );
}

#[test]
fn content_length_beside_transfer_encoding_is_400() {
    let daemon = Daemon::start();
    let (path, body) = (daemon.webhook_path(), body());
    let length = format!("Content-Length: {}", body.len());
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let zero = "Content-Length: 0";
    let smuggled = format!("0\r\n\r\nPOST {path} HTTP/1.1\r\nHost: h\r\n{length}\r\n\r\n{body}");
    let te = "Transfer-Encoding: chunked";
    let requests: Vec<Vec<u8>> = [
        (length.as_str(), te, chunked.as_str()),
        (te, length.as_str(), chunked.as_str()),
        (zero, te, chunked.as_str()),
        (te, zero, chunked.as_str()),
        (te, "Content-Length: 5", smuggled.as_str()),
    ]
    .iter()
    .map(|(one, two, rest)| {
        format!("POST {path} HTTP/1.1\r\nHost: h\r\n{one}\r\n{two}\r\n\r\n{rest}").into_bytes()
    })
    .collect();
    for status in statuses(&daemon, &requests) {
        assert_eq!(status, Some(400));
    }
    assert_nothing_stored(&daemon);
}

#[test]
fn request_without_host_is_400() {
    let daemon = Daemon::start();
    let (path, body) = (daemon.webhook_path(), body());
    let head = format!(
        "POST {path} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(statuses(&daemon, &[head.into_bytes()]), [Some(400)]);
    assert_nothing_stored(&daemon);
}

#[test]
fn http_1_0_with_a_host_is_served() {
    let daemon = Daemon::start();
    let (path, body) = (daemon.webhook_path(), body());
    let bytes = format!(
        "POST {path} HTTP/1.0\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = daemon.sender().exchange(bytes.as_bytes(), false).unwrap();
    assert_eq!(daemon.payload(answer.seq()), body.as_bytes());
}

#[test]
fn malformed_requests_are_refused_and_never_stored() {
    let daemon = Daemon::start();
    let (path, body) = (daemon.webhook_path(), body());
    let post = |headers: &[(&str, &str)]| request("POST", &path, headers, Some(body.as_bytes()));
    let raw = |text: String| text.into_bytes();
    let length = body.len();
    let many: Vec<(String, String)> = (0..100)
        .map(|n| (format!("x-{n}"), "1".to_owned()))
        .collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let long = "x".repeat(20 * 1024);
    let good = String::from_utf8(post(&[])).unwrap();
    assert_refused(
        &daemon,
        &[
            // Host
            raw(format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: {length}\r\n\r\n{body}"
            )),
            raw(format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
            )),
            // Lines
            raw(format!(
                "POST {path} HTTP/1.1\nHost: h\nContent-Length: {length}\n\n{body}"
            )),
            raw(good.replacen("\r\n", "\n", 1)),
            raw(format!(
                "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length : {length}\r\n\r\n{body}"
            )),
            raw(format!(
                "POST {path} HTTP/1.1\r\nHost: h\r\nno colon\r\nContent-Length: {length}\r\n\r\n{body}"
            )),
            raw(format!(
                "POST {path} HTTP/1.1\r\nHost: h\r\nx: a\0b\r\nContent-Length: {length}\r\n\r\n{body}"
            )),
            raw(format!(
                "POST  {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}"
            )),
            raw(format!(
                "POST {path} HTTP/9.9\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}"
            )),
            raw(format!("POST {path}\r\n\r\n")),
            // Sizes
            post(&many),
            post(&[("x-long", &long)]),
            raw(good.replacen(&path, &format!("{path}?{long}"), 1)),
            // Lengths
            post(&[("content-length", "-1")]),
            post(&[("content-length", "+5")]),
            post(&[("content-length", "0x10")]),
            post(&[("content-length", "5"), ("content-length", "6")]),
            post(&[("content-length", "99999999999999999999999999")]),
            post(&[("transfer-encoding", "xchunked")]),
            post(&[("transfer-encoding", "chunked, identity")]),
            raw(format!(
                "POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{body}\r\n0\r\n\r\n"
            )),
            // Other protocols
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a client's hello \r\n\r\n".to_vec(),
            b"\0\0\0\0\r\n\r\n".to_vec(),
        ],
    );
}

#[test]
fn sender_that_hangs_up_in_mid_body_stores_nothing() {
    let daemon = Daemon::start();
    let whole = request("POST", &daemon.webhook_path(), &[], Some(body().as_bytes()));
    for cut in [1, 10, 40] {
        let mut client = daemon.sender();
        client.send(&whole[..whole.len() - cut]).unwrap();
        drop(client);
    }
    assert_nothing_stored(&daemon);
}

#[test]
fn silent_connections_hinder_nobody() {
    let daemon = Daemon::start();
    let held: Vec<_> = (0..200)
        .map(|_| {
            let mut client = daemon.sender();
            client
                .send(b"POST /webhooks/waldo/ HTTP/1.1\r\nHos")
                .unwrap();
            client
        })
        .collect();
    let seq = daemon.deliver(flag("sentinel", true));
    assert_eq!(daemon.event(seq)["customerId"], "sentinel");
    drop(held);
}
