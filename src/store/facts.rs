//! What apps tell and what Waldo answers, appended to the log like any webhook and waited for until it is visible.

use std::time::Duration;

use super::{Delivery, Store, StoreError};
use crate::domain::{Disposition, Operation, Seq, Source, State};

/// How long a fact that an app told may take to become visible.
pub(super) const VISIBLE_WITHIN: Duration = Duration::from_secs(5);

/// What an app tells of a request.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Waldo's id of the call.
    pub request_id: String,
    /// The kind of call.
    pub operation: Operation,
    /// The customer it is about, if known.
    pub customer_id: Option<String>,
    /// The company's own id of that customer.
    pub external_id: Option<String>,
    /// The evaluation types to wait for.
    pub expects: Vec<String>,
    /// JSON of the app's own, as text.
    pub context: Option<Box<serde_json::value::RawValue>>,
    /// When the outcome is due, after now.
    pub deadline: Duration,
}

/// What became of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its place in the log.
    pub seq: Seq,
    /// Whether the request was not registered before.
    pub new: bool,
}

impl Store {
    /// Registers a request that an app waits for, and returns once that is durable and visible.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the request is known with another operation or customer; else as [`Self::append`].
    pub async fn register(&self, registration: Registration) -> Result<Registered, StoreError> {
        let mut fact = serde_json::json!({
            "event": "request.registered",
            "requestId": registration.request_id,
            "operation": registration.operation,
            "deadlineSeconds": registration.deadline.as_secs(),
        });
        let members = [
            ("customerId", registration.customer_id.map(Into::into)),
            ("externalId", registration.external_id.map(Into::into)),
            (
                "expects",
                (!registration.expects.is_empty()).then(|| registration.expects.into()),
            ),
        ];
        for (name, value) in members {
            if let Some(value) = value {
                fact[name] = value;
            }
        }
        let mut text = fact.to_string();
        if let Some(context) = registration.context {
            // The app's own JSON goes in as it came, digit for digit.
            text.truncate(text.len().saturating_sub(1));
            text.push_str(",\"context\":");
            text.push_str(context.get());
            text.push('}');
        }
        let seq = self.append_fact(text).await?;
        self.no_conflict(seq).await?;
        let request = self.request(registration.request_id).await?;
        let new = request
            .value
            .is_some_and(|row| row.request.registered_seq == Some(seq));
        Ok(Registered { seq, new })
    }

    /// Records Waldo's answer to a call (`gateway`) or to a question (`poll`), as [`crate::domain::answer::outcome`]
    /// reduced it, and returns once it is durable; it is usually visible then too.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn record_answer(&self, source: Source, outcome: String) -> Result<Seq, StoreError> {
        let seq = self.append(Delivery::whole(source, outcome.into())).await?;
        match self.wait_projected(seq, VISIBLE_WITHIN).await {
            // It is on the disk, and that is all that the answer has to wait for.
            Ok(()) | Err(StoreError::NotReached(_)) => Ok(seq),
            Err(error) => Err(error),
        }
    }

    /// Notes that an app calls Waldo's flag endpoint, so that the webhook it causes is known as its echo; or, withdrawn,
    /// that the call it noted last was not made.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn note_flag_call(
        &self,
        customer_id: &str,
        flag: bool,
        withdrawn: bool,
    ) -> Result<Seq, StoreError> {
        let mut fact =
            serde_json::json!({ "event": "flag.called", "customerId": customer_id, "flag": flag });
        if withdrawn {
            fact["withdrawn"] = true.into();
        }
        self.append_fact(fact.to_string()).await
    }

    /// Settles a request by hand; `None` when no such request is known.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is settled already; else as [`Self::append`].
    pub async fn settle(
        &self,
        request_id: &str,
        state: State,
        note: Option<&str>,
    ) -> Result<Option<Seq>, StoreError> {
        if self.request(request_id.to_owned()).await?.value.is_none() {
            return Ok(None);
        }
        let fact = serde_json::json!({
            "event": "request.settled", "requestId": request_id, "state": state, "note": note,
        });
        let seq = self.append_fact(fact.to_string()).await?;
        self.no_conflict(seq).await?;
        Ok(Some(seq))
    }

    /// What the rules found to contradict what is known is told to the app; it stays in the log as what it is.
    async fn no_conflict(&self, seq: Seq) -> Result<(), StoreError> {
        let verdict = self.verdict(seq).await?;
        match verdict.disposition {
            Disposition::Stale => {
                let problems = verdict.problems.iter();
                // The kind of the error says that it is one.
                let said =
                    problems.map(|problem| problem.strip_prefix("conflict: ").unwrap_or(problem));
                Err(StoreError::Conflict(said.collect::<Vec<_>>().join("; ")))
            }
            _ => Ok(()),
        }
    }

    /// Appends what an app told and waits until it is visible.
    async fn append_fact(&self, fact: String) -> Result<Seq, StoreError> {
        let seq = self
            .append(Delivery::whole(Source::Control, fact.into()))
            .await?;
        self.wait_projected(seq, VISIBLE_WITHIN).await?;
        Ok(seq)
    }
}
