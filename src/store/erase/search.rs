//! Looks for an id in what is not under it: in the bodies of other events, and in the bytes of the file.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rusqlite::{Connection, params};

use super::{LEAST_SEARCHED, Taken};
use crate::domain::{Digest, Seq};
use crate::store::StoreError;
use crate::store::erased::ErasedEvent;
use crate::store::maintain::Progress;
use crate::store::raw::RawFile;
use crate::store::rows::{int, load_customer, seq, uint};
use crate::store::schema;

/// Events whose bodies are searched before a connection is given back.
const SCAN_EVENTS: u64 = 5_000;
/// Bytes of the file that are searched at a time.
const SEARCH_BYTES: usize = 1 << 20;

/// Events that are not the customer's by their own id, but mention it.
#[derive(Clone, Debug, Default)]
pub struct Mentions {
    /// Under no customer and no request.
    pub free: Vec<ErasedEvent>,
    /// Under some.
    pub tied: Vec<Seq>,
}

impl Mentions {
    pub fn add(&mut self, other: Self) {
        self.free.extend(other.free);
        self.tied.extend(other.tied);
    }

    /// The places of those under nobody.
    pub fn free_seqs(&self) -> Vec<Seq> {
        self.free.iter().map(|event| event.seq).collect()
    }

    /// Those that were not taken out.
    pub fn of_others(&self, taken: &Taken) -> Vec<Seq> {
        let gone: BTreeSet<_> = taken.events.iter().map(|event| event.seq).collect();
        let left = self.tied.iter().filter(|at| !gone.contains(at));
        left.copied().collect()
    }
}

pub fn all_mentions(
    connection: &Connection,
    id: &str,
    progress: Progress<'_>,
) -> Result<Mentions, StoreError> {
    let tail = connection.query_row("SELECT projected_seq FROM projection", [], |row| {
        row.get(0).map(seq)
    })?;
    let mut all = Mentions::default();
    let mut from = Seq::START;
    while from < tail {
        let (until, found) = mentions(connection, id, from)?;
        all.add(found);
        from = until;
        progress(from.0.min(tail.0), tail.0);
    }
    Ok(all)
}

/// Looks on for events that mention an id: up to where, and which.
pub fn mentions(
    connection: &Connection,
    id: &str,
    after: Seq,
) -> Result<(Seq, Mentions), StoreError> {
    let mut found = Mentions::default();
    if id.len() < LEAST_SEARCHED {
        return Ok((Seq(u64::MAX), found));
    }
    let key = load_customer(connection, id)?.map(|customer| customer.links.key);
    let until = Seq(after.0.saturating_add(SCAN_EVENTS));
    let mut statement = connection.prepare_cached(
        "SELECT l.seq, v.customer, v.request, l.payload, CAST(l.reading AS BLOB), l.digest FROM log l \
         JOIN verdicts v ON v.seq = l.seq WHERE l.seq > ?1 AND l.seq <= ?2 \
         AND (instr(l.payload, ?3) > 0 OR instr(CAST(l.reading AS BLOB), ?3) > 0)",
    )?;
    let mut rows = statement.query(params![int(after.0), int(until.0), id.as_bytes()])?;
    while let Some(row) = rows.next()? {
        let customer = row.get::<_, Option<i64>>(1)?.map(uint);
        let request = row.get::<_, Option<i64>>(2)?.map(uint);
        let body: Option<Vec<u8>> = row.get(3)?;
        let reading: Option<Vec<u8>> = row.get(4)?;
        let named = [body, reading]
            .iter()
            .flatten()
            .any(|text| stands_alone(text, id.as_bytes()));
        if !named || (customer.is_some() && customer == key) {
            continue;
        }
        let at = seq(row.get(0)?);
        match (customer, request) {
            (None, None) => found.free.push(ErasedEvent {
                seq: at,
                digest: Digest(row.get(5)?),
            }),
            _ => found.tied.push(at),
        }
    }
    Ok((until, found))
}

/// Whether a text holds a word, and not only as a part of a longer one.
fn stands_alone(text: &[u8], word: &[u8]) -> bool {
    let in_word = |byte: Option<&u8>| {
        byte.is_some_and(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || !byte.is_ascii()
        })
    };
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| position(rest, word)) {
        let start = from + at;
        let before = start.checked_sub(1).and_then(|index| text.get(index));
        if !in_word(before) && !in_word(text.get(start + word.len())) {
            return true;
        }
        from = start + 1;
    }
    false
}

fn position(text: &[u8], word: &[u8]) -> Option<usize> {
    let first = *word.first()?;
    let mut from = 0;
    loop {
        let rest = text.get(from..)?;
        let at = from + rest.iter().position(|byte| *byte == first)?;
        if text.get(at..).is_some_and(|rest| rest.starts_with(word)) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Whether neither file nor WAL holds the bytes of the ids; `None` where that would say nothing.
pub fn is_clean(
    path: &Path,
    raw: &RawFile,
    taken: &Taken,
    mentioned_in: &[Seq],
) -> Result<Option<bool>, StoreError> {
    if taken.ids.is_empty() || !mentioned_in.is_empty() {
        return Ok(None);
    }
    let failed = |source| StoreError::Unusable {
        path: path.to_owned(),
        source,
    };
    let in_file = holds(raw.bytes(), &taken.ids).map_err(failed)?;
    let in_wal = || match File::open(schema::wal_path(path)) {
        Ok(wal) => holds(wal, &taken.ids),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    };
    Ok(Some(!in_file && !in_wal().map_err(failed)?))
}

fn holds(mut bytes: impl Read, ids: &[String]) -> io::Result<bool> {
    let longest = ids.iter().map(String::len).max().unwrap_or(0);
    let mut window = Vec::with_capacity(SEARCH_BYTES + longest);
    loop {
        let mut part = bytes.by_ref().take(SEARCH_BYTES as u64);
        if part.read_to_end(&mut window)? == 0 {
            return Ok(false);
        }
        if ids
            .iter()
            .any(|id| position(&window, id.as_bytes()).is_some())
        {
            return Ok(true);
        }
        // An id may begin in this part and end in the next.
        window.drain(..window.len().saturating_sub(longest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_as_a_word_only() {
        let id = b"71c0de5a";
        assert!(stands_alone(br#"{"a":"71c0de5a"}"#, id));
        assert!(stands_alone(b"x71c0de5a 71c0de5a", id));
        assert!(!stands_alone(br#"{"a":"71c0de5ab"}"#, id));
        assert!(!stands_alone(b"", id));
    }
}
