//! The reconciler: asks Waldo about requests whose webhooks did not come, and compares customers when told to.
//!
//! Invariants: nothing is settled without proof (`proof`); an answer that was overtaken by a webhook changes nothing, for
//! it says which version of the row it was asked beside; what is kept of an answer are outcomes and ids.

mod compare;
mod errand;
mod pace;
mod poll;
mod proof;
mod questions;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;

use super::api::Api;
use super::counted::Counted;
use super::daemon::{Daemon, DaemonFault};
use errand::{Errand, Listing, with_cursor};
use pace::Schedule;
use poll::{Polled, poll};
use proof::Waiting;
use questions::{Fault, Questions};

/// Overdue requests of one state that are looked at in one round; the oldest first, the rest later.
const MAX_OVERDUE: usize = 5_000;
/// Overdue requests read from the daemon at a time.
const PAGE: usize = 500;
/// How long the daemon may hold a question for errands, in seconds.
const ERRAND_WAIT: u64 = 30;
/// How often the daemon is told that all is as before; well within what it takes for being away.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// How long to wait before a daemon that is away is asked again.
const AWAY_WAIT: Duration = Duration::from_secs(1);

/// What the reconciler works with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Questions to Waldo at a time.
    pub at_once: usize,
    /// How often overdue requests are looked for.
    pub look_every: Duration,
    /// Where the gateway is, for the daemon to know.
    pub gateway: Option<String>,
}

impl Settings {
    /// How often overdue requests are looked for, by when a request becomes overdue.
    #[must_use]
    pub fn look_every(deadline: Duration) -> Duration {
        (deadline / 4).clamp(Duration::from_millis(250), Duration::from_secs(10))
    }
}

/// Asks about what is overdue and runs errands until it is told to stop. Without an `api` it only tells the daemon that
/// it is there.
pub async fn run(
    daemon: Daemon,
    api: Option<Api>,
    settings: Settings,
    counted: Arc<Counted>,
    mut stop: watch::Receiver<bool>,
) {
    let questions = api.map(|api| Questions::new(daemon.clone(), api, settings.at_once));
    let follow = async {
        match &questions {
            Some(questions) => follow(questions, &settings, &counted).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = follow => {}
        () = serve_errands(&daemon, questions.as_ref(), &settings) => {}
        () = tell_condition(&daemon, questions.as_ref(), &settings, &counted) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// Asks about each overdue request when its turn comes.
async fn follow(questions: &Questions, settings: &Settings, counted: &Counted) {
    let mut schedule = Schedule::default();
    let mut clocks_told = false;
    loop {
        tokio::time::sleep(settings.look_every).await;
        if !questions.may_ask() {
            continue;
        }
        // A daemon that is away is told of by whoever waits for errands.
        let Ok(overdue) = overdue(questions.daemon()).await else {
            continue;
        };
        let ids: HashSet<_> = overdue.iter().map(|one| one.request_id.as_str()).collect();
        schedule.keep_only(&ids);
        let due = overdue
            .into_iter()
            .filter(|one| schedule.is_due(&one.request_id))
            .collect::<Vec<_>>();
        let mut asked = stream::iter(due)
            .map(|waiting| async move {
                let polled = poll(questions, &waiting).await;
                (waiting, polled)
            })
            .buffer_unordered(settings.at_once);
        while let Some((waiting, polled)) = asked.next().await {
            counted.polls.add(outcome(&polled), 1);
            match polled {
                // A settled one is not overdue at the next look, and is forgotten then; unless the rules saw it otherwise.
                Ok(_) => schedule.put_off(&waiting.request_id),
                Err(fault) => {
                    if matches!(fault, Fault::Clocks) && !clocks_told {
                        clocks_told = true;
                        log::warn!("{fault}; set this machine's clock (said once)");
                    }
                    log::debug!("an overdue request could not be asked about: {fault}");
                    schedule.put_off(&waiting.request_id);
                }
            }
            if !questions.may_ask() {
                break;
            }
        }
    }
}

fn outcome(polled: &Result<Polled, Fault>) -> &'static str {
    match polled {
        Ok(Polled::Settled) => "settled",
        Ok(Polled::Waits) => "waits",
        Ok(Polled::Unanswerable) => "unanswerable",
        Err(_) => "failed",
    }
}

/// The requests that are overdue and not given up.
async fn overdue(daemon: &Daemon) -> Result<Vec<Waiting>, DaemonFault> {
    let mut overdue = Vec::new();
    for state in ["pending", "in_progress"] {
        let mut cursor = None;
        // Each state has its own share, or many pending ones would keep those in progress from ever being asked about.
        for _ in 0..MAX_OVERDUE / PAGE {
            let path = format!("/v1/requests?overdue=true&state={state}&limit={PAGE}");
            let path = with_cursor(&path, cursor.as_deref());
            let page: Listing<Waiting> = daemon.get(&path).await?;
            overdue.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    Ok(overdue)
}

/// Tells the daemon how it stands and what was counted, every few seconds and at once when the former changes.
async fn tell_condition(
    daemon: &Daemon,
    questions: Option<&Questions>,
    settings: &Settings,
    counted: &Counted,
) {
    loop {
        let condition = questions.map(Questions::condition).unwrap_or_default();
        let body = json!({
            "gateway": settings.gateway,
            "polling": questions.is_some() && condition.trouble.is_none(),
            "lastPollAt": condition.last_answer_at,
            "trouble": condition.trouble,
            "counted": counted.told(),
        });
        // A daemon that is away is told of by whoever comes for errands.
        let _: Result<serde_json::Value, _> =
            daemon.post("/v1/outbound", &body, Duration::ZERO).await;
        let changed = async {
            match questions {
                Some(questions) => questions.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(TELL_EVERY) => {}
            () = changed => {}
        }
    }
}

/// Comes for errands, again and again.
async fn serve_errands(daemon: &Daemon, questions: Option<&Questions>, settings: &Settings) {
    #[derive(Deserialize)]
    struct Next {
        id: Option<u64>,
        errand: Option<Errand>,
    }
    let body = json!({ "waitSeconds": ERRAND_WAIT });
    let wait = Duration::from_secs(ERRAND_WAIT);
    let mut away = false;
    loop {
        let done = match daemon.post::<Next>("/v1/errands", &body, wait).await {
            Ok(Next {
                id: Some(id),
                errand: Some(errand),
            }) => match questions {
                Some(questions) => errand::run(questions, id, errand, settings.at_once).await,
                None => refuse(daemon, id).await,
            },
            Ok(_) => Ok(()),
            Err(fault) => Err(fault),
        };
        match done {
            Ok(()) => {
                if away {
                    log::info!("the daemon answers at its control socket again");
                }
                away = false;
            }
            Err(fault) => {
                if !away {
                    log::warn!("{fault}; trying again until it does");
                }
                away = true;
                tokio::time::sleep(AWAY_WAIT).await;
            }
        }
    }
}

async fn refuse(daemon: &Daemon, id: u64) -> Result<(), DaemonFault> {
    let why =
        "no credentials for Waldo are configured: set [waldo] api_key_file and client_secret_file";
    let body = json!({ "finished": true, "detail": why });
    let path = format!("/v1/errands/{id}");
    let _: serde_json::Value = daemon.post(&path, &body, Duration::ZERO).await?;
    Ok(())
}
