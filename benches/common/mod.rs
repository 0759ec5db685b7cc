//! What the benchmarks share: short or full form, medians, tables, the machine, a folder on a disk, and SQLite alone.

#![allow(
    dead_code,
    reason = "each benchmark is a crate of its own and uses its part of this"
)]

pub mod deliveries;
pub mod full;
pub mod process;

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tempfile::TempDir;

use deliveries::Sender;

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Whether only to show that the benchmark works; its figures then mean little.
pub fn short() -> bool {
    std::env::var_os("WALDO_SYNCD_BENCH").is_some_and(|form| form == "short")
}

/// A whole number from the environment.
pub fn number(variable: &str, default: u64) -> Result<u64> {
    match std::env::var_os(variable) {
        None => Ok(default),
        Some(text) => text
            .to_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| format!("{variable} is not a whole number").into()),
    }
}

/// Ends the process when the work takes longer than `limit`, so that nothing runs on for ever.
pub fn within<T>(limit: Duration, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let (done, waiting) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if waiting.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            eprintln!("given up after {limit:?}");
            std::process::exit(1);
        }
    });
    let result = work();
    drop(done);
    result
}

/// Asks again and again until there is an answer.
#[expect(
    clippy::disallowed_methods,
    reason = "the one bounded pause, between two looks at a condition"
)]
pub fn poll<T>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() > end {
            return Err(format!("waited too long for {what}").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The middle one; of an even number the mean of the two in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    let lower = values.len().saturating_sub(1) / 2;
    match (values.get(lower), values.get(upper)) {
        (Some(lower), Some(upper)) => (lower + upper) / 2.0,
        _ => f64::NAN,
    }
}

/// The value below which `share` of them lie, in milliseconds. Sorts.
pub fn percentile_ms(nanoseconds: &mut [u32], share: f64) -> f64 {
    nanoseconds.sort_unstable();
    let at = (nanoseconds.len() as f64 * share) as usize;
    let at = at.min(nanoseconds.len().saturating_sub(1));
    nanoseconds
        .get(at)
        .map_or(f64::NAN, |found| f64::from(*found) / 1e6)
}

pub fn nanoseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos()).unwrap_or(u32::MAX)
}

/// A number with as many digits as say something.
pub fn figure(value: f64) -> String {
    match value.abs() {
        _ if value.is_nan() => "-".to_owned(),
        0.0 => "0".to_owned(),
        1000.0.. => {
            let digits = format!("{value:.0}");
            let mut shown = String::new();
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && (digits.len() - at).is_multiple_of(3) {
                    shown.push(',');
                }
                shown.push(digit);
            }
            shown
        }
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Lines of cells as a Markdown table, shown with their right edges aligned; the first column with its left.
pub struct Table(Vec<Vec<String>>);

impl Table {
    pub fn new(head: &[&str]) -> Self {
        Self(vec![head.iter().map(|&cell| cell.to_owned()).collect()])
    }

    pub fn line(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.push(cells.into_iter().collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.0.first().map_or(0, Vec::len);
        let width_of = |column: usize| {
            let cells = self.0.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width_of).collect();
        for (number, line) in self.0.iter().enumerate() {
            for (at, (cell, &width)) in line.iter().zip(&widths).enumerate() {
                match at {
                    0 => write!(f, "| {cell:<width$} ")?,
                    _ => write!(f, "| {cell:>width$} ")?,
                }
            }
            writeln!(f, "|")?;
            if number == 0 {
                writeln!(f, "|---{}|", "|---:".repeat(columns.saturating_sub(1)))?;
            }
        }
        Ok(())
    }
}

/// Says on stderr what is being done.
pub fn tell(what: &str) {
    let _ = writeln!(std::io::stderr(), "# {what}");
}

/// A folder on the disk that the build is on, or in `WALDO_SYNCD_BENCH_DIR`.
pub fn folder() -> Result<TempDir> {
    let place = std::env::var_os("WALDO_SYNCD_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    fs::create_dir_all(&place)?;
    Ok(tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(place)?)
}

/// The machine in one line: cores, processor, kernel, and the file system of the data.
pub fn machine(folder: &Path) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let load = read("/proc/loadavg");
    format!(
        "machine: {cores} cores ({model}), Linux {}, data on {}, SQLite {}, load average at the end {}",
        read("/proc/sys/kernel/osrelease").trim(),
        file_system(folder),
        rusqlite::version(),
        load.split(' ').next().unwrap_or_default(),
    )
}

fn file_system(folder: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let found = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((words.next()?, words.next()?))
        })
        .filter(|(point, _)| real.starts_with(point))
        .max_by_key(|(point, _)| point.len());
    match found.map(|(_, kind)| kind) {
        Some(kind @ ("tmpfs" | "ramfs")) => {
            format!("{kind} (no disk: a commit costs nothing here)")
        }
        Some(kind) => kind.to_owned(),
        None => "an unknown file system".to_owned(),
    }
}

/// SQLite alone: how many bodies a second go into one table, each in a transaction that is synced to the disk before the
/// next begins. The table has the columns of our log; nothing is hashed, projected or indexed.
pub fn sqlite_alone(folder: &Path, time: Duration) -> Result<f64> {
    let place = TempDir::new_in(folder)?;
    let connection = Connection::open(place.path().join("alone.db"))?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE log (seq INTEGER PRIMARY KEY, received_at INTEGER NOT NULL, source INTEGER NOT NULL, \
         size INTEGER NOT NULL, digest BLOB NOT NULL, chain BLOB NOT NULL, payload BLOB) STRICT",
    )?;
    let mut insert = connection.prepare(
        "INSERT INTO log (received_at, source, size, digest, chain, payload) VALUES (?1, 1, ?2, ?3, ?3, ?4)",
    )?;
    let mut sender = Sender::new("");
    let mut events = 0_u32;
    let started = Instant::now();
    while started.elapsed() < time {
        let body = sender.next_body();
        insert.execute(params![
            1_731_000_000_123_i64,
            body.len() as i64,
            [7_u8; 32],
            body
        ])?;
        events += 1;
    }
    Ok(f64::from(events) / started.elapsed().as_secs_f64())
}
