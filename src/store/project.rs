//! The projector: reads on in the log, folds, writes the touched rows once each and the new `projected_seq` with them.
//!
//! Live, after a crash and in `rebuild` this is the same loop from another seq: there is one way from log to rows. Its
//! commits may be lost in a crash, together; they are then made again. A rule that panics stops it before that event, and
//! so does damage in the rows that the event needs: the log is taken further, whatever became of them.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{CachedStatement, Connection, Row, Statement, TransactionBehavior, params};

use super::StoreError;
use super::ahead::Ahead;
use super::counted::Counted;
use super::rows::{self, Finder, Keeper, int, seq, to_json, uint};
use super::sums::{Settlement, Sums, counted_name, counted_status};
use crate::domain::customer::Customer;
use crate::domain::fold::{Event, Verdict, World};
use crate::domain::payload::{self, Kept, Reading, Unreadable};
use crate::domain::request::WaldoRequest;
use crate::domain::rows::{Leaving, Rows};
use crate::domain::{Digest, Seq, Source, State, Timestamp};

/// Rows kept at hand between slices; past it all are let go, for the file has them. Where a single slice needs more (a
/// customer with very many open requests), twice of what it needs, or each slice would load them all again.
const MAX_ROWS_AT_HAND: usize = 8192;
/// Of the rows that were let go, how many of each kind a slice drops at least: some 0.6 ms, where dropping all at once has
/// an append wait for 10 ms. A slice of more events drops one of each for each event, which is what those may bring.
const ROWS_DROPPED_AT_ONCE: usize = 256;

/// The event before which the projector stands still, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// The event.
    pub seq: Seq,
    /// The rule's last words, or what of the file is damaged.
    pub reason: String,
}

/// How much one slice may do.
#[derive(Clone, Copy, Debug)]
pub struct SliceLimits {
    /// Events at most.
    pub events: usize,
    /// Time at most, looked at every few events.
    pub time: Duration,
    /// Events after which an append that waits ends it.
    pub at_least: usize,
}

impl SliceLimits {
    /// A share of what is behind, so that the projector keeps up with any load and an append waits no longer than that
    /// takes.
    pub const fn for_backlog(backlog: u64) -> Self {
        let at_least = match backlog / 2 {
            ..32 => 32,
            512.. => 512,
            share => share as usize,
        };
        Self {
            events: 8192,
            time: Duration::from_millis(100),
            at_least,
        }
    }

    /// For a rebuild, which nobody waits beside.
    pub const fn offline() -> Self {
        Self {
            events: 20_000,
            time: Duration::from_secs(3600),
            at_least: usize::MAX,
        }
    }
}

/// How many events are folded between two looks at the clock.
const LOOK_EVERY: usize = 32;

/// The state of the fold between slices.
#[derive(Debug)]
pub struct Projector {
    world: World,
    projected: Seq,
    newest_minute: i64,
    halt: Option<Halt>,
    /// Rows that may stay at hand.
    room: usize,
    /// Whether no rows were at hand when the slice began.
    fresh: bool,
    /// Rows let go and not dropped yet.
    leaving: (Leaving<Customer>, Leaving<WaldoRequest>),
    /// What need not be read from the log again.
    ahead: Ahead,
    /// Where slices are counted.
    counted: Arc<Counted>,
}

/// What a slice works with, event after event.
struct Tools<'c> {
    finder: Finder<'c>,
    insert_verdict: CachedStatement<'c>,
    sums: &'c mut Sums,
}

/// Where the events of a slice come from.
enum Events<'a> {
    Ahead(&'a mut Ahead),
    Log(rusqlite::Rows<'a>),
}

impl Events<'_> {
    fn next(&mut self) -> Result<Option<Event>, StoreError> {
        match self {
            Self::Ahead(ahead) => Ok(ahead.pop()),
            Self::Log(rows) => rows.next()?.map(read_event).transpose(),
        }
    }
}

enum Folded {
    /// Up to and including this event.
    UpTo(Seq),
    /// This event cannot be folded; nothing of the slice may be kept.
    Failed(Halt),
}

impl Projector {
    /// Picks up where the rows of a file stand.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn resume(connection: &Connection) -> Result<Self, StoreError> {
        let (projected, newest_minute) = connection.query_row(
            "SELECT projected_seq, newest_minute FROM projection",
            [],
            |row| Ok((seq(row.get(0)?), row.get(1)?)),
        )?;
        let last_key = |table: &str| -> Result<u64, StoreError> {
            let sql = format!(
                "SELECT max(coalesce((SELECT max(key) FROM {table}), 0), coalesce((SELECT number FROM counts \
                 WHERE kind = 'key' AND word = ?1), 0))"
            );
            Ok(uint(connection.query_row(&sql, [table], |row| row.get(0))?))
        };
        let world = World {
            customers: Rows::after(last_key("customers")?),
            requests: Rows::after(last_key("requests")?),
        };
        Ok(Self {
            world,
            projected,
            newest_minute,
            halt: None,
            room: MAX_ROWS_AT_HAND,
            fresh: true,
            leaving: Default::default(),
            ahead: Ahead::default(),
            counted: Arc::default(),
        })
    }

    /// Counts its slices there too.
    pub fn counting(mut self, counted: &Arc<Counted>) -> Self {
        self.counted = Arc::clone(counted);
        self
    }

    /// The newest event whose effects are in the rows.
    pub const fn projected(&self) -> Seq {
        self.projected
    }

    /// Where it stands still for good.
    pub const fn halt(&self) -> Option<&Halt> {
        self.halt.as_ref()
    }

    /// Lets go of all that is at hand: the file is the truth.
    pub fn forget(&mut self) {
        self.ahead = Ahead::default();
        self.counted.ahead(0);
        self.forget_rows();
        // Nobody knows when the next slice comes, and an erased customer stays in memory no longer than in the file.
        self.leaving = Default::default();
    }

    fn forget_rows(&mut self) {
        self.fresh = true;
        // What is left of those before goes at once: there is no more than one lot.
        self.leaving = (self.world.customers.let_go(), self.world.requests.let_go());
    }

    /// Lets go of rows when there are too many, and of some of those let go before. So many events were folded since.
    fn make_room(&mut self, events: u64) {
        let some =
            usize::try_from(events).map_or(usize::MAX, |events| events.max(ROWS_DROPPED_AT_ONCE));
        let (customers, requests) = &mut self.leaving;
        customers.drop_some(some);
        requests.drop_some(some);
        let rows = self.world.customers.len() + self.world.requests.len();
        if std::mem::take(&mut self.fresh) {
            self.room = MAX_ROWS_AT_HAND.max(2 * rows);
        }
        if rows > self.room {
            self.forget_rows();
        }
    }

    /// Folds the next events into the rows, in one transaction, and returns how far the rows are then.
    ///
    /// # Errors
    /// When the file cannot be read or written; nothing is changed then.
    pub fn slice(
        &mut self,
        connection: &mut Connection,
        limits: SliceLimits,
        appends_wait: &dyn Fn() -> bool,
    ) -> Result<Seq, StoreError> {
        let before = (
            self.world.customers.last_key(),
            self.world.requests.last_key(),
            self.newest_minute,
        );
        let result = self.try_slice(connection, limits, appends_wait);
        self.counted.ahead(self.ahead.len());
        if let Ok(Folded::UpTo(projected)) = &result {
            self.make_room(projected.0.saturating_sub(self.projected.0));
        } else {
            self.world = World {
                customers: Rows::after(before.0),
                requests: Rows::after(before.1),
            };
            self.newest_minute = before.2;
        }
        match result? {
            Folded::UpTo(projected) => {
                self.projected = projected;
                Ok(projected)
            }
            Folded::Failed(halt) => {
                let good = halt
                    .seq
                    .0
                    .saturating_sub(self.projected.0)
                    .saturating_sub(1);
                if good == 0 {
                    log::error!(
                        "event {} cannot be folded, the projections stay before it: {}",
                        halt.seq,
                        halt.reason
                    );
                    self.halt = Some(halt);
                    return Ok(self.projected);
                }
                // What comes before it is sound: once more, without it.
                let events = usize::try_from(good).unwrap_or(limits.events);
                self.slice(connection, SliceLimits { events, ..limits }, appends_wait)
            }
        }
    }

    fn try_slice(
        &mut self,
        connection: &mut Connection,
        limits: SliceLimits,
        appends_wait: &dyn Fn() -> bool,
    ) -> Result<Folded, StoreError> {
        let began = Instant::now();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut sums = Sums::default();
        let folded = self.fold(&transaction, limits, appends_wait, &mut sums)?;
        let Folded::UpTo(projected) = folded else {
            return Ok(folded);
        };
        {
            let mut keeper = Keeper::of(&transaction)?;
            let world = &mut self.world;
            world
                .customers
                .keep_touched(|row, new| keeper.customer(row, new))?;
            world
                .requests
                .keep_touched(|row, new| keeper.request(row, new))?;
        }
        sums.save(&transaction)?;
        transaction
            .prepare_cached(
                "UPDATE projection SET projected_seq = ?1, newest_minute = ?2, \
                 last_webhook_at = coalesce(?3, last_webhook_at)",
            )?
            .execute(params![
                int(projected.0),
                self.newest_minute,
                sums.last_webhook_at.map(|at| at.0)
            ])?;
        transaction.commit()?;
        self.counted.slice(&sums, began.elapsed());
        Ok(Folded::UpTo(projected))
    }

    /// Hands over an event that was just appended, as it was read when it came.
    pub fn hand_over(&mut self, event: Event) {
        self.ahead.push(event);
        self.counted.ahead(self.ahead.len());
    }

    fn fold(
        &mut self,
        connection: &Connection,
        limits: SliceLimits,
        appends_wait: &dyn Fn() -> bool,
        sums: &mut Sums,
    ) -> Result<Folded, StoreError> {
        let started = Instant::now();
        let enough = |folded: usize| {
            folded >= limits.events
                || folded.is_multiple_of(LOOK_EVERY)
                    && (started.elapsed() > limits.time
                        || folded >= limits.at_least && appends_wait())
        };
        let mut tools = Tools {
            finder: Finder::of(connection)?,
            insert_verdict: connection.prepare_cached(INSERT_VERDICT)?,
            sums,
        };
        // What is at hand is taken from there, else the log is read; a slice does one of the two.
        let mut ahead = std::mem::take(&mut self.ahead);
        let mut log = connection.prepare_cached(
            "SELECT seq, received_at, source, digest, size, payload, reading FROM log WHERE seq > ?1 \
             ORDER BY seq LIMIT ?2",
        )?;
        let mut events = if ahead.is_at(self.projected.next()) {
            Events::Ahead(&mut ahead)
        } else {
            Events::Log(log.query(params![int(self.projected.0), int(limits.events as u64)])?)
        };
        let mut projected = self.projected;
        let mut folded = 0;
        while let Some(event) = events.next()? {
            if let Some(halt) = self.fold_event(&mut tools, &event)? {
                return Ok(Folded::Failed(halt));
            }
            projected = event.seq;
            folded += 1;
            if enough(folded) {
                break;
            }
        }
        drop(events);
        self.ahead = ahead;
        Ok(Folded::UpTo(projected))
    }

    /// Folds one event in and writes what became of it, or says why that cannot be.
    fn fold_event(
        &mut self,
        tools: &mut Tools<'_>,
        event: &Event,
    ) -> Result<Option<Halt>, StoreError> {
        if let Err(error) = self.gather(&mut tools.finder, event) {
            return halted_at(event.seq, error).map(Some);
        }
        let world = &mut self.world;
        let sums = &mut *tools.sums;
        // The world is thrown away when this fails, so no half-done step is ever seen.
        let stepped = catch_unwind(AssertUnwindSafe(|| Self::step(world, event, sums)));
        let verdict = match stepped {
            Ok(verdict) => verdict,
            Err(panic) => {
                return Ok(Some(Halt {
                    seq: event.seq,
                    reason: format!("a rule failed: {}", last_words(&*panic)),
                }));
            }
        };
        save_verdict(&mut tools.insert_verdict, event, &verdict)?;
        self.count(event, tools.sums);
        Ok(None)
    }

    /// Brings the rows that the event names from the file, where they are not at hand.
    fn gather(&mut self, finder: &mut Finder<'_>, event: &Event) -> Result<(), StoreError> {
        let needs = World::needs(event);
        if let Some(id) = needs.request_id {
            if self.world.requests.get(id).is_none()
                && let Some(request) = finder.request(id)?
            {
                self.world.requests.put(request);
            }
            let request = self.world.requests.get(id);
            if let Some(owner) = request.and_then(|request| request.customer_id.as_deref())
                && needs.customer_id != Some(owner)
            {
                let owner = owner.to_owned();
                self.gather_customer(finder, &owner)?;
            }
        }
        if let Some(id) = needs.customer_id {
            self.gather_customer(finder, id)?;
        }
        Ok(())
    }

    fn gather_customer(&mut self, finder: &mut Finder<'_>, id: &str) -> Result<(), StoreError> {
        if self.world.customers.get(id).is_some() {
            return Ok(());
        }
        let Some(customer) = finder.customer(id)? else {
            return Ok(());
        };
        for &key in &customer.memory.open_requests {
            if self.world.requests.by_key(key).is_none()
                && let Some(request) = finder.request_by_key(key)?
            {
                self.world.requests.put(request);
            }
        }
        for id in customer.memory.requests_of_repeats() {
            if self.world.requests.get(id).is_none()
                && let Some(request) = finder.request(id)?
            {
                self.world.requests.put(request);
            }
        }
        self.world.customers.put(customer);
        Ok(())
    }

    /// Steps the world and adds up what that does to the counts by status and state.
    fn step(world: &mut World, event: &Event, sums: &mut Sums) -> Verdict {
        let needs = World::needs(event);
        let status = |world: &World| counted_status(world.customers.get(needs.customer_id?)?);
        let request = |world: &World| -> Option<_> {
            let request = world.requests.get(needs.request_id?)?;
            Some((request.state, Settlement::of(request)))
        };
        let before = (status(world), request(world));
        // An event without an id may be tied to an open request of the customer.
        let open_before = match needs.request_id {
            None => open_requests(world, needs.customer_id),
            Some(_) => Vec::new(),
        };
        let verdict = world.step(event);
        sums.moved("status", before.0, status(world));
        sums.request_moved(before.1, request(world));
        for (key, state) in open_before {
            let after = world.requests.by_key(key);
            sums.request_moved(
                Some((Some(state), None)),
                after.map(|request| (request.state, Settlement::of(request))),
            );
        }
        sums.add("disposition", verdict.disposition.as_str().into(), 1);
        sums.add("event", counted_name(event), 1);
        sums.add("source", event.source.as_str().into(), 1);
        if let Err(Unreadable::Erased(gave)) = event.reading {
            if gave.customer {
                sums.erased_key("customers", world.customers.last_key());
            }
            if gave.request {
                sums.erased_key("requests", world.requests.last_key());
            }
        }
        verdict
    }

    fn count(&mut self, event: &Event, sums: &mut Sums) {
        let minute = event.received_at.0.div_euclid(60_000);
        let entry = sums.minutes.entry(minute).or_default();
        entry.0 += 1;
        if minute > self.newest_minute {
            self.newest_minute = minute;
            entry.1 = Some(event.seq);
        }
        if event.source == Source::Webhook {
            sums.last_webhook_at = Some(event.received_at);
        }
    }
}

/// What to do about rows that are damaged.
const CURE_OF_ROWS: &str =
    "; stop the daemon, and `waldo-syncd rebuild` makes the tables again from the log";

/// Damage stays what it is however often it is looked at; any other error may pass.
fn halted_at(seq: Seq, error: StoreError) -> Result<Halt, StoreError> {
    match error {
        StoreError::Corrupt(damage) => Ok(Halt {
            seq,
            reason: format!("{damage}{CURE_OF_ROWS}"),
        }),
        other => Err(other),
    }
}

fn open_requests(world: &World, customer_id: Option<&str>) -> Vec<(u64, State)> {
    let customer = customer_id.and_then(|id| world.customers.get(id));
    let keys = customer
        .map(|customer| customer.memory.open_requests.as_slice())
        .unwrap_or_default();
    keys.iter()
        .filter_map(|&key| Some((key, world.requests.by_key(key)?.state?)))
        .collect()
}

fn last_words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    text.or(owned).unwrap_or("no reason given").to_owned()
}

/// Reads an event from a row of `seq, received_at, source, digest, size, payload, reading`.
///
/// # Errors
/// [`StoreError::Corrupt`] where the row does not hold what we write, [`StoreError::Unavailable`] when reading the body
/// fails by a fault.
pub fn read_event(row: &Row<'_>) -> Result<Event, StoreError> {
    let at = seq(row.get(0)?);
    let source = Source::from_code(row.get(2)?)
        .ok_or_else(|| StoreError::Corrupt("an event has an unknown source".to_owned()))?;
    let size = uint(row.get(4)?);
    let payload = row.get_ref(5)?.as_blob_or_null();
    let reading = match payload.map_err(|_| rows::corrupt(row, 5))? {
        Some(body) => catch_unwind(|| payload::read(source, body, size))
            .map_err(|_| StoreError::Unavailable(format!("a fault in reading event {at}")))?,
        None => kept_reading(row, 6)?,
    };
    Ok(Event {
        seq: at,
        received_at: Timestamp(row.get(1)?),
        source,
        digest: Digest(row.get(3)?),
        reading,
    })
}

/// What was kept when the payload was taken out.
///
/// # Errors
/// [`StoreError::Corrupt`] where the column does not hold what we write.
pub(super) fn kept_reading(
    row: &Row<'_>,
    column: usize,
) -> Result<Result<Reading, Unreadable>, StoreError> {
    let kept: Option<Kept> = rows::optional_json(row, column)?;
    Ok(kept.map_or(Err(Unreadable::TakenOut), Result::from))
}

/// The statement that [`save_verdict`] fills.
pub(super) const INSERT_VERDICT: &str = "INSERT INTO verdicts (seq, event, disposition, origin, evidence, \
     duplicate_of, customer, request, previous_of_customer, previous_of_request, replaced, problems) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

pub(super) fn save_verdict(
    insert: &mut Statement<'_>,
    event: &Event,
    verdict: &Verdict,
) -> Result<(), StoreError> {
    let reading = event.reading.as_ref().ok();
    let name = reading.and_then(|reading| reading.event.as_deref());
    let replaced: BTreeMap<_, _> = verdict
        .replaced
        .iter()
        .map(|value| (&value.field, &value.from))
        .collect();
    let or_null = |empty: bool, text: Result<String, StoreError>| {
        if empty { Ok(None) } else { text.map(Some) }
    };
    insert.execute(params![
        int(event.seq.0),
        name,
        verdict.disposition.code(),
        verdict.origin.code(),
        verdict.evidence.code(),
        verdict.duplicate_of.map(|at| int(at.0)),
        verdict.customer.map(int),
        verdict.request.map(int),
        verdict.previous_of_customer.map(|at| int(at.0)),
        verdict.previous_of_request.map(|at| int(at.0)),
        or_null(replaced.is_empty(), to_json(&replaced))?,
        or_null(verdict.problems.is_empty(), to_json(&verdict.problems))?,
    ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rows::Row as _;
    use crate::store::schema::{Role, connect, prepare};

    #[test]
    fn rows_leave_bit_by_bit_and_at_once_where_they_are_to_be_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waldo-syncd.db");
        prepare(&path).unwrap();
        let mut projector = Projector::resume(&connect(&path, Role::Project).unwrap()).unwrap();
        let fill = |projector: &mut Projector| {
            for key in 1..=MAX_ROWS_AT_HAND as u64 + 1 {
                let customer = Customer::named(&key.to_string(), key);
                projector.world.customers.put(customer);
            }
            projector.fresh = false;
            projector.make_room(0);
        };
        fill(&mut projector);
        assert!(projector.world.customers.is_empty());
        assert_eq!(projector.leaving.0.len(), MAX_ROWS_AT_HAND + 1);
        projector.make_room(1);
        let left = MAX_ROWS_AT_HAND + 1 - ROWS_DROPPED_AT_ONCE;
        assert_eq!(projector.leaving.0.len(), left);
        projector.make_room(1000);
        assert_eq!(projector.leaving.0.len(), left - 1000);
        fill(&mut projector);
        projector.forget();
        assert_eq!(projector.leaving.0.len(), 0);
    }
}
