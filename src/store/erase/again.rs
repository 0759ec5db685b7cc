//! Erases again what the list of erased ids says: from a restored backup, and at a start what was begun and is not known
//! to be done. The file is nobody else's meanwhile.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};

use super::search::all_mentions;
use super::{Taken, Wanted, take_out};
use crate::domain::{Digest, Seq, Timestamp};
use crate::store::StoreError;
use crate::store::checkpoint::{move_some, truncate, truncated};
use crate::store::erased::{ERASED_FILE, Entry, ErasedList, Stage};
use crate::store::maintain::{self, Progress};
use crate::store::project::Projector;
use crate::store::rows::{int, seq};
use crate::store::schema::{self, Role, connect};

/// Events that are folded before what that wrote is moved out of the WAL.
const CATCH_UP_EVENTS: u64 = 20_000;

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
    maintain::begin_anew(file)?;
    let customers = apply(file, &list, &entries, progress)?;
    truncate(&connect(file, Role::Append)?)?;
    Ok(customers)
}

/// Does what was begun and is not known to be done, before anybody works on the file; its tables are those of these rules.
/// The part of a line that a crash left in the list is cut off.
///
/// # Errors
/// [`StoreError::Unavailable`] where another program reads the file: all is taken out then, and the WAL may still hold it;
/// else when file or list cannot be read or written.
pub(in crate::store) fn complete(path: &Path, progress: Progress<'_>) -> Result<(), StoreError> {
    let place = path.parent().unwrap_or(Path::new("."));
    let mut list = ErasedList::read(&place.join(ERASED_FILE))?;
    list.cut()?;
    let pending: Vec<_> = list.pending().cloned().collect();
    if pending.is_empty() {
        return Ok(());
    }
    log::info!("an erasure was begun and not known to be done: doing it now");
    if let Err(error) = apply(path, &list, &pending, progress) {
        let StoreError::Corrupt(damage) = error else {
            return Err(error);
        };
        log::warn!("{damage}; all tables are made again from the log, for the erasure needs them");
        maintain::fold_again(path, false, progress)?;
        apply(path, &list, &pending, progress)?;
    }
    truncate(&connect(path, Role::Append)?)?;
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
        let also = all_mentions(&connection, &customer_id, progress)?.free_seqs();
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
    Ok(customers)
}

/// Projects all that is in the log.
///
/// # Errors
/// When the file cannot be read or written.
pub(super) fn catch_up(path: &Path, progress: Progress<'_>) -> Result<(), StoreError> {
    let mut rows = connect(path, Role::Project)?;
    let mut projector = Projector::resume(&rows)?;
    let until = rows.query_row("SELECT coalesce(max(seq), 0) FROM log", [], |row| {
        row.get(0).map(seq)
    })?;
    while projector.projected() < until {
        let next = Seq(projector.projected().0.saturating_add(CATCH_UP_EVENTS)).min(until);
        let told = &mut |done, _| progress(done, until.0);
        maintain::fold_up_to(&mut projector, &mut rows, next, told)?;
        // Nobody else does, and the WAL would become longer than the file.
        move_some(&rows)?;
    }
    Ok(())
}

/// Takes a customer out, folding the log again where that takes it. The WAL is still to be emptied.
///
/// # Errors
/// When the file cannot be read or written.
pub(super) fn take_out_of_file(
    path: &Path,
    wanted: &Wanted,
    progress: Progress<'_>,
) -> Result<Option<Taken>, StoreError> {
    let mut connection = connect(path, Role::Append)?;
    let taken = take_out(&mut connection, wanted)?;
    // Whoever holds it is waited for once, at the end.
    connection.busy_timeout(Duration::ZERO)?;
    truncated(&connection)?;
    drop(connection);
    if taken.as_ref().is_some_and(|taken| taken.fold_again) {
        maintain::fold_again(path, false, progress)?;
    }
    Ok(taken)
}

fn digest_of(connection: &Connection, at: Seq) -> Result<Option<Digest>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT digest FROM log WHERE seq = ?1")?
        .query_row([int(at.0)], |row| row.get(0).map(Digest))
        .optional()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Chain, Source};
    use crate::store::schema::{FILE_NAME, prepare};

    #[test]
    fn what_catching_up_writes_is_moved_out_of_the_wal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        prepare(&path).unwrap();
        // Whoever closes the file last would move it too.
        let other = connect(&path, Role::Append).unwrap();
        let sql = "INSERT INTO log (received_at, source, size, digest, chain, payload) VALUES (0, ?1, 2, ?2, ?3, ?4)";
        let body = b"{}";
        let columns = rusqlite::params![
            Source::Webhook.code(),
            Digest::of(body).0,
            Chain::GENESIS.0,
            body
        ];
        for _ in 0..3 {
            other.execute(sql, columns).unwrap();
        }
        let mut told = Vec::new();
        catch_up(&path, &mut |done, of| told.push((done, of))).unwrap();
        assert_eq!(told, [(3, 3)]);
        let of_wal = "PRAGMA wal_checkpoint(NOOP)";
        let (pages, moved): (i64, i64) = other
            .query_row(of_wal, [], |row| Ok((row.get(1)?, row.get(2)?)))
            .unwrap();
        assert!(pages > 0 && moved == pages, "{moved} of {pages}");
    }
}
