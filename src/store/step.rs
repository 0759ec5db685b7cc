//! What a long work on the file is at, for whoever shows it.

/// One step of a work, and in what its progress is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Bytes are copied.
    Copying,
    /// Events are checked.
    Checking,
    /// Events are folded.
    Folding,
    /// Events are looked through for who was erased.
    Erasing,
}

/// Told how far a work of several steps is: the step, done, of.
pub type Steps<'a> = &'a mut dyn FnMut(Step, u64, u64);
