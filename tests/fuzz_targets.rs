//! The fuzz targets are a package of their own, which neither `cargo test` nor clippy looks at. What they share is compiled
//! here too, so that a change of a door shows at once that they have to change with it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../fuzz/targets/common.rs"]
mod common;

use waldo_syncd::domain::Source;

#[test]
fn the_doors_that_are_fuzzed_answer() {
    let place = common::Place::new();
    let seq = place.append(
        Source::Webhook,
        br#"{"event":"flag","customerId":"c","flag":true}"#,
    );
    let shown = place.ask(&place.query, "GET", "/v1/customers/c", b"");
    assert_eq!(shown.unwrap().json()["lastSeq"], seq.0);
    let told = br#"{"requestId":"r","operation":"onboard"}"#;
    let kept = place.ask(&place.control, "POST", "/v1/requests", told);
    assert_eq!(kept.unwrap().json()["seq"], seq.0 + 1);
}
