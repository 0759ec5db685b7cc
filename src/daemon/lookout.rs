//! What runs beside the doors: the watchdog, the head of the chain in the log, and a look-out for silence.

use std::time::Duration;

use crate::clock::now;
use crate::domain::coverage::silent_since;
use crate::store::{Store, StoreError};
use crate::systemd;

/// How often the head of the chain is logged.
const HEAD_EVERY: Duration = Duration::from_secs(24 * 3600);
/// How long the writer may take to give the sign of life that the watchdog is fed for.
const ALIVE_WITHIN: Duration = Duration::from_secs(5);
/// How often silence is looked for, at most and at least.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

/// Puts the head of the chain into the log, where nobody who alters the file can reach it.
pub(super) async fn log_head(store: Store) {
    loop {
        match store.head().await {
            Ok(head) => log::info!(
                "the log ends at event {} with the chain head {}",
                head.seq,
                head.value
            ),
            Err(error) => log::warn!("the chain head cannot be read: {error}"),
        }
        tokio::time::sleep(HEAD_EVERY).await;
    }
}

/// Feeds systemd's watchdog, after each sign of life from the writer.
pub(super) async fn feed_watchdog(store: Store) {
    let Some(every) = systemd::watchdog_every() else {
        return;
    };
    loop {
        // A disk that is full is trouble, but no reason to be killed for: the writer has answered.
        match store.checkup(ALIVE_WITHIN.min(every)).await {
            Err(error @ StoreError::NoAnswer) => log::error!("the watchdog is not fed: {error}"),
            _ => systemd::alive(),
        }
        tokio::time::sleep(every).await;
    }
}

/// Warns once when requests wait and no webhook has come for too long, and tells when webhooks come again.
pub(super) async fn look_out_for_silence(
    store: Store,
    silence_after: Duration,
    give_up_after: Duration,
) {
    let after_ms = ms(silence_after);
    let mut warned = None;
    loop {
        tokio::time::sleep((silence_after / 4).clamp(LOOK_EVERY.0, LOOK_EVERY.1)).await;
        let stats = match store.census(now(), ms(give_up_after)).await {
            Ok(stats) => stats.value,
            Err(error) => {
                log::debug!("silence cannot be looked for: {error}");
                continue;
            }
        };
        let since = silent_since(now(), after_ms, stats.waiting_since, stats.last_webhook_at);
        match (since, warned) {
            (Some(since), None) => log::warn!(
                "no webhook has come since {since} although requests wait: is the URL on Waldo's dashboard right, is \
                 the secret in it valid, does the proxy pass webhooks on?"
            ),
            (None, Some(_)) => log::info!("webhooks come again, or no request waits any longer"),
            _ => {}
        }
        warned = since;
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
