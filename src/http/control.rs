//! The control door: what local apps tell the daemon about their own calls to Waldo.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use warp::reply::Response as Reply;
use warp::{Filter, Stream};

use super::reply::{Problem, SEQ_HEADER, json_bytes};
use crate::domain::payload::MAX_CONTEXT_BYTES;
use crate::domain::{Operation, Seq, State};
use crate::door::{BodyError, BodyLimits, Peer, Routes, read_body};
use crate::store::{Registration, Store};

/// Bytes of a body that an app may send here.
const MAX_BODY: usize = 64 * 1024;
/// Bytes of an id or a word; the ids that Waldo gives have 10 and 24.
const MAX_WORD_BYTES: usize = 1024;
/// Evaluation types that one request may wait for.
const MAX_EXPECTS: usize = 16;
/// The latest deadline, in seconds: a hundred years.
const MAX_DEADLINE_SECONDS: u64 = 100 * 366 * 24 * 3600;

/// What the control door needs.
#[derive(Debug)]
pub struct Control {
    /// Where facts go.
    pub store: Store,
    /// When an outcome is due where the app does not say.
    pub deadline: Duration,
    /// How long a body may take.
    pub body_timeout: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RegisterBody {
    request_id: String,
    operation: Operation,
    customer_id: Option<String>,
    external_id: Option<String>,
    #[serde(default)]
    expects: Vec<String>,
    context: Option<Box<RawValue>>,
    deadline_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FlagBody {
    customer_id: String,
    flag: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SettleBody {
    state: State,
    note: Option<String>,
}

/// The routes of the door.
pub fn routes(control: Arc<Control>) -> Routes {
    let v1 = || warp::path("v1");
    let register = warp::path("requests")
        .and(warp::path::end())
        .map(String::new);
    let register = route(
        &control,
        v1().and(register),
        |control, _, body| async move { control.register(&body).await },
    );
    let settle = warp::path("requests")
        .and(warp::path::param())
        .and(warp::path("settle"))
        .and(warp::path::end());
    let settle = route(&control, v1().and(settle), |control, id, body| async move {
        control.settle(&id, &body).await
    });
    let flag = warp::path("flags").and(warp::path::end()).map(String::new);
    let flag = route(&control, v1().and(flag), |control, _, body| async move {
        control.flag(&body).await
    });
    let resync = warp::path("resync").and(warp::path::end()).map(String::new);
    let resync = route(&control, v1().and(resync), |_, _, _| async {
        let why = "no outbound process is connected that could ask Waldo";
        Err(Problem::unavailable("no_outbound", why))
    });
    let nothing = warp::any().map(|| Reply::from(Problem::not_found("there is no such path")));
    register
        .or(settle)
        .unify()
        .or(flag)
        .unify()
        .or(resync)
        .unify()
        .or(nothing)
        .unify()
        .boxed()
}

fn route<P, H, F>(control: &Arc<Control>, path: P, handler: H) -> Routes
where
    P: Filter<Extract = (String,), Error = warp::Rejection> + Clone + Send + Sync + 'static,
    H: Fn(Arc<Control>, String, Bytes) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<(StatusCode, Seq), Problem>> + Send,
{
    let control = Arc::clone(control);
    path.and(warp::method())
        .and(warp::path::full())
        .and(warp::ext::optional::<Peer>())
        .and(warp::body::stream())
        .then(
            move |id: String,
                  method: Method,
                  path: warp::path::FullPath,
                  peer: Option<Peer>,
                  body| {
                let (control, handler) = (Arc::clone(&control), handler.clone());
                async move {
                    let result = async {
                        if method != Method::POST {
                            return Err(Problem::method_not_allowed("POST"));
                        }
                        let id = percent_decode_str(&id).decode_utf8_lossy().into_owned();
                        handler(Arc::clone(&control), id, control.read(body).await?).await
                    };
                    answer(result.await, path.as_str(), peer.as_ref())
                }
            },
        )
        .boxed()
}

fn answer(result: Result<(StatusCode, Seq), Problem>, path: &str, peer: Option<&Peer>) -> Reply {
    let status = match &result {
        Ok((status, _)) => *status,
        Err(problem) => problem.status(),
    };
    // The path's last word is ours; an id may stand before it, and is not for the log.
    let what = path.rsplit('/').next().unwrap_or_default();
    match peer.and_then(|peer| peer.credentials) {
        Some(who) => {
            let pid = who
                .pid
                .map_or_else(|| "?".to_owned(), |pid| pid.to_string());
            log::info!(
                "control: {what} by uid {} gid {} pid {pid}: {status}",
                who.uid,
                who.gid
            );
        }
        None => log::info!("control: {what}: {status}"),
    }
    match result {
        Ok((status, seq)) => {
            let mut reply = json_bytes(status, &serde_json::json!({ "seq": seq }));
            reply.headers_mut().insert(SEQ_HEADER, seq.0.into());
            reply
        }
        Err(problem) => problem.into(),
    }
}

impl Control {
    async fn read<S, B>(&self, body: S) -> Result<Bytes, Problem>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf,
    {
        let limits = BodyLimits {
            limit: MAX_BODY,
            discard_limit: MAX_BODY as u64,
            deadline: self.body_timeout,
        };
        read_body(body, &limits).await.map_err(|error| match error {
            BodyError::TooLarge { .. } => Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload_too_large",
                format!("the body is larger than {MAX_BODY} bytes"),
            ),
            BodyError::Timeout => Problem::request_timeout(),
            BodyError::Broken => bad("the body ended early").and_close(),
        })
    }

    async fn register(&self, body: &[u8]) -> Result<(StatusCode, Seq), Problem> {
        let body: RegisterBody = parse(body)?;
        let ids = [
            Some(&body.request_id),
            body.customer_id.as_ref(),
            body.external_id.as_ref(),
        ];
        if ids
            .into_iter()
            .flatten()
            .chain(&body.expects)
            .any(|word| !is_word(word))
        {
            return Err(bad(format!(
                "ids and types have 1 to {MAX_WORD_BYTES} bytes"
            )));
        }
        if body.expects.len() > MAX_EXPECTS {
            return Err(bad(format!("expects: at most {MAX_EXPECTS} types")));
        }
        if body
            .context
            .as_ref()
            .is_some_and(|context| context.get().len() > MAX_CONTEXT_BYTES)
        {
            return Err(bad(format!("context: at most {MAX_CONTEXT_BYTES} bytes")));
        }
        let seconds = body.deadline_seconds.unwrap_or(self.deadline.as_secs());
        if !(1..=MAX_DEADLINE_SECONDS).contains(&seconds) {
            return Err(bad(format!(
                "deadlineSeconds: expected 1 to {MAX_DEADLINE_SECONDS}"
            )));
        }
        let registered = self
            .store
            .register(Registration {
                request_id: body.request_id,
                operation: body.operation,
                customer_id: body.customer_id,
                external_id: body.external_id,
                expects: body.expects,
                context: body.context,
                deadline: Duration::from_secs(seconds),
            })
            .await?;
        let status = if registered.new {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        Ok((status, registered.seq))
    }

    async fn flag(&self, body: &[u8]) -> Result<(StatusCode, Seq), Problem> {
        let body: FlagBody = parse(body)?;
        if !is_word(&body.customer_id) {
            return Err(bad(format!(
                "customerId: expected 1 to {MAX_WORD_BYTES} bytes"
            )));
        }
        Ok((
            StatusCode::OK,
            self.store
                .note_flag_call(&body.customer_id, body.flag)
                .await?,
        ))
    }

    async fn settle(&self, id: &str, body: &[u8]) -> Result<(StatusCode, Seq), Problem> {
        let body: SettleBody = parse(body)?;
        if !body.state.is_settled() {
            return Err(bad("state: expected completed or failed"));
        }
        let settled = self
            .store
            .settle(id, body.state, body.note.as_deref())
            .await?;
        let seq = settled.ok_or_else(|| Problem::not_found("no such request is known"))?;
        Ok((StatusCode::OK, seq))
    }
}

fn is_word(text: &str) -> bool {
    (1..=MAX_WORD_BYTES).contains(&text.len())
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_request", detail)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| bad(format!("the body is not as expected: {error}")))
}
