//! What a long work on the file is at, for whoever shows it.

use serde::{Deserialize, Serialize};

/// One step of a work, and in what its progress is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Step {
    /// Bytes are copied.
    Copying,
    /// SQLite reads the structure of the file, which nothing can be counted of.
    Structure,
    /// Rows are held against the entries of their indexes.
    Comparing,
    /// Rows are read as what they are.
    Reading,
    /// Events are checked.
    Checking,
    /// Bytes are read for their digest.
    Hashing,
    /// Events are folded.
    Folding,
    /// Events are looked through for who was erased.
    Erasing,
}

/// Told how far a work of several steps is: the step, done, of. Of what cannot be counted both are 0.
pub type Steps<'a> = &'a mut dyn FnMut(Step, u64, u64);
