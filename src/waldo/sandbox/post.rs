//! Webhooks between their making and their sending: late, held, doubled, gathered or lost, and the record of each.
//!
//! Invariant: every webhook made has a record, and its fate is `waiting` exactly while it is on the way. Webhooks of one
//! customer are sent one after the other in the order in which they became ready.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::mischief::{Draws, Mischief, made_up, reshape};
use super::schedule::{Due, Moment, Schedule};
use super::webhooks::Body;
use super::words::Cause;
use crate::domain::Timestamp;

/// Records that are kept; the oldest go.
pub const MAX_RECORDS: usize = 100_000;
/// Webhooks on the way; further ones are lost.
pub const MAX_WAITING: usize = 100_000;
/// Senders side by side; a customer's webhooks all go through one.
pub const LANES: usize = 16;
/// A webhook is held no longer than this for a next one that may never come.
const HOLD: Duration = Duration::from_secs(2);

/// What became of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum Fate {
    /// It is on the way.
    Waiting,
    /// Somebody answered, whatever the status.
    Delivered {
        /// The answer's.
        status: u16,
    },
    /// It was never sent.
    Lost,
    /// It was sent, and nobody answered.
    Failed {
        /// In words, without the URL.
        error: String,
    },
}

/// A webhook as it was made.
pub struct Webhook {
    /// Its body.
    pub body: Body,
    /// Of which customer, by place.
    pub customer: usize,
    /// The customer's id.
    pub customer_id: String,
    /// Who asked for what it tells.
    pub cause: Cause,
    /// What happens to it.
    pub draws: Draws,
    /// Whether its `validation` only repeats old values.
    pub in_flight: bool,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    number: u64,
    event: Value,
    evaluation: Value,
    customer_id: String,
    request_id: Value,
    cause: Cause,
    #[serde(flatten)]
    fate: Fate,
    duplicate_of: Option<u64>,
    mischief: Vec<&'static str>,
    made_at: i64,
    sent_at: Option<i64>,
    sent_number: Option<u64>,
}

struct Parcel {
    customer: usize,
    body: Bytes,
    ready: bool,
}

/// All webhooks.
pub struct Post {
    mischief: Mischief,
    pace: Duration,
    records: VecDeque<Record>,
    made: u64,
    sent: u64,
    parcels: HashMap<u64, Parcel>,
    lanes: Vec<VecDeque<u64>>,
    held: HashMap<usize, Vec<u64>>,
    burst: Vec<u64>,
}

impl Post {
    /// Nothing yet.
    pub fn new(mischief: Mischief, pace: Duration) -> Self {
        Self {
            mischief,
            pace,
            records: VecDeque::new(),
            made: 0,
            sent: 0,
            parcels: HashMap::new(),
            lanes: vec![VecDeque::new(); LANES],
            held: HashMap::new(),
            burst: Vec::new(),
        }
    }

    /// Webhooks on the way.
    pub fn waiting(&self) -> usize {
        self.parcels.len()
    }

    /// Takes a webhook, and does to it what was drawn.
    pub fn take(&mut self, mut webhook: Webhook, now: Moment, schedule: &mut Schedule) {
        let draws = webhook.draws.clone();
        let mut mischief = Vec::new();
        if draws.without_request
            && webhook.cause == Cause::Api
            && webhook.body.remove("requestId").is_some()
        {
            mischief.push("loop");
        }
        if let Some(seed) = draws.reshape {
            reshape(&mut webhook.body, seed, webhook.in_flight);
            mischief.push("changed_shape");
        }
        let bytes = Bytes::from(serde_json::to_vec(&webhook.body).unwrap_or_default());
        let mut own = mischief.clone();
        for (happens, name) in [
            (draws.held, "held"),
            (!draws.delay.is_zero(), "late"),
            (draws.lost, "lost"),
        ] {
            if happens {
                own.push(name);
            }
        }
        let number = self.record(&webhook, &webhook.body, own, None, now.time);
        if draws.lost {
            self.set_fate(number, Fate::Lost, None);
        } else if self.put(number, webhook.customer, bytes.clone()) {
            if draws.held {
                self.held.entry(webhook.customer).or_default().push(number);
                schedule.put(now.at + draws.delay + HOLD, Due::Webhook(number));
            } else {
                self.later(number, draws.delay, now.at, schedule);
            }
        }
        if let Some(part) = draws.duplicate {
            mischief.push("duplicate");
            let copy = self.record(&webhook, &webhook.body, mischief, Some(number), now.time);
            if self.put(copy, webhook.customer, bytes) {
                let after = draws.delay + self.pace.max(self.mischief.delay).mul_f64(part);
                self.later(copy, after, now.at, schedule);
            }
        }
        if let Some(seed) = draws.unknown
            && let Value::Object(body) = made_up(seed, &webhook.customer_id)
        {
            let number = self.record(&webhook, &body, vec!["unknown"], None, now.time);
            let bytes = Bytes::from(serde_json::to_vec(&body).unwrap_or_default());
            if self.put(number, webhook.customer, bytes) {
                self.later(number, Duration::ZERO, now.at, schedule);
            }
        }
    }

    fn record(
        &mut self,
        webhook: &Webhook,
        body: &Body,
        mischief: Vec<&'static str>,
        duplicate_of: Option<u64>,
        now: Timestamp,
    ) -> u64 {
        self.made += 1;
        if self.records.len() >= MAX_RECORDS {
            self.records.pop_front();
        }
        let member = |name: &str| body.get(name).cloned().unwrap_or_default();
        self.records.push_back(Record {
            number: self.made,
            event: member("event"),
            evaluation: member("evaluation"),
            customer_id: webhook.customer_id.clone(),
            request_id: member("requestId"),
            cause: webhook.cause,
            fate: Fate::Waiting,
            duplicate_of,
            mischief,
            made_at: now.0,
            sent_at: None,
            sent_number: None,
        });
        self.made
    }

    fn put(&mut self, number: u64, customer: usize, body: Bytes) -> bool {
        if self.parcels.len() >= MAX_WAITING {
            self.set_fate(number, Fate::Lost, None);
            return false;
        }
        let parcel = Parcel {
            customer,
            body,
            ready: false,
        };
        self.parcels.insert(number, parcel);
        true
    }

    fn later(&mut self, number: u64, after: Duration, now: Instant, schedule: &mut Schedule) {
        if after.is_zero() {
            self.ready(number, now, schedule);
        } else {
            schedule.put(now + after, Due::Webhook(number));
        }
    }

    /// The time of a webhook has come.
    pub fn ready(&mut self, number: u64, now: Instant, schedule: &mut Schedule) {
        let Some(parcel) = self.parcels.get_mut(&number).filter(|parcel| !parcel.ready) else {
            return;
        };
        parcel.ready = true;
        if let Some(held) = self.held.get_mut(&parcel.customer) {
            held.retain(|known| *known != number);
        }
        if self.mischief.burst <= 1 {
            self.go(number);
            return;
        }
        if self.burst.is_empty() {
            schedule.put(now + HOLD, Due::Burst);
        }
        self.burst.push(number);
        if self.burst.len() >= self.mischief.burst {
            self.release_burst();
        }
    }

    /// Sends what was gathered.
    pub fn release_burst(&mut self) {
        for number in std::mem::take(&mut self.burst) {
            self.mark(number, "burst");
            self.go(number);
        }
    }

    fn go(&mut self, number: u64) {
        let Some(parcel) = self.parcels.get(&number) else {
            return;
        };
        let customer = parcel.customer;
        let lane = customer % LANES;
        let overtaken = self.held.remove(&customer).unwrap_or_default();
        for number in std::iter::once(number).chain(overtaken) {
            if let Some(parcel) = self.parcels.get_mut(&number) {
                parcel.ready = true;
            }
            if let Some(lane) = self.lanes.get_mut(lane) {
                lane.push_back(number);
            }
        }
    }

    /// The lanes in which something waits.
    pub fn busy_lanes(&self) -> impl Iterator<Item = usize> {
        let lanes = self.lanes.iter().enumerate();
        lanes.filter_map(|(lane, waiting)| (!waiting.is_empty()).then_some(lane))
    }

    /// What a lane sends next.
    pub fn next_of(&mut self, lane: usize) -> Option<(u64, Bytes)> {
        let number = self.lanes.get_mut(lane)?.pop_front()?;
        let body = self.parcels.get(&number).map(|parcel| parcel.body.clone());
        Some((number, body.unwrap_or_default()))
    }

    /// It was sent.
    pub fn sent(&mut self, number: u64, fate: Fate, at: Timestamp) {
        self.parcels.remove(&number);
        self.sent += 1;
        let place = self.sent;
        self.set_fate(number, fate, Some(at.0));
        if let Some(record) = self.find(number) {
            record.sent_number = Some(place);
        }
    }

    fn find(&mut self, number: u64) -> Option<&mut Record> {
        let first = self.records.front()?.number;
        let place = usize::try_from(number.checked_sub(first)?).ok()?;
        self.records.get_mut(place)
    }

    fn set_fate(&mut self, number: u64, fate: Fate, sent_at: Option<i64>) {
        if let Some(record) = self.find(number) {
            record.fate = fate;
            record.sent_at = sent_at;
        }
    }

    fn mark(&mut self, number: u64, name: &'static str) {
        if let Some(record) = self.find(number) {
            record.mischief.push(name);
        }
    }

    /// The records after a number, oldest first; `last` keeps only so many of the newest.
    pub fn shown(&self, after: u64, last: usize) -> Value {
        let known: Vec<_> = self
            .records
            .iter()
            .filter(|record| record.number > after)
            .collect();
        let newest = known.len().saturating_sub(last);
        json!({"deliveries": known.get(newest..).unwrap_or_default()})
    }
}
