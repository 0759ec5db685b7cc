//! The list of erased ids, beside the database: what a restored backup must lose again, and what was begun and may not
//! be done.
//!
//! An id stands there as HMAC-SHA256 under a random salt that is the list's own. Whoever has the list can find out
//! whether an id that they know stands in it; they cannot read the ids from it, unless they can guess them. Lines are
//! only ever appended, each synced before the next thing is done.
//!
//! So a crash can tear the last line only while it is being written, and nothing has been done on its strength yet: an
//! erasure that was to begin has changed nothing and was acknowledged to nobody, and one that was to be done stands as
//! begun, with all that it takes to do it again. Whether it was a crash that tore the line cannot be told from the file.
//! So the start and an erasure say what was found and cut it off, and a restore refuses the list.
//!
//! Each line has a check under the salt, over the check of the line before and over what stands in it, byte for byte, so that
//! a program reads what a later one adds: an altered salt would let nobody's id
//! be found any more, and a restore would bring everybody back. A changed, missing or moved line is noticed; a list that
//! lacks its last lines is not, nor what somebody does on purpose who can read the salt and write the file.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::StoreError;
use super::manifest::{folder_of, sync_folder};
use super::workplace::give_to_owner_of;
use crate::domain::{Digest, Seq, Timestamp};

/// The list's name inside the data directory.
pub const ERASED_FILE: &str = "erased.jsonl";

/// An id as the list has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HashedId(String);

/// How far an erasure has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It is to be done; noted before anything is changed.
    Begun,
    /// Nothing is left.
    Done,
    /// It was refused, and nothing was changed.
    Dropped,
}

/// An event that was erased although it is under no customer: known again by its place and its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ErasedEvent {
    /// Its place in the log.
    pub seq: Seq,
    /// What its body was.
    pub digest: Digest,
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Whom.
    pub id: HashedId,
    /// Events up to this time are erased; what came later made a new customer.
    pub at: Timestamp,
    /// How far it is.
    pub state: Stage,
    /// Events under no customer that went with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<ErasedEvent>,
}

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    salt: String,
}

/// What stands in a line between what it says and its check, which is the last member.
const BEFORE_CHECK: &str = ",\"check\":\"";

/// The list as it stands on the disk.
#[derive(Debug)]
pub struct ErasedList {
    path: PathBuf,
    salt: Vec<u8>,
    entries: Vec<Entry>,
    /// The check of the last line; none for a list without any.
    check: String,
    /// Bytes of whole lines; what a crash left behind them is cut off before the next is written.
    length: u64,
    /// What stands behind them.
    torn: Vec<u8>,
}

impl ErasedList {
    /// Reads the list; there need be none.
    ///
    /// # Errors
    /// When it cannot be read or is not what we write.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(failed(path, source)),
        };
        let whole = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let lines = text
            .get(..whole)
            .unwrap_or_default()
            .split(|byte| *byte == b'\n');
        let mut list = Self {
            path: path.to_owned(),
            salt: Vec::new(),
            entries: Vec::new(),
            check: String::new(),
            length: whole as u64,
            torn: text.get(whole..).unwrap_or_default().to_vec(),
        };
        let mut lines = lines.filter(|line| !line.is_empty());
        if let Some(first) = lines.next() {
            let head: Head = list.parse(first)?;
            list.salt = hex::decode(&head.salt).map_err(|_| list.broken())?;
            list.follow(first)?;
        }
        for line in lines {
            list.follow(line)?;
            let entry = list.parse(line)?;
            list.entries.push(entry);
        }
        Ok(list)
    }

    fn parse<T: for<'de> Deserialize<'de>>(&self, line: &[u8]) -> Result<T, StoreError> {
        serde_json::from_slice(line).map_err(|_| self.broken())
    }

    fn broken(&self) -> StoreError {
        StoreError::Corrupt(format!(
            "{} has a broken line or lacks one; put a whole copy of it in its place, else whoever was erased could come back",
            self.path.display()
        ))
    }

    /// Goes on to a line, which must be as it was written.
    fn follow(&mut self, line: &[u8]) -> Result<(), StoreError> {
        let line = std::str::from_utf8(line).map_err(|_| self.broken())?;
        let parts = line.rsplit_once(BEFORE_CHECK);
        let (said, rest) = parts.ok_or_else(|| self.broken())?;
        let check = self.check_of(said)?;
        if rest.strip_suffix("\"}") != Some(&check) {
            return Err(self.broken());
        }
        self.check = check;
        Ok(())
    }

    /// The check of a next line, of which this stands before it.
    fn check_of(&self, said: &str) -> Result<String, StoreError> {
        self.keyed(&[self.check.as_bytes(), said.as_bytes()])
            .ok_or_else(|| StoreError::Corrupt("the list has no salt".to_owned()))
    }

    /// HMAC-SHA256 under the salt; `None` without one.
    fn keyed(&self, parts: &[&[u8]]) -> Option<String> {
        if self.salt.is_empty() {
            return None;
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.salt).ok()?;
        for part in parts {
            mac.update(part);
        }
        Some(hex::encode(mac.finalize().into_bytes()))
    }

    /// An id as the list has it; `None` for a list without any line.
    #[must_use]
    pub fn hash(&self, id: &str) -> Option<HashedId> {
        self.keyed(&[id.as_bytes()]).map(HashedId)
    }

    /// Whether somebody of this id was erased.
    #[must_use]
    pub fn names(&self, id: &str) -> bool {
        let hash = self.hash(id);
        self.standing()
            .any(|entry| Some(&entry.id) == hash.as_ref())
    }

    /// What a database from before must lose again: the erasures that were done or begun, each once for its last line.
    pub fn standing(&self) -> impl Iterator<Item = &Entry> {
        let last = |entry: &Entry| {
            let same = |other: &&Entry| other.id == entry.id && other.at == entry.at;
            self.entries.iter().rev().find(same) == Some(entry)
        };
        self.entries
            .iter()
            .filter(move |entry| entry.state != Stage::Dropped && last(entry))
    }

    /// What was begun and is not known to be done.
    pub fn pending(&self) -> impl Iterator<Item = &Entry> {
        self.standing().filter(|entry| entry.state == Stage::Begun)
    }

    /// What is to be said of a last line that is not whole, before it is cut off; `None` where all are.
    fn warning(&self) -> Option<String> {
        if self.torn.is_empty() {
            return None;
        }
        let completed = "the erasure that was begun before it is brought to its end now";
        let lost = "after a crash nothing was done for it yet, and whoever asked for that erasure has to ask again; if the \
                    list was copied here, copy it again, whole";
        let means = if self.pending().next().is_none() {
            lost.to_owned()
        } else if self.pending().any(|entry| self.is_end_of(entry)) {
            completed.to_owned()
        } else {
            format!("{completed}. If another one was to begin there, {lost}")
        };
        Some(format!(
            "the last line of {} was cut short and is cut off: {means}",
            self.path.display()
        ))
    }

    /// Whether the last line was to say that this erasure has come to its end.
    fn is_end_of(&self, begun: &Entry) -> bool {
        let line = serde_json::to_string(begun).unwrap_or_default();
        line.split_once("\"begun\"")
            .is_some_and(|(until_there, _)| self.torn.starts_with(until_there.as_bytes()))
    }

    /// Refuses a list whose last line is there in part: what it names, and what stood behind it, may have been erased.
    ///
    /// # Errors
    /// What is to be done about it.
    pub fn must_be_whole(&self) -> Result<(), String> {
        if self.torn.is_empty() {
            return Ok(());
        }
        Err(format!(
            "the last line of {} was cut short, and whoever was erased after it would come back. If it was copied here, \
             copy it again, whole. If the machine crashed while an erasure was noted, start the daemon once, or take that \
             part of a line off the end of the file",
            self.path.display()
        ))
    }

    /// Cuts off what a crash left behind the whole lines.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn cut(&mut self) -> Result<(), StoreError> {
        if self.torn.is_empty() {
            return Ok(());
        }
        let cut = || {
            let file = OpenOptions::new().write(true).open(&self.path)?;
            file.set_len(self.length)?;
            file.sync_all()
        };
        cut().map_err(|source| failed(&self.path, source))?;
        self.torn.clear();
        Ok(())
    }

    /// Notes that an erasure begins, before anything is changed; `also` are the events under no customer that go with it,
    /// which nobody could find again once they are gone.
    ///
    /// # Errors
    /// When it cannot be written to the disk.
    pub fn begin(
        &mut self,
        id: &str,
        at: Timestamp,
        also: Vec<ErasedEvent>,
    ) -> Result<Entry, StoreError> {
        if self.salt.is_empty() {
            let mut salt = [0; 32];
            getrandom::fill(&mut salt).map_err(|error| {
                failed(
                    &self.path,
                    io::Error::other(format!("no randomness: {error}")),
                )
            })?;
            self.salt = salt.to_vec();
            let head = Head {
                salt: hex::encode(salt),
            };
            if let Err(error) = self.add(head) {
                self.salt.clear();
                return Err(error);
            }
        }
        let id = self
            .hash(id)
            .ok_or_else(|| StoreError::Corrupt("the list has no salt".to_owned()))?;
        let entry = Entry {
            id,
            at,
            state: Stage::Begun,
            also,
        };
        self.note(entry.clone())?;
        Ok(entry)
    }

    /// Notes how far an erasure has come.
    ///
    /// # Errors
    /// When it cannot be written to the disk.
    pub fn note(&mut self, entry: Entry) -> Result<(), StoreError> {
        self.add(entry.clone())?;
        self.entries.push(entry);
        Ok(())
    }

    fn add(&mut self, said: impl Serialize) -> Result<(), StoreError> {
        let said =
            serde_json::to_string(&said).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let said = said.strip_suffix('}').unwrap_or(&said);
        let check = self.check_of(said)?;
        let text = format!("{said}{BEFORE_CHECK}{check}\"}}\n");
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&self.path)?;
            let folder = folder_of(&self.path);
            give_to_owner_of(&self.path, folder)?;
            if file.metadata()?.len() != self.length {
                file.set_len(self.length)?;
            }
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            sync_folder(folder)
        };
        write().map_err(|source| failed(&self.path, source))?;
        self.length += text.len() as u64;
        self.torn.clear();
        self.check = check;
        Ok(())
    }
}

/// What is to be said of the list in a data directory whose last line is not whole, by whoever is about to cut it off. A
/// list that cannot be read at all is told by whoever works with it.
#[must_use]
pub fn warning_of_list(directory: &Path) -> Option<String> {
    ErasedList::read(&directory.join(ERASED_FILE))
        .ok()?
        .warning()
}

fn failed(path: &Path, source: io::Error) -> StoreError {
    StoreError::Unusable {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_a_crash_cut_off_is_passed_over_and_cut_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(ERASED_FILE);
        let mut list = ErasedList::read(&path).unwrap();
        assert_eq!(list.hash("c"), None);
        let begun = list.begin("c", Timestamp(5), Vec::new()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [whole.as_slice(), b"{\"id\":\"ab"].concat()).unwrap();
        let mut list = ErasedList::read(&path).unwrap();
        assert_eq!(list.pending().collect::<Vec<_>>(), [&begun]);
        let done = Entry {
            state: Stage::Done,
            ..begun
        };
        list.note(done.clone()).unwrap();
        let list = ErasedList::read(&path).unwrap();
        assert_eq!(list.pending().count(), 0);
        assert_eq!(list.standing().collect::<Vec<_>>(), [&done]);
        assert_eq!(list.hash("c"), Some(done.id));
    }

    /// A crash while a line is written leaves a part of it, whichever.
    #[test]
    fn a_line_is_either_whole_or_passed_over_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(ERASED_FILE);
        let told = || warning_of_list(folder.path()).is_some();
        let mut list = ErasedList::read(&path).unwrap();
        let begun = list.begin("c", Timestamp(5), Vec::new()).unwrap();
        let before = std::fs::read(&path).unwrap();
        let state = Stage::Done;
        list.note(Entry { state, ..begun }).unwrap();
        let whole = std::fs::read(&path).unwrap();
        assert!(!told());
        let text = String::from_utf8(whole.clone()).unwrap();
        let certain = text.find("\"done\"").unwrap();
        for end in before.len() + 1..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let told = warning_of_list(folder.path()).unwrap();
            assert!(told.contains("brought to its end"), "cut at {end}: {told}");
            let again = told.contains("has to ask again");
            assert_eq!(again, end < certain, "cut at {end}: {told}");
            let list = ErasedList::read(&path).unwrap();
            assert_eq!(list.pending().count(), 1, "cut at {end}");
        }
        // Another that was to begin.
        std::fs::write(&path, &before).unwrap();
        let mut list = ErasedList::read(&path).unwrap();
        list.begin("d", Timestamp(6), Vec::new()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for end in before.len() + 1..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let told = warning_of_list(folder.path()).unwrap();
            assert!(told.contains("brought to its end"), "cut at {end}: {told}");
            assert!(told.contains("has to ask again"), "cut at {end}: {told}");
        }
        // The salt goes before the first erasure: without it there was none.
        let head = before.iter().position(|byte| *byte == b'\n').unwrap();
        std::fs::write(&path, &before[..head]).unwrap();
        assert!(told());
        let mut list = ErasedList::read(&path).unwrap();
        assert_eq!(list.standing().count(), 0);
        list.begin("c", Timestamp(6), Vec::new()).unwrap();
        assert!(!told());
        assert_eq!(ErasedList::read(&path).unwrap().standing().count(), 1);
    }

    #[test]
    fn whatever_is_altered_in_the_list_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(ERASED_FILE);
        let mut list = ErasedList::read(&path).unwrap();
        for (id, at) in [("c", 5), ("d", 6)] {
            let begun = list.begin(id, Timestamp(at), Vec::new()).unwrap();
            let state = Stage::Done;
            list.note(Entry { state, ..begun }).unwrap();
        }
        let good = std::fs::read_to_string(&path).unwrap();
        assert_eq!(ErasedList::read(&path).unwrap().standing().count(), 2);
        let lines: Vec<_> = good.lines().collect();
        for gone in 0..lines.len() - 1 {
            let mut left = lines.clone();
            left.remove(gone);
            std::fs::write(&path, left.join("\n") + "\n").unwrap();
            assert!(ErasedList::read(&path).is_err(), "without line {gone}");
        }
        // Any one hex digit or digit of a time, the salt's among them.
        for (at, byte) in good.bytes().enumerate() {
            if byte.is_ascii_digit() {
                let mut bytes = good.clone().into_bytes();
                bytes[at] = if byte == b'1' { b'2' } else { b'1' };
                std::fs::write(&path, bytes).unwrap();
                assert!(ErasedList::read(&path).is_err(), "byte {at}");
            }
        }
    }

    #[test]
    fn an_entry_to_which_a_later_program_added_something_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(ERASED_FILE);
        let mut list = ErasedList::read(&path).unwrap();
        let begun = list.begin("c", Timestamp(5), Vec::new()).unwrap();
        #[derive(Serialize)]
        struct Later {
            by: &'static str,
            #[serde(flatten)]
            entry: Entry,
            why: [u8; 2],
        }
        let state = Stage::Done;
        let done = Entry { state, ..begun };
        let later = Later {
            by: "an \"operator\"",
            entry: done.clone(),
            why: [1, 2],
        };
        list.add(later).unwrap();
        let mut list = ErasedList::read(&path).unwrap();
        assert_eq!(list.standing().collect::<Vec<_>>(), [&done]);
        list.begin("d", Timestamp(6), Vec::new()).unwrap();
        assert_eq!(ErasedList::read(&path).unwrap().standing().count(), 2);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("[1,2]", "[1,3]")).unwrap();
        assert!(ErasedList::read(&path).is_err());
    }

    #[test]
    fn the_id_does_not_stand_in_the_list() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(ERASED_FILE);
        let mut list = ErasedList::read(&path).unwrap();
        list.begin("71c0de5a19b24f0e83d6a4b1", Timestamp(5), Vec::new())
            .unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("71c0de5a19b24f0e83d6a4b1"), "{text}");
    }
}
