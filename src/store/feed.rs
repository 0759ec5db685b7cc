//! The read side of the log: events by seq, with filters, in either direction.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::project::read_event;
use super::rows::{self, Link, follow, int, load_customer, load_request, seq, uint};
use super::{At, Store, StoreError};
use crate::domain::view::{EventView, Shown};
use crate::domain::{Chain, Disposition, Evidence, Origin, Seq, Source};

/// Events looked at in one go before the connection is given back; a filter that matches little goes on from there.
const SCAN_EVENTS: u64 = 20_000;
/// Go-rounds that one call may take; what it has not reached by then it leaves to the next call.
const SCAN_ROUNDS: usize = 10;

/// Bytes of payloads in one page where no other bound is given; beside them `next` says where to go on.
const MAX_PAGE_BYTES: usize = 8 << 20;

/// How much of the feed is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit {
    /// Events at most.
    pub items: usize,
    /// Bytes of payloads after which no further event is added; one event always fits.
    pub bytes: usize,
}

/// Which way a list runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    #[default]
    Ascending,
    /// Newest first.
    Descending,
}

/// Which events are wanted; what is `None` is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedFilter {
    /// The event's name, in any case.
    pub event: Option<String>,
    /// Who caused it.
    pub origin: Option<Origin>,
    /// What became of it.
    pub disposition: Option<Disposition>,
    /// The customer it names.
    pub customer_id: Option<String>,
    /// The request it names or was tied to.
    pub request_id: Option<String>,
    /// How it came.
    pub source: Option<Source>,
}

/// A page of the feed.
#[derive(Clone, Debug)]
pub struct Feed<T = EventView> {
    /// The events, in the form that was asked for.
    pub items: Vec<T>,
    /// Where to go on: everything between `after` and this was looked at.
    pub next: Seq,
    /// Whether there is, or may be, more in that direction.
    pub more: bool,
}

const COLUMNS: &str = "l.seq, l.received_at, l.source, l.digest, l.size, l.payload, l.reading, l.chain, v.origin, \
     v.evidence, v.disposition, v.duplicate_of, v.request, v.problems, v.replaced";

impl Store {
    /// A page of events after a seq (before it, newest first, when descending; `None` is the end to begin at).
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn events(
        &self,
        filter: FeedFilter,
        after: Option<Seq>,
        order: Order,
        limit: impl Into<PageLimit>,
    ) -> Result<At<Feed>, StoreError> {
        self.page(filter, after, order, limit.into(), |view| view)
            .await
    }

    /// The same page as it is shown. News that many ask for at once are read and written once for all of them.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn shown_events(
        &self,
        filter: FeedFilter,
        after: Option<Seq>,
        order: Order,
        limit: impl Into<PageLimit>,
    ) -> Result<At<Feed<Arc<Shown>>>, StoreError> {
        let limit = limit.into();
        if let (Some(after), Order::Ascending) = (after, order)
            && let Some(found) = self.news(&filter, after, limit)?
        {
            return Ok(found);
        }
        self.page(filter, after, order, limit, |view| {
            Arc::new(Shown::from(&view))
        })
        .await
    }

    async fn page<T: Send + 'static>(
        &self,
        filter: FeedFilter,
        after: Option<Seq>,
        order: Order,
        limit: PageLimit,
        form: fn(EventView) -> T,
    ) -> Result<At<Feed<T>>, StoreError> {
        let mut basket = Basket::new(limit);
        let mut from = after;
        let mut round = 1;
        loop {
            let asked = filter.clone();
            let page = self
                .read(move |connection| {
                    let (next, more) =
                        scan_into(&mut basket, form, connection, &asked, from, order)?;
                    Ok((basket, next, more))
                })
                .await?;
            let (filled, next, more) = page.value;
            if !more || filled.is_full() || round == SCAN_ROUNDS {
                return Ok(At {
                    seq: page.seq,
                    value: filled.feed(next, more),
                });
            }
            basket = filled;
            from = Some(next);
            round += 1;
        }
    }

    /// One event.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn event(&self, at: Seq) -> Result<At<Option<EventView>>, StoreError> {
        self.read_briefly(move |connection, effort| load_within(connection, at, effort.bytes))
            .await
    }

    /// The end of the log as readers see it: its seq, and the chain that commits to all before it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn head(&self) -> Result<At<Chain>, StoreError> {
        self.read_briefly(|connection, _| {
            let head = connection
                .prepare_cached(
                    "SELECT l.chain FROM log l JOIN projection p ON l.seq = p.projected_seq",
                )?
                .query_row([], |row| row.get(0).map(Chain))
                .optional()?;
            Ok(Some(head.unwrap_or(Chain::GENESIS)))
        })
        .await
    }

    /// What the rules said of one event that is visible.
    pub(super) async fn verdict(&self, at: Seq) -> Result<EventView, StoreError> {
        self.event(at)
            .await?
            .value
            .ok_or(StoreError::NotReached(at))
    }

    /// The events of a customer, oldest first; `None` when nothing ever named it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn customer_events(
        &self,
        customer_id: String,
        after: Option<Seq>,
        limit: impl Into<PageLimit>,
    ) -> Result<At<Option<Feed>>, StoreError> {
        let limit = limit.into();
        self.read(move |connection| {
            if load_customer(connection, &customer_id)?.is_none() {
                return Ok(None);
            }
            let filter = FeedFilter {
                customer_id: Some(customer_id),
                ..FeedFilter::default()
            };
            scan(connection, &filter, after, Order::Ascending, limit).map(Some)
        })
        .await
    }
}

impl From<usize> for PageLimit {
    /// So many events, of a common size.
    fn from(items: usize) -> Self {
        Self {
            items,
            bytes: MAX_PAGE_BYTES,
        }
    }
}

/// What a page has been filled with.
pub(super) struct Basket<T> {
    items: Vec<T>,
    /// Of payloads.
    bytes: usize,
    last: Option<Seq>,
    limit: PageLimit,
}

impl<T> Basket<T> {
    pub(super) fn new(limit: PageLimit) -> Self {
        Self {
            items: Vec::new(),
            bytes: 0,
            last: None,
            limit,
        }
    }

    pub(super) fn put(&mut self, at: Seq, bytes: usize, item: T) {
        self.bytes += bytes;
        self.last = Some(at);
        self.items.push(item);
    }

    fn put_as(&mut self, form: fn(EventView) -> T, view: EventView) {
        let bytes = view.payload.as_ref().map_or(0, Vec::len);
        self.put(view.event.seq, bytes, form(view));
    }

    pub(super) fn is_full(&self) -> bool {
        self.items.len() >= self.limit.items || self.bytes >= self.limit.bytes
    }

    pub(super) fn feed(self, next: Seq, more: bool) -> Feed<T> {
        Feed {
            items: self.items,
            next,
            more,
        }
    }
}

pub(super) fn scan(
    connection: &Connection,
    filter: &FeedFilter,
    after: Option<Seq>,
    order: Order,
    limit: PageLimit,
) -> Result<Feed, StoreError> {
    let mut basket = Basket::new(limit);
    let (next, more) = scan_into(&mut basket, |view| view, connection, filter, after, order)?;
    Ok(basket.feed(next, more))
}

/// Fills a page, and tells where to go on and whether there is, or may be, more.
fn scan_into<T>(
    basket: &mut Basket<T>,
    form: fn(EventView) -> T,
    connection: &Connection,
    filter: &FeedFilter,
    after: Option<Seq>,
    order: Order,
) -> Result<(Seq, bool), StoreError> {
    let tail = connection
        .prepare_cached("SELECT projected_seq FROM projection")?
        .query_row([], |row| row.get(0))
        .map(seq)?;
    match linked(connection, filter, after, order)? {
        Some(seqs) => scan_linked(basket, form, connection, filter, seqs, (after, tail), order),
        None => scan_log(basket, form, connection, filter, (after, tail), order),
    }
}

/// The seqs of the customer or request that is asked for, in the order asked for; `None` when neither is.
fn linked(
    connection: &Connection,
    filter: &FeedFilter,
    after: Option<Seq>,
    order: Order,
) -> Result<Option<Vec<Seq>>, StoreError> {
    let (link, newest) = if let Some(id) = &filter.request_id {
        (
            Link::Request,
            load_request(connection, id)?.and_then(|row| row.last_event),
        )
    } else if let Some(id) = &filter.customer_id {
        (
            Link::Customer,
            load_customer(connection, id)?.and_then(|row| row.links.last_event),
        )
    } else {
        return Ok(None);
    };
    let seqs = match order {
        Order::Ascending => {
            let mut seqs = follow(connection, link, newest, after.unwrap_or_default())?;
            seqs.reverse();
            seqs
        }
        Order::Descending => {
            let mut seqs = follow(connection, link, newest, Seq::START)?;
            seqs.retain(|at| after.is_none_or(|after| *at < after));
            seqs
        }
    };
    Ok(Some(seqs))
}

fn scan_linked<T>(
    basket: &mut Basket<T>,
    form: fn(EventView) -> T,
    connection: &Connection,
    filter: &FeedFilter,
    seqs: Vec<Seq>,
    (after, tail): (Option<Seq>, Seq),
    order: Order,
) -> Result<(Seq, bool), StoreError> {
    for at in seqs {
        let Some(event) = load(connection, at)? else {
            continue;
        };
        if filter.matches(&event) {
            basket.put_as(form, event);
        }
        if basket.is_full() {
            return Ok((at, true));
        }
    }
    Ok((end(after, tail, order, basket.last), false))
}

fn scan_log<T>(
    basket: &mut Basket<T>,
    form: fn(EventView) -> T,
    connection: &Connection,
    filter: &FeedFilter,
    (after, tail): (Option<Seq>, Seq),
    order: Order,
) -> Result<(Seq, bool), StoreError> {
    // The window keeps a filter that matches nothing from walking the whole log at once.
    let (low, high, direction) = match order {
        Order::Ascending => {
            let low = after.unwrap_or_default().0;
            (low, low.saturating_add(SCAN_EVENTS).min(tail.0), "ASC")
        }
        Order::Descending => {
            let high = after.map_or(tail.0, |after| after.0.saturating_sub(1).min(tail.0));
            (high.saturating_sub(SCAN_EVENTS), high, "DESC")
        }
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM log l JOIN verdicts v ON v.seq = l.seq \
         WHERE l.seq > ?1 AND l.seq <= ?2 AND (?3 IS NULL OR v.event = ?3 COLLATE NOCASE) \
         AND (?4 IS NULL OR v.origin = ?4) AND (?5 IS NULL OR v.disposition = ?5) AND (?6 IS NULL OR l.source = ?6) \
         ORDER BY l.seq {direction} LIMIT ?7"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params![
        int(low),
        int(high),
        filter.event,
        filter.origin.map(Origin::code),
        filter.disposition.map(Disposition::code),
        filter.source.map(Source::code),
        int((basket.limit.items - basket.items.len()) as u64),
    ])?;
    while let Some(row) = found.next()? {
        let event = view(connection, row)?;
        let at = event.event.seq;
        basket.put_as(form, event);
        if basket.is_full() {
            return Ok((at, true));
        }
    }
    let (next, at_end) = match order {
        Order::Ascending => (Seq(high).max(after.unwrap_or_default()), high >= tail.0),
        Order::Descending if low == 0 => (end(after, tail, order, basket.last), true),
        Order::Descending => (Seq(low + 1), false),
    };
    Ok((next, !at_end))
}

/// Where to go on when there is nothing more in that direction.
fn end(after: Option<Seq>, tail: Seq, order: Order, last: Option<Seq>) -> Seq {
    match order {
        Order::Ascending => tail.max(after.unwrap_or_default()),
        Order::Descending => last.or(after).unwrap_or_default(),
    }
}

impl FeedFilter {
    pub(super) fn matches(&self, view: &EventView) -> bool {
        let reading = view.event.reading.as_ref().ok();
        let named = |name: &String| {
            reading
                .and_then(|reading| reading.event.as_ref())
                .is_some_and(|event| event.eq_ignore_ascii_case(name))
        };
        let of_customer =
            |id: &String| reading.is_some_and(|reading| reading.customer_id.as_ref() == Some(id));
        self.event.as_ref().is_none_or(named)
            && self.origin.is_none_or(|origin| view.origin == origin)
            && self
                .disposition
                .is_none_or(|disposition| view.disposition == disposition)
            && self.source.is_none_or(|source| view.event.source == source)
            && self.customer_id.as_ref().is_none_or(of_customer)
            && self
                .request_id
                .as_ref()
                .is_none_or(|id| view.request_id.as_ref() == Some(id))
    }
}

/// Loads one event, if it is there and visible.
pub(super) fn load(connection: &Connection, at: Seq) -> Result<Option<EventView>, StoreError> {
    Ok(load_within(connection, at, u64::MAX)?.flatten())
}

/// The same of an event that came with so many bytes at most; `None` where there were more.
fn load_within(
    connection: &Connection,
    at: Seq,
    bytes: u64,
) -> Result<Option<Option<EventView>>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS} FROM log l JOIN verdicts v ON v.seq = l.seq WHERE l.seq = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query([int(at.0)])?;
    match found.next()? {
        None => Ok(Some(None)),
        Some(row) if uint(row.get(4)?) > bytes => Ok(None),
        Some(row) => view(connection, row).map(|view| Some(Some(view))),
    }
}

fn view(connection: &Connection, row: &Row<'_>) -> Result<EventView, StoreError> {
    let unknown = || StoreError::Corrupt("a verdict has an unknown word".to_owned());
    let event = read_event(row)?;
    let own_id = event
        .reading
        .as_ref()
        .ok()
        .and_then(|reading| reading.request_id.clone());
    let request_id = match (own_id, row.get::<_, Option<i64>>(12)?) {
        (None, Some(key)) => connection
            .prepare_cached("SELECT request_id FROM requests WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?,
        (own_id, _) => own_id,
    };
    Ok(EventView {
        chain: Chain(row.get(7)?),
        payload: row.get(5)?,
        origin: Origin::from_code(row.get(8)?).ok_or_else(unknown)?,
        evidence: Evidence::from_code(row.get(9)?).ok_or_else(unknown)?,
        disposition: Disposition::from_code(row.get(10)?).ok_or_else(unknown)?,
        duplicate_of: row.get::<_, Option<i64>>(11)?.map(|at| Seq(uint(at))),
        request_id,
        problems: rows::optional_json(row, 13)?.unwrap_or_default(),
        replaced: rows::optional_json(row, 14)?,
        event,
    })
}
