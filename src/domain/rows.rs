//! Rows at hand, found by id or by key, with note taken of which were touched.

use std::collections::HashMap;

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
    held: Vec<Held<T>>,
    /// Places in `held`.
    by_id: HashMap<String, usize>,
    by_key: HashMap<u64, usize>,
    touched: Vec<usize>,
    last_key: u64,
}

/// Rows that were at hand. Dropping thousands of them takes as long as folding hundreds of events, so it can be done bit
/// by bit.
#[derive(Debug)]
pub struct Leaving<T>(Vec<Held<T>>);

#[derive(Debug)]
struct Held<T> {
    row: T,
    /// Whether it is known from before, or was taken out to be kept.
    kept: bool,
    touched: bool,
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
            held: Vec::new(),
            by_id: HashMap::new(),
            by_key: HashMap::new(),
            touched: Vec::new(),
            last_key,
        }
    }

    /// Has no rows at hand any more. Those that were are for the caller to drop.
    #[must_use]
    pub fn let_go(&mut self) -> Leaving<T> {
        let rows = std::mem::replace(self, Self::after(self.last_key));
        Leaving(rows.held)
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
        self.held.len()
    }

    /// Whether no row is at hand.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Every row at hand, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.held.iter().map(|held| &held.row)
    }

    /// A row by its key.
    #[must_use]
    pub fn by_key(&self, key: u64) -> Option<&T> {
        self.held.get(*self.by_key.get(&key)?).map(|held| &held.row)
    }

    /// A row by its id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&T> {
        self.held.get(*self.by_id.get(id)?).map(|held| &held.row)
    }
}

impl<T> Default for Leaving<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Leaving<T> {
    /// How many are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Drops so many of them.
    pub fn drop_some(&mut self, count: usize) {
        self.0.truncate(self.0.len().saturating_sub(count));
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }
}

impl<T: Row> Rows<T> {
    /// Puts in a row that is known from before.
    pub fn put(&mut self, row: T) {
        self.hold(row, true);
    }

    /// A row that is at hand already is put in its own place.
    fn hold(&mut self, row: T, kept: bool) {
        let place = match self.by_id.get(row.id()) {
            Some(&place) => place,
            None => {
                let place = self.held.len();
                self.by_id.insert(row.id().to_owned(), place);
                place
            }
        };
        self.by_key.insert(row.key(), place);
        let held = Held {
            kept,
            touched: false,
            row,
        };
        match self.held.get_mut(place) {
            Some(known) => *known = held,
            None => self.held.push(held),
        }
    }

    /// Makes sure that the id has a row, giving it the next key if it has none.
    pub(super) fn name(&mut self, id: &str) {
        if !self.by_id.contains_key(id) {
            self.last_key += 1;
            self.hold(T::named(id, self.last_key), false);
        }
    }

    /// A row to change.
    pub(super) fn touch(&mut self, id: &str) -> Option<&mut T> {
        let place = *self.by_id.get(id)?;
        let held = self.held.get_mut(place)?;
        if !std::mem::replace(&mut held.touched, true) {
            self.touched.push(place);
        }
        Some(&mut held.row)
    }

    /// Gives the rows touched since this was last called, in the order of their keys, to be kept; with each whether it is
    /// new.
    ///
    /// # Errors
    /// With what `keep` ends it; the rows are of no more use then.
    pub fn keep_touched<E>(
        &mut self,
        mut keep: impl FnMut(&T, bool) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut touched = std::mem::take(&mut self.touched);
        let key = |place: &usize| self.held.get(*place).map(|held| held.row.key());
        touched.sort_unstable_by_key(key);
        for place in touched {
            if let Some(held) = self.held.get_mut(place) {
                keep(&held.row, !held.kept)?;
                held.kept = true;
                held.touched = false;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::customer::Customer;

    #[test]
    fn rows_let_go_are_not_at_hand_and_leave_bit_by_bit() {
        let mut rows = Rows::<Customer>::after(7);
        for id in ["a", "b", "c"] {
            rows.name(id);
            rows.touch(id);
        }
        let mut leaving = rows.let_go();
        assert!(rows.is_empty() && rows.get("a").is_none() && rows.by_key(8).is_none());
        assert_eq!(rows.last_key(), 10);
        let kept = rows.keep_touched(|_, _| Err("a row that is not at hand"));
        assert_eq!(kept, Ok(()));
        leaving.drop_some(2);
        assert_eq!(leaving.len(), 1);
        leaving.drop_some(2);
        assert!(leaving.is_empty());
    }
}
