//! The tasks of a sandbox: one lets time pass in the world, the others carry webhooks.
//!
//! Invariant: a webhook is sent once, whatever comes of it: Waldo's pages promise no second attempt.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Inner;
use super::post::{Fate, LANES};
use super::schedule::Moment;

/// For an answer to a webhook.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// An unused connection is closed after this, before its other end does it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Of an answer's body, which nobody reads.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

type Http = Client<HttpConnector, Full<Bytes>>;

pub(super) async fn run(inner: &Arc<Inner>, stop: watch::Receiver<bool>) {
    let http: Http = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(LANES)
        .build_http();
    let mut tasks = JoinSet::new();
    for lane in 0..LANES {
        tasks.spawn(carry(Arc::clone(inner), lane, http.clone(), stop.clone()));
    }
    tasks.spawn(pass_time(Arc::clone(inner), stop));
    while tasks.join_next().await.is_some() {}
}

/// Whether it ended because of the stop.
async fn or_stop(wait: impl Future<Output = ()>, stop: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        biased;
        // A sender that is gone will not say more.
        _ = stop.wait_for(|stop| *stop) => true,
        () = wait => false,
    }
}

async fn pass_time(inner: Arc<Inner>, mut stop: watch::Receiver<bool>) {
    loop {
        let next = {
            let mut world = inner.world();
            let next = world.advance(Moment::now());
            for lane in world.post.busy_lanes() {
                if let Some(lane) = inner.lanes.get(lane) {
                    lane.notify_one();
                }
            }
            if world.is_idle() {
                inner.settled.notify_waiters();
            }
            next
        };
        let wait = async {
            match next {
                Some(next) => tokio::select! {
                    () = tokio::time::sleep_until(next) => {}
                    () = inner.scheduled.notified() => {}
                },
                None => inner.scheduled.notified().await,
            }
        };
        if or_stop(wait, &mut stop).await {
            return;
        }
    }
}

async fn carry(inner: Arc<Inner>, lane: usize, http: Http, mut stop: watch::Receiver<bool>) {
    let Some(waiting) = inner.lanes.get(lane) else {
        return;
    };
    loop {
        if *stop.borrow() {
            return;
        }
        let next = inner.world().post.next_of(lane);
        let Some((number, body)) = next else {
            if or_stop(waiting.notified(), &mut stop).await {
                return;
            }
            continue;
        };
        let fate = send(&inner, &http, body).await;
        let mut world = inner.world();
        world.post.sent(number, fate, crate::clock::now());
        if world.is_idle() {
            inner.settled.notify_waiters();
        }
    }
}

async fn send(inner: &Inner, http: &Http, body: Bytes) -> Fate {
    let failed = |error: &str| Fate::Failed {
        error: error.to_owned(),
    };
    let Some(url) = &inner.options.webhook_url else {
        return failed("there is no URL");
    };
    let request = Request::builder()
        .method(Method::POST)
        .uri(url.uri())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body));
    let Ok(request) = request else {
        return failed("the request cannot be written");
    };
    let talk = async {
        let answer = http.request(request).await?;
        let status = answer.status().as_u16();
        // Read to its end, so that the connection can be used again.
        let _ = Limited::new(answer.into_body(), MAX_ANSWER_BYTES)
            .collect()
            .await;
        Ok::<_, hyper_util::client::legacy::Error>(status)
    };
    match tokio::time::timeout(SEND_TIMEOUT, talk).await {
        Ok(Ok(status)) => Fate::Delivered { status },
        Ok(Err(error)) if error.is_connect() => failed("nobody takes connections there"),
        Ok(Err(_)) => failed("the connection broke off"),
        Err(_) => failed("no answer in time"),
    }
}
