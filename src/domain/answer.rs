//! Waldo's answer to a call → the event that is kept of it.
//!
//! Invariant: only outcomes and ids go in. Answers about customers hold names, addresses and official ids (Waldo's page
//! "api-reference/get-customer"); a member that is not listed here never reaches the log.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::json::{Json, Members, Parts};
use super::{EventKind, Operation};

/// Members of `validation` that are outcomes.
const OUTCOMES: &[&str] = &["status", "kyc", "fraudScore", "fraudFlag", "warnings"];
/// Members of one warning tag.
const TAG_MEMBERS: &[&str] = &["tag", "label", "passed", "isDoc"];
/// Members at the top that are ids, display text or outcomes.
const TOP: &[&str] = &[
    "requestId",
    "externalId",
    "customerId",
    "uri",
    "flag",
    "flagged",
    "status",
];

/// A call of Waldo's API whose answer says something about a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `POST /onboard`
    Onboard,
    /// `POST /check-fraud`
    CheckFraud,
    /// `POST /document`
    Document,
    /// `POST /flag`
    Flag,
    /// `GET /customer`, and what was worked out of it and the histories.
    Customer,
}

/// Why nothing is kept of an answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoOutcome {
    /// It cannot be read.
    #[error("the answer is no JSON object: {0}")]
    NoObject(String),
    /// It is not about one customer.
    #[error("customers: expected exactly one, found {0}")]
    NotOne(usize),
}

/// What the daemon adds to an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// When the outcome is due after now, in seconds, where a requestId in the answer is to be registered.
    pub deadline_seconds: Option<u64>,
    /// Whether the flag call was noted before it was made.
    pub flag_noted: bool,
}

impl Call {
    /// The call behind a path; the query does not count.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let path = path.strip_suffix('/').unwrap_or(path);
        Some(match path {
            "/onboard" => Self::Onboard,
            "/check-fraud" => Self::CheckFraud,
            "/document" => Self::Document,
            "/flag" => Self::Flag,
            "/customer" => Self::Customer,
            _ if path.starts_with("/history/") => Self::Customer,
            _ => return None,
        })
    }

    /// The kind of request that the call starts.
    #[must_use]
    pub const fn operation(self) -> Operation {
        match self {
            Self::Onboard => Operation::Onboard,
            Self::CheckFraud => Operation::Fraud,
            Self::Document => Operation::Document,
            Self::Flag => Operation::Flag,
            Self::Customer => Operation::Other,
        }
    }

    /// The name that the event gets when the answer has none.
    const fn event(self) -> EventKind {
        match self {
            Self::Onboard | Self::Customer => EventKind::Onboard,
            Self::CheckFraud | Self::Document => EventKind::Evaluation,
            Self::Flag => EventKind::Flag,
        }
    }
}

/// The body of the event that is kept of an answer: its outcomes and ids, in the words of a webhook, and what the daemon
/// adds.
///
/// # Errors
/// When the answer is no JSON object, or a list of other than one customer.
pub fn outcome(call: Call, answer: &RawValue, beside: Beside) -> Result<String, NoOutcome> {
    let parts = Parts::try_from(answer).map_err(NoOutcome::NoObject)?;
    let answer = only_customer(parts.value())?;
    let members = object(answer)?;
    let mut kept = Map::new();
    for name in TOP {
        keep(&mut kept, members, name);
    }
    let inner = |name| members.get(name).and_then(Json::members);
    let mut running = false;
    if let Some(evaluation) = inner("evaluation") {
        let mut run = Map::new();
        for name in ["type", "status"] {
            keep(&mut run, evaluation, name);
        }
        // Get Customer says `idle` when nothing runs.
        running = run.values().any(|word| word != "idle");
        if running {
            kept.insert("evaluation".to_owned(), run.into());
        }
    }
    if let Some(validation) = inner("validation") {
        let mut outcomes = Map::new();
        for name in OUTCOMES {
            keep(&mut outcomes, validation, name);
        }
        if let Some(tags) = validation.get("warningTags").and_then(warning_tags) {
            outcomes.insert("warningTags".to_owned(), tags);
        }
        kept.insert("validation".to_owned(), outcomes.into());
    }
    keep(&mut kept, members, "seenVersion");
    // The newest onboarding answers repeat whether a fraud evaluation will follow.
    let fraud_follows = inner("options")
        .and_then(|options| options.get("includeFraudCheck"))
        .is_some_and(|value| value.text() == "true");
    if fraud_follows {
        kept.insert("options".to_owned(), json!({ "includeFraudCheck": true }));
    }
    let named = members
        .get("event")
        .and_then(Json::string)
        .and_then(|name| name.to_ascii_lowercase().parse().ok())
        .filter(|kind| {
            matches!(
                kind,
                EventKind::Onboard | EventKind::Flag | EventKind::Evaluation
            )
        });
    let event = match (call, named) {
        (_, Some(named)) => named,
        (Call::Customer, None) if running => EventKind::Evaluation,
        (call, None) => call.event(),
    };
    kept.insert("event".to_owned(), event.as_str().into());
    if beside.flag_noted {
        kept.insert("noted".to_owned(), true.into());
    }
    if let (Some(seconds), true) = (beside.deadline_seconds, kept.contains_key("requestId")) {
        kept.insert("operation".to_owned(), call.operation().as_str().into());
        kept.insert("deadlineSeconds".to_owned(), seconds.into());
        if call == Call::Onboard && fraud_follows {
            kept.insert("expects".to_owned(), json!(["kyc", "fraud"]));
        }
    }
    Ok(Value::Object(kept).to_string())
}

/// The customer of Get Customer's list, or the answer as it is.
fn only_customer(answer: Json<'_>) -> Result<Json<'_>, NoOutcome> {
    let Some(mut customers) = object(answer)?.get("customers").and_then(Json::items) else {
        return Ok(answer);
    };
    let count = customers.clone().count();
    match customers.next() {
        Some(only) if count == 1 => Ok(only),
        _ => Err(NoOutcome::NotOne(count)),
    }
}

fn object(value: Json<'_>) -> Result<Members<'_>, NoOutcome> {
    value
        .members()
        .ok_or_else(|| NoOutcome::NoObject(format!("it is {}", value.type_name())))
}

/// Takes a text, a number or a boolean over; what is deeper was not asked for and may be anything.
fn keep(kept: &mut Map<String, Value>, members: Members<'_>, name: &str) {
    let scalar = members
        .get(name)
        .and_then(|value| serde_json::from_str::<Value>(value.text()).ok())
        .filter(|value| value.is_string() || value.is_number() || value.is_boolean());
    if let Some(value) = scalar {
        kept.insert(name.to_owned(), value);
    }
}

/// The tags in the shape of a list, whichever of the two they came in.
fn warning_tags(value: Json<'_>) -> Option<Value> {
    let tag = |key: Option<&str>, item: Json<'_>| {
        let members = item.members()?;
        let mut tag = Map::new();
        if let Some(key) = key {
            tag.insert("tag".to_owned(), key.into());
        }
        for name in TAG_MEMBERS {
            keep(&mut tag, members, name);
        }
        Some(Value::Object(tag))
    };
    if let Some(items) = value.items() {
        return Some(items.filter_map(|item| tag(None, item)).collect());
    }
    let object = value.members()?;
    Some(
        object
            .iter()
            .filter_map(|(key, item)| tag(Some(&key), item))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(call: Call, answer: &Value) -> Value {
        let raw = serde_json::value::to_raw_value(answer).unwrap();
        let beside = Beside {
            deadline_seconds: Some(900),
            flag_noted: false,
        };
        serde_json::from_str(&outcome(call, &raw, beside).unwrap()).unwrap()
    }

    #[test]
    fn an_answer_to_a_call_registers_its_request() {
        let answer = serde_json::json!({
            "requestId": "r", "event": "onboard", "evaluation": {"type": "kyc", "status": "initiated"},
            "validation": {"status": "REVIEW", "kyc": "PENDING", "fraudScore": 0},
            "options": {"includeFraudCheck": true}, "customerId": "c", "uri": "u", "errors": [],
        });
        assert_eq!(
            kept(Call::Onboard, &answer),
            serde_json::json!({
                "requestId": "r", "event": "onboard", "evaluation": {"type": "kyc", "status": "initiated"},
                "validation": {"status": "REVIEW", "kyc": "PENDING", "fraudScore": 0},
                "options": {"includeFraudCheck": true}, "customerId": "c", "uri": "u",
                "operation": "onboard", "expects": ["kyc", "fraud"], "deadlineSeconds": 900,
            })
        );
        // Whoever forwards an answer may have reduced it already.
        let raw = serde_json::value::to_raw_value(&answer).unwrap();
        let reduced = outcome(Call::Onboard, &raw, Beside::default()).unwrap();
        let reduced = serde_json::from_str(&reduced).unwrap();
        assert_eq!(kept(Call::Onboard, &reduced), kept(Call::Onboard, &answer));
    }

    #[test]
    fn nothing_personal_is_kept_of_a_customer() {
        let answer = serde_json::json!({"customers": [{
            "createdAt": 1, "firstName": "Ada", "officialId": {"value": "000"}, "email": "ada@example.com",
            "ipAddress": {"valid": true, "value": "192.0.2.10"}, "uri": {"firstName": "Ada"},
            "evaluation": {"type": "idle", "status": "idle"},
            "validation": {"status": "APPROVED", "kyc": "PASSED", "fraudScore": 0.74, "note": "Ada",
                           "warningTags": {"ssn": {"passed": true, "value": "000"}}},
            "customerId": "c",
        }]});
        assert_eq!(
            kept(Call::Customer, &answer),
            serde_json::json!({
                "event": "onboard", "customerId": "c",
                "validation": {"status": "APPROVED", "kyc": "PASSED", "fraudScore": 0.74,
                               "warningTags": [{"tag": "ssn", "passed": true}]},
            })
        );
    }

    #[test]
    fn a_list_of_several_customers_is_about_nobody() {
        let raw = serde_json::value::to_raw_value(&serde_json::json!({"customers": [{}, {}]}));
        assert_eq!(
            outcome(Call::Customer, &raw.unwrap(), Beside::default()),
            Err(NoOutcome::NotOne(2))
        );
    }

    #[test]
    fn paths_are_known_without_their_query() {
        assert_eq!(Call::of_path("/flag/?x=1"), Some(Call::Flag));
        assert_eq!(Call::of_path("/history/fraud/c"), Some(Call::Customer));
        assert_eq!(Call::of_path("/authenticate"), None);
    }
}
