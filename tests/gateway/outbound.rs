//! The outbound role as a process of its own, and what it says when it cannot work.

use serde_json::json;

use super::common::http::Client;
use super::common::place::{EXIT_LIMIT, poll};
use super::common::upstream::{Reply, Seen, Upstream};
use super::common::{Daemon, Place};
use super::{CREDENTIALS, await_metric, ok};

/// `outbound` in a place of its own, with this control socket.
#[track_caller]
fn outbound(upstream: &Upstream, place: Place, control: &std::path::Path) -> Daemon {
    let config = place.file(
        "config.toml",
        format!("[waldo]\napi_url = \"{}\"\n", upstream.url()),
    );
    let ready = place.path().join("ready.json");
    let data = place.data();
    let arguments = [
        "outbound",
        "--gateway",
        "127.0.0.1:0",
        "--config",
        config.to_str().unwrap(),
        "--data-dir",
        data.to_str().unwrap(),
        "--control",
        control.to_str().unwrap(),
        "--ready-file",
        ready.to_str().unwrap(),
    ];
    let arguments = arguments.map(String::from).to_vec();
    Daemon::start_as(place, arguments)
}

#[test]
fn a_process_of_its_own_records_by_the_daemons_control_socket() {
    let upstream =
        Upstream::start(|_| Reply::json(200, json!({"requestId": "r-apart", "customerId": "c"})));
    let daemon = Daemon::start();
    let mut apart = outbound(&upstream, Place::new(), &daemon.place().control());
    let members: Vec<_> = apart.doors().as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["gateway"]);
    let answer = apart
        .app()
        .call("POST", "/onboard", &[], Some(b"{}"))
        .unwrap();
    assert_eq!(
        (answer.status, answer.header("waldo-syncd-recorded")),
        (200, None),
        "{}",
        apart.log()
    );
    assert_eq!(daemon.get("/v1/requests/r-apart").status, 200);
    // Nobody serves that process's numbers but the daemon.
    for (name, number) in [
        ("gateway_calls_total{status=\"2xx\"}", 1),
        ("gateway_answers_total{recorded=\"yes\"}", 1),
        ("door_accepted_total{door=\"gateway\"}", 1),
    ] {
        await_metric(&daemon, &format!("waldo_syncd_{name}"), number);
    }
    apart.stop();
    assert!(!apart.data().exists(), "it has no data");
}

#[test]
fn without_a_daemon_the_answer_comes_through_unrecorded() {
    let upstream =
        Upstream::start(|_| Reply::json(200, json!({"requestId": "r", "customerId": "c"})));
    let place = Place::new();
    let control = place.path().join("nobody.sock");
    let apart = outbound(&upstream, place, &control);
    let answer = apart
        .app()
        .call("POST", "/onboard", &[], Some(b"{}"))
        .unwrap();
    assert_eq!(
        (
            answer.json()["requestId"].as_str(),
            answer.header("waldo-syncd-recorded")
        ),
        (Some("r"), Some("false"))
    );
    assert!(apart.log().contains("nobody.sock"), "{}", apart.log());
}

#[test]
fn the_control_socket_is_told_outcomes_and_nothing_else() {
    let upstream = Upstream::start(|_| {
        Reply::json(
            201,
            json!({"requestId": "r", "customerId": "c", "firstName": "person", "validation": {"kyc": "PENDING", "dob": "person"}}),
        )
    });
    let place = Place::new();
    let path = place.path().join("fake.sock");
    let control = Upstream::control(&path, |_| Reply::json(202, "{}"));
    let apart = outbound(&upstream, place, &path);
    let answer = apart
        .app()
        .call("POST", "/onboard/?q=person", &[], Some(b"{}"))
        .unwrap();
    assert_eq!(
        (answer.status, answer.header("waldo-syncd-recorded")),
        (201, None)
    );
    let told: Vec<_> = control
        .seen()
        .iter()
        .filter(|seen| seen.is("POST", "/v1/answers"))
        .map(Seen::json)
        .collect();
    let outcome = json!({"requestId": "r", "customerId": "c", "event": "onboard", "validation": {"kyc": "PENDING"}});
    assert_eq!(
        told,
        [json!({"source": "gateway", "path": "/onboard", "status": 201, "answer": outcome})]
    );
}

#[test]
fn a_daemon_that_does_not_keep_it_is_told_to_the_app() {
    let upstream =
        Upstream::start(|_| Reply::json(200, json!({"requestId": "r", "customerId": "c"})));
    let place = Place::new();
    let path = place.path().join("fake.sock");
    let _control = Upstream::control(&path, |_| Reply::json(503, "{}"));
    let apart = outbound(&upstream, place, &path);
    let answer = apart.app().call("POST", "/flag", &[], Some(b"{}")).unwrap();
    assert_eq!(answer.header("waldo-syncd-recorded"), Some("false"));
    assert!(apart.log().contains("503"), "{}", apart.log());
}

#[test]
fn with_nothing_to_do_it_says_what_to_configure() {
    let place = Place::new();
    let run = place.cli(&["outbound"]);
    run.assert_code(1);
    assert!(
        run.stderr.contains("[gateway] listen") && run.stderr.contains("api_key_file"),
        "{}",
        run.stderr
    );
    let run = place.cli(&[
        "serve",
        "--outbound",
        "--ingest",
        "127.0.0.1:0",
        "--query",
        "127.0.0.1:0",
    ]);
    run.assert_code(1);
    assert!(run.stderr.contains("[gateway] listen"), "{}", run.stderr);
    place
        .cli(&["serve", "--gateway", "127.0.0.1:0"])
        .assert_code(2);
}

#[test]
fn half_of_the_credentials_are_refused() {
    let place = Place::new();
    let config = place.file(
        "config.toml",
        "[waldo]\napi_key = \"wk.alone-in-its-file\"\n",
    );
    let run = place.cli(&[
        "outbound",
        "--gateway",
        "127.0.0.1:0",
        "--config",
        config.to_str().unwrap(),
    ]);
    run.assert_code(1);
    assert!(
        run.stderr.contains("client_secret") && !run.stderr.contains("alone"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_gateway_that_cannot_be_opened_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = Place::new();
    for arguments in [
        &["outbound", "--gateway", &address][..],
        &[
            "serve",
            "--ingest",
            "127.0.0.1:0",
            "--query",
            "127.0.0.1:0",
            "--outbound",
            "--gateway",
            &address,
        ],
    ] {
        let run = place.cli(arguments);
        run.assert_code(1);
        assert!(
            run.stderr
                .contains(&format!("cannot open the gateway door at {address}")),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn https_without_certificates_is_told_at_the_start() {
    let place = Place::new();
    let empty = place.file("no-certificates.pem", "");
    let mut command = place.command();
    command.args(["outbound", "--gateway", "127.0.0.1:0"]);
    command.env("SSL_CERT_FILE", empty);
    let run = place.finish(command);
    run.assert_code(1);
    assert!(run.stderr.contains("ca-certificates"), "{}", run.stderr);
}

#[test]
fn the_log_and_doors_json_name_the_gateway() {
    let upstream = Upstream::start(ok);
    let daemon = super::gateway(&upstream);
    let address = daemon.address("gateway").to_string();
    let doors: serde_json::Value =
        serde_json::from_slice(&std::fs::read(daemon.data().join("doors.json")).unwrap()).unwrap();
    assert_eq!(doors["gateway"], address);
    assert!(
        daemon
            .log()
            .contains(&format!("the gateway door is open at {address}"))
    );
}

#[test]
fn serve_alone_says_who_does_it() {
    let daemon = Daemon::configured(|_| {
        format!("[gateway]\nlisten = \"127.0.0.1:0\"\n[waldo]\n{CREDENTIALS}")
    });
    assert!(daemon.doors()["gateway"].is_null());
    // The ready file may be there a moment before the line.
    poll("the line that says who", EXIT_LIMIT, || {
        daemon.log().contains("waldo-syncd outbound").then_some(())
    });
    assert!(
        !daemon.log().contains("does not do it yet"),
        "{}",
        daemon.log()
    );
}

#[test]
fn a_socket_of_systemds_is_used_instead_of_an_own_one() {
    let upstream = Upstream::start(ok);
    let place = Place::new();
    let config = place.file(
        "config.toml",
        format!("[waldo]\napi_url = \"{}\"\n", upstream.url()),
    );
    let ready = place.path().join("ready.json");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let plain = place.command();
    let mut command = std::process::Command::new("sh");
    command.args([
        "-c",
        "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=gateway exec \"$@\"",
        "sh",
    ]);
    command
        .arg(plain.get_program())
        .args(["outbound", "--config"])
        .arg(config);
    command
        .arg("--data-dir")
        .arg(place.data())
        .arg("--ready-file")
        .arg(&ready);
    command.stdin(std::os::fd::OwnedFd::from(listener));
    command.stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let doors = poll("the ready file", EXIT_LIMIT, || {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        std::fs::read(&ready).ok()
    });
    let doors: serde_json::Value = serde_json::from_slice(&doors).unwrap();
    let answer = Client::tcp(address).call("GET", "/customer", &[], None);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(doors, json!({ "gateway": address.to_string() }));
    assert_eq!(answer.unwrap().status, 200);
}
