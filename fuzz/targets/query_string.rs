//! Any query string at each path of the query door: an answer or a problem that names the parameter, never a fault of
//! the server; and a cursor that was given out is taken back.
#![no_main]

use std::sync::Mutex;
use std::sync::OnceLock;

use common::Place;
use libfuzzer_sys::fuzz_target;
use waldo_syncd::domain::Source;

#[path = "common.rs"]
mod common;

const PATHS: [&str; 10] = [
    "/v1/customers",
    "/v1/customers/a",
    "/v1/customers/a/events",
    "/v1/events",
    "/v1/events/2",
    "/v1/events/2/payload",
    "/v1/events/stream",
    "/v1/requests",
    "/v1/requests/r",
    "/v1/stats",
];

fn place() -> &'static Mutex<Place> {
    static PLACE: OnceLock<Mutex<Place>> = OnceLock::new();
    PLACE.get_or_init(|| {
        let place = Place::new();
        for customer in ["a", "b", "c"] {
            for (request, status) in [("r", "initiated"), ("r", "completed"), ("s", "failed")] {
                let body = format!(
                    r#"{{"event":"evaluation","customerId":"{customer}","requestId":"{customer}{request}","externalId":"e",
                        "evaluation":{{"type":"fraud","status":"{status}"}},
                        "validation":{{"status":"APPROVED","kyc":"PASSED","fraudScore":0.5,"fraudFlag":false}}}}"#
                );
                place.append(Source::Webhook, body.as_bytes());
            }
        }
        place.append(Source::Webhook, b"no JSON");
        Mutex::new(place)
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Some((path, query)) = bytes.split_first() else {
        return;
    };
    let path = PATHS[usize::from(*path) % PATHS.len()];
    let Ok(query) = std::str::from_utf8(query) else {
        return;
    };
    // What comes after it is no part of the query.
    let query = query.split('#').next().unwrap_or_default();
    // That waits for seconds where the log does not reach so far.
    if form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "minSeq") {
        return;
    }
    let place = place().lock().expect("no panic before");
    let target = format!("{path}?{query}");
    let Some(answer) = place.ask(&place.query, "GET", &target, b"") else {
        return;
    };
    answer.check(&target);
    match answer.status.as_u16() {
        200 if path.ends_with("payload") || path.ends_with("stream") => {}
        200 => goes_on(&place, path, query, &answer.json()),
        400 => assert!(
            answer.json()["code"] == "bad_parameter",
            "{target}: {}",
            answer.json()
        ),
        404 => {}
        status => panic!(
            "{status} for {target}: {}",
            String::from_utf8_lossy(&answer.body)
        ),
    }
});

/// The next page can be asked for with what the first one gave.
fn goes_on(place: &Place, path: &str, query: &str, page: &serde_json::Value) {
    let (name, next) = match &page["next"] {
        serde_json::Value::String(cursor) => ("cursor", cursor.clone()),
        serde_json::Value::Number(seq) => ("after", seq.to_string()),
        _ => return,
    };
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.starts_with(name) && !pair.contains('%') && !pair.contains('+'))
        .collect();
    let target = format!("{path}?{name}={next}&{}", kept.join("&"));
    let answer = place
        .ask(&place.query, "GET", &target, b"")
        .expect("a target");
    assert_eq!(
        answer.status,
        200,
        "{target}: {}",
        String::from_utf8_lossy(&answer.body)
    );
}
