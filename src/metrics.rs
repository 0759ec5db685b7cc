//! What is counted, by the names that Prometheus sees.
//!
//! Labels are closed lists of our own words; nothing that a webhook says becomes one.

mod plain;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// What all names begin with.
const PREFIX: &str = "waldo_syncd";
/// Statuses that the ingest door answers with; they are shown from the start, so that the first of a kind is an increase.
const INGEST_STATUSES: [u16; 8] = [200, 400, 401, 404, 405, 408, 413, 503];

/// Numbers that are looked up when the metrics are asked for, not kept up to date in between.
pub trait Sampled {
    /// The numbers as they are now.
    fn sample(&self) -> Vec<Sample>;
}

/// One number, or one for each word of a label.
#[derive(Clone, Debug)]
pub struct Sample {
    name: &'static str,
    help: &'static str,
    grows: bool,
    values: Vec<(Option<Label>, Number)>,
}

/// A label and its value, both words of our own.
pub type Label = (&'static str, &'static str);

/// A value.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// A count, bytes, whole seconds.
    Whole(u64),
    /// A part of one, parts of a second.
    Broken(f64),
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self::Broken(number)
    }
}

impl Number {
    fn encode(self, grows: bool, metric: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        match (grows, self) {
            (true, Self::Whole(number)) => ConstCounter::new(number).encode(metric),
            (true, Self::Broken(number)) => ConstCounter::new(number).encode(metric),
            (false, Self::Whole(number)) => {
                ConstGauge::new(i64::try_from(number).unwrap_or(i64::MAX)).encode(metric)
            }
            (false, Self::Broken(number)) => ConstGauge::new(number).encode(metric),
        }
    }
}

impl Sample {
    /// What may go up and down; no value where it is not known.
    #[must_use]
    pub fn gauge(name: &'static str, help: &'static str, value: impl Into<Option<Number>>) -> Self {
        let values = value.into().map(|value| (None, value));
        Self::of(name, help, false, values)
    }

    /// What only grows from the start on; `_total` is added to its name.
    #[must_use]
    pub fn counter(
        name: &'static str,
        help: &'static str,
        value: impl Into<Option<Number>>,
    ) -> Self {
        let values = value.into().map(|value| (None, value));
        Self::of(name, help, true, values)
    }

    /// As [`Self::gauge`], by the words of a label.
    #[must_use]
    pub fn gauges(
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: impl IntoIterator<Item = (&'static str, u64)>,
    ) -> Self {
        Self::of(name, help, false, labelled(label, values))
    }

    /// As [`Self::counter`], by the words of a label.
    #[must_use]
    pub fn counters(
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: impl IntoIterator<Item = (&'static str, u64)>,
    ) -> Self {
        Self::of(name, help, true, labelled(label, values))
    }

    fn of(
        name: &'static str,
        help: &'static str,
        grows: bool,
        values: impl IntoIterator<Item = (Option<Label>, Number)>,
    ) -> Self {
        Self {
            name,
            help,
            grows,
            values: values.into_iter().collect(),
        }
    }
}

fn labelled(
    label: &'static str,
    values: impl IntoIterator<Item = (&'static str, u64)>,
) -> impl Iterator<Item = (Option<Label>, Number)> {
    let values = values.into_iter();
    values.map(move |(word, number)| (Some((label, word)), number.into()))
}

/// Counters by the words of a closed list.
#[derive(Debug)]
pub struct Tally(Box<[(&'static str, AtomicU64)]>);

impl Tally {
    /// All at nought.
    #[must_use]
    pub fn over(words: impl IntoIterator<Item = &'static str>) -> Self {
        let counters = words.into_iter().map(|word| (word, AtomicU64::new(0)));
        Self(counters.collect())
    }

    /// Counts so many more of a word; another word than those of the list is not counted.
    pub fn add(&self, word: &str, number: u64) {
        if let Some((_, counter)) = self.0.iter().find(|(known, _)| *known == word) {
            counter.fetch_add(number, Ordering::Relaxed);
        }
    }

    /// The words with their numbers.
    pub fn numbers(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let read =
            |(word, counter): &(&'static str, AtomicU64)| (*word, counter.load(Ordering::Relaxed));
        self.0.iter().map(read)
    }
}

/// By what status deliveries were answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct IngestAnswer {
    /// The HTTP status.
    pub status: u16,
}

/// How a reader follows the feed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Following {
    kind: &'static str,
}

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4, which everything reads.
    Plain,
    /// OpenMetrics 1.0.0, which Prometheus itself asks for.
    OpenMetrics,
}

impl Format {
    /// As `Content-Type` has it.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The metrics of one daemon.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Deliveries by the status of their answer.
    pub ingest_answers: Family<IngestAnswer, Counter<u64, AtomicU64>>,
    /// Time from the head of a delivery to its acknowledgement.
    pub acknowledgement_seconds: Histogram,
    /// Refused deliveries that no log line tells of, for a line is written once in a while only.
    pub unlogged_refusals: Counter<u64, AtomicU64>,
    /// Readers that wait for news of the feed.
    pub long_polls: Gauge,
    /// Readers of the stream of events.
    pub streams: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let ingest_answers = Family::<IngestAnswer, Counter<u64, AtomicU64>>::default();
        for status in INGEST_STATUSES {
            drop(ingest_answers.get_or_create(&IngestAnswer { status }));
        }
        registry.register(
            "ingest_answers",
            "Deliveries by the status of their answer",
            ingest_answers.clone(),
        );
        let acknowledgement_seconds = Histogram::new([
            0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
        ]);
        registry.register(
            "ingest_acknowledgement_seconds",
            "Time from the head of a delivery to its acknowledgement",
            acknowledgement_seconds.clone(),
        );
        let unlogged_refusals = Counter::default();
        registry.register(
            "ingest_unlogged_refusals",
            "Refused deliveries that no log line tells of",
            unlogged_refusals.clone(),
        );
        let readers = Family::<Following, Gauge>::default();
        let reader = |kind| readers.get_or_create(&Following { kind }).clone();
        let (long_polls, streams) = (reader("long_poll"), reader("stream"));
        registry.register(
            "feed_readers",
            "Readers that follow the feed now",
            readers.clone(),
        );
        Self {
            registry: Mutex::new(registry),
            ingest_answers,
            acknowledgement_seconds,
            unlogged_refusals,
            long_polls,
            streams,
        }
    }
}

impl Metrics {
    /// Adds numbers that are looked up when asked for.
    pub fn sample(&self, source: Arc<dyn Sampled + Send + Sync>) {
        self.with(|registry| registry.register_collector(Box::new(Samples(source))));
    }

    /// Adds a distribution that somebody else keeps.
    pub fn histogram(&self, name: &str, help: &str, histogram: Histogram) {
        self.with(|registry| registry.register(name, help, histogram));
    }

    /// Adds what does not change while the process lives.
    pub fn info(&self, name: &str, help: &str, facts: Vec<(&'static str, String)>) {
        self.with(|registry| registry.register(name, help, Info::new(facts)));
    }

    /// All metrics as text, with those that were looked up for this answer.
    #[must_use]
    pub fn text(&self, looked_up: Vec<Sample>, format: Format) -> String {
        let mut text = String::new();
        let mut more = Registry::with_prefix(PREFIX);
        more.register_collector(Box::new(LookedUp(looked_up)));
        // Writing into a String does not fail.
        let _ = self.with(|registry| encode_registry(&mut text, registry));
        let _ = encode_registry(&mut text, &more);
        let _ = encode_eof(&mut text);
        match format {
            Format::Plain => plain::plain(&text),
            Format::OpenMetrics => text,
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Registry) -> T) -> T {
        work(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Counts whoever holds it as present.
#[derive(Debug)]
pub struct Present(Gauge);

impl Present {
    /// One more, until this is dropped.
    #[must_use]
    pub fn among(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.dec();
    }
}

struct Samples(Arc<dyn Sampled + Send + Sync>);

impl std::fmt::Debug for Samples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Samples")
    }
}

impl Collector for Samples {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        encode_samples(&self.0.sample(), encoder)
    }
}

#[derive(Debug)]
struct LookedUp(Vec<Sample>);

impl Collector for LookedUp {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        encode_samples(&self.0, encoder)
    }
}

fn encode_samples(
    samples: &[Sample],
    mut encoder: DescriptorEncoder<'_>,
) -> Result<(), std::fmt::Error> {
    for sample in samples {
        let kind = if sample.grows {
            MetricType::Counter
        } else {
            MetricType::Gauge
        };
        let mut family = encoder.encode_descriptor(sample.name, sample.help, None, kind)?;
        for (label, value) in &sample.values {
            match label {
                Some(label) => {
                    value.encode(sample.grows, family.encode_family(&[*label])?)?;
                }
                None => {
                    value.encode(sample.grows, family)?;
                    break;
                }
            }
        }
    }
    Ok(())
}
