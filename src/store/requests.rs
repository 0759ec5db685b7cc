//! Reading requests: one, and lists.

use rusqlite::Connection;

use super::feed::Order;
use super::lists::{Listed, Page, SCAN_ROWS};
use super::rows::{
    self, Link, REQUEST_COLUMNS, follow, follow_some, int, load_customer, load_request, requests_of,
};
use super::{At, Store, StoreError};
use crate::domain::request::WaldoRequest;
use crate::domain::{Operation, Seq, State, Timestamp};

/// Which requests are wanted; what is `None` is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFilter {
    /// Where they stand, `expired` included.
    pub state: Option<State>,
    /// Whether past the deadline and not settled.
    pub overdue: Option<bool>,
    /// The kind of call.
    pub operation: Option<Operation>,
    /// The customer.
    pub customer_id: Option<String>,
}

/// A request with the seqs of its events.
#[derive(Clone, Debug)]
pub struct RequestRow {
    /// The request.
    pub request: WaldoRequest,
    /// Its events, oldest first.
    pub events: Vec<Seq>,
}

impl Store {
    /// One request.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn request(&self, id: String) -> Result<At<Option<RequestRow>>, StoreError> {
        self.read_briefly(move |connection, effort| {
            let found = load_request(connection, &id)?.filter(WaldoRequest::is_known);
            let Some(request) = found else {
                return Ok(Some(None));
            };
            let row = with_some_events(connection, request, effort.rows)?;
            Ok(row.map(Some))
        })
        .await
    }

    /// A part of the list of requests, in the order they were first heard of.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn requests(
        &self,
        filter: RequestFilter,
        page: Page<u64>,
        order: Order,
        now: Timestamp,
        give_up_after_ms: i64,
    ) -> Result<At<Listed<RequestRow, u64>>, StoreError> {
        self.read(move |connection| {
            let matches = |request: &WaldoRequest| filter.matches(request, now, give_up_after_ms);
            let listed = match &filter.customer_id {
                Some(id) => requests_of_customer(connection, id, &page, order, &matches)?,
                None => requests_by_key(connection, filter.only_open(), &page, order, &matches)?,
            };
            let items = listed
                .items
                .into_iter()
                .map(|request| with_events(connection, request))
                .collect::<Result<_, _>>()?;
            Ok(Listed {
                items,
                next: listed.next,
            })
        })
        .await
    }
}

impl RequestFilter {
    fn only_open(&self) -> bool {
        self.overdue == Some(true)
            || matches!(
                self.state,
                Some(State::Pending | State::InProgress | State::Expired)
            )
    }

    fn matches(&self, request: &WaldoRequest, now: Timestamp, give_up_after_ms: i64) -> bool {
        let state = request.state_at(now, give_up_after_ms);
        request.is_known()
            && self.state.is_none_or(|asked| state == Some(asked))
            && self
                .overdue
                .is_none_or(|asked| request.is_overdue(now) == asked)
            && self
                .operation
                .is_none_or(|asked| request.operation == Some(asked))
            && self
                .customer_id
                .as_ref()
                .is_none_or(|asked| request.customer_id.as_ref() == Some(asked))
    }
}

type Wanted<'a> = &'a dyn Fn(&WaldoRequest) -> bool;

pub(super) fn requests_by_key(
    connection: &Connection,
    only_open: bool,
    page: &Page<u64>,
    order: Order,
    wanted: Wanted<'_>,
) -> Result<Listed<WaldoRequest, u64>, StoreError> {
    let (source, condition) = if only_open {
        (
            "requests INDEXED BY requests_open",
            "state IN ('pending', 'in_progress')",
        )
    } else {
        ("requests", "state IS NOT NULL")
    };
    let (compare, begin, direction) = match order {
        Order::Ascending => (">", 0, "ASC"),
        Order::Descending => ("<", i64::MAX, "DESC"),
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {REQUEST_COLUMNS} FROM {source} WHERE {condition} AND key {compare} ?1 ORDER BY key {direction} LIMIT ?2"
    ))?;
    let begin = page.after.map_or(begin, int);
    let mut found = statement.query([begin, int(SCAN_ROWS as u64)])?;
    let mut items = Vec::new();
    let mut looked_at = 0;
    while let Some(row) = found.next()? {
        let request = rows::request(row)?;
        let key = request.key;
        looked_at += 1;
        if wanted(&request) {
            items.push(request);
        }
        if items.len() == page.limit || looked_at == SCAN_ROWS {
            return Ok(Listed {
                items,
                next: Some(key),
            });
        }
    }
    Ok(Listed { items, next: None })
}

fn requests_of_customer(
    connection: &Connection,
    customer_id: &str,
    page: &Page<u64>,
    order: Order,
    wanted: Wanted<'_>,
) -> Result<Listed<WaldoRequest, u64>, StoreError> {
    let mut all = match load_customer(connection, customer_id)? {
        Some(customer) => requests_of(connection, &customer)?,
        None => Vec::new(),
    };
    all.sort_by_key(|request| request.key);
    if order == Order::Descending {
        all.reverse();
    }
    let passed = |request: &WaldoRequest| match (page.after, order) {
        (Some(after), Order::Ascending) => request.key > after,
        (Some(after), Order::Descending) => request.key < after,
        (None, _) => true,
    };
    let mut items: Vec<_> = all
        .into_iter()
        .filter(|request| passed(request) && wanted(request))
        .collect();
    let more = items.len() > page.limit;
    items.truncate(page.limit);
    let next = items.last().filter(|_| more).map(|last| last.key);
    Ok(Listed { items, next })
}

pub(super) fn with_events(
    connection: &Connection,
    request: WaldoRequest,
) -> Result<RequestRow, StoreError> {
    let mut events = follow(connection, Link::Request, request.last_event, Seq::START)?;
    events.reverse();
    Ok(RequestRow { request, events })
}

/// The same of a request that has not more than so many events.
fn with_some_events(
    connection: &Connection,
    request: WaldoRequest,
    most: usize,
) -> Result<Option<RequestRow>, StoreError> {
    let newest = request.last_event;
    let events = follow_some(connection, Link::Request, newest, Seq::START, most)?;
    Ok(events.map(|mut events| {
        events.reverse();
        RequestRow { request, events }
    }))
}
