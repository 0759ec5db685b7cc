//! Takes one customer out: payloads, readings, rows and ids, so that SQLite holds no byte of them any more.
//!
//! An erased event keeps its seq, time, source, size, digest and link; in the place of its payload stands only whether it
//! gave a customer or a request its key, so that folding again gives all others the same rows. Where the customer's
//! events and requests are tied to no other customer, the rows that folding again would not give are deleted in the same
//! transaction. Where they are tied, only folding again tells what is left; that needs the file to itself.
//!
//! The intent is noted in the list of erased ids before anything is changed, and what a crash left undone is done at the
//! next start.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior, params};
use serde::Serialize;
use tokio::sync::oneshot;

use super::erased::{ERASED_FILE, Entry, ErasedEvent, ErasedList, HashedId, Stage};
use super::maintain::{self, Progress};
use super::project::{
    Projector, Sums, counted_name, counted_status, read_event, save_verdict, settlement,
};
use super::rows::{Link, follow, int, load_customer, request_by_key, seq, to_json, uint};
use super::schema::{self, DirectoryLock, FILE_NAME, Role, connect};
use super::writer::Command;
use super::{At, Store, StoreError};
use crate::domain::customer::Customer;
use crate::domain::fold::World;
use crate::domain::payload::{Erased, Kept, Unreadable};
use crate::domain::request::WaldoRequest;
use crate::domain::{Chain, Digest, Disposition, Seq, Timestamp};

/// Events that are erased at once beside a running daemon, whose writer does nothing else meanwhile.
const MAX_EVENTS_AT_ONCE: usize = 20_000;
/// Ids shorter than this are not looked for in other bodies, nor in the bytes of the file: they would be found in what
/// does not mean them.
const LEAST_SEARCHED: usize = 8;
/// Events whose bodies are searched before a connection is given back.
const SCAN_EVENTS: u64 = 5_000;
/// Request ids that are looked for in the bytes of the file, beside the customer's.
const MAX_SEARCHED: usize = 16;
/// How long a reader may hold what was erased in the WAL before whoever asked is told so.
const READERS_LEAVE_WITHIN: Duration = Duration::from_secs(20);
/// How often is seen whether it still does.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Bytes of the file that are searched at a time.
const SEARCH_BYTES: usize = 1 << 20;

/// What was done, to be kept by whoever asked for it. It names nobody.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// The customer, as the list of erased ids has it.
    pub customer: HashedId,
    /// When.
    pub erased_at: Timestamp,
    /// What was erased: the place of each event in the log, and what its body was.
    pub events: Vec<ErasedEvent>,
    /// How many requests went with it.
    pub requests: u64,
    /// The end of the log at that time.
    pub head_seq: Seq,
    /// The end of the chain at that time.
    pub head: Chain,
    /// Events of others that mention the id in their body; they were left as they are.
    pub mentioned_in: Vec<Seq>,
    /// Whether the bytes of the file were searched for the ids afterwards and hold none; null where a search would say
    /// nothing, for the id is too short or others mention it.
    pub searched_clean: Option<bool>,
}

/// Whom to take out, and what else names it.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The customer.
    pub customer_id: String,
    /// Events up to this time.
    pub until: Timestamp,
    /// Events under no customer and no request that mention it.
    pub also: Vec<Seq>,
    /// Whether events that came later, or another customer, may hold parts of it: then the log has to be folded again.
    pub may_fold_again: bool,
}

/// What was taken out.
#[derive(Debug, Default)]
pub struct Taken {
    events: Vec<ErasedEvent>,
    also: Vec<ErasedEvent>,
    requests: u64,
    /// What must not be found in the file any more.
    ids: Vec<String>,
    /// The rows are not what the log says until it is folded again.
    fold_again: bool,
    /// Whether the WAL holds nothing of it any more.
    emptied: bool,
}

impl Taken {
    /// What was taken out, and whether the WAL could be emptied of it.
    pub(super) fn after(taken: Option<Self>, emptied: bool) -> Self {
        Self {
            emptied,
            ..taken.unwrap_or_default()
        }
    }
}

impl Wanted {
    /// Nobody: only the WAL is to be emptied.
    fn nobody() -> Self {
        Self {
            customer_id: String::new(),
            until: Timestamp(i64::MAX),
            also: Vec::new(),
            may_fold_again: false,
        }
    }
}

impl Store {
    /// Erases a customer; `None` when nothing names it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where that takes folding the log again, which needs the daemon to be stopped;
    /// [`StoreError::Unavailable`] when it could not be brought to an end, which the next start does.
    pub async fn erase(&self, customer_id: String) -> Result<Option<Certificate>, StoreError> {
        let inner = &*self.inner;
        let _one_at_a_time = inner.erasing.lock().await;
        // What is durable now is to be erased, so it must be visible now.
        self.wait_projected(self.durable(), super::VISIBLE_WITHIN)
            .await?;
        let id = customer_id.clone();
        let known = self
            .read(move |connection| Ok(load_customer(connection, &id)?.is_some()))
            .await?
            .value;
        let mentions = self.mentions(&customer_id).await?;
        if !known && mentions.free.is_empty() {
            return Ok(None);
        }
        let at = (inner.options.clock)();
        let list_path = inner.options.directory.join(ERASED_FILE);
        let begun_id = customer_id.clone();
        let (mut list, begun) = blocking(move || {
            let mut list = ErasedList::read(&list_path)?;
            let begun = list.begin(&begun_id, at)?;
            Ok((list, begun))
        })
        .await?;
        let wanted = Wanted {
            customer_id,
            until: Timestamp(i64::MAX),
            also: mentions.free.clone(),
            may_fold_again: false,
        };
        let result = self.take_out(wanted).await;
        let At {
            seq: head_seq,
            value: head,
        } = self.head().await?;
        let path = inner.path.clone();
        blocking(move || {
            if let Err(StoreError::Conflict(_)) | Ok(None) = &result {
                list.note(Entry {
                    state: Stage::Dropped,
                    ..begun.clone()
                })?;
            }
            let Some(taken) = result? else {
                return Ok(None);
            };
            list.note(Entry {
                state: Stage::Done,
                also: taken.also.clone(),
                ..begun.clone()
            })?;
            let mentioned_in = mentions.of_others(&taken);
            let searched_clean = is_clean(&path, &taken, &mentioned_in)?;
            Ok(Some(Certificate {
                customer: begun.id,
                erased_at: at,
                requests: taken.requests,
                events: taken.events,
                head_seq,
                head,
                mentioned_in,
                searched_clean,
            }))
        })
        .await
    }

    /// Has a customer taken out, and the WAL emptied as soon as no reader holds it.
    async fn take_out(&self, wanted: Wanted) -> Result<Option<Taken>, StoreError> {
        let Some(mut taken) = self.tell_writer(wanted).await? else {
            return Ok(None);
        };
        let deadline = Instant::now() + READERS_LEAVE_WITHIN;
        while !taken.emptied {
            if Instant::now() > deadline {
                return Err(StoreError::Unavailable(
                    "a reader of the file holds what was erased in the WAL".to_owned(),
                ));
            }
            tokio::time::sleep(LOOK_EVERY).await;
            taken.emptied = self
                .tell_writer(Wanted::nobody())
                .await?
                .is_none_or(|rest| rest.emptied);
        }
        Ok(Some(taken))
    }

    async fn tell_writer(&self, wanted: Wanted) -> Result<Option<Taken>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let stopped = || StoreError::Unavailable("the writer has stopped".to_owned());
        let command = Command::Erase { wanted, reply };
        self.inner.commands.send(command).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    async fn mentions(&self, id: &str) -> Result<Mentions, StoreError> {
        let mut all = Mentions::default();
        let mut from = Seq::START;
        loop {
            let id = id.to_owned();
            let At { seq: tail, value } = self
                .read(move |connection| mentions(connection, &id, from))
                .await?;
            let (until, found) = value;
            all.add(found);
            from = until;
            if from >= tail {
                return Ok(all);
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        Err(StoreError::Unavailable(
            "an erasure ended by a fault".to_owned(),
        ))
    })
}

/// Erases a customer from the file of a data directory that no daemon works on; `None` when nothing names it.
///
/// # Errors
/// [`StoreError::InUse`] when a daemon does; else when file or list cannot be read or written.
pub fn erase_file(
    directory: &Path,
    customer_id: &str,
    at: Timestamp,
    progress: Progress<'_>,
) -> Result<Option<Certificate>, StoreError> {
    let _lock = DirectoryLock::take(directory)?;
    let path = directory.join(FILE_NAME);
    schema::prepare(&path)?;
    maintain::renew_projections(&path)?;
    complete(&path, progress)?;
    catch_up(&path, progress)?;
    let connection = connect(&path, Role::Append)?;
    let mentions = all_mentions(&connection, customer_id, progress)?;
    if load_customer(&connection, customer_id)?.is_none() && mentions.free.is_empty() {
        return Ok(None);
    }
    let mut list = ErasedList::read(&directory.join(ERASED_FILE))?;
    let begun = list.begin(customer_id, at)?;
    let wanted = Wanted {
        customer_id: customer_id.to_owned(),
        until: Timestamp(i64::MAX),
        also: mentions.free.clone(),
        may_fold_again: true,
    };
    drop(connection);
    let taken = take_out_of_file(&path, &wanted, progress)?.unwrap_or_default();
    let mentioned_in = mentions.of_others(&taken);
    let mut searched_clean = is_clean(&path, &taken, &mentioned_in)?;
    if searched_clean == Some(false) {
        // Pages written before everything that is taken out was overwritten may hold remains between their rows.
        let connection = connect(&path, Role::Append)?;
        connection.execute_batch("VACUUM")?;
        super::checkpoint::truncate(&connection)?;
        drop(connection);
        searched_clean = is_clean(&path, &taken, &mentioned_in)?;
    }
    list.note(Entry {
        state: Stage::Done,
        also: taken.also.clone(),
        ..begun.clone()
    })?;
    let (head_seq, head) = connect(&path, Role::Read)?.query_row(
        "SELECT seq, chain FROM log ORDER BY seq DESC LIMIT 1",
        [],
        |row| Ok((seq(row.get(0)?), Chain(row.get(1)?))),
    )?;
    Ok(Some(Certificate {
        customer: begun.id,
        erased_at: at,
        requests: taken.requests,
        events: taken.events,
        head_seq,
        head,
        mentioned_in,
        searched_clean,
    }))
}

/// Takes out of a file, such as a restored backup, what the list of erased ids says was erased since; tells how many
/// customers that were. The file must be nobody else's: a file that is not in place yet, or one whose directory is
/// locked. A customer that came anew after its erasure stays.
///
/// # Errors
/// When file or list cannot be read or written. Doing it again is safe.
pub fn reapply_erasures(
    file: &Path,
    erased_list: &Path,
    progress: Progress<'_>,
) -> Result<u64, StoreError> {
    let list = ErasedList::read(erased_list)?;
    let entries: Vec<_> = list.standing().cloned().collect();
    if entries.is_empty() {
        return Ok(0);
    }
    schema::prepare(file)?;
    maintain::renew_projections(file)?;
    apply(file, &list, &entries, progress)
}

/// Does what was begun and is not known to be done, before anybody works on the file.
///
/// # Errors
/// When file or list cannot be read or written.
pub(super) fn complete(path: &Path, progress: Progress<'_>) -> Result<(), StoreError> {
    let place = path.parent().unwrap_or(Path::new("."));
    let mut list = ErasedList::read(&place.join(ERASED_FILE))?;
    let pending: Vec<_> = list.pending().cloned().collect();
    if pending.is_empty() {
        return Ok(());
    }
    log::info!("an erasure was begun and not known to be done: doing it now");
    apply(path, &list, &pending, progress)?;
    for entry in pending {
        list.note(Entry {
            state: Stage::Done,
            ..entry
        })?;
    }
    Ok(())
}

fn apply(
    path: &Path,
    list: &ErasedList,
    entries: &[Entry],
    progress: Progress<'_>,
) -> Result<u64, StoreError> {
    catch_up(path, progress)?;
    let connection = connect(path, Role::Append)?;
    let mut found: BTreeMap<String, Timestamp> = BTreeMap::new();
    {
        let mut statement = connection.prepare("SELECT customer_id FROM customers")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id: String = row.get(0)?;
            let hash = list.hash(&id);
            let until = entries
                .iter()
                .filter(|entry| Some(&entry.id) == hash.as_ref())
                .map(|entry| entry.at)
                .max();
            if let Some(until) = until {
                found.insert(id, until);
            }
        }
    }
    let mut wanted = Vec::new();
    for (customer_id, until) in found {
        let also = all_mentions(&connection, &customer_id, progress)?.free;
        wanted.push(Wanted {
            customer_id,
            until,
            also,
            may_fold_again: true,
        });
    }
    let mut also = Vec::new();
    for event in entries.iter().flat_map(|entry| &entry.also) {
        let digest: Option<Digest> = digest_of(&connection, event.seq)?;
        if digest == Some(event.digest) {
            also.push(event.seq);
        }
    }
    wanted.push(Wanted {
        also,
        ..Wanted::nobody()
    });
    drop(connection);
    let mut customers = 0;
    for wanted in wanted {
        if take_out_of_file(path, &wanted, progress)?.is_some() && !wanted.customer_id.is_empty() {
            customers += 1;
        }
    }
    super::checkpoint::truncate(&connect(path, Role::Append)?)?;
    Ok(customers)
}

fn catch_up(path: &Path, progress: Progress<'_>) -> Result<(), StoreError> {
    let mut rows = connect(path, Role::Project)?;
    let mut projector = Projector::resume(&rows)?;
    let until = rows.query_row("SELECT coalesce(max(seq), 0) FROM log", [], |row| {
        row.get(0).map(seq)
    })?;
    maintain::fold_up_to(&mut projector, &mut rows, until, progress)
}

fn take_out_of_file(
    path: &Path,
    wanted: &Wanted,
    progress: Progress<'_>,
) -> Result<Option<Taken>, StoreError> {
    let mut connection = connect(path, Role::Append)?;
    let taken = take_out(&mut connection, wanted)?;
    super::checkpoint::truncate(&connection)?;
    drop(connection);
    if taken.as_ref().is_some_and(|taken| taken.fold_again) {
        maintain::fold_again(path, false, progress)?;
    }
    Ok(taken)
}

/// Takes a customer out in one transaction; `None` when there is nothing to take out.
///
/// # Errors
/// [`StoreError::Conflict`] when the log would have to be folded again and may not be.
pub(super) fn take_out(
    connection: &mut Connection,
    wanted: &Wanted,
) -> Result<Option<Taken>, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let plan = Plan::of(&transaction, wanted)?;
    if plan.events.is_empty() {
        return Ok(None);
    }
    if !wanted.may_fold_again && plan.tied {
        return Err(StoreError::Conflict(
            "requests of this customer are those of another too, so the whole log has to be folded again: stop the \
             daemon and erase then"
                .to_owned(),
        ));
    }
    if !wanted.may_fold_again && plan.events.len() > MAX_EVENTS_AT_ONCE {
        return Err(StoreError::Conflict(format!(
            "this customer has more than {MAX_EVENTS_AT_ONCE} events: stop the daemon and erase then"
        )));
    }
    let taken = plan.carry_out(&transaction)?;
    transaction.commit()?;
    Ok(Some(taken))
}

/// What has to go.
#[derive(Default)]
struct Plan {
    customer: Option<Customer>,
    requests: Vec<WaldoRequest>,
    /// Each event, with the keys that it gave.
    events: BTreeMap<Seq, Erased>,
    /// Those of them that are under no customer and no request.
    also: BTreeSet<Seq>,
    /// Whether rows of others, or later events, depend on what goes.
    tied: bool,
}

/// How an event is tied to rows.
struct Ties {
    received_at: Timestamp,
    customer: Option<u64>,
    request: Option<u64>,
    first_of_customer: bool,
    first_of_request: bool,
}

impl Plan {
    fn of(connection: &Connection, wanted: &Wanted) -> Result<Self, StoreError> {
        let mut plan = Self::default();
        for &at in &wanted.also {
            // Since it was found, nothing can have tied it to anybody.
            if ties(connection, at)?.is_some_and(|ties| ties.received_at <= wanted.until) {
                plan.events.insert(at, Erased::default());
                plan.also.insert(at);
            }
        }
        let Some(customer) = load_customer(connection, &wanted.customer_id)? else {
            return Ok(plan);
        };
        let key = customer.links.key;
        let mut requests = BTreeSet::new();
        let mut next = customer.links.last_request;
        while let Some(request) = next {
            requests.insert(request);
            next = request_by_key(connection, request)?
                .and_then(|request| request.previous_of_customer);
        }
        let own = follow(
            connection,
            Link::Customer,
            customer.links.last_event,
            Seq::START,
        )?;
        for at in own {
            if let Some(ties) = ties(connection, at)? {
                requests.extend(ties.request);
                plan.take(at, &ties, wanted.until);
            }
        }
        for request in requests {
            let Some(request) = request_by_key(connection, request)? else {
                continue;
            };
            let is_own = request
                .customer_id
                .as_ref()
                .is_none_or(|owner| *owner == customer.customer_id);
            plan.tied |= !is_own;
            for at in follow(connection, Link::Request, request.last_event, Seq::START)? {
                let Some(ties) = ties(connection, at)? else {
                    continue;
                };
                match ties.customer {
                    Some(named) if named != key => plan.tied = true,
                    None if is_own => plan.take(at, &ties, wanted.until),
                    _ => {}
                }
            }
            if is_own {
                plan.requests.push(request);
            }
        }
        plan.customer = Some(customer);
        Ok(plan)
    }

    fn take(&mut self, at: Seq, ties: &Ties, until: Timestamp) {
        if ties.received_at > until {
            self.tied = true;
            return;
        }
        let gave = Erased {
            customer: ties.first_of_customer,
            request: ties.first_of_request,
        };
        self.events.insert(at, gave);
    }

    fn carry_out(self, connection: &Connection) -> Result<Taken, StoreError> {
        let mut taken = Taken {
            requests: self.requests.len() as u64,
            fold_again: self.tied,
            ..Taken::default()
        };
        let ids = self.customer.iter().map(|customer| &customer.customer_id);
        // Where others are tied to them, others may name the requests.
        let requests = self.requests.iter().filter(|_| !self.tied);
        let ids = ids.chain(requests.map(|request| &request.request_id));
        taken.ids = ids
            .filter(|id| id.len() >= LEAST_SEARCHED)
            .take(MAX_SEARCHED)
            .cloned()
            .collect();
        let mut sums = Sums::default();
        for (&at, &gave) in &self.events {
            // Where all is folded again, keys are given anew.
            let gave = if self.tied { Erased::default() } else { gave };
            let digest = erase_event(connection, at, gave, &mut sums)?;
            let event = ErasedEvent { seq: at, digest };
            if self.also.contains(&at) {
                taken.also.push(event);
            }
            taken.events.push(event);
        }
        if self.tied {
            // A crash from here on leaves rows that no rules have made, and the next start folds again.
            connection.execute("UPDATE projection SET rules_version = 0", [])?;
            return Ok(taken);
        }
        for request in &self.requests {
            if let Some(state) = request.state {
                sums.add("state", state.to_string(), -1);
            }
            if let Some(settled) = settlement(request) {
                sums.add("settled", settled, -1);
            }
            sums.erased_key("requests", request.key);
            connection
                .prepare_cached("DELETE FROM requests WHERE key = ?1")?
                .execute([int(request.key)])?;
        }
        if let Some(customer) = &self.customer {
            if let Some(status) = counted_status(customer) {
                sums.add("status", status, -1);
            }
            sums.erased_key("customers", customer.links.key);
            connection
                .prepare_cached("DELETE FROM customers WHERE key = ?1")?
                .execute([int(customer.links.key)])?;
        }
        sums.save(connection)?;
        Ok(taken)
    }
}

fn ties(connection: &Connection, at: Seq) -> Result<Option<Ties>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT l.received_at, v.customer, v.request, v.previous_of_customer IS NULL, v.previous_of_request IS NULL, \
         v.disposition FROM log l JOIN verdicts v ON v.seq = l.seq WHERE l.seq = ?1",
    )?;
    let mut found = statement.query([int(at.0)])?;
    let Some(row) = found.next()? else {
        return Ok(None);
    };
    if Disposition::from_code(row.get(5)?) == Some(Disposition::Erased) {
        return Ok(None);
    }
    let customer = row.get::<_, Option<i64>>(1)?.map(uint);
    let request = row.get::<_, Option<i64>>(2)?.map(uint);
    Ok(Some(Ties {
        received_at: Timestamp(row.get(0)?),
        customer,
        request,
        first_of_customer: customer.is_some() && row.get(3)?,
        first_of_request: request.is_some() && row.get(4)?,
    }))
}

/// Leaves nothing of an event but its place in the log, and says of it what folding again will say.
fn erase_event(
    connection: &Connection,
    at: Seq,
    gave: Erased,
    sums: &mut Sums,
) -> Result<Digest, StoreError> {
    let (mut event, disposition) = connection
        .prepare_cached(
            "SELECT l.seq, l.received_at, l.source, l.digest, l.size, l.payload, l.reading, v.disposition \
             FROM log l JOIN verdicts v ON v.seq = l.seq WHERE l.seq = ?1",
        )?
        .query_row([int(at.0)], |row| {
            Ok((read_event(row), row.get::<_, i64>(7)?))
        })
        .map(|(event, disposition)| event.map(|event| (event, disposition)))??;
    let disposition = Disposition::from_code(disposition)
        .ok_or_else(|| StoreError::Corrupt("a verdict has an unknown word".to_owned()))?;
    sums.add("disposition", disposition.to_string(), -1);
    sums.add("event", counted_name(&event), -1);
    event.reading = Err(Unreadable::Erased(gave));
    sums.add("disposition", Disposition::Erased.to_string(), 1);
    sums.add("event", counted_name(&event), 1);
    let kept = to_json(&Kept::from(event.reading.clone()))?;
    connection
        .prepare_cached("UPDATE log SET payload = NULL, reading = ?2 WHERE seq = ?1")?
        .execute(params![int(at.0), kept])?;
    connection
        .prepare_cached("DELETE FROM verdicts WHERE seq = ?1")?
        .execute([int(at.0)])?;
    save_verdict(connection, &event, &World::default().step(&event))?;
    Ok(event.digest)
}

/// Events that are not the customer's by their own id, but mention it.
#[derive(Clone, Debug, Default)]
struct Mentions {
    /// Under no customer and no request.
    free: Vec<Seq>,
    /// Under some.
    tied: Vec<Seq>,
}

impl Mentions {
    fn add(&mut self, other: Self) {
        self.free.extend(other.free);
        self.tied.extend(other.tied);
    }

    /// Those that were not taken out.
    fn of_others(&self, taken: &Taken) -> Vec<Seq> {
        let gone: BTreeSet<_> = taken.events.iter().map(|event| event.seq).collect();
        let left = self.tied.iter().filter(|at| !gone.contains(at));
        left.copied().collect()
    }
}

fn all_mentions(
    connection: &Connection,
    id: &str,
    progress: Progress<'_>,
) -> Result<Mentions, StoreError> {
    let tail = connection.query_row("SELECT projected_seq FROM projection", [], |row| {
        row.get(0).map(seq)
    })?;
    let mut all = Mentions::default();
    let mut from = Seq::START;
    while from < tail {
        let (until, found) = mentions(connection, id, from)?;
        all.add(found);
        from = until;
        progress(from.0.min(tail.0), tail.0);
    }
    Ok(all)
}

/// Looks on for events that mention an id: up to where, and which.
fn mentions(connection: &Connection, id: &str, after: Seq) -> Result<(Seq, Mentions), StoreError> {
    let mut found = Mentions::default();
    if id.len() < LEAST_SEARCHED {
        return Ok((Seq(u64::MAX), found));
    }
    let key = load_customer(connection, id)?.map(|customer| customer.links.key);
    let until = Seq(after.0.saturating_add(SCAN_EVENTS));
    let mut statement = connection.prepare_cached(
        "SELECT l.seq, v.customer, v.request, l.payload, CAST(l.reading AS BLOB) FROM log l \
         JOIN verdicts v ON v.seq = l.seq WHERE l.seq > ?1 AND l.seq <= ?2 \
         AND (instr(l.payload, ?3) > 0 OR instr(CAST(l.reading AS BLOB), ?3) > 0)",
    )?;
    let mut rows = statement.query(params![int(after.0), int(until.0), id.as_bytes()])?;
    while let Some(row) = rows.next()? {
        let customer = row.get::<_, Option<i64>>(1)?.map(uint);
        let request = row.get::<_, Option<i64>>(2)?.map(uint);
        let body: Option<Vec<u8>> = row.get(3)?;
        let reading: Option<Vec<u8>> = row.get(4)?;
        let named = [body, reading]
            .iter()
            .flatten()
            .any(|text| stands_alone(text, id.as_bytes()));
        if !named || (customer.is_some() && customer == key) {
            continue;
        }
        let at = seq(row.get(0)?);
        match (customer, request) {
            (None, None) => found.free.push(at),
            _ => found.tied.push(at),
        }
    }
    Ok((until, found))
}

/// Whether a text holds a word, and not only as a part of a longer one.
fn stands_alone(text: &[u8], word: &[u8]) -> bool {
    let in_word = |byte: Option<&u8>| {
        byte.is_some_and(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || !byte.is_ascii()
        })
    };
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| position(rest, word)) {
        let start = from + at;
        let before = start.checked_sub(1).and_then(|index| text.get(index));
        if !in_word(before) && !in_word(text.get(start + word.len())) {
            return true;
        }
        from = start + 1;
    }
    false
}

fn position(text: &[u8], word: &[u8]) -> Option<usize> {
    let first = *word.first()?;
    let mut from = 0;
    loop {
        let rest = text.get(from..)?;
        let at = from + rest.iter().position(|byte| *byte == first)?;
        if text.get(at..).is_some_and(|rest| rest.starts_with(word)) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Whether neither file nor WAL holds the bytes of the ids; `None` where that would say nothing.
fn is_clean(path: &Path, taken: &Taken, mentioned_in: &[Seq]) -> Result<Option<bool>, StoreError> {
    if taken.ids.is_empty() || !mentioned_in.is_empty() {
        return Ok(None);
    }
    for file in [path.to_owned(), schema::wal_path(path)] {
        if holds(&file, &taken.ids).map_err(|source| StoreError::File { path: file, source })? {
            return Ok(Some(false));
        }
    }
    Ok(Some(true))
}

fn holds(path: &Path, ids: &[String]) -> std::io::Result<bool> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let longest = ids.iter().map(String::len).max().unwrap_or(0);
    let mut window = Vec::with_capacity(SEARCH_BYTES + longest);
    loop {
        let read = (&mut file)
            .take(SEARCH_BYTES as u64)
            .read_to_end(&mut window)?;
        if read == 0 {
            return Ok(false);
        }
        if ids
            .iter()
            .any(|id| position(&window, id.as_bytes()).is_some())
        {
            return Ok(true);
        }
        // An id may begin in this part and end in the next.
        window.drain(..window.len().saturating_sub(longest));
    }
}

fn digest_of(connection: &Connection, at: Seq) -> Result<Option<Digest>, StoreError> {
    use rusqlite::OptionalExtension as _;
    Ok(connection
        .prepare_cached("SELECT digest FROM log WHERE seq = ?1")?
        .query_row([int(at.0)], |row| row.get(0).map(Digest))
        .optional()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_as_a_word_only() {
        let id = b"71c0de5a";
        assert!(stands_alone(br#"{"a":"71c0de5a"}"#, id));
        assert!(stands_alone(b"x71c0de5a 71c0de5a", id));
        assert!(!stands_alone(br#"{"a":"71c0de5ab"}"#, id));
        assert!(!stands_alone(b"", id));
    }
}
