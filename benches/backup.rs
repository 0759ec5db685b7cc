//! What a backup costs whoever sends webhooks meanwhile: the same steady load with and without one being made, in
//! alternating order on one daemon. docs/PERFORMANCE.md says what the figures mean.

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
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Result, Table, figure, machine, median, percentile_ms, tell};
use servers::Server;

const RATES: [f64; 2] = [500.0, 2000.0];
const FILLERS: usize = 64;
const BACKUP_WITHIN: Duration = Duration::from_secs(300);

/// One load: what it came to, and the backups made meanwhile.
#[derive(Clone, Copy, Default)]
struct Outcome {
    p50_ms: f64,
    p99_ms: f64,
    refused: f64,
    backups: f64,
    backup_seconds: f64,
}

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the benchmark failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<()> {
    let (rounds, fill, time, limit) = if common::short() {
        (3, 6, 4, 300)
    } else {
        (7, 60, 15, 3600)
    };
    let rounds = usize::try_from(common::number("WALDO_SYNCD_BENCH_ROUNDS", rounds)?)?.max(1);
    let [fill, time, limit] = [fill, time, limit].map(Duration::from_secs);
    common::within(limit, || {
        let folder = common::folder()?;
        let daemon = Server::daemon(folder.path())?;
        tell("filling the file");
        load::closed(daemon.address, &daemon.path, FILLERS, fill)?;
        let caught_up = || Ok((daemon.lag()? == 0).then_some(()));
        common::poll("the rows to catch up", limit, caught_up)?;
        let bytes = fs::metadata(folder.path().join("data/waldo-syncd.db"))?.len();
        println!(
            "A file of {} MiB; {rounds} rounds of {time:?} a load, medians; latency counts from when a delivery was due.",
            bytes >> 20
        );
        let mut table = Table::new(&[
            "due/s",
            "p50 ms",
            "p99 ms",
            "p50 ms, backup",
            "p99 ms, backup",
            "p99 ÷",
            "refused",
            "backups",
            "s each",
        ]);
        for rate in RATES {
            let (mut alone, mut beside) = (Vec::new(), Vec::new());
            for round in 0..rounds {
                tell(&format!("{rate}/s, round {} of {rounds}", round + 1));
                for turn in [round, round + 1] {
                    let with_backup = turn.is_multiple_of(2);
                    let outcome = measure(&daemon, folder.path(), rate, time, with_backup)?;
                    if with_backup {
                        beside.push(outcome);
                    } else {
                        alone.push(outcome);
                    }
                }
            }
            let of = |all: &[Outcome], value: fn(&Outcome) -> f64| median(all.iter().map(value));
            let pairs = beside.iter().zip(&alone);
            table.line([
                figure(rate),
                figure(of(&alone, |one| one.p50_ms)),
                figure(of(&alone, |one| one.p99_ms)),
                figure(of(&beside, |one| one.p50_ms)),
                figure(of(&beside, |one| one.p99_ms)),
                figure(median(
                    pairs.map(|(with, without)| with.p99_ms / without.p99_ms),
                )),
                figure(beside.iter().map(|one| one.refused).sum()),
                figure(beside.iter().map(|one| one.backups).sum()),
                figure(of(&beside, |one| one.backup_seconds)),
            ]);
        }
        println!("{table}");
        println!(
            "WAL afterwards: {} MiB; daemon: {} MiB at most",
            fs::metadata(folder.path().join("data/waldo-syncd.db-wal"))?.len() >> 20,
            figure(daemon.resident_mib("VmHWM")?)
        );
        daemon.stop()?;
        println!("{}", machine(folder.path()));
        Ok(())
    })
}

/// One load, with backups one after the other all the while, or none.
fn measure(
    daemon: &Server,
    folder: &Path,
    rate: f64,
    time: Duration,
    with_backup: bool,
) -> Result<Outcome> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let backups = scope.spawn(|| -> Result<Vec<f64>> {
            let mut seconds = Vec::new();
            while with_backup && !done.load(Ordering::Relaxed) {
                let began = Instant::now();
                backup(folder)?;
                seconds.push(began.elapsed().as_secs_f64());
            }
            Ok(seconds)
        });
        let load = load::open(daemon.address, &daemon.path, rate, time);
        done.store(true, Ordering::Relaxed);
        let seconds = backups.join().map_err(|_| "the backups failed")??;
        let mut load = load?;
        Ok(Outcome {
            p50_ms: percentile_ms(&mut load.latencies, 0.50),
            p99_ms: percentile_ms(&mut load.latencies, 0.99),
            refused: load.refused as f64,
            backups: seconds.len() as f64,
            backup_seconds: median(seconds),
        })
    })
}

/// Has the daemon make one by its control door.
fn backup(folder: &Path) -> Result<()> {
    let body = serde_json::json!({ "path": folder.join("backup.db"), "force": true }).to_string();
    let request = waldo_syncd::client::post("/v1/backup", body)?;
    let door = folder.join("control.sock");
    let door = door.to_str().ok_or("no UTF-8")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let exchange = waldo_syncd::client::exchange(door, request, BACKUP_WITHIN);
    let answer = runtime.block_on(exchange)?;
    if answer.status.is_success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&answer.body).into_owned().into())
    }
}
