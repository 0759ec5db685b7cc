//! Whether webhooks come as they should: how much of what was settled they told, and whether they have fallen silent.

use super::{SettledBy, Timestamp};

/// Days that the coverage looks back, today included.
pub const COVERAGE_DAYS: i64 = 30;
const DAY_MS: i64 = 24 * 3600 * 1000;

/// How the requests of the last days were settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// By a webhook that names the request.
    pub by_webhook: u64,
    /// By a webhook that only fits the request, or by Waldo's answer to the call itself.
    pub inferred: u64,
    /// By asking Waldo: a webhook that should have come did not.
    pub by_poll: u64,
    /// By hand.
    pub manual: u64,
}

impl Coverage {
    /// Counts requests that were settled so.
    pub fn add(&mut self, by: SettledBy, requests: u64) {
        let slot = match by {
            SettledBy::Webhook => &mut self.by_webhook,
            SettledBy::Inferred => &mut self.inferred,
            SettledBy::Poll => &mut self.by_poll,
            SettledBy::Manual => &mut self.manual,
        };
        *slot += requests;
    }

    /// All that were settled.
    #[must_use]
    pub const fn settled(&self) -> u64 {
        self.by_webhook + self.inferred + self.by_poll + self.manual
    }

    /// The part of them that Waldo told by itself, 0 to 1; `None` where nothing was settled.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let settled = self.settled();
        // Counts of requests are far below the 2^53 that a float holds exactly.
        #[allow(clippy::cast_precision_loss)]
        (settled > 0).then(|| (self.by_webhook + self.inferred) as f64 / settled as f64)
    }
}

/// The day of a moment, counted from 1970 in UTC.
#[must_use]
pub const fn day_of(at: Timestamp) -> i64 {
    at.0.div_euclid(DAY_MS)
}

/// Since when no webhook has come although requests wait, if that is longer than it should be. `waiting_since` is the
/// registration of the oldest request that is neither settled nor given up.
#[must_use]
pub fn silent_since(
    now: Timestamp,
    silence_after_ms: i64,
    waiting_since: Option<Timestamp>,
    last_webhook_at: Option<Timestamp>,
) -> Option<Timestamp> {
    let waiting_since = waiting_since?;
    let since = last_webhook_at.map_or(waiting_since, |last| last.max(waiting_since));
    (now.ms_since(since) > silence_after_ms).then_some(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settlement_by_poll_is_a_missed_webhook() {
        let mut coverage = Coverage::default();
        assert_eq!(coverage.ratio(), None);
        coverage.add(SettledBy::Webhook, 2);
        coverage.add(SettledBy::Inferred, 1);
        coverage.add(SettledBy::Poll, 1);
        assert_eq!(coverage.ratio(), Some(0.75));
    }

    #[test]
    fn silence_needs_a_request_that_waits_and_counts_from_the_last_webhook() {
        let at = Timestamp;
        assert_eq!(silent_since(at(9000), 1000, None, Some(at(1))), None);
        assert_eq!(silent_since(at(1000), 1000, Some(at(0)), None), None);
        assert_eq!(silent_since(at(1001), 1000, Some(at(0)), None), Some(at(0)));
        assert_eq!(silent_since(at(1001), 1000, Some(at(0)), Some(at(1))), None);
        // A webhook of before the request says nothing.
        assert_eq!(
            silent_since(at(9000), 1000, Some(at(5000)), Some(at(1))),
            Some(at(5000))
        );
    }
}
