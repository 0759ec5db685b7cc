//! The query door: a read-only JSON API for apps on this machine.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_SECURITY_POLICY,
    HeaderName, HeaderValue, ORIGIN, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use warp::Filter;
use warp::path::FullPath;
use warp::reply::Response as Reply;

use super::auth::Secrets;
use super::errands::Errands;
use super::params::Params;
use super::paths::matched;
use super::reply::{Code, Problem};
use super::room::Room;
use super::{customers, feed, health, metrics, openapi, page, requests, stats, stream};
use crate::door::{Hosts, Peer, Routes};
use crate::metrics::Metrics;
use crate::store::Store;

/// How long a read waits for `minSeq` to become visible.
const MIN_SEQ_WITHIN: Duration = Duration::from_secs(5);

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// What the query door needs.
#[derive(Clone, Debug)]
pub struct Query {
    /// Where is read.
    pub store: Store,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Tokens that are asked for; `None` asks for none.
    pub tokens: Option<Secrets>,
    /// What requests may be for.
    pub hosts: Hosts,
    /// Web origins that may read.
    pub cors_origins: Vec<String>,
    /// How long past its deadline a request counts as expired.
    pub give_up_after: Duration,
    /// What is to be asked of Waldo, and by whom.
    pub errands: Arc<Errands>,
    /// How long requests may wait without any webhook before that is worth a warning.
    pub silence_after: Duration,
    /// Deliveries and bytes that may wait for the writer.
    pub queue_limits: (usize, u64),
    /// Room for large answers that are made and not taken yet.
    pub answer_room: Room,
    /// Room for large events on their way to readers of the stream.
    pub event_room: Room,
    /// True when the daemon stops: nobody waits for news any longer.
    pub stop: tokio::sync::watch::Receiver<bool>,
}

/// A request without its path.
pub(super) struct Asked {
    method: Method,
    pub(super) headers: HeaderMap,
    query: String,
    peer: Option<Peer>,
}

type Answer = BoxFuture<'static, Result<Reply, Problem>>;

/// A path of the door: its form, the query parameters that it takes beside `minSeq`, and what answers it.
pub(super) struct Path {
    pub(super) form: &'static str,
    pub(super) takes: &'static [&'static str],
    /// Whether it answers those who show no token, too: it has nothing of the store.
    pub(super) is_open: bool,
    answer: fn(Arc<Query>, String, Params, Asked) -> Answer,
}

macro_rules! paths {
    (open: $is_open:literal; $($form:literal [$($takes:literal),*] => $answer:path;)+) => {
        &[$(Path {
            form: $form,
            takes: &["minSeq", $($takes),*],
            is_open: $is_open,
            answer: |query, id, params, asked| Box::pin($answer(query, id, params, asked)),
        }),+]
    };
}

/// Everything that programs are served; the first form that fits answers. `openapi` describes the same list.
pub(super) const PATHS: &[Path] = paths! {
    open: false;
    "/v1/customers" ["status", "kyc", "flagged", "externalId", "evaluation", "updatedAfter", "sort", "order",
        "limit", "cursor"] => customers::list;
    "/v1/customers/{customerId}" ["asOf", "asOfSeq"] => customers::one;
    "/v1/customers/{customerId}/events" ["limit", "cursor"] => feed::of_customer;
    "/v1/events" ["after", "wait", "event", "origin", "disposition", "customerId", "requestId", "source", "order",
        "limit"] => feed::list;
    "/v1/events/stream" ["after", "event", "origin", "disposition", "customerId", "requestId", "source"]
        => stream::events;
    "/v1/events/{seq}" [] => feed::one;
    "/v1/events/{seq}/payload" [] => feed::payload;
    "/v1/requests" ["state", "overdue", "operation", "customerId", "order", "limit", "cursor"] => requests::list;
    "/v1/requests/{requestId}" [] => requests::one;
    "/v1/stats" [] => stats::stats;
    "/healthz" [] => health::healthz;
    "/readyz" [] => health::readyz;
    "/metrics" [] => metrics::answer;
    "/openapi.json" [] => openapi::of_query_door;
};

/// The page for people, which shows what the paths above give.
pub(super) const PAGE: &[Path] = paths! {
    open: true;
    "/" [] => page::file;
    "/page/{file}" [] => page::file;
};

/// Whether anything is served at a path.
pub(super) fn is_served(path: &str) -> bool {
    PATHS
        .iter()
        .chain(PAGE)
        .any(|known| matched(known.form, path).is_some())
}

/// The routes of the door.
pub fn routes(query: Arc<Query>) -> Routes {
    let raw_query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::path::full()
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(raw_query)
        .and(warp::ext::optional::<Peer>())
        .then(move |path: FullPath, method, headers, raw_query, peer| {
            let query = Arc::clone(&query);
            let asked = Asked {
                method,
                headers,
                query: raw_query,
                peer,
            };
            async move {
                let found = PATHS
                    .iter()
                    .chain(PAGE)
                    .find_map(|known| Some((known, matched(known.form, path.as_str())?)));
                query.answer(found, asked).await
            }
        })
        .boxed()
}

impl Query {
    /// The same for readers whom the mode of a socket has let in already.
    #[must_use]
    pub fn for_group(&self) -> Self {
        Self {
            tokens: None,
            ..self.clone()
        }
    }

    async fn answer(self: Arc<Self>, found: Option<(&Path, &str)>, asked: Asked) -> Reply {
        let allowed_origin = self.allowed_origin(&asked.headers);
        let result = match self.guard(found, &asked).await {
            Ok((path, id, params)) => {
                let made = (path.answer)(Arc::clone(&self), id, params, asked).await;
                match made {
                    // What the page is made of is in the program anyway.
                    Ok(reply) if !path.is_open => self.answer_room.hold(reply).await,
                    made => made,
                }
            }
            Err(problem) => Err(problem),
        };
        let mut reply = result.unwrap_or_else(Reply::from);
        let headers = reply.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(
            CROSS_ORIGIN_RESOURCE_POLICY,
            HeaderValue::from_static("same-origin"),
        );
        // Whoever opens an answer in a browser, a payload say, sees it and runs nothing.
        headers
            .entry(CONTENT_SECURITY_POLICY)
            .or_insert(HeaderValue::from_static(
                "default-src 'none'; frame-ancestors 'none'",
            ));
        if !self.cors_origins.is_empty() {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = allowed_origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(
                ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static("ETag, Waldo-Syncd-Seq"),
            );
        }
        reply
    }

    /// What holds for every path: for whom, by what method, with which token, seen from when.
    async fn guard<'a>(
        &self,
        found: Option<(&'a Path, &str)>,
        asked: &Asked,
    ) -> Result<(&'a Path, String, Params), Problem> {
        let over_tcp = asked
            .peer
            .as_ref()
            .is_none_or(|peer| peer.address.is_some());
        if over_tcp && !self.hosts.include(&asked.headers, asked.peer.as_ref()) {
            return Err(Problem::new(
                Code::MisdirectedRequest,
                "this door answers for localhost; add other names to [query] hosts",
            ));
        }
        if asked.method != Method::GET && asked.method != Method::HEAD {
            return Err(Problem::method_not_allowed("GET, HEAD"));
        }
        let is_open = found.is_some_and(|(path, _)| path.is_open);
        let refuses = |tokens: &Secrets| !tokens.admit_header(&asked.headers);
        if !is_open && self.tokens.as_ref().is_some_and(refuses) {
            return Err(Problem::unauthorized());
        }
        let (path, id) = found.ok_or_else(|| Problem::not_found("there is no such path"))?;
        let id = percent_decode_str(id)
            .decode_utf8()
            .map_err(|_| Problem::not_found("the id in the path is not UTF-8"))?
            .into_owned();
        let mut params = Params::parse(&asked.query, path.takes)?;
        if let Some(seq) = params.seq("minSeq")? {
            self.store.wait_projected(seq, MIN_SEQ_WITHIN).await?;
        }
        Ok((path, id, params))
    }

    fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        let known = self
            .cors_origins
            .iter()
            .any(|known| known.as_bytes() == origin.as_bytes());
        known.then(|| origin.clone())
    }

    pub(super) fn give_up_after_ms(&self) -> i64 {
        i64::try_from(self.give_up_after.as_millis()).unwrap_or(i64::MAX)
    }
}
