//! What the contract forbids outright, looked for without the reference: in what one delivery made of the rows.

use waldo_syncd::domain::coverage::Coverage;
use waldo_syncd::domain::customer::{Customer, Links, Memory};
use waldo_syncd::domain::fold::{Verdict, World};
use waldo_syncd::domain::request::WaldoRequest;
use waldo_syncd::domain::{Disposition, SettledBy, Source};

use super::compare::{Letter, as_kept};

/// Compares the rows before and after one delivery.
///
/// # Errors
/// What must not be, with the row as it was and as it is.
pub fn check(
    before: &World,
    after: &World,
    letter: &Letter,
    verdict: &Verdict,
) -> Result<(), String> {
    for was in before.customers.iter() {
        let is = after.customers.get(&was.customer_id);
        let is = is.ok_or("a customer's row is gone")?;
        nothing_erased(was, is).map_err(|why| format!("{why}: {was:?} became {is:?}"))?;
    }
    for is in after.customers.iter() {
        let was = before.customers.get(&is.customer_id);
        if !flag_is_explained(was, is, letter) {
            return Err(format!("flagged without a flag: {was:?} became {is:?}"));
        }
    }
    for was in before.requests.iter() {
        let is = after.requests.get(&was.request_id);
        let is = is.ok_or("a request's row is gone")?;
        ends_hold(was, is).map_err(|why| format!("{why}: {was:?} became {is:?}"))?;
    }
    if verdict.disposition == Disposition::Duplicate {
        changes_nothing(before, after)?;
    }
    coverage_counts(after)
}

/// An absent member never erases a known value.
fn nothing_erased(was: &Customer, is: &Customer) -> Result<(), &'static str> {
    if was == is {
        return Ok(());
    }
    let erased = [
        was.external_id.is_some() && is.external_id.is_none(),
        was.uri.is_some() && is.uri.is_none(),
        was.status.is_some() && is.status.is_none(),
        was.kyc.is_some() && is.kyc.is_none(),
        was.fraud_score.is_some() && is.fraud_score.is_none(),
        was.flagged.is_some() && is.flagged.is_none(),
        was.warnings.is_some() && is.warnings.is_none(),
        was.warning_tags.is_some() && is.warning_tags.is_none(),
        was.evaluations.len() > is.evaluations.len(),
        was.version > is.version,
    ];
    if erased.contains(&true) {
        return Err("a known value was erased");
    }
    let shown = |row: &Customer| Customer {
        memory: Memory::default(),
        links: Links::default(),
        ..row.clone()
    };
    match is.version - was.version {
        0 if shown(was) != shown(is) => Err("the row changed and its version did not"),
        0 => Ok(()),
        1 if is.last_seq > was.last_seq => Ok(()),
        _ => Err("one event counts once"),
    }
}

/// `flagged` follows a flag, or a snapshot while it is unknown.
fn flag_is_explained(was: Option<&Customer>, is: &Customer, letter: &Letter) -> bool {
    let was = was.and_then(|row| row.flagged);
    if was == is.flagged {
        return true;
    }
    let Some(said) = &letter.delivery.said else {
        return false;
    };
    let snapshot = said.flag.is_none() && was.is_none() && said.fraud_flag == is.flagged;
    letter.source != Source::Control
        && said.customer.as_ref() == Some(&is.customer_id)
        && (said.flag == is.flagged || snapshot)
}

/// Nothing goes back from its end, unless a type that was neither seen nor expected appears.
fn ends_hold(was: &WaldoRequest, is: &WaldoRequest) -> Result<(), &'static str> {
    if was == is {
        return Ok(());
    }
    let types = |row: &WaldoRequest| row.evaluations.len() + row.expects.len();
    if was.is_settled() && !is.is_settled() && types(is) == types(was) {
        return Err("a settled request is open again");
    }
    for (evaluation, status) in &was.evaluations {
        let now = is.evaluations.get(evaluation).map(String::as_str);
        let ended = |status: &str| ["completed", "failed"].contains(&status);
        if ended(status) && !now.is_some_and(ended) {
            return Err("an evaluation went back from its end");
        }
    }
    if was.registered_at.is_some()
        && (was.registered_at, was.operation, was.deadline_at)
            != (is.registered_at, is.operation, is.deadline_at)
    {
        return Err("a registration was altered");
    }
    let erased = (was.customer_id.is_some() && was.customer_id != is.customer_id)
        || (was.external_id.is_some() && was.external_id != is.external_id)
        || (was.context.is_some() && was.context != is.context);
    if erased {
        return Err("what was filled in was altered");
    }
    if is.is_settled() != (is.settled_by.is_some() && is.settled_at.is_some()) {
        return Err("settled, but by nothing");
    }
    Ok(())
}

/// A duplicate leaves every row as it is, but for the links that find the event.
fn changes_nothing(before: &World, after: &World) -> Result<(), String> {
    let rows = |world| {
        let (mut customers, mut requests) = as_kept(world);
        for row in &mut customers {
            row.links = Links::default();
        }
        for row in &mut requests {
            row.last_event = None;
        }
        (customers, requests)
    };
    if rows(before) != rows(after) {
        return Err("a duplicate changed something".to_owned());
    }
    Ok(())
}

/// What was settled is counted once, and webhooks told the rest of what neither asking nor a person did.
fn coverage_counts(world: &World) -> Result<(), String> {
    let mut coverage = Coverage::default();
    let (mut settled, mut told) = (0u64, 0u64);
    for row in world.requests.iter() {
        if let Some(by) = row.settled_by {
            coverage.add(by, 1);
            settled += 1;
            told += u64::from(!matches!(by, SettledBy::Poll | SettledBy::Manual));
        }
    }
    let ratio = (settled > 0).then(|| told as f64 / settled as f64);
    if coverage.settled() != settled || coverage.ratio() != ratio {
        return Err(format!("coverage: {coverage:?} of {settled} settled"));
    }
    Ok(())
}
