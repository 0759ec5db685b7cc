//! Documents: multipart, streamed, 10 MB at most.

use std::io::Write as _;

use serde_json::json;

use super::Sandbox;
use super::common::http::Answer;

const BOUNDARY: &str = "waldo-XyZ";
const TEN_MB: usize = 10 * 1024 * 1024;

fn text(name: &str, value: &str) -> Vec<u8> {
    format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        .into_bytes()
}

fn file(content: &[u8]) -> Vec<u8> {
    let mut part = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"document\"; filename=\"d\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    part.extend_from_slice(content);
    part.extend_from_slice(b"\r\n");
    part
}

#[track_caller]
fn send(sandbox: &Sandbox, parts: &[Vec<u8>]) -> Answer {
    let mut body = parts.concat();
    write!(body, "--{BOUNDARY}--\r\n").unwrap();
    let bearer = format!("Bearer {}", sandbox.token);
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", &kind)];
    let mut client = sandbox.client();
    let answer = client.call("POST", "/document", &headers, Some(&body));
    answer.unwrap_or_else(|error| panic!("POST /document: {error}"))
}

/// Uploads a passport, the file last, as a browser would order the fields of a form.
#[track_caller]
pub fn upload(sandbox: &Sandbox, customer: &str, content: &[u8]) -> Answer {
    send(
        sandbox,
        &[
            text("customerId", customer),
            text("side", "front"),
            text("documentType", "passport"),
            text("issuingCountry", "DEU"),
            file(content),
        ],
    )
}

#[test]
fn a_missing_field_of_a_document_is_named() {
    let sandbox = Sandbox::quick(&[]);
    let id = sandbox.somebody("crm-1");
    let whole = [
        ("document", file(b"%PDF-")),
        ("side", text("side", "back")),
        ("customerId", text("customerId", &id)),
        ("documentType", text("documentType", "driving_licence")),
    ];
    for (missing, _) in &whole {
        let rest = whole.iter().filter(|(name, _)| name != missing);
        let rest: Vec<_> = rest.map(|(_, part)| part.clone()).collect();
        let answer = send(&sandbox, &rest);
        let json = answer.json();
        assert_eq!(
            (answer.status, &json["code"]),
            (400, &json!("MISSING_DATA")),
            "{missing}"
        );
        assert!(
            json["message"].as_str().unwrap().contains(missing),
            "{json}"
        );
    }
    let parts: Vec<_> = whole.into_iter().map(|(_, part)| part).collect();
    assert_eq!(send(&sandbox, &parts).status, 200);
}

#[test]
fn wrong_values_of_a_document_are_refused() {
    let sandbox = Sandbox::quick(&[]);
    let id = sandbox.somebody("crm-1");
    let refused = |parts: &[Vec<u8>]| {
        let answer = send(&sandbox, parts);
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (400, &json!("INVALID_DATA"))
        );
    };
    let common = [
        text("customerId", &id),
        text("side", "front"),
        text("documentType", "passport"),
    ];
    refused(&[&common[..], &[file(b"GIF89a")]].concat());
    refused(
        &[
            &common[..],
            &[text("issuingCountry", "Germany"), file(b"%PDF-")],
        ]
        .concat(),
    );
    refused(
        &[
            &common[..2],
            &[text("documentType", "library_card"), file(b"%PDF-")],
        ]
        .concat(),
    );
    refused(
        &[
            &common[..1],
            &[text("side", "top"), common[2].clone(), file(b"%PDF-")],
        ]
        .concat(),
    );
    refused(
        &[
            &common[1..],
            &[text("customerId", "nobody"), file(b"%PDF-")],
        ]
        .concat(),
    );
    let answer = sandbox.post("/document", json!({"customerId": id}));
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (400, &json!("INVALID_DATA"))
    );
}

#[test]
fn a_document_of_10_mb_is_taken_and_never_held() {
    let sandbox = Sandbox::quick(&[]);
    let id = sandbox.somebody("crm-1");
    let mut content = vec![b'x'; TEN_MB];
    content[..5].copy_from_slice(b"%PDF-");
    // A small one first, so that everything that stays is there.
    assert_eq!(upload(&sandbox, &id, &content[..100_000]).status, 200);
    let before = sandbox.process.peak_memory_kib();
    for _ in 0..3 {
        assert_eq!(upload(&sandbox, &id, &content).status, 200);
    }
    let grown = sandbox.process.peak_memory_kib() - before;
    assert!(grown < 4 * 1024, "10 MB took {grown} KiB");

    content.push(b'x');
    let answer = upload(&sandbox, &id, &content);
    assert_eq!(answer.status, 413, "{}", answer.text());
    sandbox.idle();
    let history = sandbox.get(&format!("/history/kyc/{id}")).json();
    assert_eq!(history["history"].as_array().unwrap().len(), 5);
}
