//! The list of customers: filters, order, paging, and parameters without sense.

use serde_json::Value;

use crate::common::Daemon;
use crate::common::bodies::*;
use crate::common::http::percent;

/// A daemon that knows a dozen customers of all kinds; and the seq at which it knows them.
fn peopled() -> (Daemon, u64) {
    let daemon = Daemon::start();
    let mut last = 0;
    for n in 0..12 {
        let customer = format!("c{:02}", (n * 5) % 12);
        let status = ["APPROVED", "REJECTED", "REVIEW"][n % 3];
        let kyc = ["PASSED", "PENDING"][n % 2];
        daemon.deliver(with(
            onboard(&customer, status, kyc),
            serde_json::json!({"externalId": format!("ext-{}", n % 4)}),
        ));
        if n % 3 != 0 {
            daemon.deliver(flag(&customer, n % 3 == 1));
        }
        let kind = ["fraud", "document"][n % 2];
        let step = ["initiated", "completed", "failed"][n % 3];
        last = daemon.deliver(run(&customer, &format!("r{n}"), kind, step));
    }
    daemon.event(last);
    (daemon, last)
}

fn ids(rows: &[Value]) -> Vec<String> {
    rows.iter()
        .map(|row| row["customerId"].as_str().unwrap().to_owned())
        .collect()
}

#[track_caller]
fn assert_filter(daemon: &Daemon, query: &str, keep: impl Fn(&Value) -> bool) {
    let all = daemon.all("/v1/customers", 1000);
    let wanted: Vec<Value> = all.into_iter().filter(|row| keep(row)).collect();
    assert!(
        !wanted.is_empty(),
        "{query} keeps nothing: the test has no sense"
    );
    let found = daemon.all(&format!("/v1/customers?{query}"), 1000);
    assert_eq!(ids(&found), ids(&wanted), "{query}");
}

#[test]
fn customers_are_filtered_by_each_member() {
    let (daemon, _) = peopled();
    for status in ["APPROVED", "REJECTED", "REVIEW"] {
        assert_filter(&daemon, &format!("status={status}"), |row| {
            row["status"] == status
        });
    }
    for kyc in ["PASSED", "PENDING"] {
        assert_filter(&daemon, &format!("kyc={kyc}"), |row| row["kyc"] == kyc);
    }
    assert_filter(&daemon, "flagged=true", |row| row["flagged"] == true);
    assert_filter(&daemon, "flagged=false", |row| row["flagged"] == false);
    assert_filter(&daemon, "externalId=ext-2", |row| {
        row["externalId"] == "ext-2"
    });
    for (kind, status) in [
        ("fraud", "completed"),
        ("document", "initiated"),
        ("fraud", "failed"),
    ] {
        let query = format!("evaluation={kind}:{status}");
        let escaped = format!("evaluation={}", percent(&format!("{kind}:{status}")));
        let keep = |row: &Value| row["evaluations"][kind]["status"] == status;
        if daemon.all("/v1/customers", 1000).iter().any(keep) {
            assert_filter(&daemon, &query, keep);
            assert_filter(&daemon, &escaped, keep);
        }
    }
}

#[test]
fn filters_are_combined_with_and() {
    let (daemon, _) = peopled();
    assert_filter(&daemon, "status=REJECTED&flagged=true", |row| {
        row["status"] == "REJECTED" && row["flagged"] == true
    });
    assert_filter(&daemon, "status=REVIEW&kyc=PASSED&flagged=false", |row| {
        row["status"] == "REVIEW" && row["kyc"] == "PASSED" && row["flagged"] == false
    });
    let none = daemon.get("/v1/customers?status=APPROVED&flagged=true");
    assert_eq!(none.items().len(), 0);
    assert_eq!(none.json()["next"], Value::Null);
}

#[test]
fn updated_after_leaves_out_what_is_older() {
    let (daemon, _) = peopled();
    let all = daemon.all("/v1/customers?sort=updatedAt", 1000);
    let times: Vec<&str> = all
        .iter()
        .map(|row| row["updatedAt"].as_str().unwrap())
        .collect();
    for time in &times {
        let found = daemon.all(
            &format!("/v1/customers?updatedAfter={}", percent(time)),
            1000,
        );
        let later = times.iter().filter(|other| other > &time).count();
        assert_eq!(found.len(), later, "after {time} of {times:?}");
    }
    let found = daemon.all("/v1/customers?updatedAfter=2001-01-01T00%3A00%3A00Z", 1000);
    assert_eq!(found.len(), all.len());
}

#[test]
fn filter_that_nothing_matches_gives_an_empty_list() {
    let (daemon, _) = peopled();
    for query in [
        "status=NOVEL",
        "kyc=NOVEL",
        "externalId=nobody",
        "evaluation=kyc:failed",
    ] {
        let answer = daemon.get(&format!("/v1/customers?{query}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        assert!(answer.items().is_empty(), "{query}");
    }
}

#[test]
fn paging_loses_and_repeats_nobody_in_any_order() {
    let (daemon, _) = peopled();
    for sort in ["updatedAt", "customerId"] {
        for order in ["asc", "desc"] {
            let target = format!("/v1/customers?sort={sort}&order={order}");
            let whole = daemon.all(&target, 1000);
            assert_eq!(whole.len(), 12);
            let keys: Vec<&str> = whole
                .iter()
                .map(|row| row[sort].as_str().unwrap())
                .collect();
            let mut sorted = keys.clone();
            sorted.sort_unstable();
            if order == "desc" {
                sorted.reverse();
            }
            assert_eq!(keys, sorted, "{target}");
            for limit in [1, 3, 4, 12] {
                assert_eq!(
                    ids(&daemon.all(&target, limit)),
                    ids(&whole),
                    "{target} by {limit}"
                );
            }
        }
    }
    let usual = daemon.all("/v1/customers", 5);
    assert_eq!(
        ids(&usual),
        ids(&daemon.all("/v1/customers?sort=updatedAt&order=asc", 1000))
    );
}

#[test]
fn paging_keeps_the_filter() {
    let (daemon, _) = peopled();
    let whole = daemon.all("/v1/customers?kyc=PASSED&sort=customerId", 1000);
    assert_eq!(whole.len(), 6);
    for limit in [1, 3, 6] {
        let paged = daemon.all("/v1/customers?kyc=PASSED&sort=customerId", limit);
        assert_eq!(ids(&paged), ids(&whole));
    }
}

#[test]
fn default_limit_is_a_hundred() {
    let daemon = Daemon::start();
    let path = daemon.webhook_path();
    let mut client = daemon.sender();
    let mut last = 0;
    for n in 0..101 {
        let body = run(&format!("c{n}"), &format!("r{n}"), "fraud", "initiated").to_string();
        last = client
            .call("POST", &path, &[], Some(body.as_bytes()))
            .unwrap()
            .seq();
    }
    for path in ["/v1/customers", "/v1/events", "/v1/requests"] {
        let page = daemon.get_at(path, last);
        assert_eq!(page.items().len(), 100, "{path}");
        assert!(!page.json()["next"].is_null(), "{path}");
        assert_eq!(
            daemon.get(&format!("{path}?limit=1000")).items().len(),
            101,
            "{path}"
        );
    }
}

#[test]
fn parameter_without_sense_is_400_and_named() {
    let (daemon, _) = peopled();
    let lists = [
        "/v1/customers",
        "/v1/events",
        "/v1/requests",
        "/v1/customers/c01/events",
    ];
    for path in lists {
        for limit in [
            "0",
            "1001",
            "-1",
            "x",
            "",
            "1.5",
            "%2B5",
            "99999999999999999999",
        ] {
            daemon
                .get(&format!("{path}?limit={limit}"))
                .assert_bad_parameter("limit");
        }
        assert_eq!(daemon.get(&format!("{path}?limit=1")).status, 200, "{path}");
        assert_eq!(
            daemon.get(&format!("{path}?limit=1000")).status,
            200,
            "{path}"
        );
    }
    for (target, name) in [
        ("/v1/customers?flagged=maybe", "flagged"),
        ("/v1/customers?evaluation=fraud", "evaluation"),
        ("/v1/customers?updatedAfter=yesterday", "updatedAfter"),
        ("/v1/customers?sort=status", "sort"),
        ("/v1/customers?order=up", "order"),
        ("/v1/customers?cursor=nonsense!", "cursor"),
        ("/v1/customers/c01/events?cursor=nonsense!", "cursor"),
        ("/v1/requests?cursor=nonsense!", "cursor"),
        ("/v1/requests?state=novel", "state"),
        ("/v1/requests?overdue=maybe", "overdue"),
        ("/v1/requests?operation=dance", "operation"),
        ("/v1/requests?order=up", "order"),
        ("/v1/events?after=-1", "after"),
        ("/v1/events?after=x", "after"),
        ("/v1/events?order=up", "order"),
        ("/v1/events?origin=elsewhere", "origin"),
        ("/v1/events?disposition=novel", "disposition"),
        ("/v1/events?source=novel", "source"),
        ("/v1/events?wait=61", "wait"),
        ("/v1/events?wait=-1", "wait"),
        ("/v1/events?wait=x", "wait"),
        ("/v1/customers?minSeq=x", "minSeq"),
        ("/v1/stats?minSeq=-1", "minSeq"),
    ] {
        let answer = daemon.get(target);
        assert_eq!(answer.status, 400, "{target}: {}", answer.text());
        answer.assert_bad_parameter(name);
    }
    for (query, detail) in [
        ("after=x", "after: expected a whole number"),
        ("wait=0.5", "wait: expected 0 to 60"),
        ("limit=", "limit: expected 1 to 1000"),
    ] {
        let answer = daemon.get(&format!("/v1/events?{query}"));
        assert_eq!(answer.json()["detail"], detail);
    }
    let answer = daemon.get("/v1/customers?flagged=1");
    assert_eq!(answer.json()["detail"], "flagged: expected true or false");
}

#[test]
fn unknown_parameter_is_400_and_named() {
    let (daemon, last) = peopled();
    for path in [
        "/v1/customers".to_owned(),
        "/v1/customers/c01".to_owned(),
        "/v1/customers/c01/events".to_owned(),
        "/v1/events".to_owned(),
        format!("/v1/events/{last}"),
        "/v1/requests".to_owned(),
        "/v1/requests/r1".to_owned(),
        "/v1/stats".to_owned(),
    ] {
        let answer = daemon.get(&format!("{path}?colour=red"));
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        answer.assert_bad_parameter("colour");
    }
    // A name of another case or of another list is as unknown.
    daemon
        .get("/v1/customers?Limit=5")
        .assert_bad_parameter("Limit");
    daemon
        .get("/v1/customers?wait=5")
        .assert_bad_parameter("wait");
    daemon
        .get("/v1/requests?flagged=true")
        .assert_bad_parameter("flagged");
    // Nothing is waited for that would be refused in the end.
    daemon
        .get("/v1/customers?minSeq=1000000&colour=red")
        .assert_bad_parameter("colour");
}
