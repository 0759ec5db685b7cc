//! The rules of docs/RULES.md, seen from outside: deliveries in, rows out. One case a rule, named after it; Cn in a name is a
//! contradiction of Waldo's pages that the rule settles.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

#[path = "rules/story.rs"]
mod story;

#[path = "rules/contradictions.rs"]
mod contradictions;
#[path = "rules/control.rs"]
mod control;
#[path = "rules/customer.rs"]
mod customer;
#[path = "rules/disposition.rs"]
mod disposition;
#[path = "rules/hostile.rs"]
mod hostile;
#[path = "rules/origin.rs"]
mod origin;
#[path = "rules/reading.rs"]
mod reading;
#[path = "rules/request.rs"]
mod request;
#[path = "rules/samples.rs"]
mod samples;
