//! The query door: a read-only JSON API for apps on this machine.

use std::sync::Arc;
use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, AUTHORIZATION, HeaderName,
    HeaderValue, ORIGIN, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::percent_decode_str;
use warp::Filter;
use warp::reply::Response as Reply;

use super::auth::Secrets;
use super::errands::Errands;
use super::params::Params;
use super::reply::Problem;
use super::{customers, feed, health, requests, stream};
use crate::domain::Seq;
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

/// The routes of the door.
pub fn routes(query: Arc<Query>) -> Routes {
    let v1 = || warp::path("v1");
    let id = || warp::path::param::<String>();
    let end = warp::path::end;
    let none = String::new;
    let in_customers = || v1().and(warp::path("customers"));
    let in_events = || v1().and(warp::path("events"));
    let in_requests = || v1().and(warp::path("requests"));
    let customers = route(&query, in_customers().and(end()).map(none), customers::list)
        .or(route(
            &query,
            in_customers().and(id()).and(end()),
            customers::one,
        ))
        .unify()
        .or(route(
            &query,
            in_customers()
                .and(id())
                .and(warp::path("events"))
                .and(end()),
            feed::of_customer,
        ))
        .unify()
        .boxed();
    let events = route(&query, in_events().and(end()).map(none), feed::list)
        .or(route(
            &query,
            in_events().and(warp::path("stream")).and(end()).map(none),
            stream::events,
        ))
        .unify()
        .or(route(&query, in_events().and(id()).and(end()), feed::one))
        .unify()
        .or(route(
            &query,
            in_events().and(id()).and(warp::path("payload")).and(end()),
            feed::payload,
        ))
        .unify()
        .boxed();
    let requests = route(&query, in_requests().and(end()).map(none), requests::list)
        .or(route(
            &query,
            in_requests().and(id()).and(end()),
            requests::one,
        ))
        .unify()
        .boxed();
    let itself = route(
        &query,
        v1().and(warp::path("stats")).and(end()).map(none),
        health::stats,
    )
    .or(route(
        &query,
        warp::path("healthz").and(end()).map(none),
        health::healthz,
    ))
    .unify()
    .or(route(
        &query,
        warp::path("readyz").and(end()).map(none),
        health::readyz,
    ))
    .unify()
    .or(route(
        &query,
        warp::path("metrics").and(end()).map(none),
        health::metrics,
    ))
    .unify()
    .boxed();
    // Every route above answers what it matches; this one has all other paths.
    let nothing = route(&query, warp::any().map(none).boxed(), |_, _, _, _| async {
        Err(Problem::not_found("there is no such path"))
    });
    customers
        .or(events)
        .unify()
        .or(requests)
        .unify()
        .or(itself)
        .unify()
        .or(nothing)
        .unify()
        .boxed()
}

/// A path and what answers it, behind the door's guard.
fn route<P, H, F>(query: &Arc<Query>, path: P, handler: H) -> Routes
where
    P: Filter<Extract = (String,), Error = warp::Rejection> + Clone + Send + Sync + 'static,
    H: Fn(Arc<Query>, String, Params, Asked) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Reply, Problem>> + Send,
{
    let query = Arc::clone(query);
    let raw_query = warp::query::raw().or(warp::any().map(String::new)).unify();
    path.and(warp::method())
        .and(warp::header::headers_cloned())
        .and(raw_query)
        .and(warp::ext::optional::<Peer>())
        .then(move |id: String, method, headers, raw_query, peer| {
            let (query, handler) = (Arc::clone(&query), handler.clone());
            let asked = Asked {
                method,
                headers,
                query: raw_query,
                peer,
            };
            async move { query.answer(id, asked, handler).await }
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

    async fn answer<H, F>(self: Arc<Self>, id: String, asked: Asked, handler: H) -> Reply
    where
        H: Fn(Arc<Self>, String, Params, Asked) -> F,
        F: Future<Output = Result<Reply, Problem>>,
    {
        let allowed_origin = self.allowed_origin(&asked.headers);
        let result = match self.guard(&id, &asked).await {
            Ok((id, params)) => handler(Arc::clone(&self), id, params, asked).await,
            Err(problem) => Err(problem),
        };
        let mut reply = result.unwrap_or_else(Reply::from);
        let headers = reply.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(
            CROSS_ORIGIN_RESOURCE_POLICY,
            HeaderValue::from_static("same-origin"),
        );
        if !self.cors_origins.is_empty() {
            headers.insert(VARY, HeaderValue::from_static("Origin"));
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
    async fn guard(&self, id: &str, asked: &Asked) -> Result<(String, Params), Problem> {
        let over_tcp = asked
            .peer
            .as_ref()
            .is_none_or(|peer| peer.address.is_some());
        if over_tcp && !self.hosts.include(&asked.headers) {
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "misdirected_request",
                "this door answers for localhost; add other names to [query] hosts",
            ));
        }
        if asked.method != Method::GET && asked.method != Method::HEAD {
            return Err(Problem::method_not_allowed("GET, HEAD"));
        }
        if self.tokens.as_ref().is_some_and(|tokens| {
            !asked.headers.contains_key(AUTHORIZATION) || !tokens.admit_header(&asked.headers)
        }) {
            return Err(Problem::unauthorized());
        }
        let id = percent_decode_str(id)
            .decode_utf8()
            .map_err(|_| Problem::not_found("the id in the path is not UTF-8"))?
            .into_owned();
        let mut params = Params::parse(&asked.query)?;
        if let Some(seq) = params.value("minSeq")? {
            self.store.wait_projected(Seq(seq), MIN_SEQ_WITHIN).await?;
        }
        Ok((id, params))
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
