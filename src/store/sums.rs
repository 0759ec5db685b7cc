//! What a slice adds up: how many events, customers and requests have each word, and events by the minute.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use rusqlite::{Connection, params};

use super::StoreError;
use super::rows::int;
use crate::domain::coverage::day_of;
use crate::domain::customer::Customer;
use crate::domain::fold::Event;
use crate::domain::payload::Unreadable;
use crate::domain::request::WaldoRequest;
use crate::domain::{Seq, SettledBy, State, Timestamp};

/// Bytes of a name that is counted for itself.
const MAX_COUNTED_NAME: usize = 64;

/// What a slice adds up, written at its end.
#[derive(Default)]
pub(super) struct Sums {
    counts: BTreeMap<(&'static str, Cow<'static, str>), i64>,
    /// By minute: the events, and the first one where the minute is newer than any before it.
    pub(super) minutes: BTreeMap<i64, (i64, Option<Seq>)>,
    pub(super) last_webhook_at: Option<Timestamp>,
    /// The highest key of each table that an erased row had: no row tells it any more.
    erased_keys: BTreeMap<&'static str, u64>,
}

impl Sums {
    pub(super) fn add(&mut self, kind: &'static str, word: Cow<'static, str>, number: i64) {
        *self.counts.entry((kind, word)).or_default() += number;
    }

    /// The events among what was added up, by what the rules made of them.
    pub(super) fn dispositions(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts
            .iter()
            .filter(|((kind, _), _)| *kind == "disposition")
            .filter_map(|((_, word), number)| Some((word.as_ref(), u64::try_from(*number).ok()?)))
    }

    pub(super) fn erased_key(&mut self, table: &'static str, key: u64) {
        let highest = self.erased_keys.entry(table).or_default();
        *highest = key.max(*highest);
    }

    pub(super) fn moved(
        &mut self,
        kind: &'static str,
        from: Option<&'static str>,
        to: Option<&'static str>,
    ) {
        if from != to {
            for (word, number) in [(from, -1), (to, 1)] {
                if let Some(word) = word {
                    self.add(kind, word.into(), number);
                }
            }
        }
    }

    /// Counts a request where it stands now, and how it was settled.
    pub(super) fn request_moved(&mut self, from: Option<Standing>, to: Option<Standing>) {
        let state = |standing: Option<Standing>| standing.and_then(|(state, _)| state);
        self.moved(
            "state",
            state(from).map(State::as_str),
            state(to).map(State::as_str),
        );
        let settlement = |standing: Option<Standing>| standing.and_then(|(_, settled)| settled);
        if settlement(from) != settlement(to) {
            for (settled, number) in [(settlement(from), -1), (settlement(to), 1)] {
                if let Some(settled) = settled {
                    self.add("settled", settled.to_string().into(), number);
                }
            }
        }
    }

    pub(super) fn save(&self, connection: &Connection) -> Result<(), StoreError> {
        let mut count = connection.prepare_cached(
            "INSERT INTO counts (kind, word, number) VALUES (?1, ?2, ?3) \
             ON CONFLICT (kind, word) DO UPDATE SET number = number + excluded.number",
        )?;
        // What has come down to nothing leaves no row: what was once there is not to be told by it.
        let mut none = connection
            .prepare_cached("DELETE FROM counts WHERE kind = ?1 AND word = ?2 AND number = 0")?;
        for ((kind, word), number) in &self.counts {
            count.execute(params![kind, word, number])?;
            if *number <= 0 {
                none.execute(params![kind, word])?;
            }
        }
        let mut key = connection.prepare_cached(
            "INSERT INTO counts (kind, word, number) VALUES ('key', ?1, ?2) \
             ON CONFLICT (kind, word) DO UPDATE SET number = max(number, excluded.number)",
        )?;
        for (table, highest) in &self.erased_keys {
            key.execute(params![table, int(*highest)])?;
        }
        let mut minute = connection.prepare_cached(
            "INSERT INTO minutes (minute, events, first_seq) VALUES (?1, ?2, ?3) \
             ON CONFLICT (minute) DO UPDATE SET events = events + excluded.events",
        )?;
        for (at, (events, first_seq)) in &self.minutes {
            minute.execute(params![at, events, first_seq.map(|first| int(first.0))])?;
        }
        Ok(())
    }
}

/// The name that an event is counted under; a name that is no name but a text is not kept for that.
pub(super) fn counted_name(event: &Event) -> Cow<'static, str> {
    let reading = match &event.reading {
        Ok(reading) => reading,
        Err(Unreadable::Erased(_)) => return "(erased)".into(),
        Err(_) => return "(none)".into(),
    };
    match (reading.kind(event.source), &reading.event) {
        (Some(known), _) => known.as_str().into(),
        (None, None) => "(none)".into(),
        (None, Some(name)) if name.len() > MAX_COUNTED_NAME => "(other)".into(),
        (None, Some(name)) => name.clone().into(),
    }
}

/// The word that a known customer is counted under: the closed vocabulary, so that a body cannot make up rows.
pub(super) fn counted_status(customer: &Customer) -> Option<&'static str> {
    const KNOWN: [&str; 4] = ["APPROVED", "REJECTED", "REVIEW", "PENDING"];
    if !customer.is_known() {
        return None;
    }
    Some(match customer.status.as_deref() {
        Some(word) => KNOWN
            .into_iter()
            .find(|known| *known == word)
            .unwrap_or("(other)"),
        None => "(unknown)",
    })
}

/// Where a request stands, for the counts.
pub(super) type Standing = (Option<State>, Option<Settlement>);

/// The day and the way of a request's settlement, under which it is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Settlement {
    day: i64,
    by: SettledBy,
}

impl Settlement {
    pub(super) fn of(request: &WaldoRequest) -> Option<Self> {
        Some(Self {
            day: day_of(request.settled_at?),
            by: request.settled_by?,
        })
    }
}

impl fmt::Display for Settlement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.day, self.by)
    }
}
