//! Taking webhooks with many events in the file, beside a file that was empty: about customers never seen before, whose ids
//! begin with a time, and about those that are there, drawn evenly.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Form;
use crate::common::deliveries::{Crowd, Sender};
use crate::common::full::EVENTS_OF_ONE;
use crate::common::{Result, Table, figure, median, percentile_ms, tell};
use crate::load::{self, Requests};
use crate::points::caught_up;
use crate::servers::Server;

const CONNECTIONS: usize = 64;
const RATE: f64 = 5000.0;

/// What one file took, by rounds.
#[derive(Default)]
struct Line {
    rates: Vec<f64>,
    p99_ms: Vec<f64>,
    processor_us: Vec<f64>,
    open_p99_ms: Vec<f64>,
}

/// Requests about customers that are there; all connections share what was sent about each.
struct Known {
    crowd: Arc<Mutex<Crowd>>,
    request: Vec<u8>,
}

impl Requests for Known {
    fn next_request(&mut self) -> &[u8] {
        let mut crowd = self.crowd.lock().unwrap_or_else(PoisonError::into_inner);
        self.request.clear();
        self.request.extend_from_slice(crowd.next());
        &self.request
    }
}

pub fn measure(form: &Form, full: &Path, folder: &Path) -> Result<()> {
    let customers = usize::try_from(form.events / EVENTS_OF_ONE)?;
    let mut lines = [Line::default(), Line::default(), Line::default()];
    for round in 0..form.rounds {
        tell(&format!("writes, round {} of {}", round + 1, form.rounds));
        let empty = folder.join(format!("empty-{round}"));
        fs::create_dir_all(&empty)?;
        for number in [0, 1, 2].map(|at| (at + round) % 3) {
            let Some(line) = lines.get_mut(number) else {
                continue;
            };
            let daemon = Server::daemon(if number == 0 { &empty } else { full })?;
            let path = daemon.path.clone();
            match number {
                2 => {
                    let crowd = Arc::new(Mutex::new(Crowd::later(&path, customers)));
                    line.measure(form, &daemon, || Known {
                        crowd: Arc::clone(&crowd),
                        request: Vec::new(),
                    })?;
                }
                _ => line.measure(form, &daemon, || Sender::new(&path))?,
            }
            daemon.stop()?;
        }
        fs::remove_dir_all(empty)?;
    }
    show(form, &lines);
    Ok(())
}

impl Line {
    fn measure<R: Requests>(
        &mut self,
        form: &Form,
        daemon: &Server,
        requests: impl Fn() -> R,
    ) -> Result<()> {
        let before = daemon.processor_seconds()?;
        let mut closed = load::closed_loop(daemon.address, CONNECTIONS, form.time, &requests)?;
        caught_up(daemon)?;
        let processor = daemon.processor_seconds()? - before;
        let mut open = load::open_loop(daemon.address, RATE, form.time, &requests)?;
        caught_up(daemon)?;
        let refused = closed.refused + open.refused;
        if refused > 0 {
            return Err(format!("{refused} were refused").into());
        }
        self.rates.push(closed.rate());
        self.p99_ms.push(percentile_ms(&mut closed.latencies, 0.99));
        self.processor_us
            .push(processor / closed.in_all as f64 * 1e6);
        self.open_p99_ms
            .push(percentile_ms(&mut open.latencies, 0.99));
        Ok(())
    }
}

fn show(form: &Form, lines: &[Line; 3]) {
    println!(
        "Taking webhooks, {CONNECTIONS} connections, {} events in the full file: {} rounds of {:?}, medians.",
        figure(form.events as f64),
        form.rounds,
        form.time
    );
    let mut table = Table::new(&[
        "file, customers",
        "/s",
        "÷ empty",
        "p99 ms",
        "µs CPU",
        "p99 ms at 5,000/s",
    ]);
    let [empty, ..] = lines;
    let names = ["empty, new", "full, new", "full, known ones drawn evenly"];
    for (name, line) in names.iter().zip(lines) {
        let middle = |of: &[f64]| figure(median(of.iter().copied()));
        let pairs = line.rates.iter().zip(&empty.rates);
        table.line([
            (*name).to_owned(),
            middle(&line.rates),
            figure(median(pairs.map(|(of, to)| of / to))),
            middle(&line.p99_ms),
            middle(&line.processor_us),
            middle(&line.open_p99_ms),
        ]);
    }
    println!("{table}");
}
