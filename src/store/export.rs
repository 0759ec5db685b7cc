//! Everything in the file, one thing after the other: a part of it at a time, each read at one point of the log, so that
//! neither memory nor the WAL grows with the length of the log.

use std::path::Path;

use super::customers::{CustomerFilter, customers_by_id};
use super::feed::{FeedFilter, Order, PageLimit, scan};
use super::lists::Page;
use super::maintain::Progress;
use super::requests::{RequestRow, requests_by_key, with_events};
use super::rows::{seq, uint};
use super::schema::{self, inspect};
use super::{CustomerSort, StoreError};
use crate::domain::customer::Customer;
use crate::domain::view::EventView;
use crate::domain::{Seq, Timestamp};

/// Things read at a time.
const PART: usize = 500;
/// Bytes of payloads read at a time.
const PART_BYTES: usize = 4 << 20;

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exports {
    /// Events in the order of their seqs.
    Events,
    /// Customers by id.
    Customers,
    /// Requests in the order they were first heard of.
    Requests,
}

/// One thing.
#[derive(Debug)]
pub enum Exported {
    /// An event.
    Event(Box<EventView>),
    /// A customer.
    Customer(Box<Customer>),
    /// A request.
    Request(Box<RequestRow>),
}

/// Reads a file from beginning to end, beside a daemon too. Of events only those after a seq, of customers and requests
/// those that an event after it changed or named.
///
/// # Errors
/// When the file cannot be read, or with what `take` ends it.
pub fn export_file<E: From<StoreError>>(
    path: &Path,
    what: Exports,
    after: Seq,
    take: &mut dyn FnMut(Exported) -> Result<(), E>,
    progress: Progress<'_>,
) -> Result<(), E> {
    let connection = inspect(path)?;
    schema::recognise(&connection, path)?;
    let sql = match what {
        Exports::Events => "SELECT projected_seq FROM projection",
        Exports::Customers => "SELECT count(*) FROM customers",
        Exports::Requests => "SELECT count(*) FROM requests",
    };
    let total = connection
        .query_row(sql, [], |row| row.get(0))
        .map(uint)
        .map_err(StoreError::from)?;
    let mut place = Place {
        event: after,
        customer: None,
        request: None,
    };
    let mut done = 0;
    loop {
        let part = connection
            .unchecked_transaction()
            .map_err(StoreError::from)?;
        let (things, more) = place.part(&part, what, Seq(total))?;
        part.finish().map_err(StoreError::from)?;
        done += things.len() as u64;
        for thing in things {
            if thing.last_seq() > after {
                take(thing)?;
            }
        }
        match what {
            Exports::Events => progress(place.event.0, total),
            _ => progress(done.min(total), total),
        }
        if !more {
            return Ok(());
        }
    }
}

/// Where the next part begins.
struct Place {
    event: Seq,
    customer: Option<String>,
    request: Option<u64>,
}

impl Place {
    fn part(
        &mut self,
        connection: &rusqlite::Connection,
        what: Exports,
        tail: Seq,
    ) -> Result<(Vec<Exported>, bool), StoreError> {
        match what {
            Exports::Events => {
                let limit = PageLimit {
                    items: PART,
                    bytes: PART_BYTES,
                };
                let page = scan(
                    connection,
                    &FeedFilter::default(),
                    Some(self.event),
                    Order::Ascending,
                    limit,
                )?;
                self.event = page.next;
                let events = page.items.into_iter();
                // What comes while this runs is for the next export.
                let events = events.filter(|view| view.event.seq <= tail);
                let events = events.map(|view| Exported::Event(Box::new(view))).collect();
                Ok((events, page.more && page.next < tail))
            }
            Exports::Customers => {
                let filter = CustomerFilter::default();
                let after = self.customer.as_deref();
                let page = customers_by_id(connection, &filter, after, Order::Ascending, PART)?;
                if let Some(CustomerSort::CustomerId(next)) = page.next {
                    self.customer = next;
                    return Ok((customers(page.items), true));
                }
                Ok((customers(page.items), false))
            }
            Exports::Requests => {
                let page = Page {
                    after: self.request,
                    limit: PART,
                };
                let listed =
                    requests_by_key(connection, false, &page, Order::Ascending, &|_| true)?;
                self.request = listed.next;
                let rows = listed.items.into_iter().map(|request| {
                    with_events(connection, request).map(|row| Exported::Request(Box::new(row)))
                });
                Ok((rows.collect::<Result<_, _>>()?, listed.next.is_some()))
            }
        }
    }
}

fn customers(items: Vec<Customer>) -> Vec<Exported> {
    let boxed = |customer| Exported::Customer(Box::new(customer));
    items.into_iter().map(boxed).collect()
}

impl Exported {
    fn last_seq(&self) -> Seq {
        match self {
            Self::Event(view) => view.event.seq,
            Self::Customer(customer) => customer.last_seq,
            Self::Request(row) => row.request.last_event.unwrap_or_default(),
        }
    }
}

/// The newest event of a file and when it came; `None` for an empty log. Works beside a daemon.
///
/// # Errors
/// When the file cannot be read or is not ours.
pub fn newest_event(path: &Path) -> Result<Option<(Seq, Timestamp)>, StoreError> {
    let connection = inspect(path)?;
    schema::recognise(&connection, path)?;
    let mut statement =
        connection.prepare("SELECT seq, received_at FROM log ORDER BY seq DESC LIMIT 1")?;
    let mut found = statement.query([])?;
    let newest = found.next()?;
    newest
        .map(|row| Ok((seq(row.get(0)?), Timestamp(row.get(1)?))))
        .transpose()
}
