//! The control door: what local apps tell the daemon about their own calls to Waldo, and what the daemon hands to the
//! process that speaks to Waldo. It gives the query door's reads too, so that this process needs no other door.

mod backup;
mod facts;
mod file;
mod outbound;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::future::BoxFuture;
use http::Method;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use warp::path::FullPath;
use warp::reply::Response as Reply;
use warp::{Filter, Stream};

use super::errands::Errands;
use super::params::Params;
use super::paths::matched;
use super::reply::{Code, Problem};
use super::{openapi, query};
use crate::door::{BodyError, BodyLimits, Peer, Routes, read_body};
use crate::store::Store;

#[cfg(test)]
pub(super) use backup::BackupBody;
#[cfg(test)]
pub(super) use facts::{AnswerBody, FlagBody, Kept, RegisterBody, SettleBody};
#[cfg(test)]
pub(super) use file::{Empty, PruneBody, PrunedView};
#[cfg(test)]
pub(super) use outbound::{ErrandsBody, Given, MAX_WAIT_SECONDS};

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
pub(super) enum Takes {
    /// By `GET` and `HEAD`, with these query parameters.
    Get(&'static [&'static str]),
    /// By `POST`, with a body of at most so many bytes.
    Post(usize),
}

type Answer = BoxFuture<'static, Result<Reply, Problem>>;

/// A path of the door: its form, how it may be asked, and what answers it.
pub(super) struct Path {
    pub(super) form: &'static str,
    pub(super) takes: Takes,
    answer: fn(Arc<Control>, Asked) -> Answer,
}

macro_rules! paths {
    ($($form:literal $takes:expr => |$control:ident, $asked:ident| $answer:expr;)+) => {
        &[$(Path {
            form: $form,
            takes: $takes,
            answer: |$control, $asked| Box::pin(async move { $answer }),
        }),+]
    };
}

/// What is served beside the reads of the query door. `openapi` describes the same list.
pub(super) const PATHS: &[Path] = paths! {
    "/v1/requests" Takes::Post(MAX_BODY) => |control, asked| control.register(&asked.body).await;
    "/v1/requests/{requestId}/settle" Takes::Post(MAX_BODY)
        => |control, asked| control.settle(&asked.id, &asked.body).await;
    "/v1/flags" Takes::Post(MAX_BODY) => |control, asked| control.flag(&asked.body).await;
    "/v1/answers" Takes::Post(MAX_LONG_BODY) => |control, asked| control.answer(&asked.body).await;
    "/v1/resync" Takes::Post(MAX_BODY) => |control, asked| control.resync(&asked.body);
    "/v1/resync/{id}" Takes::Get(&["wait"]) => |control, asked| control.standing(asked).await;
    "/v1/outbound" Takes::Post(MAX_BODY) => |control, asked| control.outbound(&asked);
    "/v1/errands" Takes::Post(MAX_BODY) => |control, asked| control.next_errand(asked).await;
    "/v1/errands/{id}" Takes::Post(MAX_LONG_BODY) => |control, asked| control.report(&asked);
    "/v1/backup" Takes::Post(MAX_BODY) => |control, asked| control.backup(&asked.body).await;
    "/v1/prune" Takes::Post(MAX_BODY) => |control, asked| control.prune(&asked.body).await;
    "/openapi.json" Takes::Get(&[]) => |_control, _asked| Ok(openapi::of_door(openapi::CONTROL_DOOR));
    "/v1/customers/{customerId}/erase" Takes::Post(MAX_BODY) => |control, asked| control.erase(asked).await;
};

/// The routes of the door; what is not one of its own is looked for among the reads.
pub fn routes(control: Arc<Control>, reads: Routes) -> Routes {
    let raw_query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::path::full()
        .and(warp::method())
        .and_then(|path: FullPath, method: Method| async move {
            let found = PATHS.iter().find_map(|known| {
                let id = matched(known.form, path.as_str())?;
                Some((known, id.to_owned()))
            });
            match found {
                Some((known, id)) if !(known.is_read_too() && is_read(&method)) => {
                    Ok((known, id, path, method))
                }
                _ => Err(warp::reject()),
            }
        })
        .untuple_one()
        .and(raw_query)
        .and(warp::ext::optional::<Peer>())
        .and(warp::body::stream())
        .then(
            move |known: &'static Path,
                  id: String,
                  path: FullPath,
                  method: Method,
                  query: String,
                  peer: Option<Peer>,
                  body| {
                let control = Arc::clone(&control);
                async move {
                    let result = async {
                        let asked = control.take(known, &id, &method, &query, body).await?;
                        (known.answer)(control, asked).await
                    };
                    let result = result.await;
                    note(&result, path.as_str(), peer.as_ref());
                    result.unwrap_or_else(Reply::from)
                }
            },
        )
        .or(nowhere())
        .unify()
        .or(reads)
        .unify()
        .boxed()
}

/// Answers what would change something at a path of neither door: the reads know other methods as not allowed only.
fn nowhere() -> Routes {
    warp::path::full()
        .and(warp::method())
        .and_then(|path: FullPath, method: Method| async move {
            if is_read(&method) || query::is_served(path.as_str()) {
                return Err(warp::reject());
            }
            Ok(Reply::from(Problem::not_found("there is no such path")))
        })
        .boxed()
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

impl Path {
    /// Whether what is added to by this path is read at the same one.
    fn is_read_too(&self) -> bool {
        matches!(self.takes, Takes::Post(_))
            && query::PATHS.iter().any(|read| read.form == self.form)
    }

    /// The methods that the path takes, as `Allow` has them.
    fn allows(&self) -> &'static str {
        match self.takes {
            Takes::Get(_) => "GET, HEAD",
            Takes::Post(_) if self.is_read_too() => "GET, HEAD, POST",
            Takes::Post(_) => "POST",
        }
    }
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
    async fn take<S, B>(
        &self,
        path: &Path,
        id: &str,
        method: &Method,
        query: &str,
        body: S,
    ) -> Result<Asked, Problem>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf,
    {
        let (params, body) = match path.takes {
            Takes::Get(takes) if is_read(method) => (Params::parse(query, takes)?, Bytes::new()),
            Takes::Post(limit) if method == Method::POST => {
                (Params::parse(query, &[])?, self.read(body, limit).await?)
            }
            _ => return Err(Problem::method_not_allowed(path.allows())),
        };
        let id = percent_decode_str(id).decode_utf8_lossy().into_owned();
        Ok(Asked { id, params, body })
    }

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
                Code::PayloadTooLarge,
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
            _ = stop.wait_for(|stop| *stop) => Err(Problem::new(Code::Stopping, "the daemon stops")),
        }
    }
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Code::BadRequest, detail)
}

/// Reads a body. An array would do for serde where its items stand in the order of our structs; it does not here.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(bad("the body is not a JSON object"));
    }
    serde_json::from_slice(body)
        .map_err(|error| bad(format!("the body is not as expected: {error}")))
}
