//! Ids that are asked for, drawn evenly from the whole log by the daemon's own answers; and the other side of the
//! comparison, which has customers in a map in memory behind the same door.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use waldo_syncd::door::{Peer, Problem, problem};
use warp::Filter as _;
use warp::reply::Response as Reply;

use crate::common::Result;
use crate::load::Requests;
use crate::servers::{Server, get, serve, stat};

/// The argument with which this benchmark starts itself as the server that has customers in memory.
pub const ANSWER_FROM_MAP: &str = "--answer-from-map";
/// Places in the log at which ids are taken, and how many at each.
const PLACES: u64 = 1000;
const AT_EACH: u64 = 20;

/// Requests for things that are there.
pub struct Sample {
    pub customers: Arc<Vec<Vec<u8>>>,
    pub requests: Arc<Vec<Vec<u8>>>,
    pub events: Arc<Vec<Vec<u8>>>,
    /// Ids of customers.
    ids: Vec<String>,
}

impl Sample {
    pub fn of(daemon: &Server) -> Result<Self> {
        let query = daemon.query.ok_or("no query door")?;
        let end = stat(query, "projectedSeq")?;
        let mut sample = [Vec::new(), Vec::new(), Vec::new()];
        let [ids, requests, events] = &mut sample;
        for place in 0..PLACES.min(end) {
            let after = place * end.saturating_sub(AT_EACH) / PLACES;
            let page = get(query, &format!("/v1/events?after={after}&limit={AT_EACH}"))?;
            let page: Value = serde_json::from_str(&page)?;
            for event in page
                .get("items")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let text = |name| event.get(name).and_then(Value::as_str).map(str::to_owned);
                ids.extend(text("customerId"));
                requests.extend(text("requestId"));
                events.extend(event.get("seq").map(ToString::to_string));
            }
        }
        let [ids, requests, events] = sample;
        Ok(Self {
            customers: asking_for("/v1/customers/", &ids),
            requests: asking_for("/v1/requests/", &requests),
            events: asking_for("/v1/events/", &events),
            ids,
        })
    }

    /// The server that answers the same requests for customers from memory, with what the daemon answers now.
    pub fn in_memory(&self, daemon: &Server, folder: &Path) -> Result<Server> {
        let query = daemon.query.ok_or("no query door")?;
        let mut lines = String::new();
        for id in &self.ids {
            let body = get(query, &format!("/v1/customers/{id}"))?;
            lines.push_str(&format!("{id}\t{body}\n"));
        }
        let sample = folder.join("customers");
        fs::write(&sample, lines)?;
        let command: Vec<OsString> = vec![
            std::env::current_exe()?.into(),
            ANSWER_FROM_MAP.into(),
            sample.into(),
        ];
        Server::start(folder, "map", command)
    }
}

fn asking_for(path: &str, ids: &[String]) -> Arc<Vec<Vec<u8>>> {
    let request = |id| format!("GET {path}{id} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
    Arc::new(ids.iter().map(request).collect())
}

/// One connection's way through a sample, in an order of chance.
pub struct Drawn(pub Arc<Vec<Vec<u8>>>);

impl Requests for Drawn {
    fn next_request(&mut self) -> &[u8] {
        let at = fastrand::usize(..self.0.len().max(1));
        self.0.get(at).map_or(&[], Vec::as_slice)
    }
}

/// The other process: the daemon's door, its filters and its runtime, and a map instead of a store.
pub fn answer_from_map(sample: &Path, ready: &Path) -> Result<()> {
    let lines = fs::read_to_string(sample)?;
    let customers: HashMap<String, Bytes> = lines
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(id, body)| (id.to_owned(), Bytes::copy_from_slice(body.as_bytes())))
        .collect();
    drop(lines);
    let customers = Arc::new(customers);
    let raw_query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let routes = warp::path!("v1" / "customers" / String)
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(raw_query)
        .and(warp::ext::optional::<Peer>())
        .then(
            move |id: String, _: Method, _: HeaderMap, _: String, _: Option<Peer>| {
                let customers = Arc::clone(&customers);
                async move {
                    match customers.get(&id) {
                        Some(body) => {
                            problem::bytes(StatusCode::OK, "application/json", body.clone())
                        }
                        None => Reply::from(Problem::not_found("no such customer is known")),
                    }
                }
            },
        )
        .boxed();
    serve(ready, "query", routes)
}
