//! The store alone, without a door in front: appends, folding, `check` and `rebuild`, with an empty file and a full one,
//! beside SQLite alone in the same run. docs/PERFORMANCE.md says what the figures mean.

#![expect(clippy::print_stdout, reason = "a benchmark tells what it found")]

mod common;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use waldo_syncd::domain::Source;
use waldo_syncd::store::{
    Delivery, FILE_NAME, Options, Store, StoreThread, check_file, rebuild_file,
};

use common::deliveries::Sender;
use common::{
    Result, Table, figure, machine, median, nanoseconds, percentile_ms, sqlite_alone, tell,
};

const APPENDERS: [usize; 2] = [1, 64];
/// Appenders that fill the file: as many as share a commit.
const FILLERS: usize = 1024;
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(1200);

struct Form {
    rounds: usize,
    time: Duration,
    rows: u64,
    limit: Duration,
}

/// What appending for a while came to.
struct Outcome {
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// How far the rows were behind the log at the end, and for how long from then.
    behind: f64,
    caught_up_ms: f64,
    /// Events a second from the first append to the last row.
    to_rows_rate: f64,
}

/// When appenders stop.
#[derive(Clone, Copy)]
enum Until {
    Time(Duration),
    Events(u64),
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
    let short = common::short();
    let (rounds, time, rows, limit) = if short {
        (1, 250, 50_000, 120)
    } else {
        (5, 1000, 5_000_000, 3600)
    };
    let form = Form {
        rounds: usize::try_from(common::number("WALDO_SYNCD_BENCH_ROUNDS", rounds)?)?.max(1),
        time: Duration::from_millis(time),
        rows: common::number("WALDO_SYNCD_BENCH_ROWS", rows)?.max(1),
        limit: Duration::from_secs(limit),
    };
    common::within(form.limit, || {
        let folder = common::folder()?;
        // As the daemon on two cores: one thread that runs tasks beside the store's own.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        measure(&form, folder.path(), &runtime)?;
        println!("{}", machine(folder.path()));
        Ok(())
    })
}

fn measure(form: &Form, folder: &Path, runtime: &Runtime) -> Result<()> {
    let mut sqlite = Vec::new();
    let mut empty = [Vec::new(), Vec::new()];
    let mut full = [Vec::new(), Vec::new()];
    for round in 0..form.rounds {
        tell(&format!(
            "an empty file, round {} of {}",
            round + 1,
            form.rounds
        ));
        sqlite.push(sqlite_alone(folder, form.time)?);
        for (outcomes, appenders) in empty.iter_mut().zip(APPENDERS) {
            let place = tempfile::TempDir::new_in(folder)?;
            let (store, thread) = open(place.path())?;
            outcomes.push(append(runtime, &store, appenders, Until::Time(form.time))?);
            thread.stop(&store);
        }
    }
    tell(&format!("filling a file with {} events", form.rows));
    let directory = folder.join("full");
    let (store, thread) = open(&directory)?;
    let filled = append(runtime, &store, FILLERS, Until::Events(form.rows))?;
    let rows = store.durable().0;
    for round in 0..form.rounds {
        tell(&format!(
            "a full file, round {} of {}",
            round + 1,
            form.rounds
        ));
        for (outcomes, appenders) in full.iter_mut().zip(APPENDERS) {
            outcomes.push(append(runtime, &store, appenders, Until::Time(form.time))?);
        }
    }
    thread.stop(&store);
    drop(store);

    println!(
        "Appends through the store, each durable before it is answered: {} rounds of {:?}, medians.",
        form.rounds, form.time
    );
    let alone = median(sqlite.iter().copied());
    let mut table = Table::new(&[
        "appenders",
        "rows there",
        "events/s",
        "÷ SQLite alone",
        "p50 ms",
        "p99 ms",
        "behind, events",
        "caught up ms",
        "to rows, events/s",
    ]);
    for (there, outcomes) in [(0, &empty), (rows, &full)] {
        for (outcomes, appenders) in outcomes.iter().zip(APPENDERS) {
            let of = |value: fn(&Outcome) -> f64| median(outcomes.iter().map(value));
            table.line([
                appenders.to_string(),
                figure(there as f64),
                figure(of(|one| one.rate)),
                figure(of(|one| one.rate) / alone),
                figure(of(|one| one.p50_ms)),
                figure(of(|one| one.p99_ms)),
                figure(of(|one| one.behind)),
                figure(of(|one| one.caught_up_ms)),
                figure(of(|one| one.to_rows_rate)),
            ]);
        }
    }
    println!("{table}");
    println!(
        "SQLite alone, one event a transaction, synchronous=FULL: {} events/s\n",
        figure(alone)
    );
    println!(
        "Filling the file with {} events by {FILLERS} appenders: {} events/s appended, {} events/s to the last row\n",
        figure(rows as f64),
        figure(filled.rate),
        figure(filled.to_rows_rate),
    );
    whole_file(&directory)
}

/// `check` and `rebuild` of the full file.
fn whole_file(directory: &Path) -> Result<()> {
    let file = directory.join(FILE_NAME);
    let bytes = fs::metadata(&file)?.len();
    tell("check");
    let started = Instant::now();
    let report = check_file(&file, None, &mut |_, _, _| {})?;
    let check = started.elapsed().as_secs_f64();
    if !report.faults.is_empty() {
        return Err(format!("check found: {:?}", report.faults).into());
    }
    tell("rebuild");
    let mut folded = 0.0;
    let started = Instant::now();
    let differences = rebuild_file(directory, false, &mut |_, _| {
        folded = started.elapsed().as_secs_f64();
    })?;
    let rebuild = started.elapsed().as_secs_f64();
    if !differences.is_empty() {
        return Err(format!("rebuild differs: {differences:?}").into());
    }
    let events = report.events as f64;
    println!("The whole file, once:");
    let mut table = Table::new(&["work", "seconds", "events/s"]);
    for (work, seconds) in [
        ("check", check),
        ("rebuild, the folding alone", folded),
        ("rebuild, compared and put in place", rebuild),
    ] {
        table.line([work.to_owned(), figure(seconds), figure(events / seconds)]);
    }
    println!("{table}");
    let mut sender = Sender::new("");
    let body = (0..1000).map(|_| sender.next_body().len()).sum::<usize>() as f64 / 1000.0;
    println!(
        "{} bytes on disk an event, {} of them beyond its body; {} MiB resident at most in this process\n",
        figure(bytes as f64 / events),
        figure(bytes as f64 / events - body),
        figure(most_resident_mib()?),
    );
    Ok(())
}

fn open(directory: &Path) -> Result<(Store, StoreThread)> {
    Ok(Store::open(Options {
        directory: directory.to_owned(),
        queue_events: 10_000,
        queue_bytes: 64 << 20,
        max_lag: u64::MAX,
        clock: waldo_syncd::clock::now,
    })?)
}

/// Appends by so many tasks, each waiting for its answer before it goes on, and waits until all of it is in the rows.
fn append(runtime: &Runtime, store: &Store, appenders: usize, until: Until) -> Result<Outcome> {
    runtime.block_on(async {
        let left = Arc::new(AtomicU64::new(match until {
            Until::Events(events) => events,
            Until::Time(_) => u64::MAX,
        }));
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..appenders {
            let (store, left) = (store.clone(), Arc::clone(&left));
            tasks.spawn(append_on(store, left, started, until));
        }
        let mut latencies = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            latencies.extend(ended??);
        }
        let took = started.elapsed();
        let (behind, last) = (store.lag(), store.durable());
        let ended = Instant::now();
        store.wait_projected(last, CAUGHT_UP_WITHIN).await?;
        let events = latencies.len() as f64;
        Ok(Outcome {
            rate: events / took.as_secs_f64(),
            behind: behind as f64,
            caught_up_ms: ended.elapsed().as_secs_f64() * 1e3,
            to_rows_rate: events / started.elapsed().as_secs_f64(),
            p50_ms: percentile_ms(&mut latencies, 0.50),
            p99_ms: percentile_ms(&mut latencies, 0.99),
        })
    })
}

async fn append_on(
    store: Store,
    left: Arc<AtomicU64>,
    started: Instant,
    until: Until,
) -> Result<Vec<u32>> {
    let mut sender = Sender::new("");
    let mut latencies = Vec::new();
    loop {
        let over = match until {
            Until::Time(time) => started.elapsed() >= time,
            Until::Events(_) => left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(1)
                })
                .is_err(),
        };
        if over {
            return Ok(latencies);
        }
        let body = Bytes::copy_from_slice(sender.next_body());
        let appended_at = Instant::now();
        store.append(Delivery::whole(Source::Webhook, body)).await?;
        latencies.push(nanoseconds(appended_at.elapsed()));
    }
}

fn most_resident_mib() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.ok_or("no such line")?.parse::<f64>()? / 1024.0)
}
