//! The newest events for those who wait for them. All of them are woken at the same moment and ask for the same few
//! events: the first one reads and writes them, the others take what it has.
//!
//! Invariant: what is held here is thrown away so soon that nothing outlives its erasure by more than [`FRESH_FOR`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::feed::{Basket, Feed, FeedFilter, Order, PageLimit, scan};
use super::rows::{int, uint};
use super::{At, Store, StoreError};
use crate::domain::Seq;
use crate::domain::view::{EventView, Shown};

/// How far from the tail somebody may be who asks for news; whoever is farther reads the file like everybody else.
const MOST_EVENTS: u64 = 64;
/// Bytes of their bodies at most.
const MOST_BYTES: u64 = 256 << 10;
/// How long those who were woken together may take to ask.
const FRESH_FOR: Duration = Duration::from_millis(50);

/// What was last asked for.
#[derive(Debug, Default)]
pub struct News(Mutex<Option<Held>>);

/// All visible events after one up to another.
#[derive(Debug)]
struct Held {
    after: Seq,
    up_to: Seq,
    more: bool,
    read_at: Instant,
    events: Vec<(EventView, Arc<Shown>)>,
}

impl News {
    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Throws away what is held, for it may be about somebody who was erased.
    pub(super) fn forget(&self) {
        *self.held() = None;
    }
}

impl Store {
    /// A page of the feed for somebody who has all but the last few events; `None` for others.
    pub(super) fn news(
        &self,
        filter: &FeedFilter,
        after: Seq,
        limit: PageLimit,
    ) -> Result<Option<At<Feed<Arc<Shown>>>>, StoreError> {
        let tail = self.projected();
        if after >= tail {
            return Ok(Some(At {
                seq: tail,
                value: Feed {
                    items: Vec::new(),
                    next: after,
                    more: false,
                },
            }));
        }
        if tail.0 - after.0 > MOST_EVENTS {
            return Ok(None);
        }
        let mut held = self.inner.news.held();
        let held = match &mut *held {
            Some(held) if held.serves(after, tail) => held,
            held => match self.read_news(after)? {
                Some(news) => held.insert(news),
                None => return Ok(None),
            },
        };
        Ok(Some(At {
            seq: held.up_to.max(tail),
            value: held.page(filter, after, limit),
        }))
    }

    fn read_news(&self, after: Seq) -> Result<Option<Held>, StoreError> {
        let read_at = Instant::now();
        let read = self.read_now(|connection| {
            let bytes: Option<i64> = connection
                .prepare_cached("SELECT sum(size) FROM log WHERE seq > ?1 AND seq <= ?1 + ?2")?
                .query_row([int(after.0), int(MOST_EVENTS)], |row| row.get(0))?;
            if bytes.map_or(0, uint) > MOST_BYTES {
                return Ok(None);
            }
            let all = FeedFilter::default();
            let limit = PageLimit {
                items: MOST_EVENTS as usize,
                bytes: usize::MAX,
            };
            scan(connection, &all, Some(after), Order::Ascending, limit).map(Some)
        });
        let page = match read {
            Ok(page) => page.value,
            // Somebody holds the file: that is waited for elsewhere.
            Err(error) if error.is_passing() => None,
            Err(error) => return Err(error),
        };
        let shown = |view: EventView| {
            let shown = Arc::new(Shown::from(&view));
            // The body has been written; the rest says whom it matters to.
            let view = EventView {
                payload: None,
                ..view
            };
            (view, shown)
        };
        Ok(page.map(|page| Held {
            after,
            up_to: page.next,
            more: page.more,
            read_at,
            events: page.items.into_iter().map(shown).collect(),
        }))
    }
}

impl Held {
    fn serves(&self, after: Seq, tail: Seq) -> bool {
        self.after <= after && self.up_to >= tail && self.read_at.elapsed() < FRESH_FOR
    }

    fn page(&self, filter: &FeedFilter, after: Seq, limit: PageLimit) -> Feed<Arc<Shown>> {
        let mut basket = Basket::new(limit);
        for (view, shown) in &self.events {
            let at = view.event.seq;
            if at > after && filter.matches(view) {
                basket.put(at, shown.json.len(), Arc::clone(shown));
            }
            if basket.is_full() {
                return basket.feed(at, true);
            }
        }
        basket.feed(self.up_to, self.more)
    }
}
