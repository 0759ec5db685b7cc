//! A log that is the same to the last byte each time it is made: what docs/API.md and the OpenAPI documents show is what
//! a daemon answers from it. Event N comes N minutes after nine o'clock on 10 March 2025.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::json;
use waldo_syncd::domain::{Operation, Source, Timestamp};
use waldo_syncd::store::{Delivery, Options, Registration, Store};

use super::Place;
use super::bodies::{ADA, BEN, Body, CAY, FRAUD_CHECK, ONBOARDING, with};

/// 2025-03-10T09:00:00Z
const NINE: i64 = 1_741_597_200_000;
const MINUTE: i64 = 60_000;
const PATIENCE: Duration = Duration::from_secs(30);

static NOW: AtomicI64 = AtomicI64::new(NINE);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Events in the log.
pub const EVENTS: u64 = 16;

/// Writes the log into the data directory of a place where no daemon runs.
pub fn write(place: &Place) {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    NOW.store(NINE, Ordering::Relaxed);
    let options = Options {
        directory: place.data(),
        queue_events: 100,
        queue_bytes: 1 << 20,
        max_lag: 1000,
        clock: || Timestamp(NOW.load(Ordering::Relaxed)),
    };
    let (store, thread) = Store::open(options).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(tell(&store));
    thread.stop(&store);
}

/// The next minute begins.
fn tick() {
    NOW.fetch_add(MINUTE, Ordering::Relaxed);
}

async fn tell(store: &Store) {
    register(
        store,
        ONBOARDING,
        Operation::Onboard,
        CAY,
        "crm-1003",
        Some(r#"{"order":4711}"#),
    )
    .await;
    register(store, FRAUD_CHECK, Operation::Fraud, BEN, "crm-1002", None).await;
    let run = |kind: &str, status: &str| {
        json!({
            "event": "evaluation", "evaluation": {"type": kind, "status": status}, "requestId": ONBOARDING,
            "customerId": CAY, "externalId": "crm-1003", "uri": format!("https://app.waldo.ai/customers/{CAY}"),
            "validation": {"status": "PENDING", "kyc": "PENDING", "fraudScore": 0},
        })
    };
    let decided = |id: &str, external_id: &str, validation| {
        json!({
            "event": "onboard", "validation": validation, "customerId": id, "externalId": external_id,
            "uri": format!("https://app.waldo.ai/customers/{id}"),
        })
    };
    let approved = decided(
        ADA,
        "crm-1001",
        json!({"status": "APPROVED", "kyc": "PASSED", "fraudScore": 0.74}),
    );
    hook(store, run("kyc", "initiated")).await;
    tick();
    store.note_flag_call(ADA, true, false).await.unwrap();
    hook(store, run("fraud", "initiated")).await;
    let passed = json!({"validation": {"status": "APPROVED", "kyc": "PASSED", "fraudScore": 0.91}});
    hook(store, with(run("fraud", "completed"), passed)).await;
    hook(store, &approved).await;
    hook(
        store,
        json!({"event": "flag", "flag": true, "customerId": ADA, "externalId": "crm-1001"}),
    )
    .await;
    hook(
        store,
        json!({"event": "flag", "flag": true, "customerId": BEN, "externalId": "crm-1002"}),
    )
    .await;
    hook(store, &approved).await;
    hook(
        store,
        with(run("fraud", "in_progress"), json!({"late": true})),
    )
    .await;
    hook(store, "hello").await;
    hook(
        store,
        json!({"event": "test", "message": "from the dashboard"}),
    )
    .await;
    let tags = json!([
        {"tag": "sanctions", "label": "Sanctions", "passed": false},
        {"tag": "document_expired", "label": "Document expired", "passed": true, "isDoc": true},
    ]);
    let inferred = json!({
        "event": "evaluation", "evaluation": {"type": "fraud", "status": "completed"}, "customerId": BEN,
        "externalId": "crm-1002", "uri": format!("https://app.waldo.ai/customers/{BEN}"),
        "validation": {"status": "REVIEW", "kyc": "PASSED", "fraudScore": 0.35, "warnings": 1, "warningTags": tags},
    });
    hook(store, inferred).await;
    register(
        store,
        "Vx3Pq9Lm2d",
        Operation::Document,
        ADA,
        "crm-1001",
        None,
    )
    .await;
    let rejected = decided(
        ADA,
        "crm-1001",
        json!({"status": "REJECTED", "kyc": "REJECTED", "fraudScore": "low"}),
    );
    let last = hook(store, rejected).await;
    assert_eq!(last, EVENTS);
}

async fn hook(store: &Store, body: impl Body) -> u64 {
    tick();
    let delivery = Delivery::whole(Source::Webhook, body.bytes().into());
    let seq = store.append(delivery).await.unwrap();
    store.wait_projected(seq, PATIENCE).await.unwrap();
    seq.0
}

async fn register(
    store: &Store,
    id: &str,
    operation: Operation,
    customer: &str,
    external_id: &str,
    context: Option<&str>,
) {
    tick();
    let expects = ["kyc", "fraud"].map(str::to_owned);
    let registration = Registration {
        request_id: id.to_owned(),
        operation,
        customer_id: Some(customer.to_owned()),
        external_id: Some(external_id.to_owned()),
        expects: context.map(|_| expects.to_vec()).unwrap_or_default(),
        context: context.map(|text| serde_json::from_str(text).unwrap()),
        deadline: Duration::from_secs(15 * 60),
    };
    store.register(registration).await.unwrap();
}
