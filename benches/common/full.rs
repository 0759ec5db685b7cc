//! A file with many events in it. It takes a while, so it may be kept for the next run.
//!
//! The log is written by SQL, a row as the writer writes it, in large transactions that nobody waits for; opening the store
//! then has the rules make all the rows, as after a crash. Each event is about one of a tenth as many customers, drawn
//! evenly.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, params};
use waldo_syncd::domain::{Chain, Digest, Seq, Timestamp};
use waldo_syncd::store::{FILE_NAME, Options, Store, StoreThread};

use super::deliveries::Crowd;
use super::{Result, tell};

/// Events of one transaction.
const AT_ONCE: u64 = 50_000;
/// Customers are fewer than events by this.
pub const EVENTS_OF_ONE: u64 = 10;
/// For all rows.
const FOLDED_WITHIN: Duration = Duration::from_secs(3600);

/// A folder whose `data` holds at least so many events: in `folder`, or where `WALDO_SYNCD_BENCH_KEEP` says, and then as
/// an earlier run left it.
pub fn folder_with(events: u64, folder: &Path) -> Result<PathBuf> {
    let kept = std::env::var_os("WALDO_SYNCD_BENCH_KEEP").map(PathBuf::from);
    let place = kept
        .as_deref()
        .unwrap_or(folder)
        .join(format!("events-{events}"));
    let data = place.join("data");
    let (store, thread) = open(&data)?;
    let there = store.durable();
    thread.stop(&store);
    // One that was begun and not finished is not gone on with: nobody knows what its events were about.
    if there == Seq::START {
        tell(&format!("writing {events} events"));
        write(&data.join(FILE_NAME), events)?;
    }
    tell("making the rows of what is not folded yet");
    let (store, thread) = open(&data)?;
    if store.durable().0 < events {
        return Err(format!("{} holds fewer events; remove it", place.display()).into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(store.wait_projected(store.durable(), FOLDED_WITHIN))?;
    thread.stop(&store);
    Ok(place)
}

pub fn open(directory: &Path) -> Result<(Store, StoreThread)> {
    Ok(Store::open(Options {
        directory: directory.to_owned(),
        queue_events: 10_000,
        queue_bytes: 64 << 20,
        max_lag: u64::MAX,
        clock: waldo_syncd::clock::now,
    })?)
}

fn write(file: &Path, events: u64) -> Result<()> {
    let mut connection = Connection::open(file)?;
    // Where the machine fails meanwhile, the file is made again. The store switches back and reads back what it set.
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.query_row("PRAGMA journal_mode = OFF", [], |_| Ok(()))?;
    let mut source = Crowd::from(usize::try_from(events / EVENTS_OF_ONE)?);
    let (mut seq, mut chain) = (Seq::START, Chain::GENESIS);
    while seq.0 < events {
        let transaction = connection.transaction()?;
        let mut insert = transaction.prepare_cached(
            "INSERT INTO log (seq, received_at, source, size, digest, chain, payload) \
             VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6)",
        )?;
        for _ in 0..AT_ONCE.min(events - seq.0) {
            let body = source.next();
            let digest = Digest::of(body);
            let now: Timestamp = waldo_syncd::clock::now();
            seq = seq.next();
            chain = chain.link(seq, now, &digest);
            insert.execute(params![
                seq.0 as i64,
                now.0,
                body.len() as i64,
                digest.0,
                chain.0,
                body
            ])?;
        }
        drop(insert);
        transaction.commit()?;
    }
    Ok(())
}
