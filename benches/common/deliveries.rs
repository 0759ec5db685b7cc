//! Bodies like Waldo's, of about 570 bytes, each different: a stream of customers whose request is initiated first and
//! completed some events later, so that the rows of customers and requests are really inserted and updated.
//!
//! Both bodies are texts of a fixed length in which only the ids are filled in, so that making one costs next to nothing.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Customers of one sender whose request has been initiated and not completed yet.
const OPEN: u64 = 16;
const CUSTOMER: &str = "CCCCCCCCCCCCCCCCCCCCCCCC";
const REQUEST: &str = "RRRRRRRRRR";

const INITIATED: &str = r#"{"requestId":"RRRRRRRRRR","event":"onboard","evaluation":{"type":"fraud","status":"initiated"},"validation":{"status":"REVIEW","kyc":"PASSED","fraudScore":0,"fraudFlag":false,"warnings":1,"warningTags":{"ssn":{"tag":"ssn","label":"SSN check","passed":true},"address":{"tag":"address","label":"Address check","passed":false},"phone":{"tag":"phone","label":"Phone check","passed":true},"ip":{"tag":"ip","label":"IP check","passed":true}}},"externalId":"crm-RRRRRRRRRR","customerId":"CCCCCCCCCCCCCCCCCCCCCCCC","uri":"https://app.waldo.ai/customers/CCCCCCCCCCCCCCCCCCCCCCCC"}"#;
const COMPLETED: &str = r#"{"requestId":"RRRRRRRRRR","event":"evaluation","evaluation":{"type":"fraud","status":"completed"},"validation":{"status":"APPROVED","kyc":"PASSED","fraudScore":0.93,"fraudFlag":false,"warnings":1,"warningTags":{"ssn":{"tag":"ssn","label":"SSN check","passed":true},"address":{"tag":"address","label":"Address check","passed":false},"phone":{"tag":"phone","label":"Phone check","passed":true},"ip":{"tag":"ip","label":"IP check","passed":true}}},"externalId":"crm-RRRRRRRRRR","customerId":"CCCCCCCCCCCCCCCCCCCCCCCC","uri":"https://app.waldo.ai/customers/CCCCCCCCCCCCCCCCCCCCCCCC"}"#;

/// A text with room for ids, behind the head of its request if it has one.
struct Template {
    bytes: Vec<u8>,
    body_at: usize,
    customer_at: Vec<usize>,
    request_at: Vec<usize>,
}

impl Template {
    fn new(path: &str, body: &str) -> Self {
        let head = if path.is_empty() {
            String::new()
        } else {
            format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            )
        };
        let text = format!("{head}{body}");
        let places = |id: &str| text.match_indices(id).map(|(at, _)| at).collect();
        Self {
            body_at: head.len(),
            customer_at: places(CUSTOMER),
            request_at: places(REQUEST),
            bytes: text.into_bytes(),
        }
    }

    fn fill(&mut self, customer: &[u8], request: &[u8]) {
        for (places, id) in [(&self.customer_at, customer), (&self.request_at, request)] {
            for &at in places {
                if let Some(place) = self.bytes.get_mut(at..at + id.len()) {
                    place.copy_from_slice(id);
                }
            }
        }
    }
}

/// One source of deliveries. Customers and requests of different senders are different.
pub struct Sender {
    initiated: Template,
    completed: Template,
    number: u64,
    turn: u64,
}

impl Sender {
    /// Of requests to `path`; with none, of bodies.
    pub fn new(path: &str) -> Self {
        static SENDERS: AtomicU64 = AtomicU64::new(0);
        // Where a file is kept, those of the next run must be others too: a repeat would not be applied.
        static FIRST: LazyLock<u64> = LazyLock::new(|| fastrand::u64(1..1 << 23));
        Self {
            initiated: Template::new(path, INITIATED),
            completed: Template::new(path, COMPLETED),
            number: *FIRST + SENDERS.fetch_add(1, Ordering::Relaxed),
            turn: 0,
        }
    }

    /// The next request, head and body.
    pub fn next_request(&mut self) -> &[u8] {
        &self.next().bytes
    }

    /// The next body.
    pub fn next_body(&mut self) -> &[u8] {
        let next = self.next();
        next.bytes.get(next.body_at..).unwrap_or_default()
    }

    fn next(&mut self) -> &Template {
        let turn = self.turn;
        self.turn += 1;
        let (template, customer) = match turn.checked_sub(OPEN) {
            None => (&mut self.initiated, turn),
            Some(later) if later.is_multiple_of(2) => (&mut self.completed, later / 2),
            Some(later) => (&mut self.initiated, OPEN + later / 2),
        };
        let random = mixed(self.number << 40 | customer);
        template.fill(&customer_id(customer, random), &request_id(random));
        template
    }
}

/// Bodies about so many customers, each about one drawn evenly. A request of that customer is initiated, and completed
/// when its turn comes again.
pub struct Crowd {
    initiated: Template,
    completed: Template,
    /// How many bodies there have been about each.
    turns: Vec<u32>,
    chance: fastrand::Rng,
}

impl Crowd {
    /// The same customers and the same order for the same number.
    pub fn from(customers: usize) -> Self {
        Self::new("", customers, 0, fastrand::Rng::with_seed(7))
    }

    /// Requests to `path` about those customers, of later runs, drawn by chance.
    pub fn later(path: &str, customers: usize) -> Self {
        let runs = fastrand::u32(1 << 10..1 << 20);
        Self::new(path, customers, 2 * runs, fastrand::Rng::new())
    }

    fn new(path: &str, customers: usize, turn: u32, chance: fastrand::Rng) -> Self {
        Self {
            initiated: Template::new(path, INITIATED),
            completed: Template::new(path, COMPLETED),
            turns: vec![turn; customers.max(1)],
            chance,
        }
    }

    /// The next one: a body, or a whole request where there is a path.
    pub fn next(&mut self) -> &[u8] {
        let customer = self.chance.usize(..self.turns.len());
        let turn = self.turns.get(customer).copied().unwrap_or_default();
        if let Some(turns) = self.turns.get_mut(customer) {
            *turns += 1;
        }
        let customer = customer as u64;
        // A sender has a number above 0, and so other customers.
        let random = mixed(customer);
        let template = if turn.is_multiple_of(2) {
            &mut self.initiated
        } else {
            &mut self.completed
        };
        let run = mixed(random ^ u64::from(turn / 2));
        template.fill(&customer_id(customer, random), &request_id(run));
        &template.bytes
    }
}

/// Waldo's ids begin with a time, so those of one source are in order, with chance behind it.
fn customer_id(customer: u64, random: u64) -> [u8; 24] {
    let mut id = [0; 24];
    let digits = hex(0x6900_0000 + customer / 64, 8).chain(hex(random, 16));
    id.iter_mut()
        .zip(digits)
        .for_each(|(place, digit)| *place = digit);
    id
}

fn request_id(random: u64) -> [u8; 10] {
    let mut id = [0; 10];
    id.iter_mut()
        .zip(hex(mixed(random), 10))
        .for_each(|(place, digit)| *place = digit);
    id
}

/// The digits of a number, the last `count` of them.
fn hex(number: u64, count: u32) -> impl Iterator<Item = u8> {
    (0..count)
        .rev()
        .map(move |digit| b"0123456789abcdef"[(number >> (4 * digit) & 15) as usize])
}

/// A number that looks like chance, another one for each input.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
