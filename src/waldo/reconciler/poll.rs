//! One question after another about one request: has what it waits for ended?

use serde_json::{Map, Value, json};

use super::compare::differs;
use super::proof::{End, MAX_APART_MS, Waiting, end_in, history_of};
use super::questions::{Fault, Questions, is_askable};
use crate::clock::now;
use crate::domain::Disposition;

/// What came of asking about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// All that was waited for has ended, and the daemon knows.
    Settled,
    /// Nothing proves an end yet.
    Waits,
    /// There is nothing to ask by: no customer is known, or what is waited for has no history.
    Unanswerable,
}

/// Asks about a request, and tells the daemon of each end that is proved.
///
/// # Errors
/// When Waldo or the daemon does not answer.
pub async fn poll(questions: &Questions, waiting: &Waiting) -> Result<Polled, Fault> {
    let types = waiting.types();
    let provable = types.iter().any(|one| history_of(one).is_some());
    let Some(customer_id) = customer_of(questions, waiting).await? else {
        return Ok(Polled::Unanswerable);
    };
    if !provable {
        return Ok(Polled::Unanswerable);
    }
    // The row first: what Waldo says afterwards is not older than it.
    let mut seen = questions.row(&customer_id).await?.version;
    let Some(found) = questions.customer("customerId", &customer_id).await? else {
        return Ok(Polled::Waits);
    };
    if found.ahead_ms.saturating_abs() > MAX_APART_MS {
        return Err(Fault::Clocks);
    }
    let Some(span) = waiting.span(found.ahead_ms, now()) else {
        return Ok(Polled::Unanswerable);
    };
    let mut ends: Vec<(&str, End)> = Vec::new();
    let mut read: Option<(&str, Option<Vec<u8>>)> = None;
    for evaluation in &types {
        let Some(path) = history_of(evaluation) else {
            continue;
        };
        let history = match read.take() {
            Some((known, history)) if known == path => history,
            _ => questions.history(path, &customer_id).await?,
        };
        let end = history
            .as_deref()
            .and_then(|history| end_in(history, evaluation, &span));
        ends.extend(end.map(|end| (*evaluation, end)));
        read = Some((path, history));
    }
    let all = ends.len() == types.len();
    let settled_any = !ends.is_empty();
    for (evaluation, end) in ends {
        let mut answer = found.answer(&customer_id, seen);
        answer.insert("event".to_owned(), "evaluation".into());
        answer.insert("requestId".to_owned(), json!(waiting.request_id));
        let run = json!({ "type": evaluation, "status": "completed" });
        answer.insert("evaluation".to_owned(), run);
        if let Some(Value::Object(validation)) = answer.get_mut("validation") {
            keep_outcome_of(evaluation, end.score, validation);
        }
        let (seq, told) = questions.tell(&answer).await?;
        if told.disposition == Disposition::Stale {
            return Ok(Polled::Waits);
        }
        let row = questions.row(&customer_id).await?;
        if row.version != seen && row.last_seq != seq {
            return Ok(Polled::Waits);
        }
        seen = row.version;
    }
    // What the evaluations do not account for was done by somebody else.
    if seen > 0 && settled_any {
        let row = questions.row(&customer_id).await?;
        if row.version == seen && differs(&row, &found) {
            questions.tell(&found.answer(&customer_id, seen)).await?;
        }
    }
    Ok(if all { Polled::Settled } else { Polled::Waits })
}

/// Leaves what an evaluation of that type decides. The approval status follows from the score of a fraud evaluation;
/// without one a person decides (Waldo's page "features/onboarding").
fn keep_outcome_of(evaluation: &str, score: Option<f64>, validation: &mut Map<String, Value>) {
    if evaluation == "fraud" {
        validation.remove("kyc");
        if let Some(score) = score {
            validation.insert("fraudScore".to_owned(), json!(score));
        }
    } else {
        validation.retain(|name, _| name == "kyc");
    }
}

/// The customer that a request is about; by the company's own id where only that is known and it is one customer's.
async fn customer_of(questions: &Questions, waiting: &Waiting) -> Result<Option<String>, Fault> {
    let customer_id = match (&waiting.customer_id, &waiting.external_id) {
        (Some(known), _) => Some(known.clone()),
        (None, Some(external_id)) if is_askable(external_id) => {
            let found = questions.customer("externalId", external_id).await?;
            found.and_then(|found| found.reading.customer_id)
        }
        _ => None,
    };
    Ok(customer_id.filter(|id| is_askable(id)))
}
