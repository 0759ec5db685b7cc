//! The query door: a read-only JSON API for apps on this machine.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, AUTHORIZATION, ETAG, HOST,
    HeaderName, HeaderValue, ORIGIN, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response as Reply;

use super::auth::Secrets;
use super::door::Peer;
use super::feed;
use super::params::{Params, cursor};
use super::reply::{self, Listing, Problem, SEQ_HEADER, none_match};
use crate::clock::now;
use crate::domain::{Operation, Seq, State, Timestamp};
use crate::metrics::Metrics;
use crate::store::{
    AsOf, At, CustomerFilter, CustomerSort, Order, Page, RequestFilter, RequestRow, Stats,
    StatsBucket, Store,
};

/// How long a read waits for `minSeq` to become visible.
const MIN_SEQ_WITHIN: Duration = Duration::from_secs(5);
/// How long `/readyz` waits for a sign of life from the writer.
const CHECKUP_WITHIN: Duration = Duration::from_secs(2);
/// Words that a count is split into; names of events come from outside and may be many.
const MAX_WORDS: usize = 100;
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// What the query door needs.
#[derive(Debug)]
pub struct Query {
    /// Where is read.
    pub store: Store,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Tokens that are asked for; `None` asks for none.
    pub tokens: Option<Secrets>,
    /// Host names beside the loopback ones that requests may be for.
    pub hosts: Vec<String>,
    /// The address that the door listens on.
    pub address: Option<IpAddr>,
    /// Web origins that may read.
    pub cors_origins: Vec<String>,
    /// How long past its deadline a request counts as expired.
    pub give_up_after: Duration,
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
pub fn routes(query: Arc<Query>) -> BoxedFilter<(Reply,)> {
    let v1 = || warp::path("v1");
    let customers = v1().and(warp::path("customers"));
    let customers_list = route(
        &query,
        customers.and(warp::path::end()).map(String::new),
        customers_list,
    );
    let customer = route(
        &query,
        customers.and(warp::path::param()).and(warp::path::end()),
        customer,
    );
    let customer_events = customers
        .and(warp::path::param())
        .and(warp::path("events"))
        .and(warp::path::end());
    let customer_events = route(&query, customer_events, feed::of_customer);
    let events = v1().and(warp::path("events"));
    let events_list = route(
        &query,
        events.and(warp::path::end()).map(String::new),
        feed::list,
    );
    let event = route(
        &query,
        events.and(warp::path::param()).and(warp::path::end()),
        feed::one,
    );
    let payload = events
        .and(warp::path::param())
        .and(warp::path("payload"))
        .and(warp::path::end());
    let payload = route(&query, payload, feed::payload);
    let requests = v1().and(warp::path("requests"));
    let requests_list = route(
        &query,
        requests.and(warp::path::end()).map(String::new),
        requests_list,
    );
    let request = route(
        &query,
        requests.and(warp::path::param()).and(warp::path::end()),
        request,
    );
    let fixed = |path: &'static str| warp::path(path).and(warp::path::end()).map(String::new);
    let stats = v1().and(fixed("stats"));
    let stats = route(&query, stats, stats_of);
    let healthz = route(&query, fixed("healthz"), healthz);
    let readyz = route(&query, fixed("readyz"), readyz);
    let metrics = route(&query, fixed("metrics"), metrics_text);
    // Every route above answers what it matches; this one has all other paths.
    let nothing = route(
        &query,
        warp::any().map(String::new).boxed(),
        |_, _, _, _| async { Err(Problem::not_found("there is no such path")) },
    );
    let lists = customers_list
        .or(customer)
        .unify()
        .or(customer_events)
        .unify()
        .boxed();
    let lists = lists
        .or(events_list)
        .unify()
        .or(event)
        .unify()
        .or(payload)
        .unify()
        .boxed();
    let lists = lists.or(requests_list).unify().or(request).unify().boxed();
    let rest = stats
        .or(healthz)
        .unify()
        .or(readyz)
        .unify()
        .or(metrics)
        .unify()
        .boxed();
    lists.or(rest).unify().or(nothing).unify().boxed()
}

/// A path and what answers it, behind the door's guard.
fn route<P, H, F>(query: &Arc<Query>, path: P, handler: H) -> BoxedFilter<(Reply,)>
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
        if over_tcp && !self.is_for_us(&asked.headers) {
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

    /// A web page that had its own name pointed at this machine still asks for its own name.
    fn is_for_us(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
            return false;
        };
        let name = match host.rsplit_once(':') {
            Some((name, port))
                if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() =>
            {
                name
            }
            _ => host,
        };
        let bare = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
            .unwrap_or(name);
        let literal = bare.parse::<IpAddr>().ok();
        name.eq_ignore_ascii_case("localhost")
            || literal.is_some_and(|address| address.is_loopback() || Some(address) == self.address)
            || self
                .hosts
                .iter()
                .any(|known| known.eq_ignore_ascii_case(bare))
    }

    fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        let known = self
            .cors_origins
            .iter()
            .any(|known| known.as_bytes() == origin.as_bytes());
        known.then(|| origin.clone())
    }

    fn give_up_after_ms(&self) -> i64 {
        i64::try_from(self.give_up_after.as_millis()).unwrap_or(i64::MAX)
    }
}

async fn customers_list(
    query: Arc<Query>,
    _: String,
    mut params: Params,
    _: Asked,
) -> Result<Reply, Problem> {
    let filter = CustomerFilter {
        status: params.text("status"),
        kyc: params.text("kyc"),
        flagged: params.value("flagged")?,
        external_id: params.text("externalId"),
        evaluation: params
            .text("evaluation")
            .map(|text| evaluation(&text))
            .transpose()?,
        updated_after: params.value("updatedAfter")?,
    };
    let order = order(&mut params)?;
    let limit = params.limit()?;
    let sort = params.text("sort");
    let (kind, sort) = match sort.as_deref() {
        None | Some("updatedAt") => {
            let kind = format!("change.{}", direction(order));
            let place = params.cursor(&kind)?.map(Seq);
            (kind, CustomerSort::UpdatedAt(place))
        }
        Some("customerId") => {
            let kind = format!("id.{}", direction(order));
            let place = params.cursor(&kind)?;
            (kind, CustomerSort::CustomerId(place))
        }
        Some(_) => {
            return Err(Problem::bad_parameter(
                "sort",
                "expected updatedAt or customerId",
            ));
        }
    };
    params.finish()?;
    let At { seq, value } = query.store.customers(filter, sort, order, limit).await?;
    let next = value.next.and_then(|place| match place {
        CustomerSort::UpdatedAt(at) => at.map(|at| cursor(&kind, at)),
        CustomerSort::CustomerId(id) => id.map(|id| cursor(&kind, id)),
    });
    Ok(reply::json(
        &Listing {
            items: &value.items,
            next,
        },
        seq,
    ))
}

async fn customer(
    query: Arc<Query>,
    id: String,
    mut params: Params,
    asked: Asked,
) -> Result<Reply, Problem> {
    let at_seq = params.value("asOfSeq")?.map(|seq| AsOf::Seq(Seq(seq)));
    let at_time = params.value::<Timestamp>("asOf")?.map(AsOf::Time);
    params.finish()?;
    let unknown = |seq| Problem::not_found("no such customer is known").at(seq);
    match (at_seq, at_time) {
        (Some(_), Some(_)) => Err(Problem::bad_parameter(
            "asOf",
            "give asOf or asOfSeq, not both",
        )),
        (Some(point), None) | (None, Some(point)) => {
            let At { seq, value } = query.store.customer_as_of(id, point).await?;
            Ok(reply::json(&value.ok_or_else(|| unknown(seq))?, seq))
        }
        (None, None) => {
            let At { seq, value } = query.store.customer(id).await?;
            let customer = value.ok_or_else(|| unknown(seq))?;
            // The version tells states of one life apart, the seq those of a customer erased and seen again.
            let etag = format!("\"{}.{}\"", customer.version, customer.last_seq);
            let mut reply = if none_match(&asked.headers, &etag) {
                let mut reply = Reply::default();
                *reply.status_mut() = StatusCode::NOT_MODIFIED;
                reply
                    .headers_mut()
                    .insert(SEQ_HEADER, HeaderValue::from(seq.0));
                reply
            } else {
                reply::json(&customer, seq)
            };
            if let Ok(etag) = HeaderValue::from_str(&etag) {
                reply.headers_mut().insert(ETAG, etag);
            }
            Ok(reply)
        }
    }
}

async fn requests_list(
    query: Arc<Query>,
    _: String,
    mut params: Params,
    _: Asked,
) -> Result<Reply, Problem> {
    let filter = RequestFilter {
        state: params.value::<State>("state")?,
        overdue: params.value("overdue")?,
        operation: params.value::<Operation>("operation")?,
        customer_id: params.text("customerId"),
    };
    let order = order(&mut params)?;
    let kind = format!("request.{}", direction(order));
    let page = Page {
        after: params.cursor(&kind)?,
        limit: params.limit()?,
    };
    params.finish()?;
    let (now, give_up) = (now(), query.give_up_after_ms());
    let At { seq, value } = query
        .store
        .requests(filter, page, order, now, give_up)
        .await?;
    let items: Vec<_> = value
        .items
        .iter()
        .map(|row| row.request.view(now, give_up, row.events.clone()))
        .collect();
    let next = value.next.map(|key| cursor(&kind, key));
    Ok(reply::json(
        &Listing {
            items: &items,
            next,
        },
        seq,
    ))
}

async fn request(
    query: Arc<Query>,
    id: String,
    params: Params,
    _: Asked,
) -> Result<Reply, Problem> {
    params.finish()?;
    let At { seq, value } = query.store.request(id).await?;
    let Some(RequestRow { request, events }) = value else {
        return Err(Problem::not_found("no such request is known").at(seq));
    };
    Ok(reply::json(
        &request.view(now(), query.give_up_after_ms(), events),
        seq,
    ))
}

async fn stats_of(
    query: Arc<Query>,
    _: String,
    params: Params,
    _: Asked,
) -> Result<Reply, Problem> {
    params.finish()?;
    let At { seq, value } = query.store.stats(now(), query.give_up_after_ms()).await?;
    Ok(reply::json(&stats_view(&query, seq, &value), seq))
}

fn stats_view(query: &Query, seq: Seq, stats: &Stats) -> Value {
    let by = |kind: &str| -> serde_json::Map<String, Value> {
        let mut words: Vec<_> = stats
            .counts
            .iter()
            .filter(|(counted, _, _)| counted == kind)
            .collect();
        words.sort_by_key(|(_, _, number)| std::cmp::Reverse(*number));
        let rest: u64 = words
            .iter()
            .skip(MAX_WORDS)
            .map(|(_, _, number)| number)
            .sum();
        let mut shown: serde_json::Map<_, _> = words
            .into_iter()
            .take(MAX_WORDS)
            .map(|(_, word, number)| (word.clone(), json!(number)))
            .collect();
        if rest > 0 {
            shown.insert("(rest)".to_owned(), json!(rest));
        }
        shown
    };
    let total = |kind: &str| -> u64 {
        stats
            .counts
            .iter()
            .filter(|(counted, _, _)| counted == kind)
            .map(|(_, _, number)| number)
            .sum()
    };
    let mut by_state = by("state");
    if stats.expired > 0 {
        by_state.insert(State::Expired.to_string(), json!(stats.expired));
    }
    let buckets = |buckets: &[StatsBucket]| -> Vec<Value> {
        buckets
            .iter()
            .map(|bucket| json!({ "at": bucket.at, "events": bucket.events }))
            .collect()
    };
    let (queued_events, queued_bytes) = query.store.queued();
    json!({
        "projectedSeq": seq,
        "durableSeq": query.store.durable(),
        "lag": query.store.durable().0.saturating_sub(seq.0),
        "events": {
            "total": total("disposition"), "byEvent": by("event"), "byDisposition": by("disposition"),
            "bySource": by("source"),
        },
        "customers": { "total": total("status"), "byStatus": by("status") },
        "requests": { "total": total("state"), "byState": by_state },
        "overdue": stats.overdue,
        "oldestOpenAt": stats.oldest_open_at,
        "rates": { "lastHour": buckets(&stats.last_hour), "lastDay": buckets(&stats.last_day) },
        "files": { "databaseBytes": stats.database_bytes, "walBytes": stats.wal_bytes },
        "queue": {
            "events": queued_events, "bytes": queued_bytes,
            "maxEvents": query.queue_limits.0, "maxBytes": query.queue_limits.1,
        },
        "lastWebhookAt": stats.last_webhook_at,
        "lastBackup": null,
        "lastPoll": null,
    })
}

async fn healthz(query: Arc<Query>, _: String, params: Params, _: Asked) -> Result<Reply, Problem> {
    params.finish()?;
    Ok(reply::json(
        &json!({ "status": "ok" }),
        query.store.projected(),
    ))
}

async fn readyz(query: Arc<Query>, _: String, params: Params, _: Asked) -> Result<Reply, Problem> {
    params.finish()?;
    let not_ready = |reason: String| Problem::unavailable("not_ready", reason);
    if let Some(trouble) = query.store.trouble() {
        return Err(not_ready(trouble));
    }
    query
        .store
        .checkup(CHECKUP_WITHIN)
        .await
        .map_err(|error| not_ready(error.to_string()))?;
    Ok(reply::json(
        &json!({ "status": "ready" }),
        query.store.projected(),
    ))
}

async fn metrics_text(
    query: Arc<Query>,
    _: String,
    params: Params,
    _: Asked,
) -> Result<Reply, Problem> {
    params.finish()?;
    let text = query.metrics.text();
    let mut reply = reply::bytes(
        StatusCode::OK,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        text,
    );
    reply
        .headers_mut()
        .insert(SEQ_HEADER, HeaderValue::from(query.store.projected().0));
    Ok(reply)
}

/// Takes `order`.
pub(super) fn order(params: &mut Params) -> Result<Order, Problem> {
    match params.text("order").as_deref() {
        None | Some("asc") => Ok(Order::Ascending),
        Some("desc") => Ok(Order::Descending),
        Some(_) => Err(Problem::bad_parameter("order", "expected asc or desc")),
    }
}

const fn direction(order: Order) -> &'static str {
    match order {
        Order::Ascending => "asc",
        Order::Descending => "desc",
    }
}

fn evaluation(text: &str) -> Result<(String, String), Problem> {
    match text.split_once(':') {
        Some((evaluation, status)) if !evaluation.is_empty() && !status.is_empty() => {
            Ok((evaluation.to_owned(), status.to_owned()))
        }
        _ => Err(Problem::bad_parameter(
            "evaluation",
            "expected type:status, as in fraud:completed",
        )),
    }
}
