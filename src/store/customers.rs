//! Reading customers: one, one as it was, and lists.

use rusqlite::{Connection, OptionalExtension as _};

use super::feed::{Order, load};
use super::lists::{Listed, SCAN_ROWS};
use super::rows::{
    self, CUSTOMER_COLUMNS, Link, customer_by_key, follow, int, load_customer, seq, uint,
};
use super::shown::{ShownCustomer, shown_customer};
use super::{At, Store, StoreError};
use crate::domain::customer::Customer;
use crate::domain::{Disposition, Seq, Source, Timestamp};

/// Events looked at for one page of customers in the order of their last change.
const SCAN_EVENTS: u64 = 200_000;

/// Which customers are wanted; what is `None` is not asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CustomerFilter {
    /// The approval status.
    pub status: Option<String>,
    /// The KYC outcome.
    pub kyc: Option<String>,
    /// Whether flagged.
    pub flagged: Option<bool>,
    /// The company's own id.
    pub external_id: Option<String>,
    /// An evaluation type and the status of its present run.
    pub evaluation: Option<(String, String)>,
    /// Changed later than this.
    pub updated_after: Option<Timestamp>,
}

/// The order of a list of customers, with the place that a cursor holds in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CustomerSort {
    /// By the last change; the cursor is its seq.
    UpdatedAt(Option<Seq>),
    /// By id; the cursor is the id.
    CustomerId(Option<String>),
}

/// A point in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// After this event.
    Seq(Seq),
    /// At this time.
    Time(Timestamp),
}

impl Store {
    /// One customer.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn customer(&self, id: String) -> Result<At<Option<Customer>>, StoreError> {
        self.read_briefly(move |connection, _| {
            let found = load_customer(connection, &id)?;
            Ok(Some(found.filter(Customer::is_known)))
        })
        .await
    }

    /// The same customer as it is shown.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn shown_customer(
        &self,
        id: String,
    ) -> Result<At<Option<ShownCustomer>>, StoreError> {
        self.read_briefly(move |connection, _| shown_customer(connection, &id).map(Some))
            .await
    }

    /// One customer as it was known at a point in the past: its events folded again up to there.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn customer_as_of(
        &self,
        id: String,
        point: AsOf,
    ) -> Result<At<Option<Customer>>, StoreError> {
        self.read(move |connection| {
            let Some(present) = load_customer(connection, &id)? else {
                return Ok(None);
            };
            let mut past = Customer {
                customer_id: id,
                ..Customer::default()
            };
            let mut seqs = follow(
                connection,
                Link::Customer,
                present.links.last_event,
                Seq::START,
            )?;
            seqs.reverse();
            let views = seqs
                .into_iter()
                .filter_map(|at| load(connection, at).transpose());
            let views: Vec<_> = views.collect::<Result<_, _>>()?;
            // Up to the last event of that time: where the clock was set back, one before it may bear a later time.
            let until = views.iter().rposition(|view| match point {
                AsOf::Seq(last) => view.event.seq <= last,
                AsOf::Time(last) => view.event.received_at <= last,
            });
            for view in views.iter().take(until.map_or(0, |last| last + 1)) {
                let Ok(reading) = &view.event.reading else {
                    continue;
                };
                match view.disposition {
                    Disposition::Applied if view.event.source != Source::Control => {
                        past.apply(reading, view.cause(), &mut ());
                    }
                    Disposition::Unrecognised => {
                        past.fill_ids(reading, view.cause(), &mut ());
                    }
                    _ => {}
                }
            }
            Ok(Some(past).filter(Customer::is_known))
        })
        .await
    }

    /// A part of the list of customers.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn customers(
        &self,
        filter: CustomerFilter,
        sort: CustomerSort,
        order: Order,
        limit: usize,
    ) -> Result<At<Listed<Customer, CustomerSort>>, StoreError> {
        self.read(move |connection| match (&filter.external_id, &sort) {
            (Some(id), _) => customers_by_external_id(connection, id, &filter, &sort, order, limit),
            (None, CustomerSort::UpdatedAt(after)) => {
                customers_by_change(connection, &filter, *after, order, limit)
            }
            (None, CustomerSort::CustomerId(after)) => {
                customers_by_id(connection, &filter, after.as_deref(), order, limit)
            }
        })
        .await
    }
}

impl CustomerFilter {
    fn matches(&self, customer: &Customer) -> bool {
        let same = |asked: &Option<String>, is: &Option<String>| {
            asked.as_ref().is_none_or(|asked| {
                is.as_deref()
                    .is_some_and(|is| is.eq_ignore_ascii_case(asked))
            })
        };
        customer.is_known()
            && same(&self.status, &customer.status)
            && same(&self.kyc, &customer.kyc)
            && self
                .flagged
                .is_none_or(|flagged| customer.flagged == Some(flagged))
            && self
                .external_id
                .as_ref()
                .is_none_or(|id| customer.external_id.as_ref() == Some(id))
            && self
                .updated_after
                .is_none_or(|after| customer.updated_at > after)
            && self.evaluation.as_ref().is_none_or(|(evaluation, status)| {
                customer.evaluations.iter().any(|(name, run)| {
                    name.eq_ignore_ascii_case(evaluation) && run.status.eq_ignore_ascii_case(status)
                })
            })
    }
}

/// Walks the log: a customer stands where its last change is. No index has to follow each change for this.
fn customers_by_change(
    connection: &Connection,
    filter: &CustomerFilter,
    after: Option<Seq>,
    order: Order,
    limit: usize,
) -> Result<Listed<Customer, CustomerSort>, StoreError> {
    let tail: i64 =
        connection.query_row("SELECT projected_seq FROM projection", [], |row| row.get(0))?;
    let tail = uint(tail);
    let (low, high, direction) = match order {
        Order::Ascending => {
            let begin = match (after, filter.updated_after) {
                (Some(after), _) => after.0,
                (None, Some(time)) => seq_before(connection, time)?,
                (None, None) => 0,
            };
            (begin, begin.saturating_add(SCAN_EVENTS).min(tail), "ASC")
        }
        Order::Descending => {
            let high = after.map_or(tail, |after| after.0.saturating_sub(1));
            (high.saturating_sub(SCAN_EVENTS), high, "DESC")
        }
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT v.seq, v.customer FROM verdicts v CROSS JOIN customers c ON c.key = v.customer AND c.last_seq = v.seq \
         WHERE v.seq > ?1 AND v.seq <= ?2 ORDER BY v.seq {direction}"
    ))?;
    let mut found = statement.query([int(low), int(high)])?;
    let mut items = Vec::new();
    let mut looked_at = 0;
    while let Some(row) = found.next()? {
        let at = seq(row.get(0)?);
        looked_at += 1;
        if let Some(customer) = customer_by_key(connection, uint(row.get(1)?))?
            && filter.matches(&customer)
        {
            items.push(customer);
        }
        if items.len() == limit || looked_at == SCAN_ROWS {
            return Ok(Listed {
                items,
                next: Some(CustomerSort::UpdatedAt(Some(at))),
            });
        }
    }
    let next = match order {
        Order::Ascending => (high < tail).then_some(Seq(high)),
        Order::Descending => (low > 0).then_some(Seq(low + 1)),
    };
    Ok(Listed {
        items,
        next: next.map(|at| CustomerSort::UpdatedAt(Some(at))),
    })
}

/// A seq up to which nothing is newer than a time.
fn seq_before(connection: &Connection, time: Timestamp) -> Result<u64, StoreError> {
    let first: Option<i64> = connection
        .prepare_cached(
            "SELECT first_seq FROM minutes WHERE minute <= ?1 AND first_seq IS NOT NULL ORDER BY minute DESC LIMIT 1",
        )?
        .query_row([time.0.div_euclid(60_000)], |row| row.get(0))
        .optional()?;
    Ok(first.map_or(0, |first| uint(first).saturating_sub(1)))
}

pub(super) fn customers_by_id(
    connection: &Connection,
    filter: &CustomerFilter,
    after: Option<&str>,
    order: Order,
    limit: usize,
) -> Result<Listed<Customer, CustomerSort>, StoreError> {
    let (compare, direction) = match order {
        Order::Ascending => (">", "ASC"),
        Order::Descending => ("<", "DESC"),
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {CUSTOMER_COLUMNS} FROM customers WHERE ?1 IS NULL OR customer_id {compare} ?1 \
         ORDER BY customer_id {direction} LIMIT ?2"
    ))?;
    let mut found = statement.query(rusqlite::params![after, int(SCAN_ROWS as u64)])?;
    let mut items = Vec::new();
    let mut looked_at = 0;
    while let Some(row) = found.next()? {
        let customer = rows::customer(row)?;
        looked_at += 1;
        let id = customer.customer_id.clone();
        if filter.matches(&customer) {
            items.push(customer);
        }
        if items.len() == limit || looked_at == SCAN_ROWS {
            return Ok(Listed {
                items,
                next: Some(CustomerSort::CustomerId(Some(id))),
            });
        }
    }
    Ok(Listed { items, next: None })
}

fn customers_by_external_id(
    connection: &Connection,
    external_id: &str,
    filter: &CustomerFilter,
    sort: &CustomerSort,
    order: Order,
    limit: usize,
) -> Result<Listed<Customer, CustomerSort>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {CUSTOMER_COLUMNS} FROM customers WHERE external_id = ?1"
    ))?;
    let mut found = statement.query([external_id])?;
    let mut matching = Vec::new();
    while let Some(row) = found.next()? {
        let customer = rows::customer(row)?;
        if filter.matches(&customer) {
            matching.push(customer);
        }
    }
    match sort {
        CustomerSort::UpdatedAt(_) => matching.sort_by_key(|customer| customer.last_seq),
        CustomerSort::CustomerId(_) => matching.sort_by(|a, b| a.customer_id.cmp(&b.customer_id)),
    }
    if order == Order::Descending {
        matching.reverse();
    }
    let passed = |customer: &Customer| {
        let (is, forward) = match sort {
            CustomerSort::UpdatedAt(Some(after)) => {
                (customer.last_seq.cmp(after), Order::Ascending == order)
            }
            CustomerSort::CustomerId(Some(after)) => (
                customer.customer_id.as_str().cmp(after.as_str()),
                Order::Ascending == order,
            ),
            CustomerSort::UpdatedAt(None) | CustomerSort::CustomerId(None) => return true,
        };
        if forward { is.is_gt() } else { is.is_lt() }
    };
    let mut items: Vec<_> = matching.into_iter().filter(passed).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| match sort {
        CustomerSort::UpdatedAt(_) => CustomerSort::UpdatedAt(Some(last.last_seq)),
        CustomerSort::CustomerId(_) => CustomerSort::CustomerId(Some(last.customer_id.clone())),
    });
    Ok(Listed { items, next })
}
