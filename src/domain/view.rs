//! An event in the shape of the query API.
//!
//! Invariant: whatever the body is, what is written is one JSON value.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use super::customer::{Cause, Change, Customer};
use super::fold::Event;
use super::payload::text_of;
use super::{Chain, Disposition, Evidence, Origin, Seq};

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
    pub replaced: Option<serde_json::Map<String, serde_json::Value>>,
}

impl EventView {
    /// What the event changed in the customer.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        match (&self.event.reading, &self.replaced) {
            (Ok(reading), Some(replaced)) => {
                Customer::changes_again(reading, self.cause(), replaced)
            }
            _ => Vec::new(),
        }
    }

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
        let mut object = Object::of(self.payload.as_ref().map_or(0, Vec::len));
        object.put("seq", &event.seq);
        object.put("receivedAt", &event.received_at);
        object.put("source", &event.source);
        object.put("event", &reading.map(|reading| &reading.event));
        object.put("customerId", &reading.map(|reading| &reading.customer_id));
        object.put("externalId", &reading.map(|reading| &reading.external_id));
        object.put("requestId", &self.request_id);
        object.put("evaluation", &reading.map(|reading| &reading.evaluation));
        object.put("origin", &self.origin);
        object.put("originEvidence", &self.evidence);
        object.put("disposition", &self.disposition);
        object.put("duplicateOf", &self.duplicate_of);
        object.put("problems", &self.all_problems());
        object.put("digest", &event.digest);
        object.put("chain", &self.chain);
        object.put("changes", &self.changes());
        match &self.payload {
            None => object.put("payload", &None::<()>),
            Some(body) => match self.embeddable(body) {
                Some(json) => object.put_json("payload", json),
                None => object.put("payloadBase64", &STANDARD.encode(body)),
            },
        }
        object.end()
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

/// Bytes of an event as JSON beside its body, as a rule.
const BESIDE_BODY: usize = 1536;

/// A JSON object that is written member by member, because one of them is JSON already.
struct Object(Vec<u8>);

impl Object {
    fn of(body_bytes: usize) -> Self {
        Self(Vec::with_capacity(BESIDE_BODY + body_bytes))
    }

    fn key(&mut self, name: &str) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn put(&mut self, name: &str, value: &impl Serialize) {
        self.key(name);
        let begin = self.0.len();
        // These are texts, numbers, booleans and structs of them: always representable.
        if serde_json::to_writer(&mut self.0, value).is_err() {
            self.0.truncate(begin);
            self.0.extend_from_slice(b"null");
        }
    }

    fn put_json(&mut self, name: &str, json: &str) {
        self.key(name);
        self.0.extend_from_slice(json.as_bytes());
    }

    fn end(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::payload::read;
    use crate::domain::{Digest, Source, Timestamp};

    /// The members, unread: an escape that stands for no character is JSON all the same.
    fn shown(body: &[u8]) -> BTreeMap<String, Box<RawValue>> {
        let view = EventView {
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
        };
        let json = view.to_json();
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
}
