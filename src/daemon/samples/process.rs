//! The process itself, as the system sees it.

use std::fs;

use crate::clock::now;
use crate::domain::Timestamp;
use crate::metrics::{Number, Sample, Sampled};

pub(super) struct ProcessSamples {
    started_at: Timestamp,
}

impl ProcessSamples {
    pub(super) fn new() -> Self {
        Self { started_at: now() }
    }
}

impl Sampled for ProcessSamples {
    fn sample(&self) -> Vec<Sample> {
        let started = u64::try_from(self.started_at.0 / 1000).ok();
        vec![
            Sample::gauge(
                "start_time_seconds",
                "When the daemon opened its doors",
                started.map(Number::Whole),
            ),
            Sample::counter(
                "cpu_seconds",
                "Time that processors worked for this process",
                cpu_seconds(),
            ),
            Sample::gauge(
                "resident_memory_bytes",
                "Memory in use, without what is swapped out",
                resident_bytes().map(Number::Whole),
            ),
            Sample::gauge(
                "open_files",
                "File descriptors in use, connections among them",
                open_files().map(Number::Whole),
            ),
        ]
    }
}

fn cpu_seconds() -> Option<Number> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let whole = u32::try_from(time.tv_sec).ok()?;
    let nanos = u32::try_from(time.tv_nsec).ok()?;
    Some(Number::Broken(f64::from(whole) + f64::from(nanos) / 1e9))
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.saturating_mul(1024))
}

fn open_files() -> Option<u64> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64)
}
