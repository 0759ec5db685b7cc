//! Each row of the tables can be read as what it is.
//!
//! SQLite sees whether a column holds text, and not what the text says: a row that was damaged in the middle of its JSON,
//! or by somebody's hand, is whole to it.

use rusqlite::{Connection, Row};

use super::StoreError;
use super::check::MAX_FAULTS;
use super::rows::{self, CUSTOMER_COLUMNS, REQUEST_COLUMNS};
use crate::domain::view::Before;
use crate::domain::{Disposition, Evidence, Origin};

/// A table, its columns with the number of the row as the first, and how a row of them is read.
type Table = (
    &'static str,
    &'static str,
    fn(&Row<'_>) -> Result<(), StoreError>,
);

const TABLES: [Table; 3] = [
    ("customers", CUSTOMER_COLUMNS, |row| {
        rows::customer(row).map(drop)
    }),
    ("requests", REQUEST_COLUMNS, |row| {
        rows::request(row).map(drop)
    }),
    (
        "verdicts",
        "seq, origin, evidence, disposition, problems, replaced",
        verdict,
    ),
];

fn verdict(row: &Row<'_>) -> Result<(), StoreError> {
    Origin::from_code(row.get(1)?).ok_or_else(|| rows::corrupt(row, 1))?;
    Evidence::from_code(row.get(2)?).ok_or_else(|| rows::corrupt(row, 2))?;
    Disposition::from_code(row.get(3)?).ok_or_else(|| rows::corrupt(row, 3))?;
    rows::optional_json::<Vec<String>>(row, 4)?;
    rows::optional_json::<Before>(row, 5)?;
    Ok(())
}

/// The rows that cannot be read, one line each.
///
/// # Errors
/// When the file cannot be read.
pub fn unreadable(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut faults = Vec::new();
    for (table, columns, read) in TABLES {
        let mut statement = connection.prepare(&format!("SELECT {columns} FROM {table}"))?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            let Err(error) = read(row) else { continue };
            let number: i64 = row.get(0)?;
            faults.push(format!(
                "row {number} of {table} cannot be read: {error}; `waldo-syncd rebuild` makes it again from the log"
            ));
            if faults.len() == MAX_FAULTS {
                return Ok(faults);
            }
        }
    }
    Ok(faults)
}
