//! What a door counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a door counts. All but `connections` and their limit only grow.
#[derive(Debug, Default)]
pub struct DoorMetrics {
    /// Open now.
    pub connections: AtomicU64,
    /// May be open at once; 0 before the door is made.
    pub max_connections: AtomicU64,
    /// Accepted so far, those still waiting for room too.
    pub accepted: AtomicU64,
    /// Failed accepts, mostly for want of file descriptors.
    pub accept_errors: AtomicU64,
    /// Closed to make room.
    pub evicted: AtomicU64,
    /// Closed because a head was not whole in time.
    pub head_timeouts: AtomicU64,
    /// Closed because no request came in time.
    pub idle_timeouts: AtomicU64,
    /// Closed because a handler waited too long for a byte of a body (its own deadline is not counted here).
    pub body_timeouts: AtomicU64,
    /// Closed because the client did not take its answer in time.
    pub write_timeouts: AtomicU64,
    /// Answered 400 or 431 by the door itself.
    pub refused: AtomicU64,
    /// Cut off at the end of a stop's time.
    pub aborted: AtomicU64,
    /// Handlers that panicked.
    pub panicked: AtomicU64,
    /// Warnings that were left unsaid, for the same was said a short while ago.
    pub unlogged: AtomicU64,
}

/// One of a door's numbers, under the name that the outside knows it by.
#[derive(Clone, Copy, Debug)]
pub struct DoorNumber {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Whether it only grows.
    pub grows: bool,
    /// How it stands.
    pub value: u64,
}

impl DoorMetrics {
    /// All numbers, in an order that stays.
    #[must_use]
    pub fn numbers(&self) -> [DoorNumber; 13] {
        let number = |name, help, grows, value: &AtomicU64| DoorNumber {
            name,
            help,
            grows,
            value: value.load(Ordering::Relaxed),
        };
        let gauge = |name, help, value| number(name, help, false, value);
        let counter = |name, help, value| number(name, help, true, value);
        [
            gauge("door_connections", "Open connections", &self.connections),
            gauge(
                "door_max_connections",
                "Connections that may be open at once",
                &self.max_connections,
            ),
            counter("door_accepted", "Connections accepted", &self.accepted),
            counter(
                "door_accept_errors",
                "Errors while accepting",
                &self.accept_errors,
            ),
            counter(
                "door_evicted",
                "Connections closed to make room",
                &self.evicted,
            ),
            counter(
                "door_refused",
                "Requests refused for their head",
                &self.refused,
            ),
            counter(
                "door_head_timeouts",
                "Heads that did not come in time",
                &self.head_timeouts,
            ),
            counter(
                "door_idle_timeouts",
                "Idle connections closed",
                &self.idle_timeouts,
            ),
            counter(
                "door_body_timeouts",
                "Bodies that did not come in time",
                &self.body_timeouts,
            ),
            counter(
                "door_write_timeouts",
                "Answers that were not taken in time",
                &self.write_timeouts,
            ),
            counter(
                "door_aborted",
                "Connections cut off by a stop",
                &self.aborted,
            ),
            counter("door_panics", "Handlers that panicked", &self.panicked),
            counter(
                "door_unlogged_warnings",
                "Warnings left out of the log because the same was said a short while ago",
                &self.unlogged,
            ),
        ]
    }
}
