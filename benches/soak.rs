//! A steady load for a long time on one daemon, told minute by minute: whether memory stays flat, the WAL bounded, the
//! latency even, and nothing is refused. docs/PERFORMANCE.md says what came out.

#![expect(clippy::print_stdout, reason = "a benchmark tells what it found")]
#![allow(
    dead_code,
    reason = "the load and the servers are those of the ingest benchmark"
)]

mod common;
#[path = "ingest/load.rs"]
mod load;
#[path = "ingest/servers.rs"]
mod servers;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use common::{Result, figure, machine, percentile_ms};
use servers::Server;

/// Beyond the time of the load.
const MARGIN: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    match soak() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the soak failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn soak() -> Result<()> {
    let (minutes, minute) = match common::short() {
        true => (3, Duration::from_secs(2)),
        false => (20, Duration::from_secs(60)),
    };
    let minutes = common::number("WALDO_SYNCD_BENCH_MINUTES", minutes)?;
    let rate = common::number("WALDO_SYNCD_BENCH_RATE", 5000)? as f64;
    let limit = minute * u32::try_from(minutes)? + MARGIN;
    common::within(limit, || {
        let folder = common::folder()?;
        let daemon = Server::daemon(folder.path())?;
        println!(
            "{minutes} loads of {minute:?} at {rate} webhooks/s, open loop, one after the other:"
        );
        let mut refused = 0;
        for number in 1..=minutes {
            let before = daemon.processor_seconds()?;
            let mut load = load::open(daemon.address, &daemon.path, rate, minute)?;
            let processor = daemon.processor_seconds()? - before;
            refused += load.refused;
            // One line at a time, so that whoever watches sees how it goes.
            println!(
                "{number}: {}/s, {} refused, p50 {} ms, p99 {} ms, at most {} ms; {} µs CPU an event, {} MiB resident \
                 ({} at most), WAL {} MiB, file {} MiB, {} behind",
                figure(load.rate()),
                load.refused,
                figure(percentile_ms(&mut load.latencies, 0.50)),
                figure(percentile_ms(&mut load.latencies, 0.99)),
                figure(percentile_ms(&mut load.latencies, 1.0)),
                figure(processor / load.in_all.max(1) as f64 * 1e6),
                figure(daemon.resident_mib("VmRSS")?),
                figure(daemon.resident_mib("VmHWM")?),
                mib(&folder.path().join("data/waldo-syncd.db-wal"))?,
                mib(&folder.path().join("data/waldo-syncd.db"))?,
                daemon.lag()?,
            );
        }
        daemon.stop()?;
        println!("{refused} refused in all\n{}", machine(folder.path()));
        Ok(())
    })
}

fn mib(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path)?.len() >> 20)
}
