//! `rebuild`: the log folded again.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use super::StoreError;
use super::objects;
use super::project::{Projector, SliceLimits};
use super::restore::RESTORE_KIND;
use super::rows::{seq, uint};
use super::schema::{
    self, DirectoryLock, FILE_NAME, PROJECTIONS, Role, connect, inspect, projections_sql, scratch,
};
use super::workplace::{self, Workplace};
use crate::domain::{RULES_VERSION, Seq};

/// Told how far a long work is: done, of.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// How the folders begin in which the log is folded again.
const REBUILD_KIND: &str = ".rebuild-";

/// How often `rebuild --diff` tries to meet a daemon that projects on.
const MAX_CHASES: usize = 200;

/// One row that folding again gives differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// Rows only in the file as it is.
    pub only_before: u64,
    /// Rows only in what folding again gives.
    pub only_after: u64,
}

/// Removes what a rebuild or a restore that was broken off has left in a data directory: copies of all that is in the file,
/// which would outlast an erasure.
pub fn sweep(directory: &Path) {
    for kind in [REBUILD_KIND, RESTORE_KIND] {
        workplace::sweep(directory, kind);
    }
}

/// Folds the log of a data directory again and tells what differs; unless it is only to tell, puts the fresh tables in
/// place of the old ones in one transaction.
///
/// # Errors
/// [`StoreError::InUse`] when a daemon works on the file and the tables are to be replaced; else when the file cannot
/// be read or written.
pub fn rebuild_file(
    directory: &Path,
    only_tell: bool,
    progress: Progress<'_>,
) -> Result<Vec<Difference>, StoreError> {
    let _lock = if only_tell {
        None
    } else {
        Some(DirectoryLock::take(directory)?)
    };
    let path = directory.join(FILE_NAME);
    let open = inspect(&path)?;
    schema::recognise(&open, &path)?;
    let altered = objects::look(&open, &path)?;
    if let Some(fault) = altered.refused.filter(|_| !only_tell).or(altered.derived) {
        return Err(fault);
    }
    fold_again(&path, only_tell, progress).map_err(|error| error.of_file(&path))
}

/// The rules that made the projections; `None` where nothing says so.
pub(super) fn made_by(connection: &Connection) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT rules_version FROM projection";
    Ok(connection.query_row(sql, [], |row| row.get(0)).optional()?)
}

/// Empties the projections if other rules made them, or if their tables are not as schema.sql has them. Whoever projects
/// then begins at the first event, with the doors open: neither the length of the log nor a fault in a rule keeps the daemon
/// from starting.
///
/// # Errors
/// [`StoreError::Altered`] where something of others could act, or the log is another: nothing is done then; when the file
/// cannot be read or written.
pub(super) fn begin_anew(path: &Path) -> Result<(), StoreError> {
    let mut connection = connect(path, Role::Append)?;
    let altered = objects::look(&connection, path)?;
    if let Some(fault) = altered.refused {
        return Err(fault);
    }
    if let Some(fault) = altered.derived {
        log::warn!("{fault}; all tables are made again, webhooks are taken meanwhile");
    } else {
        let made_by = made_by(&connection)?.unwrap_or_default();
        if made_by == RULES_VERSION {
            return Ok(());
        }
        log::info!(
            "the tables were made by rules {made_by}: they are made again from the log by rules {RULES_VERSION}, \
             webhooks are taken meanwhile"
        );
    }
    let transaction = connection.transaction()?;
    make_empty(&transaction)?;
    schema::start_projections(&transaction)?;
    transaction.commit()?;
    empty_wal(&connection);
    Ok(())
}

/// Empties the WAL after what is done already; where that cannot be, it stays for the next who tries.
fn empty_wal(connection: &Connection) {
    if let Err(error) = super::checkpoint::truncate(connection) {
        log::info!("the WAL stays beside the file for now: {error}");
    }
}

/// Puts empty projections in place of those that are there.
fn make_empty(connection: &Connection) -> Result<(), StoreError> {
    for table in PROJECTIONS {
        connection.execute_batch(&format!("DROP TABLE IF EXISTS main.{table}"))?;
    }
    Ok(connection.execute_batch(projections_sql()?)?)
}

pub(super) fn fold_again(
    path: &Path,
    only_tell: bool,
    progress: Progress<'_>,
) -> Result<Vec<Difference>, StoreError> {
    let place = path.parent().unwrap_or(Path::new("."));
    let folder = Workplace::make(place, REBUILD_KIND).map_err(|source| StoreError::Directory {
        path: place.to_owned(),
        source,
    })?;
    let scratch_path = folder.path().join("projections.db");
    let mut fresh = scratch(&scratch_path, path)?;
    let mut projector = Projector::resume(&fresh)?;
    // A daemon may be projecting on: caught up with once, it is seldom more than a moment ahead.
    for _ in 0..MAX_CHASES {
        let until = target(&fresh)?;
        fold_up_to(&mut projector, &mut fresh, until, progress)?;
        // From here to the end of the transaction both sides stand still.
        let still = fresh.unchecked_transaction()?;
        if target(&still)? == projector.projected() {
            let differences = compare(&still)?;
            drop(still);
            drop(fresh);
            if !only_tell {
                swap(path, &scratch_path)?;
            }
            return Ok(differences);
        }
    }
    Err(StoreError::Unavailable(
        "the daemon is too busy to be compared with".to_owned(),
    ))
}

/// Up to where the file's own projections stand, for only then do both speak of the same events; a log that was cut
/// short of that is folded to its end.
fn target(fresh: &Connection) -> Result<Seq, StoreError> {
    let sql = "SELECT min(projected_seq, (SELECT coalesce(max(seq), 0) FROM real.log)) FROM real.projection";
    Ok(fresh.query_row(sql, [], |row| row.get(0)).map(seq)?)
}

pub(super) fn fold_up_to(
    projector: &mut Projector,
    fresh: &mut Connection,
    until: Seq,
    progress: Progress<'_>,
) -> Result<(), StoreError> {
    while projector.projected() < until {
        let left = until.0 - projector.projected().0;
        let mut limits = SliceLimits::offline();
        limits.events = limits
            .events
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        projector.slice(fresh, limits, &|| false)?;
        if let Some(halt) = projector.halt() {
            let (seq, reason) = (halt.seq, &halt.reason);
            return Err(StoreError::Corrupt(format!(
                "event {seq} cannot be folded: {reason}"
            )));
        }
        progress(projector.projected().0, until.0);
    }
    Ok(())
}

/// Compares the scratch database with the real one, table by table.
fn compare(fresh: &Connection) -> Result<Vec<Difference>, StoreError> {
    let count = |left: &str, right: &str| -> Result<u64, StoreError> {
        let sql =
            format!("SELECT count(*) FROM (SELECT * FROM {left} EXCEPT SELECT * FROM {right})");
        Ok(uint(fresh.query_row(&sql, [], |row| row.get(0))?))
    };
    let mut differences = Vec::new();
    for table in PROJECTIONS {
        let (before, after) = (format!("real.{table}"), format!("main.{table}"));
        let difference = Difference {
            table: table.to_owned(),
            only_before: count(&before, &after)?,
            only_after: count(&after, &before)?,
        };
        if difference.only_before + difference.only_after > 0 {
            differences.push(difference);
        }
    }
    Ok(differences)
}

/// Puts the scratch tables in place of the file's, in one transaction.
fn swap(path: &Path, scratch_path: &Path) -> Result<(), StoreError> {
    let mut connection = connect(path, Role::Append)?;
    connection.execute(
        "ATTACH DATABASE ?1 AS fresh",
        [scratch_path.to_string_lossy()],
    )?;
    let transaction = connection.transaction()?;
    make_empty(&transaction)?;
    for table in PROJECTIONS {
        transaction.execute_batch(&format!(
            "INSERT INTO main.{table} SELECT * FROM fresh.{table}"
        ))?;
    }
    transaction.commit()?;
    connection.execute_batch("DETACH DATABASE fresh")?;
    empty_wal(&connection);
    Ok(())
}
