//! Reading customers, requests and numbers, on read-only connections that never hold up the writer.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension as _};
use tokio::sync::Semaphore;

use super::feed::{Order, load};
use super::rows::{
    self, CUSTOMER_COLUMNS, Link, REQUEST_COLUMNS, customer_by_key, follow, int, load_customer,
    load_request, request_by_key, seq, uint,
};
use super::schema::{Role, connect};
use super::{At, Store, StoreError};
use crate::domain::customer::Customer;
use crate::domain::request::WaldoRequest;
use crate::domain::{Disposition, Operation, Seq, Source, State, Timestamp};

/// Reads at once; more wait. Each holds a connection and a thread while it lasts.
const MAX_READERS: usize = 8;
/// Rows looked at for one page of a list; a filter that matches little goes on with the next page.
const SCAN_ROWS: usize = 20_000;
/// Events looked at for one page of customers in the order of their last change.
const SCAN_EVENTS: u64 = 200_000;

/// The read-only connections.
#[derive(Debug)]
pub struct Readers {
    path: PathBuf,
    permits: Semaphore,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    /// Opens the first connection, so that a file that cannot be read is found out at the start.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let first = connect(path, Role::Read)?;
        Ok(Self {
            path: path.to_owned(),
            permits: Semaphore::new(MAX_READERS),
            idle: Arc::new(Mutex::new(vec![first])),
        })
    }

    /// Ends reading: waiting reads fail, idle connections are closed.
    pub fn close(&self) {
        self.permits.close();
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// Part of a list.
#[derive(Clone, Debug)]
pub struct Page<C> {
    /// Go on after this; `None` begins.
    pub after: Option<C>,
    /// Items at most.
    pub limit: usize,
}

/// A part of a list, and where it goes on.
#[derive(Clone, Debug)]
pub struct Listed<T, C> {
    /// The items.
    pub items: Vec<T>,
    /// Where to go on; `None` at the end. There may be no items although there is more to look at.
    pub next: Option<C>,
}

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

/// A point in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// After this event.
    Seq(Seq),
    /// At this time.
    Time(Timestamp),
}

/// Events in a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatsBucket {
    /// When it begins.
    pub at: Timestamp,
    /// How many came.
    pub events: u64,
}

/// The numbers of the store.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Counts: kind (event, disposition, source, status, state), word, number.
    pub counts: Vec<(String, String, u64)>,
    /// Requests not settled and past their deadline.
    pub overdue: u64,
    /// Requests not settled long past their deadline.
    pub expired: u64,
    /// When the oldest open request was registered.
    pub oldest_open_at: Option<Timestamp>,
    /// The last hour by minutes.
    pub last_hour: Vec<StatsBucket>,
    /// The last day by hours.
    pub last_day: Vec<StatsBucket>,
    /// When the last webhook came.
    pub last_webhook_at: Option<Timestamp>,
    /// Length of the file.
    pub database_bytes: u64,
    /// Length of the WAL beside it.
    pub wal_bytes: u64,
}

impl Store {
    /// Runs a read at one point of the log.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<At<T>, StoreError> {
        let readers = &self.inner.readers;
        let closing = || StoreError::Unavailable("the store is closing".to_owned());
        let permit = readers.permits.acquire().await.map_err(|_| closing())?;
        let idle = Arc::clone(&readers.idle);
        let path = readers.path.clone();
        let work = move || {
            let pooled = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = pooled.map_or_else(|| connect(&path, Role::Read), Ok)?;
            let transaction = connection.unchecked_transaction()?;
            let at = transaction
                .query_row("SELECT projected_seq FROM projection", [], |row| row.get(0))?;
            let value = ask(&transaction)?;
            transaction.finish()?;
            // Only a connection whose read went well is used again.
            idle.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
            Ok(At {
                seq: seq(at),
                value,
            })
        };
        let result = tokio::task::spawn_blocking(work).await;
        drop(permit);
        if readers.permits.is_closed() {
            readers.close();
        }
        result.unwrap_or_else(|_| {
            Err(StoreError::Unavailable(
                "a read ended by a fault".to_owned(),
            ))
        })
    }

    /// One customer.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn customer(&self, id: String) -> Result<At<Option<Customer>>, StoreError> {
        self.read(move |connection| Ok(load_customer(connection, &id)?.filter(Customer::is_known)))
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
            for at in seqs {
                let Some(view) = load(connection, at)? else {
                    continue;
                };
                let beyond = match point {
                    AsOf::Seq(last) => at > last,
                    AsOf::Time(last) => view.event.received_at > last,
                };
                if beyond {
                    break;
                }
                let Ok(reading) = &view.event.reading else {
                    continue;
                };
                match view.disposition {
                    Disposition::Applied if view.event.source != Source::Control => {
                        past.apply(reading, view.cause());
                    }
                    Disposition::Unrecognised => {
                        past.fill_ids(reading, view.cause());
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

    /// One request.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn request(&self, id: String) -> Result<At<Option<RequestRow>>, StoreError> {
        self.read(move |connection| {
            let found = load_request(connection, &id)?.filter(WaldoRequest::is_known);
            found
                .map(|request| with_events(connection, request))
                .transpose()
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

    /// The numbers of the store.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn stats(
        &self,
        now: Timestamp,
        give_up_after_ms: i64,
    ) -> Result<At<Stats>, StoreError> {
        let path = self.inner.path.clone();
        self.read(move |connection| stats(connection, &path, now, give_up_after_ms))
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

impl RequestFilter {
    fn only_open(&self) -> bool {
        self.overdue == Some(true)
            || matches!(
                self.state,
                Some(State::Pending | State::InProgress | State::Expired)
            )
    }

    fn matches(&self, request: &WaldoRequest, now: Timestamp, give_up_after_ms: i64) -> bool {
        let past = |ms: i64| {
            !request.is_settled()
                && request
                    .deadline_at
                    .is_some_and(|deadline| now > deadline.plus_ms(ms))
        };
        let state = if past(give_up_after_ms) {
            Some(State::Expired)
        } else {
            request.state
        };
        request.is_known()
            && self.state.is_none_or(|asked| state == Some(asked))
            && self.overdue.is_none_or(|asked| past(0) == asked)
            && self
                .operation
                .is_none_or(|asked| request.operation == Some(asked))
            && self
                .customer_id
                .as_ref()
                .is_none_or(|asked| request.customer_id.as_ref() == Some(asked))
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

fn customers_by_id(
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

type Wanted<'a> = &'a dyn Fn(&WaldoRequest) -> bool;

fn requests_by_key(
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
    let mut next =
        load_customer(connection, customer_id)?.and_then(|customer| customer.links.last_request);
    let mut all = Vec::new();
    while let Some(key) = next {
        let Some(request) = request_by_key(connection, key)? else {
            break;
        };
        next = request.previous_of_customer;
        all.push(request);
    }
    // The links go by when the customer became known for a request, which need not be the order of the keys.
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

fn with_events(connection: &Connection, request: WaldoRequest) -> Result<RequestRow, StoreError> {
    let mut events = follow(connection, Link::Request, request.last_event, Seq::START)?;
    events.reverse();
    Ok(RequestRow { request, events })
}

fn stats(
    connection: &Connection,
    path: &Path,
    now: Timestamp,
    give_up_after_ms: i64,
) -> Result<Stats, StoreError> {
    let mut stats = Stats {
        database_bytes: file_bytes(path),
        wal_bytes: file_bytes(&super::schema::wal_path(path)),
        last_webhook_at: connection
            .query_row("SELECT last_webhook_at FROM projection", [], |row| {
                row.get::<_, Option<i64>>(0)
            })?
            .map(Timestamp),
        ..Stats::default()
    };
    let mut counts =
        connection.prepare_cached("SELECT kind, word, number FROM counts WHERE number > 0")?;
    let mut found = counts.query([])?;
    while let Some(row) = found.next()? {
        stats
            .counts
            .push((row.get(0)?, row.get(1)?, uint(row.get(2)?)));
    }
    let open = "FROM requests INDEXED BY requests_open WHERE state IN ('pending', 'in_progress')";
    let past = |deadline: i64| -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) {open} AND deadline_at < ?1");
        Ok(uint(
            connection
                .prepare_cached(&sql)?
                .query_row([deadline], |row| row.get(0))?,
        ))
    };
    stats.overdue = past(now.0)?;
    stats.expired = past(now.0.saturating_sub(give_up_after_ms))?;
    stats.oldest_open_at = connection
        .prepare_cached(&format!("SELECT min(registered_at) {open}"))?
        .query_row([], |row| row.get::<_, Option<i64>>(0))?
        .map(Timestamp);
    let minute = now.0.div_euclid(60_000);
    stats.last_hour = buckets(connection, minute - 59, minute, 1)?;
    let hour = minute.div_euclid(60);
    stats.last_day = buckets(connection, (hour - 23) * 60, hour * 60 + 59, 60)?;
    Ok(stats)
}

/// Events from one minute to another, in steps of so many minutes, empty steps included.
fn buckets(
    connection: &Connection,
    from: i64,
    to: i64,
    step: i64,
) -> Result<Vec<StatsBucket>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT minute - minute % ?3, sum(events) FROM minutes WHERE minute BETWEEN ?1 AND ?2 GROUP BY 1",
    )?;
    let mut found = statement.query([from, to, step])?;
    let mut events = std::collections::BTreeMap::new();
    while let Some(row) = found.next()? {
        events.insert(row.get::<_, i64>(0)?, uint(row.get(1)?));
    }
    let mut buckets = Vec::new();
    let mut minute = from;
    while minute <= to {
        let events = events.get(&minute).copied().unwrap_or(0);
        buckets.push(StatsBucket {
            at: Timestamp(minute.saturating_mul(60_000)),
            events,
        });
        minute += step;
    }
    Ok(buckets)
}

fn file_bytes(path: &Path) -> u64 {
    std::fs::metadata(path).map(|meta| meta.len()).unwrap_or(0)
}
