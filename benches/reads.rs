//! What reading costs with many events in the file: one customer, request or event by its id, beside the same door
//! answering customers from a map in memory; the feed in pages; how soon those who wait are woken; the start; `check`; and
//! what taking webhooks then costs.
//! All in one run and in alternating rounds. The figures are medians of the rounds. docs/PERFORMANCE.md says what they
//! mean.

#![expect(clippy::print_stdout, reason = "a benchmark tells what it found")]
#![allow(
    dead_code,
    reason = "the load and the servers are those of the ingest benchmark"
)]

mod common;
#[path = "reads/feed.rs"]
mod feed;
#[path = "ingest/load.rs"]
mod load;
#[path = "reads/points.rs"]
mod points;
#[path = "reads/sample.rs"]
mod sample;
#[path = "ingest/servers.rs"]
mod servers;
#[path = "reads/starts.rs"]
mod starts;
#[path = "reads/wakes.rs"]
mod wakes;
#[path = "reads/writes.rs"]
mod writes;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use common::{Result, full, machine};
use sample::{ANSWER_FROM_MAP, answer_from_map};

/// How much and how often.
pub struct Form {
    rounds: usize,
    /// In the file, at least.
    events: u64,
    /// A load.
    time: Duration,
    /// Events that wake whoever waits.
    wakes: usize,
    /// Those who wait.
    readers: &'static [usize],
    limit: Duration,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let result = match arguments.get(1..) {
        Some([role, sample, _, ready]) if role == OsStr::new(ANSWER_FROM_MAP) => {
            answer_from_map(Path::new(sample), Path::new(ready))
        }
        // Behind cargo's own `--bench` may stand the names of the parts that are wanted.
        Some(words) => bench(&|part: &str| {
            let named = |word: &&std::ffi::OsString| !word.to_string_lossy().starts_with("--");
            let mut wanted = words.iter().filter(named).peekable();
            wanted.peek().is_none() || wanted.any(|word| word == part)
        }),
        None => Err("no arguments".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the benchmark failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(wanted: &dyn Fn(&str) -> bool) -> Result<()> {
    let form = if common::short() {
        Form {
            rounds: 1,
            events: common::number("WALDO_SYNCD_BENCH_ROWS", 20_000)?,
            time: Duration::from_millis(300),
            wakes: 10,
            readers: &[1, 100],
            limit: Duration::from_secs(300),
        }
    } else {
        Form {
            rounds: usize::try_from(common::number("WALDO_SYNCD_BENCH_ROUNDS", 5)?)?.max(1),
            events: common::number("WALDO_SYNCD_BENCH_ROWS", 1_000_000)?,
            time: Duration::from_secs(2),
            wakes: 100,
            readers: &[1, 100, 1000],
            limit: Duration::from_secs(3600),
        }
    };
    common::within(form.limit, || {
        let folder = common::folder()?;
        let full = full::folder_with(form.events, folder.path())?;
        let parts: [(&str, &dyn Fn() -> Result<()>); 6] = [
            ("points", &|| points::measure(&form, &full, folder.path())),
            ("feed", &|| feed::measure(&form, &full)),
            ("wakes", &|| wakes::measure(&form, &full)),
            ("starts", &|| starts::measure(&form, &full, folder.path())),
            ("check", &|| starts::check(&full)),
            ("writes", &|| writes::measure(&form, &full, folder.path())),
        ];
        for (_, measure) in parts.iter().filter(|(part, _)| wanted(part)) {
            measure()?;
        }
        println!("{}", machine(folder.path()));
        Ok(())
    })
}
