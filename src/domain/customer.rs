//! A customer: what the events together say of it.
//!
//! Invariants: an absent member never erases a known value; the row changes exactly when `version` does; what the fold
//! must remember between events (`Memory`) is part of the row, so that the log alone decides.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::payload::{Reading, WarningTag};
use super::rows::Row;
use super::{Digest, Evidence, Origin, Seq, Timestamp};

/// How long a flag event may come after the own flag call that explains it (docs/RULES.md, origin).
pub const OWN_FLAG_CALL_MS: i64 = 15 * 60 * 1000;
/// How long after an event without requestId the same body counts as its repeat (docs/RULES.md, disposition).
pub const REPEAT_MS: i64 = 10 * 60 * 1000;
/// Own flag calls remembered for one customer; the oldest gives way. Waldo would have to be flooded to reach it.
pub const MAX_OWN_FLAG_CALLS: usize = 64;

/// One customer, in the shape of the query API.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Customer {
    /// Waldo's id: opaque text.
    pub customer_id: String,
    /// The company's own id; not unique.
    pub external_id: Option<String>,
    /// Link into the dashboard: display text.
    pub uri: Option<String>,
    /// `APPROVED`, `REJECTED`, `REVIEW`, `PENDING`, or Waldo's raw word.
    pub status: Option<String>,
    /// `PASSED`, `REJECTED`, `REVIEW`, `PENDING`, or Waldo's raw word.
    pub kyc: Option<String>,
    /// 0 to 1, 1 being entirely safe; null until known.
    pub fraud_score: Option<f64>,
    /// Whether the customer is flagged; null until known.
    pub flagged: Option<bool>,
    /// Waldo's count of warnings.
    pub warnings: Option<i64>,
    /// The single checks; empty until known.
    #[serde(serialize_with = "none_as_empty")]
    #[cfg_attr(test, schemars(with = "Vec<WarningTag>"))]
    pub warning_tags: Option<Arc<[WarningTag]>>,
    /// The present run of each evaluation type.
    pub evaluations: BTreeMap<String, Run>,
    /// Origin of the event that last gave `status` another value.
    pub decided_by: Option<Origin>,
    /// When the first event that made the customer known came.
    pub first_seen_at: Timestamp,
    /// When the row last changed.
    pub updated_at: Timestamp,
    /// The event that last changed the row.
    pub last_seq: Seq,
    /// +1 for every event that changed the row. 0: only the id is known so far, and the customer is not shown.
    pub version: u64,
    /// What the fold remembers.
    #[serde(skip)]
    pub memory: Memory,
    /// Where the customer's events and requests are found.
    #[serde(skip)]
    pub links: Links,
}

/// The present run of an evaluation type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Run {
    /// `initiated`, `in_progress`, `completed`, `failed`, or Waldo's raw word.
    pub status: String,
    /// The request that the run belongs to, where one is known.
    pub request_id: Option<String>,
    /// When that status came.
    pub at: Timestamp,
}

/// What the rules need to know of a customer beyond what is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Whether a fraud evaluation has ever completed, before which a score of 0 is unknown.
    #[serde(skip_serializing_if = "is_false")]
    pub fraud_completed: bool,
    /// The latest applied event of each kind, where it was a webhook without requestId.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub latest: BTreeMap<String, Latest>,
    /// Own flag calls that no event has been explained by yet, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub own_flag_calls: Vec<OwnFlagCall>,
    /// Keys of the customer's requests that are not settled, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub open_requests: Vec<u64>,
}

impl Memory {
    /// The requests that the latest events were tied to: a repeat of such an event is counted to the same one, which may
    /// be settled by then.
    pub fn requests_of_repeats(&self) -> impl Iterator<Item = &str> {
        self.latest
            .values()
            .filter_map(|latest| latest.request_id.as_deref())
    }
}

/// An event that a repeat would be measured against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest {
    /// Its place in the log.
    pub seq: Seq,
    /// When it came.
    pub at: Timestamp,
    /// What its body was.
    pub digest: Digest,
    /// Who caused it.
    pub origin: Origin,
    /// How that is known.
    pub evidence: Evidence,
    /// The request it was tied to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// One call of the company's own to Waldo's flag endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnFlagCall {
    /// The value asked for.
    pub flag: bool,
    /// When it was noted.
    pub at: Timestamp,
}

/// Links stand in for indexes: each event knows the previous event of its customer, the customer knows the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The row's integer key, given in order of first sight.
    pub key: u64,
    /// The newest event that names the row.
    pub last_event: Option<Seq>,
    /// The newest request of the customer.
    pub last_request: Option<u64>,
}

/// Where a change comes from.
#[derive(Clone, Copy, Debug)]
pub struct Cause<'a> {
    /// The event.
    pub seq: Seq,
    /// When it came.
    pub at: Timestamp,
    /// Who caused it.
    pub origin: Origin,
    /// The request it belongs to.
    pub request_id: Option<&'a str>,
}

/// What an event changed in a customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Change {
    /// The member, in the query API's words; `evaluations.fraud` for one run.
    pub field: String,
    /// What was there.
    pub from: Value,
    /// What is there now.
    pub to: Value,
}

/// A value of a customer that an event replaced.
#[derive(Clone, Debug, PartialEq)]
pub struct Replaced {
    /// The member, as [`Change`] has it.
    pub field: Cow<'static, str>,
    /// What was there.
    pub from: Value,
}

/// Takes note of changes: of all that there is to one, or of no more than is needed.
pub trait Notes {
    /// One member got another value.
    fn note(
        &mut self,
        field: Cow<'static, str>,
        from: Option<&impl Serialize>,
        to: &impl Serialize,
    );
}

impl Notes for Vec<Replaced> {
    fn note(
        &mut self,
        field: Cow<'static, str>,
        from: Option<&impl Serialize>,
        _: &impl Serialize,
    ) {
        let from = from.map_or(Value::Null, value_of);
        self.push(Replaced { field, from });
    }
}

/// Nobody wants to know.
impl Notes for () {
    fn note(&mut self, _: Cow<'static, str>, _: Option<&impl Serialize>, _: &impl Serialize) {}
}

#[cfg(test)]
impl Notes for Vec<Change> {
    fn note(
        &mut self,
        field: Cow<'static, str>,
        from: Option<&impl Serialize>,
        to: &impl Serialize,
    ) {
        self.push(Change {
            field: field.into_owned(),
            from: from.map_or(Value::Null, value_of),
            to: value_of(to),
        });
    }
}

/// These are texts, numbers, booleans and structs of them: always representable.
fn value_of(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

impl Row for Customer {
    fn id(&self) -> &str {
        &self.customer_id
    }

    fn key(&self) -> u64 {
        self.links.key
    }

    fn named(id: &str, key: u64) -> Self {
        Self {
            customer_id: id.to_owned(),
            links: Links {
                key,
                ..Links::default()
            },
            ..Self::default()
        }
    }
}

impl Customer {
    /// Whether any event has told more than the id.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.version > 0
    }

    /// Takes over what an applied event says (docs/RULES.md, customer).
    pub fn apply(&mut self, reading: &Reading, cause: Cause<'_>, notes: &mut impl Notes) {
        let mut changes = Changes::noted_in(notes);
        let validation = &reading.validation;
        let news = !reading.repeats_old_values();
        let run = reading.run();

        changes.set(
            "externalId",
            &mut self.external_id,
            reading.external_id.as_ref(),
        );
        changes.set("uri", &mut self.uri, reading.uri.as_ref());

        if run == Some(("fraud", "completed")) {
            self.memory.fraud_completed = true;
        }
        let status = validation
            .status
            .as_ref()
            .filter(|_| news || self.status.is_none());
        let decided = changes.set("status", &mut self.status, status);
        let kyc = validation
            .kyc
            .as_ref()
            .filter(|_| news || self.kyc.is_none());
        changes.set("kyc", &mut self.kyc, kyc);
        // 0 is the worst score, and also what Waldo shows where no score was asked for.
        let known_zero = self.memory.fraud_completed;
        let score = validation
            .fraud_score
            .as_ref()
            .filter(|score| **score != 0.0 || known_zero)
            .filter(|_| news || self.fraud_score.is_none());
        changes.set("fraudScore", &mut self.fraud_score, score);
        let snapshot = validation
            .fraud_flag
            .as_ref()
            .filter(|_| self.flagged.is_none());
        changes.set(
            "flagged",
            &mut self.flagged,
            reading.flag.as_ref().or(snapshot),
        );
        let warnings = validation
            .warnings
            .as_ref()
            .filter(|_| news || self.warnings.is_none());
        changes.set("warnings", &mut self.warnings, warnings);
        let tags = validation
            .warning_tags
            .as_ref()
            .filter(|_| news || self.warning_tags.is_none());
        changes.set("warningTags", &mut self.warning_tags, tags);
        if let Some((evaluation, status)) = run {
            self.run(&mut changes, evaluation, status, cause);
        }
        if decided {
            changes.set("decidedBy", &mut self.decided_by, Some(&cause.origin));
        }
        let any = changes.any;
        self.finish(any, cause);
    }

    /// Takes over the ids of an unrecognised event where none are known; nothing else of it counts.
    pub fn fill_ids(&mut self, reading: &Reading, cause: Cause<'_>, notes: &mut impl Notes) {
        if !self.is_known() {
            return;
        }
        let mut changes = Changes::noted_in(notes);
        let external_id = reading
            .external_id
            .as_ref()
            .filter(|_| self.external_id.is_none());
        changes.set("externalId", &mut self.external_id, external_id);
        let uri = reading.uri.as_ref().filter(|_| self.uri.is_none());
        changes.set("uri", &mut self.uri, uri);
        let any = changes.any;
        self.finish(any, cause);
    }

    /// The changes that an event can have made, each with where it led: that follows from the event alone. Which of
    /// them it made is told by the values that it replaced.
    pub fn possible_changes(reading: &Reading, cause: Cause<'_>, notes: &mut impl Notes) {
        // On a blank row every value of the event lands.
        let mut blank = Self::default();
        blank.memory.fraud_completed = true;
        blank.apply(reading, cause, notes);
    }

    fn run<N: Notes>(
        &mut self,
        changes: &mut Changes<'_, N>,
        evaluation: &str,
        status: &str,
        cause: Cause<'_>,
    ) {
        let before = self.evaluations.get(evaluation);
        let same = before.is_some_and(|run| {
            run.status == status && run.request_id.as_deref() == cause.request_id
        });
        if same {
            return;
        }
        let after = Run {
            status: status.to_owned(),
            request_id: cause.request_id.map(str::to_owned),
            at: cause.at,
        };
        let field = format!("evaluations.{evaluation}");
        changes.note(field.into(), before, &after);
        self.evaluations.insert(evaluation.to_owned(), after);
    }

    fn finish(&mut self, changed: bool, cause: Cause<'_>) {
        let created = !self.is_known();
        if created {
            self.first_seen_at = cause.at;
        }
        if created || changed {
            self.version += 1;
            self.updated_at = cause.at;
            self.last_seq = cause.seq;
        }
    }
}

struct Changes<'n, N> {
    notes: &'n mut N,
    any: bool,
}

impl<'n, N: Notes> Changes<'n, N> {
    const fn noted_in(notes: &'n mut N) -> Self {
        Self { notes, any: false }
    }

    fn note(
        &mut self,
        field: Cow<'static, str>,
        from: Option<&impl Serialize>,
        to: &impl Serialize,
    ) {
        self.any = true;
        self.notes.note(field, from, to);
    }

    /// Sets a member if there is a new and different value, and says whether it did.
    fn set<T: Clone + PartialEq + Serialize>(
        &mut self,
        field: &'static str,
        slot: &mut Option<T>,
        new: Option<&T>,
    ) -> bool {
        let Some(new) = new.filter(|new| slot.as_ref() != Some(new)) else {
            return false;
        };
        self.note(Cow::Borrowed(field), slot.as_ref(), new);
        *slot = Some(new.clone());
        true
    }
}

fn none_as_empty<S: Serializer>(
    tags: &Option<Arc<[WarningTag]>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    tags.as_deref().unwrap_or_default().serialize(serializer)
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Source, payload};

    fn cause(seq: u64) -> Cause<'static> {
        Cause {
            seq: Seq(seq),
            at: Timestamp(1_000 * seq as i64),
            origin: Origin::Dashboard,
            request_id: None,
        }
    }

    fn reading(body: &str) -> Reading {
        payload::read(Source::Webhook, body.as_bytes(), body.len() as u64).unwrap()
    }

    fn apply(customer: &mut Customer, reading: &Reading, cause: Cause<'_>) -> Vec<Change> {
        let mut changes = Vec::new();
        customer.apply(reading, cause, &mut changes);
        changes
    }

    fn fields(changes: &[Change]) -> Vec<&str> {
        changes.iter().map(|change| change.field.as_str()).collect()
    }

    #[test]
    fn an_absent_or_null_member_never_erases() {
        let mut customer = Customer::named("c", 1);
        apply(
            &mut customer,
            &reading(r#"{"validation":{"status":"APPROVED","fraudScore":0.5}}"#),
            cause(1),
        );
        let changes = apply(
            &mut customer,
            &reading(r#"{"validation":{"status":null},"externalId":null}"#),
            cause(2),
        );
        assert!(changes.is_empty());
        assert_eq!(customer.status.as_deref(), Some("APPROVED"));
        assert_eq!((customer.version, customer.last_seq), (1, Seq(1)));
    }

    #[test]
    fn while_it_runs_old_values_only_fill_what_is_unknown() {
        let mut customer = Customer::named("c", 1);
        apply(
            &mut customer,
            &reading(r#"{"validation":{"status":"APPROVED"}}"#),
            cause(1),
        );
        let running = reading(
            r#"{"evaluation":{"type":"fraud","status":"initiated"},
                "validation":{"status":"REVIEW","kyc":"PENDING","fraudScore":0.4,"warnings":1}}"#,
        );
        let changes = apply(&mut customer, &running, cause(2));
        assert_eq!(
            fields(&changes),
            ["kyc", "fraudScore", "warnings", "evaluations.fraud"]
        );
        assert_eq!(customer.status.as_deref(), Some("APPROVED"));
    }

    #[test]
    fn a_zero_score_is_unknown_until_a_fraud_evaluation_completed() {
        let mut customer = Customer::named("c", 1);
        let zero = reading(r#"{"validation":{"fraudScore":0}}"#);
        apply(&mut customer, &zero, cause(1));
        assert_eq!(customer.fraud_score, None);
        let completed = reading(
            r#"{"evaluation":{"type":"fraud","status":"completed"},"validation":{"fraudScore":0}}"#,
        );
        apply(&mut customer, &completed, cause(2));
        assert_eq!(customer.fraud_score, Some(0.0));
    }

    #[test]
    fn the_flag_sets_and_its_snapshot_only_fills() {
        let mut customer = Customer::named("c", 1);
        apply(
            &mut customer,
            &reading(r#"{"validation":{"fraudFlag":true}}"#),
            cause(1),
        );
        assert_eq!(customer.flagged, Some(true));
        apply(&mut customer, &reading(r#"{"flag":false}"#), cause(2));
        apply(
            &mut customer,
            &reading(r#"{"validation":{"fraudFlag":true}}"#),
            cause(3),
        );
        assert_eq!(customer.flagged, Some(false));
    }

    #[test]
    fn decided_by_follows_the_value_of_status() {
        let mut customer = Customer::named("c", 1);
        let api = Cause {
            origin: Origin::Api,
            ..cause(1)
        };
        apply(
            &mut customer,
            &reading(r#"{"validation":{"status":"REVIEW"}}"#),
            api,
        );
        assert_eq!(customer.decided_by, Some(Origin::Api));
        apply(
            &mut customer,
            &reading(r#"{"validation":{"status":"REJECTED"}}"#),
            cause(2),
        );
        assert_eq!(customer.decided_by, Some(Origin::Dashboard));
        let api = Cause {
            origin: Origin::Api,
            ..cause(3)
        };
        let changes = apply(
            &mut customer,
            &reading(r#"{"validation":{"status":"REJECTED"}}"#),
            api,
        );
        assert!(changes.is_empty());
        assert_eq!(customer.decided_by, Some(Origin::Dashboard));
    }

    #[test]
    fn what_is_not_known_is_shown_as_null_and_tags_as_an_empty_list() {
        let shown = serde_json::to_value(Customer::named("c", 1)).unwrap();
        assert_eq!(shown["status"], Value::Null);
        assert_eq!(shown["warningTags"], serde_json::json!([]));
        assert!(shown.get("memory").is_none());
    }
}
