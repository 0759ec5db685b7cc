//! Questions to Waldo about customers, at most so many at once, and what is told to the daemon of the answers.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, Semaphore};

use super::pace::Pause;
use crate::clock::now;
use crate::domain::answer::{self, Beside, Call};
use crate::domain::payload::{self, Reading};
use crate::domain::{Disposition, Seq, Source, Timestamp};
use crate::waldo::api::{Api, ApiError};
use crate::waldo::daemon::{Daemon, DaemonFault, encoded};

/// Bytes of an id that can stand in a question; the ids that Waldo gives have 24.
const MAX_ID_BYTES: usize = 1024;

/// Whether anybody can be asked by this id. Whoever knows the webhook secret can have any text kept as one.
#[must_use]
pub fn is_askable(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len())
}

/// Why something could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Waldo did not say.
    #[error(transparent)]
    Waldo(#[from] ApiError),
    /// The daemon did not.
    #[error(transparent)]
    Daemon(#[from] DaemonFault),
    /// What Waldo dates cannot be compared with what we do.
    #[error("Waldo's clock and ours are more than an hour apart, so that dates prove nothing")]
    Clocks,
    /// The customer changed each time before what Waldo said could be kept.
    #[error("the customer changes faster than Waldo can be asked")]
    Restless,
}

/// What the reconciler tells of itself.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    /// When Waldo last answered.
    pub last_answer_at: Option<Timestamp>,
    /// Why Waldo is not asked any more, until somebody mends it.
    pub trouble: Option<String>,
}

/// Asks Waldo and tells the daemon.
#[derive(Debug)]
pub struct Questions {
    daemon: Daemon,
    api: Api,
    permits: Semaphore,
    condition: Mutex<Condition>,
    changed: Notify,
    pause: Mutex<Pause>,
}

/// What Waldo says of a customer: outcomes and ids, in the words of a webhook.
#[derive(Debug)]
pub struct Found {
    members: Map<String, Value>,
    /// The same as the rules read it.
    pub reading: Reading,
    /// How far Waldo's clock is ahead of ours, in milliseconds.
    pub ahead_ms: i64,
}

/// A customer's row, as far as it is compared.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Its version, 0 where there is no row.
    pub version: u64,
    /// The event that last changed it.
    pub last_seq: Seq,
    /// The company's own id.
    pub external_id: Option<String>,
    /// The approval status.
    pub status: Option<String>,
    /// The outcome of KYC.
    pub kyc: Option<String>,
    /// 0 to 1.
    pub fraud_score: Option<f64>,
}

/// What became of what was told.
#[derive(Debug, Deserialize)]
pub struct Told {
    /// What the rules made of it.
    pub disposition: Disposition,
    /// What it changed.
    pub changes: Vec<Change>,
}

/// A changed member.
#[derive(Debug, Deserialize)]
pub struct Change {
    /// Its name.
    pub field: String,
    /// What was there.
    pub from: Value,
    /// What is there now.
    pub to: Value,
}

impl Questions {
    /// At most `at_once` questions are open at a time.
    #[must_use]
    pub fn new(daemon: Daemon, api: Api, at_once: usize) -> Self {
        Self {
            daemon,
            api,
            permits: Semaphore::new(at_once),
            condition: Mutex::default(),
            changed: Notify::new(),
            pause: Mutex::default(),
        }
    }

    /// The daemon that is told.
    #[must_use]
    pub const fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// How it stands.
    #[must_use]
    pub fn condition(&self) -> Condition {
        locked(&self.condition).clone()
    }

    /// Waits until something stops the questions, or nothing does any longer.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Lets Waldo be asked again by somebody who has reason to believe that it answers.
    pub async fn take_heart(&self) {
        self.api.forget_refusal().await;
    }

    /// Whether Waldo may be asked without being told to.
    #[must_use]
    pub fn may_ask(&self) -> bool {
        locked(&self.condition).trouble.is_none() && locked(&self.pause).is_over()
    }

    async fn ask(&self, path: &str) -> Result<(Vec<u8>, i64), ApiError> {
        let permit = self.permits.acquire().await;
        let answer = self.api.get(path).await;
        drop(permit);
        match &answer {
            // "Not known (yet)" is an answer.
            Ok(_) | Err(ApiError::NotFound) => {
                locked(&self.pause).end();
                let mut condition = locked(&self.condition);
                condition.last_answer_at = Some(now());
                if condition.trouble.take().is_some() {
                    self.changed.notify_one();
                    log::info!("Waldo answers again: overdue requests are asked about");
                }
            }
            Err(error @ (ApiError::Revoked | ApiError::LoginRefused)) => {
                let mut condition = locked(&self.condition);
                if condition.trouble.is_none() {
                    log::error!(
                        "{error}: nothing more is asked by itself; mend the key and start again, or run `waldo-syncd resync`"
                    );
                }
                condition.trouble = Some(format!("{error}; overdue requests are not asked about"));
                self.changed.notify_one();
            }
            Err(ApiError::Busy { retry_after, .. }) => locked(&self.pause).lengthen(*retry_after),
            Err(ApiError::Unreachable(_) | ApiError::TooSlow) => {
                locked(&self.pause).lengthen(None);
            }
            Err(ApiError::Refused { .. } | ApiError::Odd(_)) => {}
        }
        let answer = answer?;
        let ahead_ms = answer.date.map_or(0, |date| date.ms_since(now()));
        Ok((answer.body.to_vec(), ahead_ms))
    }

    /// What Waldo says of the only customer that a query finds; `None` when it is none or several.
    ///
    /// # Errors
    /// When Waldo does not answer, or not in a way that can be understood.
    pub async fn customer(&self, field: &str, value: &str) -> Result<Option<Found>, Fault> {
        let path = format!("/customer?{field}={}", encoded(value));
        let (body, ahead_ms) = match self.ask(&path).await {
            Err(ApiError::NotFound) => return Ok(None),
            answer => answer?,
        };
        let odd = |why: String| Fault::Waldo(ApiError::Odd(why));
        let raw: &RawValue =
            serde_json::from_slice(&body).map_err(|error| odd(error.to_string()))?;
        let text = match answer::outcome(Call::Customer, raw, Beside::default()) {
            Ok(text) => text,
            Err(answer::NoOutcome::NotOne(_)) => return Ok(None),
            Err(error) => return Err(odd(error.to_string())),
        };
        let members: Map<String, Value> =
            serde_json::from_str(&text).map_err(|error| odd(error.to_string()))?;
        // Whatever else was found is somebody else's, or nobody's.
        let asked_for = members.get(field).map_or_else(
            || members.contains_key("validation"),
            |found| found == value,
        );
        if !asked_for {
            return Err(odd(format!("it is not about the {field} asked for")));
        }
        let reading = payload::read(Source::Poll, text.as_bytes(), text.len() as u64)
            .map_err(|error| odd(error.to_string()))?;
        Ok(Some(Found {
            members,
            reading,
            ahead_ms,
        }))
    }

    /// A customer's history; `None` when Waldo has none (yet).
    ///
    /// # Errors
    /// When Waldo does not answer.
    pub async fn history(&self, path: &str, customer_id: &str) -> Result<Option<Vec<u8>>, Fault> {
        match self.ask(&format!("{path}{}", encoded(customer_id))).await {
            Ok((body, _)) => Ok(Some(body)),
            Err(ApiError::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The daemon's row of a customer.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub async fn row(&self, customer_id: &str) -> Result<Row, DaemonFault> {
        match self
            .daemon
            .get(&format!("/v1/customers/{}", encoded(customer_id)))
            .await
        {
            Err(DaemonFault::NotFound) => Ok(Row::default()),
            row => row,
        }
    }

    /// Tells the daemon what Waldo said, and what the rules made of it.
    ///
    /// # Errors
    /// When the daemon does not take it.
    pub async fn tell(&self, answer: &Map<String, Value>) -> Result<(Seq, Told), DaemonFault> {
        #[derive(Deserialize)]
        struct Kept {
            seq: Seq,
        }
        let body =
            json!({ "source": "poll", "path": "/customer", "status": 200, "answer": answer });
        let Kept { seq } = self
            .daemon
            .post("/v1/answers", &body, Duration::ZERO)
            .await?;
        let told = self
            .daemon
            .get(&format!("/v1/events/{seq}?minSeq={seq}"))
            .await?;
        Ok((seq, told))
    }
}

impl Found {
    /// Whether an evaluation runs, during which Waldo shows no score or the previous one.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.reading.evaluation.is_some()
    }

    /// The answer that is kept: about this customer, beside this version of its row, without what runs.
    #[must_use]
    pub fn answer(&self, customer_id: &str, seen_version: u64) -> Map<String, Value> {
        let mut answer = self.members.clone();
        let running = answer.remove("evaluation").is_some();
        if running && let Some(validation) = answer.get_mut("validation") {
            validation
                .as_object_mut()
                .and_then(|members| members.remove("fraudScore"));
        }
        answer.remove("requestId");
        answer.insert("event".to_owned(), "onboard".into());
        answer.insert("customerId".to_owned(), customer_id.into());
        answer.insert("seenVersion".to_owned(), seen_version.into());
        answer
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
