//! The sandbox's own paths: the truth for tests, a person's decisions, and a page for both.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use warp::reply::Response as Reply;

use super::Inner;
use super::api::{Call, Stuff, Trouble};
use super::errors::ApiError;
use super::world::Decision;
use crate::door::page::Asset;
use crate::door::problem::json_bytes;
use crate::door::{BodyLimits, Code, Problem, read_body};

const PAGE: Asset = Asset {
    name: "page.html",
    text: include_str!("page.html"),
};
const SCRIPT: Asset = Asset {
    name: "app.js",
    text: include_str!("app.js"),
};
const STYLE: Asset = Asset {
    name: "app.css",
    text: include_str!("app.css"),
};

/// The longest that `/sandbox/idle` waits, in seconds.
const MAX_WAIT_SECONDS: f64 = 600.0;
/// Bytes of a body.
const MAX_BODY: usize = 4096;
/// For a body to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TroubleBody {
    status: u16,
    retry_after_seconds: Option<u32>,
    #[serde(default = "one")]
    count: u64,
}

const fn one() -> u64 {
    1
}

pub(super) async fn answer(inner: &Arc<Inner>, call: Call) -> Reply {
    match route(inner, call).await {
        Ok(reply) => reply,
        Err(problem) => problem.into(),
    }
}

async fn route(inner: &Arc<Inner>, call: Call) -> Result<Reply, Problem> {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    let reads = matches!(call.method, Method::GET | Method::HEAD);
    let action = matches!(
        path.as_slice(),
        ["sandbox", "customers", _, _] | ["sandbox", "key", _] | ["sandbox", "trouble"]
    );
    if action && call.method != Method::POST {
        return Err(Problem::method_not_allowed("POST"));
    }
    if !action && !reads {
        return Err(Problem::method_not_allowed("GET"));
    }
    let number =
        |name: &str, default: usize| match call.query.iter().find(|(known, _)| known == name) {
            None => Ok(default),
            Some((_, text)) => text
                .parse()
                .map_err(|_| Problem::bad_parameter(name, "expected a number")),
        };
    let ok = |value| Ok(json_bytes(StatusCode::OK, &value));
    match path.as_slice() {
        [""] | ["sandbox"] | ["sandbox", ""] => Ok(PAGE.answer(&call.headers)),
        ["sandbox", "app.js"] => Ok(SCRIPT.answer(&call.headers)),
        ["sandbox", "app.css"] => Ok(STYLE.answer(&call.headers)),
        ["sandbox", "customers"] => ok(inner.world().customers(number("last", usize::MAX)?)),
        ["sandbox", "requests"] => ok(inner.world().requests(number("last", usize::MAX)?)),
        ["sandbox", "deliveries"] => {
            let after = number("after", 0)? as u64;
            ok(inner.world().post.shown(after, number("last", usize::MAX)?))
        }
        ["sandbox", "idle"] => {
            let wait = call.query.iter().find(|(name, _)| name == "wait");
            idle(inner, wait.map_or("0", |(_, text)| text)).await
        }
        ["sandbox", "customers", id, action] => decide(inner, id, action),
        ["sandbox", "key", "revoke"] => {
            inner.revoked.store(true, Ordering::Relaxed);
            ok(json!({"revoked": true}))
        }
        ["sandbox", "key", "restore"] => {
            inner.revoked.store(false, Ordering::Relaxed);
            ok(json!({"revoked": false}))
        }
        ["sandbox", "trouble"] => trouble(inner, call.body).await,
        _ => Err(Problem::not_found("there is no such path")),
    }
}

async fn idle(inner: &Inner, wait: &str) -> Result<Reply, Problem> {
    let seconds = wait
        .parse::<f64>()
        .ok()
        .filter(|seconds| (0.0..=MAX_WAIT_SECONDS).contains(seconds))
        .ok_or_else(|| Problem::bad_parameter("wait", "expected seconds from 0 to 600"))?;
    let settled = async {
        loop {
            let settled = inner.settled.notified();
            tokio::pin!(settled);
            // From here on no word is missed.
            settled.as_mut().enable();
            if inner.world().is_idle() {
                return;
            }
            settled.await;
        }
    };
    match tokio::time::timeout(Duration::from_secs_f64(seconds), settled).await {
        Ok(()) => Ok(json_bytes(StatusCode::OK, &json!({"idle": true}))),
        Err(_) => Err(Problem::new(
            Code::SandboxBusy,
            "evaluations run or webhooks wait",
        )),
    }
}

fn decide(inner: &Inner, id: &str, action: &str) -> Result<Reply, Problem> {
    let decision = match action {
        "approve" => Decision::Approve,
        "reject" => Decision::Reject,
        "review" => Decision::Review,
        "flag" => Decision::Flag,
        "unflag" => Decision::Unflag,
        "check-fraud" => Decision::CheckFraud,
        _ => return Err(Problem::not_found("there is no such path")),
    };
    match inner.with(|world, now| world.decide(id, decision, now)) {
        None => Err(Problem::not_found("no customer has this id")),
        Some(Ok(())) => Ok(json_bytes(StatusCode::OK, &json!({"done": action}))),
        Some(Err(ApiError::Full(why))) => Err(Problem::new(Code::SandboxFull, why)),
        Some(Err(_)) => {
            let why = "its onboarding has not completed";
            Err(Problem::new(Code::Conflict, why))
        }
    }
}

async fn trouble(inner: &Inner, body: Stuff) -> Result<Reply, Problem> {
    let bad = |detail: String| Problem::new(Code::BadRequest, detail);
    let limits = BodyLimits {
        limit: MAX_BODY,
        discard_limit: 0,
        deadline: BODY_TIMEOUT,
    };
    let body = read_body(body, &limits)
        .await
        .map_err(|error| bad(error.to_string()).and_close())?;
    let body: TroubleBody =
        serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
    let status = StatusCode::from_u16(body.status)
        .ok()
        .filter(|status| status.is_client_error() || status.is_server_error())
        .ok_or_else(|| bad("status: expected 400 to 599".to_owned()))?;
    let error = ApiError::Trouble {
        status,
        retry_after_seconds: body.retry_after_seconds,
    };
    let trouble = Trouble {
        error,
        left: body.count,
    };
    let mut asked = inner.trouble.lock().unwrap_or_else(PoisonError::into_inner);
    *asked = Some(trouble);
    Ok(json_bytes(StatusCode::OK, &json!({"count": body.count})))
}
