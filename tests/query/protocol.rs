//! What holds for every read: the point it was taken at, waiting for a point, methods, HEAD, the Host check, no CORS.

use crate::common::bodies::*;
use crate::common::http::{Answer, Client};
use crate::common::{Daemon, mode};

/// A daemon that knows something at each of the paths.
fn known() -> (Daemon, u64, Vec<String>) {
    let daemon = Daemon::start();
    let seq = daemon.deliver(sample(
        "webhook-evaluation-fraud-completed-with-requestid-inferred.json",
    ));
    daemon.event(seq);
    let paths = vec![
        "/v1/customers".to_owned(),
        format!("/v1/customers/{ADA}"),
        format!("/v1/customers/{ADA}/events"),
        "/v1/events".to_owned(),
        format!("/v1/events/{seq}"),
        format!("/v1/events/{seq}/payload"),
        "/v1/requests".to_owned(),
        format!("/v1/requests/{FRAUD_CHECK}"),
        "/v1/stats".to_owned(),
    ];
    (daemon, seq, paths)
}

fn call(daemon: &Daemon, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    daemon.reader().call(method, path, headers, None).unwrap()
}

#[test]
fn every_read_names_the_point_it_was_taken_at() {
    let (daemon, seq, paths) = known();
    for path in &paths {
        let answer = daemon.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(
            answer.header("waldo-syncd-seq"),
            Some(seq.to_string().as_str()),
            "{path}"
        );
    }
    let next = daemon.deliver(flag(ADA, true));
    for path in &paths {
        let answer = daemon.get_at(path, next);
        assert_eq!(
            answer.header("waldo-syncd-seq"),
            Some(next.to_string().as_str()),
            "{path}"
        );
    }
}

#[test]
fn read_at_a_point_sees_what_was_acknowledged_before() {
    let daemon = Daemon::start();
    for turn in 0..100 {
        let seq = daemon.deliver(flag("c", turn % 2 == 0));
        let row = daemon.get_at("/v1/customers/c", seq).json();
        assert_eq!(row["flagged"], turn % 2 == 0, "turn {turn}");
        assert_eq!(row["lastSeq"], seq);
    }
}

#[test]
fn feed_never_shows_an_event_before_its_effects() {
    let daemon = Daemon::start();
    let path = daemon.webhook_path();
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut client = daemon.sender();
            for turn in 0..400 {
                let body = flag("c", turn % 2 == 0).to_string();
                client
                    .call("POST", &path, &[], Some(body.as_bytes()))
                    .unwrap()
                    .seq();
            }
        });
        let mut reader = daemon.reader();
        while !sender.is_finished() {
            let feed = reader.get("/v1/events?order=desc&limit=1&customerId=c");
            if let Some(newest) = feed.items().first() {
                let row = reader.get("/v1/customers/c").json();
                assert!(
                    row["lastSeq"].as_u64() >= newest["seq"].as_u64(),
                    "{row} {newest}"
                );
            }
        }
        sender.join().unwrap();
    });
}

#[test]
fn point_that_never_comes_is_503() {
    let daemon = Daemon::start();
    let seq = daemon.deliver(flag("c", true));
    let answer = daemon.get(&format!("/v1/customers/c?minSeq={}", seq + 1));
    answer.assert_problem(503, "seq_not_reached");
}

#[test]
fn only_get_and_head_are_served() {
    let (daemon, seq, mut paths) = known();
    paths.extend(["/healthz", "/readyz", "/metrics"].map(str::to_owned));
    for path in &paths {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let answer = call(&daemon, method, path, &[]);
            answer.assert_problem(405, "method_not_allowed");
            let allow = answer.header("allow").unwrap_or_default();
            let mut allowed: Vec<&str> = allow.split(',').map(str::trim).collect();
            allowed.sort_unstable();
            assert_eq!(allowed, ["GET", "HEAD"], "{method} {path}");
        }
    }
    assert_eq!(daemon.get("/v1/stats").json()["durableSeq"], seq);
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let (daemon, _, mut paths) = known();
    paths.extend(["/healthz", "/readyz", "/v1/customers/nobody", "/v1/nowhere"].map(str::to_owned));
    for path in &paths {
        let (get, head) = (
            call(&daemon, "GET", path, &[]),
            call(&daemon, "HEAD", path, &[]),
        );
        assert_eq!(head.status, get.status, "{path}");
        assert!(head.body.is_empty());
        for name in ["content-type", "etag", "waldo-syncd-seq", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{name} of {path}");
        }
        // Figures that grow by themselves may differ in length from one read to the next.
        if path != "/v1/stats"
            && let Some(length) = head.header("content-length")
        {
            assert_eq!(length, get.body.len().to_string(), "{path}");
        }
    }
    // No stray body bytes: the same connection still speaks HTTP.
    let mut reader = daemon.reader();
    for path in &paths {
        reader.call("HEAD", path, &[], None).unwrap();
        assert_eq!(reader.get("/healthz").status, 200, "after HEAD {path}");
    }
}

#[test]
fn foreign_host_is_421() {
    let (daemon, _, paths) = known();
    let port = daemon.address("query").port();
    for host in [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        "localhost.evil.example".to_owned(),
        "127.0.0.1.evil.example".to_owned(),
        format!("127.0.0.1:{port}.evil.example"),
        "192.0.2.1".to_owned(),
        "[2001:db8::1]".to_owned(),
        "evil.example/localhost".to_owned(),
        "localhost@evil.example".to_owned(),
    ] {
        let answer = call(&daemon, "GET", "/v1/customers", &[("host", &host)]);
        assert!(
            matches!(answer.status, 400 | 421),
            "{host}: {} {}",
            answer.status,
            answer.text()
        );
        assert!(!answer.text().contains(ADA), "{host} reads customers");
    }
    for path in paths
        .iter()
        .map(String::as_str)
        .chain(["/healthz", "/metrics", "/nowhere"])
    {
        let answer = call(&daemon, "GET", path, &[("host", "evil.example")]);
        answer.assert_problem(421, "misdirected_request");
    }
}

#[test]
fn loopback_host_is_served_with_and_without_a_port() {
    let daemon = Daemon::start();
    let port = daemon.address("query").port();
    for name in ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"] {
        for host in [name.to_owned(), format!("{name}:{port}")] {
            let answer = call(&daemon, "GET", "/v1/customers", &[("host", &host)]);
            assert_eq!(answer.status, 200, "{host}: {}", answer.text());
        }
    }
}

#[test]
fn configured_host_is_served() {
    let daemon = Daemon::configured(|_| "[query]\nhosts = [\"waldo.internal\"]\n".to_owned());
    let ask = |host: &str| call(&daemon, "GET", "/v1/customers", &[("host", host)]).status;
    assert_eq!(ask("waldo.internal"), 200);
    assert_eq!(ask("waldo.internal:8080"), 200);
    assert_eq!(ask("localhost"), 200);
    assert_eq!(ask("other.internal"), 421);
}

#[test]
fn no_cors_header_is_given_to_anybody() {
    let (daemon, _, paths) = known();
    for path in &paths {
        for origin in ["https://evil.example", "http://localhost", "null"] {
            let answer = call(&daemon, "GET", path, &[("origin", origin)]);
            let given = answer
                .headers
                .iter()
                .find(|(name, _)| name.starts_with("access-control-"));
            assert_eq!(given, None, "{path} for {origin}");
        }
    }
}

#[test]
fn unknown_path_is_404() {
    let (daemon, seq, _) = known();
    for path in [
        "/v1".to_owned(),
        "/v1/".to_owned(),
        "/v1/customers/".to_owned(),
        "/v1/nowhere?limit=1".to_owned(),
        "/v2/customers".to_owned(),
        format!("/v1/customers/{ADA}/nothing"),
        format!("/v1/events/{seq}/nothing"),
        format!("/v1/events/{}", seq + 1),
        format!("/v1/events/{}/payload", seq + 1),
        "/v1/events/0".to_owned(),
        "/webhooks/waldo".to_owned(),
    ] {
        daemon.get(&path).assert_problem(404, "not_found");
    }
}

#[test]
fn errors_and_rows_are_typed_json() {
    let (daemon, _, paths) = known();
    for path in paths.iter().filter(|path| !path.ends_with("/payload")) {
        let answer = daemon.get(path);
        let kind = answer.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/json"), "{path}: {kind}");
        answer.json();
    }
}

#[test]
fn a_token_is_asked_for_where_one_is_configured() {
    const TOKEN: &str = "a-token-of-some-length-1";
    let daemon = Daemon::configured(|place| {
        let token = place.file("token", TOKEN);
        format!("[query]\ntoken_file = {token:?}\n")
    });
    let seq = daemon.deliver(flag("c", true));
    let bearer = format!("Bearer {TOKEN}");
    let wrong = [
        "Bearer a-token-of-some-length-2",
        "Bearer ",
        TOKEN,
        "Bearer",
    ];
    for path in [
        "/v1/customers",
        "/v1/events",
        "/v1/stats",
        "/v1/requests",
        "/v1/events/1/payload",
    ] {
        daemon.get(path).assert_problem(401, "unauthorized");
        for wrong in wrong {
            let answer = call(&daemon, "GET", path, &[("authorization", wrong)]);
            answer.assert_problem(401, "unauthorized");
        }
        let path = format!("{path}?minSeq={seq}");
        let answer = call(&daemon, "GET", &path, &[("authorization", &bearer)]);
        assert_eq!(answer.status, 200, "{path}");
    }
    assert!(!daemon.log().contains("a-token-of"), "{}", daemon.log());
}

#[test]
fn the_query_socket_has_the_configured_mode() {
    let daemon = Daemon::configured(|place| {
        let socket = place.path().join("query.sock");
        format!("[query]\nsocket = {socket:?}\nsocket_mode = \"0600\"\n")
    });
    let socket = daemon.place().path().join("query.sock");
    assert_eq!(mode(&socket), 0o600);
    let answer = Client::unix(&socket).get("/v1/customers");
    assert_eq!(answer.status, 200);
}
