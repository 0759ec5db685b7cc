#![allow(dead_code, reason = "each target uses its part")]
//! A store in a folder of its own and a door's routes over it, asked without a socket.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};
use tower_service::Service;
use waldo_syncd::clock::now;
use waldo_syncd::domain::{Digest, Seq, Source};
use waldo_syncd::door::{Hosts, Routes};
use waldo_syncd::http::errands::Errands;
use waldo_syncd::http::{Control, MAX_WAITING, Query, Room, control_routes, query_routes};
use waldo_syncd::metrics::Metrics;
use waldo_syncd::store::{Delivery, Options, Store, StoreThread};

const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(60);

/// Both doors over one store.
pub struct Place {
    pub runtime: Runtime,
    pub store: Store,
    pub query: Routes,
    pub control: Routes,
    thread: Option<StoreThread>,
    _stop: watch::Sender<bool>,
    _directory: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let directory = tempfile::tempdir().expect("a folder");
        let (store, thread) = Store::open(Options {
            directory: directory.path().to_owned(),
            queue_events: 1000,
            queue_bytes: 1 << 24,
            max_lag: 1000,
            clock: now,
        })
        .expect("a store");
        // As at a stop: nobody waits for news.
        let (stop, stopped) = watch::channel(true);
        let errands = Arc::new(Errands::numbered_after(0));
        let query = query_routes(Arc::new(Query {
            store: store.clone(),
            metrics: Arc::new(Metrics::default()),
            tokens: None,
            hosts: Hosts::default(),
            cors_origins: Vec::new(),
            give_up_after: Duration::from_secs(7 * 24 * 3600),
            errands: Arc::clone(&errands),
            silence_after: Duration::from_secs(1800),
            queue_limits: (1000, 1 << 24),
            answer_room: Room::for_answers(),
            event_room: Room::for_events(),
            stop: stopped.clone(),
        }));
        let control = control_routes(
            Arc::new(Control {
                store: store.clone(),
                errands,
                deadline: Duration::from_secs(900),
                body_timeout: Duration::from_secs(10),
                waiting: Semaphore::new(MAX_WAITING),
                stop: stopped,
            }),
            query.clone(),
        );
        Self {
            runtime,
            store,
            query,
            control,
            thread: Some(thread),
            _stop: stop,
            _directory: directory,
        }
    }

    /// Keeps a body, and waits until its effects are in the rows.
    pub fn append(&self, source: Source, body: &[u8]) -> Seq {
        self.runtime.block_on(async {
            let delivery = Delivery {
                source,
                body: Bytes::copy_from_slice(body),
                size: body.len() as u64,
                digest: Digest::of(body),
            };
            let seq = self.store.append(delivery).await.expect("an append");
            self.store
                .wait_projected(seq, CAUGHT_UP_WITHIN)
                .await
                .expect("it is folded");
            seq
        })
    }

    /// Asks a door; `None` where the request could not be sent at all.
    pub fn ask(&self, routes: &Routes, method: &str, target: &str, body: &[u8]) -> Option<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", "localhost")
            .body(Full::new(Bytes::copy_from_slice(body)))
            .ok()?;
        self.runtime.block_on(async {
            let mut service = warp::service(routes.clone());
            let Ok(response) = service.call(request).await;
            let (head, body) = Response::into_parts(response);
            let body = body.collect().await.expect("an answer's body").to_bytes();
            Some(Answer {
                status: head.status,
                kind: head
                    .headers
                    .get("content-type")
                    .map(|kind| kind.to_str().expect("text").to_owned()),
                body,
            })
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.stop(&self.store);
        }
    }
}

/// What a door said.
pub struct Answer {
    pub status: StatusCode,
    pub kind: Option<String>,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the answer is JSON")
    }

    /// Errors are problem+json, whose members agree with the answer; and nothing is the server's fault.
    pub fn check(&self, asked: &str) {
        let text = String::from_utf8_lossy(&self.body);
        let blame = [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::BAD_GATEWAY];
        assert!(!blame.contains(&self.status), "{asked}: {text}");
        if self.status.is_client_error() || self.status.is_server_error() {
            assert_eq!(
                self.kind.as_deref(),
                Some("application/problem+json"),
                "{asked}: {text}"
            );
            let problem = self.json();
            assert_eq!(problem["status"], self.status.as_u16(), "{asked}");
            for member in ["title", "detail", "code"] {
                assert!(
                    problem[member]
                        .as_str()
                        .is_some_and(|text| !text.is_empty()),
                    "{asked}: {problem}"
                );
            }
        }
    }
}
