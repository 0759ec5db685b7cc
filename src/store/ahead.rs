//! Events that were just appended, as they were read when they came.
//!
//! The log is the truth, and what is here is only what reading it again would give: a body is read once, where it comes
//! in and off the writer's thread, and not again from the file.

use std::collections::VecDeque;
use std::panic::catch_unwind;

use super::Delivery;
use crate::domain::Seq;
use crate::domain::fold::Event;
use crate::domain::payload::{self, Reading, Unreadable};

/// Events at hand at most; those that come after are read from the log.
const MAX_EVENTS: usize = 4096;
/// A body that is longer is read from the log: what waits to be appended, and what is here, must stay small.
const MAX_BODY_BYTES: usize = 4096;
/// So is one of which so many things are wrong, or which has so many tags: each takes more memory than it has bytes.
const MAX_PROBLEMS: usize = 16;
/// See [`MAX_PROBLEMS`].
const MAX_TAGS: usize = 64;

/// What a body says, or why it says nothing.
pub type BodyRead = Result<Reading, Unreadable>;

/// Reads a body before it is queued, for whoever projects it; `None` leaves that to them. Whether the body is kept does
/// not depend on this, not even on a fault in it.
pub fn read(delivery: &Delivery) -> Option<BodyRead> {
    if delivery.body.len() > MAX_BODY_BYTES {
        return None;
    }
    let read =
        catch_unwind(|| payload::read(delivery.source, &delivery.body, delivery.size)).ok()?;
    let is_small = read.as_ref().map_or(true, |reading| {
        let tags = reading.validation.warning_tags.as_ref();
        reading.problems.len() <= MAX_PROBLEMS && tags.map_or(0, |tags| tags.len()) <= MAX_TAGS
    });
    is_small.then_some(read)
}

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

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
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
    fn what_would_take_much_memory_is_left_to_the_log() {
        let is_read = |body: String| read(&Delivery::whole(Source::Webhook, body.into())).is_some();
        let tags = |tag: &str, count: usize| {
            let tags = vec![tag; count].join(",");
            format!(r#"{{"validation":{{"warningTags":[{tags}]}}}}"#)
        };
        assert!(is_read("no JSON".to_owned()));
        assert!(is_read(tags("3", MAX_PROBLEMS)));
        assert!(!is_read(tags("3", MAX_PROBLEMS + 1)));
        assert!(is_read(tags(r#"{"tag":"a"}"#, MAX_TAGS)));
        assert!(!is_read(tags(r#"{"tag":"a"}"#, MAX_TAGS + 1)));
        assert!(is_read(" ".repeat(MAX_BODY_BYTES)));
        assert!(!is_read(" ".repeat(MAX_BODY_BYTES + 1)));
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
