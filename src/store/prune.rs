//! Takes old payloads out of the log. What was read of each stays in its place, so that folding again gives the same
//! rows; seq, time, digest and link stay as they are, so that the chain stays whole.
//!
//! What is old is looked for by a reader. The writer only gets small steps, between its appends, and a step that is lost
//! in a crash is found again by the next look.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::maintain::Progress;
use super::objects;
use super::project::read_event;
use super::rows::{int, must_be_taken_out, seq, to_json, uint};
use super::schema::{self, DirectoryLock, FILE_NAME, Role, connect};
use super::writer::Command;
use super::{Store, StoreError};
use crate::domain::payload::Kept;
use crate::domain::{Seq, Timestamp};

/// Payloads taken out in one step.
const STEP_EVENTS: usize = 128;
/// Bytes of payloads taken out in one step; one larger payload still goes alone.
const STEP_BYTES: u64 = 1 << 20;
/// Events looked at in one go.
const SCAN_EVENTS: u64 = 20_000;

/// What was taken out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Payloads.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Where to go on, where the time did not do; `None` at the end.
    pub next: Option<Seq>,
}

/// Payloads to be taken out, and up to where was looked.
struct Old {
    seqs: Vec<Seq>,
    looked_up_to: Seq,
    tail: Seq,
}

impl Store {
    /// Takes out the payloads of events that came before a time, after a seq. Goes on for `patience` and then says where
    /// to go on.
    ///
    /// # Errors
    /// When the file cannot be read or written; what was taken out until then stays so.
    pub async fn prune(
        &self,
        before: Timestamp,
        after: Seq,
        patience: Duration,
    ) -> Result<Pruned, StoreError> {
        let deadline = Instant::now() + patience;
        let mut pruned = Pruned::default();
        let mut from = after;
        loop {
            let old = self
                .read(move |connection| old_payloads(connection, before, from))
                .await?
                .value;
            if !old.seqs.is_empty() {
                let (reply, answer) = oneshot::channel();
                let stopped = || StoreError::Unavailable("the writer has stopped".to_owned());
                let command = Command::Prune {
                    seqs: old.seqs,
                    reply,
                };
                self.inner.commands.send(command).map_err(|_| stopped())?;
                let taken_out = answer.await.map_err(|_| stopped())?;
                self.inner.readers.changed();
                pruned.add(taken_out?);
            }
            from = old.looked_up_to;
            if from >= old.tail {
                return Ok(pruned);
            }
            if Instant::now() >= deadline {
                pruned.next = Some(from);
                return Ok(pruned);
            }
        }
    }
}

impl Pruned {
    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.bytes += other.bytes;
    }
}

/// Takes old payloads out of the file of a data directory that no daemon works on.
///
/// # Errors
/// [`StoreError::InUse`] when a daemon does; else when the file cannot be read or written.
pub fn prune_file(
    directory: &Path,
    before: Timestamp,
    progress: Progress<'_>,
) -> Result<Pruned, StoreError> {
    let _lock = DirectoryLock::take(directory)?;
    let path = directory.join(FILE_NAME);
    schema::prepare(&path)?;
    let mut connection = connect(&path, Role::Append)?;
    let altered = objects::look(&connection, &path)?;
    // How far the rules have seen the log stands in a table that the log gives again.
    if let Some(fault) = altered.refused.or(altered.derived) {
        return Err(fault);
    }
    let mut pruned = Pruned::default();
    let mut from = Seq::START;
    loop {
        let old = old_payloads(&connection, before, from)?;
        pruned.add(take_out(&mut connection, &old.seqs)?);
        from = old.looked_up_to;
        progress(from.0, old.tail.0);
        if from >= old.tail {
            break;
        }
    }
    super::checkpoint::truncate(&connection)?;
    Ok(pruned)
}

/// Looks on after a seq for payloads that came before a time, for as many as one step takes out. Only what is projected
/// is looked at: nothing is taken out before the rules have seen it.
fn old_payloads(connection: &Connection, before: Timestamp, after: Seq) -> Result<Old, StoreError> {
    let tail =
        seq(connection.query_row("SELECT projected_seq FROM projection", [], |row| row.get(0))?);
    let until = Seq(after.0.saturating_add(SCAN_EVENTS).min(tail.0));
    let mut old = Old {
        seqs: Vec::new(),
        looked_up_to: until,
        tail,
    };
    let mut statement = connection.prepare_cached(
        "SELECT seq, length(payload) FROM log WHERE seq > ?1 AND seq <= ?2 AND received_at < ?3 \
         AND payload IS NOT NULL ORDER BY seq",
    )?;
    let mut found = statement.query(params![int(after.0), int(until.0), before.0])?;
    let mut bytes = 0;
    while let Some(row) = found.next()? {
        let at = seq(row.get(0)?);
        bytes += uint(row.get(1)?);
        if !old.seqs.is_empty() && (old.seqs.len() == STEP_EVENTS || bytes > STEP_BYTES) {
            old.looked_up_to = Seq(at.0 - 1);
            break;
        }
        old.seqs.push(at);
    }
    Ok(old)
}

/// Puts what was read of each payload in its place, in one transaction.
///
/// # Errors
/// When the file cannot be read or written; nothing is changed then.
pub(super) fn take_out(connection: &mut Connection, seqs: &[Seq]) -> Result<Pruned, StoreError> {
    let mut pruned = Pruned::default();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut select = transaction.prepare_cached(
            "SELECT seq, received_at, source, digest, size, payload, reading, length(payload) FROM log \
             WHERE seq = ?1 AND payload IS NOT NULL",
        )?;
        let mut update = transaction
            .prepare_cached("UPDATE log SET payload = NULL, reading = ?2 WHERE seq = ?1")?;
        for at in seqs {
            let mut found = select.query([int(at.0)])?;
            let Some(row) = found.next()? else {
                continue;
            };
            pruned.bytes += uint(row.get(7)?);
            pruned.events += 1;
            let kept = to_json(&Kept::from(read_event(row)?.reading))?;
            let changed = update.execute(params![int(at.0), kept])?;
            must_be_taken_out(changed, "event", at.0)?;
        }
    }
    transaction.commit()?;
    Ok(pruned)
}
