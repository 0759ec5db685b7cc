//! When an evaluation has provably ended. Waldo's answers about a customer name no request, and `idle` may mean that it
//! is done or that it has not begun; a history item dated not before the call is what proves an end (Waldo's pages
//! "api-reference/kyc-history" and "api-reference/fraud-history").

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::Deserialize;

use crate::domain::{Operation, Timestamp};

/// How much earlier than the registration an item may be dated: the registration is noted when Waldo's answer has come,
/// and an evaluation may be over by then.
pub const CALL_SLACK_MS: i64 = 5_000;
/// Clocks further apart are not believed: a date that some cache answered would make any old item look new.
pub const MAX_APART_MS: i64 = 3_600_000;

/// A request that waits, as the daemon shows it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Waldo's id of the call.
    pub request_id: String,
    /// The kind of call.
    pub operation: Option<Operation>,
    /// The customer it is about.
    pub customer_id: Option<String>,
    /// The company's own id of that customer.
    pub external_id: Option<String>,
    evaluations: BTreeMap<String, String>,
    #[serde(default)]
    expects: Vec<String>,
    registered_at: Option<Timestamp>,
    first_event_at: Option<Timestamp>,
}

/// An end of an evaluation, as a history shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// With what score, where it was a fraud evaluation.
    pub score: Option<f64>,
}

impl Waiting {
    /// The evaluation types whose end is waited for.
    #[must_use]
    pub fn types(&self) -> Vec<&str> {
        let is_final = |status: &str| matches!(status, "completed" | "failed");
        // Waldo never tells the end of a KYC that another evaluation of the same call has followed.
        let followed = self
            .evaluations
            .iter()
            .any(|(evaluation, status)| evaluation != "kyc" && status == "completed");
        let expected = self
            .expects
            .iter()
            .filter(|one| !self.evaluations.contains_key(*one));
        let mut types: Vec<&str> = self
            .evaluations
            .iter()
            .filter(|(evaluation, status)| {
                !is_final(status) && (!followed || evaluation.as_str() != "kyc")
            })
            .map(|(evaluation, _)| evaluation.as_str())
            .chain(expected.map(String::as_str))
            .collect();
        if self.evaluations.is_empty() && self.expects.is_empty() {
            types.extend(self.operation.and_then(Operation::implied_evaluation));
        }
        // A KYC ends before what follows it, and settling in that order never shows the reverse.
        types.sort_by_key(|evaluation| *evaluation != "kyc");
        types
    }

    /// The dates that an end of this request can have, by Waldo's clock: from the call on, and not in the future.
    /// `ahead_ms` is how far that clock is ahead of ours.
    #[must_use]
    pub fn span(&self, ahead_ms: i64, now: Timestamp) -> Option<RangeInclusive<Timestamp>> {
        let began = match (self.registered_at, self.first_event_at) {
            (Some(registered), Some(heard)) => Some(registered.min(heard)),
            (registered, heard) => registered.or(heard),
        }?;
        let latest = now.plus_ms(ahead_ms.saturating_add(CALL_SLACK_MS));
        Some(began.plus_ms(ahead_ms.saturating_sub(CALL_SLACK_MS))..=latest)
    }
}

#[derive(Deserialize)]
struct History {
    #[serde(default)]
    history: Vec<serde_json::Value>,
}

/// The path that tells of the ends of a type; `None` for types that have no history.
#[must_use]
pub fn history_of(evaluation: &str) -> Option<&'static str> {
    match evaluation {
        "kyc" | "document" => Some("/history/kyc/"),
        "fraud" => Some("/history/fraud/"),
        _ => None,
    }
}

/// The latest end of a type that a history shows in a span of time. Items of odd shapes prove nothing.
#[must_use]
pub fn end_in(history: &[u8], evaluation: &str, span: &RangeInclusive<Timestamp>) -> Option<End> {
    let history: History = serde_json::from_slice(history).ok()?;
    history
        .history
        .iter()
        .filter(|item| {
            evaluation == "fraud"
                || item["type"]
                    .as_str()
                    .is_some_and(|word| word.eq_ignore_ascii_case(evaluation))
        })
        .filter_map(|item| {
            Some(End {
                at: Timestamp(item["date"].as_i64()?),
                score: item["score"]
                    .as_f64()
                    .filter(|score| (0.0..=1.0).contains(score)),
            })
        })
        .filter(|end| span.contains(&end.at))
        .max_by_key(|end| end.at)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn waiting(over: Value) -> Waiting {
        let mut request = json!({
            "requestId": "r", "operation": "onboard", "customerId": "c", "externalId": null, "evaluations": {},
            "expects": [], "registeredAt": "2026-01-01T00:00:00.000Z", "firstEventAt": null,
        });
        for (name, value) in over.as_object().unwrap() {
            request[name] = value.clone();
        }
        serde_json::from_value(request).unwrap()
    }

    #[test]
    fn what_is_waited_for_is_what_is_seen_or_expected_and_not_final() {
        for (request, types) in [
            (json!({}), vec!["kyc"]),
            (json!({"operation": "fraud"}), vec!["fraud"]),
            (json!({"operation": "other"}), vec![]),
            (json!({"expects": ["fraud", "kyc"]}), vec!["kyc", "fraud"]),
            (
                json!({"evaluations": {"kyc": "initiated", "fraud": "in_progress"}}),
                vec!["kyc", "fraud"],
            ),
            (
                json!({"evaluations": {"kyc": "initiated", "fraud": "completed"}, "expects": ["fraud", "document"]}),
                vec!["document"],
            ),
            (json!({"evaluations": {"fraud": "failed"}}), vec![]),
        ] {
            assert_eq!(waiting(request.clone()).types(), types, "{request}");
        }
    }

    #[test]
    fn an_item_of_before_the_call_proves_nothing() {
        let history = json!({"active": {}, "history": [
            {"date": 1000, "score": 0.1}, {"date": 3000, "score": 0.3}, {"date": 2000, "score": 0.2},
            {"date": "soon"}, 7, {"date": -5}, {"date": 9.3e18}, {"date": i64::MAX, "score": 1},
        ]});
        let history = history.to_string();
        let to = |not_after| Timestamp(2000)..=Timestamp(not_after);
        let end = |not_before| {
            let span = Timestamp(not_before)..=Timestamp(9000);
            end_in(history.as_bytes(), "fraud", &span)
        };
        assert_eq!(
            end(2000),
            Some(End {
                at: Timestamp(3000),
                score: Some(0.3)
            })
        );
        assert_eq!(end(3001), None);
        assert_eq!(end_in(b"no JSON", "fraud", &to(9000)), None);
        // Nor does one that is dated after the question.
        let past = end_in(history.as_bytes(), "fraud", &to(2999)).unwrap();
        assert_eq!(past.at, Timestamp(2000));
    }

    #[test]
    fn a_document_is_not_proved_by_a_kyc() {
        let history = json!({"history": [
            {"date": 1000, "outcome": "PASSED", "type": "kyc"},
            {"date": 2000, "outcome": "REVIEW", "type": "document"},
        ]});
        let history = history.to_string();
        let end = |evaluation, not_before| {
            let span = Timestamp(not_before)..=Timestamp(9000);
            end_in(history.as_bytes(), evaluation, &span).map(|end| end.at.0)
        };
        assert_eq!(end("kyc", 0), Some(1000));
        assert_eq!(end("document", 0), Some(2000));
        assert_eq!(end("kyc", 1500), None);
    }

    #[test]
    fn the_call_began_at_the_registration_or_the_first_webhook_by_waldos_clock() {
        let late = waiting(json!({"firstEventAt": "2025-12-31T23:59:59.000Z"}));
        let now = Timestamp(2_000_000_000_000);
        let began = |waiting: &Waiting, ahead_ms| *waiting.span(ahead_ms, now).unwrap().start();
        let at = began(&waiting(json!({})), 0);
        assert_eq!(began(&late, 0), at.plus_ms(-1000));
        assert_eq!(began(&late, 700), at.plus_ms(-300));
        let span = late.span(700, now).unwrap();
        assert_eq!(*span.end(), now.plus_ms(700 + CALL_SLACK_MS));
        let unknown = waiting(json!({"registeredAt": null}));
        assert_eq!(unknown.span(0, now), None);
    }
}
