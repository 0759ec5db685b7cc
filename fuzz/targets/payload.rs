//! Any bytes, read as a body from each source: a reading or a reason, never a panic; nothing of it is lost on the way
//! out; and where the plain reading of `serde_json` understands the body too, both understand the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waldo_syncd::domain::fold::{Event, World};
use waldo_syncd::domain::payload::{Kept, Reading, Unreadable, read, text_of};
use waldo_syncd::domain::view::EventView;
use waldo_syncd::domain::{Chain, Digest, Seq, Source, Timestamp};

#[path = "../../tests/model/reference.rs"]
#[allow(dead_code, reason = "the reading is all that is asked for here")]
mod reference;

fuzz_target!(|body: &[u8]| {
    for source in Source::ALL.iter().copied() {
        let reading = read(source, body, body.len() as u64);
        kept_is_whole(&reading);
        if let Ok(reading) = &reading {
            same_as_plain(source, body, reading);
        }
        shown_is_whole(source, body, reading);
    }
    assert!(matches!(
        read(Source::Webhook, body, body.len() as u64 + 1),
        Err(Unreadable::TooLarge { .. })
    ));
});

/// What stands in the place of a pruned body says all that was read of it.
fn kept_is_whole(reading: &Result<Reading, Unreadable>) {
    let text = serde_json::to_string(&Kept::from(reading.clone())).expect("always representable");
    let kept: Kept = serde_json::from_str(&text).expect("what was just written");
    assert_eq!(&Result::from(kept), reading, "{text}");
}

/// The feed shows the body as it came, every digit of it.
fn shown_is_whole(source: Source, body: &[u8], reading: Result<Reading, Unreadable>) {
    let event = Event {
        seq: Seq(1),
        received_at: Timestamp(0),
        source,
        digest: Digest::of(body),
        reading,
    };
    let verdict = World::default().step(&event);
    let shown = EventView {
        event,
        chain: Chain::GENESIS,
        payload: Some(body.to_vec()),
        origin: verdict.origin,
        evidence: verdict.evidence,
        disposition: verdict.disposition,
        duplicate_of: verdict.duplicate_of,
        request_id: None,
        problems: verdict.problems,
        replaced: None,
    };
    let shown = String::from_utf8(shown.to_json()).expect("an event is shown as text");
    let whole = serde_json::from_str::<&serde_json::value::RawValue>(&shown);
    assert!(whole.is_ok(), "{whole:?}: {shown}");
    let is_json = text_of(body)
        .ok()
        .filter(|text| serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok())
        // What JSON calls white space, which is less than ASCII does.
        .map(|text| text.trim_matches([' ', '\t', '\n', '\r']));
    match is_json {
        Some(text) => assert!(shown.contains(&format!(r#""payload":{text}"#)), "{shown}"),
        None => assert!(shown.contains(r#""payloadBase64":"#), "{shown}"),
    }
}

fn same_as_plain(source: Source, body: &[u8], reading: &Reading) {
    let Ok(text) = std::str::from_utf8(body) else {
        return;
    };
    // Where the plain reading gives up (depth, numbers past a float, escapes for no character), there is nothing to compare.
    let Some(said) = reference::Delivery::new(source.as_str(), text.to_owned()).said else {
        return;
    };
    let evaluation = reading.evaluation.clone().unwrap_or_default();
    let outcomes = &reading.validation;
    assert_eq!(reading.kind(source).map(|kind| kind.as_str()), said.kind);
    assert_eq!(reading.customer_id, said.customer);
    assert_eq!(reading.external_id, said.external);
    assert_eq!(reading.request_id, said.request);
    assert_eq!(reading.uri, said.uri);
    assert_eq!(evaluation.r#type, said.evaluation);
    assert_eq!(evaluation.status, said.evaluation_status);
    assert_eq!(outcomes.status, said.status);
    assert_eq!(outcomes.kyc, said.kyc);
    assert_eq!(outcomes.fraud_score, said.score);
    assert_eq!(outcomes.fraud_flag, said.fraud_flag);
    assert_eq!(reading.flag, said.flag);
    assert_eq!(reading.settled.map(|state| state.as_str()), said.settled);
}
