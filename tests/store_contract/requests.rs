//! What apps tell the store: registrations, settlements, flag calls.

use serde_json::json;
use waldo_syncd::domain::request::WaldoRequest;
use waldo_syncd::domain::{Disposition, Evidence, Operation, Origin, SettledBy, State};
use waldo_syncd::store::{Page, Registered, Registration, RequestFilter};

use super::common::bodies::*;
use super::*;

fn registration(request: &str, operation: Operation) -> Registration {
    Registration {
        request_id: request.to_owned(),
        operation,
        customer_id: Some("c".to_owned()),
        external_id: None,
        expects: Vec::new(),
        context: None,
        deadline: Duration::from_secs(900),
    }
}

async fn request(store: &Store, id: &str) -> WaldoRequest {
    let row = store.request(id.to_owned()).await.unwrap().value;
    row.expect("a known request").request
}

#[tokio::test(flavor = "multi_thread")]
async fn registration_is_visible_when_answered_and_known_the_second_time() {
    let opened = Opened::new();
    let store = &opened.store;
    let told = Registration {
        external_id: Some("e".to_owned()),
        expects: vec!["fraud".to_owned()],
        context: Some(
            serde_json::from_str(r#"{"exact": 1.10, "big": 12345678901234567890}"#).unwrap(),
        ),
        ..registration("r", Operation::Onboard)
    };
    let first = store.register(told.clone()).await.unwrap();
    assert_eq!(
        first,
        Registered {
            seq: Seq(1),
            new: true
        }
    );
    let row = request(store, "r").await;
    assert_eq!(row.state, Some(State::Pending));
    assert_eq!(row.external_id.as_deref(), Some("e"));
    assert_eq!(row.expects, ["fraud"]);
    assert_eq!(
        row.context.as_deref(),
        Some(r#"{"exact": 1.10, "big": 12345678901234567890}"#)
    );
    assert_eq!(
        row.deadline_at
            .unwrap()
            .ms_since(row.registered_at.unwrap()),
        900_000
    );
    assert_eq!(store.durable(), Seq(1));

    let again = store.register(told).await.unwrap();
    assert_eq!(
        again,
        Registered {
            seq: Seq(2),
            new: false
        }
    );
    let fuller = Registration {
        expects: vec!["document".to_owned()],
        ..registration("r", Operation::Onboard)
    };
    assert!(!store.register(fuller).await.unwrap().new);
    let row = request(store, "r").await;
    assert_eq!(row.expects, ["fraud", "document"]);
    let events = store
        .request("r".to_owned())
        .await
        .unwrap()
        .value
        .unwrap()
        .events;
    assert_eq!(events, [Seq(1), Seq(2), Seq(3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn contradicting_registration_is_a_conflict_and_changes_nothing() {
    let opened = Opened::new();
    let store = &opened.store;
    store
        .register(registration("r", Operation::Fraud))
        .await
        .unwrap();
    let before = request(store, "r").await;
    let foreign = Registration {
        customer_id: Some("d".to_owned()),
        ..registration("r", Operation::Fraud)
    };
    for (told, word) in [
        (registration("r", Operation::Document), "operation"),
        (foreign, "customerId"),
    ] {
        let error = store.register(told).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Conflict(text) if text.contains(word)),
            "{error:?}"
        );
    }
    let after = request(store, "r").await;
    assert_eq!(
        WaldoRequest {
            last_event: before.last_event,
            ..after
        },
        before
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_registrations_at_once_one_is_new() {
    let opened = Opened::new();
    let mut tellers = JoinSet::new();
    for n in 0..32 {
        let store = opened.store.clone();
        let told = Registration {
            context: Some(serde_json::from_str(&n.to_string()).unwrap()),
            ..registration("r", Operation::Fraud)
        };
        tellers.spawn(async move { store.register(told).await.unwrap() });
    }
    let mut answers = Vec::new();
    while let Some(answer) = tellers.join_next().await {
        answers.push(answer.unwrap());
    }
    let new: Vec<_> = answers.iter().filter(|answer| answer.new).collect();
    assert_eq!(new.len(), 1);
    assert_eq!(
        new[0].seq,
        answers.iter().map(|answer| answer.seq).min().unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn registration_after_the_webhook_is_new_and_keeps_the_outcome() {
    let opened = Opened::new();
    shown(&opened.store, run("c", "r", "fraud", "completed")).await;
    let told = opened
        .store
        .register(registration("r", Operation::Fraud))
        .await
        .unwrap();
    assert_eq!(
        told,
        Registered {
            seq: Seq(2),
            new: true
        }
    );
    let row = request(&opened.store, "r").await;
    assert_eq!(
        (row.state, row.settled_by),
        (Some(State::Completed), Some(SettledBy::Webhook))
    );
    assert_eq!(row.registered_seq, Some(Seq(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn settling_by_hand_needs_a_known_request() {
    let opened = Opened::new();
    let store = &opened.store;
    assert_eq!(store.settle("r", State::Failed, None).await.unwrap(), None);
    // Named by an event that nobody understands: still not known.
    shown(
        store,
        json!({"event": "novel", "customerId": "c", "requestId": "r"}),
    )
    .await;
    assert_eq!(store.settle("r", State::Failed, None).await.unwrap(), None);
    assert_eq!(store.durable(), Seq(1));

    store
        .register(registration("r", Operation::Fraud))
        .await
        .unwrap();
    let seq = store
        .settle("r", State::Failed, Some("seen on the dashboard"))
        .await
        .unwrap();
    assert_eq!(seq, Some(Seq(3)));
    let row = request(store, "r").await;
    assert_eq!(
        (row.state, row.settled_by),
        (Some(State::Failed), Some(SettledBy::Manual))
    );
    let event = store.event(Seq(3)).await.unwrap().value.unwrap();
    let payload = String::from_utf8(event.payload.unwrap()).unwrap();
    assert!(payload.contains("seen on the dashboard"), "{payload}");
    // Once is enough: the second time it contradicts what is known.
    let again = store.settle("r", State::Completed, None).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    // It stays in the log as what it is, and changes nothing else.
    let mut after = request(store, "r").await;
    assert_eq!(after.last_event, Some(Seq(4)));
    after.last_event = row.last_event;
    after.seen.clone_from(&row.seen);
    assert_eq!(after, row);
    let refused = store.event(Seq(4)).await.unwrap().value.unwrap();
    assert_eq!(refused.disposition, Disposition::Stale);
}

#[tokio::test(flavor = "multi_thread")]
async fn flag_event_after_an_own_call_is_its_echo() {
    let opened = Opened::new();
    let store = &opened.store;
    assert_eq!(
        store.note_flag_call("c", true, false).await.unwrap(),
        Seq(1)
    );
    assert!(
        store
            .customer("c".to_owned())
            .await
            .unwrap()
            .value
            .is_none()
    );
    for (seq, evidence) in [(2, Evidence::OwnFlagCall), (3, Evidence::None)] {
        let body = with(flag("c", true), json!({"n": seq}));
        assert_eq!(shown(store, body).await, Seq(seq));
        let event = store.event(Seq(seq)).await.unwrap().value.unwrap();
        assert_eq!(event.evidence, evidence);
        assert_eq!(
            event.origin == Origin::Api,
            evidence == Evidence::OwnFlagCall
        );
        assert_eq!(event.disposition, Disposition::Applied);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_requests_run_in_order_of_first_sight_both_ways() {
    let opened = Opened::new();
    let store = &opened.store;
    for n in 0..40 {
        let body = run(
            &format!("c{}", n % 3),
            &format!("r{n}"),
            "fraud",
            ["initiated", "completed"][n % 2],
        );
        shown(store, body).await;
    }
    let all: Vec<_> = (0..40).map(|n| format!("r{n}")).collect();
    let pick = |keep: fn(usize) -> bool| -> Vec<String> {
        all.iter()
            .enumerate()
            .filter(|(n, _)| keep(*n))
            .map(|(_, id)| id.clone())
            .collect()
    };
    let of_customer = RequestFilter {
        customer_id: Some("c1".to_owned()),
        ..RequestFilter::default()
    };
    let open = RequestFilter {
        state: Some(State::InProgress),
        ..RequestFilter::default()
    };
    let ended = RequestFilter {
        state: Some(State::Completed),
        ..RequestFilter::default()
    };
    for (filter, expected) in [
        (RequestFilter::default(), all.clone()),
        (of_customer, pick(|n| n % 3 == 1)),
        (open, pick(|n| n % 2 == 0)),
        (ended, pick(|n| n % 2 == 1)),
    ] {
        for order in [Order::Ascending, Order::Descending] {
            let (mut ids, mut after) = (Vec::new(), None);
            loop {
                let page = Page { after, limit: 7 };
                let part = store
                    .requests(filter.clone(), page, order, ticking(), 0)
                    .await
                    .unwrap()
                    .value;
                ids.extend(part.items.into_iter().map(|row| row.request.request_id));
                after = part.next;
                assert!(ids.len() <= 40, "paging never ends");
                if after.is_none() {
                    break;
                }
            }
            if order == Order::Descending {
                ids.reverse();
            }
            assert_eq!(ids, expected, "{filter:?} {order:?}");
        }
    }
}
