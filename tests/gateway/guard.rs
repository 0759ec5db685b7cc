//! Web pages on the same machine may not call Waldo.

use super::common::upstream::Upstream;
use super::{gateway, ok};

#[test]
fn only_this_machines_names_are_answered() {
    let upstream = Upstream::start(ok);
    let daemon = gateway(&upstream);
    let port = daemon.address("gateway").port();
    let mut app = daemon.app();
    for (host, status) in [
        ("localhost", 200),
        (&format!("127.0.0.1:{port}"), 200),
        ("[::1]:80", 200),
        ("rebound.example", 421),
        (&format!("rebound.example:{port}"), 421),
        ("10.0.0.1", 421),
        ("api.waldo.ai", 421),
    ] {
        let answer = app
            .call("POST", "/onboard", &[("Host", host)], Some(b"{}"))
            .unwrap();
        assert_eq!(answer.status, status, "{host}");
    }
    assert_eq!(upstream.seen().len(), 3);
}

#[test]
fn a_page_of_another_origin_is_refused() {
    let upstream = Upstream::start(ok);
    let daemon = gateway(&upstream);
    let own = daemon.address("gateway").to_string();
    let mut app = daemon.app();
    for (origin, status) in [
        (format!("http://{own}"), 200),
        (format!("https://{own}"), 403),
        (format!("http://{own}.evil.example"), 403),
        ("http://127.0.0.1:1".to_owned(), 403),
        ("http://localhost".to_owned(), 403),
        ("https://evil.example".to_owned(), 403),
        ("null".to_owned(), 403),
        (String::new(), 403),
    ] {
        let fields = [("Host", own.as_str()), ("Origin", origin.as_str())];
        let answer = app.call("POST", "/flag", &fields, Some(b"{}")).unwrap();
        assert_eq!(answer.status, status, "{origin}");
        if status == 403 {
            answer.assert_problem(403, "foreign_origin");
        }
        assert!(answer.header("access-control-allow-origin").is_none());
    }
    let good = format!("http://{own}");
    let two = [
        ("Host", own.as_str()),
        ("Origin", good.as_str()),
        ("Origin", "https://evil.example"),
    ];
    assert_eq!(app.call("GET", "/x", &two, None).unwrap().status, 403);
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn what_a_browser_says_comes_from_elsewhere_is_refused() {
    let upstream = Upstream::start(ok);
    let daemon = gateway(&upstream);
    let mut app = daemon.app();
    for (site, status) in [
        ("cross-site", 403),
        ("Cross-Site", 403),
        ("same-site", 403),
        ("same-origin", 200),
        ("none", 200),
    ] {
        let answer = app
            .call("GET", "/customer", &[("Sec-Fetch-Site", site)], None)
            .unwrap();
        assert_eq!(answer.status, status, "{site}");
    }
    assert_eq!(upstream.seen().len(), 2);
}
