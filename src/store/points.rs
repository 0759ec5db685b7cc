//! What the writer's thread shares with whoever uses the store: what waits for it, how far it is, what is wrong with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::watch;

use super::counted::Counted;
use super::project::Halt;
use super::{Options, StoreError};
use crate::domain::Seq;

/// What waits for the writer, and how much may.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub events: AtomicUsize,
    pub bytes: AtomicUsize,
}

impl Queue {
    pub fn enter(&self, bytes: usize, options: &Options) -> Result<(), StoreError> {
        let events = self.events.fetch_add(1, Ordering::AcqRel);
        let waiting = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        // One delivery always fits, however large a body the door takes.
        let full = events >= options.queue_events
            || (waiting > 0 && waiting.saturating_add(bytes) > options.queue_bytes);
        if full {
            self.leave(1, bytes);
            return Err(StoreError::QueueFull);
        }
        Ok(())
    }

    pub fn leave(&self, events: usize, bytes: usize) {
        self.events.fetch_sub(events, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

/// The points that the writer publishes.
#[derive(Debug)]
pub(super) struct Points {
    pub counted: Arc<Counted>,
    pub durable: AtomicU64,
    pub projected: watch::Sender<Seq>,
    /// Whether the projections were too far behind at the start and have not come near the log's end since. What is
    /// behind then has come before, and is no reason to refuse what comes.
    pub catching_up: AtomicBool,
    pub health: watch::Sender<Health>,
    pub stopped: watch::Sender<bool>,
}

impl Points {
    /// How many events the projections are behind the log.
    pub fn lag(&self) -> u64 {
        let durable = self.durable.load(Ordering::Acquire);
        durable.saturating_sub(self.projected.borrow().0)
    }
}

/// What is wrong with the writer.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Why nothing can be appended.
    pub unwritable: Option<String>,
    /// Why the last slice was not projected.
    pub unprojectable: Option<String>,
    /// The event that cannot be folded.
    pub halt: Option<Halt>,
}

impl Health {
    /// The trouble in words, if there is any.
    pub fn trouble(&self) -> Option<String> {
        if let Some(reason) = &self.unwritable {
            return Some(format!("the file cannot be written: {reason}"));
        }
        if let Some(halt) = &self.halt {
            return Some(format!(
                "the projector stopped before event {}: {}",
                halt.seq, halt.reason
            ));
        }
        self.unprojectable
            .as_ref()
            .map(|reason| format!("the projections cannot be written: {reason}"))
    }
}
