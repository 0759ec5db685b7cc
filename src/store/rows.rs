//! Customers and requests as rows: the one place that knows their columns.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;
use crate::domain::customer::{Customer, Links};
use crate::domain::request::WaldoRequest;
use crate::domain::{Digest, Seq, Timestamp};

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
        context: row.get(13)?,
        registered_seq: row.get::<_, Option<i64>>(14)?.map(seq),
        settled_outright: word(row, 15)?,
        last_event: row.get::<_, Option<i64>>(16)?.map(seq),
        previous_of_customer: row.get::<_, Option<i64>>(17)?.map(uint),
        kyc_ended: row.get(18)?,
        seen: std::collections::HashMap::new(),
    })
}

/// Finds a customer by id.
///
/// # Errors
/// When the file cannot be read.
pub fn load_customer(connection: &Connection, id: &str) -> Result<Option<Customer>, StoreError> {
    let sql = format!("SELECT {CUSTOMER_COLUMNS} FROM customers WHERE customer_id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
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
    let sql = format!("SELECT {REQUEST_COLUMNS} FROM requests WHERE request_id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
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

/// Finds the digests seen under a request, by following its links from the newest event.
///
/// # Errors
/// When the file cannot be read.
pub fn load_seen(connection: &Connection, request: &mut WaldoRequest) -> Result<(), StoreError> {
    let mut digest_of = connection.prepare_cached("SELECT digest FROM log WHERE seq = ?1")?;
    let seqs = follow(connection, Link::Request, request.last_event, Seq::START)?;
    for at in seqs {
        let digest = digest_of.query_row([int(at.0)], |row| row.get(0))?;
        // The walk goes backwards: what is put in last is the first event of that body.
        request.seen.insert(Digest(digest), at);
    }
    Ok(())
}

/// Follows the links of a customer or a request backwards, newest first, from `from` down to, but not including, `after`.
///
/// # Errors
/// When the file cannot be read.
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
/// When the file cannot be read.
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
        next = previous.flatten().map(seq);
    }
    Ok(Some(seqs))
}

/// Which links to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Events of one customer.
    Customer,
    /// Events of one request.
    Request,
}

/// Writes a customer. An update names neither the id nor, unless it changed, the external id: an index is touched by
/// every statement that sets one of its columns, and these are the indexes whose pages lie at random.
///
/// # Errors
/// When the file cannot be written.
pub fn save_customer(connection: &Connection, row: &Customer) -> Result<(), StoreError> {
    let key = int(row.links.key);
    let updated = connection
        .prepare_cached(
            "UPDATE customers SET uri = ?2, status = ?3, kyc = ?4, fraud_score = ?5, flagged = ?6, warnings = ?7, \
             warning_tags = ?8, evaluations = ?9, decided_by = ?10, first_seen_at = ?11, updated_at = ?12, \
             last_seq = ?13, version = ?14, memory = ?15, last_event = ?16, last_request = ?17 WHERE key = ?1",
        )?
        .execute(params![
            key,
            row.uri,
            row.status,
            row.kyc,
            row.fraud_score,
            row.flagged,
            row.warnings,
            row.warning_tags.as_ref().map(to_json).transpose()?,
            to_json(&row.evaluations)?,
            row.decided_by.map(|word| word.as_str()),
            row.first_seen_at.0,
            row.updated_at.0,
            int(row.last_seq.0),
            int(row.version),
            to_json(&row.memory)?,
            row.links.last_event.map(|at| int(at.0)),
            row.links.last_request.map(int),
        ])?;
    if updated == 0 {
        // The row first, by its key and id; what it says by the statement above.
        connection
            .prepare_cached(
                "INSERT INTO customers (key, customer_id, evaluations, first_seen_at, updated_at, last_seq, version, \
                 memory) VALUES (?1, ?2, '{}', 0, 0, 0, 0, '{}')",
            )?
            .execute(params![key, row.customer_id])?;
        return save_customer(connection, row);
    }
    if row.external_id.is_some() {
        connection
            .prepare_cached(
                "UPDATE customers SET external_id = ?2 WHERE key = ?1 AND external_id IS NOT ?2",
            )?
            .execute(params![key, row.external_id])?;
    }
    Ok(())
}

/// Writes a request.
///
/// # Errors
/// When the file cannot be written.
pub fn save_request(connection: &Connection, row: &WaldoRequest) -> Result<(), StoreError> {
    let key = int(row.key);
    let updated = connection
        .prepare_cached(
            "UPDATE requests SET operation = ?2, customer_id = ?3, external_id = ?4, evaluations = ?5, expects = ?6, \
             state = ?7, settled_by = ?8, registered_at = ?9, first_event_at = ?10, settled_at = ?11, \
             deadline_at = ?12, context = ?13, registered_seq = ?14, settled_outright = ?15, last_event = ?16, \
             previous_of_customer = ?17, kyc_ended = ?18 WHERE key = ?1",
        )?
        .execute(params![
            key,
            row.operation.map(|word| word.as_str()),
            row.customer_id,
            row.external_id,
            to_json(&row.evaluations)?,
            to_json(&row.expects)?,
            row.state.map(|word| word.as_str()),
            row.settled_by.map(|word| word.as_str()),
            row.registered_at.map(|at| at.0),
            row.first_event_at.map(|at| at.0),
            row.settled_at.map(|at| at.0),
            row.deadline_at.map(|at| at.0),
            row.context,
            row.registered_seq.map(|at| int(at.0)),
            row.settled_outright.map(|word| word.as_str()),
            row.last_event.map(|at| int(at.0)),
            row.previous_of_customer.map(int),
            row.kyc_ended,
        ])?;
    if updated == 0 {
        connection
            .prepare_cached(
                "INSERT INTO requests (key, request_id, evaluations, expects, kyc_ended) \
                 VALUES (?1, ?2, '{}', '[]', 0)",
            )?
            .execute(params![key, row.request_id])?;
        return save_request(connection, row);
    }
    Ok(())
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
    let text = row.get_ref(column)?.as_str().map_err(|_| corrupt(column))?;
    serde_json::from_str(text).map_err(|_| corrupt(column))
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
        .map_err(|_| corrupt(column))?;
    text.map(|text| serde_json::from_str(text).map_err(|_| corrupt(column)))
        .transpose()
}

fn word<T: std::str::FromStr>(row: &Row<'_>, column: usize) -> Result<Option<T>, StoreError> {
    let text = row
        .get_ref(column)?
        .as_str_or_null()
        .map_err(|_| corrupt(column))?;
    text.map(|text| text.parse().map_err(|_| corrupt(column)))
        .transpose()
}

fn corrupt(column: usize) -> StoreError {
    StoreError::Corrupt(format!(
        "column {column} of a projection does not hold what this program writes"
    ))
}
