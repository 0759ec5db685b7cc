//! Customers and requests as rows: the one place that knows their columns.

use std::collections::HashSet;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, ToSql, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::StoreError;
use crate::domain::customer::{Customer, Links};
use crate::domain::request::WaldoRequest;
use crate::domain::{Digest, Operation, Origin, Seq, SettledBy, State, Timestamp};

/// Our unsigned numbers as SQLite's signed ones; they count up from 1 and never come near the edge.
#[must_use]
pub fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// SQLite's signed numbers as ours.
#[must_use]
pub fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A seq from a column.
#[must_use]
pub fn seq(number: i64) -> Seq {
    Seq(uint(number))
}

/// The columns of a customer, in the order that `customer` reads them.
pub const CUSTOMER_COLUMNS: &str = "key, customer_id, external_id, uri, status, kyc, fraud_score, flagged, warnings, \
     warning_tags, evaluations, decided_by, first_seen_at, updated_at, last_seq, version, memory, last_event, last_request";

/// The columns of a request, in the order that `request` reads them.
pub const REQUEST_COLUMNS: &str = "key, request_id, operation, customer_id, external_id, evaluations, expects, state, \
     settled_by, registered_at, first_event_at, settled_at, deadline_at, context, registered_seq, settled_outright, \
     last_event, previous_of_customer, kyc_ended";

/// Reads a customer from a row of [`CUSTOMER_COLUMNS`].
///
/// # Errors
/// [`StoreError::Corrupt`] where a column does not hold what we write.
pub fn customer(row: &Row<'_>) -> Result<Customer, StoreError> {
    Ok(Customer {
        customer_id: row.get(1)?,
        external_id: row.get(2)?,
        uri: row.get(3)?,
        status: row.get(4)?,
        kyc: row.get(5)?,
        fraud_score: row.get(6)?,
        flagged: row.get(7)?,
        warnings: row.get(8)?,
        warning_tags: optional_json(row, 9)?,
        evaluations: json(row, 10)?,
        decided_by: word(row, 11)?,
        first_seen_at: Timestamp(row.get(12)?),
        updated_at: Timestamp(row.get(13)?),
        last_seq: seq(row.get(14)?),
        version: uint(row.get(15)?),
        memory: json(row, 16)?,
        links: Links {
            key: uint(row.get(0)?),
            last_event: row.get::<_, Option<i64>>(17)?.map(seq),
            last_request: row.get::<_, Option<i64>>(18)?.map(uint),
        },
    })
}

/// Reads a request from a row of [`REQUEST_COLUMNS`].
///
/// # Errors
/// [`StoreError::Corrupt`] where a column does not hold what we write.
pub fn request(row: &Row<'_>) -> Result<WaldoRequest, StoreError> {
    let time = |column| -> rusqlite::Result<Option<Timestamp>> {
        Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp))
    };
    Ok(WaldoRequest {
        key: uint(row.get(0)?),
        request_id: row.get(1)?,
        operation: word(row, 2)?,
        customer_id: row.get(3)?,
        external_id: row.get(4)?,
        evaluations: json(row, 5)?,
        expects: json(row, 6)?,
        state: word(row, 7)?,
        settled_by: word(row, 8)?,
        registered_at: time(9)?,
        first_event_at: time(10)?,
        settled_at: time(11)?,
        deadline_at: time(12)?,
        context: optional_json(row, 13)?.map(text_of),
        registered_seq: row.get::<_, Option<i64>>(14)?.map(seq),
        settled_outright: word(row, 15)?,
        last_event: row.get::<_, Option<i64>>(16)?.map(seq),
        previous_of_customer: row.get::<_, Option<i64>>(17)?.map(uint),
        kyc_ended: row.get(18)?,
        seen: std::collections::HashMap::new(),
    })
}

fn text_of(json: Box<RawValue>) -> String {
    Box::<str>::from(json).into()
}

fn customer_by_id_sql() -> String {
    format!("SELECT {CUSTOMER_COLUMNS} FROM customers WHERE customer_id = ?1")
}

fn request_by_id_sql() -> String {
    format!("SELECT {REQUEST_COLUMNS} FROM requests WHERE request_id = ?1")
}

/// Finds a customer by id.
///
/// # Errors
/// When the file cannot be read.
pub fn load_customer(connection: &Connection, id: &str) -> Result<Option<Customer>, StoreError> {
    let mut statement = connection.prepare_cached(&customer_by_id_sql())?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(customer).transpose()
}

/// Finds a customer by key.
///
/// # Errors
/// When the file cannot be read.
pub fn customer_by_key(connection: &Connection, key: u64) -> Result<Option<Customer>, StoreError> {
    let sql = format!("SELECT {CUSTOMER_COLUMNS} FROM customers WHERE key = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([int(key)])?;
    rows.next()?.map(customer).transpose()
}

/// Finds a request by id.
///
/// # Errors
/// When the file cannot be read.
pub fn load_request(connection: &Connection, id: &str) -> Result<Option<WaldoRequest>, StoreError> {
    let mut statement = connection.prepare_cached(&request_by_id_sql())?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(request).transpose()
}

/// Finds a request by key.
///
/// # Errors
/// When the file cannot be read.
pub fn request_by_key(
    connection: &Connection,
    key: u64,
) -> Result<Option<WaldoRequest>, StoreError> {
    let sql = format!("SELECT {REQUEST_COLUMNS} FROM requests WHERE key = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([int(key)])?;
    rows.next()?.map(request).transpose()
}

/// Follows the links of a customer or a request backwards, newest first, from `from` down to, but not including, `after`.
///
/// # Errors
/// [`StoreError::Corrupt`] where a link leads to no event before; else when the file cannot be read.
pub fn follow(
    connection: &Connection,
    link: Link,
    from: Option<Seq>,
    after: Seq,
) -> Result<Vec<Seq>, StoreError> {
    let seqs = follow_some(connection, link, from, after, usize::MAX)?;
    Ok(seqs.unwrap_or_default())
}

/// The same; `None` when there are more than so many.
///
/// # Errors
/// As [`follow`].
pub fn follow_some(
    connection: &Connection,
    link: Link,
    from: Option<Seq>,
    after: Seq,
    most: usize,
) -> Result<Option<Vec<Seq>>, StoreError> {
    let sql = match link {
        Link::Customer => "SELECT previous_of_customer FROM verdicts WHERE seq = ?1",
        Link::Request => "SELECT previous_of_request FROM verdicts WHERE seq = ?1",
    };
    let mut statement = connection.prepare_cached(sql)?;
    let mut seqs = Vec::new();
    let mut next = from;
    while let Some(at) = next.filter(|at| *at > after) {
        if seqs.len() == most {
            return Ok(None);
        }
        seqs.push(at);
        let previous: Option<Option<i64>> = statement
            .query_row([int(at.0)], |row| row.get(0))
            .optional()?;
        next = previous.ok_or_else(|| no_way_on("event", at.0))?.map(seq);
        // Links go down, or there would be no end to them.
        if next.is_some_and(|next| next >= at) {
            return Err(no_way_on("event", at.0));
        }
    }
    Ok(Some(seqs))
}

/// The requests of a customer, by the links from the newest.
///
/// # Errors
/// [`StoreError::Corrupt`] where a link leads to no request or to one that was passed; else when the file cannot be read.
pub fn requests_of(
    connection: &Connection,
    customer: &Customer,
) -> Result<Vec<WaldoRequest>, StoreError> {
    let mut found = Vec::new();
    let mut passed = HashSet::new();
    let mut next = customer.links.last_request;
    while let Some(key) = next {
        // The links go by when the customer became known for a request, which need not be the order of the keys.
        let request = request_by_key(connection, key)?.filter(|_| passed.insert(key));
        let request = request.ok_or_else(|| no_way_on("request", key))?;
        next = request.previous_of_customer;
        found.push(request);
    }
    Ok(found)
}

fn no_way_on(what: &str, at: u64) -> StoreError {
    StoreError::Corrupt(format!("the links of the tables are broken at {what} {at}"))
}

/// Which links to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Events of one customer.
    Customer,
    /// Events of one request.
    Request,
}

/// Finds rows by their ids, again and again.
pub struct Finder<'c> {
    customer: CachedStatement<'c>,
    request: CachedStatement<'c>,
    connection: &'c Connection,
}

impl<'c> Finder<'c> {
    /// Finds by a connection.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of(connection: &'c Connection) -> Result<Self, StoreError> {
        Ok(Self {
            customer: connection.prepare_cached(&customer_by_id_sql())?,
            request: connection.prepare_cached(&request_by_id_sql())?,
            connection,
        })
    }

    /// Finds a customer.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn customer(&mut self, id: &str) -> Result<Option<Customer>, StoreError> {
        let mut rows = self.customer.query([id])?;
        rows.next()?.map(customer).transpose()
    }

    /// Finds a request, with the digests seen under it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn request(&mut self, id: &str) -> Result<Option<WaldoRequest>, StoreError> {
        let mut rows = self.request.query([id])?;
        let found = rows.next()?.map(request).transpose()?;
        drop(rows);
        found.map(|found| self.with_seen(found)).transpose()
    }

    /// Finds a request by its key, with the digests seen under it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn request_by_key(&self, key: u64) -> Result<Option<WaldoRequest>, StoreError> {
        let found = request_by_key(self.connection, key)?;
        found.map(|found| self.with_seen(found)).transpose()
    }

    /// The digests are found by following the links from the newest event.
    fn with_seen(&self, mut request: WaldoRequest) -> Result<WaldoRequest, StoreError> {
        let mut digest_of = self
            .connection
            .prepare_cached("SELECT digest FROM log WHERE seq = ?1")?;
        let newest = request.last_event;
        for at in follow(self.connection, Link::Request, newest, Seq::START)? {
            let digest = digest_of.query_row([int(at.0)], |row| row.get(0))?;
            // The walk goes backwards: what is put in last is the first event of that body.
            request.seen.insert(Digest(digest), at);
        }
        Ok(request)
    }
}

/// Writes rows, each by one statement.
pub struct Keeper<'c> {
    insert_customer: CachedStatement<'c>,
    update_customer: CachedStatement<'c>,
    insert_request: CachedStatement<'c>,
    update_request: CachedStatement<'c>,
    connection: &'c Connection,
}

impl<'c> Keeper<'c> {
    /// Writes by a connection.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of(connection: &'c Connection) -> Result<Self, StoreError> {
        Ok(Self {
            insert_customer: connection.prepare_cached(
                "INSERT INTO customers (key, external_id, uri, status, kyc, fraud_score, flagged, warnings, \
                 warning_tags, evaluations, decided_by, first_seen_at, updated_at, last_seq, version, memory, \
                 last_event, last_request, customer_id) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
            )?,
            // An index is touched by every statement that sets one of its columns, and those on ids are the indexes whose
            // pages lie at random: this names neither id.
            update_customer: connection.prepare_cached(
                "UPDATE customers SET uri = ?3, status = ?4, kyc = ?5, fraud_score = ?6, flagged = ?7, warnings = ?8, \
                 warning_tags = ?9, evaluations = ?10, decided_by = ?11, first_seen_at = ?12, updated_at = ?13, \
                 last_seq = ?14, version = ?15, memory = ?16, last_event = ?17, last_request = ?18 \
                 WHERE key = ?1 AND external_id IS ?2",
            )?,
            insert_request: connection.prepare_cached(
                "INSERT INTO requests (key, operation, customer_id, external_id, evaluations, expects, state, \
                 settled_by, registered_at, first_event_at, settled_at, deadline_at, context, registered_seq, \
                 settled_outright, last_event, previous_of_customer, kyc_ended, request_id) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
            )?,
            update_request: connection.prepare_cached(
                "UPDATE requests SET operation = ?2, customer_id = ?3, external_id = ?4, evaluations = ?5, \
                 expects = ?6, state = ?7, settled_by = ?8, registered_at = ?9, first_event_at = ?10, \
                 settled_at = ?11, deadline_at = ?12, context = ?13, registered_seq = ?14, settled_outright = ?15, \
                 last_event = ?16, previous_of_customer = ?17, kyc_ended = ?18 WHERE key = ?1",
            )?,
            connection,
        })
    }

    /// Writes a customer.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn customer(&mut self, row: &Customer, new: bool) -> Result<(), StoreError> {
        let key = int(row.links.key);
        let tags = row.warning_tags.as_ref().map(to_json).transpose()?;
        let evaluations = to_json(&row.evaluations)?;
        let memory = to_json(&row.memory)?;
        let columns: &[&dyn ToSql] = params![
            key,
            row.external_id,
            row.uri,
            row.status,
            row.kyc,
            row.fraud_score,
            row.flagged,
            row.warnings,
            tags,
            evaluations,
            row.decided_by.map(Origin::as_str),
            row.first_seen_at.0,
            row.updated_at.0,
            int(row.last_seq.0),
            int(row.version),
            memory,
            row.links.last_event.map(|at| int(at.0)),
            row.links.last_request.map(int),
            row.customer_id,
        ];
        let without_id = columns.get(..columns.len() - 1).unwrap_or(columns);
        if new {
            self.insert_customer.execute(columns)?;
        } else if self.update_customer.execute(without_id)? == 0 {
            self.connection
                .prepare_cached("UPDATE customers SET external_id = ?2 WHERE key = ?1")?
                .execute(params![key, row.external_id])?;
            self.update_customer.execute(without_id)?;
        }
        Ok(())
    }

    /// Writes a request.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn request(&mut self, row: &WaldoRequest, new: bool) -> Result<(), StoreError> {
        let evaluations = to_json(&row.evaluations)?;
        let expects = to_json(&row.expects)?;
        let columns: &[&dyn ToSql] = params![
            int(row.key),
            row.operation.map(Operation::as_str),
            row.customer_id,
            row.external_id,
            evaluations,
            expects,
            row.state.map(State::as_str),
            row.settled_by.map(SettledBy::as_str),
            row.registered_at.map(|at| at.0),
            row.first_event_at.map(|at| at.0),
            row.settled_at.map(|at| at.0),
            row.deadline_at.map(|at| at.0),
            row.context,
            row.registered_seq.map(|at| int(at.0)),
            row.settled_outright.map(State::as_str),
            row.last_event.map(|at| int(at.0)),
            row.previous_of_customer.map(int),
            row.kyc_ended,
            row.request_id,
        ];
        let without_id = columns.get(..columns.len() - 1).unwrap_or(columns);
        if new {
            self.insert_request.execute(columns)?;
        } else {
            self.update_request.execute(without_id)?;
        }
        Ok(())
    }
}

/// Makes sure that the statement that was to take something out has changed one row: a trigger of others may keep it.
///
/// # Errors
/// [`StoreError::Corrupt`] where it has not.
pub fn must_be_taken_out(changed: usize, what: &str, number: u64) -> Result<(), StoreError> {
    if changed == 1 {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!(
        "{what} {number} cannot be taken out: something in the file keeps it"
    )))
}

/// A value as JSON text.
///
/// # Errors
/// Never for the maps, lists and structs of texts and numbers that are kept here.
pub fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// A value from a column of JSON text.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is not what we write.
pub fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T, StoreError> {
    let text = row
        .get_ref(column)?
        .as_str()
        .map_err(|_| corrupt(row, column))?;
    serde_json::from_str(text).map_err(|_| corrupt(row, column))
}

/// A value from a column of JSON text or null.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is not what we write.
pub fn optional_json<T: DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> Result<Option<T>, StoreError> {
    let text = row
        .get_ref(column)?
        .as_str_or_null()
        .map_err(|_| corrupt(row, column))?;
    text.map(|text| serde_json::from_str(text).map_err(|_| corrupt(row, column)))
        .transpose()
}

/// A word from a column of text or null.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is none of ours.
pub fn word<T: std::str::FromStr>(row: &Row<'_>, column: usize) -> Result<Option<T>, StoreError> {
    let text = row
        .get_ref(column)?
        .as_str_or_null()
        .map_err(|_| corrupt(row, column))?;
    text.map(|text| text.parse().map_err(|_| corrupt(row, column)))
        .transpose()
}

/// A column that does not hold what we write.
pub(super) fn corrupt(row: &Row<'_>, column: usize) -> StoreError {
    let statement: &rusqlite::Statement<'_> = row.as_ref();
    let name = statement.column_name(column).unwrap_or("unknown");
    StoreError::Corrupt(format!(
        "the column {name} of a row does not hold what this program writes"
    ))
}
