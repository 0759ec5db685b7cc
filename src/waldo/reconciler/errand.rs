//! Errands: what somebody wants asked of Waldo now. One at a time; each ends with a report, and long ones report on the
//! way.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::compare::{Compared, compare};
use super::poll::{Polled, poll};
use super::proof::Waiting;
use super::questions::{Fault, Questions, is_askable};
use crate::waldo::api::ApiError;
use crate::waldo::daemon::{DaemonFault, encoded};

/// Customers or requests read from the daemon at a time.
const PAGE: usize = 500;
/// How often an errand reports, also while it waits for Waldo: one that is not heard of is given up.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// How often a question is asked again that Waldo was too busy for.
const TRIES: usize = 4;
/// The longest wait that an errand takes on between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The wait between two tries where Waldo names none.
const WAIT: Duration = Duration::from_secs(2);
/// After so many questions in a row without an answer an errand is given up.
const MAX_FAILURES: usize = 5;

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Errand {
    /// One customer: its open requests asked about, its row compared.
    CustomerId(String),
    /// The same for every known customer.
    All(bool),
    /// Every overdue request asked about.
    Overdue(bool),
}

/// What has come of an errand since the last report; numbers are of all of it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    checked: u64,
    total: Option<u64>,
    settled: u64,
    drifted: u64,
    failed: u64,
    drift: Vec<Value>,
    detail: Option<String>,
    finished: bool,
}

/// A part of a list of the daemon's.
#[derive(Deserialize)]
pub(super) struct Listing<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    customer_id: String,
}

/// One errand being run.
struct Run<'a> {
    questions: &'a Questions,
    id: u64,
    at_once: usize,
    report: Mutex<Report>,
    failures: Mutex<usize>,
}

/// Why an errand ended early.
struct GivenUp(String);

impl From<DaemonFault> for GivenUp {
    fn from(fault: DaemonFault) -> Self {
        Self(fault.to_string())
    }
}

/// Runs an errand and reports on it.
///
/// # Errors
/// When the daemon is away; then there is nobody to report to.
pub async fn run(
    questions: &Questions,
    id: u64,
    errand: Errand,
    at_once: usize,
) -> Result<(), DaemonFault> {
    let run = Run {
        questions,
        id,
        at_once,
        report: Mutex::default(),
        failures: Mutex::default(),
    };
    questions.take_heart().await;
    let work = async {
        match errand {
            Errand::CustomerId(customer_id) => run.customer(&customer_id).await,
            Errand::All(_) => run.all().await,
            Errand::Overdue(_) => run.overdue().await,
        }
    };
    let mut work = pin!(work);
    let outcome = loop {
        // A report that has begun is finished: what differed is in no other.
        match timeout(REPORT_EVERY, &mut work).await {
            Ok(outcome) => break outcome,
            Err(_) => run.send().await?,
        }
    };
    run.with(|report| {
        report.finished = true;
        report.detail = outcome.err().map(|GivenUp(why)| why);
    });
    run.send().await
}

impl Run<'_> {
    fn with(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner));
    }

    async fn send(&self) -> Result<(), DaemonFault> {
        let body = {
            let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
            let body = json!(&*report);
            report.drift.clear();
            body
        };
        let path = format!("/v1/errands/{}", self.id);
        let _: Value = self
            .questions
            .daemon()
            .post(&path, &body, Duration::ZERO)
            .await?;
        Ok(())
    }

    async fn customer(&self, customer_id: &str) -> Result<(), GivenUp> {
        self.with(|report| report.total = Some(1));
        let compared = self.look_at(customer_id).await?;
        self.with(|report| report.checked = 1);
        match compared {
            Some(Compared::Unknown) => Err(GivenUp("Waldo knows no such customer".to_owned())),
            Some(_) => Ok(()),
            None => Err(GivenUp("Waldo could not be asked".to_owned())),
        }
    }

    async fn all(&self) -> Result<(), GivenUp> {
        let stats: Value = self.questions.daemon().get("/v1/stats").await?;
        self.with(|report| report.total = stats["customers"]["total"].as_u64());
        let mut cursor = None;
        loop {
            let path = with_cursor(
                &format!("/v1/customers?sort=customerId&limit={PAGE}"),
                cursor.as_deref(),
            );
            let page: Listing<Named> = self.questions.daemon().get(&path).await?;
            let mut asked = stream::iter(page.items)
                .map(|named| async move {
                    self.look_at(&named.customer_id).await?;
                    self.with(|report| report.checked += 1);
                    Ok::<_, GivenUp>(())
                })
                .buffer_unordered(self.at_once);
            while let Some(done) = asked.next().await {
                done?;
            }
            drop(asked);
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn overdue(&self) -> Result<(), GivenUp> {
        let overdue = super::overdue(self.questions.daemon()).await?;
        self.with(|report| report.total = u64::try_from(overdue.len()).ok());
        let mut asked = stream::iter(overdue)
            .map(|waiting| async move {
                self.ask_about(&waiting).await?;
                self.with(|report| report.checked += 1);
                Ok::<_, GivenUp>(())
            })
            .buffer_unordered(self.at_once);
        while let Some(done) = asked.next().await {
            done?;
        }
        Ok(())
    }

    /// Asks about a customer's open requests, then compares its row: what a request accounts for is not drift. `None`
    /// when Waldo could not be asked.
    async fn look_at(&self, customer_id: &str) -> Result<Option<Compared>, GivenUp> {
        if !is_askable(customer_id) {
            self.with(|report| report.failed += 1);
            return Ok(None);
        }
        for state in ["pending", "in_progress"] {
            let path = format!(
                "/v1/requests?customerId={}&state={state}&limit={PAGE}",
                encoded(customer_id)
            );
            let open: Listing<Waiting> = self.questions.daemon().get(&path).await?;
            for waiting in &open.items {
                self.ask_about(waiting).await?;
            }
        }
        for attempt in 1.. {
            match compare(self.questions, customer_id).await {
                Ok(compared) => {
                    self.answered();
                    if let Compared::Drifted(told) = &compared {
                        let fields: Vec<_> = told
                            .changes
                            .iter()
                            .map(|change| {
                                json!({"field": change.field, "from": change.from, "to": change.to})
                            })
                            .collect();
                        self.with(|report| {
                            report.drifted += 1;
                            report
                                .drift
                                .push(json!({"customerId": customer_id, "fields": fields}));
                        });
                    }
                    return Ok(Some(compared));
                }
                Err(fault) if self.goes_on(&fault, attempt).await? => {}
                Err(_) => break,
            }
        }
        Ok(None)
    }

    async fn ask_about(&self, waiting: &Waiting) -> Result<(), GivenUp> {
        for attempt in 1.. {
            match poll(self.questions, waiting).await {
                Ok(polled) => {
                    self.answered();
                    if polled == Polled::Settled {
                        self.with(|report| report.settled += 1);
                    }
                    return Ok(());
                }
                Err(fault) if self.goes_on(&fault, attempt).await? => {}
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn answered(&self) {
        *self.failures.lock().unwrap_or_else(PoisonError::into_inner) = 0;
    }

    /// Whether a question is worth asking again; waits as long as Waldo wants. What cannot be mended ends the errand.
    async fn goes_on(&self, fault: &Fault, attempt: usize) -> Result<bool, GivenUp> {
        let Fault::Waldo(error) = fault else {
            if let Fault::Daemon(DaemonFault::Away(_)) = fault {
                return Err(GivenUp(fault.to_string()));
            }
            self.with(|report| report.failed += 1);
            return Ok(false);
        };
        let wait = match error {
            ApiError::Revoked | ApiError::LoginRefused => {
                return Err(GivenUp(error.to_string()));
            }
            ApiError::Busy { retry_after, .. } => retry_after.unwrap_or(WAIT),
            ApiError::Unreachable(_) | ApiError::TooSlow => WAIT,
            ApiError::NotFound | ApiError::Refused { .. } | ApiError::Odd(_) => Duration::MAX,
        };
        if attempt < TRIES && wait <= LONGEST_WAIT {
            tokio::time::sleep(wait).await;
            return Ok(true);
        }
        self.with(|report| report.failed += 1);
        let failures = {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            *failures += 1;
            *failures
        };
        if failures >= MAX_FAILURES {
            return Err(GivenUp(format!("given up: {error}")));
        }
        Ok(false)
    }
}

/// A path with the place where a list goes on.
pub(super) fn with_cursor(path: &str, cursor: Option<&str>) -> String {
    match cursor {
        Some(cursor) => format!("{path}&cursor={}", encoded(cursor)),
        None => path.to_owned(),
    }
}
