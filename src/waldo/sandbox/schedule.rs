//! What is to be done, and when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tokio::time::Instant;

use crate::domain::Timestamp;

/// This moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For waiting.
    pub at: Instant,
    /// For showing.
    pub time: Timestamp,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self {
            at: Instant::now(),
            time: crate::clock::now(),
        }
    }
}

/// A thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// The next phase of a run.
    Step {
        /// By operation number.
        run: u64,
        /// Its place among the steps.
        step: usize,
    },
    /// A webhook that was late or held.
    Webhook(u64),
    /// A burst that never filled.
    Burst,
}

/// Things to do in the order of their time, those of one time in the order in which they were put in.
#[derive(Debug, Default)]
pub struct Schedule {
    waiting: BinaryHeap<Reverse<(Instant, u64, Due)>>,
    put: u64,
}

impl Schedule {
    /// Does it then.
    pub fn put(&mut self, at: Instant, due: Due) {
        self.put += 1;
        self.waiting.push(Reverse((at, self.put, due)));
    }

    /// What is due, one at a time.
    pub fn take(&mut self, now: Instant) -> Option<Due> {
        let Reverse((at, ..)) = self.waiting.peek()?;
        if *at > now {
            return None;
        }
        self.waiting.pop().map(|Reverse((_, _, due))| due)
    }

    /// When something is due next.
    pub fn next(&self) -> Option<Instant> {
        self.waiting.peek().map(|Reverse((at, ..))| *at)
    }

    /// How much waits.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}
