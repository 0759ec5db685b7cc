//! Each index against the rows that it should have.

use std::hash::{DefaultHasher, Hasher as _};

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::StoreError;
use super::check::TELL_EVERY;
use super::rows::uint;
use super::schema::PROJECTIONS;
use super::step::{Step, Steps};

/// Each index against the rows of its table: the same entries, and in a unique one each only once.
pub fn indexes(connection: &Connection, steps: Steps<'_>) -> Result<Vec<String>, StoreError> {
    let mut faults = Vec::new();
    let wanted = listed(connection)?;
    let mut counted = Counted {
        done: 0,
        of: wanted.iter().fold(0, |sum, index| index.twice_after(sum)),
        steps,
    };
    counted.tell();
    for index in wanted {
        let Index {
            name,
            table,
            columns,
            condition,
            ..
        } = &index;
        let (quoted_name, quoted_table) = (quoted(name), quoted(table));
        let before = counted.done;
        let entries = Entries::of(
            connection,
            &format!(
                "SELECT rowid, {columns} FROM {quoted_table} INDEXED BY {quoted_name}{condition} ORDER BY {columns}"
            ),
            &mut counted,
        )?;
        let rows = Entries::of(
            connection,
            &format!("SELECT rowid, {columns} FROM {quoted_table} NOT INDEXED{condition}"),
            &mut counted,
        )?;
        // A partial index has less than was reckoned with.
        counted.done = index.twice_after(before);
        counted.tell();
        if (entries.number, entries.sum) != (rows.number, rows.sum) {
            faults.push(format!(
                "the index {name} has {} entries that are not all those of the {} rows of {table}",
                entries.number, rows.number
            ));
        }
        if index.is_unique && entries.repeated {
            faults.push(format!("the index {name} of {table} has an entry twice"));
        }
    }
    Ok(faults)
}

/// An index to be looked at.
struct Index {
    name: String,
    table: String,
    columns: String,
    /// Of a partial index, with its word before it.
    condition: String,
    is_unique: bool,
    /// About how many rows its table has.
    about: u64,
}

impl Index {
    /// Both sides, added to what was before; numbers in a file that somebody made may be anything.
    fn twice_after(&self, before: u64) -> u64 {
        before.saturating_add(self.about).saturating_add(self.about)
    }
}

/// The indexes of our tables. One on more than columns is none of ours, which is told elsewhere.
fn listed(connection: &Connection) -> Result<Vec<Index>, StoreError> {
    let mut statement = connection.prepare(
        "SELECT s.name, s.tbl_name, s.sql, l.\"unique\" FROM sqlite_schema s \
         JOIN pragma_index_list(s.tbl_name) l ON l.name = s.name WHERE s.type = 'index' AND s.tbl_name = ?1 \
         AND NOT EXISTS (SELECT 1 FROM pragma_index_info(s.name) WHERE name IS NULL)",
    )?;
    let mut indexes = Vec::new();
    for table in PROJECTIONS {
        let mut found = statement.query([table])?;
        while let Some(row) = found.next()? {
            let (name, table): (String, String) = (row.get(0)?, row.get(1)?);
            let sql: Option<String> = row.get(2)?;
            let columns = columns_of(connection, &name)?;
            // A partial index is held against the rows that its own condition names. An entry whose row no longer meets it is
            // passed over by every query, and so by this one.
            let condition = sql.as_deref().and_then(|sql| sql.split_once(" WHERE "));
            // Numbers of rows are given one after the other, and looking at the last costs nothing.
            let last = format!("SELECT coalesce(max(rowid), 0) FROM {}", quoted(&table));
            let about = connection
                .query_row(&last, [], |row| row.get(0))
                .map(uint)?;
            indexes.push(Index {
                name,
                table,
                columns,
                condition: condition.map_or(String::new(), |(_, text)| format!(" WHERE {text}")),
                is_unique: row.get(3)?,
                about,
            });
        }
    }
    Ok(indexes)
}

/// How far the comparing is.
struct Counted<'a> {
    done: u64,
    of: u64,
    steps: Steps<'a>,
}

impl Counted<'_> {
    fn tell(&mut self) {
        (self.steps)(Step::Comparing, self.done.min(self.of), self.of);
    }
}

fn columns_of(connection: &Connection, index: &str) -> Result<String, StoreError> {
    let mut statement =
        connection.prepare("SELECT name FROM pragma_index_info(?1) ORDER BY seqno")?;
    let names = statement.query_map([index], |row| row.get::<_, String>(0))?;
    let names = names.map(|name| name.map(|name| quoted(&name)));
    Ok(names.collect::<Result<Vec<_>, _>>()?.join(", "))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What a set of rows comes to, whatever their order.
#[derive(Default)]
struct Entries {
    number: u64,
    sum: u64,
    /// Whether two that follow each other have the same values, none of them null.
    repeated: bool,
}

impl Entries {
    /// Of rows that begin with their rowid.
    fn of(
        connection: &Connection,
        sql: &str,
        counted: &mut Counted<'_>,
    ) -> Result<Self, StoreError> {
        let mut statement = connection.prepare(sql)?;
        let columns = statement.column_count();
        let mut found = statement.query([])?;
        let mut entries = Self::default();
        let mut before = None;
        while let Some(row) = found.next()? {
            let mut hash = DefaultHasher::new();
            let mut any_null = false;
            for column in 1..columns {
                match row.get_ref(column)? {
                    ValueRef::Null => any_null = true,
                    ValueRef::Integer(number) => hash.write_i64(number),
                    ValueRef::Real(number) => hash.write_u64(number.to_bits()),
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                        hash.write(bytes);
                        hash.write_usize(bytes.len());
                    }
                }
            }
            let values = (!any_null).then(|| hash.finish());
            entries.repeated |= values.is_some() && values == before;
            before = values;
            hash.write_i64(row.get(0)?);
            entries.sum = entries.sum.wrapping_add(hash.finish());
            entries.number += 1;
            counted.done += 1;
            if entries.number.is_multiple_of(TELL_EVERY) {
                counted.tell();
            }
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use crate::store::check::check_file;
    use crate::store::schema::{FILE_NAME, Role, connect, prepare};

    /// A file in which an index does not know what happens to its table meanwhile.
    fn changed_behind(index: &str, change: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        prepare(&path).unwrap();
        let connection = connect(&path, Role::Append).unwrap();
        connection
            .execute_batch(
                "INSERT INTO customers (key, customer_id, external_id, evaluations, first_seen_at, updated_at, last_seq, \
                 version, memory) VALUES (1, 'a', 'x', '{}', 0, 0, 0, 0, '{}'), (2, 'b', 'y', '{}', 0, 0, 0, 0, '{}')",
            )
            .unwrap();
        let entry = "type, name, tbl_name, rootpage, sql";
        connection
            .execute_batch(&format!(
                "CREATE TEMP TABLE hidden AS SELECT {entry} FROM sqlite_schema WHERE name = '{index}'; \
                 PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = '{index}'; \
                 PRAGMA writable_schema = RESET; {change}; \
                 PRAGMA writable_schema = ON; INSERT INTO sqlite_schema ({entry}) SELECT {entry} FROM hidden; \
                 PRAGMA writable_schema = RESET;"
            ))
            .unwrap();
        drop(connection);
        check_file(&path, None, &mut |_, _, _| {}).unwrap().faults
    }

    #[test]
    fn an_index_that_lacks_a_row_or_has_another_is_found() {
        let index = "customers_by_external_id";
        assert_eq!(changed_behind(index, ""), [""; 0]);
        for change in [
            "DELETE FROM customers WHERE key = 1",
            "UPDATE customers SET external_id = 'z' WHERE key = 1",
            "UPDATE customers SET key = 3 WHERE key = 1",
        ] {
            let faults = changed_behind(index, change);
            assert!(
                faults.iter().any(|fault| fault.contains(index)),
                "{change}: {faults:?}"
            );
        }
    }
}
