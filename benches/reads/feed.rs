//! The feed from one end to the other, in the largest pages there are.

use std::path::Path;

use crate::Form;
use crate::common::{Result, Table, figure, median, tell};
use crate::load::{self, Requests};
use crate::servers::{Server, get, stat};

const PAGE: u64 = 1000;
const CONNECTIONS: [usize; 2] = [1, 4];

/// Page after page, and over again at the end.
struct Pages {
    after: u64,
    last: u64,
    request: Vec<u8>,
}

impl Requests for Pages {
    fn next_request(&mut self) -> &[u8] {
        let after = self.after;
        self.after = if after + 2 * PAGE <= self.last {
            after + PAGE
        } else {
            0
        };
        self.request = format!(
            "GET /v1/events?after={after}&limit={PAGE} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        .into_bytes();
        &self.request
    }
}

pub fn measure(form: &Form, full: &Path) -> Result<()> {
    let daemon = Server::daemon(full)?;
    let query = daemon.query.ok_or("no query door")?;
    let last = stat(query, "projectedSeq")?;
    let page = get(query, &format!("/v1/events?limit={PAGE}"))?;
    let items: serde_json::Value = serde_json::from_str(&page)?;
    let items = items.get("items").and_then(|items| items.as_array());
    if items.map(Vec::len) != Some(PAGE as usize) {
        return Err("a page is not full".into());
    }
    let mut outcomes = [Vec::new(), Vec::new()];
    for round in 0..form.rounds {
        tell(&format!("feed, round {} of {}", round + 1, form.rounds));
        for (outcomes, connections) in outcomes.iter_mut().zip(CONNECTIONS) {
            let before = daemon.processor_seconds()?;
            let load = load::closed_loop(query, connections, form.time, || Pages {
                after: fastrand::u64(..last / PAGE) * PAGE,
                last,
                request: Vec::new(),
            })?;
            let processor = daemon.processor_seconds()? - before;
            let events = (load.in_all as u64 * PAGE) as f64;
            outcomes.push((load.rate() * PAGE as f64, processor / events * 1e6));
        }
    }
    println!(
        "The feed in pages of {PAGE}, {} bytes an event: {} rounds of {:?}, medians.",
        page.len() as u64 / PAGE,
        form.rounds,
        form.time
    );
    let mut table = Table::new(&["connections", "events/s", "µs CPU an event"]);
    for (outcomes, connections) in outcomes.iter().zip(CONNECTIONS) {
        table.line([
            connections.to_string(),
            figure(median(outcomes.iter().map(|one| one.0))),
            figure(median(outcomes.iter().map(|one| one.1))),
        ]);
    }
    println!("{table}");
    daemon.stop()
}
