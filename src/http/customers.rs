//! The query door's paths for customers.

use std::sync::Arc;

use http::StatusCode;
use http::header::{ETAG, HeaderValue};
use warp::reply::Response as Reply;

use super::params::{Params, cursor, direction, order};
use super::query::{Asked, Query};
use super::reply::{self, Listing, Problem, SEQ_HEADER, none_match};
use crate::domain::{Seq, Timestamp};
use crate::store::{AsOf, At, CustomerFilter, CustomerSort};

pub(super) async fn list(
    query: Arc<Query>,
    _: String,
    mut params: Params,
    _: Asked,
) -> Result<Reply, Problem> {
    let filter = CustomerFilter {
        status: params.text("status"),
        kyc: params.text("kyc"),
        flagged: params.truth("flagged")?,
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

pub(super) async fn one(
    query: Arc<Query>,
    id: String,
    mut params: Params,
    asked: Asked,
) -> Result<Reply, Problem> {
    let at_seq = params.seq("asOfSeq")?.map(AsOf::Seq);
    let at_time = params.value::<Timestamp>("asOf")?.map(AsOf::Time);
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
            let At { seq, value } = query.store.shown_customer(id).await?;
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
                reply::written(customer.json, seq)
            };
            if let Ok(etag) = HeaderValue::from_str(&etag) {
                reply.headers_mut().insert(ETAG, etag);
            }
            Ok(reply)
        }
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
