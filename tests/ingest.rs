//! The ingest door, and the start and stop of the daemon seen through it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

#[path = "ingest/abuse.rs"]
mod abuse;
#[path = "ingest/auth.rs"]
mod auth;
#[path = "ingest/lifecycle.rs"]
mod lifecycle;

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use common::Daemon;
use common::bodies::*;
use common::http::{chunked, request};

#[test]
fn json_object_is_acknowledged_with_its_seq() {
    let daemon = Daemon::start();
    let first = daemon.post(flag("a", true));
    assert_eq!(first.status, 200);
    assert!(
        first
            .header("content-type")
            .unwrap()
            .starts_with("application/json")
    );
    let second = daemon.deliver(flag("a", false));
    assert!(second > first.seq(), "{second} after {}", first.seq());
}

#[test]
fn acknowledged_body_is_found_byte_for_byte() {
    let daemon = Daemon::start();
    let body = "{ \"event\":\"flag\",\n\t\"flag\": true, \"customerId\":\"ä\", \"x\": 1.50 }\r\n";
    let seq = daemon.deliver(body);
    assert_eq!(daemon.payload(seq), body.as_bytes());
}

#[test]
fn any_content_type_is_taken() {
    let daemon = Daemon::start();
    let path = daemon.webhook_path();
    let kinds = [
        "application/json",
        "application/json; charset=utf-8",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "nonsense",
        "",
    ];
    for (index, kind) in kinds.into_iter().enumerate() {
        let customer = format!("c{index}");
        let seq = daemon
            .post_to(&path, &[("content-type", kind)], flag(&customer, true))
            .seq();
        assert_eq!(daemon.event(seq)["disposition"], "applied", "{kind}");
    }
}

#[test]
fn compressed_body_is_quarantined_as_it_came() {
    let daemon = Daemon::start();
    let path = daemon.webhook_path();
    let body: Vec<u8> = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"
        .iter()
        .copied()
        .chain((0..600u32).map(|n| (n * 7 % 251) as u8))
        .collect();
    let headers = [
        ("content-encoding", "gzip"),
        ("content-type", "application/json"),
    ];
    let seq = daemon.post_to(&path, &headers, body.as_slice()).seq();
    assert_eq!(daemon.event(seq)["disposition"], "quarantined");
    assert_eq!(daemon.payload(seq), body);
}

#[test]
fn what_is_no_json_object_is_acknowledged_and_quarantined() {
    let daemon = Daemon::start();
    for body in [
        "",
        "no json",
        "[]",
        "\"text\"",
        "12",
        "{\"event\":",
        "\u{feff}{}",
    ] {
        let seq = daemon.deliver(body);
        assert_eq!(daemon.payload(seq), body.as_bytes());
        if !body.starts_with('\u{feff}') {
            assert_eq!(daemon.event(seq)["disposition"], "quarantined", "{body:?}");
        }
    }
}

#[test]
fn chunked_body_is_taken_like_any_other() {
    let daemon = Daemon::start();
    let body = flag("chunks", true).to_string();
    let bytes = request(
        "POST",
        &daemon.webhook_path(),
        &[("transfer-encoding", "chunked")],
        Some(&chunked(body.as_bytes(), 7)),
    );
    let seq = daemon.sender().exchange(&bytes, false).unwrap().seq();
    assert_eq!(daemon.payload(seq), body.as_bytes());
}

#[test]
fn body_of_just_max_body_is_taken() {
    let daemon = Daemon::start();
    let frame = json!({"event": "flag", "flag": true, "customerId": "big", "x": ""}).to_string();
    let fill = "x".repeat((1 << 20) - frame.len());
    let body = frame.replace(r#""x":"""#, &format!(r#""x":"{fill}""#));
    assert_eq!(body.len(), 1 << 20);
    let seq = daemon.deliver(body.as_str());
    assert_eq!(daemon.event(seq)["disposition"], "applied");
    assert_eq!(daemon.payload(seq), body.as_bytes());
}

/// The one quarantined event, once everything before `sentinel` is visible.
#[track_caller]
fn quarantined_before(daemon: &Daemon, sentinel: u64) -> serde_json::Value {
    let found = daemon
        .get_at("/v1/events?disposition=quarantined", sentinel)
        .items();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

#[track_caller]
fn assert_kept_head(daemon: &Daemon, body: &[u8]) {
    let sentinel = daemon.deliver(flag("sentinel", true));
    let event = quarantined_before(daemon, sentinel);
    assert_eq!(event["customerId"], json!(null), "{event}");
    assert_ne!(event["problems"], json!([]), "{event}");
    assert_eq!(event["digest"].as_str().map(str::len), Some(64), "{event}");
    assert_eq!(event["payloadBase64"], STANDARD.encode(&body[..4096]));
    let seq = event["seq"].as_u64().unwrap();
    assert!(seq < sentinel);
    assert_eq!(daemon.payload(seq), &body[..4096]);
}

#[test]
fn too_large_by_content_length_is_413_and_its_head_is_kept() {
    let daemon = Daemon::start();
    let body = format!(r#"{{"customerId":"big","x":"{}"}}"#, "y".repeat(1 << 20)).into_bytes();
    let answer = daemon.post(body.as_slice());
    answer.assert_problem(413, "payload_too_large");
    assert_kept_head(&daemon, &body);
}

#[test]
fn too_large_in_chunks_is_413_and_its_head_is_kept() {
    let daemon = Daemon::start();
    let body = format!(r#"{{"customerId":"big","x":"{}"}}"#, "z".repeat(1 << 20)).into_bytes();
    let bytes = request(
        "POST",
        &daemon.webhook_path(),
        &[("transfer-encoding", "chunked")],
        Some(&chunked(&body, 10_000)),
    );
    let answer = daemon.sender().exchange(&bytes, false).unwrap();
    answer.assert_problem(413, "payload_too_large");
    assert_kept_head(&daemon, &body);
}

#[test]
fn max_body_is_configurable() {
    let daemon = Daemon::configured(|_| "[ingest]\nmax_body = 8192\n".to_owned());
    daemon.deliver("x".repeat(8192));
    let answer = daemon.post("x".repeat(8193));
    answer.assert_problem(413, "payload_too_large");
}

#[test]
fn too_large_body_of_a_stranger_is_not_kept() {
    let daemon = Daemon::configured(|_| "[ingest]\nmax_body = 8192\n".to_owned());
    let answer = daemon.post_to("/webhooks/waldo/guess", &[], "x".repeat(20_000));
    assert_eq!(answer.status, 404);
    let sentinel = daemon.deliver(flag("sentinel", true));
    assert_eq!(daemon.get_at("/v1/events", sentinel).items().len(), 1);
}

#[test]
fn other_methods_are_405_with_allow() {
    let daemon = Daemon::start();
    for path in [daemon.webhook_path(), "/webhooks/waldo".to_owned()] {
        for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let answer = daemon.sender().call(method, &path, &[], None).unwrap();
            answer.assert_problem(405, "method_not_allowed");
            assert_eq!(answer.header("allow"), Some("POST"), "{method}");
        }
        let head = daemon.sender().call("HEAD", &path, &[], None).unwrap();
        assert_eq!(head.status, 405);
    }
}

#[test]
fn other_paths_are_404() {
    let daemon = Daemon::start();
    let secret = daemon.secret();
    for path in [
        "/".to_owned(),
        "/webhooks".to_owned(),
        "/webhooks/waldo2".to_owned(),
        format!("/webhooks/{secret}"),
        format!("/webhooks/waldo/{secret}/more"),
        format!("/{secret}"),
        "/v1/events".to_owned(),
        "/v1/customers".to_owned(),
        "/healthz".to_owned(),
        "/metrics".to_owned(),
    ] {
        let answer = daemon.post_to(&path, &[], flag("c", true));
        assert_eq!(answer.status, 404, "{path}");
    }
    let sentinel = daemon.deliver(flag("sentinel", true));
    assert_eq!(daemon.get_at("/v1/events", sentinel).items().len(), 1);
}

#[test]
fn ingest_takes_any_host_name() {
    let daemon = Daemon::start();
    let path = daemon.webhook_path();
    for host in ["hooks.example.org", "192.0.2.7:8443", "[2001:db8::1]"] {
        daemon
            .post_to(&path, &[("host", host)], flag("c", true))
            .seq();
    }
}

#[test]
fn many_senders_at_once_each_get_their_own_seq_and_are_all_found() {
    const SENDERS: usize = 64;
    const POSTS: usize = 50;
    let daemon = Daemon::start();
    let path = daemon.webhook_path();
    let mut acknowledged = HashMap::new();
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (daemon, path) = (&daemon, &path);
                scope.spawn(move || {
                    let mut client = daemon.sender();
                    let post = |post| {
                        let customer = format!("c{sender}-{post}");
                        let body = flag(&customer, true).to_string();
                        let answer = client
                            .call("POST", path, &[], Some(body.as_bytes()))
                            .unwrap();
                        (answer.seq(), customer)
                    };
                    (0..POSTS).map(post).collect::<Vec<_>>()
                })
            })
            .collect();
        for sender in senders {
            for (seq, customer) in sender.join().unwrap() {
                let before = acknowledged.insert(seq, customer);
                assert_eq!(before, None, "seq {seq} was given twice");
            }
        }
    });
    assert_eq!(acknowledged.len(), SENDERS * POSTS);
    let last = *acknowledged.keys().max().unwrap();
    let mut after = 0;
    loop {
        let page = daemon.get_at(&format!("/v1/events?limit=1000&after={after}"), last);
        for event in page.items() {
            let seq = event["seq"].as_u64().unwrap();
            let customer = acknowledged.remove(&seq);
            assert_eq!(
                customer.as_deref(),
                event["customerId"].as_str(),
                "seq {seq}"
            );
        }
        after = page.json()["next"].as_u64().unwrap();
        if page.items().is_empty() {
            break;
        }
    }
    assert!(acknowledged.is_empty(), "not found: {acknowledged:?}");
}

#[test]
fn kept_alive_connection_serves_one_post_after_another() {
    let daemon = Daemon::start();
    let path = daemon.webhook_path();
    let body = flag("c", true).to_string();
    let mut client = daemon.sender();
    let both = [
        request("POST", &path, &[], Some(body.as_bytes())),
        request("POST", &path, &[], Some(b"second")),
    ];
    client.send(&both.concat()).unwrap();
    let first = client.receive(false).unwrap().seq();
    let second = client.receive(false).unwrap().seq();
    assert_eq!(daemon.payload(first), body.as_bytes());
    assert_eq!(daemon.payload(second), b"second");
}
