//! How often Waldo is asked: less and less about a request without an outcome, and not at all for a while when Waldo
//! does not answer or asks to be left alone.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

/// The first wait after a question that brought nothing.
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// The longest wait between two questions about the same request, and the longest pause.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// The longest pause that Waldo can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);
/// Waits are spread by a fifth, so that questions do not come in step.
const SPREAD: f64 = 0.2;

/// When each request is asked about again. Holds the overdue requests of the last look only.
#[derive(Debug, Default)]
pub struct Schedule {
    turns: HashMap<String, Turn>,
}

#[derive(Debug)]
struct Turn {
    at: Instant,
    asked: u32,
}

impl Schedule {
    /// Whether a request's turn has come.
    #[must_use]
    pub fn is_due(&self, request_id: &str) -> bool {
        self.turns
            .get(request_id)
            .is_none_or(|turn| turn.at <= Instant::now())
    }

    /// Puts a request off after a question that brought nothing.
    pub fn put_off(&mut self, request_id: &str) {
        let turn = self.turns.entry(request_id.to_owned()).or_insert(Turn {
            at: Instant::now(),
            asked: 0,
        });
        turn.at = Instant::now() + wait_after(turn.asked);
        turn.asked = turn.asked.saturating_add(1);
    }

    /// Forgets all requests but these.
    pub fn keep_only(&mut self, overdue: &HashSet<&str>) {
        self.turns
            .retain(|request_id, _| overdue.contains(request_id.as_str()));
    }
}

/// Whether Waldo is to be left alone, and until when.
#[derive(Debug, Default)]
pub struct Pause {
    until: Option<Instant>,
    failures: u32,
}

impl Pause {
    /// Whether it goes on.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.until.is_none_or(|until| until <= Instant::now())
    }

    /// Waldo answered.
    pub fn end(&mut self) {
        *self = Self::default();
    }

    /// Waldo did not answer, or asked for time.
    pub fn lengthen(&mut self, asked_for: Option<Duration>) {
        let wait = match asked_for {
            Some(asked_for) => asked_for.min(LONGEST_PAUSE),
            None => wait_after(self.failures),
        };
        self.failures = self.failures.saturating_add(1);
        let until = Instant::now() + wait;
        self.until = Some(self.until.map_or(until, |known| known.max(until)));
    }
}

fn wait_after(asked: u32) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(asked));
    let spread = 1.0 + SPREAD * (2.0 * fastrand::f64() - 1.0);
    doubled.min(LONGEST_WAIT).mul_f64(spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_is_asked_about_less_and_less() {
        let mut schedule = Schedule::default();
        let mut waits = Vec::new();
        for _ in 0..12 {
            assert!(schedule.is_due("r"));
            schedule.put_off("r");
            let began = Instant::now();
            while !schedule.is_due("r") {
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            waits.push(began.elapsed());
        }
        assert!(waits[0] >= FIRST_WAIT.mul_f64(0.8) && waits[0] <= FIRST_WAIT.mul_f64(1.25));
        assert!(waits[1] > waits[0]);
        assert!(waits.iter().all(|wait| *wait <= LONGEST_WAIT.mul_f64(1.21)));
        assert!(waits[11] >= LONGEST_WAIT.mul_f64(0.8));
        schedule.put_off("r");
        schedule.keep_only(&HashSet::new());
        assert!(schedule.is_due("r"));
    }

    #[tokio::test(start_paused = true)]
    async fn waldo_is_left_alone_as_long_as_it_asks() {
        let mut pause = Pause::default();
        assert!(pause.is_over());
        pause.lengthen(Some(Duration::from_secs(7)));
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(!pause.is_over());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(pause.is_over());
        pause.lengthen(None);
        pause.end();
        assert!(pause.is_over());
        pause.lengthen(Some(Duration::MAX));
        tokio::time::advance(LONGEST_PAUSE).await;
        assert!(pause.is_over());
    }
}
