//! Any body at each path of the control door: an answer or a problem, never a fault of the server; what is answered with
//! a `seq` is in the log, and what the log then holds can be shown.
#![no_main]

use std::sync::{Mutex, OnceLock};

use common::Place;
use libfuzzer_sys::fuzz_target;

#[path = "common.rs"]
mod common;

const ADD_AN_EVENT: usize = 4;
/// Events after which a new store is begun: memory and disk stay small however long this runs.
const MOST_EVENTS: u64 = 5_000;

/// The first ones add an event, and say which.
const PATHS: [&str; 10] = [
    "/v1/requests",
    "/v1/flags",
    "/v1/answers",
    "/v1/requests/r/settle",
    "/v1/resync",
    "/v1/errands",
    "/v1/errands/1",
    "/v1/outbound",
    "/v1/prune",
    "/v1/customers/c/erase",
];

fn place() -> &'static Mutex<Place> {
    static PLACE: OnceLock<Mutex<Place>> = OnceLock::new();
    PLACE.get_or_init(|| Mutex::new(Place::new()))
}

fuzz_target!(|bytes: &[u8]| {
    let Some((path, body)) = bytes.split_first() else {
        return;
    };
    let number = usize::from(*path) % PATHS.len();
    let path = PATHS[number];
    let mut place = place().lock().expect("no panic before");
    let answer = place
        .ask(&place.control, "POST", path, body)
        .expect("a target");
    answer.check(path);
    match answer.status.as_u16() {
        200..=202 if number < ADD_AN_EVENT => {
            let seq = answer.json()["seq"].as_u64().expect("the seq of an event");
            is_in_the_log(&place, path, seq);
            if seq > MOST_EVENTS {
                *place = Place::new();
            }
        }
        200..=204 | 400 | 404 | 409 | 413 | 503 => {}
        status => panic!(
            "{status} from {path}: {}",
            String::from_utf8_lossy(&answer.body)
        ),
    }
});

fn is_in_the_log(place: &Place, path: &str, seq: u64) {
    let target = format!("/v1/events/{seq}?minSeq={seq}");
    let event = place
        .ask(&place.query, "GET", &target, b"")
        .expect("a target");
    assert_eq!(
        event.status,
        200,
        "{path}: {}",
        String::from_utf8_lossy(&event.body)
    );
    assert_eq!(event.json()["seq"], seq);
}
