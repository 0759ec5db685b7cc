//! The ingest door: takes Waldo's webhooks.
//!
//! Invariant: `200` means that the event is on the disk. What a body says has no part in its answer; who sent it has.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::percent_decode_str;
use warp::reply::Response as Reply;
use warp::{Filter, Stream};

use super::auth::{Secrets, Senders, Signature};
use super::reply::{Code, Problem, json_bytes};
use crate::domain::{Digest, Seq, Source};
use crate::door::{BodyError, BodyLimits, Peer, Routes, read_body};
use crate::metrics::{IngestAnswer, Metrics};
use crate::store::{Delivery, Store};
use crate::words::counted;

/// How long an answer waits for the disk. After it the delivery is refused, though it may yet be kept.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(15);
/// How much of a refused sender's body is read away so that it reads the refusal and not a reset.
const POLITE_BYTES: usize = 64 * 1024;
/// At most one log line about refused senders in this time.
const REFUSALS_LOGGED_EVERY_MS: i64 = 10_000;

/// What the ingest door needs.
#[derive(Debug)]
pub struct Ingest {
    /// Where deliveries go.
    pub store: Store,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Who may post, by secret.
    pub secrets: Secrets,
    /// Who may post, by signature; `None` asks for none.
    pub signature: Option<Signature>,
    /// Who may post, by address.
    pub senders: Senders,
    /// What one body may cost.
    pub body: BodyLimits,
    /// When refusals were last logged, and what has been refused since.
    pub refusals: Refusals,
}

/// Keeps a flood of refused senders from flooding the log.
#[derive(Debug, Default)]
pub struct Refusals {
    logged_at_ms: AtomicI64,
    unlogged: AtomicI64,
}

/// How a sender shows that it knows the secret.
enum Form {
    /// In the path.
    Path(String),
    /// In `Authorization`.
    Header,
}

/// The routes of the door.
pub fn routes(ingest: Arc<Ingest>) -> Routes {
    let in_path = warp::path!("webhooks" / "waldo" / String).map(Form::Path);
    let in_header = warp::path!("webhooks" / "waldo").map(|| Form::Header);
    let take = in_path
        .or(in_header)
        .unify()
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Peer>())
        .and(warp::body::stream())
        .then(move |form, method, headers, peer, body| {
            let ingest = Arc::clone(&ingest);
            async move { ingest.answer(form, &method, &headers, peer, body).await }
        });
    // No later route may answer for one that refused: whatever matched above has answered already.
    let nothing = warp::any().map(|| Reply::from(Problem::not_found("there is nothing here")));
    take.or(nothing).unify().boxed()
}

impl Ingest {
    async fn answer<S, B>(
        &self,
        form: Form,
        method: &Method,
        headers: &HeaderMap,
        peer: Option<Peer>,
        body: S,
    ) -> Reply
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf,
    {
        let began = Instant::now();
        let result = self.take(form, method, headers, peer, body).await;
        let status = match &result {
            Ok(_) => StatusCode::OK,
            Err(problem) => problem.status(),
        };
        self.metrics
            .ingest_answers
            .get_or_create(&IngestAnswer {
                status: status.as_u16(),
            })
            .inc();
        match result {
            Ok(seq) => {
                self.metrics
                    .acknowledgement_seconds
                    .observe(began.elapsed().as_secs_f64());
                json_bytes(StatusCode::OK, &serde_json::json!({ "seq": seq }))
            }
            Err(problem) => problem.into(),
        }
    }

    async fn take<S, B>(
        &self,
        form: Form,
        method: &Method,
        headers: &HeaderMap,
        peer: Option<Peer>,
        body: S,
    ) -> Result<Seq, Problem>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf,
    {
        if method != Method::POST {
            return Err(Problem::method_not_allowed("POST"));
        }
        let address = peer
            .and_then(|peer| peer.address)
            .map(|address| address.ip());
        let admitted = match &form {
            Form::Path(secret) => {
                let secret: Vec<u8> = percent_decode_str(secret).collect();
                self.secrets.admit(&secret)
            }
            Form::Header => self.secrets.admit_header(headers),
        };
        if !admitted || !self.senders.allow(address, headers) {
            return Err(self.refuse(&form, address, body).await);
        }
        match read_body(body, &self.body).await {
            Ok(body) => {
                // A body in one frame is a view into the connection's buffer; in the queue it would hold all of that.
                let body = Bytes::copy_from_slice(&body);
                if self
                    .signature
                    .as_ref()
                    .is_some_and(|signature| !signature.verify(headers, &body))
                {
                    return Err(self.refused(&form, address));
                }
                self.keep(Delivery::whole(Source::Webhook, body)).await
            }
            Err(BodyError::TooLarge {
                head, size, digest, ..
            }) => {
                let limit = self.body.limit;
                // A signature over a body that was not read to its end cannot be checked: nothing is kept then.
                if self.signature.is_none() {
                    let digest = Digest(digest);
                    self.keep(Delivery {
                        source: Source::Webhook,
                        body: head,
                        size,
                        digest,
                    })
                    .await?;
                }
                Err(Problem::new(
                    Code::PayloadTooLarge,
                    format!("the body is larger than {limit} bytes"),
                ))
            }
            Err(BodyError::Timeout) => Err(Problem::request_timeout()),
            Err(BodyError::Broken) => {
                Err(Problem::new(Code::BadRequest, "the body ended early").and_close())
            }
        }
    }

    async fn keep(&self, delivery: Delivery) -> Result<Seq, Problem> {
        match tokio::time::timeout(ACKNOWLEDGE_WITHIN, self.store.append(delivery)).await {
            Ok(result) => result.map_err(Problem::from),
            Err(_) => Err(Problem::new(
                Code::Unavailable,
                "the disk did not take the event in time",
            )),
        }
    }

    /// Refuses a sender, after reading a little of what it has to say.
    async fn refuse<S, B>(&self, form: &Form, address: Option<IpAddr>, body: S) -> Problem
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf,
    {
        let polite = BodyLimits {
            limit: POLITE_BYTES,
            discard_limit: 0,
            deadline: self.body.deadline,
        };
        let _: Result<Bytes, BodyError> = read_body(body, &polite).await;
        self.refused(form, address)
    }

    fn refused(&self, form: &Form, address: Option<IpAddr>) -> Problem {
        self.refusals.note(address, &self.metrics);
        match form {
            Form::Path(_) => Problem::not_found("there is nothing here"),
            Form::Header => Problem::unauthorized(),
        }
    }
}

impl Refusals {
    fn note(&self, address: Option<IpAddr>, metrics: &Metrics) {
        let unlogged = self.unlogged.fetch_add(1, Ordering::Relaxed) + 1;
        let now = crate::clock::now().0;
        let logged_at = self.logged_at_ms.load(Ordering::Relaxed);
        let due =
            now.saturating_sub(logged_at).unsigned_abs() >= REFUSALS_LOGGED_EVERY_MS.unsigned_abs();
        let mine = due
            && self
                .logged_at_ms
                .compare_exchange(logged_at, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if mine {
            self.unlogged.fetch_sub(unlogged, Ordering::Relaxed);
            let peer = address.map_or_else(
                || "a local process".to_owned(),
                |address| address.to_string(),
            );
            log::warn!(
                "ingest: refused {} without a valid secret, signature or sender, the last from {peer}",
                counted(unlogged.unsigned_abs(), "delivery", "deliveries")
            );
        } else {
            metrics.unlogged_refusals.inc();
        }
    }
}
