//! Bodies on their way: each wait for one has a limit, and none is held but up to a limit.

use std::error::Error;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

use super::upstream::CallError;

/// Anything that went wrong with a body.
pub type BoxError = Box<dyn Error + Send + Sync>;
/// A body on its way.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// How far a request's body has come.
#[derive(Debug)]
pub(super) struct Progress {
    since: Instant,
    /// When something of it was last taken, its end included, in ms.
    last_ms: AtomicU64,
    /// Whoever sends it has failed.
    pub(super) broken: AtomicBool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            last_ms: AtomicU64::new(0),
            broken: AtomicBool::new(false),
        }
    }

    fn touch(&self) {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.since + Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }
}

/// Waits for the answer's head as long as the request's body comes on, and so long after its end.
pub(super) async fn patiently<T>(
    progress: &Progress,
    limit: Duration,
    answer: impl Future<Output = T>,
) -> Option<T> {
    let mut answer = pin!(answer);
    loop {
        let until = progress.last() + limit;
        tokio::select! {
            biased;
            answer = &mut answer => return Some(answer),
            () = sleep_until(until) => {
                if progress.last() + limit <= Instant::now() {
                    return None;
                }
            }
        }
    }
}

/// A request's body that tells how far it has come.
pub(super) struct Upload {
    pub(super) body: Body,
    pub(super) progress: Arc<Progress>,
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Err(_))) => this.progress.broken.store(true, Ordering::Relaxed),
            Poll::Ready(_) => this.progress.touch(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The answer's body did not come on.
#[derive(Debug, thiserror::Error)]
#[error("Waldo's answer stopped in the middle")]
pub struct Stalled;

/// An answer's body that may not stand still for long.
pub(super) struct Paced<B> {
    body: B,
    idle: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> Paced<B> {
    pub(super) const fn new(body: B, idle: Duration) -> Self {
        Self {
            body,
            idle,
            timer: None,
        }
    }
}

impl<B> HttpBody for Paced<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.timer = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let idle = this.idle;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(idle)));
        timer.as_mut().poll(cx).map(|()| Some(Err(Stalled.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body that was read up to a limit.
pub enum Held {
    /// All of it.
    Whole(Bytes),
    /// It is larger; this has what was read, and goes on with the rest.
    Larger(Body),
}

/// For all of a body that is held. A login holds up every call, and Waldo could feed it a byte a minute.
const HELD_WITHIN: Duration = Duration::from_secs(300);

/// Reads a body, up to a limit.
///
/// # Errors
/// When it broke off, stood still, or did not end in time.
pub async fn hold(body: Body, limit: usize) -> Result<Held, CallError> {
    timeout(HELD_WITHIN, read(body, limit))
        .await
        .unwrap_or(Err(CallError::TooSlow))
}

async fn read(mut body: Body, limit: usize) -> Result<Held, CallError> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            if error.is::<Stalled>() {
                CallError::TooSlow
            } else {
                CallError::Unreachable("its answer broke off".to_owned())
            }
        })?;
        if let Ok(data) = frame.into_data() {
            read.extend_from_slice(&data);
        }
        if read.len() > limit {
            let first = Some(read.freeze());
            return Ok(Held::Larger(Resumed { first, rest: body }.boxed_unsync()));
        }
    }
    Ok(Held::Whole(read.freeze()))
}

/// A body that is at hand.
#[must_use]
pub fn whole(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// The beginning of a body, then the rest of it.
struct Resumed {
    first: Option<Bytes>,
    rest: Body,
}

impl HttpBody for Resumed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match this.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None => Pin::new(&mut this.rest).poll_frame(cx),
        }
    }
}
#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::super::upstream::{BODY_IDLE, HEAD_WITHIN};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slow_upload_is_not_cut_and_the_answer_has_its_time_after_it() {
        let progress = Arc::new(Progress::new());
        let started = Instant::now();
        let upload = Arc::clone(&progress);
        tokio::spawn(async move {
            for _ in 0..10 {
                sleep(Duration::from_secs(50)).await;
                upload.touch();
            }
        });
        let answer = async {
            sleep(Duration::from_secs(555)).await;
            "answer"
        };
        assert_eq!(
            patiently(&progress, HEAD_WITHIN, answer).await,
            Some("answer")
        );
        assert_eq!(started.elapsed().as_secs(), 555);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_begin_is_given_up_a_minute_after_the_request() {
        let progress = Arc::new(Progress::new());
        let started = Instant::now();
        let upload = Arc::clone(&progress);
        tokio::spawn(async move {
            sleep(Duration::from_secs(30)).await;
            upload.touch();
        });
        let silence = std::future::pending::<()>();
        assert_eq!(patiently(&progress, HEAD_WITHIN, silence).await, None);
        assert_eq!(started.elapsed().as_secs(), 90);
    }

    /// A body of frames, each with the time before it.
    struct Frames(VecDeque<Pin<Box<Sleep>>>);

    impl HttpBody for Frames {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            let Some(next) = self.0.front_mut() else {
                return Poll::Ready(None);
            };
            std::task::ready!(next.as_mut().poll(cx));
            self.0.pop_front();
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    fn frames(at_seconds: &[u64]) -> Body {
        let start = Instant::now();
        let frames = at_seconds
            .iter()
            .map(|at| Box::pin(sleep_until(start + Duration::from_secs(*at))))
            .collect();
        Paced::new(Frames(frames), BODY_IDLE).boxed_unsync()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_be_long_but_not_stand_still() {
        let held = hold(frames(&[50, 100, 150]), 100).await.unwrap();
        assert!(matches!(held, Held::Whole(bytes) if bytes == "xxx"));
        let started = Instant::now();
        let held = hold(frames(&[50, 150]), 100).await;
        assert!(matches!(held, Err(CallError::TooSlow)));
        assert_eq!(started.elapsed().as_secs(), 110);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_trickles_is_not_held_for_ever() {
        let started = Instant::now();
        let every_50_s: Vec<u64> = (1..100).map(|frame| frame * 50).collect();
        let held = hold(frames(&every_50_s), 100).await;
        assert!(matches!(held, Err(CallError::TooSlow)));
        assert_eq!(started.elapsed(), HELD_WITHIN);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_larger_than_the_limit_goes_on_whole() {
        let held = hold(frames(&[1, 2, 3, 4]), 2).await.unwrap();
        let Held::Larger(body) = held else {
            panic!("it was taken for whole")
        };
        assert_eq!(body.collect().await.unwrap().to_bytes(), "xxxx");
    }
}
