//! Appending: order, durability, what readers see meanwhile, and the bounds of the queue.

use std::future::Future as _;
use std::pin::pin;
use std::process::Command;
use std::task::Poll;

use serde_json::json;
use waldo_syncd::domain::customer::Customer;

use super::common::bodies::*;
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn seqs_of_64_appenders_increase_strictly_without_a_gap() {
    let opened = Opened::new();
    let acknowledged = appended_at_once(&opened.store, 64, 20, |task, n| {
        with(flag(&format!("c{task}"), n % 2 == 0), json!({"n": n}))
    })
    .await;
    let last = Seq(64 * 20);
    assert_eq!(
        acknowledged.keys().copied().collect::<Vec<_>>(),
        (1..=last.0).map(Seq).collect::<Vec<_>>()
    );
    assert_eq!(opened.store.durable(), last);
    opened.store.wait_projected(last, PATIENCE).await.unwrap();
    assert_eq!(opened.store.queued(), (0, 0));
    for view in whole_feed(&opened.store).await {
        assert_eq!(view.payload.as_ref(), acknowledged.get(&view.event.seq));
    }
    let head = opened.store.head().await.unwrap();
    let folder = opened.stop();
    assert_whole(&folder.path().join(FILE_NAME), last.0);
    let report = check_file(
        &folder.path().join(FILE_NAME),
        Some(head.value),
        &mut |_, _, _| {},
    )
    .unwrap();
    assert_eq!((head.seq, report.head_found_at), (last, Some(last)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_there_after_reopening() {
    let mut opened = Opened::new();
    let mut bodies = Vec::new();
    for round in 0..4 {
        for body in [
            flag("c", round % 2 == 0).to_string(),
            "no json".to_owned(),
            String::new(),
        ] {
            let seq = opened.store.append(delivery(body.as_str())).await.unwrap();
            bodies.push(body);
            assert_eq!(seq.0, bodies.len() as u64);
        }
        opened = opened.reopened();
        assert_eq!(opened.store.durable().0, bodies.len() as u64);
        let events = whole_feed(&opened.store).await;
        let kept: Vec<_> = events
            .iter()
            .map(|view| view.payload.clone().unwrap())
            .collect();
        assert_eq!(
            kept,
            bodies
                .iter()
                .map(|body| body.clone().into_bytes())
                .collect::<Vec<_>>()
        );
    }
}

/// The copy of a running store's files is what a power cut would leave.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_in_the_files_at_that_moment() {
    let opened = Opened::new();
    for round in 0..5u64 {
        let store = opened.store.clone();
        let appending = tokio::spawn(async move {
            appended_at_once(&store, 8, 25, |task, n| {
                run(
                    &format!("c{task}"),
                    &format!("r{task}-{}", n / 2),
                    "fraud",
                    ["initiated", "completed"][n % 2],
                )
            })
            .await
        });
        // In the middle of it, or in the last round after it.
        let (appending, acknowledged) = if round == 4 {
            let all = appending.await.unwrap();
            (None, *all.keys().next_back().unwrap())
        } else {
            let some = Seq(round * 200 + 20);
            opened.store.wait_projected(some, PATIENCE).await.unwrap();
            (Some(appending), opened.store.durable())
        };
        let copy = TempDir::new().unwrap();
        copy_as_a_crash_would(&opened.file(), copy.path());
        let (store, thread) = Store::open(options(copy.path())).unwrap();
        assert!(
            store.durable() >= acknowledged,
            "{} < {acknowledged}",
            store.durable()
        );
        let last = store.durable();
        store.wait_projected(last, PATIENCE).await.unwrap();
        let next = store.append(delivery(flag("after", true))).await.unwrap();
        assert_eq!(next, last.next());
        assert_eq!(
            seqs(&whole_feed(&store).await)[..last.0 as usize],
            (1..=last.0).collect::<Vec<_>>()
        );
        thread.stop(&store);
        assert_whole(&copy.path().join(FILE_NAME), next.0);
        if let Some(appending) = appending {
            appending.await.unwrap();
        }
    }
}

/// Copies the file, then its WAL. Until the WAL begins anew (its head then has another salt) it holds every page that a
/// checkpoint may have moved meanwhile, so the two copies belong together.
fn copy_as_a_crash_would(file: &Path, to: &Path) {
    let wal = format!("{}-wal", file.display());
    let head = || {
        std::fs::read(&wal)
            .unwrap()
            .into_iter()
            .take(32)
            .collect::<Vec<_>>()
    };
    loop {
        let before = head();
        for from in [file.to_str().unwrap(), &wal] {
            let copied = Command::new("cp").arg(from).arg(to).status().unwrap();
            assert!(copied.success());
        }
        if head() == before {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_no_gap_and_no_event_without_its_effects() {
    let opened = Opened::new();
    let total = Seq(8 * 150);
    let store = opened.store.clone();
    // Each event changes its customer: the external id is another every time.
    let appending = tokio::spawn(async move {
        appended_at_once(&store, 8, 150, |task, n| {
            with(
                flag(&format!("c{}", task % 5), true),
                json!({"externalId": format!("{task}-{n}")}),
            )
        })
        .await
    });
    let mut readers = JoinSet::new();
    for _ in 0..3 {
        let store = opened.store.clone();
        readers.spawn(async move {
            let (mut after, mut looks) = (Seq::START, 0);
            while after < total {
                let page = store
                    .events(FeedFilter::default(), Some(after), Order::Ascending, 50)
                    .await
                    .unwrap();
                for view in &page.value.items {
                    assert_eq!(view.event.seq, after.next(), "a gap in the feed");
                    after = view.event.seq;
                }
                assert!(page.seq >= after && page.value.next == after);
                if let Some(view) = page.value.items.last() {
                    assert_customer_shows(&store, view).await;
                }
                let stats = store.stats(ticking(), 0).await.unwrap();
                let counted = stats
                    .value
                    .counts
                    .iter()
                    .filter(|(kind, ..)| kind == "disposition");
                assert_eq!(counted.map(|(.., number)| number).sum::<u64>(), stats.seq.0);
                looks += 1;
            }
            looks
        });
    }
    appending.await.unwrap();
    while let Some(looks) = readers.join_next().await {
        assert!(looks.unwrap() > 1);
    }
}

async fn assert_customer_shows(store: &Store, view: &EventView) {
    let id = view
        .event
        .reading
        .as_ref()
        .unwrap()
        .customer_id
        .clone()
        .unwrap();
    let row = store.customer(id).await.unwrap();
    let customer: Customer = row.value.expect("the customer of an event in the feed");
    assert!(
        customer.last_seq >= view.event.seq,
        "an event without its effects"
    );
    assert!(
        customer.last_seq <= row.seq,
        "effects of an event that is not there"
    );
    let newest = store.event(customer.last_seq).await.unwrap().value;
    let reading = newest.expect("the event of a row").event.reading.unwrap();
    assert_eq!(reading.external_id, customer.external_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn full_queue_refuses_by_count_and_loses_nothing() {
    let opened = Opened::with(|options| options.queue_events = 4);
    let held = opened.connection();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut appenders = JoinSet::new();
    for n in 0..10 {
        let store = opened.store.clone();
        let body = json!({"n": n});
        appenders.spawn(async move { (n, store.append(delivery(body)).await) });
    }
    for _ in 0..6 {
        let (_, answer) = appenders.join_next().await.unwrap().unwrap();
        assert!(matches!(answer, Err(StoreError::QueueFull)), "{answer:?}");
    }
    assert_eq!(opened.store.queued().0, 4);
    held.execute_batch("ROLLBACK").unwrap();
    let mut kept = BTreeMap::new();
    while let Some(done) = appenders.join_next().await {
        let (n, answer) = done.unwrap();
        kept.insert(answer.unwrap(), json!({"n": n}).bytes());
    }
    opened.store.wait_projected(Seq(4), PATIENCE).await.unwrap();
    let events = whole_feed(&opened.store).await;
    let found: BTreeMap<_, _> = events
        .into_iter()
        .map(|view| (view.event.seq, view.payload.unwrap()))
        .collect();
    assert_eq!(found, kept);
    assert_eq!(opened.store.queued(), (0, 0));
    opened
        .store
        .append(delivery("there is room again"))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn full_queue_refuses_by_bytes_but_one_body_always_fits() {
    let opened = Opened::with(|options| options.queue_bytes = 1000);
    let held = opened.connection();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut appenders = JoinSet::new();
    for _ in 0..5 {
        let store = opened.store.clone();
        appenders.spawn(async move { store.append(delivery(vec![b'x'; 500])).await });
    }
    for _ in 0..3 {
        let answer = appenders.join_next().await.unwrap().unwrap();
        assert!(matches!(answer, Err(StoreError::QueueFull)), "{answer:?}");
    }
    assert_eq!(opened.store.queued(), (2, 1000));
    held.execute_batch("ROLLBACK").unwrap();
    while let Some(answer) = appenders.join_next().await {
        answer.unwrap().unwrap();
    }
    let large = opened.store.append(delivery(vec![b'x'; 5000])).await;
    assert_eq!(large.unwrap(), Seq(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn waiter_that_hung_up_changes_nothing() {
    let opened = Opened::new();
    let held = opened.connection();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    {
        let mut waiter = pin!(opened.store.append(delivery("nobody waits for this")));
        let begun =
            std::future::poll_fn(|context| Poll::Ready(waiter.as_mut().poll(context).is_pending()));
        assert!(begun.await);
    }
    held.execute_batch("ROLLBACK").unwrap();
    assert_eq!(shown(&opened.store, "the next one").await, Seq(2));
    let events = whole_feed(&opened.store).await;
    assert_eq!(
        events[0].payload.as_deref(),
        Some(&b"nobody waits for this"[..])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_an_event_ends_when_it_is_visible_or_patience_does() {
    let opened = Opened::new();
    let store = opened.store.clone();
    let waiting = tokio::spawn(async move {
        store.wait_projected(Seq(3), PATIENCE).await.unwrap();
        seqs(&whole_feed(&store).await)
    });
    for n in 1..=3 {
        let early = opened.store.wait_projected(Seq(n), Duration::ZERO).await;
        assert!(
            matches!(early, Err(StoreError::NotReached(Seq(at))) if at == n),
            "{early:?}"
        );
        shown(&opened.store, json!({"n": n})).await;
    }
    assert_eq!(waiting.await.unwrap(), [1, 2, 3]);
    opened
        .store
        .wait_projected(Seq(2), Duration::ZERO)
        .await
        .unwrap();
    opened.store.checkup(PATIENCE).await.unwrap();
    assert_eq!(opened.store.trouble(), None);
}
