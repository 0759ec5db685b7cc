//! Who may post: secrets in each form, rotation, signatures, sender networks; and that strangers leave no trace.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::common::Daemon;
use crate::common::bodies::*;
use crate::common::http::Answer;

const ONE: &str = "one-0123456789abcdef0123456789abcdef0123456789";
const TWO: &str = "two-0123456789abcdef0123456789abcdef0123456789";
const THREE: &str = "three-456789abcdef0123456789abcdef0123456789";

fn bearer(secret: &str) -> String {
    format!("Bearer {secret}")
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[track_caller]
fn by_header(daemon: &Daemon, authorization: &str) -> Answer {
    daemon.post_to(
        "/webhooks/waldo",
        &[("authorization", authorization)],
        flag("c", true),
    )
}

#[track_caller]
fn by_path(daemon: &Daemon, secret: &str) -> Answer {
    daemon.post_to(&format!("/webhooks/waldo/{secret}"), &[], flag("c", true))
}

/// Nothing but a final event of the test's own is in the log.
#[track_caller]
fn assert_nothing_stored(daemon: &Daemon, path: &str, headers: &[(&str, &str)]) {
    let sentinel = daemon.post_to(path, headers, "sentinel").seq();
    let items = daemon.get_at("/v1/events?limit=1000", sentinel).items();
    assert_eq!(items.len(), 1, "{items:?}");
}

#[test]
fn secret_is_taken_in_path_bearer_and_basic() {
    let daemon = Daemon::start();
    let secret = daemon.secret();
    by_path(&daemon, &secret).seq();
    by_header(&daemon, &bearer(&secret)).seq();
    by_header(&daemon, &basic("waldo", &secret)).seq();
    by_header(&daemon, &basic("", &secret)).seq();
}

#[test]
fn wrong_secret_in_the_path_is_404_and_nothing_is_stored() {
    let daemon = Daemon::start();
    let secret = daemon.secret();
    let mut flipped = secret.clone().into_bytes();
    flipped[0] = if flipped[0] == b'a' { b'b' } else { b'a' };
    for wrong in [
        "wrong".to_owned(),
        secret[..secret.len() - 1].to_owned(),
        secret[1..].to_owned(),
        format!("{secret}x"),
        format!("x{secret}"),
        String::from_utf8(flipped).unwrap(),
        secret.repeat(2),
        "%00".to_owned(),
    ] {
        let answer = by_path(&daemon, &wrong);
        assert_eq!(answer.status, 404, "{wrong}");
        assert!(!answer.text().contains(&secret));
    }
    assert_nothing_stored(&daemon, &daemon.webhook_path(), &[]);
}

#[test]
fn wrong_secret_answers_like_an_unknown_path() {
    let daemon = Daemon::start();
    let wrong = by_path(&daemon, "wrong");
    let nowhere = daemon.post_to("/nowhere", &[], flag("c", true));
    assert_eq!(wrong.status, nowhere.status);
    assert_eq!(wrong.json()["code"], nowhere.json()["code"]);
}

#[test]
fn wrong_or_no_secret_in_the_header_is_401_and_nothing_is_stored() {
    let daemon = Daemon::start();
    let secret = daemon.secret();
    for wrong in [
        bearer("wrong"),
        bearer(&secret[..secret.len() - 1]),
        bearer(&format!("{secret}x")),
        basic("waldo", "wrong"),
        basic(&secret, ""),
        basic(&secret, "wrong"),
        "Basic ???".to_owned(),
        "Bearer".to_owned(),
        "Digest nothing".to_owned(),
        secret.clone(),
        String::new(),
    ] {
        let answer = by_header(&daemon, &wrong);
        assert_eq!(answer.status, 401, "{wrong}");
        assert!(!answer.text().contains(&secret));
    }
    let none = daemon.post_to("/webhooks/waldo", &[], flag("c", true));
    none.assert_problem(401, "unauthorized");
    assert_nothing_stored(&daemon, &daemon.webhook_path(), &[]);
}

#[test]
fn several_secrets_are_valid_during_a_rotation() {
    let daemon = Daemon::configured(|_| {
        format!("[ingest]\nsecret = \"{ONE}\"\nsecrets_accepted = [\"{TWO}\", \"{THREE}\"]\n")
    });
    for secret in [ONE, TWO, THREE] {
        by_path(&daemon, secret).seq();
        by_header(&daemon, &bearer(secret)).seq();
        by_header(&daemon, &basic("x", secret)).seq();
    }
    assert_eq!(by_path(&daemon, "four").status, 404);
    assert!(!daemon.data().join("webhook-secret").exists());
}

#[test]
fn secret_may_come_from_a_file() {
    let daemon = Daemon::configured(|place| {
        let file = place.file("secret", format!("{ONE}\n"));
        format!("[ingest]\nsecret_file = \"{}\"\n", file.display())
    });
    by_path(&daemon, ONE).seq();
    assert_eq!(by_path(&daemon, TWO).status, 404);
}

const KEY: &[u8] = b"a key for signatures, 32 bytes..";

fn signature(body: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

fn signed() -> Daemon {
    Daemon::configured(|place| {
        let file = place.file("hmac-key", KEY);
        format!(
            "[ingest]\nsecret = \"{ONE}\"\nhmac_header = \"X-Relay-Signature\"\nhmac_key_file = \"{}\"\n",
            file.display()
        )
    })
}

#[test]
fn signature_counts_in_hex_and_in_base64() {
    let daemon = signed();
    let path = format!("/webhooks/waldo/{ONE}");
    let body = flag("c", true).to_string();
    let sum = signature(body.as_bytes());
    for text in [hex::encode(&sum), STANDARD.encode(&sum)] {
        let headers = [("x-relay-signature", text.as_str())];
        daemon.post_to(&path, &headers, body.as_str()).seq();
    }
}

#[test]
fn wrong_or_no_signature_is_refused_and_nothing_is_stored() {
    let daemon = signed();
    let path = format!("/webhooks/waldo/{ONE}");
    let body = flag("c", true).to_string();
    let other = hex::encode(signature(b"another body"));
    let cut = hex::encode(&signature(body.as_bytes())[..16]);
    for text in [other.as_str(), cut.as_str(), "", "zz"] {
        let headers = [("x-relay-signature", text)];
        let answer = daemon.post_to(&path, &headers, body.as_str());
        assert_eq!(answer.status, 404, "{text}");
    }
    assert_eq!(daemon.post_to(&path, &[], body.as_str()).status, 404);
    let token = bearer(ONE);
    let unsigned = daemon.post_to(
        "/webhooks/waldo",
        &[("authorization", &token)],
        body.as_str(),
    );
    assert_eq!(unsigned.status, 401);
    let right = hex::encode(signature(b"sentinel"));
    assert_nothing_stored(&daemon, &path, &[("x-relay-signature", &right)]);
}

#[test]
fn signature_alone_is_no_secret() {
    let daemon = signed();
    let body = flag("c", true).to_string();
    let right = hex::encode(signature(body.as_bytes()));
    let headers = [("x-relay-signature", right.as_str())];
    let answer = daemon.post_to("/webhooks/waldo/wrong", &headers, body.as_str());
    assert_eq!(answer.status, 404);
}

fn networks(lines: &str) -> Daemon {
    Daemon::configured(|_| format!("[ingest]\nsecret = \"{ONE}\"\n{lines}\n"))
}

#[track_caller]
fn status_from(daemon: &Daemon, headers: &[(&str, &str)]) -> u16 {
    let path = format!("/webhooks/waldo/{ONE}");
    daemon.post_to(&path, headers, flag("c", true)).status
}

#[test]
fn sender_outside_the_networks_is_refused() {
    let daemon = networks("allow_from = [\"203.0.113.0/24\"]");
    assert_eq!(status_from(&daemon, &[]), 404);
    let token = bearer(ONE);
    assert_eq!(by_header(&daemon, &token).status, 401);
    let daemon = networks("allow_from = [\"203.0.113.0/24\", \"127.0.0.0/8\"]");
    assert_eq!(status_from(&daemon, &[]), 200);
}

#[test]
fn forwarded_sender_of_an_untrusted_peer_is_not_believed() {
    let daemon = networks("allow_from = [\"203.0.113.0/24\"]");
    assert_eq!(
        status_from(&daemon, &[("x-forwarded-for", "203.0.113.7")]),
        404
    );
    assert_eq!(
        status_from(&daemon, &[("forwarded", "for=203.0.113.7")]),
        404
    );
    let daemon = networks("allow_from = [\"127.0.0.0/8\"]");
    assert_eq!(
        status_from(&daemon, &[("x-forwarded-for", "198.51.100.1")]),
        200
    );
}

#[test]
fn forwarded_sender_of_a_trusted_proxy_counts() {
    let daemon = networks(
        "allow_from = [\"203.0.113.0/24\", \"2001:db8::/32\"]\ntrusted_proxies = [\"127.0.0.0/8\"]",
    );
    for (header, value, status) in [
        ("x-forwarded-for", "203.0.113.7", 200),
        ("x-forwarded-for", "2001:db8::7", 200),
        ("x-forwarded-for", "198.51.100.1", 404),
        ("x-forwarded-for", "nonsense", 404),
        ("forwarded", "for=203.0.113.7;proto=https", 200),
        ("forwarded", "for=\"[2001:db8::7]:4711\"", 200),
        ("forwarded", "for=198.51.100.1", 404),
        // What stands left of the last untrusted hop is the sender's own claim.
        ("x-forwarded-for", "203.0.113.7, 198.51.100.1", 404),
        ("x-forwarded-for", "198.51.100.1, 203.0.113.7", 200),
        ("x-forwarded-for", "203.0.113.7, 127.0.0.9", 200),
    ] {
        assert_eq!(
            status_from(&daemon, &[(header, value)]),
            status,
            "{header}: {value}"
        );
    }
    assert_eq!(status_from(&daemon, &[]), 404);
}

#[test]
fn secrets_and_bodies_never_reach_the_log() {
    let key = "hmac-key-canary-0123456789abcdef";
    let canary = "canary-of-a-person";
    let mut daemon = Daemon::configured(|place| {
        let file = place.file("hmac-key", key);
        format!(
            "[ingest]\nsecret = \"{ONE}\"\nsecrets_accepted = [\"{TWO}\"]\nhmac_header = \"x-sign\"\n\
             hmac_key_file = \"{}\"\n[log]\nlevel = \"trace\"\n",
            file.display()
        )
    });
    let body = format!(r#"{{"event":"flag","flag":true,"customerId":"c","note":"{canary}"}}"#);
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let sign = hex::encode(mac.finalize().into_bytes());
    let (token, pair) = (bearer(TWO), basic("waldo", ONE));
    daemon
        .post_to(
            &format!("/webhooks/waldo/{ONE}"),
            &[("x-sign", &sign)],
            body.as_str(),
        )
        .seq();
    for authorization in [token.as_str(), pair.as_str()] {
        let headers = [("authorization", authorization), ("x-sign", sign.as_str())];
        daemon
            .post_to("/webhooks/waldo", &headers, body.as_str())
            .seq();
    }
    // Attempts that fail, each of which a careless line would repeat.
    for path in [format!("/webhooks/waldo/{ONE}x"), format!("/{TWO}")] {
        assert_eq!(daemon.post_to(&path, &[], body.as_str()).status, 404);
    }
    daemon.post_to(
        &format!("/webhooks/waldo/{ONE}"),
        &[],
        format!("{{ {canary}"),
    );
    daemon.get(&format!("/v1/nowhere/{ONE}"));
    daemon.stop();
    let log = daemon.log();
    assert!(!log.is_empty(), "a daemon that says nothing proves nothing");
    for word in [
        ONE,
        TWO,
        key,
        canary,
        &sign,
        &STANDARD.encode(format!("waldo:{ONE}")),
    ] {
        assert!(!log.contains(word), "{word} stands in the log:\n{log}");
    }
}

#[test]
fn made_secret_never_reaches_the_log() {
    let mut daemon = Daemon::start();
    let secret = daemon.secret();
    assert!(secret.len() >= 43, "less than 256 bits: {}", secret.len());
    daemon.deliver(flag("c", true));
    by_path(&daemon, "wrong");
    daemon.restart();
    assert_eq!(daemon.secret(), secret, "a restart keeps the secret");
    daemon.stop();
    assert!(!daemon.log().contains(&secret), "{}", daemon.log());
    assert!(Path::new(&daemon.data().join("webhook-secret")).exists());
}

#[test]
fn many_refusals_are_all_counted_and_few_log_lines() {
    let mut daemon = Daemon::start();
    const GUESSES: usize = 300;
    for guess in 0..GUESSES {
        assert_eq!(by_path(&daemon, &format!("guess-{guess}")).status, 404);
    }
    let metrics = daemon.get("/metrics").text();
    let counted = metrics.lines().find(|line| {
        line.starts_with("waldo_syncd_ingest_answers_total") && line.contains("\"404\"")
    });
    assert!(
        counted.is_some_and(|line| line.ends_with(&format!(" {GUESSES}"))),
        "{metrics}"
    );
    daemon.stop();
    let lines = daemon.log().matches("refused").count();
    // One for the first, and one for each while that has passed since.
    assert!((1..GUESSES / 10).contains(&lines), "{lines} lines");
    assert!(!daemon.log().contains("guess-"), "{}", daemon.log());
}

#[test]
fn guesses_near_the_secret_are_no_nearer() {
    let daemon = Daemon::start();
    let secret = daemon.secret();
    let last = &secret[secret.len() - 1..];
    let other = if last == "0" { "1" } else { "0" };
    let near = [
        secret[..secret.len() - 1].to_owned(),
        format!("{}{other}", &secret[..secret.len() - 1]),
        format!("{secret}{last}"),
        format!("{secret}%00"),
        format!("{secret}%0A"),
        format!("%20{secret}"),
        secret
            .to_uppercase()
            .replace(|c: char| c.is_ascii_digit(), "F"),
        secret.repeat(2),
        secret.chars().rev().collect(),
    ];
    let refused = by_path(&daemon, "nothing-like-it");
    for guess in near {
        let answer = by_path(&daemon, &guess);
        assert_eq!(answer.status, 404, "{guess}");
        assert_eq!(answer.json(), refused.json(), "{guess}");
    }
    assert_nothing_stored(&daemon, &daemon.webhook_path(), &[]);
}
