//! The program's fold and the reference side by side: each delivery is told to both, and everything that they then say
//! is compared.

use waldo_syncd::domain::customer::Customer;
use waldo_syncd::domain::fold::{Event, Verdict, World};
use waldo_syncd::domain::payload::{self, Reading, Unreadable};
use waldo_syncd::domain::request::WaldoRequest;
use waldo_syncd::domain::rows::{Row, Rows};
use waldo_syncd::domain::{Digest, Seq, Source, Timestamp};

use super::reference::{self, Delivery, Log};

/// A delivery as both sides take it.
pub struct Letter {
    pub delivery: Delivery,
    pub source: Source,
    digest: Digest,
    reading: Result<Reading, Unreadable>,
}

impl Letter {
    pub fn new(by: &'static str, text: String) -> Self {
        let source = by.parse().expect("a source");
        Self {
            source,
            digest: Digest::of(text.as_bytes()),
            reading: payload::read(source, text.as_bytes(), text.len() as u64),
            delivery: Delivery::new(by, text),
        }
    }
}

/// Where both stand after some deliveries.
#[derive(Default)]
pub struct Pair<'a> {
    pub world: World,
    pub log: Log<'a>,
}

impl Clone for Pair<'_> {
    fn clone(&self) -> Self {
        let world = World {
            customers: copied(&self.world.customers),
            requests: copied(&self.world.requests),
        };
        Self {
            world,
            log: self.log.clone(),
        }
    }
}

/// As a file would give the rows back.
fn copied<T: Row + Clone>(rows: &Rows<T>) -> Rows<T> {
    let mut copy = Rows::after(rows.last_key());
    for row in rows.iter() {
        copy.put(row.clone());
    }
    copy
}

impl<'a> Pair<'a> {
    /// Tells both, and compares the verdicts and every row.
    ///
    /// # Errors
    /// The first thing on which they differ.
    pub fn tell(&mut self, at: i64, letter: &'a Letter) -> Result<Verdict, String> {
        let event = Event {
            seq: Seq(self.log.0.len() as u64 + 1),
            received_at: Timestamp(at),
            source: letter.source,
            digest: letter.digest,
            reading: letter.reading.clone(),
        };
        let named = letter.delivery.said.as_ref();
        let named = named.and_then(|said| said.customer.as_deref());
        let before = named.map(|id| self.log.customer(id));
        let verdict = self.world.step(&event);
        let expected = self.log.tell(at, &letter.delivery).clone();

        let request = verdict
            .request
            .and_then(|key| self.world.requests.by_key(key));
        let said = reference::Verdict {
            disposition: verdict.disposition.as_str(),
            origin: verdict.origin.as_str(),
            evidence: verdict.evidence.as_str(),
            request: request.map(|row| row.request_id.as_str()),
            duplicate_of: verdict.duplicate_of.map(|seq| seq.0),
        };
        same("verdict", &said, &expected)?;
        if let (Some(id), Some(before)) = (named, before) {
            let mut changed: Vec<_> = verdict
                .replaced
                .iter()
                .map(|one| one.field.to_string())
                .collect();
            changed.sort_unstable();
            same(
                "changes",
                &changed,
                &differences(&before, &self.log.customer(id)),
            )?;
        }
        self.compare_rows()?;
        Ok(verdict)
    }

    fn compare_rows(&self) -> Result<(), String> {
        for row in self.world.customers.iter() {
            let expected = self.log.customer(&row.customer_id);
            same(
                &format!("customer {}", row.customer_id),
                &customer(row),
                &expected,
            )?;
        }
        for row in self.world.requests.iter() {
            let expected = self.log.request(&row.request_id);
            let is = request(row, &expected);
            same(&format!("request {}", row.request_id), &is, &expected)?;
        }
        // Rows that are missing would not have been seen above.
        for entry in &self.log.0 {
            let named = entry.delivery.said.as_ref();
            let id = named.and_then(|said| said.customer.as_deref());
            if let Some(id) = id.filter(|id| self.world.customers.get(id).is_none()) {
                return Err(format!("customer {id} has no row"));
            }
            let id = entry.verdict.request;
            if let Some(id) = id.filter(|id| self.world.requests.get(id).is_none()) {
                return Err(format!("request {id} has no row"));
            }
        }
        Ok(())
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, is: &T, expected: &T) -> Result<(), String> {
    if is == expected {
        return Ok(());
    }
    Err(format!(
        "{what}:\n  is        {is:?}\n  should be {expected:?}"
    ))
}

fn customer(row: &Customer) -> reference::Customer<'_> {
    reference::Customer {
        external: row.external_id.as_deref(),
        uri: row.uri.as_deref(),
        status: row.status.as_deref(),
        kyc: row.kyc.as_deref(),
        score: row.fraud_score,
        flagged: row.flagged,
        warnings: row.warnings,
        tags: row
            .warning_tags
            .as_ref()
            .map(|tags| tags.iter().map(|tag| tag.tag.as_str()).collect()),
        runs: row
            .evaluations
            .iter()
            .map(|(evaluation, run)| {
                let run = (run.status.as_str(), run.request_id.as_deref(), run.at.0);
                (evaluation.as_str(), run)
            })
            .collect(),
        decided_by: row.decided_by.map(|origin| origin.as_str()),
        first_seen_at: row.first_seen_at.0,
        updated_at: row.updated_at.0,
        last_seq: row.last_seq.0,
        version: row.version,
    }
}

fn request<'a>(row: &'a WaldoRequest, expected: &reference::Request<'a>) -> reference::Request<'a> {
    reference::Request {
        operation: row.operation.map(|operation| operation.as_str()),
        customer: row.customer_id.as_deref(),
        external: row.external_id.as_deref(),
        evaluations: row
            .evaluations
            .iter()
            .map(|(evaluation, status)| (evaluation.as_str(), status.as_str()))
            .collect(),
        expects: row.expects.iter().map(String::as_str).collect(),
        state: row.state.map(|state| state.as_str()),
        settled_by: row.settled_by.map(|by| by.as_str()),
        registered_at: row.registered_at.map(|at| at.0),
        first_event_at: row.first_event_at.map(|at| at.0),
        settled_at: row.settled_at.map(|at| at.0),
        deadline_at: row.deadline_at.map(|at| at.0),
        // What each side remembers besides is its own affair.
        given: expected.given,
        beyond_kyc: expected.beyond_kyc,
    }
}

/// The members that an event changed, by the reference's rows before and after it.
fn differences(before: &reference::Customer<'_>, after: &reference::Customer<'_>) -> Vec<String> {
    let members = [
        ("decidedBy", before.decided_by != after.decided_by),
        ("externalId", before.external != after.external),
        ("flagged", before.flagged != after.flagged),
        ("fraudScore", before.score != after.score),
        ("kyc", before.kyc != after.kyc),
        ("status", before.status != after.status),
        ("uri", before.uri != after.uri),
        ("warningTags", before.tags != after.tags),
        ("warnings", before.warnings != after.warnings),
    ];
    let runs = after.runs.iter();
    let changed_runs = runs.filter(|(evaluation, run)| before.runs.get(*evaluation) != Some(run));
    let mut names: Vec<String> = members
        .iter()
        .filter(|(_, changed)| *changed)
        .map(|(name, _)| (*name).to_owned())
        .chain(changed_runs.map(|(evaluation, _)| format!("evaluations.{evaluation}")))
        .collect();
    names.sort_unstable();
    names
}

/// All rows with everything in them, in the order of their keys.
pub fn as_kept(world: &World) -> (Vec<Customer>, Vec<WaldoRequest>) {
    let mut customers: Vec<_> = world.customers.iter().cloned().collect();
    customers.sort_by_key(|row| row.links.key);
    let mut requests: Vec<_> = world.requests.iter().cloned().collect();
    requests.sort_by_key(|row| row.key);
    (customers, requests)
}
