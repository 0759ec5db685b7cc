//! What apps tell of their own calls to Waldo, and the gateway and the reconciler of Waldo's answers: each becomes an
//! event, and is answered when that is durable.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use warp::reply::Response as Reply;

use super::{Control, bad, parse};
use crate::domain::answer::{self, Beside, Call};
use crate::domain::payload::MAX_CONTEXT_BYTES;
use crate::domain::{Operation, Seq, Source, State};
use crate::http::reply::{Problem, SEQ_HEADER, json_bytes};
use crate::store::Registration;

/// Bytes of an id or a word; the ids that Waldo gives have 10 and 24.
const MAX_WORD_BYTES: usize = 1024;
/// Evaluation types that one request may wait for.
const MAX_EXPECTS: usize = 16;
/// The latest deadline, in seconds: a hundred years.
const MAX_DEADLINE_SECONDS: u64 = 100 * 366 * 24 * 3600;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RegisterBody {
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AnswerBody {
    source: Source,
    path: String,
    status: u16,
    answer: Box<RawValue>,
    #[serde(default)]
    flag_noted: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FlagBody {
    customer_id: String,
    flag: bool,
    #[serde(default)]
    withdrawn: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SettleBody {
    state: State,
    note: Option<String>,
}

impl Control {
    pub(super) async fn register(&self, body: &[u8]) -> Result<Reply, Problem> {
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
        Ok(kept(status, registered.seq))
    }

    pub(super) async fn flag(&self, body: &[u8]) -> Result<Reply, Problem> {
        let body: FlagBody = parse(body)?;
        if !is_word(&body.customer_id) {
            return Err(bad(format!(
                "customerId: expected 1 to {MAX_WORD_BYTES} bytes"
            )));
        }
        let seq = self
            .store
            .note_flag_call(&body.customer_id, body.flag, body.withdrawn)
            .await?;
        Ok(kept(StatusCode::OK, seq))
    }

    pub(super) async fn answer(&self, body: &[u8]) -> Result<Reply, Problem> {
        let body: AnswerBody = parse(body)?;
        if !matches!(body.source, Source::Gateway | Source::Poll) {
            return Err(bad("source: expected gateway or poll"));
        }
        if !(200..300).contains(&body.status) {
            return Err(bad(
                "status: only answers of 200 to 299 say what became of a customer",
            ));
        }
        let call = Call::of_path(&body.path)
            .ok_or_else(|| bad("path: no answer of that call says what became of a customer"))?;
        let is_call = body.source == Source::Gateway && call != Call::Customer;
        let beside = Beside {
            deadline_seconds: is_call.then(|| self.deadline.as_secs().max(1)),
            flag_noted: call == Call::Flag && body.flag_noted,
        };
        let outcome = answer::outcome(call, &body.answer, beside)
            .map_err(|why| bad(format!("answer: {why}")))?;
        let seq = self.store.record_answer(body.source, outcome).await?;
        Ok(kept(StatusCode::OK, seq))
    }

    pub(super) async fn settle(&self, id: &str, body: &[u8]) -> Result<Reply, Problem> {
        let body: SettleBody = parse(body)?;
        if !body.state.is_settled() {
            return Err(bad("state: expected completed or failed"));
        }
        let settled = self
            .store
            .settle(id, body.state, body.note.as_deref())
            .await?;
        let seq = settled.ok_or_else(|| Problem::not_found("no such request is known"))?;
        Ok(kept(StatusCode::OK, seq))
    }
}

/// What was told is kept.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Kept {
    /// The event that was made of it.
    seq: Seq,
}

fn kept(status: StatusCode, seq: Seq) -> Reply {
    let mut reply = json_bytes(status, &Kept { seq });
    reply.headers_mut().insert(SEQ_HEADER, seq.0.into());
    reply
}

pub(super) fn is_word(text: &str) -> bool {
    (1..=MAX_WORD_BYTES).contains(&text.len())
}
