//! The control door from outside: answers of Waldo's, and errands for the process that speaks to Waldo. What apps tell
//! of their own calls is in `rules`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::thread;

use serde_json::{Value, json};

use common::Daemon;
use common::http::Answer;

#[track_caller]
fn tell(daemon: &Daemon, path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    daemon
        .controller()
        .call("POST", path, &[], Some(body.as_bytes()))
        .unwrap()
}

fn answer(path: &str, answer: Value) -> Value {
    json!({"source": "gateway", "path": path, "status": 200, "answer": answer})
}

fn sample(name: &str) -> Value {
    let path = format!(
        "{}/tests/fixtures/payloads/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn an_answer_registers_its_request_and_tells_its_outcome() {
    let daemon = Daemon::start();
    let body = json!({
        "requestId": "k7Qm2ZtX9a", "event": "onboard",
        "evaluation": {"type": "kyc", "status": "initiated"},
        "validation": {"status": "REVIEW", "kyc": "PENDING", "fraudScore": 0},
        "options": {"includeFraudCheck": true}, "externalId": "crm-1003", "customerId": "c",
        "uri": "https://app.waldo.ai/customers/c", "firstName": "Ada",
    });
    let told = tell(&daemon, "/v1/answers", &answer("/onboard?x=1", body));
    assert_eq!(told.status, 200, "{}", told.text());
    let seq = told.json()["seq"].as_u64().unwrap();
    let request = daemon.get_at("/v1/requests/k7Qm2ZtX9a", seq).json();
    for (member, expected) in [
        ("operation", json!("onboard")),
        ("state", json!("pending")),
        ("customerId", json!("c")),
        ("externalId", json!("crm-1003")),
        ("expects", json!(["kyc", "fraud"])),
        ("settledBy", json!(null)),
    ] {
        assert_eq!(request[member], expected, "{member}");
    }
    assert!(request["deadlineAt"].is_string());
    let customer = daemon.get("/v1/customers/c").json();
    assert_eq!(customer["status"], "REVIEW");
    let event = daemon.get(&format!("/v1/events/{seq}")).json();
    assert_eq!(event["source"], "gateway");
    assert_eq!(event["originEvidence"], "request_id");
    assert!(!event.to_string().contains("Ada"));
}

#[test]
fn an_answer_that_says_nothing_of_a_customer_is_refused() {
    let daemon = Daemon::start();
    let good = answer("/flag", json!({"flagged": true, "customerId": "c"}));
    for (member, value) in [
        ("source", json!("webhook")),
        ("source", json!("control")),
        ("path", json!("/authenticate")),
        ("status", json!(401)),
        ("answer", json!([1])),
        ("answer", json!({"customers": []})),
        ("more", json!(1)),
    ] {
        let mut body = good.clone();
        body[member] = value;
        tell(&daemon, "/v1/answers", &body).assert_problem(400, "bad_request");
    }
    assert_eq!(daemon.get("/v1/events").items().len(), 0);
    assert_eq!(tell(&daemon, "/v1/answers", &good).status, 200);
}

#[test]
fn the_door_gives_the_reads_too_without_a_token() {
    let daemon = Daemon::configured(|place| {
        let token = place.file("token", "a-long-enough-token");
        format!("[query]\ntoken_file = {token:?}\n")
    });
    daemon
        .get("/v1/requests")
        .assert_problem(401, "unauthorized");
    let seq = daemon.deliver(sample("webhook-onboard-dashboard.json").to_string());
    let path = format!("/v1/customers?minSeq={seq}");
    assert_eq!(daemon.controller().get(&path).items().len(), 1);
    assert_eq!(daemon.controller().get("/v1/requests").items().len(), 0);
    let mut controller = daemon.controller();
    let put = controller.call("PUT", "/v1/requests", &[], Some(b"{}"));
    put.unwrap().assert_problem(405, "method_not_allowed");
}

#[test]
fn an_errand_goes_to_the_outbound_process_and_its_outcome_comes_back() {
    let daemon = Daemon::start();
    let errand = json!({"customerId": "c"});
    tell(&daemon, "/v1/resync", &errand).assert_problem(503, "no_outbound");
    let ask = |wait: u64| tell(&daemon, "/v1/errands", &json!({"waitSeconds": wait})).json();
    let outbound =
        json!({"gateway": "127.0.0.1:1", "polling": true, "trouble": "the key was revoked"});
    assert_eq!(tell(&daemon, "/v1/outbound", &outbound).status, 200);
    assert_eq!(ask(0)["errand"], json!(null));
    let ready = daemon.get("/readyz").json();
    assert_eq!(ready["details"], json!(["the key was revoked"]));
    assert_eq!(
        daemon.get("/v1/stats").json()["outbound"]["gateway"],
        "127.0.0.1:1"
    );
    let (id, taken) = thread::scope(|scope| {
        // Whoever waits is woken; no matter which of the two comes first.
        let asking = scope.spawn(|| ask(30));
        let told = tell(&daemon, "/v1/resync", &errand);
        assert_eq!(told.status, 202, "{}", told.text());
        (told.json()["id"].as_u64().unwrap(), asking.join().unwrap())
    });
    assert_eq!(taken, json!({"id": id, "errand": {"customerId": "c"}}));
    let drift = json!([{"customerId": "c", "fields": [{"field": "status", "from": "REVIEW", "to": "APPROVED"}]}]);
    let report = json!({"checked": 1, "total": 1, "drifted": 1, "drift": drift, "finished": true});
    let path = format!("/v1/errands/{id}");
    assert_eq!(tell(&daemon, &path, &report).status, 200);
    tell(&daemon, &path, &report).assert_problem(404, "not_found");
    let standing = format!("/v1/resync/{id}?wait=5");
    let standing = daemon.controller().get(&standing).json();
    assert_eq!(standing["state"], "done");
    assert_eq!(standing["drift"], drift);
    for bad in [
        json!({}),
        json!({"all": false}),
        json!({"all": true, "overdue": true}),
        json!({"customerId": ""}),
    ] {
        tell(&daemon, "/v1/resync", &bad).assert_problem(400, "bad_request");
    }
    let told = tell(&daemon, "/v1/resync", &json!({})).json();
    assert_eq!(
        told["detail"],
        "expected one of customerId (an id), all (true) and overdue (true)"
    );
    daemon
        .controller()
        .get(&format!("/v1/resync/{}", id + 1))
        .assert_problem(404, "not_found");
}

#[test]
fn a_report_on_an_errand_of_the_daemon_before_is_not_taken() {
    let mut daemon = Daemon::start();
    let errand = |daemon: &Daemon| {
        let told = tell(daemon, "/v1/outbound", &json!({}));
        assert_eq!(told.status, 200);
        let told = tell(daemon, "/v1/resync", &json!({"all": true}));
        told.json()["id"].as_u64().unwrap()
    };
    let before = errand(&daemon);
    daemon.stop();
    daemon.start_again();
    let after = errand(&daemon);
    assert_ne!(before, after);
    let (path, report) = (format!("/v1/errands/{before}"), json!({"finished": true}));
    tell(&daemon, &path, &report).assert_problem(404, "not_found");
    let standing = format!("/v1/resync/{after}");
    assert_eq!(daemon.controller().get(&standing).json()["state"], "queued");
}

#[test]
fn those_who_wait_leave_room_for_registrations() {
    let daemon = Daemon::start();
    let ask = common::http::request("POST", "/v1/errands", &[], Some(b"{\"waitSeconds\":60}"));
    let mut waiting = Vec::new();
    // Whoever asks here may get the last place for a moment, so there is always one more behind.
    common::place::poll("no more places", std::time::Duration::from_secs(30), || {
        for _ in 0..80 {
            let mut one = daemon.controller();
            one.send(&ask).unwrap();
            waiting.push(one);
        }
        let answer = tell(&daemon, "/v1/errands", &json!({"waitSeconds": 1}));
        (answer.status == 503).then(|| answer.assert_problem(503, "too_many_waiting"))
    });
    let told = tell(&daemon, "/v1/errands", &json!({"waitSeconds": 0}));
    assert_eq!(told.status, 200);
    let body = json!({"requestId": "r", "operation": "fraud"});
    assert_eq!(tell(&daemon, "/v1/requests", &body).status, 201);
}

#[test]
fn a_stop_does_not_wait_for_whoever_waits_for_errands() {
    let mut daemon = Daemon::start();
    let mut controller = daemon.controller();
    let body = json!({"waitSeconds": 60}).to_string();
    let asking =
        thread::spawn(move || controller.call("POST", "/v1/errands", &[], Some(body.as_bytes())));
    // Known to be waiting once an errand is taken; it takes that one, and the next one nobody takes.
    common::place::poll("the question", std::time::Duration::from_secs(10), || {
        (tell(&daemon, "/v1/resync", &json!({"all": true})).status == 202).then_some(())
    });
    assert!(asking.join().unwrap().unwrap().json()["id"].is_u64());
    let mut controller = daemon.controller();
    let body = json!({"waitSeconds": 60}).to_string();
    controller
        .send(&common::http::request(
            "POST",
            "/v1/errands",
            &[],
            Some(body.as_bytes()),
        ))
        .unwrap();
    common::place::poll(
        "the outbound process",
        std::time::Duration::from_secs(10),
        || (!daemon.get("/v1/stats").json()["outbound"].is_null()).then_some(()),
    );
    daemon.stop();
    let answer = controller.receive(false);
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 503));
}

#[test]
fn coverage_counts_what_webhooks_told_and_silence_is_seen() {
    let daemon = Daemon::configured(|_| "[requests]\nsilence_after = \"200ms\"\n".to_owned());
    let register = |id: &str| {
        let body = json!({"requestId": id, "operation": "fraud", "customerId": "c"});
        assert_eq!(tell(&daemon, "/v1/requests", &body).status, 201);
    };
    let completed = |id: &str| {
        json!({"requestId": id, "event": "evaluation", "customerId": "c",
               "evaluation": {"type": "fraud", "status": "completed"}})
    };
    for id in ["a", "b", "c"] {
        register(id);
    }
    let stats = daemon.get("/v1/stats").json();
    assert_eq!(stats["coverage"]["ratio"], json!(null));
    daemon.deliver(completed("a").to_string());
    let poll = json!({"source": "poll", "path": "/history/fraud/c", "status": 200, "answer": completed("b")});
    let seq = tell(&daemon, "/v1/answers", &poll).json()["seq"]
        .as_u64()
        .unwrap();
    let stats = daemon.get_at("/v1/stats", seq).json();
    assert_eq!(
        stats["coverage"],
        json!({"days": 30, "ratio": 0.5, "settled": 2, "byWebhook": 1, "inferred": 0, "byPoll": 1, "manual": 0})
    );
    assert_eq!(daemon.get("/v1/requests/b").json()["settledBy"], "poll");
    // A request that is reopened counts no longer as settled.
    let reopening = json!({"requestId": "b", "event": "evaluation", "customerId": "c",
                           "evaluation": {"type": "document", "status": "initiated"}});
    let seq = daemon.deliver(reopening.to_string());
    let stats = daemon.get_at("/v1/stats", seq).json();
    assert_eq!(stats["coverage"]["ratio"], 1.0);
    common::place::poll("silence", std::time::Duration::from_secs(10), || {
        let silence = &daemon.get("/v1/stats").json()["silence"];
        (silence["silent"] == true && silence["since"].is_string()).then_some(())
    });
    common::place::poll(
        "silence in the metrics",
        std::time::Duration::from_secs(10),
        || {
            let metrics = daemon.get("/metrics").text();
            metrics.contains("waldo_syncd_silence 1").then_some(())
        },
    );
    common::place::poll("the warning", std::time::Duration::from_secs(10), || {
        daemon.log().contains("no webhook has come").then_some(())
    });
}

#[test]
fn a_path_tells_which_methods_it_takes_and_refuses_parameters_that_it_does_not_know() {
    let daemon = Daemon::start();
    let call = |method: &str, path: &str| {
        let answer = daemon.controller().call(method, path, &[], Some(b"{}"));
        answer.unwrap()
    };
    for (method, path, allow) in [
        ("GET", "/v1/flags", "POST"),
        ("DELETE", "/v1/flags", "POST"),
        ("PUT", "/v1/requests", "GET, HEAD, POST"),
        ("POST", "/v1/resync/1", "GET, HEAD"),
        ("POST", "/v1/customers", "GET, HEAD"),
    ] {
        let answer = call(method, path);
        answer.assert_problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    assert_eq!(call("HEAD", "/v1/resync/1").status, 404);
    for method in ["GET", "POST", "DELETE"] {
        call(method, "/v1/nope").assert_problem(404, "not_found");
    }
    assert_eq!(call("HEAD", "/v1/requests").status, 200);
    call("POST", "/v1/flags?colour=red").assert_bad_parameter("colour");
    call("GET", "/v1/resync/1?colour=red").assert_bad_parameter("colour");
    // The items of an array are no members, even where they stand in the order of ours.
    let seq = daemon.deliver(r#"{"event":"flag","flag":true,"customerId":"c"}"#);
    daemon.event(seq);
    for (path, body) in [
        ("/v1/flags", r#"["c", true]"#),
        ("/v1/requests", r#" ["r", "other", null, null, []]"#),
        ("/v1/customers/c/erase", "[]"),
    ] {
        let body = Some(body.as_bytes());
        let answer = daemon.controller().call("POST", path, &[], body);
        answer.unwrap().assert_problem(400, "bad_request");
    }
    assert_eq!(daemon.get("/v1/customers/c").status, 200);
    assert_eq!(
        daemon.get("/v1/events").items().len(),
        1,
        "nothing was kept"
    );
}
