//! Takes old payloads out by schedule: at the start, and from then on every so often.

use std::time::Duration;

use crate::clock::now;
use crate::domain::Seq;
use crate::store::{Store, StoreError};
use crate::words::counted;

/// How long one stretch of it lasts; it yields to nobody's waiting longer than one step of it takes.
const STRETCH: Duration = Duration::from_secs(10);
/// The longest time between two looks that a clock can be asked for.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Takes out payloads older than `age`, every so often.
pub(super) async fn prune(store: Store, age: Duration, every: Duration) {
    loop {
        match prune_once(&store, age).await {
            Ok(0) => log::debug!("no payload is old enough to be taken out"),
            Ok(events) => {
                let taken = counted(events, "payload", "payloads");
                log::info!("took out {taken} older than {} days", days(age));
            }
            Err(error) => {
                log::warn!("old payloads cannot be taken out, will be tried again: {error}");
            }
        }
        tokio::time::sleep(every.min(LONGEST)).await;
    }
}

async fn prune_once(store: &Store, age: Duration) -> Result<u64, StoreError> {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    let before = now().plus_ms(-age);
    let mut events = 0;
    let mut after = Seq::START;
    loop {
        let pruned = store.prune(before, after, STRETCH).await?;
        events += pruned.events;
        match pruned.next {
            Some(next) => after = next,
            None => return Ok(events),
        }
    }
}

fn days(age: Duration) -> f64 {
    let days = age.as_secs_f64() / 86_400.0;
    (days * 100.0).round() / 100.0
}
