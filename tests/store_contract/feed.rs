//! The feed with filters over a log longer than what is looked at in one go.

use serde_json::json;
use waldo_syncd::domain::{Disposition, Origin};
use waldo_syncd::store::Page;

use super::common::bodies::*;
use super::*;

/// More than one window of 20,000 events.
const EVENTS: u64 = 21_000;

fn body(task: usize, n: usize) -> Value {
    let customer = format!("c{}", task % 50);
    match n % 7 {
        0 => run(
            &customer,
            &format!("r{task}-{}", n % 3),
            "fraud",
            "completed",
        ),
        1 => json!({"event": "novel", "customerId": customer}),
        2 => json!([n]),
        _ => with(onboard(&customer, "REVIEW", "PASSED"), json!({"n": n})),
    }
}

/// On both sides of where a window ends, begun at either end of the log.
const EDGES: [u64; 4] = [EVENTS - 20_000, EVENTS - 19_999, 20_000, 20_001];

/// Appends until the log ends at a seq.
async fn filled_to(store: &Store, last: u64) {
    let missing = last - store.durable().0;
    appended_at_once(store, 64, missing as usize / 64, body).await;
    while store.durable().0 < last {
        store.append(delivery("[]")).await.unwrap();
    }
}

/// A log whose only flag events are its first and, beyond the first window, its last but one.
async fn long_log() -> Opened {
    let opened = Opened::new();
    let store = &opened.store;
    shown(store, flag("first", true)).await;
    for edge in EDGES {
        filled_to(store, edge - 1).await;
        store
            .append(delivery(json!({"event": "edge"})))
            .await
            .unwrap();
    }
    filled_to(store, EVENTS - 2).await;
    store
        .append(delivery(with(
            flag("last", true),
            json!({"requestId": "the only one"}),
        )))
        .await
        .unwrap();
    let last = store.append(delivery("{}")).await.unwrap();
    assert_eq!(last, Seq(EVENTS));
    store.wait_projected(last, PATIENCE).await.unwrap();
    opened
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_over_a_long_log_lose_and_repeat_nothing() {
    let opened = long_log().await;
    let store = &opened.store;
    let all = whole_feed(store).await;
    assert_eq!(seqs(&all), (1..=EVENTS).collect::<Vec<_>>());

    // What matches rarely is found in one call, however far away; what never does leads to the end.
    let flags = FeedFilter {
        event: Some("FLAG".to_owned()),
        ..FeedFilter::default()
    };
    let first = store
        .events(flags.clone(), None, Order::Ascending, 1)
        .await
        .unwrap()
        .value;
    assert_eq!((seqs(&first.items), first.next), (vec![1], Seq(1)));
    let second = store
        .events(flags.clone(), Some(first.next), Order::Ascending, 1)
        .await
        .unwrap()
        .value;
    assert_eq!(seqs(&second.items), [EVENTS - 1]);
    let back = store
        .events(flags.clone(), Some(second.next), Order::Descending, 1)
        .await
        .unwrap()
        .value;
    assert_eq!(seqs(&back.items), [1]);
    let both = store
        .events(flags, None, Order::Descending, 10)
        .await
        .unwrap()
        .value;
    assert_eq!(seqs(&both.items), [EVENTS - 1, 1]);
    let edges = FeedFilter {
        event: Some("edge".to_owned()),
        ..FeedFilter::default()
    };
    let mut expected = EDGES.to_vec();
    for order in [Order::Ascending, Order::Descending] {
        let found = store
            .events(edges.clone(), None, order, 10)
            .await
            .unwrap()
            .value;
        assert_eq!(seqs(&found.items), expected, "{order:?}");
        expected.reverse();
    }
    let none = FeedFilter {
        event: Some("never".to_owned()),
        ..FeedFilter::default()
    };
    let end = store
        .events(none.clone(), None, Order::Ascending, 10)
        .await
        .unwrap()
        .value;
    assert_eq!((end.items.len(), end.next), (0, Seq(EVENTS)));
    let beyond = store
        .events(none.clone(), Some(Seq(EVENTS + 5)), Order::Ascending, 10)
        .await
        .unwrap()
        .value;
    assert_eq!((beyond.items.len(), beyond.next), (0, Seq(EVENTS + 5)));
    let end = store
        .events(none, None, Order::Descending, 10)
        .await
        .unwrap()
        .value;
    assert!(end.items.is_empty());

    let any = FeedFilter::default;
    for filter in [
        FeedFilter {
            event: Some("Evaluation".to_owned()),
            ..any()
        },
        FeedFilter {
            origin: Some(Origin::Api),
            ..any()
        },
        FeedFilter {
            disposition: Some(Disposition::Quarantined),
            ..any()
        },
        FeedFilter {
            disposition: Some(Disposition::Duplicate),
            origin: Some(Origin::Api),
            ..any()
        },
        FeedFilter {
            source: Some(Source::Poll),
            ..any()
        },
        FeedFilter {
            customer_id: Some("c7".to_owned()),
            ..any()
        },
        FeedFilter {
            customer_id: Some("c7".to_owned()),
            event: Some("novel".to_owned()),
            ..any()
        },
        FeedFilter {
            request_id: Some("r7-1".to_owned()),
            ..any()
        },
        FeedFilter {
            request_id: Some("r7-1".to_owned()),
            customer_id: Some("c8".to_owned()),
            ..any()
        },
        FeedFilter {
            customer_id: Some("nobody".to_owned()),
            ..any()
        },
    ] {
        let mut expected: Vec<_> = all
            .iter()
            .filter(|view| matches(&filter, view))
            .map(|view| view.event.seq.0)
            .collect();
        for order in [Order::Ascending, Order::Descending] {
            let found = feed(store, filter.clone(), order, 37).await.unwrap();
            assert_eq!(seqs(&found), expected, "{filter:?} {order:?}");
            expected.reverse();
        }
    }

    let mut found = Vec::new();
    loop {
        let page = Page {
            after: found.last().copied().map(Seq),
            limit: 37,
        };
        let part = store
            .customer_events("c7".to_owned(), page.after, page.limit)
            .await
            .unwrap()
            .value
            .unwrap();
        found.extend(seqs(&part.items));
        if part.items.len() < 37 {
            break;
        }
    }
    let of_c7 = FeedFilter {
        customer_id: Some("c7".to_owned()),
        ..any()
    };
    let expected: Vec<_> = all
        .iter()
        .filter(|view| matches(&of_c7, view))
        .map(|view| view.event.seq.0)
        .collect();
    assert_eq!(found, expected);
    let page = Page {
        after: None,
        limit: 1,
    };
    assert!(
        store
            .customer_events("nobody".to_owned(), page.after, page.limit)
            .await
            .unwrap()
            .value
            .is_none()
    );
}

/// The filters' meaning, said once more.
fn matches(filter: &FeedFilter, view: &EventView) -> bool {
    let reading = view.event.reading.as_ref().ok();
    let event = reading.and_then(|reading| reading.event.clone());
    let customer = reading.and_then(|reading| reading.customer_id.clone());
    let same = |asked: &Option<String>, is: &Option<String>| asked.is_none() || asked == is;
    let lower = |word: &Option<String>| word.as_ref().map(|word| word.to_lowercase());
    same(&lower(&filter.event), &lower(&event))
        && same(&filter.customer_id, &customer)
        && same(&filter.request_id, &view.request_id)
        && filter.origin.is_none_or(|origin| origin == view.origin)
        && filter
            .disposition
            .is_none_or(|disposition| disposition == view.disposition)
        && filter
            .source
            .is_none_or(|source| source == view.event.source)
}

#[tokio::test(flavor = "multi_thread")]
async fn newest_first_reads_backwards_from_a_point() {
    let opened = Opened::new();
    for n in 0..10 {
        shown(&opened.store, json!({"n": n})).await;
    }
    let page = |after, limit| {
        opened
            .store
            .events(FeedFilter::default(), after, Order::Descending, limit)
    };
    let newest = page(None, 4).await.unwrap().value;
    assert_eq!(
        (seqs(&newest.items), newest.next),
        (vec![10, 9, 8, 7], Seq(7))
    );
    // What comes meanwhile does not move what is older.
    shown(&opened.store, json!({"n": 10})).await;
    let older = page(Some(newest.next), 4).await.unwrap().value;
    assert_eq!(seqs(&older.items), [6, 5, 4, 3]);
    let oldest = page(Some(older.next), 4).await.unwrap().value;
    assert_eq!(seqs(&oldest.items), [2, 1]);
    assert!(
        page(Some(oldest.next), 4)
            .await
            .unwrap()
            .value
            .items
            .is_empty()
    );
}
