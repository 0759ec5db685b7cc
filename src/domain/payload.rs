//! Bytes → a reading, or the reason for quarantine.
//!
//! Total: whatever the bytes are, this neither fails nor panics. A known field of the wrong type is read as absent and
//! named in `problems`; everything else about the event still counts. The shapes and words come from Waldo's pages
//! "features/webhooks" and "api-reference/*", with the variants that their versions show.

use std::borrow::Cow;
use std::str;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::json::{Json, Members, Parts};
use super::{EventKind, Operation, Source, State};

/// What was understood of a body.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// The raw name of the event.
    pub event: Option<String>,
    /// Waldo's id of the customer: opaque text.
    pub customer_id: Option<String>,
    /// The company's own id of the customer; not unique.
    pub external_id: Option<String>,
    /// The id of the API call that the event belongs to.
    pub request_id: Option<String>,
    /// A link into Waldo's dashboard: display text, never parsed.
    pub uri: Option<String>,
    /// What runs or ran.
    pub evaluation: Option<Evaluation>,
    /// The outcomes that the body shows.
    pub validation: Validation,
    /// `flag` of a flag event, `flagged` of an answer.
    pub flag: Option<bool>,
    /// What an app told of a request, or the gateway of the call that it forwarded.
    pub registration: Option<Registration>,
    /// Whether the flag call that this answers was noted before it was made (forwarded calls only).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub noted: bool,
    /// Whether a flag call that was noted was not made after all (control events only).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
    /// The version of the customer that Waldo was asked beside (polled events only).
    pub seen_version: Option<u64>,
    /// The state that a request was settled with by hand (control events only).
    pub settled: Option<State>,
    /// What was wrong with known fields.
    pub problems: Vec<String>,
}

/// `evaluation` of a body: each member as far as it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Evaluation {
    /// `kyc`, `fraud`, `document`, or the raw word.
    pub r#type: Option<String>,
    /// `initiated`, `in_progress`, `completed`, `failed`, or the raw word.
    pub status: Option<String>,
}

/// `validation` of a body: each member as far as it is there and of the right type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Validation {
    /// `APPROVED`, `REJECTED`, `REVIEW`, `PENDING`, or the raw word. The older `ACCEPTED` reads as `APPROVED`.
    pub status: Option<String>,
    /// `PASSED`, `REJECTED`, `REVIEW`, `PENDING`, or the raw word. The older `ACCEPTED` reads as `PASSED`.
    pub kyc: Option<String>,
    /// 0 to 1, 1 being entirely safe.
    pub fraud_score: Option<f64>,
    /// A snapshot of the flag, of unknown age.
    pub fraud_flag: Option<bool>,
    /// A count that Waldo gives beside the tags.
    pub warnings: Option<i64>,
    /// The single checks, in one shape whichever of the two they came in.
    pub warning_tags: Option<Arc<[WarningTag]>>,
}

/// One check of an evaluation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WarningTag {
    /// The check's name.
    pub tag: String,
    /// The check's name for people.
    pub label: Option<String>,
    /// Whether it was passed.
    pub passed: Option<bool>,
    /// Whether it comes from a document evaluation.
    pub is_doc: bool,
}

/// What an app registered about a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The kind of call.
    pub operation: Operation,
    /// The evaluation types that the app waits for; may be empty.
    pub expects: Vec<String>,
    /// The app's own JSON, as it came.
    pub context: Option<String>,
    /// How long after the registration the outcome is due, in milliseconds.
    pub deadline_ms: i64,
}

/// Why a body has no reading.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreadable {
    /// Longer than the door takes; only its beginning was kept.
    #[error("the body is too large: {size} bytes, of which the first {kept} were kept")]
    TooLarge {
        /// Bytes that arrived.
        size: u64,
        /// Bytes that were kept.
        kept: u64,
    },
    /// Not UTF-8.
    #[error("the body is not UTF-8: invalid byte at {0}")]
    NotUtf8(usize),
    /// Not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// JSON, but no object.
    #[error("the body is JSON but not an object: it is {0}")]
    NoObject(Cow<'static, str>),
    /// The payload is gone and nothing was kept in its place.
    #[error("the payload was taken out")]
    TakenOut,
    /// It was about a customer who was erased.
    #[error("the customer it was about was erased")]
    Erased(Erased),
}

/// What is left of an erased event: whether it was the first to name its customer and its request. The rows that come
/// after them keep their keys by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// It gave a customer its key.
    pub customer: bool,
    /// It gave a request its key.
    pub request: bool,
}

/// What stands in the place of a payload that was taken out: all that the rules read of it, so that folding again gives
/// the same rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Kept {
    /// Why there was nothing to read.
    Unreadable {
        /// The reason, losing nothing of what it says.
        unreadable: Unreadable,
    },
    /// What was read.
    Reading(Box<Reading>),
}

impl From<Result<Reading, Unreadable>> for Kept {
    fn from(read: Result<Reading, Unreadable>) -> Self {
        match read {
            Ok(reading) => Self::Reading(Box::new(reading)),
            Err(unreadable) => Self::Unreadable { unreadable },
        }
    }
}

impl From<Kept> for Result<Reading, Unreadable> {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Reading(reading) => Ok(*reading),
            Kept::Unreadable { unreadable } => Err(unreadable),
        }
    }
}

/// The longest `context` an app may leave with a request, in bytes.
pub const MAX_CONTEXT_BYTES: usize = 4096;

/// Problems that are told of a body before what is wrong with further tags is only counted: each takes many times the
/// memory of the tag it is about. What is wrong with other fields is always told.
const MAX_PROBLEMS: usize = 100;

/// The text of a body that can be embedded into JSON as it is: without a byte order mark.
///
/// # Errors
/// When the body is not UTF-8.
pub fn text_of(body: &[u8]) -> Result<&str, Unreadable> {
    let text = str::from_utf8(body).map_err(|error| Unreadable::NotUtf8(error.valid_up_to()))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Reads a body. `size` is how many bytes arrived, which is more than were kept of a body that was too large.
///
/// # Errors
/// When there is nothing to read: see [`Unreadable`].
pub fn read(source: Source, body: &[u8], size: u64) -> Result<Reading, Unreadable> {
    if size > body.len() as u64 {
        return Err(Unreadable::TooLarge {
            size,
            kept: body.len() as u64,
        });
    }
    let parts = Parts::of(text_of(body)?).map_err(Unreadable::NotJson)?;
    let body = parts.value();
    let Some(members) = body.members() else {
        return Err(Unreadable::NoObject(body.type_name().into()));
    };
    let mut reader = Reader::default();
    let mut reading = Reading {
        event: reader.text(members, "event"),
        customer_id: reader.text(members, "customerId"),
        external_id: reader.text(members, "externalId"),
        request_id: reader.text(members, "requestId"),
        uri: reader.text(members, "uri"),
        evaluation: reader.evaluation(members),
        validation: reader.validation(members),
        flag: reader
            .boolean(members, "flag")
            .or(reader.boolean(members, "flagged")),
        ..Reading::default()
    };
    match source {
        Source::Control => reader.control(members, &mut reading),
        Source::Gateway | Source::Poll => reader.answer(source, members, &mut reading),
        Source::Webhook => {}
    }
    reading.problems = reader.problems;
    Ok(reading)
}

impl Reading {
    /// The meaning of the event's name, coming from `source`: apps cannot speak for Waldo, nor Waldo for apps.
    #[must_use]
    pub fn kind(&self, source: Source) -> Option<EventKind> {
        let name = self.event.as_deref()?;
        let kind = EventKind::ALL
            .iter()
            .copied()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(name))?;
        let told_by_app = matches!(
            kind,
            EventKind::RequestRegistered | EventKind::FlagCalled | EventKind::RequestSettled
        );
        (told_by_app == (source == Source::Control)).then_some(kind)
    }

    /// The evaluation's type and status, where both are there.
    #[must_use]
    pub fn run(&self) -> Option<(&str, &str)> {
        let evaluation = self.evaluation.as_ref()?;
        Some((evaluation.r#type.as_deref()?, evaluation.status.as_deref()?))
    }

    /// Whether `validation` only repeats what was known before the evaluation began (Waldo's page
    /// "api-reference/check-fraud": the score shown with `initiated` is the previous one).
    #[must_use]
    pub fn repeats_old_values(&self) -> bool {
        let status = self
            .evaluation
            .as_ref()
            .and_then(|evaluation| evaluation.status.as_deref());
        matches!(status, Some("initiated" | "in_progress"))
    }
}

/// Takes fields out of an object and notes what was wrong with them.
#[derive(Default)]
struct Reader {
    problems: Vec<String>,
    /// What was wrong with tags beyond [`MAX_PROBLEMS`].
    untold: usize,
}

impl Reader {
    fn expected(&mut self, name: &str, expected: &str, value: Json<'_>) {
        let found = value.type_name();
        self.problems
            .push(format!("{name}: expected {expected}, found {found}"));
    }

    /// A text; empty is absent, for an empty id names nothing.
    fn text(&mut self, members: Members<'_>, name: &str) -> Option<String> {
        self.text_at(members, name, name)
    }

    fn text_at(&mut self, members: Members<'_>, name: &str, path: &str) -> Option<String> {
        let value = members.get(name)?;
        match value.string() {
            Some(text) => return Some(text.into_owned()).filter(|text| !text.is_empty()),
            None if value.type_name() == "a string" => self
                .problems
                .push(format!("{path}: an escape stands for no character")),
            None => self.expected(path, "a string", value),
        }
        None
    }

    fn boolean(&mut self, members: Members<'_>, name: &str) -> Option<bool> {
        self.boolean_at(members, name, name)
    }

    fn boolean_at(&mut self, members: Members<'_>, name: &str, path: &str) -> Option<bool> {
        let value = members.get(name)?;
        match value.text() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.expected(path, "a boolean", value);
                None
            }
        }
    }

    fn object<'a>(&mut self, members: Members<'a>, name: &str) -> Option<Members<'a>> {
        let value = members.get(name)?;
        let object = value.members();
        if object.is_none() {
            self.expected(name, "an object", value);
        }
        object
    }

    fn evaluation(&mut self, members: Members<'_>) -> Option<Evaluation> {
        let object = self.object(members, "evaluation")?;
        let evaluation = Evaluation {
            r#type: self
                .text_at(object, "type", "evaluation.type")
                .map(evaluation_type),
            status: self
                .text_at(object, "status", "evaluation.status")
                .map(evaluation_status),
        };
        // Get Customer says `idle` of both when nothing runs: that is no evaluation.
        let idle = |word: &Option<String>| word.as_deref() == Some("idle");
        let nothing = evaluation == Evaluation::default();
        (!nothing && !idle(&evaluation.r#type) && !idle(&evaluation.status)).then_some(evaluation)
    }

    fn validation(&mut self, members: Members<'_>) -> Validation {
        let Some(object) = self.object(members, "validation") else {
            return Validation::default();
        };
        Validation {
            status: self
                .text_at(object, "status", "validation.status")
                .map(status_word),
            kyc: self.text_at(object, "kyc", "validation.kyc").map(kyc_word),
            fraud_score: self.score(object),
            fraud_flag: self.boolean_at(object, "fraudFlag", "validation.fraudFlag"),
            warnings: self.integer(object, "warnings", "validation.warnings"),
            warning_tags: self.warning_tags(object),
        }
    }

    fn score(&mut self, validation: Members<'_>) -> Option<f64> {
        let value = validation.get("fraudScore")?;
        if value.type_name() != "a number" {
            self.expected("validation.fraudScore", "a number", value);
            return None;
        }
        match value.text().parse::<f64>() {
            // The sum turns -0 into 0.
            Ok(score) if (0.0..=1.0).contains(&score) => Some(score + 0.0),
            _ => {
                self.problems
                    .push("validation.fraudScore: not between 0 and 1".to_owned());
                None
            }
        }
    }

    fn integer(&mut self, members: Members<'_>, name: &str, path: &str) -> Option<i64> {
        let value = members.get(name)?;
        let integer = value.text().parse().ok();
        if integer.is_none() {
            self.expected(path, "an integer", value);
        }
        integer
    }

    /// The tags, which one page shows as an array and another as an object keyed by tag.
    fn warning_tags(&mut self, validation: Members<'_>) -> Option<Arc<[WarningTag]>> {
        let value = validation.get("warningTags")?;
        let tags = if let Some(items) = value.items() {
            items
                .filter_map(|item| self.warning_tag(item, None))
                .collect()
        } else if let Some(object) = value.members() {
            object
                .iter()
                .filter_map(|(key, item)| self.warning_tag(item, Some(&key)))
                .collect()
        } else {
            self.expected("validation.warningTags", "an array or an object", value);
            return None;
        };
        if self.untold > 0 {
            self.problems
                .push(format!("validation.warningTags[]: {} more", self.untold));
        }
        Some(tags)
    }

    fn warning_tag(&mut self, value: Json<'_>, key: Option<&str>) -> Option<WarningTag> {
        let tag = self.whole_tag(value, key);
        self.untold += self.problems.len().saturating_sub(MAX_PROBLEMS);
        self.problems.truncate(MAX_PROBLEMS);
        tag
    }

    fn whole_tag(&mut self, value: Json<'_>, key: Option<&str>) -> Option<WarningTag> {
        const PATH: &str = "validation.warningTags[]";
        let Some(object) = value.members() else {
            self.expected(PATH, "objects", value);
            return None;
        };
        let tag = self
            .text_at(object, "tag", "validation.warningTags[].tag")
            .or_else(|| key.map(str::to_owned));
        let Some(tag) = tag else {
            self.problems.push(format!("{PATH}: an item without a tag"));
            return None;
        };
        Some(WarningTag {
            tag,
            label: self.text_at(object, "label", "validation.warningTags[].label"),
            passed: self.boolean_at(object, "passed", "validation.warningTags[].passed"),
            is_doc: self
                .boolean_at(object, "isDoc", "validation.warningTags[].isDoc")
                .unwrap_or(false),
        })
    }

    /// What only Waldo's answers say, and what was noted beside them.
    fn answer(&mut self, source: Source, members: Members<'_>, reading: &mut Reading) {
        if reading.validation.status.is_none() {
            // The answer to a flag call shows the status beside the flag, not inside `validation`.
            reading.validation.status = self.text(members, "status").map(status_word);
        }
        if source == Source::Gateway {
            reading.noted = self.boolean(members, "noted").unwrap_or(false);
            self.registration(members, reading);
        } else {
            let version = self.integer(members, "seenVersion", "seenVersion");
            reading.seen_version = version.and_then(|version| version.try_into().ok());
        }
    }

    /// What only apps say. The control door has checked it already; here it is read again, for the log is the source.
    fn control(&mut self, members: Members<'_>, reading: &mut Reading) {
        self.registration(members, reading);
        reading.withdrawn = self.boolean(members, "withdrawn").unwrap_or(false);
        if let Some(state) = self.text(members, "state") {
            reading.settled = state
                .parse()
                .ok()
                .filter(|state: &State| state.is_settled());
        }
    }

    fn registration(&mut self, members: Members<'_>, reading: &mut Reading) {
        if let Some(operation) = self.text(members, "operation") {
            let expects = members
                .get("expects")
                .and_then(Json::items)
                .into_iter()
                .flatten();
            reading.registration = Some(Registration {
                operation: operation.parse().unwrap_or(Operation::Other),
                expects: expects
                    .filter_map(Json::string)
                    .map(|text| evaluation_type(text.into_owned()))
                    .collect(),
                context: members
                    .get("context")
                    .map(|context| context.text().to_owned()),
                deadline_ms: self
                    .integer(members, "deadlineSeconds", "deadlineSeconds")
                    .unwrap_or(0)
                    .saturating_mul(1000),
            });
        }
    }
}

fn evaluation_type(raw: String) -> String {
    lower_if_known(raw, &["kyc", "fraud", "document", "idle"])
}

fn evaluation_status(raw: String) -> String {
    lower_if_known(
        raw,
        &["initiated", "in_progress", "completed", "failed", "idle"],
    )
}

fn lower_if_known(mut raw: String, known: &[&str]) -> String {
    if known.iter().any(|word| raw.eq_ignore_ascii_case(word)) {
        raw.make_ascii_lowercase();
    }
    raw
}

fn status_word(raw: String) -> String {
    upper_if_known(raw, "APPROVED")
}

fn kyc_word(raw: String) -> String {
    upper_if_known(raw, "PASSED")
}

/// `good` is what the older `ACCEPTED` reads as.
fn upper_if_known(mut raw: String, good: &str) -> String {
    if raw.eq_ignore_ascii_case("ACCEPTED") {
        return good.to_owned();
    }
    let known = [good, "REJECTED", "REVIEW", "PENDING"];
    if known.iter().any(|word| raw.eq_ignore_ascii_case(word)) {
        raw.make_ascii_uppercase();
    }
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(body: &str) -> Reading {
        read(Source::Webhook, body.as_bytes(), body.len() as u64).unwrap()
    }

    #[test]
    fn words_are_read_whatever_their_case() {
        let reading = webhook(
            r#"{"event":"ONBOARD","evaluation":{"type":"Fraud","status":"In_Progress"},
                "validation":{"status":"accepted","kyc":"Accepted"}}"#,
        );
        assert_eq!(reading.kind(Source::Webhook), Some(EventKind::Onboard));
        assert_eq!(reading.event.as_deref(), Some("ONBOARD"));
        assert_eq!(reading.run(), Some(("fraud", "in_progress")));
        assert_eq!(reading.validation.status.as_deref(), Some("APPROVED"));
        assert_eq!(reading.validation.kyc.as_deref(), Some("PASSED"));
    }

    #[test]
    fn unknown_words_are_kept_as_they_are() {
        let reading = webhook(
            r#"{"event":"evaluation","evaluation":{"type":"Liveness","status":"Paused"},
                "validation":{"status":"On hold","kyc":"Maybe"}}"#,
        );
        assert_eq!(reading.run(), Some(("Liveness", "Paused")));
        assert_eq!(reading.validation.status.as_deref(), Some("On hold"));
        assert_eq!(reading.validation.kyc.as_deref(), Some("Maybe"));
        assert!(reading.problems.is_empty());
    }

    #[test]
    fn a_field_of_the_wrong_type_is_absent_and_named() {
        let reading = webhook(
            r#"{"event":"flag","flag":"yes","customerId":7,"externalId":null,"uri":"",
                "evaluation":[],"validation":{"fraudScore":"0.5","warnings":1.5,"warningTags":3}}"#,
        );
        assert_eq!(reading.customer_id, None);
        assert_eq!(reading.flag, None);
        assert_eq!(
            reading.problems,
            [
                "customerId: expected a string, found a number",
                "evaluation: expected an object, found an array",
                "validation.fraudScore: expected a number, found a string",
                "validation.warnings: expected an integer, found a number",
                "validation.warningTags: expected an array or an object, found a number",
                "flag: expected a boolean, found a string",
            ]
        );
    }

    #[test]
    fn a_score_outside_its_range_is_a_problem() {
        for number in ["1.01", "-0.1", "1e400"] {
            let reading = webhook(&format!(r#"{{"validation":{{"fraudScore":{number}}}}}"#));
            assert_eq!(reading.validation.fraud_score, None);
            assert_eq!(
                reading.problems,
                ["validation.fraudScore: not between 0 and 1"]
            );
        }
    }

    #[test]
    fn tags_have_one_shape_whether_array_or_object() {
        let array = webhook(
            r#"{"validation":{"warningTags":[{"tag":"ssn","label":"SSN","passed":true,"isDoc":true}]}}"#,
        );
        let object = webhook(
            r#"{"validation":{"warningTags":{"ssn":{"label":"SSN","passed":true,"isDoc":true}}}}"#,
        );
        assert_eq!(array.validation, object.validation);
        assert_eq!(array.validation.warning_tags.unwrap().len(), 1);
    }

    #[test]
    fn of_many_wrong_tags_the_first_are_told_and_the_others_counted() {
        let told = |wrong: usize| {
            let tags = vec!["1"; wrong].join(",");
            let body = format!(
                r#"{{"uri":1,"validation":{{"warnings":"1","warningTags":[{tags},{{"tag":"a"}}]}},"flag":1}}"#
            );
            let reading = webhook(&body);
            assert_eq!(reading.validation.warning_tags.unwrap().len(), 1);
            reading.problems
        };
        let beside = 2;
        let all = told(MAX_PROBLEMS - beside);
        assert_eq!(all.len(), MAX_PROBLEMS + 1);
        assert_eq!(
            all[MAX_PROBLEMS],
            "flag: expected a boolean, found a number"
        );
        let some = told(10_000);
        assert_eq!(some[..MAX_PROBLEMS], all[..MAX_PROBLEMS]);
        assert_eq!(
            some[MAX_PROBLEMS..],
            [
                "validation.warningTags[]: 9902 more",
                "flag: expected a boolean, found a number"
            ]
        );
    }

    #[test]
    fn an_idle_evaluation_is_none() {
        let reading = webhook(r#"{"evaluation":{"type":"idle","status":"idle"}}"#);
        assert_eq!(reading.evaluation, None);
    }

    #[test]
    fn apps_and_waldo_cannot_speak_for_each_other() {
        let registered = webhook(r#"{"event":"request.registered"}"#);
        assert_eq!(registered.kind(Source::Webhook), None);
        assert_eq!(
            registered.kind(Source::Control),
            Some(EventKind::RequestRegistered)
        );
        assert_eq!(
            webhook(r#"{"event":"onboard"}"#).kind(Source::Control),
            None
        );
    }

    #[test]
    fn what_is_no_object_is_unreadable_with_its_reason() {
        let reason = |body: &[u8]| {
            read(Source::Webhook, body, body.len() as u64)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            reason(b"[]"),
            "the body is JSON but not an object: it is an array"
        );
        assert_eq!(reason(b"a\xff"), "the body is not UTF-8: invalid byte at 1");
        assert!(reason(b"{").starts_with("the body is not JSON: EOF"));
        assert_eq!(
            read(Source::Webhook, b"{", 9).unwrap_err(),
            Unreadable::TooLarge { size: 9, kept: 1 }
        );
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        let body = "\u{feff}{\"event\":\"flag\"}";
        assert_eq!(webhook(body).event.as_deref(), Some("flag"));
    }

    #[test]
    fn a_reading_kept_in_place_of_its_payload_is_whole() {
        let reading = webhook(include_str!(
            "../../tests/fixtures/payloads/webhook-evaluation-document-completed.json"
        ));
        assert_kept(Ok(reading));
        // A score is a number with up to 17 digits.
        assert_kept(Ok(webhook(
            r#"{"validation":{"fraudScore":0.30000000000000004}}"#,
        )));
        assert_kept(Ok(webhook("{}")));
    }

    #[track_caller]
    fn assert_kept(read: Result<Reading, Unreadable>) {
        let text = serde_json::to_string(&Kept::from(read.clone())).unwrap();
        let kept: Kept = serde_json::from_str(&text).unwrap();
        assert_eq!(Result::from(kept), read, "{text}");
    }

    #[test]
    fn a_reason_kept_in_place_of_its_payload_is_whole() {
        for body in [b"[]".as_slice(), b"a\xff", b"{", b"", b"{}"] {
            assert_kept(read(
                Source::Webhook,
                body,
                body.len() as u64 + u64::from(body == b"{}"),
            ));
        }
        for gave in [true, false] {
            assert_kept(Err(Unreadable::Erased(Erased {
                customer: gave,
                request: !gave,
            })));
        }
        assert_kept(Err(Unreadable::TakenOut));
    }
}
