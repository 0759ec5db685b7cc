//! What holds for any log: any order, any repetition, any clock.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::super::Chain;
use super::super::super::customer::Change;
use super::super::super::view::EventView;
use super::*;

/// A wait in milliseconds, who tells, and what.
type Step = (i64, Source, Value);

/// Waits on both sides of the rules' bounds, and clocks that are set back.
fn waits() -> impl Strategy<Value = i64> {
    let bounds = [
        0,
        1,
        -1,
        10 * MINUTE,
        10 * MINUTE + 1,
        15 * MINUTE,
        15 * MINUTE + 1,
        -20 * MINUTE,
    ];
    prop_oneof![3 => 0..5 * MINUTE, 1 => select(bounds.to_vec())]
}

fn customers() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "b", "c"])
}

fn requests() -> impl Strategy<Value = &'static str> {
    select(vec!["r1", "r2", "r3", "r4"])
}

/// A type of evaluation with a status; each type has one way to end.
fn runs() -> impl Strategy<Value = Value> {
    let kinds = select(vec![
        ("kyc", "completed"),
        ("fraud", "completed"),
        ("document", "failed"),
    ]);
    (kinds, 0..4usize).prop_map(|((kind, end), at)| {
        let statuses = ["initiated", "in_progress", "paused", end];
        json!({"type": kind, "status": statuses[at]})
    })
}

fn validations() -> impl Strategy<Value = Value> {
    let statuses = select(vec![
        json!("APPROVED"),
        json!("REVIEW"),
        json!("On hold"),
        Value::Null,
    ]);
    let scores = select(vec![json!(0), json!(0.25), json!(0.5), Value::Null]);
    let flags = select(vec![json!(true), json!(false), Value::Null]);
    (statuses, scores, flags).prop_map(
        |(status, score, flag)| json!({"status": status, "fraudScore": score, "fraudFlag": flag}),
    )
}

fn from_waldo() -> impl Strategy<Value = Value> {
    let told = (
        select(vec!["onboard", "evaluation", "evaluation", "flag", "novel"]),
        customers(),
        proptest::option::of(requests()),
        proptest::option::of(runs()),
        proptest::option::of(validations()),
        proptest::option::weighted(0.3, any::<bool>()),
        // Two bodies of one meaning: repeats are likely, and so are confirmations.
        0..2u8,
    );
    told.prop_map(|(event, customer, request, run, validation, flag, n)| {
        json!({
            "event": event, "customerId": customer, "requestId": request, "evaluation": run,
            "validation": validation, "flag": flag, "n": n, "externalId": (n == 1).then_some("e"),
        })
    })
}

fn from_apps() -> impl Strategy<Value = Value> {
    let operations = select(vec!["onboard", "fraud", "document", "other"]);
    let expects = select(vec![vec![], vec!["fraud"], vec!["kyc", "document"]]);
    prop_oneof![
        3 => (requests(), operations, proptest::option::of(customers()), expects).prop_map(
            |(request, operation, customer, expects)| {
                with(registered(request, operation, json!(customer)), json!({"expects": expects}))
            }
        ),
        1 => (requests(), select(vec!["completed", "failed"]))
            .prop_map(|(request, state)| settled(request, state)),
        1 => (customers(), any::<bool>()).prop_map(|(customer, flag)| flag_called(customer, flag)),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let told = prop_oneof![
        6 => (Just(Source::Webhook), from_waldo()),
        1 => (Just(Source::Gateway), from_waldo()),
        1 => (Just(Source::Poll), from_waldo()),
        2 => (Just(Source::Control), from_apps()),
        1 => (Just(Source::Webhook), select(vec![json!([]), json!(7)])),
    ];
    (waits(), told).prop_map(|(wait, (source, body))| (wait, source, body))
}

fn logs() -> impl Strategy<Value = Vec<Step>> {
    vec(steps(), 0..40)
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 96,
        failure_persistence: None,
        max_shrink_iters: 4096,
        ..ProptestConfig::default()
    }
}

fn told(steps: &[Step]) -> Tale {
    let mut tale = Tale::new();
    for (wait, source, body) in steps {
        tale.wait(*wait);
        tale.event(*source, body);
    }
    tale
}

fn sorted<T: Row + Clone>(rows: &Rows<T>) -> Vec<T> {
    let by_key: BTreeMap<_, _> = rows.iter().map(|row| (row.key(), row.clone())).collect();
    by_key.into_values().collect()
}

/// Rows as a file keeps them: only what was touched is written, and each event sees only what it needs.
#[derive(Default)]
struct File {
    customers: BTreeMap<u64, Customer>,
    requests: BTreeMap<u64, WaldoRequest>,
}

impl File {
    fn step(&mut self, event: &Event) -> Verdict {
        let last = |key: Option<&u64>| key.copied().unwrap_or(0);
        let mut world = World {
            customers: Rows::after(last(self.customers.keys().next_back())),
            requests: Rows::after(last(self.requests.keys().next_back())),
        };
        let needs = World::needs(event);
        let request = self
            .requests
            .values()
            .find(|row| Some(row.request_id.as_str()) == needs.request_id);
        let owner = request.and_then(|row| row.customer_id.as_deref());
        for id in needs.customer_id.into_iter().chain(owner) {
            for row in self.customers.values().filter(|row| row.customer_id == id) {
                for key in &row.memory.open_requests {
                    world.requests.put(self.requests[key].clone());
                }
                world.customers.put(row.clone());
            }
        }
        if let Some(row) = request {
            world.requests.put(row.clone());
        }
        let verdict = world.step(event);
        let kept: Result<(), ()> = world.customers.keep_touched(|row, new| {
            let before = self.customers.insert(row.links.key, row.clone());
            assert_eq!(before.is_none(), new);
            Ok(())
        });
        let kept = kept.and_then(|()| {
            world.requests.keep_touched(|row, new| {
                let before = self.requests.insert(row.key, row.clone());
                assert_eq!(before.is_none(), new);
                Ok(())
            })
        });
        kept.expect("nothing fails here");
        verdict
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn same_log_gives_the_same_rows_and_verdicts(steps in logs()) {
        let (first, second) = (told(&steps), told(&steps));
        prop_assert_eq!(&first.verdicts, &second.verdicts);
        prop_assert_eq!(sorted(&first.world.customers), sorted(&second.world.customers));
        prop_assert_eq!(sorted(&first.world.requests), sorted(&second.world.requests));
    }

    #[test]
    fn an_event_needs_and_changes_no_other_rows_than_it_says(steps in logs()) {
        let whole = told(&steps);
        let mut file = File::default();
        for (event, expected) in whole.log.iter().zip(&whole.verdicts) {
            let verdict = file.step(event);
            prop_assert_eq!(&verdict, expected, "event {}", event.seq);
        }
        let customers: Vec<_> = file.customers.into_values().collect();
        let requests: Vec<_> = file.requests.into_values().collect();
        prop_assert_eq!(customers, sorted(&whole.world.customers));
        prop_assert_eq!(requests, sorted(&whole.world.requests));
    }

    #[test]
    fn no_request_goes_back_from_its_end_unless_a_new_type_appears(steps in logs()) {
        let mut tale = Tale::new();
        let types = |row: &WaldoRequest| row.evaluations.len() + row.expects.len();
        for (wait, source, body) in steps {
            let before = sorted(&tale.world.requests);
            tale.wait(wait);
            tale.event(source, &body);
            for was in before.iter().filter(|row| row.is_settled()) {
                let is = tale.request(&was.request_id);
                prop_assert!(is.is_settled() || types(is) > types(was), "{was:?} became {is:?}");
                for (kind, status) in &was.evaluations {
                    let ended = ["completed", "failed"].contains(&status.as_str());
                    prop_assert!(!ended || is.evaluations[kind] == *status, "{was:?} became {is:?}");
                }
            }
        }
    }

    #[test]
    fn flagged_changes_only_by_a_flag_or_from_unknown_by_a_snapshot(steps in logs()) {
        let mut tale = Tale::new();
        for (wait, source, body) in steps {
            let before = sorted(&tale.world.customers);
            tale.wait(wait);
            tale.event(source, &body);
            let known: BTreeMap<_, _> =
                before.iter().map(|row| (row.customer_id.clone(), row.flagged)).collect();
            let event = tale.log.last().unwrap();
            for is in sorted(&tale.world.customers) {
                let was = known.get(&is.customer_id).copied().flatten();
                if is.flagged == was {
                    continue;
                }
                let reading = event.reading.as_ref().unwrap();
                prop_assert_eq!(reading.customer_id.as_ref(), Some(&is.customer_id));
                prop_assert!(source != Source::Control);
                let told = reading.flag == is.flagged;
                let filled = was.is_none() && reading.flag.is_none() && reading.validation.fraud_flag == is.flagged;
                prop_assert!(told || filled, "{was:?} became {:?} by {body}", is.flagged);
            }
        }
    }

    #[test]
    fn keys_are_given_in_order_of_first_sight(steps in logs()) {
        let tale = told(&steps);
        let (mut customers, mut requests) = (0, 0);
        for (event, verdict) in tale.log.iter().zip(&tale.verdicts) {
            let reading = event.reading.as_ref().ok();
            let named = reading.and_then(|reading| reading.customer_id.as_deref());
            let row = verdict.customer.map(|key| tale.world.customers.by_key(key).unwrap());
            prop_assert_eq!(row.map(|row| row.customer_id.as_str()), named);
            for (key, last) in [(verdict.customer, &mut customers), (verdict.request, &mut requests)] {
                if let Some(key) = key {
                    prop_assert!(key <= *last + 1, "key {key} after {last}");
                    *last = (*last).max(key);
                }
            }
        }
        prop_assert_eq!(tale.world.customers.last_key(), customers);
        prop_assert_eq!(tale.world.requests.last_key(), requests);
    }

    #[test]
    fn links_lead_back_through_exactly_the_events_that_name_the_row(steps in logs()) {
        let tale = told(&steps);
        let walk = |mut at: Option<Seq>, previous: fn(&Verdict) -> Option<Seq>| {
            let mut seqs = Vec::new();
            while let Some(seq) = at {
                seqs.insert(0, seq.0);
                at = previous(&tale.verdicts[seq.0 as usize - 1]);
            }
            seqs
        };
        let naming = |names: &dyn Fn(&Verdict) -> bool| -> Vec<u64> {
            let seqs = (1..).zip(&tale.verdicts).filter(|(_, verdict)| names(verdict));
            seqs.map(|(seq, _)| seq).collect()
        };
        for row in tale.world.customers.iter() {
            let walked = walk(row.links.last_event, |verdict| verdict.previous_of_customer);
            prop_assert_eq!(walked, naming(&|verdict| verdict.customer == Some(row.links.key)));
        }
        for row in tale.world.requests.iter() {
            let walked = walk(row.last_event, |verdict| verdict.previous_of_request);
            prop_assert_eq!(walked, naming(&|verdict| verdict.request == Some(row.key)));
            for (digest, first) in &row.seen {
                let of_body = |verdict: &Verdict, seq: u64| {
                    verdict.request == Some(row.key) && tale.log[seq as usize - 1].digest == *digest
                };
                let found = (1..).zip(&tale.verdicts).find(|(seq, verdict)| of_body(verdict, *seq));
                prop_assert_eq!(found.map(|(seq, _)| seq), Some(first.0));
            }
        }
    }

    #[test]
    fn memory_holds_what_is_open_and_no_more(steps in logs()) {
        let mut tale = Tale::new();
        for (wait, source, body) in steps {
            tale.wait(wait);
            tale.event(source, &body);
            for customer in tale.world.customers.iter() {
                let memory = &customer.memory;
                let listed: BTreeSet<u64> = memory.open_requests.iter().copied().collect();
                prop_assert_eq!(listed.len(), memory.open_requests.len(), "a request is listed twice");
                let open = |row: &&WaldoRequest| {
                    row.customer_id.as_ref() == Some(&customer.customer_id) && row.is_known() && !row.is_settled()
                };
                let open: BTreeSet<u64> = tale.world.requests.iter().filter(open).map(|row| row.key).collect();
                prop_assert_eq!(listed, open);
                prop_assert!(memory.own_flag_calls.len() <= MAX_OWN_FLAG_CALLS);
                // onboard and flag with and without a type of evaluation, evaluation with each.
                prop_assert!(memory.latest.len() <= 12, "{:?}", memory.latest);
            }
        }
    }

    #[test]
    fn a_duplicate_names_the_first_event_of_its_body(steps in logs()) {
        let tale = told(&steps);
        for (event, verdict) in tale.log.iter().zip(&tale.verdicts) {
            prop_assert_eq!(verdict.duplicate_of.is_some(), verdict.disposition == Disposition::Duplicate);
            let Some(first) = verdict.duplicate_of else { continue };
            let at = first.0 as usize - 1;
            prop_assert!(first < event.seq);
            prop_assert_eq!(tale.log[at].digest, event.digest);
            let said = &tale.verdicts[at];
            prop_assert!(matches!(said.disposition, Disposition::Applied | Disposition::Stale), "{:?}", said);
            prop_assert_eq!(origin(said), origin(verdict));
            prop_assert_eq!((said.customer, said.request), (verdict.customer, verdict.request));
            prop_assert!(verdict.replaced.is_empty());
        }
    }

    #[test]
    fn version_counts_the_events_that_changed_the_row(steps in logs()) {
        let tale = told(&steps);
        for customer in tale.world.customers.iter() {
            let changing = tale.log.iter().zip(&tale.verdicts).filter(|(_, verdict)| {
                verdict.customer == Some(customer.links.key)
                    && (verdict.created_customer || !verdict.replaced.is_empty())
            });
            let seqs: Vec<_> = changing.map(|(event, _)| event.seq).collect();
            prop_assert_eq!(customer.version, seqs.len() as u64);
            prop_assert_eq!(customer.last_seq, seqs.last().copied().unwrap_or_default());
        }
    }

    #[test]
    fn changes_follow_again_from_the_values_they_replaced(steps in logs()) {
        let mut tale = Tale::new();
        for (wait, source, body) in steps {
            tale.wait(wait);
            let id = body["customerId"].as_str().unwrap_or_default();
            let mut before = tale.world.customers.get(id).cloned().unwrap_or_default();
            let verdict = tale.event(source, &body);
            let Ok(reading) = &tale.log.last().expect("an event").reading else { continue };
            let request = verdict.request.and_then(|key| tale.world.requests.by_key(key));
            let cause = Cause {
                seq: Seq(tale.log.len() as u64),
                at: Timestamp(tale.now),
                origin: verdict.origin,
                request_id: request.map(|row| row.request_id.as_str()),
            };
            let mut changes: Vec<Change> = Vec::new();
            match verdict.disposition {
                Disposition::Applied if source != Source::Control && verdict.customer.is_some() => {
                    before.apply(reading, cause, &mut changes);
                }
                Disposition::Unrecognised => before.fill_ids(reading, cause, &mut changes),
                _ => {}
            }
            let replaced = verdict.replaced.iter().map(|value| {
                let from = serde_json::value::to_raw_value(&value.from).expect("JSON");
                (value.field.to_string(), from)
            });
            let view = EventView {
                event: tale.log.last().expect("an event").clone(),
                chain: Chain::GENESIS,
                payload: None,
                origin: verdict.origin,
                evidence: verdict.evidence,
                disposition: verdict.disposition,
                duplicate_of: None,
                request_id: cause.request_id.map(str::to_owned),
                problems: Vec::new(),
                replaced: Some(replaced.collect()),
            };
            let shown: Value = serde_json::from_slice(&view.to_json()).expect("JSON");
            let shown: Vec<Change> = serde_json::from_value(shown["changes"].clone()).expect("changes");
            prop_assert_eq!(shown, changes);
        }
    }

    #[test]
    fn any_order_and_repetition_ends_in_the_same_outcome(
        order in Just((0..DELIVERIES).collect::<Vec<_>>()).prop_shuffle(),
        again in vec(0..DELIVERIES, 0..24),
        places in vec(any::<proptest::sample::Index>(), 24),
        waits in vec(waits(), DELIVERIES + 24),
    ) {
        let mut order = order;
        for (delivery, place) in again.into_iter().zip(places) {
            order.insert(place.index(order.len() + 1), delivery);
        }
        let mut tale = Tale::new();
        let deliveries = deliveries();
        for (delivery, wait) in order.into_iter().zip(waits) {
            tale.wait(wait);
            let (source, body) = &deliveries[delivery];
            tale.event(*source, body);
        }
        for (request, state, evaluations) in outcomes() {
            let row = tale.request(request);
            prop_assert_eq!(row.state, Some(state), "{:?}", row);
            prop_assert_eq!(json!(row.evaluations), evaluations, "{:?}", row);
            prop_assert!(row.settled_by.is_some() && row.settled_at.is_some());
            prop_assert!(row.registered_at.is_some());
        }
        prop_assert!(tale.open("a").is_empty() && tale.open("b").is_empty());
    }
}

/// Three requests of two customers, from the registration to the end; each type of each ends in one way.
fn deliveries() -> Vec<(Source, Value)> {
    let expecting = |request, operation, customer, types: &[&str]| {
        with(
            registered(request, operation, json!(customer)),
            json!({"expects": types}),
        )
    };
    vec![
        (Source::Control, expecting("r1", "onboard", "a", &["fraud"])),
        (Source::Gateway, run("a", "r1", "kyc", "initiated")),
        (Source::Webhook, run("a", "r1", "fraud", "initiated")),
        (Source::Webhook, run("a", "r1", "fraud", "in_progress")),
        (Source::Webhook, run("a", "r1", "fraud", "completed")),
        (Source::Control, expecting("r2", "fraud", "a", &[])),
        (Source::Gateway, run("a", "r2", "fraud", "initiated")),
        (Source::Webhook, run("a", "r2", "fraud", "paused")),
        (Source::Poll, run("a", "r2", "fraud", "failed")),
        (
            Source::Webhook,
            with(run("a", "r2", "fraud", "failed"), json!({"n": 2})),
        ),
        (
            Source::Control,
            expecting("r3", "document", "b", &["document", "kyc"]),
        ),
        (Source::Webhook, run("b", "r3", "document", "in_progress")),
        (Source::Webhook, run("b", "r3", "document", "completed")),
        (Source::Webhook, run("b", "r3", "kyc", "failed")),
    ]
}

const DELIVERIES: usize = 14;

fn outcomes() -> [(&'static str, State, Value); 3] {
    [
        (
            "r1",
            State::Completed,
            json!({"kyc": "initiated", "fraud": "completed"}),
        ),
        ("r2", State::Failed, json!({"fraud": "failed"})),
        (
            "r3",
            State::Failed,
            json!({"kyc": "failed", "document": "completed"}),
        ),
    ]
}
