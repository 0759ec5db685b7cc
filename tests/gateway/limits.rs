//! Nobody there, nobody quick, nobody allowed; and how much memory a document takes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use waldo_syncd::door::{Door, Hosts, Limits, Listener};
use waldo_syncd::waldo::{Gateway, Recorder, Times, Upstream as Way};

use super::common::Daemon;
use super::common::http::{Answer, Client, request};
use super::common::upstream::{Reply, Upstream};
use super::{gateway, gateway_to};

#[test]
fn nobody_there_is_a_502_and_one_log_line() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let daemon = gateway_to(&url, "");
    let mut app = daemon.app();
    for _ in 0..3 {
        app.get("/customer")
            .assert_problem(502, "waldo_unreachable");
    }
    assert_eq!(
        daemon.log().matches("Waldo cannot be reached").count(),
        1,
        "{}",
        daemon.log()
    );
}

#[test]
fn a_connection_that_breaks_before_the_answer_is_a_502() {
    let upstream = Upstream::start(|_| Reply::raw(""));
    let daemon = gateway(&upstream);
    daemon
        .app()
        .get("/customer")
        .assert_problem(502, "waldo_unreachable");
    let upstream = Upstream::start(|_| Reply::raw("SSH-2.0-no-http\r\n"));
    let daemon = gateway(&upstream);
    daemon
        .app()
        .get("/customer")
        .assert_problem(502, "waldo_unreachable");
}

#[test]
fn a_name_may_not_lead_into_this_machine() {
    let upstream = Upstream::start(|_| Reply::json(200, "{}"));
    let port = upstream.address.port();
    // The resolver takes this name for 127.0.0.1, but an address in its usual writing it is not.
    let daemon = gateway_to(&format!("http://127.1:{port}"), "");
    let answer = daemon.app().get("/customer");
    answer.assert_problem(502, "waldo_unreachable");
    assert!(
        answer.text().contains("not on the internet"),
        "{}",
        answer.text()
    );
    assert!(upstream.seen().is_empty());
    let daemon = gateway_to(&format!("http://localhost:{port}"), "");
    assert_eq!(daemon.app().get("/customer").status, 200);
}

/// One call through a gateway in this process, with these times.
fn call_within(
    times: Times,
    upstream: &Upstream,
    method: &'static str,
    target: &'static str,
) -> std::io::Result<Answer> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let metrics = Arc::default();
    let gateway = Arc::new(Gateway::new(
        Way::new(&upstream.url(), times).unwrap(),
        None,
        Recorder::new("/nowhere/control.sock", Arc::clone(&metrics)),
        metrics,
        Hosts::default(),
        4,
    ));
    let (address, served) = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let door = Door::new(
            "gateway",
            Listener::Tcp(listener),
            Limits::default(),
            Arc::default(),
        );
        (
            address,
            tokio::spawn(door.serve(gateway.service(), stopped)),
        )
    });
    let answer = Client::tcp(address).call(method, target, &[], Some(b"{}"));
    stop.send_replace(true);
    runtime.block_on(served).unwrap();
    answer
}

#[test]
fn an_answer_that_does_not_begin_is_a_504() {
    let (_never, silence) = channel::<()>();
    let silence = std::sync::Mutex::new(silence);
    let upstream = Upstream::start(move |_| {
        let _ = silence
            .lock()
            .unwrap()
            .recv_timeout(Duration::from_secs(60));
        Reply::raw("")
    });
    let times = Times {
        head: Duration::from_millis(50),
        ..Times::default()
    };
    call_within(times, &upstream, "POST", "/onboard")
        .unwrap()
        .assert_problem(504, "waldo_too_slow");
}

#[test]
fn an_answer_that_stops_in_the_middle_is_cut_off_or_a_504() {
    let stalled = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"requestId\":";
    let upstream = Upstream::start(move |_| Reply::open(stalled));
    let times = Times {
        body_idle: Duration::from_millis(50),
        ..Times::default()
    };
    let answer = call_within(times, &upstream, "POST", "/onboard").unwrap();
    answer.assert_problem(504, "waldo_too_slow");
    assert_eq!(answer.header("waldo-syncd-recorded"), Some("false"));
    assert!(call_within(times, &upstream, "GET", "/customer").is_err());
}

#[test]
fn a_document_passes_both_ways_without_being_held() {
    const SIZE: usize = 10 << 20;
    let document = vec![b'd'; SIZE];
    let back = document.clone();
    let upstream = Upstream::start(move |seen| match seen.method.as_str() {
        "POST" => Reply::json(
            200,
            format!("{{\"customerId\":\"c\",\"warnings\":{}}}", seen.body.len()),
        ),
        _ => Reply::new(200, &[], &back),
    });
    let daemon = gateway(&upstream);
    let mut app = daemon.app();
    let warm = app.call("POST", "/document", &[], Some(b"x")).unwrap();
    assert_eq!(warm.json()["warnings"], 1);
    app.call("GET", "/warm", &[("Range", "bytes=0-1")], None)
        .unwrap();
    // The peak of the start may be higher than what is used now, and would hide what is held: it is forgotten first.
    std::fs::write(format!("/proc/{}/clear_refs", daemon.pid()), "5").unwrap();
    let before = peak_kib(&daemon);
    for fields in [&[][..], &[("Transfer-Encoding", "chunked")]] {
        let mut bytes = request(
            "POST",
            "/document",
            fields,
            (fields.is_empty()).then_some(&document),
        );
        if !fields.is_empty() {
            bytes.extend(super::common::http::chunked(&document, 1 << 20));
        }
        let answer = daemon.app().exchange(&bytes, false).unwrap();
        assert_eq!(answer.json()["warnings"], SIZE, "{}", answer.text());
        assert_eq!(answer.header("waldo-syncd-recorded"), None);
    }
    assert!(app.get("/large").body == document);
    let grown = peak_kib(&daemon).saturating_sub(before);
    assert!(grown < 4 * 1024, "{grown} KiB more");
}

fn peak_kib(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
