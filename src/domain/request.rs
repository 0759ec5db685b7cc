//! A call to Waldo that we wait for: its life from registration to settlement.
//!
//! Invariants: a settled request goes back to open only when a new evaluation type appears under its id; registering
//! fills in and never erases; `expired` and `overdue` are derived from the clock of whoever asks, never stored.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::value::RawValue;

use super::payload::{Reading, Registration};
use super::rows::Row;
use super::{Digest, EventKind, Operation, Seq, SettledBy, State, Timestamp};

/// One request, in the shape of the query API save for what is derived on reading.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WaldoRequest {
    /// Waldo's id of the call: opaque text.
    pub request_id: String,
    /// The kind of call; told by the registration, until then read off the first event.
    pub operation: Option<Operation>,
    /// The customer it is about.
    pub customer_id: Option<String>,
    /// The company's own id of that customer.
    pub external_id: Option<String>,
    /// What was heard of each evaluation type.
    pub evaluations: BTreeMap<String, String>,
    /// The types the app waits for.
    pub expects: Vec<String>,
    /// Where it stands.
    pub state: Option<State>,
    /// What told that it has ended.
    pub settled_by: Option<SettledBy>,
    /// When it was registered; `None` if first seen in a webhook.
    pub registered_at: Option<Timestamp>,
    /// When the first webhook or polled state about it came.
    pub first_event_at: Option<Timestamp>,
    /// When it ended.
    pub settled_at: Option<Timestamp>,
    /// When its outcome is due.
    pub deadline_at: Option<Timestamp>,
    /// The app's own JSON.
    pub context: Option<String>,
    /// The registration that made it known.
    pub registered_seq: Option<Seq>,
    /// The state it was given outright, by hand or by the event of a flag call; a further evaluation type undoes it.
    pub settled_outright: Option<State>,
    /// Whether a type other than KYC has ever completed, which ends the KYC part for good.
    pub kyc_ended: bool,
    /// Its integer key, given in order of first sight.
    pub key: u64,
    /// The newest event that names it.
    pub last_event: Option<Seq>,
    /// The previous request of the same customer.
    pub previous_of_customer: Option<u64>,
    /// The first event of each body seen under the id. Not a column: found by following the links.
    pub seen: HashMap<Digest, Seq>,
}

/// A registration that contradicts what is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("conflict: the request is registered with another {0}")]
pub struct Conflict(pub &'static str);

/// How far a status is along: later ones are never taken back by earlier ones.
#[must_use]
pub fn rank(status: &str) -> u8 {
    match status {
        "initiated" => 0,
        "completed" | "failed" => 2,
        // `in_progress`, and words that Waldo may add.
        _ => 1,
    }
}

/// Whether a status is final.
#[must_use]
pub fn is_terminal(status: &str) -> bool {
    rank(status) == 2
}

impl Row for WaldoRequest {
    fn id(&self) -> &str {
        &self.request_id
    }

    fn key(&self) -> u64 {
        self.key
    }

    fn named(id: &str, key: u64) -> Self {
        Self {
            request_id: id.to_owned(),
            key,
            ..Self::default()
        }
    }
}

impl WaldoRequest {
    /// Whether anything told that this request exists, or an event merely named it.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.state.is_some()
    }

    /// Whether nothing more is waited for.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.state.is_some_and(State::is_settled)
    }

    /// Whether this request still waits for an evaluation of that type (docs/RULES.md, `pending_request`).
    #[must_use]
    pub fn waits_for(&self, evaluation: &str) -> bool {
        if self.is_settled() || !self.is_known() {
            return false;
        }
        match self.evaluations.get(evaluation) {
            Some(status) => !is_terminal(status),
            None => {
                self.expects.iter().any(|expected| expected == evaluation)
                    || self.operation.and_then(Operation::implied_evaluation) == Some(evaluation)
            }
        }
    }

    /// Checks a registration against what is known.
    ///
    /// # Errors
    /// When another operation was registered, or the request belongs to another customer.
    pub fn agrees(&self, operation: Operation, customer_id: Option<&str>) -> Result<(), Conflict> {
        if self.registered_at.is_some() && self.operation.is_some_and(|known| known != operation) {
            return Err(Conflict("operation"));
        }
        match (self.customer_id.as_deref(), customer_id) {
            (Some(known), Some(told)) if known != told => Err(Conflict("customerId")),
            _ => Ok(()),
        }
    }

    /// Takes over what an app registered; fills in, never erases.
    pub fn register(&mut self, reading: &Reading, told: &Registration, seq: Seq, at: Timestamp) {
        if self.registered_at.is_none() {
            self.operation = Some(told.operation);
            self.registered_at = Some(at);
            self.registered_seq = Some(seq);
            self.deadline_at = Some(at.plus_ms(told.deadline_ms));
        }
        for expected in &told.expects {
            if !self.expects.contains(expected) {
                self.expects.push(expected.clone());
                if !self.evaluations.contains_key(expected) {
                    self.settled_outright = None;
                }
            }
        }
        fill(&mut self.external_id, reading.external_id.as_ref());
        fill(&mut self.context, told.context.as_ref());
        // A type that was not expected before may reopen what had seemed complete.
        self.conclude(self.settled_by, at);
    }

    /// Takes over what an applied event says of the request.
    pub fn hear(
        &mut self,
        kind: EventKind,
        reading: &Reading,
        heard_from_waldo: bool,
        by: SettledBy,
        at: Timestamp,
    ) {
        if self.operation.is_none() {
            self.operation = Some(operation_of(kind, reading));
        }
        fill(&mut self.external_id, reading.external_id.as_ref());
        if heard_from_waldo && self.first_event_at.is_none() {
            self.first_event_at = Some(at);
        }
        if let Some((evaluation, status)) = reading.run() {
            let new_type = self
                .evaluations
                .insert(evaluation.to_owned(), status.to_owned())
                .is_none();
            if new_type {
                self.settled_outright = None;
            }
            self.kyc_ended |= evaluation != "kyc" && status == "completed";
        } else if kind == EventKind::Flag && self.operation == Some(Operation::Flag) {
            // A flag call has no evaluation: its event is all there is to wait for.
            self.settled_outright = Some(State::Completed);
        }
        self.conclude(Some(by), at);
    }

    /// Settles the request by hand.
    pub fn settle(&mut self, state: State, at: Timestamp) {
        self.settled_outright = Some(state);
        self.conclude(Some(SettledBy::Manual), at);
    }

    /// Works the state out of what was heard. `by` is what told, in case it settles now.
    fn conclude(&mut self, by: Option<SettledBy>, at: Timestamp) {
        let before = self.state;
        let heard = self.heard_state();
        let now = match (heard, self.settled_outright) {
            (heard, _) if heard.is_settled() => heard,
            (_, Some(by_hand)) => by_hand,
            (open, None) => open,
        };
        self.state = Some(now);
        if !now.is_settled() {
            self.settled_by = None;
            self.settled_at = None;
        } else if before != Some(now) {
            self.settled_by = by;
            self.settled_at = Some(at);
        }
    }

    fn heard_state(&self) -> State {
        let status_of = |evaluation: &str| {
            let status = self.evaluations.get(evaluation).map(String::as_str);
            // Waldo never reports the end of the KYC part of an onboarding that goes on with a fraud evaluation.
            let kyc_passed_over = evaluation == "kyc" && self.kyc_ended;
            match status {
                Some(status) if is_terminal(status) => Some(status),
                _ if kyc_passed_over => Some("completed"),
                open => open,
            }
        };
        let expected_only = self
            .expects
            .iter()
            .filter(|one| !self.evaluations.contains_key(*one));
        let statuses: Vec<_> = self
            .evaluations
            .keys()
            .chain(expected_only)
            .map(|evaluation| status_of(evaluation))
            .collect();
        let all_terminal = !statuses.is_empty()
            && statuses
                .iter()
                .all(|status| status.is_some_and(is_terminal));
        if all_terminal {
            let failed = statuses.contains(&Some("failed"));
            return if failed {
                State::Failed
            } else {
                State::Completed
            };
        }
        if self.first_event_at.is_some() {
            State::InProgress
        } else {
            State::Pending
        }
    }

    /// Whether its outcome is past due at a moment.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.is_past(0, now)
    }

    /// Where it stands at a moment: given up when it is not settled so long past its deadline.
    #[must_use]
    pub fn state_at(&self, now: Timestamp, give_up_after_ms: i64) -> Option<State> {
        if self.is_past(give_up_after_ms, now) {
            Some(State::Expired)
        } else {
            self.state
        }
    }

    fn is_past(&self, ms_after_deadline: i64, now: Timestamp) -> bool {
        let due = |deadline: Timestamp| now > deadline.plus_ms(ms_after_deadline);
        !self.is_settled() && self.deadline_at.is_some_and(due)
    }

    /// The request as the query API shows it at a moment.
    #[must_use]
    pub fn view(&self, now: Timestamp, give_up_after_ms: i64, events: Vec<Seq>) -> RequestView<'_> {
        RequestView {
            request_id: &self.request_id,
            operation: self.operation,
            customer_id: self.customer_id.as_deref(),
            external_id: self.external_id.as_deref(),
            state: self.state_at(now, give_up_after_ms),
            evaluations: &self.evaluations,
            expects: &self.expects,
            settled_by: self.settled_by,
            overdue: self.is_overdue(now),
            registered_at: self.registered_at,
            first_event_at: self.first_event_at,
            settled_at: self.settled_at,
            deadline_at: self.deadline_at,
            context: self
                .context
                .as_deref()
                .and_then(|text| serde_json::from_str(text).ok()),
            events,
        }
    }
}

/// A request as the query API shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Request"))]
pub struct RequestView<'a> {
    /// Waldo's id of the call: opaque text.
    request_id: &'a str,
    /// The kind of call.
    operation: Option<Operation>,
    /// The customer it is about.
    customer_id: Option<&'a str>,
    /// The company's own id of that customer.
    external_id: Option<&'a str>,
    /// Where it stands.
    state: Option<State>,
    /// What was heard of each evaluation type.
    evaluations: &'a BTreeMap<String, String>,
    /// The types that are waited for.
    expects: &'a [String],
    /// What told that it has ended.
    settled_by: Option<SettledBy>,
    /// Not settled and past its deadline.
    overdue: bool,
    /// When it was registered; null if first seen in a webhook.
    registered_at: Option<Timestamp>,
    /// When the first webhook or polled state about it came.
    first_event_at: Option<Timestamp>,
    /// When it ended.
    settled_at: Option<Timestamp>,
    /// When its outcome is due.
    deadline_at: Option<Timestamp>,
    /// The app's own JSON.
    context: Option<&'a RawValue>,
    /// The events that tell of it.
    events: Vec<Seq>,
}

/// The kind of call that an event speaks of when no registration has said so.
fn operation_of(kind: EventKind, reading: &Reading) -> Operation {
    match (kind, reading.run()) {
        (EventKind::Onboard, _) => Operation::Onboard,
        (EventKind::Flag, _) => Operation::Flag,
        (EventKind::Evaluation, Some(("fraud", _))) => Operation::Fraud,
        (EventKind::Evaluation, Some(("document", _))) => Operation::Document,
        (EventKind::Evaluation, Some(("kyc", _))) => Operation::Onboard,
        _ => Operation::Other,
    }
}

fn fill<T: Clone>(slot: &mut Option<T>, told: Option<&T>) {
    if slot.is_none() {
        *slot = told.cloned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::payload::Evaluation;

    fn heard(request: &mut WaldoRequest, evaluation: &str, status: &str, at: i64) {
        let reading = Reading {
            evaluation: Some(Evaluation {
                r#type: Some(evaluation.to_owned()),
                status: Some(status.to_owned()),
            }),
            ..Reading::default()
        };
        request.hear(
            EventKind::Evaluation,
            &reading,
            true,
            SettledBy::Webhook,
            Timestamp(at),
        );
    }

    fn registered(operation: Operation, expects: &[&str]) -> WaldoRequest {
        let mut request = WaldoRequest::named("r", 1);
        let told = Registration {
            operation,
            expects: expects.iter().map(|&word| word.to_owned()).collect(),
            context: None,
            deadline_ms: 900_000,
        };
        request.register(&Reading::default(), &told, Seq(1), Timestamp(0));
        request
    }

    #[test]
    fn a_registered_request_is_pending_until_something_is_heard() {
        let mut request = registered(Operation::Fraud, &[]);
        assert_eq!(request.state, Some(State::Pending));
        heard(&mut request, "fraud", "initiated", 1);
        assert_eq!(request.state, Some(State::InProgress));
        heard(&mut request, "fraud", "completed", 2);
        assert_eq!(request.state, Some(State::Completed));
        assert_eq!(request.settled_by, Some(SettledBy::Webhook));
        assert_eq!(request.settled_at, Some(Timestamp(2)));
    }

    #[test]
    fn kyc_counts_as_completed_once_a_later_type_has() {
        let mut request = registered(Operation::Onboard, &["kyc", "fraud"]);
        heard(&mut request, "kyc", "initiated", 1);
        heard(&mut request, "fraud", "completed", 2);
        assert_eq!(request.state, Some(State::Completed));
        assert_eq!(request.evaluations["kyc"], "initiated");
    }

    #[test]
    fn one_failed_type_fails_the_request_once_all_are_final() {
        let mut request = registered(Operation::Onboard, &["fraud", "document"]);
        heard(&mut request, "fraud", "failed", 1);
        assert_eq!(request.state, Some(State::InProgress));
        heard(&mut request, "document", "completed", 2);
        assert_eq!(request.state, Some(State::Failed));
    }

    #[test]
    fn a_new_type_reopens_and_an_unknown_status_leaves_open() {
        let mut request = WaldoRequest::named("r", 1);
        heard(&mut request, "kyc", "completed", 1);
        assert_eq!(request.state, Some(State::Completed));
        heard(&mut request, "fraud", "paused", 2);
        assert_eq!(request.state, Some(State::InProgress));
        assert_eq!((request.settled_by, request.settled_at), (None, None));
        assert_eq!(request.evaluations["fraud"], "paused");
    }

    #[test]
    fn settled_outright_holds_until_waldo_says_more() {
        let mut request = registered(Operation::Fraud, &[]);
        heard(&mut request, "fraud", "in_progress", 1);
        request.settle(State::Completed, Timestamp(2));
        assert_eq!(request.settled_by, Some(SettledBy::Manual));
        heard(&mut request, "fraud", "completed", 3);
        assert_eq!(
            (request.settled_by, request.settled_at),
            (Some(SettledBy::Manual), Some(Timestamp(2)))
        );
        heard(&mut request, "document", "initiated", 4);
        assert_eq!(request.state, Some(State::InProgress));
    }

    #[test]
    fn a_registration_fills_in_and_conflicts_are_told() {
        let mut request = WaldoRequest::named("r", 1);
        heard(&mut request, "fraud", "initiated", 1);
        // The operation was only read off the webhook: the registration knows better.
        assert_eq!(request.agrees(Operation::Onboard, None), Ok(()));
        let told = Registration {
            operation: Operation::Onboard,
            expects: vec!["fraud".to_owned()],
            context: Some("{}".to_owned()),
            deadline_ms: 1000,
        };
        request.register(&Reading::default(), &told, Seq(2), Timestamp(5));
        assert_eq!(request.operation, Some(Operation::Onboard));
        assert_eq!(request.deadline_at, Some(Timestamp(1005)));
        assert_eq!(
            request.agrees(Operation::Fraud, None),
            Err(Conflict("operation"))
        );
        request.customer_id = Some("c".to_owned());
        assert_eq!(
            request.agrees(Operation::Onboard, Some("d")),
            Err(Conflict("customerId"))
        );
    }

    #[test]
    fn overdue_and_expired_are_told_by_the_clock_of_the_asker() {
        let request = registered(Operation::Fraud, &[]);
        let view = |now| {
            let view = request.view(Timestamp(now), 1_000, Vec::new());
            (view.overdue, view.state)
        };
        assert_eq!(view(900_000), (false, Some(State::Pending)));
        assert_eq!(view(900_001), (true, Some(State::Pending)));
        assert_eq!(view(901_001), (true, Some(State::Expired)));
    }
}
