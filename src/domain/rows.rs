//! Rows at hand, found by id or by key, with note taken of which were touched.

use std::collections::{BTreeSet, HashMap};

/// What a row is found by.
pub trait Row {
    /// Waldo's id: opaque text.
    fn id(&self) -> &str;
    /// The integer key inside, given in order of first sight.
    fn key(&self) -> u64;
    /// A row of which only the id is known.
    fn named(id: &str, key: u64) -> Self;
}

/// Rows of one kind.
#[derive(Debug)]
pub struct Rows<T> {
    by_key: HashMap<u64, T>,
    keys: HashMap<String, u64>,
    touched: BTreeSet<u64>,
    last_key: u64,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self::after(0)
    }
}

impl<T> Rows<T> {
    /// No rows at hand, where keys up to `last_key` are given already.
    #[must_use]
    pub fn after(last_key: u64) -> Self {
        Self {
            by_key: HashMap::new(),
            keys: HashMap::new(),
            touched: BTreeSet::new(),
            last_key,
        }
    }

    /// The newest key given.
    #[must_use]
    pub const fn last_key(&self) -> u64 {
        self.last_key
    }

    /// Passes over a key: it was given to a row that was erased.
    pub(super) const fn skip_key(&mut self) {
        self.last_key += 1;
    }

    /// How many rows are at hand.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether no row is at hand.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Every row at hand, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.by_key.values()
    }

    /// A row by its key.
    #[must_use]
    pub fn by_key(&self, key: u64) -> Option<&T> {
        self.by_key.get(&key)
    }

    /// A row by its id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&T> {
        self.by_key.get(self.keys.get(id)?)
    }

    /// The rows touched since this was last asked, in the order of their keys.
    pub fn take_touched(&mut self) -> impl Iterator<Item = &T> {
        std::mem::take(&mut self.touched)
            .into_iter()
            .filter_map(|key| self.by_key.get(&key))
    }
}

impl<T: Row> Rows<T> {
    /// Puts in a row that is known from before.
    pub fn put(&mut self, row: T) {
        self.keys.insert(row.id().to_owned(), row.key());
        self.by_key.insert(row.key(), row);
    }

    /// Makes sure that the id has a row, giving it the next key if it has none.
    pub(super) fn name(&mut self, id: &str) {
        if !self.keys.contains_key(id) {
            self.last_key += 1;
            self.put(T::named(id, self.last_key));
        }
    }

    /// A row to change.
    pub(super) fn touch(&mut self, id: &str) -> Option<&mut T> {
        let key = *self.keys.get(id)?;
        self.touched.insert(key);
        self.by_key.get_mut(&key)
    }
}
