//! The senders: a closed loop, in which each waits for its answer before it sends again, and an open one, in which
//! deliveries fall due at a steady rate whatever the server does.
//!
//! Nothing here parses more of an answer than where it ends and whether it was a good one, so that the senders take as
//! little as possible of the processor they share with the server.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use crate::common::deliveries::Sender;
use crate::common::{Result, nanoseconds};

/// An answer that takes longer than this fails the benchmark.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Connections of the open loop; a delivery that finds all of them taken waits, and its time counts.
const OPEN_LOOP_SENDERS: usize = 64;

/// What a load came to.
#[derive(Default)]
pub struct Load {
    /// Events acknowledged while it was measured.
    pub events: usize,
    /// Events acknowledged in all, while it warmed up and ended as well.
    pub in_all: usize,
    /// Answers that were not 2xx.
    pub refused: usize,
    /// How long it was measured.
    pub seconds: f64,
    /// Nanoseconds to each measured acknowledgement.
    pub latencies: Vec<u32>,
}

impl Load {
    pub fn rate(&self) -> f64 {
        self.events as f64 / self.seconds
    }

    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.in_all += other.in_all;
        self.refused += other.refused;
        self.latencies.extend(other.latencies);
    }
}

/// What one connection sends, request by request.
pub trait Requests: Send + 'static {
    /// The next one, head and body.
    fn next_request(&mut self) -> &[u8];
}

impl Requests for Sender {
    fn next_request(&mut self) -> &[u8] {
        Sender::next_request(self)
    }
}

/// Sends deliveries on so many connections, each as fast as it is answered, and measures after a tenth of the time.
pub fn closed(address: SocketAddr, path: &str, connections: usize, time: Duration) -> Result<Load> {
    closed_loop(address, connections, time, || Sender::new(path))
}

/// The same with any requests.
pub fn closed_loop<R: Requests>(
    address: SocketAddr,
    connections: usize,
    time: Duration,
    requests: impl Fn() -> R,
) -> Result<Load> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..connections {
            let stream = tokio::net::TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            streams.push((stream, requests()));
        }
        let from = Instant::now() + time / 10;
        let until = from + time;
        let mut tasks = JoinSet::new();
        for (stream, sender) in streams {
            tasks.spawn(send_on(stream, sender, from, until));
        }
        let mut load = Load {
            seconds: time.as_secs_f64(),
            ..Load::default()
        };
        let ended = async {
            while let Some(ended) = tasks.join_next().await {
                load.add(ended??);
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(load)
        };
        tokio::time::timeout(time + time / 10 + ANSWER_WITHIN, ended).await?
    })
}

async fn send_on(
    mut stream: tokio::net::TcpStream,
    mut sender: impl Requests,
    from: Instant,
    until: Instant,
) -> Result<Load> {
    let mut load = Load::default();
    let mut buffer = vec![0; 4096];
    let mut sent_at = Instant::now();
    while sent_at < until {
        stream.write_all(sender.next_request()).await?;
        let mut filled = 0;
        let good = loop {
            if filled == buffer.len() {
                buffer.resize(2 * filled, 0);
            }
            let room = buffer.get_mut(filled..).unwrap_or_default();
            filled += match stream.read(room).await? {
                0 => return Err("the server closed a connection".into()),
                read => read,
            };
            if let Some(good) = whole_answer(buffer.get(..filled).unwrap_or_default())? {
                break good;
            }
        };
        let answered_at = Instant::now();
        load.in_all += usize::from(good);
        load.refused += usize::from(!good);
        if good && sent_at >= from && answered_at < until {
            load.events += 1;
            load.latencies.push(nanoseconds(answered_at - sent_at));
        }
        sent_at = answered_at;
    }
    Ok(load)
}

/// Sends at a steady rate; latency counts from when a delivery was due, so that a stall is felt by all it held up.
pub fn open(address: SocketAddr, path: &str, rate: f64, time: Duration) -> Result<Load> {
    open_loop(address, rate, time, || Sender::new(path))
}

/// The same with any requests.
pub fn open_loop<R: Requests>(
    address: SocketAddr,
    rate: f64,
    time: Duration,
    requests: impl Fn() -> R,
) -> Result<Load> {
    let start = Instant::now() + Duration::from_millis(20);
    let (free, taken) = mpsc::channel::<Result<usize>>();
    let mut senders = Vec::new();
    let mut readers = Vec::new();
    for index in 0..OPEN_LOOP_SENDERS {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN + time))?;
        let due = Arc::new(AtomicU64::new(0));
        let reader = (stream.try_clone()?, Arc::clone(&due), free.clone());
        readers.push(std::thread::spawn(move || {
            let (stream, due, free) = reader;
            read_on(stream, &due, start, index, &free)
        }));
        senders.push((stream, due, requests()));
        free.send(Ok(index))?;
    }
    let gap = Duration::from_secs_f64(1.0 / rate);
    let deliveries = (rate * time.as_secs_f64()) as u32;
    for number in 0..deliveries {
        let due_in = gap * number;
        wait_until(start + due_in);
        let index = taken.recv_timeout(ANSWER_WITHIN)??;
        if let Some((stream, due, sender)) = senders.get_mut(index) {
            due.store(due_in.as_nanos() as u64, Ordering::Release);
            stream.write_all(sender.next_request())?;
        }
    }
    // All are back when all have been answered.
    for _ in 0..OPEN_LOOP_SENDERS {
        taken.recv_timeout(ANSWER_WITHIN)??;
    }
    let seconds = start.elapsed().as_secs_f64();
    for (stream, ..) in &senders {
        stream.shutdown(std::net::Shutdown::Both)?;
    }
    let mut load = Load {
        seconds,
        ..Load::default()
    };
    for reader in readers {
        load.add(reader.join().map_err(|_| "a reader failed")?);
    }
    Ok(load)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time at which a delivery is due is waited for"
)]
fn wait_until(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        std::thread::sleep(left);
    }
}

/// Reads answers until the connection is shut, and gives it back after each.
fn read_on(
    mut stream: std::net::TcpStream,
    due: &AtomicU64,
    start: Instant,
    index: usize,
    free: &mpsc::Sender<Result<usize>>,
) -> Load {
    let mut load = Load::default();
    let mut buffer = vec![0; 2048];
    let mut filled = 0;
    loop {
        let room = buffer.get_mut(filled..).unwrap_or_default();
        let outcome = stream.read(room).map_err(Into::into).and_then(|read| {
            filled += read;
            match read {
                0 => Ok(None),
                _ => Ok(Some(whole_answer(
                    buffer.get(..filled).unwrap_or_default(),
                )?)),
            }
        });
        let told = match outcome {
            Ok(None) => return load,
            Ok(Some(None)) => continue,
            Ok(Some(Some(good))) => {
                let due = Duration::from_nanos(due.load(Ordering::Acquire));
                filled = 0;
                load.refused += usize::from(!good);
                if good {
                    load.events += 1;
                    load.in_all += 1;
                    load.latencies
                        .push(nanoseconds(start.elapsed().saturating_sub(due)));
                }
                free.send(Ok(index))
            }
            Err(error) => free.send(Err(error)),
        };
        if told.is_err() {
            return load;
        }
    }
}

/// Whether the bytes are a whole answer, and if so, whether it is a good one.
fn whole_answer(bytes: &[u8]) -> Result<Option<bool>> {
    const LENGTH: &[u8] = b"content-length: ";
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head_bytes = bytes.get(..head + 2).unwrap_or_default();
    let length = head_bytes
        .windows(LENGTH.len())
        .position(|window| window == LENGTH)
        .and_then(|at| head_bytes.get(at + LENGTH.len()..))
        .map_or(0, |digits| {
            let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
            digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))
        });
    match bytes.len().cmp(&(head + 4 + length)) {
        std::cmp::Ordering::Less => Ok(None),
        std::cmp::Ordering::Equal => Ok(Some(bytes.get(9) == Some(&b'2'))),
        std::cmp::Ordering::Greater => Err("more than one answer".into()),
    }
}
