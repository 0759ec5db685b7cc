//! A thousand readers at once, of whom half never read: nobody misses an event, and memory stays within a bound.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use super::stream::{next, open};
use crate::common::Daemon;
use crate::common::bodies::*;
use crate::common::http::{Client, request};
use crate::common::place::poll;

const READERS: usize = 1000;
/// Files that this process and the daemon, which inherits the limit, may have open.
const FILES: u64 = 4096;
/// What the daemon may have in use for a crowd of readers, in KiB. A debug build needs some 24 MiB for itself; hyper has
/// some 20 KiB a connection, a reader's share of the feed is 32 KiB, and its text on the way as much again: 44 MiB were seen
/// of a thousand readers. Large answers and events have 64 and 32 MiB of room, and eight reads at once a few copies each of
/// what they read.
const MEMORY_KIB: i64 = 160 * 1024;
const LIMIT: Duration = Duration::from_secs(60);

fn crowd() -> Daemon {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < FILES) {
        let current = Some(maximum.map_or(FILES, |maximum| maximum.min(FILES)));
        setrlimit(Resource::Nofile, Rlimit { current, maximum }).expect("more open files");
    }
    Daemon::start()
}

fn metric(daemon: &Daemon, series: &str) -> u64 {
    let text = daemon.get("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.and_then(|number| number.trim().parse().ok())
        .unwrap_or_else(|| panic!("no {series}: {text}"))
}

#[track_caller]
fn assert_small(daemon: &Daemon) {
    let peak = daemon.peak_memory_kib();
    eprintln!("at most {} MiB in use", peak / 1024);
    assert!(peak < MEMORY_KIB, "{peak} KiB");
}

#[test]
fn a_thousand_streams_of_which_half_never_read() {
    let daemon = crowd();
    let streams = |daemon: &Daemon| metric(daemon, "waldo_syncd_feed_readers{kind=\"stream\"} ");
    let mut unread = Vec::new();
    let mut readers = Vec::new();
    for _ in 0..READERS / 2 {
        let mut client = daemon.reader();
        client
            .send(&request("GET", "/v1/events/stream", &[], None))
            .unwrap();
        unread.push(client);
        readers.push(open(&daemon, "/v1/events/stream", &[]));
    }
    poll("all readers", LIMIT, || {
        (streams(&daemon) == READERS as u64).then_some(())
    });
    let mut sender = daemon.sender();
    let mut send = |from: usize, to: usize| {
        (from..to)
            .map(|turn| {
                let body = json!({
                    "event": "flag", "customerId": format!("c{turn}"), "flag": true, "note": "x".repeat(500),
                });
                let sent = sender.call("POST", &daemon.webhook_path(), &[], Some(&body.bytes()));
                sent.unwrap().seq()
            })
            .collect::<Vec<_>>()
    };
    let mut sent = send(0, 40);
    for reader in &mut readers {
        for seq in &sent {
            assert_eq!(next(reader).0, *seq);
        }
    }
    // Some leave, and come back with the last id they had; others begin in the middle.
    readers.truncate(READERS / 2 - 20);
    let missed = send(40, 50);
    let last = sent.last().unwrap().to_string();
    for _ in 0..10 {
        readers.push(open(
            &daemon,
            "/v1/events/stream",
            &[("last-event-id", &last)],
        ));
        readers.push(open(
            &daemon,
            &format!("/v1/events/stream?after={last}"),
            &[],
        ));
    }
    for reader in &mut readers {
        for seq in &missed {
            assert_eq!(next(reader).0, *seq);
        }
    }
    // Whoever never read finds all of it, from the first on.
    sent.extend(missed);
    for reader in unread.iter_mut().take(20) {
        for seq in &sent {
            assert_eq!(next(reader).0, *seq);
        }
    }
    assert_small(&daemon);
    drop((readers, unread));
    poll("the end of all streams", LIMIT, || {
        (streams(&daemon) == 0).then_some(())
    });
}

#[test]
fn a_thousand_long_polls_have_each_event_once() {
    let daemon = crowd();
    let mut readers: Vec<Client> = (0..READERS).map(|_| daemon.reader()).collect();
    let mut sender = daemon.sender();
    let mut after = 0;
    for turn in 0..3 {
        let ask = request(
            "GET",
            &format!("/v1/events?after={after}&wait=60"),
            &[],
            None,
        );
        for reader in &mut readers {
            reader.send(&ask).unwrap();
        }
        poll("all readers", LIMIT, || {
            let waiting = metric(&daemon, "waldo_syncd_feed_readers{kind=\"long_poll\"} ");
            (waiting == READERS as u64).then_some(())
        });
        let body = flag("c", turn % 2 == 0);
        let sent = sender.call("POST", &daemon.webhook_path(), &[], Some(&body.bytes()));
        let seq = sent.unwrap().seq();
        for reader in &mut readers {
            let page = reader.receive(false).unwrap();
            assert_eq!(super::seqs(&page.items()), [seq]);
            assert_eq!(super::next(&page.json()), seq);
        }
        after = seq;
    }
    assert_small(&daemon);
}

/// A connection that takes next to nothing into the kernel's buffers.
fn narrow(daemon: &Daemon) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(daemon.address("query")).await.unwrap();
        stream.into_std().unwrap()
    })
}

#[test]
fn large_events_that_nobody_takes_cost_no_more_than_their_room() {
    let daemon = Daemon::configured(|place| {
        format!(
            "[store]\ndata_dir = \"{}\"\n[limits]\nwrite_timeout = \"3s\"\n",
            place.data().display()
        )
    });
    let large = |turn: usize| json!({"event": "flag", "customerId": format!("c{turn}"), "note": "x".repeat(900_000)});
    let sent: Vec<u64> = (0..8).map(|turn| daemon.deliver(large(turn))).collect();
    daemon.event(sent[7]);
    let ask = request("GET", "/v1/events/stream", &[], None);
    let unread: Vec<_> = (0..120)
        .map(|_| {
            let mut stream = narrow(&daemon);
            stream.write_all(&ask).unwrap();
            stream
        })
        .collect();
    // Its turn comes when those who take nothing are cut off; where its own stream was ended meanwhile, it comes back.
    let mut had = 0;
    while had < sent[7] {
        let last = had.to_string();
        let mut reader = open(&daemon, "/v1/events/stream", &[("last-event-id", &last)]);
        while had < sent[7] {
            let Some((seq, _)) = super::stream::try_next(&mut reader) else {
                break;
            };
            assert_eq!(seq, had + 1, "once, and in order");
            had = seq;
        }
    }
    poll("the end of those who take nothing", LIMIT, || {
        (metric(&daemon, "waldo_syncd_feed_readers{kind=\"stream\"} ") <= 1).then_some(())
    });
    assert!(
        metric(
            &daemon,
            "waldo_syncd_door_write_timeouts_total{door=\"query\"} "
        ) > 0
    );
    assert_small(&daemon);
    drop(unread);
}

#[test]
fn large_answers_that_nobody_takes_cost_no_more_than_their_room() {
    let daemon = Daemon::configured(|place| {
        format!(
            "[store]\ndata_dir = \"{}\"\n[ingest]\nmax_body = \"8 MiB\"\n",
            place.data().display()
        )
    });
    let large = json!({"event": "flag", "customerId": "c", "note": "x".repeat(6_000_000)});
    let seq = daemon.deliver(large);
    daemon.event(seq);
    let path = format!("/v1/events/{seq}/payload");
    let ask = request("GET", &path, &[], None);
    let held = || metric(&daemon, "waldo_syncd_held_answer_bytes{kind=\"answer\"} ");
    let most = metric(
        &daemon,
        "waldo_syncd_max_held_answer_bytes{kind=\"answer\"} ",
    );
    let mut unread = Vec::new();
    while held() + 6_000_000 < most {
        let before = held();
        let mut reader = narrow(&daemon);
        reader.write_all(&ask).unwrap();
        unread.push(reader);
        poll("an answer that nobody takes", LIMIT, || {
            (held() > before).then_some(())
        });
    }
    let refused = daemon.get(&path);
    refused.assert_problem(503, "too_many_answers");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(metric(&daemon, "waldo_syncd_refused_answers_total "), 1);
    // Whoever asks for little is served.
    assert_eq!(daemon.get("/v1/stats").status, 200);
    // When one of those who take nothing leaves, the next has its room.
    unread.pop();
    let answer = poll("room again", LIMIT, || {
        Some(daemon.get(&path)).filter(|answer| answer.status == 200)
    });
    assert!(answer.body.len() > 6_000_000);
    drop(unread);
    poll("all room", LIMIT, || (held() == 0).then_some(()));
    assert_small(&daemon);
}

#[test]
fn a_door_full_of_readers_lets_the_next_in_when_one_leaves() {
    let daemon = Daemon::configured(|place| {
        format!(
            "[store]\ndata_dir = \"{}\"\n[limits]\nmax_connections = 8\n",
            place.data().display()
        )
    });
    let mut readers: Vec<_> = (0..8)
        .map(|_| open(&daemon, "/v1/events/stream", &[]))
        .collect();
    let mut waiting = daemon.reader();
    waiting
        .send(&request("GET", "/v1/events/stream", &[], None))
        .unwrap();
    // Nobody is cut off for the one that waits: all see what comes.
    let seq = daemon.deliver(flag("c", true));
    for reader in &mut readers {
        assert_eq!(next(reader).0, seq);
    }
    readers.pop();
    assert_eq!(next(&mut waiting).0, seq);
}
