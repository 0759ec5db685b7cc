//! Anything that Waldo might answer: what is kept of it has known members only, and none of what stands elsewhere.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use waldo_syncd::domain::Source;
use waldo_syncd::domain::answer::{Beside, Call, outcome};
use waldo_syncd::domain::payload::read;

/// Stands in every member that must not get through.
const PERSONAL: &str = "canary-Ada-Lovelace";

const CALLS: [Call; 5] = [
    Call::Onboard,
    Call::CheckFraud,
    Call::Document,
    Call::Flag,
    Call::Customer,
];

fuzz_target!(|bytes: &[u8]| {
    // The last byte, so that a file with one answer in it is a seed as it is.
    let Some((choice, text)) = bytes.split_last() else {
        return;
    };
    let call = CALLS[usize::from(*choice) % CALLS.len()];
    let beside = Beside {
        deadline_seconds: (choice & 0x40 != 0).then_some(900),
        flag_noted: choice & 0x80 != 0,
    };
    // As it came: whatever can be told apart as one JSON value must be taken or refused.
    if let Ok(raw) = serde_json::from_slice::<Box<serde_json::value::RawValue>>(text) {
        if let Ok(kept) = outcome(call, &raw, beside) {
            check(&kept);
        }
    }
    let Ok(mut answer) = serde_json::from_slice::<Value>(text) else {
        return;
    };
    add_personal(&mut answer);
    for answer in [answer.clone(), json!({ "customers": [answer] })] {
        let raw = to_raw_value(&answer).expect("a value");
        let Ok(kept) = outcome(call, &raw, beside) else {
            continue;
        };
        assert!(!kept.contains(PERSONAL), "{kept}");
        check(&kept);
    }
});

/// Puts personal members beside, and in the place of, what is read.
fn add_personal(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(add_personal);
            let person =
                json!({"firstName": PERSONAL, "officialId": {"value": PERSONAL}, "tag": 1});
            for name in ["firstName", "email", "ipAddress", "note"] {
                members.insert(name.to_owned(), json!(PERSONAL));
            }
            members.insert("officialId".to_owned(), person.clone());
            members.insert("phones".to_owned(), json!([PERSONAL, person.clone()]));
            // Members that are known as a text, a number or a boolean, given as something deeper.
            for name in ["uri", "externalId", "label"] {
                if members.get(name).is_none_or(|value| !value.is_string()) {
                    members.insert(name.to_owned(), person.clone());
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(add_personal),
        _ => {}
    }
}

/// Only members that docs/RULES.md names, each in the shape that it has there; and the store can read it.
fn check(kept: &str) {
    let value: Value = serde_json::from_str(kept).expect("an object");
    let scalar = |value: &Value| !value.is_object() && !value.is_array() && !value.is_null();
    for (name, value) in value.as_object().expect("an object") {
        let known = match name.as_str() {
            "requestId" | "externalId" | "customerId" | "uri" | "flag" | "flagged" | "status"
            | "event" | "seenVersion" | "noted" | "operation" | "deadlineSeconds" => scalar(value),
            "evaluation" => members(value, &["type", "status"], scalar),
            "options" => *value == json!({ "includeFraudCheck": true }),
            "expects" => *value == json!(["kyc", "fraud"]),
            "validation" => {
                let mut outcomes = value.clone();
                let tags = outcomes
                    .as_object_mut()
                    .and_then(|all| all.remove("warningTags"));
                let tags = tags.unwrap_or_else(|| json!([]));
                let tag = |tag: &Value| members(tag, &["tag", "label", "passed", "isDoc"], scalar);
                tags.as_array().is_some_and(|tags| tags.iter().all(tag))
                    && members(
                        &outcomes,
                        &["status", "kyc", "fraudScore", "fraudFlag", "warnings"],
                        scalar,
                    )
            }
            _ => false,
        };
        assert!(known, "{name} in {kept}");
    }
    for source in [Source::Gateway, Source::Poll] {
        read(source, kept.as_bytes(), kept.len() as u64).expect("the store reads what is kept");
    }
}

fn members(value: &Value, names: &[&str], shape: impl Fn(&Value) -> bool) -> bool {
    let all = value.as_object();
    all.is_some_and(|all| {
        all.iter()
            .all(|(name, value)| names.contains(&name.as_str()) && shape(value))
    })
}
