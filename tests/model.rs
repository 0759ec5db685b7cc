//! Every order and repetition of small sets of deliveries, told to the fold and to a second statement of the rules: both
//! say the same of each delivery and end in the same rows, and what the contract forbids never happens.
//!
//! `WALDO_SYNCD_MODEL_DEPTH=N` tries sequences of up to N deliveries instead of 6.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

#[path = "model/compare.rs"]
mod compare;
#[path = "model/invariants.rs"]
mod invariants;
#[path = "model/reference.rs"]
mod reference;
#[path = "model/sets.rs"]
mod sets;

use compare::{Letter, Pair, as_kept};
use sets::Next;

/// How many deliveries, repetitions included, make up the longest sequence.
const DEPTH: usize = 6;
/// Of the longest sequences, each so manieth is also folded in one go.
const REPLAYED: u64 = 50;
const START: i64 = 1_764_000_000_000;

/// One thing that may come next.
enum Step {
    Tell(Box<Letter>),
    Wait(i64),
}

struct Walk<'a> {
    steps: &'a [Step],
    path: Vec<usize>,
    depth: usize,
    sequences: u64,
}

impl<'a> Walk<'a> {
    /// Tries every next step from here, and everything after it.
    fn go(&mut self, pair: &Pair<'a>, at: i64) {
        if self.path.len() == self.depth {
            if self.sequences.is_multiple_of(REPLAYED) {
                self.replay(pair);
            }
            return;
        }
        for (place, step) in self.steps.iter().enumerate() {
            self.path.push(place);
            self.sequences += 1;
            match step {
                Step::Wait(ms) => self.go(pair, at + ms),
                Step::Tell(letter) => {
                    let mut next = pair.clone();
                    let at = at + 1;
                    let verdict = self.right(next.tell(at, letter));
                    self.right(invariants::check(
                        &pair.world,
                        &next.world,
                        letter,
                        &verdict,
                    ));
                    self.go(&next, at);
                }
            }
            self.path.pop();
        }
    }

    /// The same log folded from its beginning, in one world, gives the same rows.
    fn replay(&self, stepwise: &Pair<'a>) {
        let (mut again, mut at) = (Pair::default(), START);
        for place in &self.path {
            match &self.steps[*place] {
                Step::Wait(ms) => at += ms,
                Step::Tell(letter) => {
                    at += 1;
                    self.right(again.tell(at, letter));
                }
            }
        }
        assert_eq!(
            as_kept(&again.world),
            as_kept(&stepwise.world),
            "after{}",
            self.story()
        );
    }

    fn right<T>(&self, found: Result<T, String>) -> T {
        found.unwrap_or_else(|wrong| panic!("{wrong}\nafter{}", self.story()))
    }

    fn story(&self) -> String {
        let step = |place: &usize| match &self.steps[*place] {
            Step::Wait(ms) => format!("\n  {ms} ms"),
            Step::Tell(letter) => format!("\n  {}: {}", letter.delivery.by, letter.delivery.text),
        };
        self.path.iter().map(step).collect()
    }
}

/// Tries all sequences of a set.
fn try_all(set: Vec<Next>) {
    let depth = std::env::var_os("WALDO_SYNCD_MODEL_DEPTH").map_or(DEPTH, |text| {
        let number = text.to_str().and_then(|text| text.parse().ok());
        number.expect("WALDO_SYNCD_MODEL_DEPTH: a number")
    });
    let steps: Vec<Step> = set
        .into_iter()
        .map(|next| match next {
            Next::Told(by, body) => Step::Tell(Box::new(Letter::new(by, body.to_string()))),
            Next::Wait(ms) => Step::Wait(ms),
        })
        .collect();
    let mut walk = Walk {
        steps: &steps,
        path: Vec::new(),
        depth,
        sequences: 0,
    };
    walk.go(&Pair::default(), START);
    println!("{} sequences of up to {depth} deliveries", walk.sequences);
    let expected: u64 = (1..=depth as u32)
        .map(|n| (steps.len() as u64).pow(n))
        .sum();
    assert_eq!(walk.sequences, expected);
}

#[test]
fn one_request_from_its_beginning_to_its_end() {
    try_all(sets::one_request());
}

#[test]
fn one_request_of_several_types() {
    try_all(sets::several_types());
}

#[test]
fn what_has_no_request_id_with_two_requests_open() {
    try_all(sets::which_request());
}

#[test]
fn two_customers_under_one_request() {
    try_all(sets::two_customers());
}

#[test]
fn flags_and_own_flag_calls() {
    try_all(sets::flags());
}

#[test]
fn repeats_and_how_long_ago() {
    try_all(sets::repeats());
}

#[test]
fn values_old_new_absent_and_null() {
    try_all(sets::values());
}

#[test]
fn settling_by_hand_and_by_asking() {
    try_all(sets::by_hand());
}

#[test]
fn runs_of_no_request() {
    try_all(sets::runs());
}

#[test]
fn answers_to_calls_and_questions() {
    try_all(sets::answers());
}

#[test]
fn what_is_not_recognised() {
    try_all(sets::unrecognised());
}

#[test]
fn a_flag_call_that_is_waited_for() {
    try_all(sets::flag_request());
}

#[test]
fn one_request_registered_in_several_ways() {
    try_all(sets::registrations());
}

#[test]
fn which_events_are_tied_to_a_request() {
    try_all(sets::tied());
}

#[test]
fn names_that_are_for_others() {
    try_all(sets::names());
}

#[test]
fn who_decided_and_who_said_the_same() {
    try_all(sets::decided());
}
