//! The connections of one door, and the only place that closes them.
//!
//! One task owns the listener and every connection task, and alone judges who must make room or has waited too long; a
//! connection only keeps its word ([`super::conn`]). So there is no lock and no timer on a request's path.
//! Invariants: never more than `max_connections` are served; a connection whose request is being handled is never closed
//! to make room; `drain` returns when the last task has ended.

use std::collections::HashMap;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use log::{error, warn};
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until};

use super::conn::{Conn, Phase, Wait};
use super::socket::{Socket, Stream};
use super::wire::Scanner;
use super::{Limits, Listener, Peer, Shared, add_one};

/// How long the rest of a refused request is read away after the answer.
const LINGER: Duration = Duration::from_secs(1);
/// A reader must have taken nothing for this long before it may have to make room: it is being answered, after all.
const STALL_GRACE: Duration = Duration::from_secs(1);
/// At a stop, how long a client that has just connected gets to send the first byte of its first request: it was not
/// told of the stop, and cannot know whether its request was read.
const FIRST_BYTE_GRACE: Duration = Duration::from_secs(1);
/// Pause after an accept error: doubled up to the second value, cut short by a connection that ends.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));
/// While a connection waits for room and none could make any, they are judged this often.
const ROOM_CHECK: Duration = Duration::from_millis(10);
/// Bounds of the interval at which all connections are judged (a tenth of the shortest time in between).
const SWEEP: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));
/// The same kind of trouble is logged this often at most.
const LOG_EVERY: Duration = Duration::from_secs(10);
#[derive(Debug)]
struct Entry {
    conn: Arc<Conn>,
    task: AbortHandle,
}

#[derive(Debug)]
pub(super) struct Room {
    name: &'static str,
    limits: Limits,
    shared: Arc<Shared>,
    epoch: Instant,
    tasks: JoinSet<()>,
    entries: HashMap<Id, Entry>,
    /// Taken, but their tasks have not ended yet.
    leaving: usize,
    quiet_full: Quiet,
    quiet_accept: Quiet,
}

impl Room {
    pub fn new(name: &'static str, limits: Limits, shared: Arc<Shared>) -> Self {
        Self {
            name,
            limits,
            shared,
            epoch: Instant::now(),
            tasks: JoinSet::new(),
            entries: HashMap::new(),
            leaving: 0,
            quiet_full: Quiet::default(),
            quiet_accept: Quiet::default(),
        }
    }

    /// Accepts and gives each connection its task, made by `drive`, until `stop` is true or its sender gone.
    pub async fn accept_until<F, T>(
        &mut self,
        mut stop: watch::Receiver<bool>,
        listener: &Listener,
        drive: F,
    ) where
        F: Fn(Socket, Arc<Conn>, Peer) -> T,
        T: Future<Output = ()> + Send + 'static,
    {
        let mut stopped = pin!(async move {
            let _ = stop.wait_for(|stop| *stop).await;
        });
        let mut sweep = self.sweep_interval();
        // The accepted connection for which there is no room yet, and the end of a pause after an accept error.
        let mut waiting = None;
        let mut paused = None;
        let mut back_off = BACK_OFF.0;
        loop {
            if self.tasks.len() < self.limits.max_connections
                && let Some((stream, peer)) = waiting.take()
            {
                self.start(stream, peer, &drive);
            }
            tokio::select! {
                biased;
                () = &mut stopped => return,
                Some(ended) = self.tasks.join_next_with_id() => {
                    self.ended(ended);
                    paused = None;
                }
                _ = sweep.tick(), if !self.entries.is_empty() => {
                    self.sweep();
                    if waiting.is_some() {
                        self.make_room();
                    }
                }
                () = sleep(ROOM_CHECK), if waiting.is_some() => self.make_room(),
                () = sleep_until(paused.unwrap_or(self.epoch)), if paused.is_some() => paused = None,
                accepted = listener.accept(), if waiting.is_none() && paused.is_none() => match accepted {
                    Ok(arrival) => {
                        back_off = BACK_OFF.0;
                        add_one(&self.shared.metrics.accepted);
                        if self.tasks.len() >= self.limits.max_connections {
                            self.quiet_full.warn(&self.shared.metrics.unlogged, self.name, "all connections are taken, closing idle ones");
                            self.make_room();
                        }
                        waiting = Some(arrival);
                    }
                    Err(error) => {
                        add_one(&self.shared.metrics.accept_errors);
                        if !is_of_one_client(&error) {
                            self.quiet_accept.warn(&self.shared.metrics.unlogged, self.name, &format!("cannot accept: {error}"));
                            self.make_room();
                            paused = Some(Instant::now() + back_off);
                            back_off = (back_off * 2).min(BACK_OFF.1);
                        }
                    }
                },
            }
        }
    }

    /// Lets answers in flight end, closes what is idle, and cuts off the rest when the time is over.
    pub async fn drain(mut self) {
        let deadline = Instant::now() + self.limits.drain_timeout;
        self.shared.stopping.store(true, Ordering::Release);
        self.entries.values().for_each(|entry| entry.conn.wake());
        let mut sweep = self.sweep_interval();
        let mut timer = pin!(sleep_until(deadline));
        let mut grace = pin!(sleep(FIRST_BYTE_GRACE));
        loop {
            tokio::select! {
                biased;
                ended = self.tasks.join_next_with_id() => match ended {
                    Some(ended) => self.ended(ended),
                    None => return,
                },
                _ = sweep.tick() => self.sweep(),
                () = &mut grace, if !self.shared.grace_is_over.load(Ordering::Relaxed) => {
                    self.shared.grace_is_over.store(true, Ordering::Release);
                    self.entries.values().for_each(|entry| entry.conn.wake());
                }
                () = &mut timer => break,
            }
        }
        let late = self.tasks.len();
        warn!(
            "{}: cut off {late} connections that did not end within {:?}",
            self.name, self.limits.drain_timeout
        );
        self.shared
            .metrics
            .aborted
            .fetch_add(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.tasks.abort_all();
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.ended(ended);
        }
    }

    fn start<F, T>(&mut self, stream: Stream, peer: Peer, drive: F)
    where
        F: Fn(Socket, Arc<Conn>, Peer) -> T,
        T: Future<Output = ()> + Send + 'static,
    {
        let conn = Arc::new(Conn::new(self.epoch));
        let scanner = Scanner::new(self.limits.max_head_fields, self.limits.max_head_bytes);
        let socket = Socket::new(stream, scanner, Arc::clone(&conn));
        add_one(&self.shared.metrics.connections);
        let task = self.tasks.spawn(drive(socket, Arc::clone(&conn), peer));
        self.entries.insert(task.id(), Entry { conn, task });
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                if error.is_panic() {
                    add_one(&self.shared.metrics.panicked);
                    error!(
                        "{}: a handler panicked, its connection is closed",
                        self.name
                    );
                }
                error.id()
            }
        };
        if self
            .entries
            .remove(&id)
            .is_some_and(|entry| entry.conn.is_gone())
        {
            self.leaving = self.leaving.saturating_sub(1);
        }
        self.shared
            .metrics
            .connections
            .fetch_sub(1, Ordering::Relaxed);
    }

    /// Closes the connection that has waited longest for its client, unless one is on its way out already.
    fn make_room(&mut self) {
        if self.leaving > 0 {
            return;
        }
        let now = self.now_ms();
        let may_go = |wait: &Wait| !wait.write_stalled || waited(now, wait) >= STALL_GRACE;
        let longest = self.entries.values().filter_map(|entry| {
            let wait = entry.conn.wait().filter(may_go)?;
            Some((entry, wait))
        });
        if let Some((entry, wait)) = longest.min_by_key(|(_, wait)| wait.since_ms)
            && entry.conn.take(&wait)
        {
            entry.task.abort();
            self.leaving += 1;
            add_one(&self.shared.metrics.evicted);
        }
    }

    /// Closes every connection whose client let its time pass.
    fn sweep(&mut self) {
        let now = self.now_ms();
        let mut leaving = 0;
        for entry in self.entries.values() {
            let Some(wait) = entry.conn.wait() else {
                continue;
            };
            let (limit, counter) = self.time_of(&wait);
            if waited(now, &wait) >= limit && entry.conn.take(&wait) {
                entry.task.abort();
                leaving += 1;
                if let Some(counter) = counter {
                    add_one(counter);
                }
            }
        }
        self.leaving += leaving;
    }

    /// What a wait may last, and what counts those that last longer.
    fn time_of(&self, wait: &Wait) -> (Duration, Option<&AtomicU64>) {
        let (limits, metrics) = (&self.limits, &self.shared.metrics);
        if wait.write_stalled {
            return (limits.write_timeout, Some(&metrics.write_timeouts));
        }
        match wait.phase {
            Phase::Idle => (limits.idle_timeout, Some(&metrics.idle_timeouts)),
            Phase::Head => (limits.head_timeout, Some(&metrics.head_timeouts)),
            Phase::Body => (
                limits.idle_timeout.max(limits.body_timeout * 2),
                Some(&metrics.body_timeouts),
            ),
            Phase::Lingering => (LINGER, None),
            Phase::Handling | Phase::Gone => (Duration::MAX, None),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn sweep_interval(&self) -> Interval {
        let limits = &self.limits;
        let shortest = limits
            .head_timeout
            .min(limits.idle_timeout)
            .min(limits.write_timeout)
            .min(LINGER);
        let mut sweep = interval((shortest / 10).clamp(SWEEP.0, SWEEP.1));
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        sweep
    }
}

fn waited(now_ms: u64, wait: &Wait) -> Duration {
    Duration::from_millis(now_ms.saturating_sub(wait.since_ms))
}

/// Accept gives a connection's own early death as an error too: no reason to pause.
fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    )
}

/// Says the same thing once in a while, and how often it was left unsaid.
#[derive(Debug, Default)]
struct Quiet {
    said_at: Option<Instant>,
    unsaid: u64,
}

impl Quiet {
    fn warn(&mut self, unlogged: &AtomicU64, name: &str, text: &str) {
        if self.said_at.is_some_and(|at| at.elapsed() < LOG_EVERY) {
            self.unsaid += 1;
            add_one(unlogged);
            return;
        }
        warn!("{name}: {text} (and {} times unsaid before)", self.unsaid);
        *self = Self {
            said_at: Some(Instant::now()),
            unsaid: 0,
        };
    }
}
