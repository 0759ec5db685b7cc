//! What stands in a file's schema beside or instead of what schema.sql makes.
//!
//! A trigger of somebody else's would run in the middle of our writes, and a view or a virtual table under one of our names
//! runs whatever it is made of. Plain tables that others keep in the file, and the indexes on those, do nothing by
//! themselves and are left alone.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

use super::StoreError;
use super::schema::{self, PROJECTIONS};

/// An object by its kind and its name.
type Name = (String, String);

/// The table that it belongs to, and its definition without comments and line breaks; indexes that SQLite makes by itself
/// have none.
type Definition = (String, Option<String>);

/// What is not as schema.sql has it.
struct Fault {
    text: String,
    /// Whether it is one of our tables, so that nothing can be read from it.
    is_table: bool,
    /// Whether it belongs to a table that the log gives again.
    is_derived: bool,
}

/// What is not as schema.sql has it, of several the first.
pub struct Alterations {
    /// Something of others that could act, or that the log is another: nothing is to be done with the file.
    pub refused: Option<StoreError>,
    /// Something of the tables that the log gives again.
    pub derived: Option<StoreError>,
}

/// Looks at the schema of an open file once, before anything is done with it.
///
/// # Errors
/// When the file cannot be read.
pub fn look(connection: &Connection, path: &Path) -> Result<Alterations, StoreError> {
    let found = all(connection)?.into_iter();
    let (derived, refused): (Vec<_>, Vec<_>) = found.partition(|fault| fault.is_derived);
    let first = |faults: Vec<Fault>| Some(faults.into_iter().next()?.of(path));
    Ok(Alterations {
        refused: first(refused),
        derived: first(derived),
    })
}

impl Fault {
    fn of(self, path: &Path) -> StoreError {
        StoreError::Altered {
            path: path.to_owned(),
            fault: self.text,
        }
    }
}

/// What is not as schema.sql has it, one line each.
///
/// # Errors
/// [`StoreError::Corrupt`] where a table of ours is none or another one, so that nothing can be read from it, and where an
/// object is there twice; else when the file cannot be read.
pub fn faults(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let line = |fault: Fault| match fault.is_table {
        true => Err(StoreError::Corrupt(fault.text)),
        false => Ok(fault.text),
    };
    all(connection)?.into_iter().map(line).collect()
}

fn all(connection: &Connection) -> Result<Vec<Fault>, StoreError> {
    let ours = objects(&schema::in_memory()?)?;
    let found = objects(connection)?;
    let mut faults = Vec::new();
    for (name, definition) in &ours {
        let what = match found.get(name) {
            Some(same) if same == definition => continue,
            Some((table, _)) if *table == definition.0 => "another than ours",
            _ => "missing",
        };
        let is_derived = PROJECTIONS.contains(&definition.0.as_str());
        let advice = match &definition.1 {
            // One that is made by hand would be empty, under rows that tell of events.
            _ if !is_derived && name.0 == "table" => {
                "`waldo-syncd restore` puts a backup in its place".to_owned()
            }
            Some(definition) if !is_derived => format!("it has to be: {definition}"),
            _ => "a daemon that starts on the file makes it again from the log".to_owned(),
        };
        faults.push(Fault {
            text: format!("the {} {} is {what}; {advice}", name.0, name.1),
            is_table: name.0 == "table",
            is_derived,
        });
    }
    let foreign = found
        .iter()
        .filter(|(name, (table, _))| ours.get(*name).is_none_or(|ours| ours.0 != *table));
    for ((kind, name), (table, definition)) in foreign {
        // SQLite holds the name against the definition, in any case of letters.
        let is_of_ours = ours
            .keys()
            .any(|(kind, ours)| kind == "table" && ours.eq_ignore_ascii_case(table));
        // While it is there, ours cannot be made.
        let has_name_of_ours = ours.keys().any(|(_, ours)| ours.eq_ignore_ascii_case(name));
        let is_passive = match kind.as_str() {
            _ if has_name_of_ours => false,
            "table" => begins_with(definition, &["CREATE TABLE "]),
            "index" if is_of_ours => false,
            "index" => {
                definition.is_none()
                    || begins_with(definition, &["CREATE INDEX ", "CREATE UNIQUE INDEX "])
            }
            _ => false,
        };
        if !is_passive {
            faults.push(Fault {
                text: format!(
                    "the {kind} {name} on {table} is none of ours; DROP {} takes it out",
                    kind.to_uppercase()
                ),
                is_table: false,
                is_derived: false,
            });
        }
    }
    Ok(faults)
}

/// Whether a definition begins as SQLite itself writes it, however the statement was put. SQLite runs whatever stands there,
/// be it of the named kind or not.
fn begins_with(definition: &Option<String>, beginnings: &[&str]) -> bool {
    let text = definition.as_deref().unwrap_or_default();
    beginnings
        .iter()
        .any(|beginning| text.starts_with(beginning))
}

fn objects(connection: &Connection) -> Result<BTreeMap<Name, Definition>, StoreError> {
    let mut statement =
        connection.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema")?;
    let rows = statement.query_map([], |row| {
        let definition: Option<String> = row.get(3)?;
        let definition = definition.map(|text| without_comments(&text));
        Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, definition)))
    })?;
    let mut objects = BTreeMap::new();
    for row in rows {
        let (name, definition): (Name, Definition) = row?;
        // One of them would hide the other from us, and not from SQLite.
        if objects.contains_key(&name) {
            let fault = format!("the {} {} is there twice", name.0, name.1);
            return Err(StoreError::Corrupt(fault));
        }
        objects.insert(name, definition);
    }
    Ok(objects)
}

/// Comments of schema.sql stand in the file as they were when it was made, and may be put better later. What stands in a
/// literal is none.
fn without_comments(definition: &str) -> String {
    let mut words = Vec::new();
    let mut is_in_literal = false;
    for line in definition.lines() {
        let has_odd_quotes = |text: &str| text.matches('\'').count() % 2 == 1;
        let code = line
            .match_indices("--")
            .filter_map(|(at, _)| line.get(..at))
            .find(|before| has_odd_quotes(before) == is_in_literal)
            .unwrap_or(line);
        is_in_literal ^= has_odd_quotes(code);
        words.extend(code.split_ascii_whitespace());
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_after(change: &str) -> Result<Vec<String>, StoreError> {
        let connection = schema::in_memory().unwrap();
        connection.execute_batch(change).unwrap();
        faults(&connection)
    }

    #[test]
    fn what_is_not_defined_as_sqlite_defines_a_plain_table_or_index_is_a_fault() {
        let kept_as = |kind: &str, definition: &str| {
            faults_after(&format!(
                "PRAGMA writable_schema = ON;
                 INSERT INTO sqlite_schema VALUES ('{kind}', 'f', 'f', 0, {definition})"
            ))
            .unwrap()
        };
        for (kind, definition) in [
            ("table", "'CREATE VIRTUAL TABLE f USING fts5 (a)'"),
            ("table", "'CREATE/**/VIRTUAL TABLE f USING fts5 (a)'"),
            (
                "table",
                "'CREATE /* TABLE */ VIRTUAL TABLE f USING fts5 (a)'",
            ),
            ("table", "'create virtual TABLE f USING fts5 (a)'"),
            ("table", "NULL"),
            (
                "index",
                "'CREATE TRIGGER f DELETE ON log BEGIN SELECT 1; END'",
            ),
        ] {
            let faults = kept_as(kind, definition);
            assert_eq!(faults.len(), 1, "{definition}: {faults:?}");
        }
        assert_eq!(kept_as("table", "'CREATE TABLE virtual (a)'"), [""; 0]);
    }

    #[test]
    fn an_index_of_ours_is_known_by_its_table_whatever_stands_beside_its_definition() {
        let with_table = |table: &str| {
            let connection = schema::in_memory().unwrap();
            let change = format!(
                "CREATE TABLE theirs (a);
                 CREATE INDEX i ON log (digest);
                 PRAGMA writable_schema = ON;
                 UPDATE sqlite_schema SET tbl_name = '{table}' WHERE name = 'i';
                 PRAGMA writable_schema = RESET"
            );
            connection.execute_batch(&change)?;
            faults(&connection)
        };
        let faults = with_table("LOG").unwrap();
        let expected = "the index i on LOG is none of ours; DROP INDEX takes it out";
        assert_eq!(faults, [expected]);
        // That it is on another table SQLite itself does not believe.
        for table in ["theirs", "nothing"] {
            let error = with_table(table).unwrap_err().to_string();
            assert!(error.contains("malformed"), "{table}: {error}");
        }
    }

    #[test]
    fn only_comments_and_white_space_of_sqls_make_no_difference() {
        let same = |left, right| without_comments(left) == without_comments(right);
        assert!(same("SELECT 1, -- it's one\n  'a'", "SELECT 1, 'a' --"));
        assert!(same("SELECT 'a--b' -- 'c", "SELECT 'a--b'"));
        assert!(!same("SELECT 'the -- log'; DELETE", "SELECT 'the -- log'"));
        assert!(!same(
            "SELECT 'the\n-- log'; DELETE",
            "SELECT 'the\n-- log'"
        ));
        assert!(!same("SELECT\u{a0}1", "SELECT 1"));
    }

    #[test]
    fn what_could_act_in_our_tables_is_a_fault_and_what_only_lies_there_is_none() {
        for harmless in [
            "",
            "CREATE TABLE theirs (a UNIQUE); CREATE INDEX their_index ON theirs (a)",
            "create /**/ table theirs (a); create unique index their_index on theirs (a)",
            "CREATE TABLE theirs (a INTEGER PRIMARY KEY AUTOINCREMENT)",
            "ANALYZE",
        ] {
            assert_eq!(faults_after(harmless).unwrap(), [""; 0], "{harmless}");
        }
        for (change, named) in [
            (
                "CREATE TRIGGER t AFTER INSERT ON log BEGIN SELECT 1; END",
                "trigger t on log",
            ),
            (
                "CREATE TABLE theirs (a); CREATE TRIGGER t DELETE ON theirs BEGIN SELECT 1; END",
                "trigger t on theirs",
            ),
            ("CREATE VIEW v AS SELECT * FROM log", "view v"),
            ("CREATE INDEX i ON log (digest)", "index i on log"),
            (
                "DROP TRIGGER log_keeps_its_rows",
                "trigger log_keeps_its_rows is missing",
            ),
            (
                "DROP TRIGGER log_keeps_its_rows; CREATE TRIGGER log_keeps_its_rows BEFORE DELETE ON log BEGIN SELECT 1; END",
                "trigger log_keeps_its_rows is another",
            ),
            (
                "DROP TRIGGER log_keeps_its_rows; CREATE TRIGGER log_keeps_its_rows BEFORE DELETE ON log
                 BEGIN SELECT RAISE(ABORT, 'the -- mutable
                 log is append-only'); END",
                "trigger log_keeps_its_rows is another",
            ),
            ("DROP INDEX requests_open", "index requests_open is missing"),
            (
                "DROP INDEX requests_open; CREATE TABLE theirs (a); CREATE INDEX requests_open ON theirs (a)",
                "index requests_open on theirs is none of ours",
            ),
            (
                "DROP INDEX requests_open; CREATE TABLE Requests_Open (a)",
                "table Requests_Open on Requests_Open is none of ours",
            ),
        ] {
            let faults = faults_after(change).unwrap();
            assert!(
                faults.iter().any(|fault| fault.contains(named)),
                "{change}: {faults:?}"
            );
        }
        for change in [
            "ALTER TABLE customers ADD COLUMN more TEXT",
            "DROP TABLE minutes",
            "DROP TABLE minutes; CREATE VIEW minutes AS SELECT 1",
            "PRAGMA writable_schema = ON; INSERT INTO sqlite_schema SELECT * FROM sqlite_schema WHERE type = 'trigger'",
        ] {
            let error = faults_after(change).unwrap_err();
            assert!(matches!(error, StoreError::Corrupt(_)), "{change}: {error}");
        }
    }
}
