//! Seeded misbehaviour: what can go wrong on the way of a webhook, and how its shape may differ.
//!
//! Invariant: a changed shape says the same as the original to a reader that takes both shapes of tags, any casing of
//! words, unknown members and nulls; what a webhook newly tells is never made unreadable.

use std::time::Duration;

use fastrand::Rng;
use serde_json::{Map, Value, json};

/// How often what goes wrong: probabilities from 0 to 1 and amounts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mischief {
    /// Sent twice.
    pub duplicates: f64,
    /// Held until the customer's next webhook went out.
    pub reorder: f64,
    /// Late by up to this.
    pub delay: Duration,
    /// Never sent.
    pub lose: f64,
    /// An API call's webhook without its `requestId`.
    pub loops: f64,
    /// Followed by one with a made-up event.
    pub unknown: f64,
    /// In another shape.
    pub changed_shapes: f64,
    /// Held back until there are so many.
    pub burst: usize,
}

/// What happens to one webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct Draws {
    /// Never sent.
    pub lost: bool,
    /// Sent again, after this part of the longest time.
    pub duplicate: Option<f64>,
    /// Held until the next one.
    pub held: bool,
    /// Late by this.
    pub delay: Duration,
    /// Without its `requestId`.
    pub without_request: bool,
    /// Followed by a made-up one.
    pub unknown: Option<u64>,
    /// In another shape.
    pub reshape: Option<u64>,
    /// For shapes that the pages show in two versions.
    pub older: bool,
}

impl Mischief {
    /// Draws in one order, whatever is switched on.
    pub fn draw(&self, rng: &mut Rng) -> Draws {
        let mut happens = |share: f64| rng.f64() < share;
        let lost = happens(self.lose);
        let duplicate = happens(self.duplicates);
        let held = happens(self.reorder);
        let without_request = happens(self.loops);
        let unknown = happens(self.unknown);
        let reshape = happens(self.changed_shapes);
        let older = happens(0.5);
        let (after, late) = (rng.f64(), rng.f64());
        let (unknown_seed, shape_seed) = (rng.u64(..), rng.u64(..));
        Draws {
            lost,
            duplicate: duplicate.then_some(after),
            held,
            delay: self.delay.mul_f64(late),
            without_request,
            unknown: unknown.then_some(unknown_seed),
            reshape: reshape.then_some(shape_seed),
            older,
        }
    }
}

/// A webhook that no page knows: a new event name, or what the dashboard's test tool might send.
pub fn made_up(seed: u64, customer_id: &str) -> Value {
    match seed % 4 {
        0 => {
            json!({"event": "customer.archived", "customerId": customer_id, "archived": true})
        }
        1 => json!({"event": "monitoring", "customerId": customer_id, "hits": []}),
        2 => json!({"event": "test", "message": "This is a test webhook"}),
        _ => json!({"test": true}),
    }
}

/// Changes the shape and keeps the meaning. `in_flight`: its `validation` only repeats old values.
pub fn reshape(body: &mut Map<String, Value>, seed: u64, in_flight: bool) {
    let mut rng = Rng::with_seed(seed);
    let mut changed = false;
    // At least one thing changes; the last one can always.
    while !changed {
        if rng.bool() {
            changed |= recase(body, &mut rng);
        }
        if rng.bool() {
            changed |= turn_tags(body);
        }
        if in_flight && rng.bool() {
            changed |= score_as_text(body);
        }
        if rng.bool() {
            for name in ["flag", "requestId", "evaluation", "errors", "reason"] {
                if !body.contains_key(name) && rng.bool() {
                    body.insert(name.to_owned(), Value::Null);
                    changed = true;
                }
            }
        }
        if rng.bool() {
            body.insert(
                "meta".to_owned(),
                json!({"version": "2", "attempt": "1", "sentAt": 1_731_000_000_123_u64}),
            );
            changed = true;
        }
    }
}

fn recase(body: &mut Map<String, Value>, rng: &mut Rng) -> bool {
    let mut changed = false;
    let mut turn = |value: Option<&mut Value>| {
        if let Some(Value::String(word)) = value
            && rng.bool()
        {
            let other = if word.chars().any(char::is_uppercase) {
                word.to_lowercase()
            } else {
                word.to_uppercase()
            };
            changed |= other != *word;
            *word = other;
        }
    };
    turn(body.get_mut("event"));
    for (object, members) in [
        ("evaluation", ["type", "status"]),
        ("validation", ["status", "kyc"]),
    ] {
        if let Some(Value::Object(object)) = body.get_mut(object) {
            for name in members {
                turn(object.get_mut(name));
            }
        }
    }
    changed
}

fn turn_tags(body: &mut Map<String, Value>) -> bool {
    let Some(tags) = body
        .get_mut("validation")
        .and_then(|validation| validation.get_mut("warningTags"))
    else {
        return false;
    };
    *tags = match tags.take() {
        Value::Array(items) => Value::Object(
            items
                .into_iter()
                .filter_map(|item| Some((item.get("tag")?.as_str()?.to_owned(), item)))
                .collect(),
        ),
        Value::Object(members) => Value::Array(members.into_iter().map(|(_, item)| item).collect()),
        other => other,
    };
    true
}

fn score_as_text(body: &mut Map<String, Value>) -> bool {
    let score = body
        .get_mut("validation")
        .and_then(|validation| validation.get_mut("fraudScore"));
    let Some(score) = score.filter(|score| score.is_number()) else {
        return false;
    };
    *score = Value::String(score.to_string());
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Source;
    use crate::domain::payload::read;

    #[test]
    fn a_switch_does_not_shift_the_other_draws() {
        let draw = |mischief: &Mischief| mischief.draw(&mut Rng::with_seed(7));
        let some = Mischief {
            duplicates: 0.5,
            lose: 0.5,
            ..Mischief::default()
        };
        let more = Mischief {
            unknown: 1.0,
            loops: 1.0,
            ..some.clone()
        };
        let (some, more) = (draw(&some), draw(&more));
        assert_eq!((some.lost, some.duplicate), (more.lost, more.duplicate));
        assert!(more.unknown.is_some() && more.without_request);
        let none = draw(&Mischief::default());
        assert!(!none.lost && !none.held && none.duplicate.is_none() && none.delay.is_zero());
    }

    #[test]
    fn a_changed_shape_reads_the_same() {
        let original = json!({
            "event": "onboard", "requestId": "r", "customerId": "c", "externalId": "e",
            "evaluation": {"type": "fraud", "status": "completed"},
            "validation": {"status": "APPROVED", "kyc": "PASSED", "fraudScore": 0.5, "warnings": 1,
                "warningTags": [{"tag": "address", "label": "A", "passed": true},
                                {"tag": "ssn", "label": "S", "passed": false, "isDoc": true}]},
        });
        let reading = |value: &Value| {
            let bytes = value.to_string().into_bytes();
            let mut reading = read(Source::Webhook, &bytes, bytes.len() as u64).unwrap();
            reading.event = reading.event.map(|name| name.to_lowercase());
            reading
        };
        for seed in 0..500 {
            let mut changed = original.as_object().unwrap().clone();
            reshape(&mut changed, seed, false);
            let changed = Value::Object(changed);
            assert_ne!(changed, original);
            assert_eq!(reading(&changed), reading(&original), "{changed}");
        }
    }
}
