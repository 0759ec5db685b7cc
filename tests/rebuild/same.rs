//! Folded at once or in slices, live or after a kill, with payloads or without: the same rows.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tempfile::TempDir;
use waldo_syncd::domain::{Seq, Timestamp};
use waldo_syncd::store::{
    Delivery, Options, Store, StoreError, check_file, erase_file, prune_file, rebuild_file,
};

use super::*;

static NOW: AtomicI64 = AtomicI64::new(1_764_000_000_000);

fn now() -> Timestamp {
    Timestamp(NOW.load(Ordering::Relaxed))
}

fn open(directory: &Path) -> (Store, waldo_syncd::store::StoreThread) {
    let options = Options {
        directory: directory.to_owned(),
        queue_events: 10_000,
        queue_bytes: 64 << 20,
        max_lag: 100_000,
        clock: now,
    };
    Store::open(options).unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Tell(Source, String),
    /// Tells once more what was told so many tellings ago.
    Again(usize),
    /// Moves the clock, backwards too.
    Wait(i64),
    /// Ends a slice: what was told so far is folded by itself.
    Slice,
    Restart,
    /// Takes out the payloads that are older than so many milliseconds.
    Prune(i64),
    Erase(&'static str),
}

fn told_by_waldo() -> impl Strategy<Value = Value> {
    let some = proptest::option::of::<proptest::sample::Select<&str>>;
    let members = (
        select(vec!["onboard", "evaluation", "EVALUATION", "flag", "novel"]),
        select(vec!["a", "b", "\u{e4} \u{0}", "d"]),
        some(select(vec!["r1", "r2", "r3"])),
        some(select(vec!["kyc", "fraud", "document", "Liveness"])),
        select(vec![
            "initiated",
            "in_progress",
            "completed",
            "failed",
            "paused",
        ]),
        some(select(vec!["APPROVED", "ACCEPTED", "REVIEW", "On hold"])),
        proptest::option::of(0..5u8),
        proptest::option::of(any::<bool>()),
        0..3u8,
    );
    members.prop_map(|(event, customer, request, kind, status, decision, score, flag, n)| {
        json!({
            "event": event, "customerId": customer, "requestId": request, "n": n, "flag": flag,
            "externalId": (n == 2).then_some("e"), "uri": (n == 1).then_some("https://app.waldo.ai//x"),
            "evaluation": kind.map(|kind| json!({"type": kind, "status": status})),
            "validation": {
                "status": decision, "fraudScore": score.map(|score| f64::from(score) / 4.0), "warnings": n,
                "fraudFlag": flag, "warningTags": [{"tag": "ssn", "passed": n == 1}],
            },
        })
    })
}

fn told_by_apps() -> impl Strategy<Value = Value> {
    let members = (
        select(vec!["request.registered", "request.settled", "flag.called"]),
        select(vec!["r1", "r2", "r3", "r4"]),
        proptest::option::of(select(vec!["a", "b"])),
        select(vec!["onboard", "fraud", "other"]),
        any::<bool>(),
    );
    members.prop_map(|(event, request, customer, operation, flag)| {
        let request = (event != "flag.called").then_some(request);
        json!({
            "event": event, "requestId": request, "customerId": customer, "operation": operation, "flag": flag,
            "expects": [operation], "deadlineSeconds": 900, "context": {"n": 1.10}, "state": "failed",
        })
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let waits = vec![1, 999, 60_000, 600_000, 600_001, 900_001, -3_600_000];
    let step = prop_oneof![
        10 => told_by_waldo().prop_map(|body| Step::Tell(Source::Webhook, body.to_string())),
        2 => told_by_waldo().prop_map(|body| Step::Tell(Source::Gateway, body.to_string())),
        2 => told_by_waldo().prop_map(|body| Step::Tell(Source::Poll, body.to_string())),
        3 => told_by_apps().prop_map(|body| Step::Tell(Source::Control, body.to_string())),
        1 => select(vec!["", "[]", "{\"event\":"]).prop_map(|text| Step::Tell(Source::Webhook, text.to_owned())),
        6 => (1..8usize).prop_map(Step::Again),
        4 => select(waits).prop_map(Step::Wait),
        3 => Just(Step::Slice),
        1 => Just(Step::Restart),
        1 => select(vec![0, 60_000, 900_000]).prop_map(Step::Prune),
        2 => select(vec!["a", "b", "\u{e4} \u{0}", "d", "nobody"]).prop_map(Step::Erase),
    ];
    vec(step, 1..80)
}

/// Lives through the steps and stops.
fn live(directory: &Path, steps: &[Step]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut store, mut thread) = open(directory);
    let mut told = Vec::new();
    for step in steps {
        match step {
            Step::Wait(ms) => drop(NOW.fetch_add(*ms, Ordering::Relaxed)),
            Step::Tell(source, text) => {
                told.push(Delivery::whole(*source, text.clone().into()));
                let new = told.last().unwrap().clone();
                runtime.block_on(store.append(new)).unwrap();
            }
            Step::Again(back) => {
                if let Some(known) = told.iter().rev().nth(*back) {
                    runtime.block_on(store.append(known.clone())).unwrap();
                }
            }
            Step::Slice => {
                let all = store.wait_projected(store.durable(), Duration::from_secs(60));
                runtime.block_on(all).unwrap();
            }
            Step::Restart => {
                thread.stop(&store);
                (store, thread) = open(directory);
            }
            Step::Prune(age) => {
                let work = store.prune(now().plus_ms(-age), Seq::START, Duration::from_secs(60));
                assert_eq!(runtime.block_on(work).unwrap().next, None);
            }
            Step::Erase(id) => match runtime.block_on(store.erase((*id).to_owned())) {
                Ok(_) => {}
                // Tied to another customer: that takes the file for itself.
                Err(StoreError::Conflict(_)) => {
                    thread.stop(&store);
                    let done = erase_file(directory, id, now(), &mut |_, _| {}).unwrap();
                    assert!(done.is_some());
                    (store, thread) = open(directory);
                }
                Err(error) => panic!("{id} was not erased: {error}"),
            },
        }
    }
    thread.stop(&store);
}

fn quiet(directory: &Path, only_tell: bool) -> Vec<String> {
    let found = rebuild_file(directory, only_tell, &mut |_, _| {}).unwrap();
    found
        .into_iter()
        .map(|difference| difference.table)
        .collect()
}

#[test]
fn any_log_gives_the_same_rows_again_also_when_pruned_and_erased() {
    let mut runner = TestRunner::new(Config {
        cases: 30,
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    });
    let strategy = (steps(), any::<u64>());
    let run = runner.run(&strategy, |(steps, pruned)| {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join(FILE);
        live(folder.path(), &steps);
        let before = dump(&file);
        prop_assert_eq!(quiet(folder.path(), true), Vec::<String>::new());
        prop_assert_eq!(quiet(folder.path(), false), Vec::<String>::new());
        assert_same(&before, &dump(&file));
        prune(&file, |seq| pruned >> (seq % 64) & 1 == 1);
        prop_assert_eq!(quiet(folder.path(), false), Vec::<String>::new());
        assert_same(&before, &dump(&file));
        let all = Timestamp(i64::MAX);
        prune_file(folder.path(), all, &mut |_, _| {}).unwrap();
        prop_assert_eq!(quiet(folder.path(), false), Vec::<String>::new());
        assert_same(&before, &dump(&file));
        let report = check_file(&file, None, &mut |_, _, _| {}).unwrap();
        prop_assert_eq!(report.faults, Vec::<String>::new());
        prop_assert_eq!(report.without_payload, report.events);
        // And the counts are those of the rows.
        assert_counts_agree(&file);
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{error}"));
}

/// A repeat without a requestId is counted to the request of what it repeats, which may be settled and not at hand.
#[test]
fn a_repeat_is_counted_to_a_settled_request_that_is_read_from_the_file() {
    let folder = TempDir::new().unwrap();
    let begins = json!({"event": "onboard", "customerId": "c", "requestId": "r",
        "evaluation": {"type": "document", "status": "initiated"}});
    let ends = json!({"event": "evaluation", "customerId": "c",
        "evaluation": {"type": "document", "status": "completed"}});
    let tell = |body: &serde_json::Value| Step::Tell(Source::Webhook, body.to_string());
    let again = [Step::Slice, Step::Restart, tell(&ends), Step::Slice];
    live(
        folder.path(),
        &[&[tell(&begins), tell(&ends)], &again[..]].concat(),
    );
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    let (requests, settled, its): (i64, i64, i64) = connection
        .query_row(
            "SELECT count(*), count(settled_at), (SELECT count(*) FROM verdicts WHERE request = key) FROM requests",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .unwrap();
    assert_eq!((requests, settled, its), (1, 1, 3));
    assert_eq!(quiet(folder.path(), true), Vec::<String>::new());
}

/// What `counts` says is what counting says.
fn assert_counts_agree(file: &Path) {
    let connection = Connection::open(file).unwrap();
    for (kind, counted) in [
        (
            "state",
            "SELECT state, count(*) FROM requests WHERE state IS NOT NULL GROUP BY 1",
        ),
        (
            "status",
            "SELECT CASE WHEN status IS NULL THEN '(unknown)' \
             WHEN status IN ('APPROVED', 'REJECTED', 'REVIEW', 'PENDING') THEN status ELSE '(other)' END, count(*) \
             FROM customers WHERE version > 0 GROUP BY 1",
        ),
        (
            "disposition",
            "SELECT CASE disposition WHEN 1 THEN 'applied' WHEN 2 THEN 'duplicate' WHEN 3 THEN 'stale' \
             WHEN 4 THEN 'unrecognised' WHEN 5 THEN 'quarantined' ELSE 'erased' END, count(*) FROM verdicts GROUP BY 1",
        ),
        (
            "source",
            "SELECT CASE source WHEN 1 THEN 'webhook' WHEN 2 THEN 'gateway' WHEN 3 THEN 'poll' ELSE 'control' END, \
             count(*) FROM log GROUP BY 1",
        ),
    ] {
        let mut expected = query(&connection, counted);
        let said = format!("SELECT word, number FROM counts WHERE kind = '{kind}' AND number <> 0");
        let mut said = query(&connection, &said);
        expected.sort();
        said.sort();
        assert_eq!(said, expected, "{kind}");
    }
    let minutes = query(&connection, "SELECT coalesce(sum(events), 0) FROM minutes");
    assert_eq!(minutes, query(&connection, "SELECT count(*) FROM log"));
}

/// A score is a number with up to 17 digits; a reading that stands in for its payload keeps all of them.
#[test]
fn pruned_scores_keep_their_last_digit() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join(FILE);
    // 0.30000000000000004 and its like: what a model gives, not what a person types.
    let steps: Vec<_> = (1..=200)
        .map(|n| {
            let score = f64::from(n) / 997.0 + 0.1 * f64::from(n % 7);
            let body = json!({
                "event": "onboard", "customerId": format!("c{n}"), "validation": {"fraudScore": score},
            });
            Step::Tell(Source::Webhook, body.to_string())
        })
        .collect();
    live(folder.path(), &steps);
    let before = dump(&file);
    assert_eq!(prune(&file, |_| true), 200);
    quiet(folder.path(), false);
    assert_same(&before, &dump(&file));
}

#[test]
fn slices_and_kills_leave_what_one_fold_gives() {
    let mut daemon = Daemon::start();
    for round in 0..4 {
        let path = daemon.webhook_path();
        std::thread::scope(|scope| {
            for sender in 0..4 {
                let (mut client, path) = (daemon.sender(), &path);
                scope.spawn(move || {
                    for n in 0..60 {
                        let customer = format!("c{}", (sender + n) % 5);
                        let body = match n % 4 {
                            0 => flag(&customer, n % 8 == 0),
                            1 => evaluation(
                                &customer,
                                "fraud",
                                ["initiated", "completed"][n / 4 % 2],
                            ),
                            2 => run(&customer, &format!("r{}", n / 4), "fraud", "in_progress"),
                            _ => run(&customer, &format!("r{}", n / 8), "document", "completed"),
                        };
                        // What names its request comes again, in the same bytes, after each kill.
                        let told_in = (n % 4 < 2).then_some(round);
                        let body = with(body, json!({"n": n % 3, "round": told_in}));
                        client
                            .call("POST", path, &[], Some(&body.to_string().into_bytes()))
                            .unwrap()
                            .seq();
                    }
                });
            }
        });
        daemon.kill();
        daemon.start_again();
    }
    let last = daemon.deliver(flag("c0", true));
    daemon.event(last);
    daemon.stop();
    assert_eq!(last, 4 * 4 * 60 + 1);
    let file = daemon.data().join(FILE);
    let before = dump(&file);
    daemon.place().cli(&["rebuild", "--diff"]).assert_code(0);
    assert_same(&before, &dump(&file));
    daemon.place().cli(&["rebuild"]).assert_code(0);
    assert_same(&before, &dump(&file));
    assert_counts_agree(&file);
    // The daemon goes on from there.
    daemon.start_again();
    assert_eq!(daemon.deliver(flag("c0", false)), last + 1);
    daemon.event(last + 1);
}
