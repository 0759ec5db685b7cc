//! An event in the shape of the query API.
//!
//! Invariant: whatever the body is, what is written is one JSON value.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use super::customer::{Cause, Customer, Notes};
use super::fold::Event;
use super::object::{Object, put, put_text};
use super::payload::text_of;
use super::{Chain, Disposition, Evidence, Origin, Seq};

/// Values that an event replaced, by their members, as they were kept.
pub type Before = BTreeMap<String, Box<RawValue>>;

/// An event with what the rules said of it.
#[derive(Clone, Debug)]
pub struct EventView {
    /// The event and what was read of it.
    pub event: Event,
    /// Its link in the chain.
    pub chain: Chain,
    /// The body; `None` once pruned.
    pub payload: Option<Vec<u8>>,
    /// Who caused it.
    pub origin: Origin,
    /// How that is known.
    pub evidence: Evidence,
    /// What became of it.
    pub disposition: Disposition,
    /// The event it repeats.
    pub duplicate_of: Option<Seq>,
    /// The request it names or was tied to.
    pub request_id: Option<String>,
    /// What is odd beyond what the reading says itself.
    pub problems: Vec<String>,
    /// The values of the customer that it replaced.
    pub replaced: Option<Before>,
}

impl EventView {
    /// What a change by this event is put down to.
    #[must_use]
    pub fn cause(&self) -> Cause<'_> {
        Cause {
            seq: self.event.seq,
            at: self.event.received_at,
            origin: self.origin,
            request_id: self.request_id.as_deref(),
        }
    }

    /// Everything odd about the event.
    #[must_use]
    pub fn all_problems(&self) -> Vec<String> {
        let read = match &self.event.reading {
            Ok(reading) => reading.problems.clone(),
            Err(_) => Vec::new(),
        };
        read.into_iter()
            .chain(self.problems.iter().cloned())
            .collect()
    }
}

impl EventView {
    /// The event as JSON. The body stands in it as the JSON it came as, every digit kept; what is no JSON goes as the
    /// bytes it is.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let event = &self.event;
        let reading = event.reading.as_ref().ok();
        let mut object = Object::of(BESIDE_BODY + self.payload.as_ref().map_or(0, Vec::len));
        object.put("seq", &event.seq);
        object.put_word("receivedAt", &event.received_at);
        object.put_word("source", &event.source);
        object.put_text(
            "event",
            reading.and_then(|reading| reading.event.as_deref()),
        );
        object.put_text(
            "customerId",
            reading.and_then(|reading| reading.customer_id.as_deref()),
        );
        object.put_text(
            "externalId",
            reading.and_then(|reading| reading.external_id.as_deref()),
        );
        object.put_text("requestId", self.request_id.as_deref());
        object.put("evaluation", &reading.map(|reading| &reading.evaluation));
        object.put_word("origin", &self.origin);
        object.put_word("originEvidence", &self.evidence);
        object.put_word("disposition", &self.disposition);
        object.put("duplicateOf", &self.duplicate_of);
        object.put("problems", &self.all_problems());
        object.put_word("digest", &event.digest);
        object.put_word("chain", &self.chain);
        self.put_changes(object.key("changes"));
        match &self.payload {
            None => object.put("payload", &None::<()>),
            Some(body) => match self.embeddable(body) {
                Some(json) => object.put_json("payload", json),
                None => object.put("payloadBase64", &STANDARD.encode(body)),
            },
        }
        object.end()
    }

    /// Puts what the event changed in the customer: where it led follows from the event, where from was kept.
    fn put_changes(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        if let (Ok(reading), Some(replaced)) = (&self.event.reading, &self.replaced) {
            let mut changes = Changes {
                replaced,
                begin: out.len(),
                out,
            };
            Customer::possible_changes(reading, self.cause(), &mut changes);
        }
        out.push(b']');
    }

    /// The body as JSON to be put into JSON, if it is any.
    fn embeddable<'a>(&self, body: &'a [u8]) -> Option<&'a str> {
        let text = text_of(body).ok()?;
        // What could be read is an object to its last byte, and need not be looked at again.
        let is_json = self.event.reading.is_ok() || serde_json::from_str::<&RawValue>(text).is_ok();
        is_json.then(|| text.trim_matches([' ', '\t', '\r', '\n']))
    }
}

/// An event as it is shown, by itself, to whoever follows the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its place in the log.
    pub seq: Seq,
    /// Its raw name.
    pub event: Option<String>,
    /// The event as JSON.
    pub json: Vec<u8>,
}

impl From<&EventView> for Shown {
    fn from(view: &EventView) -> Self {
        let reading = view.event.reading.as_ref().ok();
        Self {
            seq: view.event.seq,
            event: reading.and_then(|reading| reading.event.clone()),
            json: view.to_json(),
        }
    }
}

/// Changes as they are shown, written as they are found.
struct Changes<'a> {
    replaced: &'a Before,
    out: &'a mut Vec<u8>,
    begin: usize,
}

impl Notes for Changes<'_> {
    fn note(&mut self, field: Cow<'static, str>, _: Option<&impl Serialize>, to: &impl Serialize) {
        let Some(from) = self.replaced.get(field.as_ref()) else {
            return;
        };
        if self.out.len() > self.begin {
            self.out.push(b',');
        }
        self.out.extend_from_slice(b"{\"field\":");
        put_text(self.out, Some(&field));
        self.out.extend_from_slice(b",\"from\":");
        self.out.extend_from_slice(from.get().as_bytes());
        self.out.extend_from_slice(b",\"to\":");
        put(self.out, to);
        self.out.push(b'}');
    }
}

/// Bytes of an event as JSON beside its body, as a rule.
const BESIDE_BODY: usize = 1536;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::domain::payload::read;
    use crate::domain::{Digest, Source, Timestamp};

    fn view(body: &[u8]) -> EventView {
        EventView {
            event: Event {
                seq: Seq(1),
                received_at: Timestamp(0),
                source: Source::Webhook,
                digest: Digest::of(body),
                reading: read(Source::Webhook, body, body.len() as u64),
            },
            chain: Chain::GENESIS,
            payload: Some(body.to_vec()),
            origin: Origin::Dashboard,
            evidence: Evidence::None,
            disposition: Disposition::Unrecognised,
            duplicate_of: None,
            request_id: None,
            problems: Vec::new(),
            replaced: None,
        }
    }

    /// The members, unread: an escape that stands for no character is JSON all the same.
    fn shown(body: &[u8]) -> BTreeMap<String, Box<RawValue>> {
        let json = view(body).to_json();
        serde_json::from_slice(&json).unwrap_or_else(|error| panic!("{error}: {body:?}"))
    }

    #[test]
    fn whatever_the_body_is_the_event_is_json() {
        let json: [&[u8]; 5] = [
            b"{}",
            b"\xef\xbb\xbf {\"event\":\"flag\"}\r\n",
            b"[1,2]",
            b" null ",
            b"{\"event\":7,\"event\":\"\\ud800\"}",
        ];
        for body in json {
            let shown = shown(body);
            assert!(shown.contains_key("payload"), "{body:?}");
            assert!(!shown.contains_key("payloadBase64"), "{body:?}");
        }
        let other: [&[u8]; 5] = [b"", b"{", b"\xff", b"{}{}", b"{\"a\":}"];
        for body in other {
            let shown = shown(body);
            let encoded = format!("\"{}\"", STANDARD.encode(body));
            assert_eq!(shown["payloadBase64"].get(), encoded, "{body:?}");
            assert!(!shown.contains_key("payload"), "{body:?}");
        }
    }
    #[test]
    fn a_change_is_shown_with_what_it_replaced_and_no_other() {
        let body = br#"{"evaluation":{"type":"a\"b","status":"c"},"uri":"u","validation":{"fraudScore":0.5}}"#;
        let changes = |replaced: &str| {
            let view = EventView {
                replaced: Some(serde_json::from_str(replaced).unwrap()),
                ..view(body)
            };
            let shown: Value = serde_json::from_slice(&view.to_json()).unwrap();
            shown["changes"].clone()
        };
        assert_eq!(
            changes(r#"{"fraudScore":null,"evaluations.a\"b":{"status":"0"}}"#),
            json!([
                {"field": "fraudScore", "from": null, "to": 0.5},
                {"field": "evaluations.a\"b", "from": {"status": "0"},
                    "to": {"status": "c", "requestId": null, "at": "1970-01-01T00:00:00.000Z"}},
            ])
        );
        assert_eq!(changes("{}"), json!([]));
    }
}
