//! What must hold once everything is at rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};

use super::common::http::percent;
use super::common::rig::Rig;
use super::oracle::Oracle;
use super::story::{Story, text};

/// How often a customer was flagged or unflagged, and which of these times the daemon heard of last, with the value.
type Flagged = (usize, Option<(usize, bool)>);

/// What it came to.
#[derive(Default)]
pub(crate) struct Told {
    sent: usize,
    lost: usize,
    copies: usize,
    /// Requests by what settled them.
    settled_by: BTreeMap<String, usize>,
    coverage: Value,
    /// Of the requests, whose last webhook the sandbox lost in every copy.
    last_lost: (usize, usize),
    /// Own calls without evidence, and other people's changes with evidence that the rules take.
    mistaken: (usize, usize),
    /// Customers of whom no flag check could be made, for what was lost cannot be asked for.
    flags_unknown: usize,
    customers: usize,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lost, of) = self.last_lost;
        write!(
            f,
            "{} customers; webhooks: {} sent, {} of them copies, {} lost; settled {:?}; coverage {}, last webhook lost \
             {lost} of {of} ({:.3} heard); own taken for the dashboard's {}, the dashboard's for own {}; newest flag not \
             told of {}",
            self.customers,
            self.sent,
            self.copies,
            self.lost,
            self.settled_by,
            self.coverage,
            1.0 - lost as f64 / of.max(1) as f64,
            self.mistaken.0,
            self.mistaken.1,
            self.flags_unknown
        )
    }
}

#[track_caller]
pub(crate) fn all(rig: &Rig, story: &Story) -> Told {
    let mut told = Told::default();
    customers_agree(story, &mut told);
    requests_are_settled(rig, story, &mut told);
    rules_are_kept(story, &mut told);
    nothing_counts_twice(rig, story, &mut told);
    for verb in [&["rebuild", "--diff"][..], &["check"]] {
        rig.daemon.place().cli(verb).assert_code(0);
    }
    told
}

/// Each customer is as Waldo has it.
#[track_caller]
fn customers_agree(story: &Story, told: &mut Told) {
    told.customers = story.true_customers.len();
    assert_eq!(
        story.customers.len(),
        told.customers,
        "customers that are known"
    );
    let flags = flags(story);
    for truth in &story.true_customers {
        let id = text(truth, "customerId");
        let row = &story.customers[id];
        for name in ["status", "kyc", "fraudScore"] {
            assert_eq!(row[name], truth[name], "{name}: {row} {truth}");
        }
        // An empty id is none.
        let external_id = row["externalId"].as_str().unwrap_or_default();
        assert_eq!(
            external_id, truth["externalId"],
            "externalId: {row} {truth}"
        );
        let (calls, heard) = flags.get(id).cloned().unwrap_or_default();
        if let Some((call, flag)) = heard {
            assert_eq!(row["flagged"], flag, "what was told last: {row}");
            if call + 1 == calls {
                assert_eq!(row["flagged"], truth["flagged"], "{row} {truth}");
            } else {
                told.flags_unknown += 1;
            }
        } else if calls == 0 {
            // Nobody ever flagged it; a snapshot may have said so.
            assert_ne!(row["flagged"], true, "{row}");
        } else {
            told.flags_unknown += 1;
        }
    }
}

/// What became of the flags, by customer.
fn flags(story: &Story) -> BTreeMap<&str, Flagged> {
    // Each time makes one webhook, which may be lost or copied.
    let mut made: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let mut own: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for delivery in &story.deliveries {
        let is_flag = delivery["event"]
            .as_str()
            .is_some_and(|name| name.eq_ignore_ascii_case("flag"));
        if is_flag && delivery["duplicateOf"].is_null() {
            let id = text(delivery, "customerId");
            let made = made.entry(id).or_default();
            if delivery["cause"] == "api" {
                own.entry(id).or_default().push(made.len());
            }
            made.push(delivery["number"].as_u64().unwrap());
        }
    }
    let mut flags: BTreeMap<&str, Flagged> = made
        .iter()
        .map(|(id, made)| (*id, (made.len(), None)))
        .collect();
    // An own call was noted before it was made, by the gateway or by the app, in order.
    let mut calls: BTreeMap<&str, usize> = BTreeMap::new();
    for event in &story.events {
        let Some(id) = event["customerId"].as_str() else {
            continue;
        };
        let is_flag = event["event"]
            .as_str()
            .is_some_and(|name| name.eq_ignore_ascii_case("flag"));
        let source = text(event, "source");
        let time = if let Some(delivery) = story.delivery_of.get(&event["seq"].as_u64().unwrap()) {
            let original = delivery["duplicateOf"].as_u64();
            let number = original.or(delivery["number"].as_u64()).unwrap();
            made.get(id)
                .and_then(|made| made.iter().position(|known| *known == number))
        } else if (is_flag && source == "gateway") || event["event"] == "flag.called" {
            let call = calls.entry(id).or_default();
            // The answer to a call that was noted is about that one.
            if event["payload"]["noted"] != true {
                *call += 1;
            }
            Some(own[id][*call - 1])
        } else {
            None
        };
        let payload = &event["payload"];
        let value = payload["flag"].as_bool().or(payload["flagged"].as_bool());
        if let (true, Some(time), Some(value)) = (is_flag, time, value) {
            flags.get_mut(id).unwrap().1 = Some((time, value));
        }
    }
    flags
}

/// Every request is known and settled.
#[track_caller]
fn requests_are_settled(rig: &Rig, story: &Story, told: &mut Told) {
    for request in story.requests.values() {
        assert_eq!(request["state"], "completed", "{request}");
        let by = text(request, "settledBy").to_owned();
        *told.settled_by.entry(by).or_default() += 1;
    }
    let made: BTreeSet<_> = story
        .true_requests
        .iter()
        .filter_map(|request| request["requestId"].as_str())
        .collect();
    let known: BTreeSet<_> = story.requests.keys().map(String::as_str).collect();
    assert_eq!(known, made, "requests that are known");
    told.coverage = rig.stats()["coverage"]["ratio"].clone();
    let mut arrived: BTreeMap<u64, bool> = BTreeMap::new();
    for delivery in &story.deliveries {
        let is_last = delivery["evaluation"]["status"]
            .as_str()
            .is_some_and(|status| status.eq_ignore_ascii_case("completed"));
        if is_last && delivery["cause"] == "api" {
            let original = delivery["duplicateOf"].as_u64();
            let number = original.or(delivery["number"].as_u64()).unwrap();
            *arrived.entry(number).or_default() |= delivery["fate"] == "delivered";
        }
    }
    assert_eq!(arrived.len(), made.len(), "each ends once");
    let lost = arrived.values().filter(|arrived| !**arrived).count();
    told.last_lost = (lost, arrived.len());
}

/// Origin, evidence and disposition of each webhook are what the rules give.
#[track_caller]
fn rules_are_kept(story: &Story, told: &mut Told) {
    let mut oracle = Oracle::default();
    for event in &story.events {
        let seq = event["seq"].as_u64().unwrap();
        let Some(verdict) = oracle.next(event) else {
            let own = text(event, "source") != "poll" || event["requestId"].is_string();
            let origin = if own { "api" } else { "dashboard" };
            assert_eq!(event["origin"], origin, "{event}");
            continue;
        };
        let origin = if verdict.evidence == "none" {
            "dashboard"
        } else {
            "api"
        };
        let said = [
            "disposition",
            "origin",
            "originEvidence",
            "requestId",
            "duplicateOf",
        ]
        .map(|name| event[name].clone());
        let right = [
            json!(verdict.disposition),
            json!(origin),
            json!(verdict.evidence),
            json!(verdict.request_id),
            json!(verdict.duplicate_of),
        ];
        assert_eq!(said, right, "said, and right by the rules: {event}");
        let Some(delivery) = story.delivery_of.get(&seq) else {
            continue;
        };
        match (text(delivery, "cause"), origin) {
            ("dashboard", "api") => {
                assert_ne!(verdict.evidence, "request_id", "{event}");
                assert!(
                    !event["event"]
                        .as_str()
                        .unwrap()
                        .eq_ignore_ascii_case("onboard"),
                    "{event}"
                );
                told.mistaken.1 += 1;
            }
            ("api", "dashboard") if event["disposition"] != "unrecognised" => {
                told.mistaken.0 += 1;
            }
            _ => {}
        }
    }
}

/// Copies change nothing, and versions count what did.
#[track_caller]
fn nothing_counts_twice(rig: &Rig, story: &Story, told: &mut Told) {
    let mut by_number: BTreeMap<u64, &Value> = BTreeMap::new();
    for (event, delivery) in story.webhooks() {
        by_number.insert(delivery["number"].as_u64().unwrap(), event);
    }
    for delivery in &story.deliveries {
        let is_copy = !delivery["duplicateOf"].is_null();
        match text(delivery, "fate") {
            "lost" => told.lost += 1,
            _ => told.sent += 1,
        }
        told.copies += usize::from(is_copy);
        let event = |number: &Value| by_number.get(&number.as_u64()?).copied();
        let (Some(copy), Some(original)) =
            (event(&delivery["number"]), event(&delivery["duplicateOf"]))
        else {
            continue;
        };
        assert_eq!(copy["digest"], original["digest"]);
        if delivery["requestId"].is_string() {
            let mut both = [copy, original];
            both.sort_by_key(|event| event["seq"].as_u64());
            assert_eq!(both[1]["disposition"], "duplicate", "{}", both[1]);
            assert_eq!(both[1]["changes"], json!([]), "{}", both[1]);
        }
    }
    for (id, row) in &story.customers {
        let path = format!("/v1/customers/{}/events", percent(id));
        let mut changing = 0_u64;
        let mut known = false;
        for event in rig.daemon.all(&path, 1000) {
            let applied = event["disposition"] == "applied";
            let changes = !event["changes"].as_array().unwrap().is_empty();
            let first = !known && applied && event["source"] != "control";
            known |= first;
            changing += u64::from(first || changes);
        }
        assert_eq!(row["version"], changing, "{row}");
    }
}
