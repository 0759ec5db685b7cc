//! The status page's files: who gets them, under which policy, and that they ask nobody else. What they do in a browser
//! is tested in tests/browser/.

use std::path::Path;

use crate::common::Daemon;
use crate::common::bodies::*;
use crate::common::http::Answer;

fn call(daemon: &Daemon, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    daemon.reader().call(method, path, headers, None).unwrap()
}

/// Every path of the page, from the source's folder, so that a file that is not served is missed.
fn paths() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/page");
    let mut paths = vec![
        "/".to_owned(),
        "/page/uPlot.js".to_owned(),
        "/page/uPlot.css".to_owned(),
    ];
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name != "page.html" && name != "vendor" {
            paths.push(format!("/page/{name}"));
        }
    }
    assert!(paths.len() > 10, "{paths:?}");
    paths
}

#[test]
fn every_file_of_the_page_comes_under_a_strict_policy() {
    let daemon = Daemon::start();
    for path in paths() {
        let answer = daemon.get(&path);
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.contains(part), "{path}: {part} in {policy}");
        }
        for part in ["unsafe", "http:", "https:", "*", "data:", "blob:"] {
            assert!(!policy.contains(part), "{path}: {part} in {policy}");
        }
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        let kind = answer.header("content-type").unwrap();
        let expected = match path.rsplit_once('.') {
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "svg")) => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!(kind, expected, "{path}");
    }
}

#[test]
fn the_page_has_no_inline_script_no_markup_from_text_and_no_address_elsewhere() {
    let daemon = Daemon::start();
    let library = ["/page/uPlot.js", "/page/uPlot.css"];
    for path in paths() {
        let text = daemon.get(&path).text();
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
        ] {
            assert!(!text.contains(word), "{path}: {word}");
        }
        if library.contains(&path.as_str()) {
            continue;
        }
        for word in [
            "style=\"",
            " onclick",
            " onload",
            "javascript:",
            "url(",
            "@import",
        ] {
            assert!(!text.contains(word), "{path}: {word}");
        }
        // What is asked for stands behind these; names in instructions and the picture's namespace are no requests.
        for word in [
            "src=\"http",
            "src=\"//",
            "href=\"http",
            "href=\"//",
            "from \"http",
            "fetch(\"http",
        ] {
            assert!(!text.contains(word), "{path}: {word}");
        }
    }
    let page = daemon.get("/").text();
    assert!(page.contains("lang=\"en\""));
    for script in page.match_indices("<script").map(|(at, _)| &page[at..]) {
        let tag = script.split('>').next().unwrap();
        assert!(tag.contains(" src=\"page/"), "{tag}");
    }
}

#[test]
fn a_file_that_the_browser_has_is_not_sent_again() {
    let daemon = Daemon::start();
    for path in paths() {
        let etag = daemon.get(&path).header("etag").unwrap().to_owned();
        let again = call(&daemon, "GET", &path, &[("if-none-match", &etag)]);
        assert_eq!(again.status, 304, "{path}");
        assert!(again.body.is_empty(), "{path}");
        assert!(again.header("content-security-policy").is_some(), "{path}");
        let other = call(&daemon, "GET", &path, &[("if-none-match", "\"other\"")]);
        assert_eq!(other.status, 200, "{path}");
    }
}

#[test]
fn the_page_is_read_only_and_keeps_to_its_own_paths() {
    let daemon = Daemon::start();
    for path in ["/", "/page/app.js"] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            call(&daemon, method, path, &[]).assert_problem(405, "method_not_allowed");
        }
        let (get, head) = (daemon.get(path), call(&daemon, "HEAD", path, &[]));
        assert_eq!(head.status, 200);
        assert!(head.body.is_empty());
        assert_eq!(head.header("etag"), get.header("etag"));
        daemon.get(&format!("{path}?x=1")).assert_bad_parameter("x");
    }
    for path in [
        "/page",
        "/page/",
        "/page/page.html",
        "/page/nothing.js",
        "/page/vendor/uPlot.iife.min.js",
        "/page/..%2fpage.rs",
        "/page/%2e%2e/%2e%2e/etc/passwd",
        "/index.html",
    ] {
        daemon.get(path).assert_problem(404, "not_found");
    }
}

#[test]
fn a_foreign_host_gets_no_file_of_the_page() {
    let daemon = Daemon::start();
    for path in paths() {
        let answer = call(&daemon, "GET", &path, &[("host", "evil.example")]);
        answer.assert_problem(421, "misdirected_request");
    }
}

#[test]
fn with_a_token_the_page_is_there_for_whoever_has_none_and_shows_nothing() {
    let daemon = Daemon::configured(|place| {
        let token = place.file("token", "open-sesame-1234567890\n");
        format!("[query]\ntoken_file = \"{}\"\n", token.display())
    });
    daemon.deliver(onboard("customer-canary", "APPROVED", "PASSED"));
    for path in paths() {
        let answer = daemon.get(&path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.text().contains("canary"), "{path}");
    }
    for path in [
        "/v1/stats",
        "/v1/customers",
        "/readyz",
        "/healthz",
        "/metrics",
        "/v1/events/stream",
        "/page/nothing",
    ] {
        let answer = daemon.get(path);
        let expected = if path == "/page/nothing" { 404 } else { 401 };
        assert_eq!(answer.status, expected, "{path}");
    }
}

#[test]
fn what_is_no_page_runs_nothing_in_a_browser() {
    let daemon = Daemon::start();
    let script = daemon.deliver("<!doctype html><script>alert(1)</script>");
    daemon.event(script);
    for path in [
        format!("/v1/events/{script}/payload"),
        format!("/v1/events/{script}"),
        "/v1/nowhere".to_owned(),
    ] {
        let answer = daemon.get(&path);
        let policy = answer.header("content-security-policy").unwrap();
        assert_eq!(
            policy, "default-src 'none'; frame-ancestors 'none'",
            "{path}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let kind = answer.header("content-type").unwrap();
        assert!(!kind.contains("html"), "{path}: {kind}");
    }
}
