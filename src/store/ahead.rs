//! Events that were just appended, as they were read when they came.
//!
//! The log is the truth, and what is here is only what reading it again would give: a body is read once, where it comes
//! in and off the writer's thread, and not again from the file.

use std::collections::VecDeque;

use crate::domain::Seq;
use crate::domain::fold::Event;

/// Events at hand at most; those that come after are read from the log. Each takes about as much memory as its body.
const MAX_EVENTS: usize = 4096;

/// A run of events without a gap.
#[derive(Debug, Default)]
pub struct Ahead(VecDeque<Event>);

impl Ahead {
    /// Takes the next event, if it follows the others and there is room.
    pub fn push(&mut self, event: Event) {
        let follows = self
            .0
            .back()
            .is_none_or(|newest| newest.seq.next() == event.seq);
        if follows && self.0.len() < MAX_EVENTS {
            self.0.push_back(event);
        }
    }

    /// Lets go of what comes before an event, and says whether that one is at hand.
    pub fn is_at(&mut self, seq: Seq) -> bool {
        while self.0.front().is_some_and(|event| event.seq < seq) {
            self.0.pop_front();
        }
        self.0.front().is_some_and(|event| event.seq == seq)
    }

    /// Gives the first event at hand.
    pub fn pop(&mut self) -> Option<Event> {
        self.0.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::payload::Unreadable;
    use crate::domain::{Digest, Source, Timestamp};

    fn event(seq: u64) -> Event {
        Event {
            seq: Seq(seq),
            received_at: Timestamp(0),
            source: Source::Webhook,
            digest: Digest([0; 32]),
            reading: Err(Unreadable::TakenOut),
        }
    }

    #[test]
    fn a_gap_is_never_passed_over() {
        let mut ahead = Ahead::default();
        for seq in [5, 6, 8, 7, 9] {
            ahead.push(event(seq));
        }
        assert!(!ahead.is_at(Seq(4)));
        assert!(ahead.is_at(Seq(6)));
        let seqs: Vec<_> = std::iter::from_fn(|| ahead.pop())
            .map(|event| event.seq.0)
            .collect();
        assert_eq!(seqs, [6, 7]);
        assert!(!ahead.is_at(Seq(8)));
        ahead.push(event(9));
        assert!(!ahead.is_at(Seq(8)), "what was read from the log is let go");
        assert!(!ahead.is_at(Seq(10)));
        ahead.push(event(12));
        assert!(ahead.is_at(Seq(12)));
    }

    #[test]
    fn what_has_no_room_is_left_to_the_log() {
        let mut ahead = Ahead::default();
        for seq in 1..=MAX_EVENTS as u64 + 1 {
            ahead.push(event(seq));
        }
        assert!(!ahead.is_at(Seq(MAX_EVENTS as u64 + 1)));
        ahead.push(event(MAX_EVENTS as u64 + 3));
        assert!(ahead.is_at(Seq(MAX_EVENTS as u64 + 3)));
    }
}
