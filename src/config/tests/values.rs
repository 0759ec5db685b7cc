use super::*;

/// Takes each text by its key from a flag; the second list must be refused.
fn takes(key: &str, good: &[&str], bad: &[&str]) {
    for text in good {
        let result = from_flags(&[(key, text)]);
        assert!(result.is_ok(), "{key} = {text:?}: {}", result.unwrap_err());
    }
    for text in bad {
        let error = from_flags(&[(key, text)]).expect_err(text);
        assert!(
            error.to_string().starts_with("bad value"),
            "{key} = {text:?}: {error}"
        );
    }
}

#[test]
fn addresses_are_host_and_port() {
    takes(
        "ingest.listen",
        &[
            "127.0.0.1:0",
            "[::1]:7311",
            "[::]:65535",
            "localhost:80",
            "my-host.example:1",
            " 127.0.0.1:1 ",
        ],
        &[
            "",
            "7311",
            ":7311",
            "127.0.0.1",
            "localhost:",
            "localhost:65536",
            "localhost:+80",
            "::1:80",
            "a b:1",
            "*:1",
        ],
    );
    takes("gateway.listen", &["", "127.0.0.1:7313"], &["on"]);
}

#[test]
fn api_url_is_a_bare_origin() {
    takes(
        "waldo.api_url",
        &[
            "https://api.waldo.ai",
            "https://api.waldo.ai/",
            "http://127.0.0.1:8080",
            "http://[::1]:1",
            "HTTPS://A.B",
        ],
        &[
            "",
            "api.waldo.ai",
            "ftp://a",
            "https://",
            "https:///x",
            "https://a/v1",
            "https://a?x=1",
            "https://a#x",
            "https://user:pw@a",
            "https://a:99999",
            "https://a:0",
            "https://a:",
            "https://a b",
            "https://a//",
            "file:///etc/passwd",
        ],
    );
    let config = from_flags(&[("waldo.api_url", "HTTPS://Api.Waldo.ai/")])
        .unwrap()
        .config;
    assert_eq!(config.waldo.api_url, "https://api.waldo.ai");
    takes(
        "query.cors_origins",
        &["", "https://a.example,http://localhost:3000"],
        &["*", "null", "https://a/x"],
    );
}

#[test]
fn plain_http_to_another_machine_is_a_warning() {
    for (url, count) in [
        ("https://api.waldo.ai", 0),
        ("http://127.0.0.1:1", 0),
        ("http://localhost:1", 0),
        ("http://[::1]:1", 0),
        ("http://api.waldo.ai", 1),
        ("http://localhost.evil.example", 1),
    ] {
        let warnings = from_flags(&[("waldo.api_url", url)]).unwrap().warnings;
        assert_eq!(warnings.len(), count, "{url} {warnings:?}");
    }
}

#[test]
fn sizes_are_numbers_with_or_without_a_unit() {
    for (text, bytes) in [
        ("1 MiB", 1 << 20),
        ("1mib", 1 << 20),
        ("64 MiB", 64 << 20),
        ("1024", 1024),
        ("2000 B", 2000),
        ("500 kB", 500_000),
        ("3MB", 3_000_000),
    ] {
        let config = from_flags(&[("ingest.max_body", text)]).unwrap().config;
        assert_eq!(config.ingest.max_body.bytes(), bytes, "{text}");
    }
    let bad = [
        "",
        "1023",
        "65 MiB",
        "-1",
        "1.5 MiB",
        "MiB",
        "1 XiB",
        "99999999999999999999",
        "99999999999 TiB",
    ];
    takes("ingest.max_body", &["1 KiB"], &bad);
    takes("store.queue_bytes", &["1 GiB"], &["0"]);
    takes(
        "limits.max_head_bytes",
        &["8 KiB", "1 MiB"],
        &["4 KiB", "2 MiB"],
    );
    assert_eq!(
        Folder::new("[ingest]\nmax_body = 2_048\n")
            .load()
            .unwrap()
            .config
            .ingest
            .max_body,
        ByteSize::kib(2)
    );
    assert_eq!(ByteSize(1536).to_string(), "1536");
    assert_eq!(ByteSize(0).to_string(), "0");
    assert_eq!(ByteSize::mib(64).as_usize(), 64 << 20);
}

#[test]
fn durations_have_a_unit_and_are_above_zero() {
    takes(
        "requests.deadline",
        &["15m", "7d", "1h 30m", "500ms", "2 weeks", "1y"],
        &["", "0s", "15", "-1m", "m", "1000y", "99999999999999999999s"],
    );
    for key in KEYS
        .iter()
        .filter(|key| key.expects.starts_with("a duration"))
    {
        takes(&key.dotted(), &[], &["0s", "15"]);
    }
    assert!(complaint("[requests]\ndeadline = 900\n").contains("expected a duration above zero"));
    for (text, shown) in [
        ("90m", "90m"),
        ("120m", "2h"),
        ("365d", "365d"),
        ("1500ms", "1500ms"),
        ("1us", "1us"),
    ] {
        let loaded = from_flags(&[("requests.deadline", text)]).unwrap();
        assert!(
            show(&loaded).contains(&format!("deadline = \"{shown}\"")),
            "{text}"
        );
    }
}

#[test]
fn numbers_have_bounds() {
    takes(
        "waldo.poll_concurrency",
        &["1", "16", " 2 "],
        &["0", "17", "-1", "two", ""],
    );
    takes("store.queue_events", &["1"], &["0", "-1", "1.5"]);
    takes("store.max_lag", &["1"], &["0", "99999999999999999999"]);
    takes("backup.keep", &["1"], &["0", "4294967296"]);
    takes("limits.max_connections", &["1", "65536"], &["0", "65537"]);
    takes("limits.max_head_fields", &["1", "1000"], &["0", "1001"]);
    for text in [
        "\"2\"",
        "2.0",
        "true",
        "[2]",
        "2024-01-01",
        "9223372036854775808",
    ] {
        assert!(
            complaint(&format!("[waldo]\npoll_concurrency = {text}\n")).starts_with("bad value")
        );
    }
    let config = Folder::new("[waldo]\npoll_concurrency = 0x10\n")
        .load()
        .unwrap()
        .config;
    assert_eq!(config.waldo.poll_concurrency, 16);
}

#[test]
fn networks_are_cidr_or_single_addresses() {
    takes(
        "ingest.allow_from",
        &["", "10.0.0.0/8", "203.0.113.7", "2001:db8::/32, ::1"],
        &["10.0.0.0/33", "example.com", "10.0.0", "10.0.0.0/8,,"],
    );
    let config = from_flags(&[("ingest.trusted_proxies", "127.0.0.1,10.9.8.7/8")])
        .unwrap()
        .config;
    let shown: Vec<String> = config
        .ingest
        .trusted_proxies
        .iter()
        .map(|net| net.to_string())
        .collect();
    assert_eq!(shown, ["127.0.0.1/32", "10.0.0.0/8"]);
    assert!(
        complaint("[ingest]\nallow_from = \"10.0.0.0/8\"\n")
            .contains("expected a list of networks")
    );
}

#[test]
fn names_are_checked() {
    let long = "a".repeat(64);
    takes(
        "query.hosts",
        &["", "localhost", "A.example,b-c.example", "10.0.0.1"],
        &["a b", "a.example:80", "http://a", "-a", "a.", &long, "*"],
    );
    takes("ingest.hmac_header", &[""], &["X Signature", "X:Y", "é"]);
    let hmac = [
        ("ingest.hmac_header", "X-Signature"),
        ("ingest.hmac_key_file", "k"),
    ];
    assert!(from_flags(&hmac).is_ok());
    takes(
        "log.level",
        &["off", "INFO", "trace"],
        &["", "loud", "info,hyper=off"],
    );
    takes("log.format", &["", "text", "json", "journal"], &["xml"]);
    takes(
        "query.socket_mode",
        &["0660", "600", "0o666"],
        &["", "660x", "0888", "01777", "6", "+660"],
    );
    assert!(complaint("[query]\nsocket_mode = 660\n").contains("expected an octal mode in quotes"));
    let deep = format!("/{}", "s".repeat(107));
    takes("query.socket", &["", &deep[..107]], &[&deep]);
    takes("control.path", &["", &deep[..107]], &[&deep]);
}
