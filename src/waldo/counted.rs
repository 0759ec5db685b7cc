//! What the process that speaks to Waldo counts. No door of its own serves it: it is told to the daemon by the control
//! socket, and shown among the daemon's metrics.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::door::DoorMetrics;
use crate::metrics::Tally;

/// What is counted since the start of the process.
#[derive(Debug)]
pub struct Counted {
    /// Calls through the gateway by the kind of status they were answered with, our own refusals among them.
    pub gateway_calls: Tally,
    /// Waldo's answers that should have been recorded, by whether they were.
    pub gateway_answers: Tally,
    /// Overdue requests that Waldo was asked about, by what came of it.
    pub polls: Tally,
    /// What the gateway's door counts.
    pub door: Arc<DoorMetrics>,
}

impl Default for Counted {
    fn default() -> Self {
        Self {
            gateway_calls: Tally::over(["2xx", "3xx", "4xx", "5xx"]),
            gateway_answers: Tally::over(["yes", "no"]),
            polls: Tally::over(["settled", "waits", "unanswerable", "failed"]),
            door: Arc::default(),
        }
    }
}

impl Counted {
    /// All of it, as it is told to the daemon.
    #[must_use]
    pub fn told(&self) -> Value {
        let tally = |tally: &Tally| object(tally.numbers());
        let door = self
            .door
            .numbers()
            .map(|number| (number.name, number.value));
        json!({
            "gatewayCalls": tally(&self.gateway_calls),
            "gatewayAnswers": tally(&self.gateway_answers),
            "polls": tally(&self.polls),
            "door": object(door),
        })
    }
}

fn object(numbers: impl IntoIterator<Item = (&'static str, u64)>) -> Value {
    let members = numbers
        .into_iter()
        .map(|(name, number)| (name.to_owned(), number.into()));
    Value::Object(members.collect::<Map<_, _>>())
}
