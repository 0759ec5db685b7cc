//! Waldo's documented API, and the way to the sandbox's own paths.

use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::{Stream, TryStreamExt as _};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};
use warp::Filter as _;
use warp::reply::Response as Reply;

use super::customer::Person;
use super::errors::ApiError;
use super::words::Cause;
use super::world::Onboarding;
use super::{Inner, dashboard, document};
use crate::door::problem::json_bytes;
use crate::door::{
    BodyError, BodyLimits, Code, Hosts, Peer, Problem, Routes, is_foreign, read_body,
};

/// Bytes of a JSON body.
const MAX_JSON_BYTES: usize = 64 * 1024;
/// Bytes of each text that is kept of a customer.
const MAX_TEXT_BYTES: usize = 1024;
/// For a JSON body to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What any body stream is turned into, so that handlers are not generic.
pub(super) type Stuff = Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send>>;

/// How the next calls are answered instead.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) error: ApiError,
    pub(super) left: u64,
}

/// A request, whoever answers it.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) peer: Option<Peer>,
    pub(super) body: Stuff,
}

pub(super) fn routes(inner: Arc<Inner>, hosts: Hosts) -> Routes {
    let hosts = Arc::new(hosts);
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Peer>())
        .and(warp::body::stream())
        .then(
            move |method, path: warp::path::FullPath, query: String, headers, peer, body| {
                let (inner, hosts) = (Arc::clone(&inner), Arc::clone(&hosts));
                let call = Call {
                    method,
                    path: segments(path.as_str()),
                    query: form_urlencoded::parse(query.as_bytes())
                        .into_owned()
                        .collect(),
                    headers,
                    peer,
                    body: Box::pin(stream(body)),
                };
                async move { answer(&inner, &hosts, call).await }
            },
        )
        .boxed()
}

fn stream<S, B>(body: S) -> impl Stream<Item = Result<Bytes, warp::Error>> + Send
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf,
{
    body.map_ok(|mut part| part.copy_to_bytes(part.remaining()))
}

fn segments(path: &str) -> Vec<String> {
    path.split('/')
        .skip(1)
        .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect()
}

async fn answer(inner: &Arc<Inner>, hosts: &Hosts, call: Call) -> Reply {
    if !hosts.include(&call.headers, call.peer.as_ref()) {
        let why = "this door does not answer for that host name";
        return Problem::new(Code::MisdirectedRequest, why).into();
    }
    if !matches!(call.method, Method::GET | Method::HEAD) && is_foreign(&call.headers) {
        let why = "pages of other sites may not call this door";
        return Problem::new(Code::ForeignOrigin, why).into();
    }
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    if matches!(path.as_slice(), [""] | ["sandbox", ..]) {
        return dashboard::answer(inner, call).await;
    }
    match api(inner, call).await {
        Ok(reply) => reply,
        Err(error) => error.into(),
    }
}

async fn api(inner: &Inner, call: Call) -> Result<Reply, ApiError> {
    trouble(inner)?;
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    let method = match path.as_slice() {
        ["authenticate" | "onboard" | "check-fraud" | "document" | "flag"] => Method::POST,
        ["customer"] | ["history", "kyc" | "fraud", _] => Method::GET,
        _ => return Err(ApiError::NoPath),
    };
    if call.method != method {
        return Err(ApiError::NoMethod);
    }
    if let ["authenticate"] = path.as_slice() {
        let body = json_body(call.body).await;
        return authenticate(inner, body.unwrap_or_default());
    }
    authorize(inner, &call.headers)?;
    let answer = match path.as_slice() {
        ["onboard"] => onboard(inner, json_body(call.body).await?),
        ["check-fraud"] => check_fraud(inner, &json_body(call.body).await?),
        ["document"] => {
            let kind = call.headers.get(CONTENT_TYPE);
            let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            document::take(inner, kind, call.body).await
        }
        ["flag"] => flag(inner, &json_body(call.body).await?),
        ["customer"] => find(inner, &call.query),
        ["history", "kyc", id] => {
            let world = inner.world();
            let history = world.customer(id).and_then(|known| known.kyc_history());
            history.ok_or(ApiError::NotFound)
        }
        ["history", _, id] => {
            let world = inner.world();
            let history = world.customer(id).and_then(|known| known.fraud_history());
            history.ok_or(ApiError::NotFound)
        }
        _ => Err(ApiError::NoPath),
    }?;
    let mut reply = json_bytes(StatusCode::OK, &answer);
    // Every successful answer renews the token.
    let token = inner.tokens.make(crate::clock::now());
    if let Ok(value) = HeaderValue::from_str(&format!("Bearer {token}")) {
        reply.headers_mut().insert(AUTHORIZATION, value);
    }
    Ok(reply)
}

fn trouble(inner: &Inner) -> Result<(), ApiError> {
    let mut trouble = inner.trouble.lock().unwrap_or_else(PoisonError::into_inner);
    match trouble.as_mut() {
        Some(asked) if asked.left > 0 => {
            asked.left -= 1;
            Err(asked.error.clone())
        }
        _ => Ok(()),
    }
}

fn authorize(inner: &Inner, headers: &HeaderMap) -> Result<(), ApiError> {
    let given = headers.get(AUTHORIZATION).ok_or(ApiError::NoHeader)?;
    if inner.is_revoked() {
        return Err(ApiError::KeyRevoked);
    }
    let token = given.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then_some(token.trim())
    });
    match token {
        Some(token) if inner.tokens.is_valid(token, crate::clock::now()) => Ok(()),
        _ => Err(ApiError::InvalidToken),
    }
}

fn authenticate(inner: &Inner, body: Value) -> Result<Reply, ApiError> {
    let text = |name: &str| {
        body.get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .ok_or(ApiError::MissingParameters)
    };
    let (key, secret) = (text("apiKey")?, text("clientSecret")?);
    if key != inner.options.api_key || secret != inner.options.client_secret {
        return Err(ApiError::InvalidApiKey);
    }
    if inner.is_revoked() {
        return Err(ApiError::KeyRevoked);
    }
    let token = inner.tokens.make(crate::clock::now());
    Ok(json_bytes(StatusCode::OK, &json!({ "token": token })))
}

async fn json_body(body: Stuff) -> Result<Value, ApiError> {
    let limits = BodyLimits {
        limit: MAX_JSON_BYTES,
        discard_limit: MAX_JSON_BYTES as u64,
        deadline: BODY_TIMEOUT,
    };
    let bytes = read_body(body, &limits)
        .await
        .map_err(|error| match error {
            BodyError::TooLarge { .. } => ApiError::TooLarge("The body is over 64 KiB"),
            BodyError::Timeout | BodyError::Broken => ApiError::InvalidData("body".to_owned()),
        })?;
    match serde_json::from_slice(&bytes) {
        Ok(value @ Value::Object(_)) => Ok(value),
        _ => Err(ApiError::InvalidData("body".to_owned())),
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    include_fraud_check: Option<bool>,
    #[serde(rename = "useExpressKYC")]
    use_express_kyc: Option<bool>,
}

/// Fields that have to be there, in the order in which they are asked for.
const REQUIRED: [&str; 9] = [
    "firstName",
    "lastName",
    "email",
    "phone",
    "address",
    "city",
    "state",
    "zipCode",
    "dob",
];

fn onboard(inner: &Inner, body: Value) -> Result<Value, ApiError> {
    let bad = |field: &str| ApiError::InvalidData(field.to_owned());
    for field in REQUIRED {
        let value = body.get(field).and_then(Value::as_str);
        if value.is_none_or(str::is_empty) {
            return Err(bad(field));
        }
    }
    let born: Option<jiff::civil::Date> = body
        .get("dob")
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok());
    if born.is_none() {
        return Err(bad("dob"));
    }
    // Tables say entityId, samples say externalId.
    let external_id = ["externalId", "entityId"]
        .iter()
        .find_map(|name| body.get(name).and_then(Value::as_str))
        .unwrap_or_default()
        .to_owned();
    let mut asked = match body.get("options") {
        None | Some(Value::Null) => Asked::default(),
        Some(options) => Asked::deserialize(options).map_err(|_| bad("options"))?,
    };
    if asked.include_fraud_check.is_none() {
        // The older place; the answer of that version does not echo it, this one may.
        asked.include_fraud_check = body.get("includeFraudCheck").and_then(Value::as_bool);
    }
    let long = |value: &Value| {
        value
            .as_str()
            .is_some_and(|text| text.len() > MAX_TEXT_BYTES)
    };
    let texts = body.as_object().into_iter().flatten();
    let inside = body.get("officialId").and_then(Value::as_object);
    let mut texts = texts.chain(inside.into_iter().flatten());
    if let Some((field, _)) = texts.find(|(_, value)| long(value)) {
        return Err(bad(field));
    }
    let options = Onboarding {
        fraud_check: asked.include_fraud_check,
        express: asked.use_express_kyc,
    };
    let person = Person::deserialize(&body).map_err(|_| {
        if body.get("ipAddress").is_none_or(Value::is_string) {
            bad("officialId")
        } else {
            bad("ipAddress")
        }
    })?;
    inner.with(|world, now| world.onboard(person, external_id, options, now))
}

fn check_fraud(inner: &Inner, body: &Value) -> Result<Value, ApiError> {
    let id = body.get("customerId").and_then(Value::as_str);
    let id = id.ok_or_else(|| ApiError::InvalidData("customerId".to_owned()))?;
    inner.with(|world, now| world.check_fraud(id, Cause::Api, now))
}

fn flag(inner: &Inner, body: &Value) -> Result<Value, ApiError> {
    let id = body.get("customerId").and_then(Value::as_str);
    let id = id.ok_or(ApiError::InvalidQuery("Bad query: customerId"))?;
    let flag = body.get("flag").and_then(Value::as_bool);
    let flag = flag.ok_or(ApiError::InvalidQuery("Bad query: flag"))?;
    let note = body.get("note").is_some_and(|note| !note.is_null());
    if note && !flag {
        return Err(ApiError::InvalidQuery(
            "Bad query: note goes with flag true",
        ));
    }
    inner.with(|world, now| world.flag(id, flag, now))
}

fn find(inner: &Inner, query: &[(String, String)]) -> Result<Value, ApiError> {
    const FIELDS: [&str; 6] = [
        "customerId",
        "email",
        "officialId",
        "zipCode",
        "dob",
        "externalId",
    ];
    let known = |(field, _): &(String, String)| FIELDS.contains(&field.as_str());
    if query.is_empty() || !query.iter().all(known) {
        return Err(ApiError::InvalidQuery("Bad query"));
    }
    inner.world().find(query)
}
