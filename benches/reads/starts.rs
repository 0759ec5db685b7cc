//! From the start of the process to the first webhook that is acknowledged, and `check` of the whole file.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Form;
use crate::common::deliveries::Sender;
use crate::common::process::{Process, resident_mib};
use crate::common::{Result, Table, figure, median, tell};
use crate::load;
use crate::servers::{Server, daemon_command, stat, webhook_path};

/// Webhooks a second that come in when the daemon is killed.
const RATE: f64 = 5000.0;
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_micros(200);

#[derive(Default)]
struct Starts {
    empty: Vec<f64>,
    full: Vec<f64>,
    killed: Vec<f64>,
    whole: Vec<f64>,
    wal_mib: Vec<f64>,
}

pub fn measure(form: &Form, full: &Path, folder: &Path) -> Result<()> {
    let empty = folder.join("empty");
    fs::create_dir_all(&empty)?;
    // The first start makes the file and the secret.
    Server::daemon(&empty)?.stop()?;
    let mut starts = Starts::default();
    for round in 0..form.rounds {
        tell(&format!("starts, round {} of {}", round + 1, form.rounds));
        for turn in [round, round + 1] {
            if turn.is_multiple_of(2) {
                starts.empty.push(start(&empty)?.0);
            } else {
                starts.full.push(start(full)?.0);
            }
        }
        kill_under_load(full, &mut starts)?;
    }
    println!(
        "From the start to the first acknowledged webhook, {} events in the full file: {} rounds, medians.",
        figure(form.events as f64),
        form.rounds
    );
    let mut table = Table::new(&["file", "ms", "÷ empty", "rows whole after ms", "WAL MiB"]);
    let dash = || "-".to_owned();
    let empty = || starts.empty.iter();
    let ratio = |of: &[f64]| figure(median(of.iter().zip(empty()).map(|(of, to)| of / to)));
    let middle = |of: &[f64]| figure(median(of.iter().copied()));
    for (file, of) in [("empty", &starts.empty), ("full", &starts.full)] {
        table.line([file.to_owned(), middle(of), ratio(of), dash(), dash()]);
    }
    table.line([
        "full, killed at 5,000/s".to_owned(),
        middle(&starts.killed),
        ratio(&starts.killed),
        middle(&starts.whole),
        middle(&starts.wal_mib),
    ]);
    println!("{table}");
    Ok(())
}

/// Starts, sends until a webhook is acknowledged, and stops. Also: when the rows were whole after that.
fn start(folder: &Path) -> Result<(f64, f64)> {
    // A port that nobody has, so that it can be knocked at before the daemon could say which one it got.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let command = daemon_command(folder, &address.to_string());
    let mut sender = Sender::new(&webhook_path(folder)?);
    let mut process = Process::prepare(folder, "daemon", command, &[])?;
    let began = Instant::now();
    process.go()?;
    while !acknowledged(address, sender.next_request()) {
        if began.elapsed() > ANSWER_WITHIN {
            return Err("no answer after a start".into());
        }
        pause();
    }
    let answered = began.elapsed();
    process.wait_until_ready()?;
    let daemon = Server::of(process)?;
    let no_lag = || Ok((daemon.lag()? == 0).then_some(()));
    crate::common::poll("the rows to be whole", ANSWER_WITHIN, no_lag)?;
    let whole = began.elapsed() - answered;
    daemon.stop()?;
    Ok((answered.as_secs_f64() * 1e3, whole.as_secs_f64() * 1e3))
}

fn acknowledged(address: SocketAddr, request: &[u8]) -> bool {
    let exchange = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.write_all(request)?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok::<_, std::io::Error>(status)
    };
    exchange().is_ok_and(|status| status.starts_with(b"HTTP/1.1 2"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one bounded pause, between two attempts to connect"
)]
fn pause() {
    std::thread::sleep(PAUSE);
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long there is load before the kill"
)]
fn under_load() {
    std::thread::sleep(Duration::from_secs(2));
}

fn kill_under_load(full: &Path, starts: &mut Starts) -> Result<()> {
    let daemon = Server::daemon(full)?;
    let (address, path) = (daemon.address, daemon.path.clone());
    let load = std::thread::spawn(move || load::open(address, &path, RATE, ANSWER_WITHIN));
    let query = daemon.query.ok_or("no query door")?;
    let begun = stat(query, "durableSeq")?;
    // Whoever asked all the while would keep the WAL from starting over.
    under_load();
    if stat(query, "durableSeq")? == begun {
        return Err("there was no load".into());
    }
    daemon.kill()?;
    // It ends with an error, since nobody answers any longer.
    if load.join().map_err(|_| "the load failed")?.is_ok() {
        return Err("the daemon was not killed under load".into());
    }
    let wal = fs::metadata(full.join("data/waldo-syncd.db-wal"))?.len();
    let (answered, whole) = start(full)?;
    starts.killed.push(answered);
    starts.whole.push(whole);
    starts.wal_mib.push(wal as f64 / f64::from(1 << 20));
    Ok(())
}

/// `check` as a process of its own, beside nobody.
pub fn check(full: &Path) -> Result<()> {
    tell("check");
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_waldo-syncd"))
        .args(["check", "--data-dir"])
        .arg(full.join("data"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut most: f64 = 0.0;
    let status = crate::common::poll("check", Duration::from_secs(1800), || {
        // At its end there is no such line any longer.
        most = most.max(resident_mib(child.id(), "VmHWM").unwrap_or_default());
        Ok(child.try_wait()?)
    })?;
    let seconds = began.elapsed().as_secs_f64();
    let mut said = String::new();
    if let Some(mut output) = child.stdout.take() {
        output.read_to_string(&mut said)?;
    }
    if !status.success() {
        return Err(format!("check ended with {status}: {said}").into());
    }
    let file = full.join("data").join(waldo_syncd::store::FILE_NAME);
    let newest = waldo_syncd::store::newest_event(&file)?;
    let events = newest.map_or(0, |(seq, _)| seq.0);
    println!(
        "check of {} events: {} s, {} events/s, {} MiB resident at most\n",
        figure(events as f64),
        figure(seconds),
        figure(events as f64 / seconds),
        figure(most)
    );
    Ok(())
}
