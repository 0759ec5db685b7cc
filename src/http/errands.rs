//! What the daemon wants asked of Waldo, and what it knows of the process that asks: the daemon opens no connection
//! itself, so it keeps errands here until that process comes for them on the control socket.
//!
//! Invariants: an errand is handed out once; every errand ends, if only because nobody reports on it any longer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::domain::Timestamp;

/// Errands that may be waiting or under way at a time.
const MAX_OPEN: usize = 16;
/// Errands that are remembered, finished ones included.
const MAX_KEPT: usize = 64;
/// Customers whose differences are kept of one errand, and their bytes; of the others only the number.
const MAX_DRIFT: usize = 1000;
const MAX_DRIFT_BYTES: usize = 512 * 1024;
/// Bytes of a text that is told beside the numbers.
const MAX_TEXT_BYTES: usize = 1024;
/// How long the process may take from one question for errands to the next.
const AWAY_AFTER: Duration = Duration::from_secs(10);
/// How long an errand may be without a report before it is given up.
const SILENT_FOR: Duration = Duration::from_secs(150);

/// What is to be asked of Waldo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Errand {
    /// How one customer stands.
    CustomerId(String),
    /// How every known customer stands.
    All(#[serde(deserialize_with = "yes")] bool),
    /// What became of the overdue requests, now and not when their turn comes.
    Overdue(#[serde(deserialize_with = "yes")] bool),
}

fn yes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match bool::deserialize(deserializer)? {
        true => Ok(true),
        false => Err(serde::de::Error::custom("expected true")),
    }
}

/// How far an errand is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Progress {
    /// Nobody has come for it yet.
    #[default]
    Queued,
    /// It is being run.
    Running,
    /// It is done.
    Done,
    /// It was given up.
    Failed,
}

/// What was found of an errand so far; each report replaces the numbers and adds to the differences.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// Customers or requests looked at.
    pub checked: u64,
    /// How many there are to look at, once that is known.
    pub total: Option<u64>,
    /// Requests that were settled.
    pub settled: u64,
    /// Customers that differed.
    pub drifted: u64,
    /// Questions that had no answer.
    pub failed: u64,
    /// What differed.
    pub drift: Vec<Drift>,
    /// What is worth telling, such as why it was given up.
    pub detail: Option<String>,
    /// Whether this is the last report.
    pub finished: bool,
}

/// How a customer's row differed from what Waldo says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Drift {
    /// Whose.
    pub customer_id: String,
    /// Field by field.
    pub fields: Vec<FieldDrift>,
}

/// One member that differed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FieldDrift {
    /// Its name in the query API.
    pub field: String,
    /// What the row had.
    pub from: serde_json::Value,
    /// What Waldo says, which the row has now.
    pub to: serde_json::Value,
}

/// What the process that speaks to Waldo tells of itself, every few seconds and when it changes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Outbound {
    /// Where its gateway is.
    pub gateway: Option<String>,
    /// Whether it asks Waldo about overdue requests.
    pub polling: bool,
    /// When it last had an answer to such a question.
    pub last_poll_at: Option<Timestamp>,
    /// What keeps it from its work.
    pub trouble: Option<String>,
    /// What it has counted since its start; shown among the metrics only.
    #[serde(skip_serializing)]
    pub counted: OutboundCounted,
}

/// What the process that speaks to Waldo counts, by names. Only those that the daemon knows are shown.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OutboundCounted {
    /// Calls through the gateway by the kind of status of their answer.
    pub gateway_calls: BTreeMap<String, u64>,
    /// Answers of Waldo's that were to be recorded, by whether they were.
    pub gateway_answers: BTreeMap<String, u64>,
    /// Overdue requests that Waldo was asked about, by what came of it.
    pub polls: BTreeMap<String, u64>,
    /// What the gateway's door counts.
    pub door: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Kept {
    id: u64,
    errand: Errand,
    progress: Progress,
    report: Report,
    /// Bytes of the differences in it.
    drift_bytes: usize,
    heard_at: Instant,
}

/// What one errand has come to.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Standing {
    /// Its number, by which it is asked for.
    pub id: u64,
    /// How far it is.
    pub state: Progress,
    /// What was found.
    #[serde(flatten)]
    pub report: Report,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    kept: VecDeque<Kept>,
    /// How many questions for errands are waiting for an answer.
    asking: usize,
    asked_at: Option<Instant>,
    outbound: Outbound,
    /// Why it does nothing any longer, where it ran in this process.
    ended: Option<String>,
    /// When it last told of itself.
    met_at: Option<Instant>,
    /// Errands that have ended, by whether they were done.
    done: u64,
    failed: u64,
}

/// Why an errand is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// Nobody is there to run it.
    NobodyThere,
    /// As many as may wait are waiting.
    TooMany,
}

/// The errands of one daemon.
#[derive(Debug, Default)]
pub struct Errands {
    state: Mutex<State>,
    changed: Notify,
}

impl Errands {
    /// With numbers after this one. Whoever runs an errand may outlive a daemon, and must not be taken to report on
    /// another one of the next daemon's.
    #[must_use]
    pub fn numbered_after(last_id: u64) -> Self {
        let state = State {
            last_id,
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an errand and gives its number.
    ///
    /// # Errors
    /// When nobody is there to run it, or too many wait.
    pub fn add(&self, errand: Errand) -> Result<Standing, NotTaken> {
        let mut state = self.state();
        if !state.is_outbound_there() {
            return Err(NotTaken::NobodyThere);
        }
        state.give_up_silent();
        if state.kept.iter().filter(|kept| kept.is_open()).count() >= MAX_OPEN {
            return Err(NotTaken::TooMany);
        }
        if state.kept.len() >= MAX_KEPT
            && let Some(finished) = state.kept.iter().position(|kept| !kept.is_open())
        {
            state.kept.remove(finished);
        }
        state.last_id += 1;
        let kept = Kept {
            id: state.last_id,
            errand,
            progress: Progress::Queued,
            report: Report::default(),
            drift_bytes: 0,
            heard_at: Instant::now(),
        };
        let standing = kept.standing();
        state.kept.push_back(kept);
        drop(state);
        self.changed.notify_waiters();
        Ok(standing)
    }

    /// Notes what the process says of itself.
    pub fn meet(&self, outbound: Outbound) {
        let mut state = self.state();
        state.asked_at = Some(Instant::now());
        state.met_at = Some(Instant::now());
        state.outbound = outbound;
    }

    /// Waits for an errand to run, at most so long.
    pub async fn next(&self, patience: Duration) -> Option<(u64, Errand)> {
        self.state().asking += 1;
        // Given back however this ends, a process that hung up included.
        let _asking = Asking(self);
        let deadline = Instant::now() + patience;
        loop {
            let changed = self.changed.notified();
            if let Some(taken) = self.take() {
                return Some(taken);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if timeout(left, changed).await.is_err() {
                return None;
            }
        }
    }

    fn take(&self) -> Option<(u64, Errand)> {
        let mut state = self.state();
        let kept = state
            .kept
            .iter_mut()
            .find(|kept| kept.progress == Progress::Queued)?;
        kept.progress = Progress::Running;
        kept.heard_at = Instant::now();
        Some((kept.id, kept.errand.clone()))
    }

    /// Takes a report on an errand; false when no such errand is under way.
    pub fn report(&self, id: u64, mut report: Report) -> bool {
        let mut state = self.state();
        state.asked_at = Some(Instant::now());
        let Some(kept) = state
            .kept
            .iter_mut()
            .find(|kept| kept.id == id && kept.progress == Progress::Running)
        else {
            return false;
        };
        kept.heard_at = Instant::now();
        if report.finished {
            kept.progress = if report.detail.is_some() {
                Progress::Failed
            } else {
                Progress::Done
            };
        }
        let mut drift = std::mem::take(&mut kept.report.drift);
        for one in report.drift.drain(..) {
            let bytes = serde_json::to_vec(&one).map_or(usize::MAX, |json| json.len());
            let all = kept.drift_bytes.saturating_add(bytes);
            if drift.len() >= MAX_DRIFT || all > MAX_DRIFT_BYTES {
                break;
            }
            kept.drift_bytes = all;
            drift.push(one);
        }
        if let Some(detail) = &mut report.detail {
            while detail.len() > MAX_TEXT_BYTES {
                detail.pop();
            }
        }
        kept.report = Report { drift, ..report };
        match kept.progress {
            Progress::Done => state.done += 1,
            Progress::Failed => state.failed += 1,
            Progress::Queued | Progress::Running => {}
        }
        drop(state);
        self.changed.notify_waiters();
        true
    }

    /// What an errand has come to; waits until it has ended, at most so long.
    pub async fn standing(&self, id: u64, patience: Duration) -> Option<Standing> {
        let deadline = Instant::now() + patience;
        loop {
            let changed = self.changed.notified();
            let standing = {
                let mut state = self.state();
                state.give_up_silent();
                state
                    .kept
                    .iter()
                    .find(|kept| kept.id == id)
                    .map(Kept::standing)?
            };
            let left = deadline.saturating_duration_since(Instant::now());
            let open = matches!(standing.state, Progress::Queued | Progress::Running);
            if !open || timeout(left, changed).await.is_err() {
                return Some(standing);
            }
        }
    }

    /// Says why what spoke to Waldo from this process does so no longer.
    pub fn set_ended(&self, why: &str) {
        self.state().ended = Some(why.to_owned());
    }

    /// What the process that speaks to Waldo last said of itself; `None` when it is not there.
    pub fn outbound(&self) -> Option<Outbound> {
        let state = self.state();
        if let Some(why) = &state.ended {
            return Some(Outbound {
                last_poll_at: state.outbound.last_poll_at,
                trouble: Some(why.clone()),
                ..Outbound::default()
            });
        }
        state.is_outbound_there().then(|| state.outbound.clone())
    }

    /// What it last told, and how long ago; `None` when none ever did. It may be gone.
    pub fn last_told(&self) -> Option<(Outbound, Duration)> {
        let state = self.state();
        let met_at = state.met_at?;
        Some((state.outbound.clone(), met_at.elapsed()))
    }

    /// How many errands wait, are under way, were done and have failed since the start.
    pub fn numbers(&self) -> ErrandNumbers {
        let mut state = self.state();
        state.give_up_silent();
        let standing = |progress| {
            let of = state.kept.iter().filter(|kept| kept.progress == progress);
            of.count() as u64
        };
        ErrandNumbers {
            queued: standing(Progress::Queued),
            running: standing(Progress::Running),
            done: state.done,
            failed: state.failed,
        }
    }
}

/// How many errands there are and were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrandNumbers {
    /// Nobody has come for them yet.
    pub queued: u64,
    /// Being run.
    pub running: u64,
    /// Done since the start.
    pub done: u64,
    /// Given up since the start.
    pub failed: u64,
}

/// One question for errands that has no answer yet.
struct Asking<'a>(&'a Errands);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.asking = state.asking.saturating_sub(1);
        state.asked_at = Some(Instant::now());
    }
}

impl State {
    fn is_outbound_there(&self) -> bool {
        let busy = |kept: &Kept| {
            kept.progress == Progress::Running && kept.heard_at.elapsed() < SILENT_FOR
        };
        self.asking > 0
            || self.asked_at.is_some_and(|at| at.elapsed() < AWAY_AFTER)
            || self.kept.iter().any(busy)
    }

    /// An errand that waits for its turn is given up only when nobody is there: the one before it may take hours.
    fn give_up_silent(&mut self) {
        let somebody_there = self.is_outbound_there();
        for kept in &mut self.kept {
            let is_waiting = kept.progress == Progress::Queued && somebody_there;
            if kept.is_open() && !is_waiting && kept.heard_at.elapsed() > SILENT_FOR {
                kept.progress = Progress::Failed;
                kept.report.detail = Some("the outbound process has gone silent".to_owned());
                kept.report.finished = true;
                self.failed += 1;
            }
        }
    }
}

impl Kept {
    const fn is_open(&self) -> bool {
        matches!(self.progress, Progress::Queued | Progress::Running)
    }

    fn standing(&self) -> Standing {
        Standing {
            id: self.id,
            state: self.progress,
            report: self.report.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[tokio::test(start_paused = true)]
    async fn an_errand_is_taken_only_while_somebody_asks_for_errands() {
        let errands = Errands::default();
        let errand = Errand::CustomerId("c".to_owned());
        assert_eq!(
            errands.add(errand.clone()).err(),
            Some(NotTaken::NobodyThere)
        );
        assert!(errands.next(NOW).await.is_none());
        assert_eq!(errands.add(errand.clone()).unwrap().id, 1);
        tokio::time::advance(AWAY_AFTER).await;
        assert_eq!(errands.add(errand).err(), Some(NotTaken::NobodyThere));
        assert!(errands.outbound().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_errand_is_handed_out_once_and_reports_add_up() {
        let errands = Errands::default();
        errands.next(NOW).await;
        errands.add(Errand::All(true)).unwrap();
        let (id, errand) = errands.next(NOW).await.unwrap();
        assert_eq!((id, errand), (1, Errand::All(true)));
        assert!(errands.next(NOW).await.is_none());
        let report = |finished| Report {
            checked: 1,
            drift: vec![Drift {
                customer_id: "c".to_owned(),
                fields: Vec::new(),
            }],
            finished,
            ..Report::default()
        };
        assert!(errands.report(1, report(false)));
        assert!(errands.report(1, report(true)));
        assert!(!errands.report(1, report(true)));
        let standing = errands.standing(1, NOW).await.unwrap();
        assert_eq!(standing.state, Progress::Done);
        assert_eq!(standing.report.drift.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_on_an_errand_that_nobody_took_is_not_taken() {
        let errands = Errands::numbered_after(7);
        errands.next(NOW).await;
        assert_eq!(errands.add(Errand::All(true)).unwrap().id, 8);
        let report = || Report {
            finished: true,
            ..Report::default()
        };
        assert!(!errands.report(8, report()));
        assert_eq!(errands.next(NOW).await.unwrap().0, 8);
        assert!(errands.report(8, report()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_of_reports_is_bounded() {
        let errands = Errands::default();
        errands.next(NOW).await;
        errands.add(Errand::All(true)).unwrap();
        errands.next(NOW).await;
        let drift = || Drift {
            customer_id: "c".repeat(100_000),
            fields: Vec::new(),
        };
        for _ in 0..20 {
            let report = Report {
                drift: vec![drift(), drift()],
                detail: Some("ä".repeat(MAX_TEXT_BYTES)),
                ..Report::default()
            };
            assert!(errands.report(1, report));
        }
        let report = errands.standing(1, NOW).await.unwrap().report;
        assert_eq!(report.drift.len(), MAX_DRIFT_BYTES / 100_000);
        assert!(report.detail.unwrap().len() <= MAX_TEXT_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn an_errand_that_nobody_reports_on_fails() {
        let errands = Errands::default();
        errands.next(NOW).await;
        errands.add(Errand::Overdue(true)).unwrap();
        let standing = errands.standing(1, SILENT_FOR * 2).await.unwrap();
        assert_eq!(standing.state, Progress::Queued);
        let standing = errands.standing(1, NOW).await.unwrap();
        assert_eq!(standing.state, Progress::Failed);
    }

    #[tokio::test(start_paused = true)]
    async fn an_errand_waits_for_its_turn_as_long_as_the_one_before_it_is_reported_on() {
        let errands = Errands::default();
        errands.next(NOW).await;
        errands.add(Errand::All(true)).unwrap();
        errands.add(Errand::Overdue(true)).unwrap();
        errands.next(NOW).await.unwrap();
        for _ in 0..4 {
            tokio::time::advance(SILENT_FOR / 2).await;
            assert!(errands.report(1, Report::default()));
        }
        let waiting = errands.standing(2, NOW).await.unwrap();
        assert_eq!(waiting.state, Progress::Queued);
        let (id, _) = errands.next(NOW).await.unwrap();
        assert_eq!(id, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_so_many_errands_wait() {
        let errands = Errands::default();
        errands.next(NOW).await;
        for _ in 0..MAX_OPEN {
            errands.add(Errand::All(true)).unwrap();
        }
        assert_eq!(
            errands.add(Errand::All(true)).err(),
            Some(NotTaken::TooMany)
        );
    }
}
