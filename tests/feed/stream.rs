//! The feed as Server-Sent Events.

use crate::common::Daemon;
use crate::common::bodies::*;
use crate::common::http::{Client, request};

/// Opens the stream and leaves its head behind.
pub fn open(daemon: &Daemon, target: &str, headers: &[(&str, &str)]) -> Client {
    let mut client = daemon.reader();
    client.send(&request("GET", target, headers, None)).unwrap();
    let status = client.line().unwrap();
    assert!(status.contains(" 200 "), "{status}");
    let mut kind = String::new();
    loop {
        let line = client.line().unwrap().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-type:") {
            kind = value.trim().to_owned();
        }
    }
    assert!(kind.starts_with("text/event-stream"), "{kind}");
    client
}

/// The next event's id and name. It ends with an empty line, whatever the order of its lines; comments and the chunks'
/// sizes are passed over.
pub fn next(client: &mut Client) -> (u64, String) {
    try_next(client).expect("the stream goes on")
}

/// The same, or nothing when the stream has ended.
pub fn try_next(client: &mut Client) -> Option<(u64, String)> {
    let (mut id, mut name, mut data) = (None, None, false);
    loop {
        let line = client.line().ok()?;
        if let Some(value) = line.strip_prefix("id:") {
            id = value.trim().parse().ok();
        } else if let Some(value) = line.strip_prefix("event:") {
            name = Some(value.trim().to_owned());
        } else if line.starts_with("data:") {
            data = true;
        }
        if let (true, Some(id), Some(name)) = (data, id, name.clone()) {
            return Some((id, name));
        }
    }
}

#[test]
fn stream_gives_what_is_there_and_what_comes() {
    let daemon = Daemon::start();
    let first = daemon.deliver(flag("c", true));
    let mut client = open(&daemon, "/v1/events/stream?after=0", &[]);
    assert_eq!(next(&mut client), (first, "flag".to_owned()));
    let second = daemon.deliver(onboard("c", "APPROVED", "PASSED"));
    assert_eq!(next(&mut client), (second, "onboard".to_owned()));
}

#[test]
fn stream_resumes_after_the_last_event_id() {
    let daemon = Daemon::start();
    let first = daemon.deliver(flag("c", true));
    let second = daemon.deliver(flag("c", false));
    let last = first.to_string();
    let mut client = open(&daemon, "/v1/events/stream", &[("last-event-id", &last)]);
    assert_eq!(next(&mut client).0, second);
}

#[test]
fn stream_catches_a_late_reader_up_and_skips_nothing() {
    let daemon = Daemon::start();
    let mut client = open(&daemon, "/v1/events/stream?after=0", &[]);
    let sent: Vec<u64> = (0..500)
        .map(|turn| daemon.deliver(flag("c", turn % 2 == 0)))
        .collect();
    for seq in sent {
        assert_eq!(next(&mut client).0, seq);
    }
}
