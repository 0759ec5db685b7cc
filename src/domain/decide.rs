//! The tables of origin and disposition (docs/RULES.md): what an event is, before anything is changed by it.

use super::customer::{Customer, Latest, OWN_FLAG_CALL_MS, REPEAT_MS};
use super::fold::{Event, World};
use super::payload::Reading;
use super::request::{WaldoRequest, is_terminal, rank};
use super::{Disposition, EventKind, Evidence, Origin, Seq, Source};

/// What the decision has found out before anything is changed.
pub(super) struct Decision {
    pub(super) disposition: Disposition,
    pub(super) origin: Origin,
    pub(super) evidence: Evidence,
    pub(super) duplicate_of: Option<Seq>,
    pub(super) request_id: Option<String>,
    pub(super) problems: Vec<String>,
}

impl World {
    /// What an event is, by what is known when it comes.
    pub(super) fn decide(
        &self,
        event: &Event,
        reading: &Reading,
        kind: Option<EventKind>,
    ) -> Decision {
        let request = reading
            .request_id
            .as_deref()
            .and_then(|id| self.requests.get(id));
        let customer = reading
            .customer_id
            .as_deref()
            .and_then(|id| self.customers.get(id));

        let mut decision = match &reading.request_id {
            Some(id) => Decision {
                origin: Origin::Api,
                evidence: Evidence::RequestId,
                request_id: Some(id.clone()),
                ..Decision::kept(Disposition::Applied)
            },
            None => Decision::kept(Disposition::Applied),
        };
        let Some(kind) = kind else {
            return decision.unrecognised("event: no known name");
        };
        if event.source == Source::Control {
            return self.decide_control(event, reading, kind, decision);
        }
        if reading.customer_id.is_none() {
            return decision.unrecognised("customerId: absent");
        }
        if let Some(first) = request.and_then(|request| request.seen.get(&event.digest)) {
            decision.disposition = Disposition::Duplicate;
            decision.duplicate_of = Some(*first);
            return decision;
        }
        if reading.request_id.is_none() {
            if let Some(latest) = repeated(event, reading, kind, customer) {
                return Decision {
                    disposition: Disposition::Duplicate,
                    origin: latest.origin,
                    evidence: latest.evidence,
                    duplicate_of: Some(latest.seq),
                    request_id: latest.request_id.clone(),
                    problems: Vec::new(),
                };
            }
            self.find_evidence(event, reading, kind, customer, &mut decision);
        }
        if self.is_stale(reading, customer, decision.request_id.as_deref()) {
            decision.disposition = Disposition::Stale;
        }
        // What Waldo said before the customer's row last changed may be older than that change.
        let version = customer.map_or(0, |customer| customer.version);
        if reading.seen_version.is_some_and(|seen| seen != version) {
            decision.disposition = Disposition::Stale;
            decision
                .problems
                .push("seenVersion: the customer has changed since Waldo was asked".to_owned());
        }
        decision
    }

    fn decide_control(
        &self,
        event: &Event,
        reading: &Reading,
        kind: EventKind,
        mut decision: Decision,
    ) -> Decision {
        decision.origin = Origin::Api;
        if kind == EventKind::FlagCalled {
            if decision.request_id.is_none() {
                decision.evidence = Evidence::OwnFlagCall;
            }
            if reading.customer_id.is_none() || reading.flag.is_none() {
                return decision.unrecognised("customerId, flag: both are needed");
            }
            return decision;
        }
        let Some(request_id) = reading.request_id.as_deref() else {
            return decision.unrecognised("requestId: absent");
        };
        let request = self.requests.get(request_id);
        match (kind, &reading.registration, reading.settled) {
            (EventKind::RequestRegistered, Some(told), _) => {
                let agrees = request.map_or(Ok(()), |known| {
                    known.agrees(told.operation, reading.customer_id.as_deref())
                });
                let first = request.and_then(|known| known.seen.get(&event.digest));
                if let Err(conflict) = agrees {
                    decision.disposition = Disposition::Stale;
                    decision.problems.push(conflict.to_string());
                } else if let Some(first) = first {
                    decision.disposition = Disposition::Duplicate;
                    decision.duplicate_of = Some(*first);
                }
            }
            (EventKind::RequestSettled, _, Some(_)) => {
                if request.is_some_and(WaldoRequest::is_settled) {
                    decision.disposition = Disposition::Stale;
                    decision
                        .problems
                        .push("conflict: the request is settled already".to_owned());
                }
            }
            _ => return decision.unrecognised("operation, state: not as the event needs them"),
        }
        decision
    }

    /// Looks for the own call behind an event without requestId.
    fn find_evidence(
        &self,
        event: &Event,
        reading: &Reading,
        kind: EventKind,
        customer: Option<&Customer>,
        decision: &mut Decision,
    ) {
        let own = match kind {
            _ if event.source == Source::Gateway => {
                decision.origin = Origin::Api;
                decision.evidence = if kind == EventKind::Flag {
                    Evidence::OwnFlagCall
                } else {
                    Evidence::GatewayAnswer
                };
                return;
            }
            EventKind::Flag => own_flag_call(event, reading, customer).is_some(),
            _ => false,
        };
        if own {
            decision.origin = Origin::Api;
            decision.evidence = Evidence::OwnFlagCall;
        }
        if kind == EventKind::Evaluation
            && let Some(request) = self.only_waiting(reading, customer)
        {
            decision.origin = Origin::Api;
            decision.evidence = Evidence::PendingRequest;
            decision.request_id = Some(request.request_id.clone());
        }
    }

    /// The one open request of the customer that waits for this evaluation, if it is exactly one.
    fn only_waiting(
        &self,
        reading: &Reading,
        customer: Option<&Customer>,
    ) -> Option<&WaldoRequest> {
        let evaluation = reading.evaluation.as_ref()?.r#type.as_deref()?;
        let mut waiting = customer?
            .memory
            .open_requests
            .iter()
            .filter_map(|key| self.requests.by_key(*key))
            .filter(|request| request.waits_for(evaluation));
        let only = waiting.next()?;
        waiting.next().is_none().then_some(only)
    }

    fn is_stale(
        &self,
        reading: &Reading,
        customer: Option<&Customer>,
        request_id: Option<&str>,
    ) -> bool {
        let Some((evaluation, status)) = reading.run() else {
            return false;
        };
        let known = match request_id {
            Some(id) => self
                .requests
                .get(id)
                .and_then(|request| request.evaluations.get(evaluation))
                .map(String::as_str),
            None => customer
                .and_then(|customer| customer.evaluations.get(evaluation))
                .map(|run| run.status.as_str())
                // An id-less `initiated` after the end of a run begins the next one.
                .filter(|known| !(status == "initiated" && is_terminal(known))),
        };
        known.is_some_and(|known| rank(status) < rank(known))
    }
}

impl Decision {
    /// Nothing is known of its cause: as good as the dashboard's.
    pub(super) const fn kept(disposition: Disposition) -> Self {
        Self {
            disposition,
            origin: Origin::Dashboard,
            evidence: Evidence::None,
            duplicate_of: None,
            request_id: None,
            problems: Vec::new(),
        }
    }

    fn unrecognised(mut self, why: &str) -> Self {
        self.disposition = Disposition::Unrecognised;
        self.problems.push(why.to_owned());
        self
    }
}

/// Events of one kind can repeat each other: the name, and of evaluations the type.
pub(super) fn kind_key(kind: EventKind, reading: &Reading) -> String {
    let evaluation = reading
        .evaluation
        .as_ref()
        .and_then(|evaluation| evaluation.r#type.as_deref());
    match (kind, evaluation) {
        (EventKind::Evaluation, Some(evaluation)) => format!("{kind}:{evaluation}"),
        _ => kind.to_string(),
    }
}

/// The event that a webhook without requestId repeats, if it does.
fn repeated<'a>(
    event: &Event,
    reading: &Reading,
    kind: EventKind,
    customer: Option<&'a Customer>,
) -> Option<&'a Latest> {
    let latest = customer?.memory.latest.get(&kind_key(kind, reading))?;
    let repeats = event.source == Source::Webhook
        && latest.digest == event.digest
        && event.received_at.ms_since(latest.at) <= REPEAT_MS;
    repeats.then_some(latest)
}

/// Place of the oldest own flag call that explains this flag event.
pub(super) fn own_flag_call(
    event: &Event,
    reading: &Reading,
    customer: Option<&Customer>,
) -> Option<usize> {
    let flag = reading.flag?;
    customer?.memory.own_flag_calls.iter().position(|call| {
        call.flag == flag && event.received_at.ms_since(call.at) <= OWN_FLAG_CALL_MS
    })
}
