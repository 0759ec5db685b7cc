//! One run: what an operation set going, step by step.

use fastrand::Rng;
use serde_json::{Value, json};

use super::mischief::{Draws, Mischief};
use super::outcomes::Outcome;
use super::words::{Cause, Check, Operation, Progress};

/// One phase, and what happens to the webhook that tells of it.
#[derive(Debug)]
pub struct Step {
    /// What runs.
    pub check: Check,
    /// How far it is now.
    pub progress: Progress,
    /// What happens to its webhook.
    pub draws: Draws,
}

/// A run.
#[derive(Debug)]
pub struct Run {
    /// What the answer and the webhooks carry; the dashboard's runs have none.
    pub request_id: Option<String>,
    /// What was asked for.
    pub operation: Operation,
    /// Which customer, by place.
    pub customer: usize,
    /// Who asked.
    pub cause: Cause,
    /// How far each evaluation is, in the order in which they began.
    pub evaluations: Vec<(Check, Progress)>,
    /// What it will find.
    pub outcome: Outcome,
    /// Its phases.
    pub steps: Vec<Step>,
    /// What was said about the document.
    pub document: Option<DocumentKind>,
    /// In ms.
    pub started_at: i64,
    /// In ms.
    pub completed_at: Option<i64>,
}

/// What the caller says that a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words are Waldo's")]
pub enum DocumentKind {
    DrivingLicence,
    Passport,
}

/// The phases of one evaluation: two or three, each with its draws.
pub fn steps(rng: &mut Rng, check: Check, outcome: &Outcome, mischief: &Mischief) -> Vec<Step> {
    let end = if outcome.fails {
        Progress::Failed
    } else {
        Progress::Completed
    };
    [Progress::Initiated, Progress::Running, end]
        .into_iter()
        .map(|progress| Step {
            check,
            progress,
            draws: mischief.draw(rng),
        })
        .filter(|step| step.progress != Progress::Running || outcome.tells_in_progress)
        .collect()
}

impl Run {
    /// Moves an evaluation on; the first word about it begins it.
    pub fn set(&mut self, check: Check, progress: Progress) {
        match self
            .evaluations
            .iter_mut()
            .find(|(known, _)| *known == check)
        {
            Some((_, known)) => *known = progress,
            None => self.evaluations.push((check, progress)),
        }
    }

    /// What `GET /customer` shows as running: what began last.
    pub fn shown(&self) -> Option<(Check, Progress)> {
        self.evaluations
            .iter()
            .rev()
            .find(|(_, progress)| !progress.is_terminal())
            .copied()
    }

    /// As the truth tells it.
    pub fn truth(&self, number: u64, customer_id: &str) -> Value {
        let evaluations: serde_json::Map<_, _> = self
            .evaluations
            .iter()
            .filter_map(|(check, progress)| {
                Some((json!(check).as_str()?.to_owned(), json!(progress)))
            })
            .collect();
        json!({
            "number": number,
            "requestId": self.request_id,
            "operation": self.operation,
            "customerId": customer_id,
            "cause": self.cause,
            "evaluations": evaluations,
            "startedAt": self.started_at,
            "completedAt": self.completed_at,
        })
    }
}
