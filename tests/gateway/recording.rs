//! Answers are recorded before the app has them, or say that they were not.

use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde_json::json;

use super::common::http::{Client, request};
use super::common::place::poll;
use super::common::upstream::{Reply, Upstream};
use super::{await_metric, gateway, gateway_to, metric};

const RECORDED: &str = "waldo-syncd-recorded";

#[test]
fn the_requests_of_an_answer_are_known_the_moment_the_app_has_it() {
    let upstream = Upstream::start(|seen| match seen.target.as_str() {
        "/onboard" => Reply::json(
            200,
            json!({"requestId": "r-onboard", "event": "onboard", "customerId": "c1",
            "evaluation": {"type": "kyc", "status": "initiated"}, "firstName": "person", "uri": "u"}),
        ),
        "/check-fraud/" => Reply::json(200, json!({"requestId": "r-fraud", "customerId": "c1"})),
        _ => Reply::json(200, json!({"requestId": "r-document", "customerId": "c1"})),
    });
    let daemon = gateway(&upstream);
    let mut app = daemon.app();
    for (target, id, operation) in [
        ("/onboard", "r-onboard", "onboard"),
        ("/check-fraud/", "r-fraud", "fraud"),
        ("/document?x=1", "r-document", "document"),
    ] {
        let answer = app.call("POST", target, &[], Some(b"{}")).unwrap();
        assert_eq!(
            (answer.status, answer.header(RECORDED)),
            (200, None),
            "{}",
            daemon.log()
        );
        let known = daemon.get(&format!("/v1/requests/{id}"));
        assert_eq!(known.status, 200, "{id}: {}", known.text());
        assert_eq!(known.json()["operation"], operation);
        assert!(known.json()["registeredAt"].is_string());
    }
    let events = daemon.get("/v1/events?source=gateway").text();
    assert!(!events.contains("person"), "{events}");
    await_metric(
        &daemon,
        "waldo_syncd_gateway_answers_total{recorded=\"yes\"}",
        3,
    );
    assert_eq!(upstream.last().header("accept-encoding"), Some("identity"));
}

#[test]
fn a_flag_call_explains_the_webhook_that_it_causes() {
    let upstream = Upstream::start(|_| {
        Reply::json(
            200,
            json!({"flagged": true, "status": "REJECTED", "customerId": "c", "uri": "u"}),
        )
    });
    let daemon = gateway(&upstream);
    let answer = daemon
        .app()
        .call("POST", "/flag", &[], Some(b"{}"))
        .unwrap();
    assert_eq!((answer.status, answer.header(RECORDED)), (200, None));
    let seq = daemon.deliver(json!({"event": "flag", "flag": true, "customerId": "c"}));
    assert_eq!(daemon.event(seq)["originEvidence"], "own_flag_call");
}

#[test]
fn a_flag_webhook_that_is_quicker_than_the_answer_is_explained_and_only_that_one() {
    let daemon = Arc::new(OnceLock::<(SocketAddr, String)>::new());
    let door = Arc::clone(&daemon);
    let flagged = json!({"event": "flag", "flag": true, "customerId": "c"});
    let webhook = flagged.to_string();
    // Waldo's webhook arrives, and is acknowledged, before Waldo answers the call.
    let upstream = Upstream::start(move |_| {
        let (ingest, path) = door.get().expect("the daemon's ingest door");
        let told = Client::tcp(*ingest).call("POST", path, &[], Some(webhook.as_bytes()));
        assert_eq!(told.expect("an answer").status, 200);
        Reply::json(200, json!({"flagged": true, "customerId": "c"}))
    });
    let gateway = gateway(&upstream);
    daemon
        .set((gateway.address("ingest"), gateway.webhook_path()))
        .expect("set once");
    let call = json!({"customerId": "c", "flag": true, "note": "private"}).to_string();
    let answer = gateway
        .app()
        .call("POST", "/flag", &[], Some(call.as_bytes()))
        .unwrap();
    assert_eq!((answer.status, answer.header(RECORDED)), (200, None));
    let evidence = |seq| gateway.event(seq)["originEvidence"].clone();
    let names: Vec<_> = gateway
        .get("/v1/events")
        .items()
        .iter()
        .map(|event| event["event"].clone())
        .collect();
    assert_eq!(names, ["flag.called", "flag", "flag"]);
    assert_eq!(evidence(2), "own_flag_call");
    // One call explains one webhook. (Another body, for the same one would be a repeat.)
    let again = json!({"flag": true, "event": "flag", "customerId": "c", "uri": "u"});
    let seq = gateway.deliver(again);
    assert_eq!(evidence(seq), "none");
    assert!(!gateway.log().contains("private"));
}

#[test]
fn a_flag_call_that_waldo_refuses_explains_nothing() {
    let upstream = Upstream::start(|_| Reply::json(400, json!({"code": "INVALID_QUERY"})));
    let daemon = gateway(&upstream);
    let call = json!({"customerId": "c", "flag": true}).to_string();
    let answer = daemon
        .app()
        .call("POST", "/flag", &[], Some(call.as_bytes()))
        .unwrap();
    assert_eq!(answer.status, 400);
    let seq = daemon.deliver(json!({"event": "flag", "flag": true, "customerId": "c"}));
    assert_eq!(daemon.event(seq)["originEvidence"], "none");
}

#[test]
fn an_answer_without_a_request_id_is_recorded_too() {
    let upstream = Upstream::start(|_| {
        Reply::json(
            200,
            json!({"customerId": "c", "validation": {"status": "REVIEW"}}),
        )
    });
    let daemon = gateway(&upstream);
    let answer = daemon
        .app()
        .call("POST", "/onboard", &[], Some(b"{}"))
        .unwrap();
    assert_eq!(answer.header(RECORDED), None);
    assert_eq!(daemon.get("/v1/events?source=gateway").items().len(), 1);
    assert_eq!(daemon.get("/v1/customers/c").status, 200);
}

#[test]
fn what_cannot_be_read_comes_through_and_says_that_it_was_not_recorded() {
    let large = format!("{{\"requestId\":\"r\",\"x\":\"{}\"}}", "y".repeat(2 << 20));
    let expected = large.clone();
    let upstream = Upstream::start(move |seen| match seen.header("x-case").unwrap() {
        "compressed" => Reply::new(200, &[("Content-Encoding", "gzip")], [0x1f, 0x8b, 8]),
        "odd" => Reply::new(200, &[], "{\"requestId\": secret-in-answer"),
        "list" => Reply::new(200, &[], "[1]"),
        "empty" => Reply::new(204, &[], ""),
        _ => Reply::new(200, &[], &large),
    });
    let daemon = gateway(&upstream);
    let mut app = daemon.app();
    for (case, body) in [
        ("compressed", &[0x1f, 0x8b, 8][..]),
        ("odd", b"{\"requestId\": secret-in-answer"),
        ("list", b"[1]"),
        ("empty", b""),
        ("large", expected.as_bytes()),
    ] {
        let answer = app
            .call("POST", "/onboard", &[("X-Case", case)], Some(b"{}"))
            .unwrap();
        assert!(answer.body == body, "{case}");
        assert_eq!(answer.header(RECORDED), Some("false"), "{case}");
    }
    let log = daemon.log();
    assert_eq!(log.matches("was not recorded").count(), 5, "{log}");
    assert!(!log.contains("secret-in-answer"), "{log}");
    await_metric(
        &daemon,
        "waldo_syncd_gateway_answers_total{recorded=\"no\"}",
        5,
    );
    assert!(daemon.get("/v1/events").items().is_empty());
}

#[test]
fn only_good_answers_to_posts_of_four_paths_are_recorded() {
    let upstream = Upstream::start(|seen| match seen.header("x-status") {
        Some(status) => Reply::json(
            status.parse().unwrap(),
            json!({"requestId": "r", "customerId": "c"}),
        ),
        None => Reply::json(200, json!({"requestId": "r", "customerId": "c"})),
    });
    let daemon = gateway(&upstream);
    let mut app = daemon.app();
    for (method, target, status) in [
        ("GET", "/onboard", "200"),
        ("HEAD", "/flag", "200"),
        ("PUT", "/document", "200"),
        ("POST", "/onboard/x", "200"),
        ("POST", "/history/kyc", "200"),
        ("POST", "/onboard", "400"),
        ("POST", "/document", "302"),
        ("POST", "/check-fraud", "500"),
    ] {
        let answer = app
            .call(method, target, &[("X-Status", status)], None)
            .unwrap();
        assert_eq!(answer.status.to_string(), status, "{method} {target}");
        assert_eq!(answer.header(RECORDED), None);
    }
    assert!(daemon.get("/v1/events").items().is_empty());
}

#[test]
fn an_answer_is_recorded_though_its_app_hung_up() {
    let (asked, was_asked) = channel();
    let (answer, may_answer) = channel::<()>();
    let (asked, may_answer) = (Mutex::new(asked), Mutex::new(may_answer));
    let upstream = Upstream::start(move |_| {
        asked.lock().unwrap().send(()).unwrap();
        may_answer.lock().unwrap().recv().unwrap();
        Reply::json(200, json!({"requestId": "r-left", "customerId": "c"}))
    });
    let daemon = gateway(&upstream);
    let mut app = daemon.app();
    app.send(&request("POST", "/onboard", &[], Some(b"{}")))
        .unwrap();
    was_asked.recv_timeout(Duration::from_secs(30)).unwrap();
    drop(app);
    poll("the end of the connection", Duration::from_secs(30), || {
        let told = |name| {
            metric(
                &daemon,
                &format!("waldo_syncd_door_{name}{{door=\"gateway\"}}"),
            )
        };
        (told("accepted_total") == 1 && told("connections") == 0).then_some(())
    });
    answer.send(()).unwrap();
    poll("the request", Duration::from_secs(30), || {
        (daemon.get("/v1/requests/r-left").status == 200).then_some(())
    });
}

#[test]
fn calls_that_are_finished_without_their_apps_are_limited() {
    let (asked, was_asked) = channel();
    let (answer, may_answer) = channel::<()>();
    let (asked, may_answer) = (Mutex::new(asked), Mutex::new(may_answer));
    let upstream = Upstream::start(move |_| {
        asked.lock().unwrap().send(()).unwrap();
        let _ = may_answer.lock().unwrap().recv();
        Reply::json(200, json!({"customerId": "c"}))
    });
    let daemon = gateway_to(&upstream.url(), "\n[limits]\nmax_connections = 2\n");
    for _ in 0..2 {
        let mut app = daemon.app();
        app.send(&request("POST", "/onboard", &[], Some(b"{}")))
            .unwrap();
        was_asked.recv_timeout(Duration::from_secs(30)).unwrap();
    }
    let refused = daemon
        .app()
        .call("POST", "/flag", &[], Some(b"{}"))
        .unwrap();
    refused.assert_problem(503, "gateway_busy");
    drop(answer);
    poll("a place", Duration::from_secs(30), || {
        let answer = daemon
            .app()
            .call("POST", "/flag", &[], Some(b"{}"))
            .unwrap();
        (answer.status == 200).then_some(())
    });
}

#[test]
fn a_stop_finishes_and_records_what_waldo_answers_meanwhile() {
    let (asked, was_asked) = channel();
    let (answer, may_answer) = channel::<()>();
    let (asked, may_answer) = (Mutex::new(asked), Mutex::new(may_answer));
    let upstream = Upstream::start(move |_| {
        asked.lock().unwrap().send(()).unwrap();
        may_answer.lock().unwrap().recv().unwrap();
        Reply::json(200, json!({"requestId": "r-late", "customerId": "c"}))
    });
    let mut daemon = gateway(&upstream);
    let mut app = daemon.app();
    app.send(&request("POST", "/onboard", &[], Some(b"{}")))
        .unwrap();
    was_asked.recv_timeout(Duration::from_secs(30)).unwrap();
    let log = daemon.place().path().join("stderr.log");
    let answered = std::thread::spawn(move || {
        poll("the stop to begin", Duration::from_secs(30), || {
            std::fs::read_to_string(&log)
                .unwrap()
                .contains("stopping on SIGTERM")
                .then_some(())
        });
        answer.send(()).unwrap();
        app.receive(false).unwrap()
    });
    daemon.stop();
    let answer = answered.join().unwrap();
    assert_eq!(
        (answer.status, answer.header(RECORDED)),
        (200, None),
        "{}",
        daemon.log()
    );
    daemon.start_again();
    assert_eq!(daemon.get("/v1/requests/r-late").status, 200);
}

#[test]
fn an_answer_that_breaks_off_is_told_as_such() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"requestId\":";
    let upstream = Upstream::start(move |_| Reply::raw(cut));
    let daemon = gateway(&upstream);
    let answer = daemon
        .app()
        .call("POST", "/onboard", &[], Some(b"{}"))
        .unwrap();
    answer.assert_problem(502, "waldo_unreachable");
    assert_eq!(answer.header(RECORDED), Some("false"));
}
