//! The control door: what local apps tell the daemon about their own calls to Waldo, and what the daemon hands to the
//! process that speaks to Waldo. It gives the query door's reads too, so that this process needs no other door.

mod backup;
mod facts;
mod file;
mod outbound;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use warp::reply::Response as Reply;
use warp::{Filter, Stream};

use super::errands::Errands;
use super::params::Params;
use super::reply::Problem;
use crate::door::{BodyError, BodyLimits, Peer, Routes, read_body};
use crate::store::Store;

/// Bytes of a body that an app may send here.
const MAX_BODY: usize = 64 * 1024;
/// Bytes of an answer of Waldo's, which may list many tags, and of a report, which may list many differences.
const MAX_LONG_BODY: usize = 1024 * 1024;

/// Questions that may wait for an errand or for the end of one at a time.
pub const MAX_WAITING: usize = 64;

/// What the control door needs.
#[derive(Debug)]
pub struct Control {
    /// Where facts go.
    pub store: Store,
    /// What is to be asked of Waldo.
    pub errands: Arc<Errands>,
    /// When an outcome is due where the app does not say.
    pub deadline: Duration,
    /// How long a body may take.
    pub body_timeout: Duration,
    /// Places for those who wait, see [`MAX_WAITING`].
    pub waiting: Semaphore,
    /// True when the daemon stops: nobody waits any longer.
    pub stop: tokio::sync::watch::Receiver<bool>,
}

/// What a path is asked with.
struct Asked {
    /// The id in the path, if it has one.
    id: String,
    params: Params,
    body: Bytes,
}

/// How a path may be asked.
#[derive(Clone, Copy)]
enum Takes {
    Get,
    Post(usize),
}

/// The routes of the door; what is not one of its own is looked for among the reads.
pub fn routes(control: Arc<Control>, reads: Routes) -> Routes {
    let v1 = || warp::path("v1");
    let id = || warp::path::param::<String>();
    let none = String::new;
    let end = warp::path::end;
    let body = Takes::Post(MAX_BODY);
    let long_body = Takes::Post(MAX_LONG_BODY);

    // The list of requests is read at the same path as it is added to.
    let no_read = warp::method()
        .and_then(|method| async move {
            match method {
                Method::GET | Method::HEAD => Err(warp::reject()),
                _ => Ok(()),
            }
        })
        .untuple_one();
    let requests = v1().and(warp::path("requests"));
    let register = requests.and(end()).and(no_read).map(none);
    let settle = requests.and(id()).and(warp::path("settle")).and(end());
    let flags = v1().and(warp::path("flags")).and(end()).map(none);
    let answers = v1().and(warp::path("answers")).and(end()).map(none);
    let told = route(&control, body, register, |control, asked| async move {
        control.register(&asked.body).await
    })
    .or(route(&control, body, settle, |control, asked| async move {
        control.settle(&asked.id, &asked.body).await
    }))
    .unify()
    .or(route(&control, body, flags, |control, asked| async move {
        control.flag(&asked.body).await
    }))
    .unify()
    .or(route(
        &control,
        long_body,
        answers,
        |control, asked| async move { control.answer(&asked.body).await },
    ))
    .unify()
    .boxed();

    let prune = v1().and(warp::path("prune")).and(end()).map(none);
    let customers = v1().and(warp::path("customers"));
    let erase = customers.and(id()).and(warp::path("erase")).and(end());
    let file = route(&control, body, prune, |control, asked| async move {
        control.prune(&asked.body).await
    })
    .or(route(&control, body, erase, |control, asked| async move {
        control.erase(asked).await
    }))
    .unify()
    .boxed();

    let in_resync = || v1().and(warp::path("resync"));
    let in_errands = || v1().and(warp::path("errands"));
    let resync = in_resync().and(end()).map(none);
    let standing = in_resync().and(id()).and(end());
    let errands = in_errands().and(end()).map(none);
    let report = in_errands().and(id()).and(end());
    let met = v1().and(warp::path("outbound")).and(end()).map(none);
    let outbound = route(&control, body, resync, |control, asked| async move {
        control.resync(&asked.body)
    })
    .or(route(
        &control,
        Takes::Get,
        standing,
        |control, asked| async move { control.standing(asked).await },
    ))
    .unify()
    .or(route(
        &control,
        body,
        errands,
        |control, asked| async move { control.next_errand(asked).await },
    ))
    .unify()
    .or(route(
        &control,
        long_body,
        report,
        |control, asked| async move { control.report(&asked) },
    ))
    .unify()
    .or(route(&control, body, met, |control, asked| async move {
        control.outbound(&asked)
    }))
    .unify()
    .boxed();
    let path = v1().and(warp::path("backup")).and(end()).map(none);
    let backup = route(&control, body, path, |control, asked| async move {
        control.backup(&asked.body).await
    });
    told.or(outbound)
        .unify()
        .or(backup)
        .unify()
        .or(file)
        .unify()
        .or(reads)
        .unify()
        .boxed()
}

fn route<P, H, F>(control: &Arc<Control>, takes: Takes, path: P, handler: H) -> Routes
where
    P: Filter<Extract = (String,), Error = warp::Rejection> + Clone + Send + Sync + 'static,
    H: Fn(Arc<Control>, Asked) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Reply, Problem>> + Send,
{
    let control = Arc::clone(control);
    let raw_query = warp::query::raw().or(warp::any().map(String::new)).unify();
    path.and(warp::method())
        .and(warp::path::full())
        .and(raw_query)
        .and(warp::ext::optional::<Peer>())
        .and(warp::body::stream())
        .then(
            move |id: String,
                  method: Method,
                  path: warp::path::FullPath,
                  query: String,
                  peer: Option<Peer>,
                  body| {
                let (control, handler) = (Arc::clone(&control), handler.clone());
                async move {
                    let result = async {
                        let body = match takes {
                            Takes::Get if method == Method::GET => Bytes::new(),
                            Takes::Get => return Err(Problem::method_not_allowed("GET")),
                            Takes::Post(limit) if method == Method::POST => {
                                control.read(body, limit).await?
                            }
                            Takes::Post(_) => return Err(Problem::method_not_allowed("POST")),
                        };
                        let asked = Asked {
                            id: percent_decode_str(&id).decode_utf8_lossy().into_owned(),
                            params: Params::parse(&query)?,
                            body,
                        };
                        handler(Arc::clone(&control), asked).await
                    };
                    let result = result.await;
                    note(&result, path.as_str(), peer.as_ref());
                    result.unwrap_or_else(Reply::from)
                }
            },
        )
        .boxed()
}

/// Notes in the log who asked for what. The process that asks for errands all the time is noted at a lower level.
fn note(result: &Result<Reply, Problem>, path: &str, peer: Option<&Peer>) {
    let status = match result {
        Ok(reply) => reply.status(),
        Err(problem) => problem.status(),
    };
    // The path's words are ours; an id may stand among them, and is not for the log.
    let mut words = path.split('/').filter(|word| !word.is_empty()).skip(1);
    let what = words.next().unwrap_or_default();
    let what = ["settle", "erase"]
        .into_iter()
        .find(|last| path.rsplit('/').next() == Some(last))
        .unwrap_or(what);
    let level = if matches!(what, "errands" | "outbound") {
        log::Level::Debug
    } else {
        log::Level::Info
    };
    match peer.and_then(|peer| peer.credentials) {
        Some(who) => {
            let pid = who
                .pid
                .map_or_else(|| "?".to_owned(), |pid| pid.to_string());
            log::log!(
                level,
                "control: {what} by uid {} gid {} pid {pid}: {status}",
                who.uid,
                who.gid
            );
        }
        None => log::log!(level, "control: {what}: {status}"),
    }
}

impl Control {
    async fn read<S, B>(&self, body: S, limit: usize) -> Result<Bytes, Problem>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf,
    {
        let limits = BodyLimits {
            limit,
            discard_limit: MAX_BODY as u64,
            deadline: self.body_timeout,
        };
        read_body(body, &limits).await.map_err(|error| match error {
            BodyError::TooLarge { .. } => Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload_too_large",
                format!("the body is larger than {limit} bytes"),
            ),
            BodyError::Timeout => Problem::request_timeout(),
            BodyError::Broken => bad("the body ended early").and_close(),
        })
    }
}

impl Control {
    /// Waits for something, but not past the stop of the daemon.
    async fn unless_stopped<T>(&self, waiting: impl Future<Output = T>) -> Result<T, Problem> {
        let mut stop = self.stop.clone();
        tokio::select! {
            done = waiting => Ok(done),
            _ = stop.wait_for(|stop| *stop) => Err(Problem::unavailable("stopping", "the daemon stops")),
        }
    }
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_request", detail)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| bad(format!("the body is not as expected: {error}")))
}
