//! One step of the fold: what is known + the next event → what becomes of it, and what is known then.
//!
//! `World` is the part of the projections that a run of events touches. Whoever folds puts in the rows that an event
//! names (`World::needs`), steps, and takes the rows out again; live, after a crash, in `rebuild` and in tests alike.

use super::customer::{
    Cause, Customer, Latest, MAX_OWN_FLAG_CALLS, OWN_FLAG_CALL_MS, OwnFlagCall, Replaced,
};
use super::decide::{Decision, kind_key, own_flag_call};
use super::payload::{Erased, Reading, Unreadable};
use super::request::WaldoRequest;
use super::rows::Rows;
use super::{Digest, Disposition, EventKind, Evidence, Origin, Seq, SettledBy, Source, Timestamp};

/// An event as the log has it, with what was read of its body.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its place in the log.
    pub seq: Seq,
    /// When it came.
    pub received_at: Timestamp,
    /// How it came.
    pub source: Source,
    /// What its body was.
    pub digest: Digest,
    /// What the body says, or why it says nothing.
    pub reading: Result<Reading, Unreadable>,
}

/// What the rules say of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What became of it.
    pub disposition: Disposition,
    /// Who caused it.
    pub origin: Origin,
    /// How that is known.
    pub evidence: Evidence,
    /// The event that this one repeats.
    pub duplicate_of: Option<Seq>,
    /// Key of the customer it names.
    pub customer: Option<u64>,
    /// Key of the request it names or was tied to.
    pub request: Option<u64>,
    /// The previous event that names the same customer.
    pub previous_of_customer: Option<Seq>,
    /// The previous event that names the same request.
    pub previous_of_request: Option<Seq>,
    /// What is odd about the event, beyond what its reading says itself.
    pub problems: Vec<String>,
    /// The values of the customer that it replaced.
    pub replaced: Vec<Replaced>,
    /// Whether it made a customer known.
    pub created_customer: bool,
}

/// The rows that an event needs to have in the world before it is stepped; with a request, also its customer.
#[derive(Debug, PartialEq, Eq)]
pub struct Needs<'a> {
    /// The customer, with all its open requests and those that a repeat is counted to ([`requests_of_repeats`](super::customer::Memory::requests_of_repeats)).
    pub customer_id: Option<&'a str>,
    /// The request, with the digests seen under it.
    pub request_id: Option<&'a str>,
}

/// The rows at hand.
#[derive(Debug, Default)]
pub struct World {
    /// Customers; each with all its open requests, and those that a repeat is counted to, in `requests`.
    pub customers: Rows<Customer>,
    /// Requests; each with the digests seen under it, and its customer in `customers`.
    pub requests: Rows<WaldoRequest>,
}

impl World {
    /// The rows that an event names.
    #[must_use]
    pub fn needs(event: &Event) -> Needs<'_> {
        let reading = event.reading.as_ref().ok();
        Needs {
            customer_id: reading.and_then(|reading| reading.customer_id.as_deref()),
            request_id: reading.and_then(|reading| reading.request_id.as_deref()),
        }
    }

    /// Folds one event in.
    pub fn step(&mut self, event: &Event) -> Verdict {
        let mut verdict = match &event.reading {
            Err(Unreadable::Erased(gave)) => self.step_erased(*gave),
            Err(_) => Verdict::of(Decision::kept(Disposition::Quarantined)),
            Ok(reading) => self.step_reading(event, reading),
        };
        if let Err(unreadable) = &event.reading {
            verdict.problems.push(unreadable.to_string());
        }
        verdict
    }

    /// An erased event tells nothing; the keys that it gave stay given.
    fn step_erased(&mut self, gave: Erased) -> Verdict {
        if gave.customer {
            self.customers.skip_key();
        }
        if gave.request {
            self.requests.skip_key();
        }
        Verdict::of(Decision::kept(Disposition::Erased))
    }

    fn step_reading(&mut self, event: &Event, reading: &Reading) -> Verdict {
        let kind = reading.kind(event.source);
        let decision = self.decide(event, reading, kind);
        let customer_id = reading.customer_id.clone();
        let request_id = decision.request_id.clone();
        if let Some(id) = &customer_id {
            self.customers.name(id);
        }
        if let Some(id) = &request_id {
            self.requests.name(id);
        }
        let mut verdict = Verdict::of(decision);
        if let (Some(id), Some(kind)) = (&request_id, kind) {
            self.apply_to_request(event, reading, kind, id, &mut verdict);
        }
        if let Some(id) = &customer_id {
            self.apply_to_customer(
                event,
                reading,
                kind,
                id,
                request_id.as_deref(),
                &mut verdict,
            );
        }
        self.link(
            event,
            customer_id.as_deref(),
            request_id.as_deref(),
            &mut verdict,
        );
        verdict
    }

    fn apply_to_request(
        &mut self,
        event: &Event,
        reading: &Reading,
        kind: EventKind,
        request_id: &str,
        verdict: &mut Verdict,
    ) {
        let Some(request) = self.requests.touch(request_id) else {
            return;
        };
        let at = event.received_at;
        let applied = verdict.disposition == Disposition::Applied;
        match (kind, &reading.registration) {
            (EventKind::RequestRegistered, Some(told)) if applied => {
                request.register(reading, told, event.seq, at);
            }
            (EventKind::RequestSettled, _) if applied => {
                if let Some(state) = reading.settled {
                    request.settle(state, at);
                }
            }
            (EventKind::Onboard | EventKind::Flag | EventKind::Evaluation, told) => {
                // An answer that came late says nothing new of the outcome, but the call was made all the same.
                if let Some(told) = told {
                    match request.agrees(told.operation, reading.customer_id.as_deref()) {
                        Ok(()) => request.register(reading, told, event.seq, at),
                        Err(conflict) => verdict.problems.push(conflict.to_string()),
                    }
                } else if !applied {
                    return;
                }
                let by = match (event.source, verdict.evidence) {
                    (Source::Poll, _) => SettledBy::Poll,
                    (Source::Webhook, Evidence::RequestId) => SettledBy::Webhook,
                    _ => SettledBy::Inferred,
                };
                if applied {
                    request.hear(kind, reading, event.source != Source::Gateway, by, at);
                }
            }
            _ => return,
        }
        self.assign_customer(reading, request_id, verdict);
    }

    /// Ties the request to the customer that is named beside it, once.
    fn assign_customer(&mut self, reading: &Reading, request_id: &str, verdict: &mut Verdict) {
        let Some(request) = self.requests.touch(request_id) else {
            return;
        };
        match (&request.customer_id, &reading.customer_id) {
            (None, Some(told)) => {
                if let Some(customer) = self.customers.touch(told) {
                    request.customer_id = Some(told.clone());
                    request.previous_of_customer = customer.links.last_request.replace(request.key);
                }
            }
            (Some(known), Some(told)) if known != told => {
                verdict
                    .problems
                    .push("customerId: the request belongs to another customer".to_owned());
            }
            _ => {}
        }
        let open = request.is_known() && !request.is_settled();
        let key = request.key;
        let Some(customer) = request
            .customer_id
            .as_ref()
            .and_then(|id| self.customers.touch(id))
        else {
            return;
        };
        let place = customer
            .memory
            .open_requests
            .iter()
            .position(|&known| known == key);
        match (open, place) {
            (true, None) => customer.memory.open_requests.push(key),
            (false, Some(index)) => {
                customer.memory.open_requests.remove(index);
            }
            _ => {}
        }
    }

    fn apply_to_customer(
        &mut self,
        event: &Event,
        reading: &Reading,
        kind: Option<EventKind>,
        customer_id: &str,
        request_id: Option<&str>,
        verdict: &mut Verdict,
    ) {
        let Some(customer) = self.customers.touch(customer_id) else {
            return;
        };
        let cause = Cause {
            seq: event.seq,
            at: event.received_at,
            origin: verdict.origin,
            request_id,
        };
        match (verdict.disposition, kind) {
            (Disposition::Unrecognised, _) => {
                customer.fill_ids(reading, cause, &mut verdict.replaced);
            }
            (Disposition::Applied, Some(EventKind::FlagCalled)) => {
                note_flag_call(customer, event, reading)
            }
            (Disposition::Applied, Some(kind)) if event.source != Source::Control => {
                verdict.created_customer = !customer.is_known();
                customer.apply(reading, cause, &mut verdict.replaced);
                if kind == EventKind::Flag && event.source == Source::Gateway && !reading.noted {
                    note_flag_call(customer, event, reading);
                }
                if verdict.evidence == Evidence::OwnFlagCall
                    && event.source == Source::Webhook
                    && let Some(index) = own_flag_call(event, reading, Some(customer))
                {
                    customer.memory.own_flag_calls.remove(index);
                }
                let key = kind_key(kind, reading);
                if event.source == Source::Webhook && reading.request_id.is_none() {
                    let latest = Latest {
                        seq: event.seq,
                        at: event.received_at,
                        digest: event.digest,
                        origin: verdict.origin,
                        evidence: verdict.evidence,
                        request_id: request_id.map(str::to_owned),
                    };
                    customer.memory.latest.insert(key, latest);
                } else {
                    // What came before this is no longer the latest, and its body coming again is news.
                    customer.memory.latest.remove(&key);
                }
            }
            _ => {}
        }
    }

    /// Hangs the event behind the previous one of its customer and of its request.
    fn link(
        &mut self,
        event: &Event,
        customer_id: Option<&str>,
        request_id: Option<&str>,
        verdict: &mut Verdict,
    ) {
        if let Some(customer) = customer_id.and_then(|id| self.customers.touch(id)) {
            verdict.customer = Some(customer.links.key);
            verdict.previous_of_customer = customer.links.last_event.replace(event.seq);
        }
        if let Some(request) = request_id.and_then(|id| self.requests.touch(id)) {
            verdict.request = Some(request.key);
            verdict.previous_of_request = request.last_event.replace(event.seq);
            request.seen.entry(event.digest).or_insert(event.seq);
        }
    }
}

impl Verdict {
    fn of(decision: Decision) -> Self {
        Self {
            disposition: decision.disposition,
            origin: decision.origin,
            evidence: decision.evidence,
            duplicate_of: decision.duplicate_of,
            customer: None,
            request: None,
            previous_of_customer: None,
            previous_of_request: None,
            problems: decision.problems,
            replaced: Vec::new(),
            created_customer: false,
        }
    }
}

fn note_flag_call(customer: &mut Customer, event: &Event, reading: &Reading) {
    let Some(flag) = reading.flag else {
        return;
    };
    let at = event.received_at;
    let calls = &mut customer.memory.own_flag_calls;
    if reading.withdrawn {
        if let Some(last) = calls.iter().rposition(|call| call.flag == flag) {
            calls.remove(last);
        }
        return;
    }
    calls.retain(|call| at.ms_since(call.at) <= OWN_FLAG_CALL_MS);
    if calls.len() == MAX_OWN_FLAG_CALLS {
        calls.remove(0);
    }
    calls.push(OwnFlagCall { flag, at });
}

#[cfg(test)]
mod tests;
