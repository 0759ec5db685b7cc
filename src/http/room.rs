//! Room in memory for what readers have asked for and not taken yet. Small answers need none: there is never more than one
//! of them on each connection.
//!
//! Invariant: whatever takes room keeps it until it is written, or until its connection ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use warp::reply::Response as Reply;

use super::reply::{Code, Problem};

/// From this size on an answer takes room.
const LARGE_ANSWER_BYTES: u64 = 64 * 1024;
/// Room for large answers, in KiB: eight pages of the longest kind.
const ANSWERS_KIB: u32 = 64 * 1024;
/// Room for large events on their way to readers of the stream, in KiB.
const EVENTS_KIB: u32 = 32 * 1024;

/// Room that all readers share: those who do not take what they asked for are cut off by the door in time, and meanwhile
/// hold no more than this. What is larger than all of it takes all of it.
#[derive(Clone, Debug)]
pub struct Room {
    free: Arc<Semaphore>,
    kib: u32,
    refused: Arc<AtomicU64>,
}

/// A part of the room; given back when it is dropped.
pub type Place = OwnedSemaphorePermit;

impl Room {
    /// For large answers.
    #[must_use]
    pub fn for_answers() -> Self {
        Self::of(ANSWERS_KIB)
    }

    /// For large events of the stream.
    #[must_use]
    pub fn for_events() -> Self {
        Self::of(EVENTS_KIB)
    }

    fn of(kib: u32) -> Self {
        Self {
            free: Arc::new(Semaphore::new(kib as usize)),
            kib,
            refused: Arc::default(),
        }
    }

    /// Waits for room, so long at most.
    pub async fn take(&self, bytes: u64, within: Duration) -> Option<Place> {
        let waiting = Arc::clone(&self.free).acquire_many_owned(self.share(bytes));
        // It is never closed.
        tokio::time::timeout(within, waiting).await.ok()?.ok()
    }

    /// Gives a large answer its room; one for which there is none is refused.
    ///
    /// # Errors
    /// [`Code::TooManyAnswers`].
    pub async fn hold(&self, reply: Reply) -> Result<Reply, Problem> {
        let Some(bytes) = reply.body().size_hint().exact() else {
            return Ok(reply);
        };
        if bytes < LARGE_ANSWER_BYTES {
            return Ok(reply);
        }
        let Ok(place) = Arc::clone(&self.free).try_acquire_many_owned(self.share(bytes)) else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let detail = "the room for answers that readers have not taken yet is full";
            // Who does not read what it asks for may have asked a hundred times in one go.
            return Err(Problem::new(Code::TooManyAnswers, detail).and_close());
        };
        let (head, body) = reply.into_parts();
        // All of it is there, so nothing is waited for and nothing can fail.
        let body = body.collect().await.map(|body| body.to_bytes());
        let held = Held {
            body: body.unwrap_or_default(),
            _place: place,
        };
        Ok(Reply::from_parts(head, Bytes::from_owner(held).into()))
    }

    /// Bytes that are taken now.
    #[must_use]
    pub fn taken(&self) -> u64 {
        let free = self.free.available_permits() as u64;
        u64::from(self.kib).saturating_sub(free) * 1024
    }

    /// Bytes that there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        u64::from(self.kib) * 1024
    }

    /// Answers that were refused for want of room.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn share(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(1024)).map_or(self.kib, |kib| kib.min(self.kib))
    }
}

/// The bytes of an answer with their place. hyper writes from them as they are and drops them when the last one is written.
struct Held {
    body: Bytes,
    _place: Place,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::super::reply;
    use super::*;

    fn answer(bytes: usize) -> Reply {
        reply::bytes(StatusCode::OK, "text/plain", vec![b'x'; bytes])
    }

    #[tokio::test]
    async fn an_answer_keeps_its_room_until_its_last_byte_is_dropped() {
        let room = Room::of(256);
        let first = room.hold(answer(200 << 10)).await.unwrap();
        assert_eq!(room.taken(), 200 << 10);
        let refused = room.hold(answer(100 << 10)).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(room.refused(), 1);
        room.hold(answer(10 << 10))
            .await
            .expect("a small one needs none");
        let mut body = first.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.len(), 200 << 10);
        let end = body.split_off(100 << 10);
        drop(body);
        assert_eq!(room.taken(), 200 << 10);
        drop(end);
        assert_eq!(room.taken(), 0);
    }

    #[tokio::test]
    async fn one_answer_always_fits() {
        let room = Room::of(256);
        let whole = room.hold(answer(1 << 20)).await.unwrap();
        assert_eq!(room.taken(), room.size());
        assert!(room.hold(answer(64 << 10)).await.is_err());
        drop(whole);
        room.hold(answer(64 << 10)).await.unwrap();
    }
}
