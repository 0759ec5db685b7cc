//! How soon those who wait for news have them: from the acknowledgement of a webhook, which is before the event is
//! visible, to the answer in a reader's hands. Long polls and streams.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Form;
use crate::common::deliveries::Sender;
use crate::common::{Result, Table, figure, nanoseconds, percentile_ms, tell};
use crate::servers::{Server, stat};

/// Between two events, so that all are waiting again.
const PAUSE: Duration = Duration::from_millis(50);
const ALL_WITHIN: Duration = Duration::from_secs(120);

/// An event in a reader's hands.
type Arrival = (u64, Instant);

#[derive(Clone, Copy)]
enum Way {
    LongPoll,
    Stream,
    /// A long poll for what never comes until the last event has come: what a wake-up for nothing costs.
    Elsewhere,
}

pub fn measure(form: &Form, full: &Path) -> Result<()> {
    let daemon = Server::daemon(full)?;
    println!(
        "From the acknowledgement of an event to whoever waits for it, {} events one after the other:",
        form.wakes
    );
    let mut table = Table::new(&[
        "way",
        "readers",
        "p50 ms",
        "p99 ms",
        "µs CPU a reader and event",
    ]);
    for (name, way) in [
        ("long poll", Way::LongPoll),
        ("stream", Way::Stream),
        ("one long poll among those of others", Way::Elsewhere),
    ] {
        for &readers in form.readers {
            tell(&format!("{name}, {readers} readers"));
            let before = daemon.processor_seconds()?;
            let mut latencies = wake(&daemon, way, readers, form.wakes)?;
            let processor = daemon.processor_seconds()? - before;
            table.line([
                name.to_owned(),
                readers.to_string(),
                figure(percentile_ms(&mut latencies, 0.50)),
                figure(percentile_ms(&mut latencies, 0.99)),
                figure(processor / (readers * form.wakes) as f64 * 1e6),
            ]);
        }
    }
    println!("{table}");
    daemon.stop()
}

fn wake(daemon: &Server, way: Way, readers: usize, wakes: usize) -> Result<Vec<u32>> {
    let query = daemon.query.ok_or("no query door")?;
    let after = stat(query, "projectedSeq")?;
    let last = after + wakes as u64;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let work = async {
        let mut tasks = JoinSet::new();
        for reader in 0..readers {
            match way {
                Way::LongPoll => tasks.spawn(poll(query, "", after, last)),
                Way::Stream => tasks.spawn(stream(query, after, last)),
                Way::Elsewhere if reader == 0 => tasks.spawn(poll(query, "", after, last)),
                Way::Elsewhere => tasks.spawn(elsewhere(query, after)),
            };
        }
        tokio::time::sleep(PAUSE * 4).await;
        let acknowledged = send(daemon.address, &daemon.path, wakes).await?;
        let mut latencies = Vec::new();
        // Those who wait for something else are not waited for.
        let expected = if matches!(way, Way::Elsewhere) {
            1
        } else {
            readers
        };
        while latencies.len() < expected * wakes {
            let arrivals = tasks.join_next().await.ok_or("too few arrivals")???;
            for (seq, at) in arrivals {
                let from = acknowledged
                    .iter()
                    .find(|(acknowledged, _)| *acknowledged == seq);
                let (_, from) = from.ok_or("an event that nobody sent")?;
                latencies.push(nanoseconds(at.saturating_duration_since(*from)));
            }
        }
        Ok(latencies)
    };
    runtime.block_on(async { tokio::time::timeout(ALL_WITHIN, work).await? })
}

/// Sends one event after the other, and tells when each was acknowledged.
async fn send(address: SocketAddr, path: &str, wakes: usize) -> Result<Vec<Arrival>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut sender = Sender::new(path);
    let mut acknowledged = Vec::new();
    for _ in 0..wakes {
        stream.write_all(sender.next_request()).await?;
        let answer = answer(&mut stream).await?;
        let at = Instant::now();
        acknowledged.push((number_after(&answer, "\"seq\":")?, at));
        tokio::time::sleep(PAUSE).await;
    }
    Ok(acknowledged)
}

async fn poll(query: SocketAddr, filter: &str, mut after: u64, last: u64) -> Result<Vec<Arrival>> {
    let mut stream = TcpStream::connect(query).await?;
    stream.set_nodelay(true)?;
    let mut arrivals = Vec::new();
    while after < last {
        let request = format!(
            "GET /v1/events?after={after}&wait=60{filter} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let answer = answer(&mut stream).await?;
        let at = Instant::now();
        let next = number_after(&answer, "\"next\":")?;
        arrivals.extend((after + 1..=next).map(|seq| (seq, at)));
        after = next;
    }
    Ok(arrivals)
}

/// Waits for a customer of whom nothing comes; ends with the connection.
async fn elsewhere(query: SocketAddr, after: u64) -> Result<Vec<Arrival>> {
    poll(query, "&event=no-such-event", after, u64::MAX).await
}

async fn stream(query: SocketAddr, after: u64, last: u64) -> Result<Vec<Arrival>> {
    let mut stream = TcpStream::connect(query).await?;
    let request =
        format!("GET /v1/events/stream?after={after} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut arrivals = Vec::new();
    let mut text = String::new();
    let mut buffer = vec![0; 16 << 10];
    while arrivals.last().is_none_or(|(seq, _)| *seq < last) {
        let read = stream.read(&mut buffer).await?;
        let at = Instant::now();
        if read == 0 {
            return Err("a stream ended".into());
        }
        text.push_str(&String::from_utf8_lossy(
            buffer.get(..read).unwrap_or_default(),
        ));
        // Behind the last end of a line a line may still be on its way.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let rest = text.split_off(whole);
        let ids = text.lines().filter_map(|line| line.strip_prefix("id:"));
        for id in ids {
            arrivals.push((id.trim().parse()?, at));
        }
        text = rest;
    }
    Ok(arrivals)
}

/// One whole answer.
async fn answer(stream: &mut TcpStream) -> Result<String> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err("the server closed a connection".into());
        }
        let text = std::str::from_utf8(&bytes)?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        if body.len() as u64 >= number_after(head, "content-length: ")? {
            return Ok(text.to_owned());
        }
    }
}

fn number_after(text: &str, words: &str) -> Result<u64> {
    let (_, rest) = text
        .rsplit_once(words)
        .ok_or_else(|| format!("no {words} in {text}"))?;
    let end = rest
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(rest.len());
    Ok(rest.get(..end).unwrap_or_default().parse()?)
}
