//! The gateway: what an app asks goes to Waldo as it is, and Waldo's answer comes back as it is.
//!
//! Invariants: an answer that is to be recorded reaches the app after it was recorded, or says that it was not; a call whose
//! app hung up is finished and recorded all the same; nothing of a call is kept here or logged.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tower_service::Service;

use super::answers::{MAX_ERROR_BYTES, error_code};
use super::body::{Body, Held, hold, whole};
use super::counted::Counted;
use super::login::{LOGIN_PATH, Login, LoginFault};
use super::recording::{self, FlagCall, NotRecorded, RecordedCall, Recorder, recorded_call};
use super::token::Token;
use super::upstream::{CallError, Upstream};
use crate::door::{Code, Hosts, Peer, Problem, RequestBody, is_foreign};

/// A request's body up to this size is held, so that the call can be made again with a fresh token.
const HELD_BYTES: u64 = 64 * 1024;
/// On an answer that should have been recorded and was not.
const RECORDED: HeaderName = HeaderName::from_static("waldo-syncd-recorded");

/// What the gateway works with.
#[derive(Debug)]
pub struct Gateway {
    upstream: Upstream,
    login: Option<Login>,
    recorder: Recorder,
    counted: Arc<Counted>,
    hosts: Hosts,
    /// Places for calls that are finished whether or not their app waits.
    places: Arc<Semaphore>,
    /// How many there are.
    all_places: u32,
}

/// One call on its way.
struct Call {
    method: Method,
    target: Uri,
    headers: HeaderMap,
    body: Body,
    /// Bytes of the body, where that is known.
    length: Option<u64>,
}

impl Gateway {
    /// Forwards by this way; with `login`, adds a token where the app brings none. `max_calls` are finished at a time
    /// though their apps may be gone.
    #[must_use]
    pub fn new(
        upstream: Upstream,
        login: Option<Login>,
        recorder: Recorder,
        counted: Arc<Counted>,
        hosts: Hosts,
        max_calls: usize,
    ) -> Self {
        let all_places = u32::try_from(max_calls).unwrap_or(u32::MAX);
        Self {
            upstream,
            login,
            recorder,
            counted,
            hosts,
            places: Arc::new(Semaphore::new(max_calls)),
            all_places,
        }
    }

    /// The service for its door.
    #[must_use]
    pub fn service(self: &Arc<Self>) -> GatewayService {
        GatewayService(Arc::clone(self))
    }

    /// Waits for the calls that are finished without their app, and takes no more of them.
    pub async fn finish(&self, within: Duration) {
        let all = self.places.acquire_many(self.all_places);
        if tokio::time::timeout(within, all).await.is_err() {
            let left = (self.all_places as usize).saturating_sub(self.places.available_permits());
            log::warn!(
                "gateway: {left} calls were not finished in time; answers to them are not recorded"
            );
        }
        self.places.close();
    }

    async fn answer(self: Arc<Self>, request: Request<RequestBody>) -> Response<Body> {
        let counted = Arc::clone(&self.counted);
        let answer = match self.guard(&request) {
            Ok(()) => self.call(request).await,
            Err(problem) => Err(problem),
        };
        let response = answer.unwrap_or_else(from_problem);
        let status = match response.status().as_u16() {
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        counted.gateway_calls.add(status, 1);
        response
    }

    /// Keeps web pages out: those that had their name pointed at this machine, and those that send requests elsewhere.
    fn guard(&self, request: &Request<RequestBody>) -> Result<(), Problem> {
        let headers = request.headers();
        let peer = request.extensions().get::<Peer>();
        let over_tcp = peer.is_none_or(|peer| peer.address.is_some());
        if over_tcp && !self.hosts.include(headers, peer) {
            return Err(Problem::new(
                Code::MisdirectedRequest,
                "this door answers for localhost",
            ));
        }
        if is_foreign(headers) {
            return Err(Problem::new(
                Code::ForeignOrigin,
                "web pages of other origins may not call Waldo through this machine",
            ));
        }
        if request.method() == Method::CONNECT {
            return Err(Problem::new(
                Code::MethodNotAllowed,
                "this is a gateway to one host, not a proxy",
            ));
        }
        Ok(())
    }

    async fn call(
        self: Arc<Self>,
        request: Request<RequestBody>,
    ) -> Result<Response<Body>, Problem> {
        let (head, body) = request.into_parts();
        let recorded = recorded_call(&head.method, head.uri.path());
        let call = Call {
            length: body.size_hint().exact(),
            method: head.method,
            target: head.uri,
            headers: head.headers,
            body: body.boxed_unsync(),
        };
        let Some(of) = recorded else {
            // Whoever hangs up ends this with it.
            return self.forward(call).await;
        };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let detail = "as many calls as may be are being finished for apps that hung up";
            return Err(Problem::new(Code::GatewayBusy, detail));
        };
        let (tell, told) = oneshot::channel();
        tokio::spawn(async move {
            let answer = self.forward_and_record(of, call, place).await;
            // Where nobody listens any longer, it was recorded all the same.
            let _ = tell.send(answer);
        });
        told.await.unwrap_or_else(|_| {
            let detail = "the call was broken off by a fault";
            Err(Problem::new(Code::Internal, detail))
        })
    }

    /// Forwards a call whose answer is to be recorded, and gives the answer when that is done.
    async fn forward_and_record(
        &self,
        of: RecordedCall,
        mut call: Call,
        _place: OwnedSemaphorePermit,
    ) -> Result<Response<Body>, Problem> {
        let identity = HeaderValue::from_static("identity");
        call.headers.insert(ACCEPT_ENCODING, identity);
        let flag = self.note_flag(of, &mut call).await?;
        let response = self.forward(call).await?;
        if !response.status().is_success() {
            if let Some(flag) = flag.filter(|_| response.status().is_client_error()) {
                self.recorder.withdraw_flag(&flag).await;
            }
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        let (body, recorded) = match hold(body, recording::MAX_ANSWER_BYTES).await {
            Ok(Held::Whole(body)) => {
                let noted = flag.is_some();
                let kept = self
                    .recorder
                    .record(of, head.status, &head.headers, &body, noted);
                (whole(body.clone()), kept.await)
            }
            Ok(Held::Larger(body)) => {
                self.recorder.missed(of, NotRecorded::TooLarge);
                (body, false)
            }
            Err(error) => {
                self.recorder.missed(of, NotRecorded::BrokenOff);
                return Err(of_call(&error).with(RECORDED, HeaderValue::from_static("false")));
            }
        };
        let mut response = Response::from_parts(head, body);
        if !recorded {
            let no = HeaderValue::from_static("false");
            response.headers_mut().insert(RECORDED, no);
        }
        Ok(response)
    }

    /// Notes a flag call before it is made; `None` where it is no such call, or that did not work.
    async fn note_flag(
        &self,
        of: RecordedCall,
        call: &mut Call,
    ) -> Result<Option<FlagCall>, Problem> {
        if !of.is_flag() {
            return Ok(None);
        }
        let body = call.hold().await?;
        let Some(flag) = body.and_then(|body| of.flag(&body)) else {
            return Ok(None);
        };
        Ok(self.recorder.note_flag(&flag).await.then_some(flag))
    }

    /// Forwards a call, with a token of ours if the app brings none.
    async fn forward(&self, mut call: Call) -> Result<Response<Body>, Problem> {
        let login = self.login.as_ref().filter(|_| call.wants_token());
        let Some(login) = login else {
            return self.send(call).await;
        };
        let held = call.hold().await?;
        let mut token = self.add_token(login, &mut call).await?;
        let again = held.map(|body| call.again(body));
        let mut answered = self.send(call).await?;
        login.take_fresh(&token, &answered);
        if answered.status() != StatusCode::UNAUTHORIZED {
            return Ok(answered);
        }
        let invalid;
        (answered, invalid) = says_invalid_token(answered).await?;
        if invalid
            && login.give_up(&token)
            && let Some(mut again) = again
        {
            token = self.add_token(login, &mut again).await?;
            answered = self.send(again).await?;
            login.take_fresh(&token, &answered);
        }
        Ok(answered)
    }

    async fn add_token(&self, login: &Login, call: &mut Call) -> Result<Token, Problem> {
        let token = login.token().await.map_err(|fault| of_login(&fault))?;
        call.headers.insert(AUTHORIZATION, token.header());
        Ok(token)
    }

    async fn send(&self, call: Call) -> Result<Response<Body>, Problem> {
        let mut request = Request::new(call.body);
        *request.method_mut() = call.method;
        *request.uri_mut() = call.target;
        *request.headers_mut() = call.headers;
        let response = self.upstream.send(request).await;
        response.map_err(|error| of_call(&error))
    }
}

impl Call {
    /// A login of the app's own needs no token, and its own token goes before ours.
    fn wants_token(&self) -> bool {
        !self.headers.contains_key(AUTHORIZATION) && self.target.path() != LOGIN_PATH
    }

    /// Takes a small body into memory, for a second try. A large or endless one stays as it is.
    async fn hold(&mut self) -> Result<Option<Bytes>, Problem> {
        if self.length.is_none_or(|length| length > HELD_BYTES) {
            return Ok(None);
        }
        let body = std::mem::take(&mut self.body).collect().await;
        let broken = |_| of_call(&CallError::RequestBroken);
        let body = body.map_err(broken)?.to_bytes();
        self.body = whole(body.clone());
        Ok(Some(body))
    }

    /// The same call with this body.
    fn again(&self, body: Bytes) -> Self {
        Self {
            method: self.method.clone(),
            target: self.target.clone(),
            headers: self.headers.clone(),
            body: whole(body),
            length: self.length,
        }
    }
}

/// Whether Waldo says that it does not take a token; the answer stays whole. One that cannot be read says no more than its
/// status, and that status has no other meaning on Waldo's pages.
async fn says_invalid_token(answer: Response<Body>) -> Result<(Response<Body>, bool), Problem> {
    let (head, body) = answer.into_parts();
    let held = hold(body, MAX_ERROR_BYTES).await;
    let (body, invalid) = match held.map_err(|error| of_call(&error))? {
        Held::Whole(body) => {
            let invalid = error_code(&body).is_none_or(|code| code == "INVALID_TOKEN");
            (whole(body), invalid)
        }
        Held::Larger(body) => (body, false),
    };
    Ok((Response::from_parts(head, body), invalid))
}

fn of_call(error: &CallError) -> Problem {
    match error {
        CallError::Unreachable(_) => Problem::new(Code::WaldoUnreachable, error.to_string()),
        CallError::TooSlow => Problem::new(Code::WaldoTooSlow, error.to_string()),
        CallError::RequestBroken | CallError::Target => {
            Problem::new(Code::BadRequest, error.to_string()).and_close()
        }
    }
}

fn of_login(fault: &LoginFault) -> Problem {
    match fault {
        LoginFault::Call(error) => of_call(error),
        LoginFault::Refused(_) | LoginFault::Revoked => {
            Problem::new(Code::WaldoLoginRefused, fault.to_string())
        }
        LoginFault::Busy { retry_after, .. } => {
            let problem = Problem::new(Code::WaldoLoginFailed, fault.to_string());
            match retry_after {
                Some(wait) => problem.with(RETRY_AFTER, HeaderValue::from(wait.as_secs())),
                None => problem,
            }
        }
        LoginFault::Odd(_) => Problem::new(Code::WaldoLoginFailed, fault.to_string()),
    }
}

fn from_problem(problem: Problem) -> Response<Body> {
    let reply: warp::reply::Response = problem.into();
    reply.map(|body| body.map_err(Into::into).boxed_unsync())
}

/// The gateway as its door drives it.
#[derive(Clone, Debug)]
pub struct GatewayService(Arc<Gateway>);

impl Service<Request<RequestBody>> for GatewayService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let gateway = Arc::clone(&self.0);
        Box::pin(async move { Ok(gateway.answer(request).await) })
    }
}
