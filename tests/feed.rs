//! The feed: where a reader goes on, filters, newest first, waiting for the tail, many readers at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

#[path = "feed/crowd.rs"]
mod crowd;
#[path = "feed/stream.rs"]
mod stream;

use serde_json::{Value, json};

use common::Daemon;
use common::bodies::*;
use common::http::request;

fn seqs(events: &[Value]) -> Vec<u64> {
    events
        .iter()
        .map(|event| event["seq"].as_u64().unwrap())
        .collect()
}

fn next(page: &Value) -> u64 {
    page["next"]
        .as_u64()
        .unwrap_or_else(|| panic!("next is no seq: {page}"))
}

/// The feed from `after` to its end, page by page.
fn follow(daemon: &Daemon, query: &str, limit: usize, mut after: u64) -> Vec<Value> {
    let mut reader = daemon.reader();
    let mut events = Vec::new();
    loop {
        let answer = reader.get(&format!("/v1/events?limit={limit}&after={after}&{query}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let part = answer.items();
        assert!(part.len() <= limit);
        let go_on = next(&answer.json());
        assert!(go_on >= after, "next went back from {after} to {go_on}");
        if part.is_empty() && go_on == after {
            return events;
        }
        assert!(go_on > after, "next stands still at {after}");
        after = go_on;
        events.extend(part);
    }
}

/// A log with all sources of difference between events; and its last seq.
fn varied() -> (Daemon, u64) {
    let daemon = Daemon::start();
    let mut last = 0;
    for n in 0..6 {
        let customer = format!("c{}", n % 2);
        daemon.deliver(onboard(
            &customer,
            ["APPROVED", "REJECTED"][(n / 2) % 2],
            "PASSED",
        ));
        daemon.deliver(flag(&customer, (n / 2) % 2 == 0));
        daemon.deliver(run(&customer, &format!("r{n}"), "fraud", "completed"));
        daemon.deliver(run(&customer, &format!("r{n}"), "fraud", "initiated"));
        daemon.deliver(run(&customer, &format!("r{n}"), "fraud", "completed"));
        daemon.deliver(json!({"event": "novel", "customerId": customer}));
        last = daemon.deliver("no json");
    }
    daemon.event(last);
    (daemon, last)
}

#[test]
fn empty_feed_says_where_to_go_on() {
    let daemon = Daemon::start();
    let page = daemon.get("/v1/events").json();
    assert_eq!(page["items"], json!([]));
    assert_eq!(next(&page), 0);
}

#[test]
fn feed_gives_everything_in_order_by_any_limit() {
    let (daemon, last) = varied();
    let whole = seqs(&follow(&daemon, "", 1000, 0));
    assert_eq!(whole.len(), 42);
    assert!(whole.is_sorted_by(|a, b| a < b), "{whole:?}");
    assert_eq!(whole.last(), Some(&last));
    for limit in [1, 3, 5, 42] {
        assert_eq!(seqs(&follow(&daemon, "", limit, 0)), whole, "by {limit}");
    }
    for (index, seq) in whole.iter().enumerate() {
        let rest = daemon.get(&format!("/v1/events?after={seq}")).items();
        assert_eq!(seqs(&rest), whole[index + 1..]);
    }
}

#[test]
fn next_is_never_null_and_repeats_at_the_end() {
    let (daemon, last) = varied();
    let page = daemon.get(&format!("/v1/events?after={last}")).json();
    assert_eq!(page["items"], json!([]));
    assert_eq!(next(&page), last);
    let page = daemon.get("/v1/events?limit=1000").json();
    assert_eq!(next(&page), last);
}

#[test]
fn feed_of_past_the_end_waits_for_what_comes_there() {
    let (daemon, last) = varied();
    let page = daemon
        .get(&format!("/v1/events?after={}", last + 1000))
        .json();
    assert_eq!(page["items"], json!([]));
    assert!(next(&page) >= last, "{page}");
}

#[test]
fn each_filter_gives_just_what_matches() {
    let (daemon, _) = varied();
    let whole = follow(&daemon, "", 1000, 0);
    for (name, values) in [
        (
            "event",
            ["onboard", "flag", "evaluation", "novel"].as_slice(),
        ),
        ("origin", &["dashboard", "api"]),
        (
            "disposition",
            &[
                "applied",
                "duplicate",
                "stale",
                "unrecognised",
                "quarantined",
            ],
        ),
        ("customerId", &["c0", "c1"]),
        ("requestId", &["r0", "r5"]),
        ("source", &["webhook"]),
    ] {
        for value in values {
            let wanted: Vec<Value> = whole
                .iter()
                .filter(|event| event[name] == *value)
                .cloned()
                .collect();
            assert!(!wanted.is_empty(), "{name}={value} has no sense here");
            for limit in [2, 1000] {
                let found = follow(&daemon, &format!("{name}={value}"), limit, 0);
                assert_eq!(seqs(&found), seqs(&wanted), "{name}={value} by {limit}");
            }
        }
    }
    for source in ["gateway", "poll", "control"] {
        assert!(
            follow(&daemon, &format!("source={source}"), 1000, 0).is_empty(),
            "{source}"
        );
    }
}

#[test]
fn filters_are_combined_with_and() {
    let (daemon, _) = varied();
    let whole = follow(&daemon, "", 1000, 0);
    let wanted: Vec<Value> = whole
        .iter()
        .filter(|event| {
            event["customerId"] == "c1"
                && event["origin"] == "api"
                && event["disposition"] == "stale"
        })
        .cloned()
        .collect();
    assert_eq!(wanted.len(), 3);
    let query = "customerId=c1&origin=api&disposition=stale";
    assert_eq!(seqs(&follow(&daemon, query, 1, 0)), seqs(&wanted));
    let none = daemon.get("/v1/events?event=flag&requestId=r0").json();
    assert_eq!(none["items"], json!([]));
}

#[test]
fn next_of_a_filtered_page_skips_nothing_that_comes_later() {
    let daemon = Daemon::start();
    let mut after = 0;
    for turn in 0..20 {
        let other = daemon.deliver(flag("other", turn % 2 == 0));
        let page = daemon
            .get_at(&format!("/v1/events?customerId=c&after={after}"), other)
            .json();
        assert_eq!(page["items"], json!([]), "turn {turn}");
        after = next(&page);
        let seq = daemon.deliver(flag("c", turn % 2 == 0));
        let page = daemon
            .get_at(&format!("/v1/events?customerId=c&after={after}"), seq)
            .json();
        assert_eq!(
            seqs(page["items"].as_array().unwrap()),
            [seq],
            "turn {turn}"
        );
        after = next(&page);
    }
}

#[test]
fn newest_first_goes_back_to_the_beginning() {
    let (daemon, _) = varied();
    let mut whole = seqs(&follow(&daemon, "", 1000, 0));
    whole.reverse();
    for limit in [1, 5, 42, 1000] {
        let mut found = Vec::new();
        let mut page = daemon
            .get(&format!("/v1/events?order=desc&limit={limit}"))
            .json();
        loop {
            let part = page["items"].as_array().unwrap().clone();
            let after = next(&page);
            if part.is_empty() {
                break;
            }
            found.extend(seqs(&part));
            let target = format!("/v1/events?order=desc&limit={limit}&after={after}");
            page = daemon.get(&target).json();
        }
        assert_eq!(found, whole, "by {limit}");
    }
    let newest = daemon
        .get("/v1/events?order=desc&limit=1&event=flag")
        .items();
    let oldest_first = follow(&daemon, "event=flag", 1000, 0);
    assert_eq!(seqs(&newest), seqs(&oldest_first[oldest_first.len() - 1..]));
    let older = daemon
        .get(&format!("/v1/events?order=desc&after={}", whole[10]))
        .items();
    assert_eq!(seqs(&older), whole[11..]);
}

#[test]
fn waiting_for_the_newest_first_is_400() {
    let daemon = Daemon::start();
    let answer = daemon.get("/v1/events?order=desc&wait=5");
    answer.assert_problem(400, "bad_parameter");
}

#[test]
fn one_event_is_the_same_as_in_the_feed() {
    let (daemon, _) = varied();
    for event in follow(&daemon, "", 1000, 0) {
        let one = daemon.get(&format!("/v1/events/{}", event["seq"])).json();
        assert_eq!(one, event);
    }
}

#[test]
fn feed_carries_the_payload() {
    let daemon = Daemon::start();
    let body = r#"{"event":"flag","flag":true,"customerId":"c","big":12345678901234567890123}"#;
    let seq = daemon.deliver(body);
    let text = daemon.get_at("/v1/events", seq).text();
    assert!(text.contains(&format!("\"payload\":{body}")), "{text}");
}

#[test]
fn waiting_poll_is_woken_by_a_post() {
    let daemon = Daemon::start();
    let mut after = daemon.deliver(flag("c", true));
    let mut poller = daemon.reader();
    for turn in 0..20 {
        let target = format!("/v1/events?after={after}&wait=60");
        poller.send(&request("GET", &target, &[], None)).unwrap();
        let seq = daemon.deliver(flag("c", turn % 2 == 1));
        let page = poller.receive(false).unwrap();
        assert_eq!(page.status, 200, "{}", page.text());
        assert_eq!(seqs(&page.items()), [seq], "turn {turn}");
        after = next(&page.json());
        assert_eq!(after, seq);
    }
}

#[test]
fn waiting_poll_sleeps_through_what_its_filter_leaves_out() {
    let daemon = Daemon::start();
    let mut poller = daemon.reader();
    let target = "/v1/events?customerId=wanted&wait=60";
    poller.send(&request("GET", target, &[], None)).unwrap();
    for turn in 0..20 {
        daemon.deliver(flag("other", turn % 2 == 0));
    }
    let seq = daemon.deliver(flag("wanted", true));
    let page = poller.receive(false).unwrap();
    assert_eq!(seqs(&page.items()), [seq]);
}

#[test]
fn waiting_poll_with_something_there_answers_at_once() {
    let (daemon, last) = varied();
    let page = daemon.get("/v1/events?wait=60&limit=1000").json();
    assert_eq!(page["items"].as_array().unwrap().len(), 42);
    assert_eq!(next(&page), last);
}

#[test]
fn waiting_poll_ends_empty_and_says_where_to_go_on() {
    let (daemon, last) = varied();
    for wait in [0, 1] {
        let page = daemon
            .get(&format!("/v1/events?after={last}&wait={wait}"))
            .json();
        assert_eq!(page["items"], json!([]));
        assert_eq!(next(&page), last);
    }
    let page = daemon
        .get("/v1/events?after=0&wait=1&customerId=nobody")
        .json();
    assert_eq!(page["items"], json!([]));
    assert!(next(&page) <= last);
}

#[test]
fn many_waiting_polls_are_all_woken() {
    let daemon = Daemon::start();
    let after = daemon.deliver(flag("c", true));
    let mut pollers: Vec<_> = (0..50).map(|_| daemon.reader()).collect();
    for poller in &mut pollers {
        let target = format!("/v1/events?after={after}&wait=60");
        poller.send(&request("GET", &target, &[], None)).unwrap();
    }
    let seq = daemon.deliver(flag("c", false));
    for mut poller in pollers {
        assert_eq!(seqs(&poller.receive(false).unwrap().items()), [seq]);
    }
}

#[test]
fn waiting_poll_does_not_hold_up_a_stop() {
    let mut daemon = Daemon::start();
    let mut poller = daemon.reader();
    poller
        .send(&request("GET", "/v1/events?wait=60", &[], None))
        .unwrap();
    // The answer to a second request on another connection shows that the door has been at work meanwhile.
    assert_eq!(daemon.get("/healthz").status, 200);
    daemon.stop();
}

#[test]
fn readers_at_once_each_see_every_seq_once_and_in_order() {
    const SENDERS: usize = 4;
    const POSTS: usize = 100;
    let daemon = Daemon::start();
    let path = daemon.webhook_path();
    let (mut sent, read): (Vec<u64>, Vec<Vec<u64>>) = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|reader| {
                let daemon = &daemon;
                scope.spawn(move || {
                    let mut client = daemon.reader();
                    let (mut seen, mut after) = (Vec::new(), 0);
                    while seen.len() < SENDERS * POSTS {
                        let limit = [1, 7, 100, 1000][reader];
                        let target = format!("/v1/events?after={after}&wait=30&limit={limit}");
                        let page = client.get(&target);
                        let part = seqs(&page.items());
                        assert!(!part.is_empty(), "woken for nothing after {after}");
                        seen.extend(part);
                        after = next(&page.json());
                    }
                    seen
                })
            })
            .collect();
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (daemon, path) = (&daemon, &path);
                scope.spawn(move || {
                    let mut client = daemon.sender();
                    let post = |post| {
                        let body = flag(&format!("c{sender}-{post}"), true).to_string();
                        client
                            .call("POST", path, &[], Some(body.as_bytes()))
                            .unwrap()
                            .seq()
                    };
                    (0..POSTS).map(post).collect::<Vec<_>>()
                })
            })
            .collect();
        let sent = senders
            .into_iter()
            .flat_map(|sender| sender.join().unwrap())
            .collect();
        let read = readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .collect();
        (sent, read)
    });
    sent.sort_unstable();
    for seen in read {
        assert_eq!(seen, sent);
    }
}
