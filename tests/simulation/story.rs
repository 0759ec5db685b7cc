//! Both sides of what happened: the daemon's log and tables, the sandbox's truth, and which webhook became which event.

use std::collections::BTreeMap;

use serde_json::Value;

use super::common::rig::Rig;

/// Events read at a time.
const PAGE: usize = 1000;

/// All of it, read once everything is at rest.
pub(crate) struct Story {
    /// The daemon's, by `seq`.
    pub(crate) events: Vec<Value>,
    pub(crate) customers: BTreeMap<String, Value>,
    pub(crate) requests: BTreeMap<String, Value>,
    /// The sandbox's.
    pub(crate) true_customers: Vec<Value>,
    pub(crate) true_requests: Vec<Value>,
    pub(crate) deliveries: Vec<Value>,
    /// The delivery that became an event, by seq; those that name a customer.
    pub(crate) delivery_of: BTreeMap<u64, Value>,
}

impl Story {
    #[track_caller]
    pub(crate) fn read(rig: &Rig) -> Self {
        let events = events(rig);
        let deliveries = rig.truth("deliveries");
        let delivery_of = join(&events, &deliveries);
        Self {
            customers: by_id(
                rig.daemon.all("/v1/customers?sort=customerId", 500),
                "customerId",
            ),
            requests: by_id(rig.daemon.all("/v1/requests", 500), "requestId"),
            true_customers: rig.truth("customers"),
            true_requests: rig.truth("requests"),
            events,
            deliveries,
            delivery_of,
        }
    }

    pub(crate) fn webhooks(&self) -> impl Iterator<Item = (&Value, &Value)> {
        self.events.iter().filter_map(|event| {
            let delivery = self.delivery_of.get(&event["seq"].as_u64()?)?;
            Some((event, delivery))
        })
    }
}

pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {value}"))
}

fn by_id(items: Vec<Value>, name: &str) -> BTreeMap<String, Value> {
    items
        .into_iter()
        .map(|item| (text(&item, name).to_owned(), item))
        .collect()
}

#[track_caller]
fn events(rig: &Rig) -> Vec<Value> {
    let mut reader = rig.daemon.reader();
    let mut events: Vec<Value> = Vec::new();
    loop {
        let after = events
            .last()
            .map_or(0, |event| event["seq"].as_u64().unwrap());
        let page = reader
            .get(&format!("/v1/events?after={after}&limit={PAGE}"))
            .items();
        if page.is_empty() {
            return events;
        }
        events.extend(page);
    }
}

/// A customer's webhooks are sent one after the other, so its n-th that was sent is its n-th event.
#[track_caller]
fn join(events: &[Value], deliveries: &[Value]) -> BTreeMap<u64, Value> {
    let mut sent: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    let mut anonymous = 0;
    for delivery in deliveries {
        match text(delivery, "fate") {
            "lost" => continue,
            "delivered" => assert_eq!(delivery["status"], 200, "{delivery}"),
            _ => panic!("it was sent, and the daemon did not answer in time: {delivery}"),
        }
        // What the dashboard's test tool sends names no customer.
        if delivery["event"].is_null() || delivery["event"] == "test" {
            anonymous += 1;
        } else {
            sent.entry(text(delivery, "customerId"))
                .or_default()
                .push(delivery);
        }
    }
    let mut heard: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for event in events.iter().filter(|event| event["source"] == "webhook") {
        match event["customerId"].as_str() {
            Some(id) => heard.entry(id).or_default().push(event),
            None => {
                anonymous -= 1;
                assert_eq!(event["disposition"], "unrecognised", "{event}");
            }
        }
    }
    assert_eq!(anonymous, 0, "what names no customer");
    let mut joined = BTreeMap::new();
    assert_eq!(
        sent.keys().collect::<Vec<_>>(),
        heard.keys().collect::<Vec<_>>()
    );
    for (id, mut sent) in sent {
        sent.sort_by_key(|delivery| delivery["sentNumber"].as_u64());
        let heard = &heard[id];
        assert_eq!(sent.len(), heard.len(), "webhooks of {id}");
        for (delivery, event) in sent.into_iter().zip(heard) {
            for name in ["event", "requestId", "evaluation"] {
                assert_eq!(event["payload"][name], delivery[name], "{event} {delivery}");
            }
            joined.insert(event["seq"].as_u64().unwrap(), delivery.clone());
        }
    }
    joined
}
