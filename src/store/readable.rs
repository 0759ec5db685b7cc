//! Each row of the tables can be read as what it is, and is linked as the log has it.
//!
//! SQLite sees whether a column holds text, and not what the text says: a row that was damaged in the middle of its JSON,
//! or by somebody's hand, is whole to it. So is a table that lacks a row.

use rusqlite::{Connection, Row};

use super::StoreError;
use super::check::{MAX_FAULTS, TELL_EVERY};
use super::links::{Links, Ties};
use super::rows::{self, CUSTOMER_COLUMNS, REQUEST_COLUMNS, seq, uint};
use super::step::{Step, Steps};
use crate::domain::view::Before;
use crate::domain::{Disposition, Evidence, Origin};

/// A table, its columns with the number of the row as the first, and how a row of them is read.
type Table = (
    &'static str,
    &'static str,
    fn(&Row<'_>, &mut Links) -> Result<(), StoreError>,
);

const TABLES: [Table; 3] = [
    ("customers", CUSTOMER_COLUMNS, |row, links| {
        links.customer(&rows::customer(row)?);
        Ok(())
    }),
    ("requests", REQUEST_COLUMNS, |row, links| {
        links.request(&rows::request(row)?);
        Ok(())
    }),
    (
        "verdicts",
        "seq, origin, evidence, disposition, problems, replaced, customer, previous_of_customer, request, \
         previous_of_request",
        verdict,
    ),
];

fn verdict(row: &Row<'_>, links: &mut Links) -> Result<(), StoreError> {
    let number = |column| Ok::<_, StoreError>(row.get::<_, Option<i64>>(column)?.map(uint));
    links.verdict(&Ties {
        seq: seq(row.get(0)?),
        customer: (number(6)?, number(7)?),
        request: (number(8)?, number(9)?),
    });
    Origin::from_code(row.get(1)?).ok_or_else(|| rows::corrupt(row, 1))?;
    Evidence::from_code(row.get(2)?).ok_or_else(|| rows::corrupt(row, 2))?;
    Disposition::from_code(row.get(3)?).ok_or_else(|| rows::corrupt(row, 3))?;
    rows::optional_json::<Vec<String>>(row, 4)?;
    rows::optional_json::<Before>(row, 5)?;
    Ok(())
}

/// What to do about each of them.
const CURE: &str = "the log gives it again, in a data directory by `waldo-syncd rebuild`";

/// The rows that cannot be read, are missing or are not linked as they should be, one line each. To be asked within a transaction.
///
/// # Errors
/// When the file cannot be read.
pub fn unreadable(connection: &Connection, steps: Steps<'_>) -> Result<Vec<String>, StoreError> {
    let mut faults = Vec::new();
    let (mut done, mut of) = (0_u64, 0_u64);
    for (table, ..) in TABLES {
        // Numbers of rows are given one after the other, and looking at the last costs nothing.
        let last = format!("SELECT coalesce(max(rowid), 0) FROM {table}");
        of = of.saturating_add(
            connection
                .query_row(&last, [], |row| row.get(0))
                .map(uint)?,
        );
    }
    let projected = "SELECT projected_seq FROM projection";
    let projected = seq(connection.query_row(projected, [], |row| row.get(0))?);
    let mut links = Links::default();
    steps(Step::Reading, done, of);
    for (table, columns, read) in TABLES {
        let sql = format!("SELECT {columns} FROM {table} ORDER BY rowid");
        let mut statement = connection.prepare(&sql)?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            done += 1;
            if done.is_multiple_of(TELL_EVERY) {
                steps(Step::Reading, done.min(of), of);
            }
            let Err(error) = read(row, &mut links) else {
                continue;
            };
            let number: i64 = row.get(0)?;
            faults.push(format!(
                "row {number} of {table} cannot be read: {error}; {CURE}"
            ));
            if faults.len() == MAX_FAULTS {
                return Ok(faults);
            }
        }
    }
    let broken = links.end(projected, faults.is_empty());
    faults.extend(broken.iter().map(|text| format!("{text}; {CURE}")));
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema::{in_memory, start_projections};

    #[test]
    fn whoever_waits_is_told_how_far_the_reading_is() {
        let connection = in_memory().unwrap();
        let rows = "WITH RECURSIVE n (seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n WHERE seq < 20000) \
                    INSERT INTO verdicts (seq, disposition, origin, evidence) SELECT seq, 1, 1, 1 FROM n";
        connection.execute(rows, []).unwrap();
        start_projections(&connection).unwrap();
        let projected = "UPDATE projection SET projected_seq = 20000";
        connection.execute(projected, []).unwrap();
        let mut told = Vec::new();
        let found = unreadable(&connection, &mut |step, done, of| {
            told.push((step, done, of))
        });
        assert_eq!(found.unwrap(), [""; 0]);
        let expected = [0, 10_000, 20_000].map(|done| (Step::Reading, done, 20_000));
        assert_eq!(told, expected);
    }
}
