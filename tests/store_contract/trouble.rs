//! A file that cannot be written for a while: refused, never lost, and over as soon as it is over.

use std::fs;

use serde_json::json;

use super::common::bodies::*;
use super::common::place::poll;
use super::*;

/// Holds up the projector, not the log.
const HOLD: &str =
    "CREATE TRIGGER hold BEFORE INSERT ON verdicts BEGIN SELECT RAISE(ABORT, 'held'); END";

#[tokio::test(flavor = "multi_thread")]
async fn held_file_refuses_without_loss_and_recovers_by_itself() {
    let opened = Opened::new();
    let mut acknowledged = Vec::new();
    for n in 0..3 {
        acknowledged.push(shown(&opened.store, json!({"kept": n})).await.0);
    }
    let held = opened.connection();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut appenders = JoinSet::new();
    for n in 0..8 {
        let store = opened.store.clone();
        appenders.spawn(async move { store.append(delivery(json!({"refused": n}))).await });
    }
    while let Some(answer) = appenders.join_next().await {
        let answer = answer.unwrap();
        assert!(
            matches!(answer, Err(StoreError::Unavailable(_))),
            "{answer:?}"
        );
    }
    assert!(opened.store.trouble().is_some());
    assert_eq!(opened.store.queued(), (0, 0));
    // Readers go on, and see what was acknowledged.
    assert_eq!(seqs(&whole_feed(&opened.store).await), acknowledged);

    held.execute_batch("ROLLBACK").unwrap();
    poll("the store to recover by itself", PATIENCE, || {
        opened.store.trouble().is_none().then_some(())
    });
    opened.store.checkup(PATIENCE).await.unwrap();
    // The end of the log is where the file says: nothing was given a seq that is not there.
    let there = seqs(&whole_feed(&opened.store).await);
    assert_eq!(opened.store.durable().0, there.len() as u64);
    for n in 3..6 {
        acknowledged.push(shown(&opened.store, json!({"kept": n})).await.0);
    }
    let events = whole_feed(&opened.store).await;
    for seq in acknowledged {
        let payload = events[seq as usize - 1].payload.as_deref().unwrap();
        assert!(payload.starts_with(b"{\"kept\""), "seq {seq} is another's");
    }
    drop(held);
    let folder = opened.stop();
    assert_whole(&folder.path().join(FILE_NAME), events.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn projections_too_far_behind_hold_up_the_intake_until_they_caught_up() {
    const MAX_LAG: u64 = 3;
    let opened = Opened::with(|options| options.max_lag = MAX_LAG);
    shown(&opened.store, flag("c", true)).await;
    let other = opened.connection();
    other.execute_batch(HOLD).unwrap();
    let mut kept = 1;
    let refusal = loop {
        match opened.store.append(delivery(json!({"n": kept}))).await {
            Ok(seq) => {
                kept += 1;
                assert_eq!(seq, Seq(kept));
                assert!(kept < 20, "never refused");
            }
            Err(error) => break error,
        }
    };
    assert!(
        matches!(refusal, StoreError::Lagging { lag, max_lag: MAX_LAG } if lag > MAX_LAG),
        "{refusal:?}"
    );
    assert_eq!(opened.store.lag(), MAX_LAG + 1);
    // Readers stay at one point before what is held up: neither the events nor their effects.
    assert_eq!(seqs(&whole_feed(&opened.store).await), [1]);
    assert_eq!(opened.store.stats(ticking(), 0).await.unwrap().seq, Seq(1));
    assert!(opened.store.event(Seq(2)).await.unwrap().value.is_none());
    assert_eq!(opened.store.head().await.unwrap().seq, Seq(1));
    poll("the trouble to be told", PATIENCE, || {
        opened.store.trouble()
    });

    other.execute_batch("DROP TRIGGER hold").unwrap();
    opened
        .store
        .wait_projected(Seq(kept), PATIENCE)
        .await
        .unwrap();
    assert_eq!(shown(&opened.store, flag("c", false)).await, Seq(kept + 1));
    assert_eq!(opened.store.trouble(), None);
    assert_eq!(
        seqs(&whole_feed(&opened.store).await),
        (1..=kept + 1).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn held_up_rows_are_made_after_reopening() {
    let opened = Opened::new();
    shown(&opened.store, flag("c", true)).await;
    opened.connection().execute_batch(HOLD).unwrap();
    for n in 0..5 {
        opened
            .store
            .append(delivery(with(flag("c", n % 2 == 0), json!({"n": n}))))
            .await
            .unwrap();
    }
    let folder = opened.stop();
    let file = folder.path().join(FILE_NAME);
    rusqlite::Connection::open(&file)
        .unwrap()
        .execute_batch("DROP TRIGGER hold")
        .unwrap();
    let (store, thread) = Store::open(options(folder.path())).unwrap();
    store.wait_projected(Seq(6), PATIENCE).await.unwrap();
    assert_eq!(seqs(&whole_feed(&store).await), [1, 2, 3, 4, 5, 6]);
    let row = store.customer("c".to_owned()).await.unwrap();
    assert_eq!(row.value.unwrap().last_seq, Seq(6));
    thread.stop(&store);
    assert_whole(&file, 6);
}

/// Puts a link that leads to itself in the file's place, and gives the name that the file has meanwhile.
fn out_of_sight(opened: &Opened) -> PathBuf {
    let (file, aside) = (opened.file(), opened.folder.path().join("aside"));
    fs::hard_link(&file, &aside).unwrap();
    let circle = opened.folder.path().join("circle");
    std::os::unix::fs::symlink(&file, &circle).unwrap();
    fs::rename(circle, file).unwrap();
    aside
}

async fn refused(opened: &Opened) -> String {
    match opened.store.append(delivery(flag("refused", true))).await {
        Err(StoreError::Unavailable(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_looked_at_is_not_taken_for_a_lost_one() {
    let opened = Opened::new();
    shown(&opened.store, flag("c", true)).await;
    let aside = out_of_sight(&opened);
    let reason = refused(&opened).await;
    assert!(reason.contains("cannot look at"), "{reason}");
    fs::rename(aside, opened.file()).unwrap();
    poll("the store to recover by itself", PATIENCE, || {
        opened.store.trouble().is_none().then_some(())
    });
    assert_eq!(shown(&opened.store, flag("c", false)).await, Seq(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_replaced_while_it_could_not_be_written_is_not_written_to() {
    let opened = Opened::new();
    shown(&opened.store, flag("c", true)).await;
    let aside = out_of_sight(&opened);
    refused(&opened).await;
    let other = opened.folder.path().join("other");
    fs::copy(aside, &other).unwrap();
    let before = fs::read(&other).unwrap();
    fs::rename(other, opened.file()).unwrap();
    tokio::time::timeout(PATIENCE, opened.store.stopped())
        .await
        .unwrap();
    let refusal = opened.store.append(delivery(flag("c", false))).await;
    assert!(refusal.is_err(), "{refusal:?}");
    assert_eq!(fs::read(opened.file()).unwrap(), before);
}
