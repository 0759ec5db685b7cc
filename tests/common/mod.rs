//! Starts the real binary in a temporary folder on free ports and speaks to its doors.
//!
//! Nothing here waits for a time to pass: a start waits for the ready file or the child's end, an effect is read with
//! `minSeq`. The only pause is inside `poll` of place.rs, which is bounded. A daemon is killed when its handle is dropped;
//! if the test failed, its log is printed.

// Each test file is a crate of its own and uses its part of this.
#![allow(dead_code)]

pub mod bodies;
pub mod http;
pub mod place;
pub mod rig;
pub mod story;
pub mod upstream;

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;
use serde_json::value::RawValue;

use bodies::Body;
use http::{Answer, Client};
pub use place::Place;
use place::{EXIT_LIMIT, assert_calm, poll};

const START_LIMIT: Duration = Duration::from_secs(30);

/// A running daemon and its doors.
pub struct Daemon {
    place: Place,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    child: Option<Child>,
    doors: Value,
}

impl Daemon {
    /// Without any configuration, on free ports.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_in(Place::new())
    }

    #[track_caller]
    pub fn start_in(place: Place) -> Self {
        let arguments = place.serve_arguments();
        Self::start_as(place, arguments)
    }

    /// With a configuration file, written by the closure from the place it stands in.
    #[track_caller]
    pub fn configured(write: impl FnOnce(&Place) -> String) -> Self {
        let place = Place::new();
        let text = write(&place);
        let config = place.file("config.toml", text);
        let mut arguments = place.serve_arguments();
        arguments.extend(["--config".to_owned(), config.display().to_string()]);
        Self::start_as(place, arguments)
    }

    #[track_caller]
    pub fn start_as(place: Place, arguments: Vec<String>) -> Self {
        Self::start_with_env(place, arguments, &[])
    }

    /// With variables beside HOME and PATH, as a service manager would set them.
    #[track_caller]
    pub fn start_with_env(
        place: Place,
        arguments: Vec<String>,
        environment: &[(&str, &str)],
    ) -> Self {
        let mut daemon = Self {
            place,
            arguments,
            environment: environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            child: None,
            doors: Value::Null,
        };
        daemon.start_again();
        daemon
    }

    /// Starts it on the same data directory after `stop` or `kill`.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "it still runs");
        let ready = self.place.path().join("ready.json");
        let _ = fs::remove_file(&ready);
        let log = |name| {
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(self.place.path().join(name))
                .expect("a log file")
        };
        let mut command = self.place.command();
        command.args(&self.arguments);
        command.envs(self.environment.iter().cloned());
        command.stdout(log("stdout.log")).stderr(log("stderr.log"));
        self.child = Some(command.spawn().expect("the binary starts"));
        let child = self.child.as_mut().expect("a child");
        let started = poll("the ready file", START_LIMIT, || {
            if let Some(status) = child.try_wait().expect("a status") {
                return Some(Err(status));
            }
            ready.exists().then_some(Ok(()))
        });
        if let Err(status) = started {
            self.child = None;
            panic!("the daemon ended at its start ({status}):\n{}", self.log());
        }
        let bytes = fs::read(&ready).expect("the ready file");
        self.doors = serde_json::from_slice(&bytes).expect("JSON in the ready file");
    }

    /// The process, while it runs.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    pub fn data(&self) -> PathBuf {
        self.place.data()
    }

    pub fn doors(&self) -> &Value {
        &self.doors
    }

    #[track_caller]
    pub fn address(&self, door: &str) -> SocketAddr {
        self.doors[door]
            .as_str()
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| panic!("no address of {door} in {}", self.doors))
    }

    /// The secret that the daemon made for itself.
    #[track_caller]
    pub fn secret(&self) -> String {
        let text = fs::read_to_string(self.data().join("webhook-secret")).expect("webhook-secret");
        text.lines().next().unwrap_or_default().trim().to_owned()
    }

    /// A connection of its own to the ingest door.
    pub fn sender(&self) -> Client {
        Client::tcp(self.address("ingest"))
    }

    /// A connection of its own to the query door.
    pub fn reader(&self) -> Client {
        Client::tcp(self.address("query"))
    }

    /// A connection of its own to the gateway.
    pub fn app(&self) -> Client {
        Client::tcp(self.address("gateway"))
    }

    /// A connection of its own to the control door.
    pub fn controller(&self) -> Client {
        Client::unix(&self.place.control())
    }

    pub fn webhook_path(&self) -> String {
        format!("/webhooks/waldo/{}", self.secret())
    }

    /// Posts a body as Waldo would, with the secret in the path.
    #[track_caller]
    pub fn post(&self, body: impl Body) -> Answer {
        self.post_to(&self.webhook_path(), &[], body)
    }

    #[track_caller]
    pub fn post_to(&self, path: &str, headers: &[(&str, &str)], body: impl Body) -> Answer {
        self.sender()
            .call("POST", path, headers, Some(&body.bytes()))
            .unwrap_or_else(|error| panic!("POST: {error}"))
    }

    /// Posts a body that must be acknowledged; its seq.
    #[track_caller]
    pub fn deliver(&self, body: impl Body) -> u64 {
        self.post(body).seq()
    }

    #[track_caller]
    pub fn get(&self, target: &str) -> Answer {
        self.reader().get(target)
    }

    /// Reads once this seq is visible.
    #[track_caller]
    pub fn get_at(&self, target: &str, min_seq: u64) -> Answer {
        let join = if target.contains('?') { '&' } else { '?' };
        let answer = self.get(&format!("{target}{join}minSeq={min_seq}"));
        assert_ne!(answer.status, 503, "not visible: {}", answer.text());
        answer
    }

    /// The items of a list of which every page is asked for, `limit` at a time.
    #[track_caller]
    pub fn all(&self, target: &str, limit: usize) -> Vec<Value> {
        let join = if target.contains('?') { '&' } else { '?' };
        let first = format!("{target}{join}limit={limit}");
        let mut reader = self.reader();
        let mut items = Vec::new();
        let mut page = reader.get(&first);
        loop {
            assert_eq!(page.status, 200, "{first}: {}", page.text());
            let part = page.items();
            assert!(part.len() <= limit, "{} items of {limit}", part.len());
            items.extend(part);
            let json = page.json();
            let Some(next) = json["next"].as_str() else {
                assert!(json["next"].is_null(), "a cursor is text: {json}");
                return items;
            };
            assert!(items.len() < 100_000, "paging never ends");
            page = reader.get(&format!("{first}&cursor={}", http::percent(next)));
        }
    }

    /// The event without its payload: that stays out because not every JSON text fits into a `Value`.
    #[track_caller]
    pub fn event(&self, seq: u64) -> Value {
        let answer = self.get_at(&format!("/v1/events/{seq}"), seq);
        assert_eq!(answer.status, 200, "event {seq}: {}", answer.text());
        without_payload(&answer.body)
    }

    /// The bytes of an event's body.
    #[track_caller]
    pub fn payload(&self, seq: u64) -> Vec<u8> {
        let answer = self.get_at(&format!("/v1/events/{seq}/payload"), seq);
        assert_eq!(answer.status, 200, "payload {seq}: {}", answer.text());
        answer.body
    }

    /// Everything it wrote on stdout and stderr since its first start.
    pub fn log(&self) -> String {
        ["stdout.log", "stderr.log"]
            .iter()
            .filter_map(|name| fs::read(self.place.path().join(name)).ok())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .collect()
    }

    /// The most memory that it ever had in use, in KiB.
    #[track_caller]
    pub fn peak_memory_kib(&self) -> i64 {
        let id = self.child.as_ref().expect("it runs").id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("its status");
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok())
            .expect("VmHWM")
    }

    /// SIGTERM; it must drain and end with 0.
    #[track_caller]
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -TERM {}", child.id())])
            .status()
            .expect("a shell");
        assert!(sent.success(), "SIGTERM could not be sent");
        let end = Instant::now() + EXIT_LIMIT;
        let status = poll("a clean stop", EXIT_LIMIT * 2, || {
            if Instant::now() > end {
                child.kill().expect("a kill");
            }
            child.try_wait().expect("a status")
        });
        assert_eq!(status.code(), Some(0), "{status}:\n{}", self.log());
        assert_calm(&self.log());
    }

    /// Waits for an end that nobody asked for, and gives its exit code.
    #[track_caller]
    pub fn wait(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it runs");
        let status = poll("an end", EXIT_LIMIT, || child.try_wait().expect("a status"));
        status.code()
    }

    /// SIGKILL.
    #[track_caller]
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("a kill");
        child.wait().expect("a status");
    }

    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of the daemon ---\n{}---", self.log());
        }
    }
}

/// An event of the query door, its payload left out.
#[track_caller]
pub fn without_payload(bytes: &[u8]) -> Value {
    type Members = std::collections::BTreeMap<String, Box<RawValue>>;
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    let members: Members =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("no object ({error}): {text}"));
    members
        .into_iter()
        .filter(|(name, _)| name != "payload")
        .map(|(name, raw)| {
            let value = serde_json::from_str(raw.get()).expect("JSON");
            (name, value)
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The permission bits of a file or folder.
#[track_caller]
pub fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    let data = fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    data.permissions().mode() & 0o777
}
