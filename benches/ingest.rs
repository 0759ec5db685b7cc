//! How many webhooks a second the daemon acknowledges and how soon, beside the same door answering 204 without a store
//! ("C") and beside SQLite alone, all in one run on one machine and in alternating rounds. The figures are medians of the
//! rounds. docs/PERFORMANCE.md says what they mean.

#![expect(clippy::print_stdout, reason = "a benchmark tells what it found")]

mod common;
#[path = "ingest/load.rs"]
mod load;
#[path = "ingest/servers.rs"]
mod servers;

use std::ffi::{OsStr, OsString};
use std::net::ToSocketAddrs as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use common::process::{processor_seconds, resident_mib};
use common::{Result, Table, figure, machine, median, percentile_ms, poll, sqlite_alone, tell};
use load::Load;
use servers::{ANSWER_204, Server, answer_204};

/// The argument that puts the load on any server instead: URL, connections, seconds. Behind it may stand what follows.
const TO: &str = "--to";
/// At this rate in an open loop, on as many connections as that has, instead of the closed one.
const RATE: &str = "--rate";
/// The server's process, whose processor time and memory are told.
const PID: &str = "--pid";
const CONNECTIONS: [usize; 4] = [1, 16, 64, 256];
const RATES: [f64; 2] = [1500.0, 5000.0];
/// How often the daemon is asked during a load how far its rows are behind.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(60);

/// How long and how often.
struct Form {
    rounds: usize,
    closed: Duration,
    open: Duration,
    limit: Duration,
}

/// What one load on one server came to.
#[derive(Clone, Copy, Default)]
struct Outcome {
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// The farthest the rows were seen behind, in time at this rate.
    behind_ms: f64,
    /// From the end of the load to the last row.
    caught_up_ms: f64,
    /// Processor time for each event, the catching up included.
    processor_us: f64,
    resident_mib: f64,
    refused: f64,
}

/// Outcomes of one load by round: of the door alone and of the daemon.
#[derive(Default)]
struct Pair {
    alone: Vec<Outcome>,
    daemon: Vec<Outcome>,
}

/// What all rounds came to.
#[derive(Default)]
struct Rounds {
    closed: [Pair; 4],
    open: [Pair; 2],
    sqlite: Vec<f64>,
    idle_mib: Vec<f64>,
    most_mib: Vec<f64>,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let result = match arguments.get(1..) {
        Some([role, _, ready]) if role == OsStr::new(ANSWER_204) => answer_204(Path::new(ready)),
        Some([word, url, connections, seconds, options @ ..]) if word == OsStr::new(TO) => {
            load_on(url, connections, seconds, options)
        }
        _ => bench(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the benchmark failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The same load on any server, so that others can be compared.
fn load_on(url: &OsStr, connections: &OsStr, seconds: &OsStr, options: &[OsString]) -> Result<()> {
    let text = |word: &OsStr| word.to_str().map(str::to_owned).ok_or("no UTF-8");
    let option = |name: &str| {
        let at = options.iter().position(|word| word == name)?;
        options.get(at + 1)?.to_str()
    };
    let url = text(url)?;
    let rest = url
        .strip_prefix("http://")
        .ok_or("the URL begins with http://")?;
    let (host, path) = rest.split_once('/').ok_or("the URL has a path")?;
    let (address, path) = (
        host.to_socket_addrs()?.next().ok_or("no such host")?,
        format!("/{path}"),
    );
    let connections = text(connections)?.parse()?;
    let time = Duration::try_from_secs_f64(text(seconds)?.parse()?)?;
    let process: Option<u32> = option(PID).map(str::parse).transpose()?;
    let processor = || process.map(processor_seconds).transpose();
    let before = processor()?;
    let mut load = match option(RATE) {
        Some(rate) => load::open(address, &path, rate.parse()?, time)?,
        None => load::closed(address, &path, connections, time)?,
    };
    let used = processor()?
        .zip(before)
        .map(|(after, before)| after - before);
    let resident = process.map(|process| resident_mib(process, "VmRSS"));
    let dash = || "-".to_owned();
    let mut table = Table::new(&[
        "connections",
        "events/s",
        "p50 ms",
        "p99 ms",
        "refused",
        "µs CPU an event",
        "RSS MiB",
    ]);
    table.line([
        option(RATE).map_or_else(|| connections.to_string(), |rate| format!("open, {rate}/s")),
        figure(load.rate()),
        figure(percentile_ms(&mut load.latencies, 0.50)),
        figure(percentile_ms(&mut load.latencies, 0.99)),
        load.refused.to_string(),
        used.map_or_else(dash, |used| figure(used / load.in_all as f64 * 1e6)),
        resident.transpose()?.map_or_else(dash, figure),
    ]);
    print!("{table}");
    Ok(())
}

fn bench() -> Result<()> {
    let form = if common::short() {
        Form {
            rounds: 1,
            closed: Duration::from_millis(250),
            open: Duration::from_millis(400),
            limit: Duration::from_secs(120),
        }
    } else {
        Form {
            rounds: usize::try_from(common::number("WALDO_SYNCD_BENCH_ROUNDS", 5)?)?.max(1),
            closed: Duration::from_secs(2),
            open: Duration::from_secs(3),
            limit: Duration::from_secs(1200),
        }
    };
    common::within(form.limit, || {
        let folder = common::folder()?;
        let mut rounds = Rounds::default();
        for number in 0..form.rounds {
            tell(&format!("round {} of {}", number + 1, form.rounds));
            round(&form, folder.path(), number, &mut rounds)?;
        }
        show(&form, rounds);
        println!("{}", machine(folder.path()));
        Ok(())
    })
}

/// One round, with fresh servers and an empty file: every load once on each.
fn round(form: &Form, folder: &Path, number: usize, rounds: &mut Rounds) -> Result<()> {
    let place = tempfile::TempDir::new_in(folder)?;
    let alone = Server::answering_204(place.path())?;
    let daemon = Server::daemon(place.path())?;
    rounds.idle_mib.push(daemon.resident_mib("VmRSS")?);
    rounds.sqlite.push(sqlite_alone(place.path(), form.closed)?);
    // Whoever comes first alternates, so that neither has the quieter machine by its place alone.
    let both = |pair: &mut Pair, put: &dyn Fn(&Server) -> Result<Load>| -> Result<()> {
        for turn in [number, number + 1] {
            if turn.is_multiple_of(2) {
                pair.alone.push(outcome(&alone, put)?);
            } else {
                pair.daemon.push(outcome(&daemon, put)?);
            }
        }
        Ok(())
    };
    for (pair, connections) in rounds.closed.iter_mut().zip(CONNECTIONS) {
        both(pair, &|server| {
            load::closed(server.address, &server.path, connections, form.closed)
        })?;
    }
    for (pair, rate) in rounds.open.iter_mut().zip(RATES) {
        both(pair, &|server| {
            load::open(server.address, &server.path, rate, form.open)
        })?;
    }
    rounds.most_mib.push(daemon.resident_mib("VmHWM")?);
    daemon.stop()?;
    drop(alone);
    Ok(())
}

fn outcome(server: &Server, put: &dyn Fn(&Server) -> Result<Load>) -> Result<Outcome> {
    let processor_before = server.processor_seconds()?;
    let (mut load, behind) = std::thread::scope(|scope| {
        let (done, waiting) = mpsc::channel::<()>();
        let watch = scope.spawn(move || -> Result<u64> {
            let mut behind = 0;
            while waiting.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                behind = behind.max(server.lag()?);
            }
            Ok(behind)
        });
        let load = put(server);
        drop(done);
        let behind = watch.join().map_err(|_| "the watch failed")?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((load?, behind?))
    })?;
    let ended = Instant::now();
    let caught_up = poll("the rows to catch up", CAUGHT_UP_WITHIN, || {
        Ok((server.lag()? == 0).then(|| ended.elapsed()))
    })?;
    let processor = server.processor_seconds()? - processor_before;
    Ok(Outcome {
        rate: load.rate(),
        behind_ms: behind as f64 / load.rate() * 1e3,
        caught_up_ms: caught_up.as_secs_f64() * 1e3,
        processor_us: processor / load.in_all as f64 * 1e6,
        resident_mib: server.resident_mib("VmRSS")?,
        refused: load.refused as f64,
        p50_ms: percentile_ms(&mut load.latencies, 0.50),
        p99_ms: percentile_ms(&mut load.latencies, 0.99),
    })
}

fn of(outcomes: &[Outcome], value: impl Fn(&Outcome) -> f64) -> f64 {
    median(outcomes.iter().map(value))
}

/// The median of the rounds' own ratios: what disturbs a round disturbs both sides of it.
fn ratio(pair: &Pair, value: impl Fn(&Outcome) -> f64) -> f64 {
    let both = pair.daemon.iter().zip(&pair.alone);
    median(both.map(|(daemon, alone)| value(daemon) / value(alone)))
}

fn show(form: &Form, rounds: Rounds) {
    println!(
        "Closed loop: {} rounds of {:?} a load, medians; C is the same door answering 204 without a store.",
        form.rounds, form.closed
    );
    let mut table = Table::new(&[
        "connections",
        "C/s",
        "C p50 ms",
        "C p99 ms",
        "events/s",
        "p50 ms",
        "p99 ms",
        "events/s ÷ C",
        "behind ms",
        "caught up ms",
        "C µs CPU",
        "µs CPU",
        "RSS MiB",
        "refused",
    ]);
    for (pair, connections) in rounds.closed.iter().zip(CONNECTIONS) {
        table.line([
            connections.to_string(),
            figure(of(&pair.alone, |one| one.rate)),
            figure(of(&pair.alone, |one| one.p50_ms)),
            figure(of(&pair.alone, |one| one.p99_ms)),
            figure(of(&pair.daemon, |one| one.rate)),
            figure(of(&pair.daemon, |one| one.p50_ms)),
            figure(of(&pair.daemon, |one| one.p99_ms)),
            figure(ratio(pair, |one| one.rate)),
            figure(of(&pair.daemon, |one| one.behind_ms)),
            figure(of(&pair.daemon, |one| one.caught_up_ms)),
            figure(of(&pair.alone, |one| one.processor_us)),
            figure(of(&pair.daemon, |one| one.processor_us)),
            figure(of(&pair.daemon, |one| one.resident_mib)),
            figure(pair.daemon.iter().map(|one| one.refused).sum()),
        ]);
    }
    println!("{table}");
    let [single, ..] = &rounds.closed;
    println!(
        "SQLite alone, one event a transaction, synchronous=FULL: {} events/s; one connection ÷ SQLite alone: {}",
        figure(median(rounds.sqlite.iter().copied())),
        figure(median(
            single
                .daemon
                .iter()
                .zip(&rounds.sqlite)
                .map(|(one, sqlite)| one.rate / sqlite)
        )),
    );
    println!(
        "daemon: {} MiB resident when idle, {} MiB at most\n",
        figure(median(rounds.idle_mib)),
        figure(median(rounds.most_mib)),
    );
    println!(
        "Open loop: {} rounds of {:?}, medians; latency counts from the time at which a delivery was due.",
        form.rounds, form.open
    );
    let mut table = Table::new(&[
        "due/s",
        "C p50 ms",
        "C p99 ms",
        "p50 ms",
        "p99 ms",
        "p50 ÷ C",
        "p99 ÷ C",
        "behind ms",
        "caught up ms",
        "C µs CPU",
        "µs CPU",
        "refused",
    ]);
    for (pair, rate) in rounds.open.iter().zip(RATES) {
        table.line([
            figure(rate),
            figure(of(&pair.alone, |one| one.p50_ms)),
            figure(of(&pair.alone, |one| one.p99_ms)),
            figure(of(&pair.daemon, |one| one.p50_ms)),
            figure(of(&pair.daemon, |one| one.p99_ms)),
            figure(ratio(pair, |one| one.p50_ms)),
            figure(ratio(pair, |one| one.p99_ms)),
            figure(of(&pair.daemon, |one| one.behind_ms)),
            figure(of(&pair.daemon, |one| one.caught_up_ms)),
            figure(of(&pair.alone, |one| one.processor_us)),
            figure(of(&pair.daemon, |one| one.processor_us)),
            figure(pair.daemon.iter().map(|one| one.refused).sum()),
        ]);
    }
    println!("{table}");
}
