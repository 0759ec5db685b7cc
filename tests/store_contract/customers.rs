//! Customers: as they were at any point, and in pages while they change.

use serde_json::json;
use waldo_syncd::domain::customer::Customer;
use waldo_syncd::domain::{Operation, State};
use waldo_syncd::store::{AsOf, CustomerFilter, CustomerSort, Registration};

use super::common::bodies::*;
use super::*;

const CUSTOMERS: [&str; 3] = ["a", "b", "c"];

/// The next of a row of numbers that only looks like chance.
fn dice(state: &mut u64, sides: usize) -> usize {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize % sides
}

/// Appends one event of any kind and returns its seq.
async fn anything(store: &Store, state: &mut u64, n: usize) -> Seq {
    let customer = CUSTOMERS[dice(state, 3)];
    let request = format!("r{}", dice(state, 6));
    let kind = ["kyc", "fraud", "document"][dice(state, 3)];
    let status = ["initiated", "in_progress", "completed", "failed"][dice(state, 4)];
    let score = dice(state, 5) as f64 / 4.0;
    let body = match dice(state, 9) {
        0 => flag(customer, dice(state, 2) == 0),
        1 => onboard(
            customer,
            ["APPROVED", "REVIEW", "odd"][dice(state, 3)],
            "PASSED",
        ),
        2 => {
            json!({"event": "novel", "customerId": customer, "externalId": format!("e{n}"), "uri": "u"})
        }
        3 => with(
            evaluation(customer, kind, status),
            json!({"validation": {"fraudScore": score, "fraudFlag": true}}),
        ),
        4 | 5 => with(
            run(customer, &request, kind, status),
            json!({"validation": {"status": "REVIEW", "fraudScore": score, "warnings": n}}),
        ),
        6 => {
            return store
                .note_flag_call(customer, dice(state, 2) == 0, false)
                .await
                .unwrap();
        }
        7 => {
            let told = Registration {
                request_id: request,
                operation: [Operation::Onboard, Operation::Fraud][dice(state, 2)],
                customer_id: Some(customer.to_owned()),
                external_id: None,
                expects: vec![kind.to_owned()],
                context: None,
                deadline: Duration::from_secs(900),
            };
            return match store.register(told).await {
                Ok(registered) => registered.seq,
                Err(StoreError::Conflict(_)) => store.projected(),
                Err(error) => panic!("{error}"),
            };
        }
        _ => {
            return match store.settle(&request, State::Failed, None).await {
                Ok(settled) => settled.unwrap_or(store.projected()),
                Err(StoreError::Conflict(_)) => store.projected(),
                Err(error) => panic!("{error}"),
            };
        }
    };
    shown(store, body).await
}

async fn row(store: &Store, id: &str) -> Option<Value> {
    let row = store.customer(id.to_owned()).await.unwrap().value;
    row.map(|row| serde_json::to_value(row).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn as_of_every_seq_and_time_is_the_row_as_it_was_then() {
    let opened = Opened::new();
    let store = &opened.store;
    let (mut state, mut history) = (7, BTreeMap::new());
    for n in 0..250 {
        let seq = anything(store, &mut state, n).await;
        if seq == Seq::START {
            continue;
        }
        for id in CUSTOMERS {
            history.insert((seq, id), row(store, id).await);
        }
    }
    assert!(history.len() > 600);
    assert!(history.values().any(Option::is_none) && history.values().any(Option::is_some));
    let opened = opened.reopened();
    for ((seq, id), expected) in &history {
        let at = opened
            .store
            .event(*seq)
            .await
            .unwrap()
            .value
            .unwrap()
            .event
            .received_at;
        for point in [AsOf::Seq(*seq), AsOf::Time(at)] {
            let past = opened
                .store
                .customer_as_of((*id).to_owned(), point)
                .await
                .unwrap()
                .value;
            let past = past.map(|row| serde_json::to_value(row).unwrap());
            assert_eq!(past, *expected, "{id} as of {point:?}");
        }
    }
    for id in CUSTOMERS {
        let before = opened
            .store
            .customer_as_of(id.to_owned(), AsOf::Seq(Seq::START))
            .await
            .unwrap();
        assert!(before.value.is_none());
    }
}

/// 300 customers, changed by turns between the pages; what each page gave, and how the list stands at its end.
struct Walk {
    seen: Vec<Customer>,
    changed: Vec<String>,
    end: BTreeMap<String, Customer>,
}

async fn walk(sort: CustomerSort, order: Order) -> Walk {
    let opened = Opened::new();
    let store = &opened.store;
    appended_at_once(store, 30, 10, |task, n| {
        onboard(&id(task * 10 + n), "REVIEW", "PASSED")
    })
    .await;
    store.wait_projected(Seq(300), PATIENCE).await.unwrap();
    let (mut state, mut turn) = (11, 0);
    let (mut seen, mut changed) = (Vec::new(), Vec::new());
    let mut next = sort;
    loop {
        let page = store
            .customers(CustomerFilter::default(), next, order, 7)
            .await
            .unwrap()
            .value;
        assert!(page.items.len() <= 7);
        seen.extend(page.items);
        assert!(seen.len() < 3000, "paging never ends");
        let Some(after) = page.next else { break };
        next = after;
        for _ in 0..4 {
            turn += 1;
            let id = id(dice(&mut state, 300));
            shown(
                store,
                json!({"event": "onboard", "customerId": id, "externalId": format!("e{turn}")}),
            )
            .await;
            changed.push(id);
        }
    }
    let mut end = BTreeMap::new();
    for n in 0..300 {
        let customer = store.customer(id(n)).await.unwrap().value.unwrap();
        end.insert(customer.customer_id.clone(), customer);
    }
    assert!(changed.len() > 100);
    Walk { seen, changed, end }
}

fn id(n: usize) -> String {
    format!("c{n:03}")
}

/// Oldest change first: what changes meanwhile moves to the end and comes (again) as it is then. At the end every
/// customer was given as it stands.
#[tokio::test(flavor = "multi_thread")]
async fn ascending_by_change_gives_everyone_and_each_change_once() {
    let walk = walk(CustomerSort::UpdatedAt(None), Order::Ascending).await;
    assert!(walk.seen.is_sorted_by(|a, b| a.last_seq < b.last_seq));
    let last: BTreeMap<_, _> = walk
        .seen
        .into_iter()
        .map(|row| (row.customer_id.clone(), row))
        .collect();
    assert_eq!(last, walk.end);
}

/// Newest change first: nobody comes twice; only who changed meanwhile may be passed over, having moved to the front.
#[tokio::test(flavor = "multi_thread")]
async fn descending_by_change_repeats_nobody_and_misses_only_the_changed() {
    let walk = walk(CustomerSort::UpdatedAt(None), Order::Descending).await;
    assert!(walk.seen.is_sorted_by(|a, b| a.last_seq > b.last_seq));
    let mut ids: Vec<_> = walk
        .seen
        .iter()
        .map(|row| row.customer_id.as_str())
        .collect();
    let given = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), given, "somebody came twice");
    for id in walk.end.keys() {
        let missed = ids.binary_search(&id.as_str()).is_err();
        assert!(!missed || walk.changed.contains(id), "{id} was passed over");
    }
}

/// By id: changes move nobody, so each comes exactly once.
#[tokio::test(flavor = "multi_thread")]
async fn by_id_everyone_comes_exactly_once_in_order() {
    for order in [Order::Ascending, Order::Descending] {
        let walk = walk(CustomerSort::CustomerId(None), order).await;
        let mut ids: Vec<_> = walk.seen.into_iter().map(|row| row.customer_id).collect();
        if order == Order::Descending {
            ids.reverse();
        }
        assert_eq!(ids, walk.end.into_keys().collect::<Vec<_>>(), "{order:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_give_the_same_customers_in_every_sort_order_and_page_size() {
    let opened = Opened::new();
    let store = &opened.store;
    appended_at_once(store, 20, 6, |task, n| {
        let body = onboard(
            &id(task * 6 + n),
            ["APPROVED", "REVIEW", "REJECTED"][n % 3],
            "PASSED",
        );
        with(
            body,
            json!({"externalId": format!("e{}", task % 4), "flag": n % 2 == 0}),
        )
    })
    .await;
    store.wait_projected(Seq(120), PATIENCE).await.unwrap();
    let any = CustomerFilter::default;
    let filters = [
        any(),
        CustomerFilter {
            status: Some("approved".to_owned()),
            ..any()
        },
        CustomerFilter {
            flagged: Some(true),
            ..any()
        },
        CustomerFilter {
            external_id: Some("e2".to_owned()),
            ..any()
        },
        CustomerFilter {
            external_id: Some("e2".to_owned()),
            status: Some("REVIEW".to_owned()),
            ..any()
        },
        CustomerFilter {
            evaluation: Some(("fraud".to_owned(), "completed".to_owned())),
            ..any()
        },
    ];
    for (filter, expected) in filters.into_iter().zip([120, 40, 60, 30, 10, 0]) {
        for sort in [
            CustomerSort::UpdatedAt(None),
            CustomerSort::CustomerId(None),
        ] {
            for order in [Order::Ascending, Order::Descending] {
                for limit in [1, 7, 1000] {
                    let (mut rows, mut next) = (Vec::new(), Some(sort.clone()));
                    while let Some(from) = next {
                        let page = store
                            .customers(filter.clone(), from, order, limit)
                            .await
                            .unwrap()
                            .value;
                        rows.extend(page.items);
                        assert!(rows.len() <= 120, "paging never ends");
                        next = page.next;
                    }
                    assert_eq!(
                        rows.len(),
                        expected,
                        "{filter:?} {sort:?} {order:?} {limit}"
                    );
                    if order == Order::Descending {
                        rows.reverse();
                    }
                    let sorted = match sort {
                        CustomerSort::UpdatedAt(_) => {
                            rows.is_sorted_by(|a, b| a.last_seq < b.last_seq)
                        }
                        CustomerSort::CustomerId(_) => {
                            rows.is_sorted_by(|a, b| a.customer_id < b.customer_id)
                        }
                    };
                    assert!(sorted, "{filter:?} {sort:?} {order:?} {limit}");
                }
            }
        }
    }
}

/// A change tells the value that was there, not one near it.
#[tokio::test(flavor = "multi_thread")]
async fn changes_keep_the_last_digit_of_what_they_replaced() {
    let opened = Opened::new();
    let score = |score: f64| json!({"event": "onboard", "customerId": "c", "validation": {"fraudScore": score}});
    shown(&opened.store, score(0.401_303_911_735_205_63)).await;
    let second = shown(&opened.store, score(0.5)).await;
    let event = opened.store.event(second).await.unwrap().value.unwrap();
    let shown = String::from_utf8(event.to_json()).unwrap();
    let changes = r#""changes":[{"field":"fraudScore","from":0.40130391173520563,"to":0.5}],"#;
    assert!(shown.contains(changes), "{shown}");
}
