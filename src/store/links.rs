//! Whether the links between rows are whole, found out without looking a row up.
//!
//! Each event of a customer is pointed to once: by the customer's next event, and the last one by the customer. So the
//! links are whole when what is there and what is pointed to are the same pairs of owner and row. Both are added up in any
//! order as the rows pass, each pair by its hash, and the sums are the same or something is missing. Links of events lead
//! down; those of requests need not, but a circle that is reached from outside is pointed to twice.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use super::check::MAX_FAULTS;
use crate::domain::Seq;
use crate::domain::customer::Customer;
use crate::domain::request::WaldoRequest;

/// Pairs that are there less pairs that are pointed to.
#[derive(Default)]
struct Balance(u64);

impl Balance {
    fn is_there(&mut self, owner: impl Hash, row: u64) {
        self.0 = self.0.wrapping_add(hash(owner, row));
    }

    fn points_to(&mut self, owner: impl Hash, row: Option<u64>) {
        if let Some(row) = row {
            self.0 = self.0.wrapping_sub(hash(owner, row));
        }
    }
}

fn hash(owner: impl Hash, row: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    owner.hash(&mut hasher);
    row.hash(&mut hasher);
    hasher.finish()
}

/// Where a verdict stands, and what is before it.
pub struct Ties {
    /// Its event.
    pub seq: Seq,
    /// The customer's key, and the event before of the same.
    pub customer: (Option<u64>, Option<u64>),
    /// The request's key, and the event before of the same.
    pub request: (Option<u64>, Option<u64>),
}

/// The links of all rows, as they pass; verdicts in the order of their events.
#[derive(Default)]
pub struct Links {
    events_of_customers: Balance,
    events_of_requests: Balance,
    requests_of_customers: Balance,
    last: Seq,
    faults: Vec<String>,
}

impl Links {
    /// A customer passes.
    pub fn customer(&mut self, customer: &Customer) {
        let links = &customer.links;
        let last_event = links.last_event.map(|at| at.0);
        self.events_of_customers.points_to(links.key, last_event);
        let id = Some(&customer.customer_id);
        self.requests_of_customers.points_to(id, links.last_request);
    }

    /// A request passes.
    pub fn request(&mut self, request: &WaldoRequest) {
        let last_event = request.last_event.map(|at| at.0);
        self.events_of_requests.points_to(request.key, last_event);
        let owner = request.customer_id.as_ref();
        if owner.is_some() {
            self.requests_of_customers.is_there(owner, request.key);
        }
        let before = request.previous_of_customer;
        self.requests_of_customers.points_to(owner, before);
    }

    /// A verdict passes.
    pub fn verdict(&mut self, ties: &Ties) {
        let (at, expected) = (ties.seq, self.last.next());
        if at != expected {
            self.fault(format!(
                "the row of event {expected} is missing in verdicts: that of event {at} follows"
            ));
        }
        self.last = at;
        let each = [
            (&mut self.events_of_customers, ties.customer),
            (&mut self.events_of_requests, ties.request),
        ];
        for (balance, (owner, before)) in each {
            if let Some(owner) = owner {
                balance.is_there(owner, at.0);
                balance.points_to(owner, before);
            }
        }
        let leads_up = |(_, before): (_, Option<u64>)| before.is_some_and(|before| before >= at.0);
        if leads_up(ties.customer) || leads_up(ties.request) {
            self.fault(format!(
                "the link of event {at} in verdicts does not lead to an event before it"
            ));
        }
    }

    fn fault(&mut self, text: String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(text);
        }
    }

    /// What is wrong, once all have passed; `all_read` says whether each could be read, else no sum says anything.
    pub fn end(mut self, projected: Seq, all_read: bool) -> Vec<String> {
        if self.last != projected {
            let last = self.last;
            self.fault(format!(
                "the rows of verdicts end at event {last}, the projections are at {projected}"
            ));
        }
        if all_read && self.faults.is_empty() {
            let sums = [
                ("customers and their events", &self.events_of_customers),
                ("requests and their events", &self.events_of_requests),
                ("customers and their requests", &self.requests_of_customers),
            ];
            let broken = sums.iter().filter(|(_, balance)| balance.0 != 0);
            let said = broken.map(|(what, _)| format!("the links between {what} are broken"));
            self.faults = said.collect();
        }
        self.faults
    }
}
