//! What has to go with a customer, and how it goes: in one transaction, from the log and from the rows.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, TransactionBehavior, params};

use super::LEAST_SEARCHED;
use crate::domain::customer::Customer;
use crate::domain::fold::World;
use crate::domain::payload::{Erased, Kept, Unreadable};
use crate::domain::request::WaldoRequest;
use crate::domain::{Digest, Disposition, Seq, Timestamp};
use crate::store::StoreError;
use crate::store::erased::ErasedEvent;
use crate::store::project::{INSERT_VERDICT, read_event, save_verdict};
use crate::store::rows::{
    Link, follow, int, load_customer, must_be_taken_out, request_by_key, requests_of, to_json, uint,
};
use crate::store::sums::{Settlement, Sums, counted_name, counted_status};

/// Events that are erased at once beside a running daemon, whose writer does nothing else meanwhile.
const MAX_EVENTS_AT_ONCE: usize = 20_000;
/// Request ids that are looked for in the bytes of the file, beside the customer's.
const MAX_SEARCHED: usize = 16;

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
    pub(super) events: Vec<ErasedEvent>,
    pub(super) also: Vec<ErasedEvent>,
    pub(super) requests: u64,
    /// What must not be found in the file any more.
    pub(super) ids: Vec<String>,
    /// The rows are not what the log says until it is folded again.
    pub(super) fold_again: bool,
    /// Whether the WAL holds nothing of it any more.
    pub(super) emptied: bool,
}

impl Taken {
    /// Nothing was taken out, but the id must not be found all the same.
    pub fn of_id(id: &str) -> Self {
        let ids = Some(id.to_owned()).filter(|id| id.len() >= LEAST_SEARCHED);
        Self {
            ids: ids.into_iter().collect(),
            ..Self::default()
        }
    }

    /// What was taken out, and whether the WAL could be emptied of it.
    pub fn after(taken: Option<Self>, emptied: bool) -> Self {
        Self {
            emptied,
            ..taken.unwrap_or_default()
        }
    }
}

impl Wanted {
    /// Nobody: only the WAL is to be emptied.
    pub fn nobody() -> Self {
        Self {
            customer_id: String::new(),
            until: Timestamp(i64::MAX),
            also: Vec::new(),
            may_fold_again: false,
        }
    }
}

/// Takes a customer out in one transaction; `None` when there is nothing to take out.
///
/// # Errors
/// [`StoreError::Conflict`] when the log would have to be folded again and may not be.
pub fn take_out(connection: &mut Connection, wanted: &Wanted) -> Result<Option<Taken>, StoreError> {
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
        let requests = requests_of(connection, &customer)?;
        let mut requests: BTreeSet<_> = requests.iter().map(|request| request.key).collect();
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
                sums.add("state", state.as_str().into(), -1);
            }
            if let Some(settled) = Settlement::of(request) {
                sums.add("settled", settled.to_string().into(), -1);
            }
            sums.erased_key("requests", request.key);
            let gone = connection
                .prepare_cached("DELETE FROM requests WHERE key = ?1")?
                .execute([int(request.key)])?;
            must_be_taken_out(gone, "request", request.key)?;
        }
        if let Some(customer) = &self.customer {
            if let Some(status) = counted_status(customer) {
                sums.add("status", status.into(), -1);
            }
            sums.erased_key("customers", customer.links.key);
            let gone = connection
                .prepare_cached("DELETE FROM customers WHERE key = ?1")?
                .execute([int(customer.links.key)])?;
            must_be_taken_out(gone, "customer", customer.links.key)?;
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
    sums.add("disposition", disposition.as_str().into(), -1);
    sums.add("event", counted_name(&event), -1);
    event.reading = Err(Unreadable::Erased(gave));
    sums.add("disposition", Disposition::Erased.as_str().into(), 1);
    sums.add("event", counted_name(&event), 1);
    let kept = to_json(&Kept::from(event.reading.clone()))?;
    let changed = connection
        .prepare_cached("UPDATE log SET payload = NULL, reading = ?2 WHERE seq = ?1")?
        .execute(params![int(at.0), kept])?;
    must_be_taken_out(changed, "event", at.0)?;
    let gone = connection
        .prepare_cached("DELETE FROM verdicts WHERE seq = ?1")?
        .execute([int(at.0)])?;
    must_be_taken_out(gone, "verdict", at.0)?;
    let mut insert = connection.prepare_cached(INSERT_VERDICT)?;
    save_verdict(&mut insert, &event, &World::default().step(&event))?;
    Ok(event.digest)
}
