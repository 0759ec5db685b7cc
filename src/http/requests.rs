//! The query door's paths for requests.

use std::sync::Arc;

use warp::reply::Response as Reply;

use super::params::{Params, cursor, direction, order};
use super::query::{Asked, Query};
use super::reply::{self, Listing, Problem};
use crate::clock::now;
use crate::domain::{Operation, State};
use crate::store::{At, Page, RequestFilter, RequestRow};

pub(super) async fn list(
    query: Arc<Query>,
    _: String,
    mut params: Params,
    _: Asked,
) -> Result<Reply, Problem> {
    let filter = RequestFilter {
        state: params.value::<State>("state")?,
        overdue: params.truth("overdue")?,
        operation: params.value::<Operation>("operation")?,
        customer_id: params.text("customerId"),
    };
    let order = order(&mut params)?;
    let kind = format!("request.{}", direction(order));
    let page = Page {
        after: params.cursor(&kind)?,
        limit: params.limit()?,
    };
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

pub(super) async fn one(
    query: Arc<Query>,
    id: String,
    _: Params,
    _: Asked,
) -> Result<Reply, Problem> {
    let At { seq, value } = query.store.request(id).await?;
    let Some(RequestRow { request, events }) = value else {
        return Err(Problem::not_found("no such request is known").at(seq));
    };
    Ok(reply::json(
        &request.view(now(), query.give_up_after_ms(), events),
        seq,
    ))
}
