//! Reads a request body with a limit and a deadline.
//!
//! Invariant: no body can hold more memory than its limit, nor a handler longer than its deadline. Of a body over the
//! limit the beginning, the size and the digest are kept, and some of the rest is read away, so that an ordinary client
//! comes to the end of its sending and reads the answer instead of a reset.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::Stream;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep_until};

/// How much of a body over the limit is kept.
pub const KEPT_BYTES: usize = 4096;
/// A body in several frames starts with at most this much memory, whatever it grows to.
const FIRST_CAPACITY: usize = 64 * 1024;

/// What one body may cost.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes that a body may have.
    pub limit: usize,
    /// Bytes past the limit that are read and thrown away before giving up.
    pub discard_limit: u64,
    /// Time for the whole body, counted from the call.
    pub deadline: Duration,
}

/// Why a body was not taken.
#[derive(Debug, Error)]
pub enum BodyError {
    /// It went over the limit; this much is known of it.
    #[error("body is over the limit ({size} bytes read)")]
    TooLarge {
        /// The beginning: `KEPT_BYTES` of it, and never more than the limit.
        head: Bytes,
        /// Bytes read, all of the body if `complete`.
        size: u64,
        /// SHA-256 of the bytes read.
        digest: [u8; 32],
        /// Whether its end was reached.
        complete: bool,
    },
    /// The deadline passed.
    #[error("body did not come within its time")]
    Timeout,
    /// The connection or the framing failed.
    #[error("body ended early or was malformed")]
    Broken,
}

/// Reads to the end. A body in one frame is given as it came, without a copy.
pub async fn read_body<S, B, E>(body: S, limits: &BodyLimits) -> Result<Bytes, BodyError>
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    let mut frames = Frames {
        body: pin!(body),
        deadline: Instant::now() + limits.deadline,
        timer: None,
    };
    let Some(first) = frames.next().await? else {
        return Ok(Bytes::new());
    };
    if first.len() > limits.limit {
        return Err(discard(frames, first, Bytes::new(), limits).await);
    }
    let Some(second) = frames.next().await? else {
        return Ok(first);
    };
    let mut gathered = BytesMut::with_capacity(FIRST_CAPACITY.min(limits.limit).max(first.len()));
    gathered.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(frame) = next {
        if gathered.len().saturating_add(frame.len()) > limits.limit {
            return Err(discard(frames, gathered.freeze(), frame, limits).await);
        }
        gathered.extend_from_slice(&frame);
        next = frames.next().await?;
    }
    Ok(gathered.freeze())
}

/// Reads on without keeping. A fault in the part that is thrown away only makes the record incomplete.
async fn discard<S, B, E>(
    mut frames: Frames<'_, S>,
    gathered: Bytes,
    next: Bytes,
    limits: &BodyLimits,
) -> BodyError
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    let mut head = BytesMut::with_capacity(KEPT_BYTES);
    head.extend(
        gathered
            .iter()
            .chain(&next)
            .take(KEPT_BYTES.min(limits.limit)),
    );
    let mut hasher = Sha256::new();
    let mut size = 0_u64;
    let mut count = |bytes: &[u8]| {
        hasher.update(bytes);
        size = size.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        size
    };
    count(&gathered);
    let mut read = count(&next);
    drop((gathered, next));
    let most = u64::try_from(limits.limit)
        .unwrap_or(u64::MAX)
        .saturating_add(limits.discard_limit);
    let complete = loop {
        match frames.next().await {
            Ok(None) => break true,
            Err(_) => break false,
            Ok(Some(_)) if read >= most => break false,
            Ok(Some(frame)) => read = count(&frame),
        }
    };
    BodyError::TooLarge {
        head: head.freeze(),
        size,
        digest: hasher.finalize().into(),
        complete,
    }
}

/// The body's frames up to the deadline. The timer is made only when there is something to wait for.
struct Frames<'a, S> {
    body: Pin<&'a mut S>,
    deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S, B, E> Frames<'_, S>
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        poll_fn(|cx| match self.body.as_mut().poll_next(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                Poll::Ready(Ok(Some(frame.copy_to_bytes(frame.remaining()))))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Err(BodyError::Broken)),
            Poll::Ready(None) => Poll::Ready(Ok(None)),
            Poll::Pending => {
                let deadline = self.deadline;
                let timer = self
                    .timer
                    .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
                timer.as_mut().poll(cx).map(|()| Err(BodyError::Timeout))
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::task::Context;

    /// Gives the frames, then the end: a clean one, a fault, or silence.
    struct Sender(VecDeque<Bytes>, End);

    #[derive(Clone, Copy, PartialEq)]
    enum End {
        Clean,
        Fault,
        Silence,
    }

    impl Stream for Sender {
        type Item = Result<Bytes, ()>;
        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            match (self.0.pop_front(), self.1) {
                (Some(frame), _) => Poll::Ready(Some(Ok(frame))),
                (None, End::Clean) => Poll::Ready(None),
                (None, End::Fault) => Poll::Ready(Some(Err(()))),
                (None, End::Silence) => Poll::Pending,
            }
        }
    }

    const LIMITS: BodyLimits = BodyLimits {
        limit: 8,
        discard_limit: 8,
        deadline: Duration::from_secs(10),
    };

    async fn read(frames: &[&'static str], end: End) -> Result<Bytes, BodyError> {
        read_body(
            Sender(
                frames
                    .iter()
                    .map(|frame| Bytes::from_static(frame.as_bytes()))
                    .collect(),
                end,
            ),
            &LIMITS,
        )
        .await
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_up_to_the_limit_come_whole() {
        assert_eq!(read(&[], End::Clean).await.unwrap(), "");
        assert_eq!(read(&["12345678"], End::Clean).await.unwrap(), "12345678");
        assert_eq!(
            read(&["1234", "", "56", "78"], End::Clean).await.unwrap(),
            "12345678"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_frame_is_not_copied() {
        let frame = Bytes::from(vec![1, 2, 3]);
        let body = read_body(Sender([frame.clone()].into(), End::Clean), &LIMITS)
            .await
            .unwrap();
        assert_eq!(body.as_ptr(), frame.as_ptr());
    }

    #[tokio::test(start_paused = true)]
    async fn too_large_keeps_head_size_and_digest() {
        for (frames, end, kept, whole) in [
            (&["123456789"][..], End::Clean, "123456789", true),
            (&["12345678", "9"], End::Clean, "123456789", true),
            (&["1234", "5678", "9"], End::Clean, "123456789", true),
            (
                &["1234", "5678", "9abcdefg"],
                End::Clean,
                "123456789abcdefg",
                true,
            ),
            (
                &["1234", "5678", "9abcdefg", "h"],
                End::Clean,
                "123456789abcdefg",
                false,
            ),
            (&["123456789"], End::Fault, "123456789", false),
            (&["123456789"], End::Silence, "123456789", false),
        ] {
            let Err(BodyError::TooLarge {
                head,
                size,
                digest,
                complete,
            }) = read(frames, end).await
            else {
                panic!("{frames:?} was taken")
            };
            // Never more is kept than a body may have, or it would pass for a whole one.
            let beginning = &kept.as_bytes()[..kept.len().min(LIMITS.limit)];
            assert_eq!(
                (&head[..], size, complete),
                (beginning, kept.len() as u64, whole),
                "{frames:?}"
            );
            assert_eq!(digest, <[u8; 32]>::from(Sha256::digest(kept)), "{frames:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn head_of_a_large_body_is_cut() {
        let limits = BodyLimits {
            limit: 5000,
            discard_limit: 0,
            ..LIMITS
        };
        let frames = [Bytes::from(vec![b'a'; 3000]), Bytes::from(vec![b'b'; 3000])];
        let Err(BodyError::TooLarge { head, size, .. }) =
            read_body(Sender(frames.into(), End::Clean), &limits).await
        else {
            panic!("taken")
        };
        assert_eq!(
            (head.len(), size, head[2999], head[3000]),
            (4096, 6000, b'a', b'b')
        );
    }

    #[tokio::test(start_paused = true)]
    async fn deadline_and_fault_are_told_apart() {
        let start = Instant::now();
        assert!(matches!(
            read(&["1", "2"], End::Silence).await,
            Err(BodyError::Timeout)
        ));
        assert_eq!(start.elapsed().as_secs(), 10);
        assert!(matches!(
            read(&[], End::Fault).await,
            Err(BodyError::Broken)
        ));
        assert!(matches!(
            read(&["1"], End::Fault).await,
            Err(BodyError::Broken)
        ));
    }
}
