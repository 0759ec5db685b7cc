//! The program: its start, its end, its help.

use std::net::TcpListener;

use serde_json::json;

use super::Sandbox;
use super::common::http::Client;
use super::common::{Daemon, Place};

#[test]
fn it_says_what_it_is_and_stops_cleanly() {
    let mut sandbox = Sandbox::start(&["--pace", "1h"]);
    sandbox.onboard("crm-1", json!({}));
    let log = sandbox.process.log();
    for word in [
        super::KEY,
        &sandbox.process.address("sandbox").to_string(),
        "the seed is",
    ] {
        assert!(log.contains(word), "{word}: {log}");
    }
    assert!(!log.contains("s3cret"), "{log}");
    sandbox.process.stop();
}

#[test]
fn a_secret_of_ones_own_is_not_logged() {
    let place = Place::new();
    let ready = place.path().join("ready.json").display().to_string();
    let arguments = [
        "sandbox",
        "--listen",
        "127.0.0.1:0",
        "--ready-file",
        &ready,
        "--client-secret",
        "hush",
    ];
    let mut process = Daemon::start_as(place, arguments.map(str::to_owned).to_vec());
    let mut client = Client::tcp(process.address("sandbox"));
    for (secret, status) in [(super::SECRET, 401), ("hush", 200)] {
        let body = json!({"apiKey": super::KEY, "clientSecret": secret}).to_string();
        let answer = client.call("POST", "/authenticate", &[], Some(body.as_bytes()));
        assert_eq!(answer.unwrap().status, status);
    }
    process.stop();
    assert!(!process.log().contains("hush"), "{}", process.log());
}

#[test]
fn a_busy_port_is_1_and_says_so() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run = place.run(&["sandbox", "--listen", &address]);
    run.assert_code(1);
    for word in ["sandbox", &address, "another process"] {
        assert!(run.stderr.contains(word), "{word}: {}", run.stderr);
    }
}

#[test]
fn wrong_options_are_2() {
    let place = Place::new();
    for arguments in [
        ["--webhook-url", "https://hooks.example.com/x"],
        ["--webhook-url", "7311"],
        ["--lose", "2"],
        ["--lose", "often"],
        ["--pace", "fast"],
        ["--pace", "1000years"],
        ["--seed", "-1"],
    ] {
        let run = place.run(&[&["sandbox"][..], &arguments].concat());
        run.assert_code(2);
        assert!(run.stderr.len() > 15, "{}", run.stderr);
    }
}
