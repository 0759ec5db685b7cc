//! One connection as the door sees it: what it waits for and since when, and the bodies that pass through it.
//!
//! hyper has one timer for "idle or sending a head" and none for the rest. Here every step of a connection is one atomic
//! word (phase and time), written by the connection's own task and read by the door, which closes what waits too long.
//! Invariant: the door can only close a connection by taking that word from the very value it judged ([`Conn::take`]); a
//! request that began meanwhile is either served to its end or was never handed to a handler.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Instant;

use super::wire::{Finding, Scanner};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing of the next request has come.
    Idle,
    /// A head has begun; so the first one of a connection has as soon as this is open.
    Head,
    /// A handler waits for bytes of the body.
    Body,
    /// A handler works, or its answer's body is not yet produced to its end.
    Handling,
    /// Answered and half closed; the rest of the request is read away.
    Lingering,
    /// Taken by the door: nothing may begin on it any more.
    Gone,
}

const PHASES: [Phase; 6] = [
    Phase::Idle,
    Phase::Head,
    Phase::Body,
    Phase::Handling,
    Phase::Lingering,
    Phase::Gone,
];
const PHASE_BITS: u32 = 3;

fn pack(phase: Phase, since_ms: u64) -> u64 {
    since_ms << PHASE_BITS | phase as u64
}

fn unpack(word: u64) -> (Phase, u64) {
    let number = usize::try_from(word & ((1 << PHASE_BITS) - 1)).unwrap_or_default();
    (
        PHASES.get(number).copied().unwrap_or(Phase::Gone),
        word >> PHASE_BITS,
    )
}

/// What a connection has been waiting for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    pub phase: Phase,
    /// The client does not take what was written. Then `since_ms` counts from the last byte it took.
    pub write_stalled: bool,
    pub since_ms: u64,
    word: u64,
}

#[derive(Debug)]
pub(super) struct Conn {
    epoch: Instant,
    /// Phase and since when (ms of the epoch).
    word: AtomicU64,
    /// When writing began to stall (ms of the epoch, plus one), 0 while it does not.
    stalled: AtomicU64,
    inside_head: AtomicBool,
    /// Whether any byte of any request has come.
    begun: AtomicBool,
    finding: OnceLock<Finding>,
    waker: Mutex<Option<Waker>>,
}

impl Conn {
    pub fn new(epoch: Instant) -> Self {
        let conn = Self {
            epoch,
            word: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
            inside_head: AtomicBool::new(false),
            begun: AtomicBool::new(false),
            finding: OnceLock::new(),
            waker: Mutex::new(None),
        };
        conn.word
            .store(pack(Phase::Head, conn.now_ms()), Ordering::Release);
        conn
    }

    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub fn finding(&self) -> Option<Finding> {
        self.finding.get().copied()
    }

    /// Kept once; the lock orders it against a stop that looks for it.
    pub fn set_waker(&self, waker: &Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }

    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }

    /// What the client owes us; None while we work, or when the connection is gone.
    pub fn wait(&self) -> Option<Wait> {
        let word = self.word.load(Ordering::Acquire);
        let (phase, since_ms) = unpack(word);
        let stalled = self.stalled.load(Ordering::Acquire);
        match phase {
            Phase::Gone => None,
            _ if stalled > 0 => Some(Wait {
                phase,
                write_stalled: true,
                since_ms: stalled - 1,
                word,
            }),
            Phase::Handling => None,
            _ => Some(Wait {
                phase,
                write_stalled: false,
                since_ms,
                word,
            }),
        }
    }

    /// Takes the connection out of service, if it still is as it was judged.
    pub fn take(&self, wait: &Wait) -> bool {
        self.word
            .compare_exchange(
                wait.word,
                pack(Phase::Gone, 0),
                Ordering::AcqRel,
                Ordering::Acquire,
            )
            .is_ok()
    }

    /// Moves to another phase where the present one allows it.
    fn shift(&self, to: Phase, since_ms: u64, allowed: impl Fn(Phase) -> bool) -> bool {
        self.word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                allowed(unpack(word).0).then_some(pack(to, since_ms))
            })
            .is_ok()
    }

    /// A request is handed to a handler; false when the door has taken the connection.
    pub fn begin(&self) -> bool {
        self.shift(Phase::Handling, 0, |phase| phase != Phase::Gone)
    }

    /// The answer is produced to its end. A head that came meanwhile has its time from now on: we were the slow ones.
    fn finish(&self) {
        let next = if self.is_inside_head() {
            Phase::Head
        } else {
            Phase::Idle
        };
        self.shift(next, self.now_ms(), |phase| {
            matches!(phase, Phase::Handling | Phase::Body)
        });
    }

    /// Answered before the end of the request.
    pub fn linger(&self) {
        self.shift(Phase::Lingering, self.now_ms(), |phase| {
            phase != Phase::Gone
        });
    }

    pub fn is_gone(&self) -> bool {
        unpack(self.word.load(Ordering::Acquire)).0 == Phase::Gone
    }

    /// Whether a head has begun and not ended.
    pub fn is_inside_head(&self) -> bool {
        self.inside_head.load(Ordering::Relaxed)
    }

    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Bytes came and were scanned.
    pub fn read(&self, scanner: &Scanner) {
        if !self.has_begun() {
            self.begun.store(true, Ordering::Relaxed);
        }
        if let Some(finding) = scanner.finding() {
            let _first_one_stays = self.finding.set(finding);
        }
        let inside = scanner.is_inside_head();
        if inside != self.is_inside_head() {
            self.inside_head.store(inside, Ordering::Relaxed);
            if inside {
                self.shift(Phase::Head, self.now_ms(), |phase| phase == Phase::Idle);
            }
        }
    }

    /// Bytes were offered to the client.
    pub fn wrote(&self, outcome: &Poll<io::Result<usize>>) {
        let stalled = self.stalled.load(Ordering::Relaxed);
        match outcome {
            Poll::Pending if stalled == 0 => {
                self.stalled.store(self.now_ms() + 1, Ordering::Release)
            }
            Poll::Ready(Ok(_)) if stalled > 0 => {
                // The idle time counts from the last byte taken, not from the end of producing.
                self.shift(Phase::Idle, self.now_ms(), |phase| phase == Phase::Idle);
                self.stalled.store(0, Ordering::Release);
            }
            _ => {}
        }
    }
}

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// A request's body: hyper's, and the connection knows while a handler waits for it.
#[derive(Debug)]
pub struct RequestBody {
    body: Incoming,
    conn: Arc<Conn>,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, conn: Arc<Conn>) -> Self {
        Self { body, conn }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Pending => {
                this.conn.shift(Phase::Body, this.conn.now_ms(), |phase| {
                    phase == Phase::Handling
                });
                Poll::Pending
            }
            Poll::Ready(frame) => {
                let served = match unpack(this.conn.word.load(Ordering::Acquire)).0 {
                    Phase::Body => this
                        .conn
                        .shift(Phase::Handling, 0, |phase| phase == Phase::Body),
                    phase => phase != Phase::Gone,
                };
                if !served {
                    return Poll::Ready(Some(Err("the connection was closed".into())));
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body, a handler's or our own. hyper drops it when it has taken all of it: then the request is done.
#[derive(Debug)]
pub(super) struct AnswerBody<B> {
    body: Result<B, Option<Bytes>>,
    conn: Arc<Conn>,
}

impl<B> AnswerBody<B> {
    pub fn of_handler(body: B, conn: Arc<Conn>) -> Self {
        Self {
            body: Ok(body),
            conn,
        }
    }

    pub fn of_door(body: Bytes, conn: Arc<Conn>) -> Self {
        Self {
            body: Err(Some(body)),
            conn,
        }
    }
}

impl<B> Drop for AnswerBody<B> {
    fn drop(&mut self) {
        self.conn.finish();
    }
}

impl<B> Body for AnswerBody<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match &mut self.get_mut().body {
            Ok(body) => Pin::new(body).poll_frame(cx),
            Err(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Ok(body) => body.is_end_stream(),
            Err(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Ok(body) => body.size_hint(),
            Err(Some(bytes)) => {
                SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
            }
            Err(None) => SizeHint::with_exact(0),
        }
    }
}

#[cfg(test)]
mod tests;
