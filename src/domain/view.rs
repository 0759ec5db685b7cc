//! An event in the shape of the query API.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};
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

impl Serialize for EventView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = &self.event;
        let reading = event.reading.as_ref().ok();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("seq", &event.seq)?;
        map.serialize_entry("receivedAt", &event.received_at)?;
        map.serialize_entry("source", &event.source)?;
        map.serialize_entry("event", &reading.and_then(|reading| reading.event.as_ref()))?;
        map.serialize_entry(
            "customerId",
            &reading.and_then(|reading| reading.customer_id.as_ref()),
        )?;
        map.serialize_entry(
            "externalId",
            &reading.and_then(|reading| reading.external_id.as_ref()),
        )?;
        map.serialize_entry("requestId", &self.request_id)?;
        map.serialize_entry(
            "evaluation",
            &reading.and_then(|reading| reading.evaluation.as_ref()),
        )?;
        map.serialize_entry("origin", &self.origin)?;
        map.serialize_entry("originEvidence", &self.evidence)?;
        map.serialize_entry("disposition", &self.disposition)?;
        map.serialize_entry("duplicateOf", &self.duplicate_of)?;
        map.serialize_entry("problems", &self.all_problems())?;
        map.serialize_entry("digest", &event.digest)?;
        map.serialize_entry("chain", &self.chain)?;
        map.serialize_entry("changes", &self.changes())?;
        match &self.payload {
            None => map.serialize_entry("payload", &None::<()>)?,
            // As the JSON it came as, every digit kept; what is no JSON goes as the bytes it is.
            Some(body) => match embeddable(body) {
                Some(json) => map.serialize_entry("payload", json)?,
                None => map.serialize_entry("payloadBase64", &STANDARD.encode(body))?,
            },
        }
        map.end()
    }
}

/// The body as JSON to be put into JSON, if it is any.
fn embeddable(body: &[u8]) -> Option<&RawValue> {
    serde_json::from_str(text_of(body).ok()?).ok()
}
