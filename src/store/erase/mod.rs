//! Takes one customer out: payloads, readings, rows and ids, so that SQLite holds no byte of them any more.
//!
//! An erased event keeps its seq, time, source, size, digest and link; in the place of its payload stands only whether it
//! gave a customer or a request its key, so that folding again gives all others the same rows. Where the customer's
//! events and requests are tied to no other customer, the rows that folding again would not give are deleted in the same
//! transaction. Where they are tied, only folding again tells what is left; that needs the file to itself.
//!
//! The intent is noted in the list of erased ids before anything is changed, and what a crash left undone is done at the
//! next start.

mod again;
mod plan;
mod search;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::oneshot;

use super::checkpoint::truncate;
use super::erased::{ERASED_FILE, Entry, ErasedEvent, ErasedList, HashedId, Stage};
use super::maintain::{self, Progress};
use super::raw::RawFile;
use super::rows::{load_customer, seq};
use super::schema::{self, DirectoryLock, FILE_NAME, Role, connect, inspect};
use super::writer::Command;
use super::{At, Store, StoreError};
use crate::domain::{Chain, Seq, Timestamp};

pub use again::reapply_erasures;
pub use plan::{Taken, Wanted};

pub(super) use again::complete;
use again::{catch_up, take_out_of_file};
pub(super) use plan::take_out;
use search::{Mentions, all_mentions, is_clean, mentions};

/// Ids shorter than this are not looked for in other bodies, nor in the bytes of the file: they would be found in what
/// does not mean them.
const LEAST_SEARCHED: usize = 8;
/// How long a reader may hold what was erased in the WAL before whoever asked is told so.
const READERS_LEAVE_WITHIN: Duration = Duration::from_secs(20);
/// How often is seen whether it still does.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What was done, to be kept by whoever asked for it. It names nobody.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Certificate {
    /// The customer, as the list of erased ids has it.
    pub customer: HashedId,
    /// When.
    pub erased_at: Timestamp,
    /// What was erased: the place of each event in the log, and what its body was.
    pub events: Vec<ErasedEvent>,
    /// How many requests went with it.
    pub requests: u64,
    /// The end of the log at that time.
    pub head_seq: Seq,
    /// The end of the chain at that time.
    pub head: Chain,
    /// Events of others that mention the id in their body; they were left as they are.
    pub mentioned_in: Vec<Seq>,
    /// Whether the bytes of the file were searched for the ids afterwards and hold none; null where a search would say
    /// nothing, for the id is too short or others mention it.
    pub searched_clean: Option<bool>,
}

impl Store {
    /// Erases a customer; `None` when nothing names it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where that takes folding the log again, which needs the daemon to be stopped;
    /// [`StoreError::Unavailable`] when it could not be brought to an end, which the next start does.
    pub async fn erase(&self, customer_id: String) -> Result<Option<Certificate>, StoreError> {
        let store = self.clone();
        // Whoever asked may hang up: what was begun goes on to its end.
        tokio::spawn(async move { store.erase_to_the_end(customer_id).await })
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("a fault ended it".to_owned())))
    }

    async fn erase_to_the_end(
        &self,
        customer_id: String,
    ) -> Result<Option<Certificate>, StoreError> {
        let inner = &*self.inner;
        let _one_at_a_time = inner.erasing.lock().await;
        // What is durable now is to be erased, so it must be visible now.
        self.wait_projected(self.durable(), crate::store::facts::VISIBLE_WITHIN)
            .await?;
        let id = customer_id.clone();
        let known = self
            .read(move |connection| Ok(load_customer(connection, &id)?.is_some()))
            .await?
            .value;
        let mentions = self.mentions(&customer_id).await?;
        if !known && mentions.free.is_empty() {
            return Ok(None);
        }
        let at = (inner.options.clock)();
        let list_path = inner.options.directory.join(ERASED_FILE);
        let (begun_id, also) = (customer_id.clone(), mentions.free.clone());
        let (mut list, begun) = blocking(move || {
            let mut list = ErasedList::read(&list_path)?;
            let begun = list.begin(&begun_id, at, also)?;
            Ok((list, begun))
        })
        .await?;
        let wanted = Wanted {
            customer_id,
            until: Timestamp(i64::MAX),
            also: mentions.free_seqs(),
            may_fold_again: false,
        };
        let result = self.take_out(wanted).await;
        inner.news.forget();
        inner.readers.changed();
        let At {
            seq: head_seq,
            value: head,
        } = self.head().await?;
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            if let Err(StoreError::Conflict(_)) | Ok(None) = &result {
                list.note(Entry {
                    state: Stage::Dropped,
                    ..begun.clone()
                })?;
            }
            let Some(taken) = result? else {
                return Ok(None);
            };
            list.note(Entry {
                state: Stage::Done,
                also: taken.also.clone(),
                ..begun.clone()
            })?;
            let mentioned_in = mentions.of_others(&taken);
            let searched_clean = is_clean(&inner.path, &inner.raw, &taken, &mentioned_in)?;
            Ok(Some(Certificate {
                customer: begun.id,
                erased_at: at,
                requests: taken.requests,
                events: taken.events,
                head_seq,
                head,
                mentioned_in,
                searched_clean,
            }))
        })
        .await
    }

    /// Has a customer taken out, and the WAL emptied as soon as no reader holds it.
    async fn take_out(&self, wanted: Wanted) -> Result<Option<Taken>, StoreError> {
        let _apart = self.inner.readers.apart();
        let Some(mut taken) = self.tell_writer(wanted).await? else {
            return Ok(None);
        };
        let deadline = Instant::now() + READERS_LEAVE_WITHIN;
        while !taken.emptied {
            if Instant::now() > deadline {
                return Err(StoreError::Unavailable(
                    "a reader of the file holds what was erased in the WAL".to_owned(),
                ));
            }
            tokio::time::sleep(LOOK_EVERY).await;
            taken.emptied = self
                .tell_writer(Wanted::nobody())
                .await?
                .is_none_or(|rest| rest.emptied);
        }
        Ok(Some(taken))
    }

    async fn tell_writer(&self, wanted: Wanted) -> Result<Option<Taken>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let stopped = || StoreError::Unavailable("the writer has stopped".to_owned());
        let command = Command::Erase { wanted, reply };
        self.inner.commands.send(command).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    async fn mentions(&self, id: &str) -> Result<Mentions, StoreError> {
        let mut all = Mentions::default();
        let mut from = Seq::START;
        loop {
            let id = id.to_owned();
            let At { seq: tail, value } = self
                .read(move |connection| mentions(connection, &id, from))
                .await?;
            let (until, found) = value;
            all.add(found);
            from = until;
            if from >= tail {
                return Ok(all);
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        Err(StoreError::Unavailable(
            "an erasure ended by a fault".to_owned(),
        ))
    })
}

/// Erases a customer from the file of a data directory that no daemon works on; `None` when nothing names it.
///
/// # Errors
/// [`StoreError::InUse`] when a daemon does; else when file or list cannot be read or written.
pub fn erase_file(
    directory: &Path,
    customer_id: &str,
    at: Timestamp,
    progress: Progress<'_>,
) -> Result<Option<Certificate>, StoreError> {
    let _lock = DirectoryLock::take(directory)?;
    maintain::sweep(directory);
    let path = directory.join(FILE_NAME);
    schema::prepare(&path)?;
    let raw = RawFile::open(&path)?;
    maintain::begin_anew(&path)?;
    complete(&path, progress)?;
    catch_up(&path, progress)?;
    let connection = connect(&path, Role::Append)?;
    let mentions = all_mentions(&connection, customer_id, progress)?;
    let mut list = ErasedList::read(&directory.join(ERASED_FILE))?;
    let known = load_customer(&connection, customer_id)?.is_some() || !mentions.free.is_empty();
    // Who was erased before may have left remains in unused places of the file.
    let nothing = Taken::of_id(customer_id);
    if !known {
        let erased = list.names(customer_id);
        if !erased || is_clean(&path, &raw, &nothing, &mentions.tied)? != Some(false) {
            return Ok(None);
        }
    }
    let begun = list.begin(customer_id, at, mentions.free.clone())?;
    let wanted = Wanted {
        customer_id: customer_id.to_owned(),
        until: Timestamp(i64::MAX),
        also: mentions.free_seqs(),
        may_fold_again: true,
    };
    drop(connection);
    let taken = take_out_of_file(&path, &wanted, progress)?;
    truncate(&connect(&path, Role::Append)?)?;
    let taken = taken.unwrap_or(nothing);
    let mentioned_in = mentions.of_others(&taken);
    let mut searched_clean = is_clean(&path, &raw, &taken, &mentioned_in)?;
    if searched_clean == Some(false) {
        // Pages written before everything that is taken out was overwritten may hold remains between their rows.
        let connection = connect(&path, Role::Append)?;
        connection.execute_batch("VACUUM")?;
        truncate(&connection)?;
        drop(connection);
        searched_clean = is_clean(&path, &raw, &taken, &mentioned_in)?;
    }
    list.note(Entry {
        state: Stage::Done,
        also: taken.also.clone(),
        ..begun.clone()
    })?;
    let (head_seq, head) = inspect(&path)?.query_row(
        "SELECT seq, chain FROM log ORDER BY seq DESC LIMIT 1",
        [],
        |row| Ok((seq(row.get(0)?), Chain(row.get(1)?))),
    )?;
    Ok(Some(Certificate {
        customer: begun.id,
        erased_at: at,
        requests: taken.requests,
        events: taken.events,
        head_seq,
        head,
        mentioned_in,
        searched_clean,
    }))
}
