//! What is counted, by the names that Prometheus sees.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Numbers that are looked up when the metrics are asked for, not kept up to date in between.
pub trait Sampled {
    /// The numbers as they are now.
    fn sample(&self) -> Vec<Sample>;
}

/// One number, or one for each door.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its name, without the prefix.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Whether it only grows.
    pub grows: bool,
    /// The door it is of, if any, and the value.
    pub values: Vec<(Option<&'static str>, u64)>,
}

/// By what status deliveries were answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct IngestAnswer {
    /// The HTTP status.
    pub status: u16,
}

/// By what kind of status calls through the gateway were answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct GatewayAnswer {
    /// `2xx` and so on.
    pub status: &'static str,
}

/// Whether an answer that should be recorded was.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Recorded {
    /// `yes` or `no`.
    pub recorded: &'static str,
}

/// What came of asking Waldo about an overdue request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Poll {
    /// `settled`, `waits`, `unanswerable` or `failed`.
    pub outcome: &'static str,
}

/// The metrics of one daemon.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Deliveries by the status of their answer.
    pub ingest_answers: Family<IngestAnswer, Counter<u64, AtomicU64>>,
    /// Time from the head of a delivery to its acknowledgement.
    pub acknowledgement_seconds: Histogram,
    /// Calls through the gateway by the kind of status they were answered with, our own refusals among them.
    pub gateway_calls: Family<GatewayAnswer, Counter<u64, AtomicU64>>,
    /// Waldo's answers that were recorded, and that should have been.
    pub gateway_answers: Family<Recorded, Counter<u64, AtomicU64>>,
    /// Overdue requests that Waldo was asked about, by what came of it.
    pub polls: Family<Poll, Counter<u64, AtomicU64>>,
    /// 1 while requests wait and no webhook comes, else 0.
    pub silence: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let ingest_answers = Family::default();
        let acknowledgement_seconds = Histogram::new([
            0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
        ]);
        let gateway_calls = Family::default();
        let gateway_answers = Family::default();
        let polls = Family::default();
        let silence = Gauge::default();
        let mut registry = Registry::with_prefix("waldo_syncd");
        registry.register(
            "ingest_answers",
            "Deliveries by the status of their answer",
            ingest_answers.clone(),
        );
        registry.register(
            "ingest_acknowledgement_seconds",
            "Time from the head of a delivery to its acknowledgement",
            acknowledgement_seconds.clone(),
        );
        registry.register(
            "gateway_calls",
            "Calls through the gateway by the kind of status of their answer",
            gateway_calls.clone(),
        );
        registry.register(
            "gateway_answers",
            "Answers of Waldo's that were to be recorded, by whether they were",
            gateway_answers.clone(),
        );
        registry.register(
            "polls",
            "Overdue requests that Waldo was asked about, by what came of it",
            polls.clone(),
        );
        registry.register(
            "silence",
            "1 while requests wait and no webhook comes for too long",
            silence.clone(),
        );
        Self {
            registry: Mutex::new(registry),
            ingest_answers,
            acknowledgement_seconds,
            gateway_calls,
            gateway_answers,
            polls,
            silence,
        }
    }
}

impl Metrics {
    /// Adds numbers that are looked up when asked for.
    pub fn sample(&self, source: Arc<dyn Sampled + Send + Sync>) {
        let collector = Box::new(Samples(source));
        self.registry
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .register_collector(collector);
    }

    /// All metrics in the text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing into a String does not fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

struct Samples(Arc<dyn Sampled + Send + Sync>);

impl std::fmt::Debug for Samples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Samples")
    }
}

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for sample in self.0.sample() {
            let kind = if sample.grows {
                MetricType::Counter
            } else {
                MetricType::Gauge
            };
            let mut family = encoder.encode_descriptor(sample.name, sample.help, None, kind)?;
            for (door, value) in sample.values {
                let labels: Vec<_> = door.into_iter().map(|door| ("door", door)).collect();
                let metric = family.encode_family(&labels)?;
                if sample.grows {
                    ConstCounter::new(value).encode(metric)?;
                } else {
                    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(metric)?;
                }
            }
        }
        Ok(())
    }
}
