//! The feed: events in the order of the log, for whoever follows it.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;
use warp::reply::Response as Reply;

use super::params::{Params, order};
use super::query::{Asked, Query};
use super::reply::{self, Problem, SEQ_HEADER};
use crate::domain::view::{EventView, Shown};
use crate::domain::{Disposition, Origin, Seq, Source};
use crate::metrics::Present;
use crate::store::{At, Feed, FeedFilter, Order};

/// How long a reader may wait for news, in seconds.
pub(super) const MAX_WAIT_SECONDS: u64 = 60;

pub(super) async fn list(
    query: Arc<Query>,
    _: String,
    mut params: Params,
    _: Asked,
) -> Result<Reply, Problem> {
    let filter = filter(&mut params)?;
    let after = params.seq("after")?;
    let order = order(&mut params)?;
    let limit = params.limit()?;
    let wait = params.number("wait", 0..=MAX_WAIT_SECONDS)?.unwrap_or(0);
    if wait > 0 && order == Order::Descending {
        return Err(Problem::bad_parameter(
            "wait",
            "news come at the end: not with order=desc",
        ));
    }
    let page = follow(
        &query,
        filter,
        after,
        order,
        limit,
        Duration::from_secs(wait),
    )
    .await?;
    let items = page.value.items.iter().map(|shown| shown.json.as_slice());
    Ok(reply::written_list(items, &page.value.next, page.seq))
}

/// Takes the parameters that say which events are wanted.
pub(super) fn filter(params: &mut Params) -> Result<FeedFilter, Problem> {
    Ok(FeedFilter {
        event: params.text("event"),
        origin: params.value::<Origin>("origin")?,
        disposition: params.value::<Disposition>("disposition")?,
        customer_id: params.text("customerId"),
        request_id: params.text("requestId"),
        source: params.value::<Source>("source")?,
    })
}

/// Reads a page, waiting for the tail to move while nothing matches.
async fn follow(
    query: &Query,
    filter: FeedFilter,
    mut after: Option<Seq>,
    order: Order,
    limit: usize,
    wait: Duration,
) -> Result<At<Feed<Arc<Shown>>>, Problem> {
    let deadline = Instant::now() + wait;
    let mut stop = query.stop.clone();
    let mut waiting = None;
    loop {
        let page = query
            .store
            .shown_events(filter.clone(), after, order, limit)
            .await?;
        let left = deadline.saturating_duration_since(Instant::now());
        if !page.value.items.is_empty() || left.is_zero() || order == Order::Descending {
            return Ok(page);
        }
        after = Some(page.value.next);
        waiting.get_or_insert_with(|| Present::among(&query.metrics.long_polls));
        let moved = query.store.wait_projected(page.value.next.next(), left);
        tokio::select! {
            // An error is the end of the waiting time: the next round answers with what there is.
            _ = moved => {}
            // A stop ends all waiting; an error means that nobody is left to tell of one.
            _ = stop.wait_for(|stop| *stop) => return Ok(page),
        }
    }
}

pub(super) async fn of_customer(
    query: Arc<Query>,
    id: String,
    mut params: Params,
    _: Asked,
) -> Result<Reply, Problem> {
    let after = params.cursor::<u64>("seq")?.map(Seq);
    let limit = params.limit()?;
    let At { seq, value } = query.store.customer_events(id, after, limit).await?;
    let Some(feed) = value else {
        return Err(Problem::not_found("no event names such a customer").at(seq));
    };
    let next = feed.more.then(|| super::params::cursor("seq", feed.next));
    let items: Vec<_> = feed.items.iter().map(EventView::to_json).collect();
    let items = items.iter().map(Vec::as_slice);
    Ok(reply::written_list(items, &next, seq))
}

pub(super) async fn one(
    query: Arc<Query>,
    id: String,
    _: Params,
    _: Asked,
) -> Result<Reply, Problem> {
    let At { seq, value } = query.store.event(number(&id)?).await?;
    let event = value.ok_or_else(|| Problem::not_found("there is no such event").at(seq))?;
    Ok(reply::written(event.to_json(), seq))
}

pub(super) async fn payload(
    query: Arc<Query>,
    id: String,
    _: Params,
    _: Asked,
) -> Result<Reply, Problem> {
    let At { seq, value } = query.store.event(number(&id)?).await?;
    let event = value.ok_or_else(|| Problem::not_found("there is no such event").at(seq))?;
    let pruned = || Problem::not_found("the payload of this event was taken out").at(seq);
    // Whatever the bytes are, they are never a page or a script.
    let content_type = if event.event.reading.is_ok() {
        "application/json"
    } else {
        "application/octet-stream"
    };
    let mut reply = reply::bytes(
        StatusCode::OK,
        content_type,
        event.payload.ok_or_else(pruned)?,
    );
    reply.headers_mut().insert(SEQ_HEADER, seq.0.into());
    Ok(reply)
}

fn number(id: &str) -> Result<Seq, Problem> {
    id.parse()
        .map(Seq)
        .map_err(|_| Problem::not_found("a seq is a number"))
}
