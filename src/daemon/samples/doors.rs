//! The doors' numbers. The gateway's come from the process that has it.

use std::sync::Arc;

use crate::door::{DoorMetrics, DoorNumber};
use crate::http::errands::Errands;
use crate::metrics::{Sample, Sampled};

pub(super) struct DoorSamples {
    doors: Vec<(&'static str, Arc<DoorMetrics>)>,
    errands: Arc<Errands>,
    /// For names and words.
    none: DoorMetrics,
}

impl DoorSamples {
    pub(super) fn new(doors: Vec<(&'static str, Arc<DoorMetrics>)>, errands: Arc<Errands>) -> Self {
        Self {
            doors,
            errands,
            none: DoorMetrics::default(),
        }
    }
}

impl Sampled for DoorSamples {
    fn sample(&self) -> Vec<Sample> {
        let own: Vec<_> = self
            .doors
            .iter()
            .map(|(door, metrics)| (*door, metrics.numbers()))
            .collect();
        let told = self.errands.last_told().map(|(outbound, _)| outbound);
        let gateway = told
            .filter(|outbound| outbound.gateway.is_some())
            .map(|outbound| outbound.counted.door);
        let series = self.none.numbers().into_iter().enumerate();
        series
            .map(|(place, number)| {
                let DoorNumber {
                    name, help, grows, ..
                } = number;
                let own = own
                    .iter()
                    .filter_map(|(door, numbers)| Some((*door, numbers.get(place)?.value)));
                let gateway = gateway
                    .iter()
                    .map(|told| ("gateway", told.get(name).copied().unwrap_or(0)));
                let values = own.chain(gateway);
                if grows {
                    Sample::counters(name, help, "door", values)
                } else {
                    Sample::gauges(name, help, "door", values)
                }
            })
            .collect()
    }
}
