//! A hold on long work beside the daemon: it can be ended from outside, and it leaves the machine to others every other
//! moment.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long work goes on before it rests, and how long it rests.
const STINT: Duration = Duration::from_millis(4);

/// The hold. Clones hold the same work.
#[derive(Clone, Debug, Default)]
pub struct Leash(Arc<Held>);

#[derive(Debug, Default)]
struct Held {
    pulled: Mutex<bool>,
    news: Condvar,
}

impl Leash {
    /// Ends the work at its next step.
    pub fn pull(&self) {
        *self.0.pulled.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.news.notify_all();
    }

    /// Whether the work is to end.
    pub fn is_pulled(&self) -> bool {
        *self.0.pulled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rest(&self, time: Duration) {
        let pulled = self.0.pulled.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever ends the work ends its rest too.
        let _ = self
            .0
            .news
            .wait_timeout_while(pulled, time, |pulled| !*pulled);
    }
}

/// Work under a hold.
#[derive(Debug)]
pub struct Stint {
    leash: Leash,
    rests: bool,
    began: Instant,
}

impl Stint {
    /// Work that begins now; where nobody else needs the machine it need not rest.
    pub fn begin(leash: &Leash, rests: bool) -> Self {
        Self {
            leash: leash.clone(),
            rests,
            began: Instant::now(),
        }
    }

    /// Rests if it is time to. True: the work is to end.
    pub fn is_over(&mut self) -> bool {
        if self.rests && self.began.elapsed() >= STINT {
            self.leash.rest(STINT);
            self.began = Instant::now();
        }
        self.leash.is_pulled()
    }

    /// Rests for so long, where others need the machine: the disk has been kept busy.
    pub fn rest_for(&mut self, time: Duration) {
        if self.rests {
            self.leash.rest(time);
            self.began = Instant::now();
        }
    }
}
