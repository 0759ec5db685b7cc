//! One thing by its id.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::Form;
use crate::common::{Result, Table, figure, median, percentile_ms, tell};
use crate::load::{self, Load};
use crate::sample::{Drawn, Sample};
use crate::servers::Server;

const CONNECTIONS: usize = 64;
/// Webhooks a second that come in while customers are read.
const INGEST_RATE: f64 = 2000.0;
/// Connections that saturate the ingest door, for what the daemon then holds in memory.
const SATURATING: usize = 256;
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(60);

/// What one load came to.
#[derive(Clone, Copy)]
struct Outcome {
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Of the server, for each answer.
    processor_us: f64,
}

/// One line of the table, by rounds.
#[derive(Default)]
struct Line(&'static str, Vec<Outcome>);

pub fn measure(form: &Form, full: &Path, folder: &Path) -> Result<()> {
    let daemon = Server::daemon(full)?;
    let idle = daemon.resident_mib("VmRSS")?;
    let sample = Sample::of(&daemon)?;
    let map = sample.in_memory(&daemon, folder)?;
    let query = daemon.query.ok_or("no query door")?;
    let mut lines = [
        Line("customer, from a map", Vec::new()),
        Line("customer", Vec::new()),
        Line("customer, 2,000 webhooks/s", Vec::new()),
        Line("request", Vec::new()),
        Line("event", Vec::new()),
    ];
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 0..form.rounds {
        tell(&format!("points, round {} of {}", round + 1, form.rounds));
        let order = [0, 1, 2, 3, 4];
        let turn = |at: usize| (at + round) % order.len();
        for number in order.map(turn) {
            let load_on = |server: &Server, at: SocketAddr, asked: &Arc<Vec<Vec<u8>>>| {
                outcome(server, || {
                    load::closed_loop(at, CONNECTIONS, form.time, || Drawn(Arc::clone(asked)))
                })
            };
            let outcome = match number {
                0 => load_on(&map, map.address, &sample.customers)?,
                1 => load_on(&daemon, query, &sample.customers)?,
                3 => load_on(&daemon, query, &sample.requests)?,
                4 => load_on(&daemon, query, &sample.events)?,
                _ => {
                    alone.push(p99_of(load::open(
                        daemon.address,
                        &daemon.path,
                        INGEST_RATE,
                        form.time,
                    )?));
                    // The webhooks come a little longer than the reads, so that all of these are beside them.
                    let time = form.time + form.time / 4;
                    std::thread::scope(|scope| {
                        let ingest = scope
                            .spawn(|| load::open(daemon.address, &daemon.path, INGEST_RATE, time));
                        let outcome = load_on(&daemon, query, &sample.customers);
                        beside.push(p99_of(ingest.join().map_err(|_| "the ingest failed")??));
                        outcome
                    })?
                }
            };
            if let Some(line) = lines.get_mut(number) {
                line.1.push(outcome);
            }
            caught_up(&daemon)?;
        }
    }
    tell("saturating the ingest door");
    daemon.forget_peak()?;
    load::closed(daemon.address, &daemon.path, SATURATING, form.time)?;
    let most = daemon.resident_mib("VmHWM")?;
    caught_up(&daemon)?;
    show(form, &lines, &alone, &beside);
    println!(
        "daemon: {} MiB resident when idle, {} MiB at most at {SATURATING} saturated connections\n",
        figure(idle),
        figure(most)
    );
    daemon.stop()
}

/// Waits until the rows are where the log is.
pub fn caught_up(daemon: &Server) -> Result<()> {
    let no_lag = || Ok((daemon.lag()? == 0).then_some(()));
    crate::common::poll("the rows to catch up", CAUGHT_UP_WITHIN, no_lag)
}

fn p99_of(mut load: Load) -> f64 {
    percentile_ms(&mut load.latencies, 0.99)
}

fn outcome(server: &Server, put: impl Fn() -> Result<Load>) -> Result<Outcome> {
    let before = server.processor_seconds()?;
    let mut load = put()?;
    if load.refused > 0 {
        return Err(format!("{} were not found", load.refused).into());
    }
    let processor = server.processor_seconds()? - before;
    Ok(Outcome {
        rate: load.rate(),
        p50_ms: percentile_ms(&mut load.latencies, 0.50),
        p99_ms: percentile_ms(&mut load.latencies, 0.99),
        processor_us: processor / load.in_all as f64 * 1e6,
    })
}

fn show(form: &Form, lines: &[Line], alone: &[f64], beside: &[f64]) {
    println!(
        "By id, {CONNECTIONS} connections, {} events in the file: {} rounds of {:?}, medians. The map is behind the same door.",
        figure(form.events as f64),
        form.rounds,
        form.time
    );
    let mut table = Table::new(&["what", "/s", "÷ map", "p50 ms", "p99 ms", "µs CPU"]);
    let map = lines.first().map_or(&[][..], |line| &line.1);
    for Line(what, outcomes) in lines {
        let of = |value: fn(&Outcome) -> f64| median(outcomes.iter().map(value));
        let pairs = outcomes.iter().zip(map);
        table.line([
            (*what).to_owned(),
            figure(of(|one| one.rate)),
            figure(median(pairs.map(|(one, map)| one.rate / map.rate))),
            figure(of(|one| one.p50_ms)),
            figure(of(|one| one.p99_ms)),
            figure(of(|one| one.processor_us)),
        ]);
    }
    println!("{table}");
    println!(
        "ingest p99 at 2,000/s, open loop: {} ms, beside the reads {} ms; ÷ {}\n",
        figure(median(alone.iter().copied())),
        figure(median(beside.iter().copied())),
        figure(median(
            beside
                .iter()
                .zip(alone)
                .map(|(with, without)| with / without)
        )),
    );
}
