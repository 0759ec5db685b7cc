//! What the process that speaks to Waldo told of itself, here or elsewhere, and the errands it has.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::http::errands::{Errands, OutboundCounted};
use crate::metrics::{Number, Sample, Sampled};
use crate::waldo::Counted;

/// It tells of itself every few seconds; after this time it is taken to be gone.
const AWAY_AFTER_SECONDS: f64 = 10.0;

pub(super) struct OutboundSamples(pub(super) Arc<Errands>);

impl Sampled for OutboundSamples {
    fn sample(&self) -> Vec<Sample> {
        let there = self.0.outbound();
        let told = self.0.last_told();
        let age = told.as_ref().map(|(_, age)| age.as_secs_f64());
        let last_poll = told.as_ref().and_then(|(told, _)| told.last_poll_at);
        let last_poll = last_poll.and_then(|at| u64::try_from(at.0 / 1000).ok());
        let counted = told.as_ref().map(|(told, _)| &told.counted);
        let is_there = age.is_some_and(|age| age < AWAY_AFTER_SECONDS);
        let is_polling = there.as_ref().is_some_and(|there| there.polling);
        let errands = self.0.numbers();
        let truth = |is| Number::Whole(u64::from(is));
        let mut samples = vec![
            Sample::gauge(
                "outbound_connected",
                "1 while the process that speaks to Waldo is there",
                truth(is_there),
            ),
            Sample::gauge(
                "outbound_polling",
                "1 while it asks Waldo about overdue requests",
                truth(is_there && is_polling),
            ),
            Sample::gauge(
                "outbound_told_age_seconds",
                "How old its numbers are: those of the gateway and of the polls",
                age.map(Number::Broken),
            ),
            Sample::gauge(
                "last_poll_timestamp_seconds",
                "When Waldo last answered a question",
                last_poll.map(Number::Whole),
            ),
            Sample::gauges(
                "errands_open",
                "What somebody wants asked of Waldo and has no end yet",
                "state",
                [("queued", errands.queued), ("running", errands.running)],
            ),
            Sample::counters(
                "errands",
                "What somebody wanted asked of Waldo, by how it ended",
                "outcome",
                [("done", errands.done), ("failed", errands.failed)],
            ),
        ];
        samples.extend(told_counters(counted));
        samples
    }
}

/// The counters of the other process; their words are ours, whatever it tells.
fn told_counters(counted: Option<&OutboundCounted>) -> [Sample; 3] {
    let words = Counted::default();
    let told = |tally: &crate::metrics::Tally, numbers: Option<&BTreeMap<String, u64>>| {
        let numbers = numbers.cloned();
        let values = tally.numbers().filter_map(|(word, _)| {
            Some((word, numbers.as_ref()?.get(word).copied().unwrap_or(0)))
        });
        values.collect::<Vec<_>>()
    };
    [
        Sample::counters(
            "gateway_calls",
            "Calls through the gateway by the kind of status of their answer",
            "status",
            told(&words.gateway_calls, counted.map(|of| &of.gateway_calls)),
        ),
        Sample::counters(
            "gateway_answers",
            "Answers of Waldo's that were to be recorded, by whether they were",
            "recorded",
            told(
                &words.gateway_answers,
                counted.map(|of| &of.gateway_answers),
            ),
        ),
        Sample::counters(
            "polls",
            "Overdue requests that Waldo was asked about, by what came of it",
            "outcome",
            told(&words.polls, counted.map(|of| &of.polls)),
        ),
    ]
}
