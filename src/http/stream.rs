//! The feed as Server-Sent Events.
//!
//! Invariant: a reader gets every event that matches, once and in order, however slow it is: what it has not taken yet
//! waits in the file, not in memory.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::unfold;
use warp::Reply as _;
use warp::reply::Response as Reply;
use warp::sse::{self, Event};

use super::feed::filter;
use super::params::Params;
use super::query::{Asked, Query};
use super::reply::Problem;
use super::room::Place;
use crate::domain::Seq;
use crate::domain::view::Shown;
use crate::metrics::Present;
use crate::store::{FeedFilter, Order, PageLimit};

/// What is read ahead for one reader. With the text that is on its way to it, this is what a reader that takes nothing
/// costs.
const READ_AHEAD: PageLimit = PageLimit {
    items: 32,
    bytes: LARGE_BYTES,
};
/// From this size on an event is read only when there is room for it.
const LARGE_BYTES: usize = 32 * 1024;
/// How long a reader waits for room. Then its stream ends; it comes back with the id of the last event it had.
const ROOM_WITHIN: Duration = Duration::from_secs(5);
/// A comment line goes out after this much silence, so that proxies and readers see that the stream lives.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// How long the tail is waited for before it is looked at again.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// One reader's place in the feed.
struct Reader {
    query: Arc<Query>,
    filter: FeedFilter,
    after: Seq,
    ahead: VecDeque<Arc<Shown>>,
    /// Bytes of a large event that comes next.
    large: Option<usize>,
    /// Held until the reader asks for what comes after a large event, so until it has taken that.
    room_taken: Option<Place>,
    _present: Present,
}

pub(super) async fn events(
    query: Arc<Query>,
    _: String,
    mut params: Params,
    asked: Asked,
) -> Result<Reply, Problem> {
    let filter = filter(&mut params)?;
    let asked_after = params.seq("after")?;
    // A browser that lost its connection says where it was; that is newer than what its URL says.
    let resumed = asked
        .headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok());
    let resumed = resumed.map(str::parse::<u64>).transpose();
    let resumed = resumed.map_err(|_| Problem::bad_parameter("Last-Event-ID", "expected a seq"))?;
    let after = resumed.map(Seq).or(asked_after).unwrap_or_default();
    let reader = Reader {
        _present: Present::among(&query.metrics.streams),
        query,
        filter,
        after,
        ahead: VecDeque::new(),
        large: None,
        room_taken: None,
    };
    let events = unfold(reader, |mut reader| async {
        let event = reader.next().await?;
        Some((Ok::<_, Infallible>(event), reader))
    });
    let events = sse::keep_alive()
        .interval(COMMENT_EVERY)
        .stream(Box::pin(events));
    Ok(sse::reply(events).into_response())
}

impl Reader {
    /// The next event; `None` ends the stream, and the reader comes back with the id of the last one it had.
    async fn next(&mut self) -> Option<Event> {
        self.room_taken = None;
        let mut stop = self.query.stop.clone();
        while self.ahead.is_empty() {
            if let Some(bytes) = self.large.take() {
                let room = &self.query.event_room;
                // The text that is made of it takes up to twice its length, for it grows by doubling.
                self.room_taken = Some(room.take(2 * bytes as u64, ROOM_WITHIN).await?);
                self.read(PageLimit { items: 1, bytes }).await?;
            } else {
                self.read(READ_AHEAD).await?;
            }
            if self.ahead.is_empty() && self.large.is_none() {
                let store = &self.query.store;
                tokio::select! {
                    // An error is the end of the waiting time: the next round looks again.
                    _ = store.wait_projected(self.after.next(), LOOK_EVERY) => {}
                    // An error means that nobody is left to tell of a stop.
                    _ = stop.wait_for(|stop| *stop) => return None,
                }
            }
        }
        self.ahead.pop_front().map(|shown| event(&shown))
    }

    /// Reads on. A large event for which no room was taken is left in the file, and only its size is noted.
    async fn read(&mut self, limit: PageLimit) -> Option<()> {
        let store = &self.query.store;
        let filter = self.filter.clone();
        let page = store
            .shown_events(filter, Some(self.after), Order::Ascending, limit)
            .await;
        let page = page
            .inspect_err(|error| log::warn!("a stream ended: {error}"))
            .ok()?
            .value;
        self.after = page.next;
        for shown in page.items {
            let bytes = shown.json.len();
            if bytes >= LARGE_BYTES && self.room_taken.is_none() {
                self.after = Seq(shown.seq.0.saturating_sub(1));
                self.large = Some(bytes);
                break;
            }
            self.ahead.push_back(shown);
        }
        Some(())
    }
}

fn event(shown: &Shown) -> Event {
    let name = shown.event.as_deref().unwrap_or("message");
    let data = String::from_utf8_lossy(&shown.json);
    Event::default()
        .id(shown.seq.to_string())
        .event(line(name))
        .data(line(&data))
}

/// On one line: an end of a line would end that of the stream, and stands in JSON only as white space.
fn line(text: &str) -> Cow<'_, str> {
    let ends_line = |byte: &u8| matches!(byte, b'\r' | b'\n');
    if text.as_bytes().iter().any(ends_line) {
        text.replace(['\r', '\n'], " ").into()
    } else {
        text.into()
    }
}
