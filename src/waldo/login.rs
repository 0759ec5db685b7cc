//! Tokens for Waldo's API: logging in, taking up the fresh ones that answers bring, and not hammering.
//!
//! Invariants: one login at a time, whose outcome all waiting calls share, also when the call that began it is gone; after
//! a failed one there is a pause, shared too; no key, secret or token is logged.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::answers::{MAX_ERROR_BYTES, error_code, retry_after};
use super::body::{Held, hold, whole};
use super::token::Token;
use super::upstream::{CallError, Upstream};
use crate::config::WaldoCredentials;

/// Where a login goes. (One of Waldo's pages says /authentication in its text; its own example and all others say this.)
pub const LOGIN_PATH: &str = "/authenticate";
/// The pause after a login that failed for now: doubled each time, up to the second value.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The pause after a login that was refused.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// A token that Waldo does not take is replaced so often at most.
const REPLACE_EVERY: Duration = Duration::from_secs(10);

/// Why there is no token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoginFault {
    /// Waldo does not know the key or the secret.
    #[error("Waldo refuses the configured API key or client secret ({0})")]
    Refused(String),
    /// The key was switched off on Waldo's dashboard.
    #[error("the configured API key was switched off on Waldo's dashboard (API_KEY_REVOKED)")]
    Revoked,
    /// Waldo cannot take logins at present.
    #[error("Waldo answered a login with {status}")]
    Busy {
        /// The status.
        status: u16,
        /// When to try again, if it said so.
        retry_after: Option<Duration>,
    },
    /// An answer that is no answer to a login.
    #[error("Waldo answered a login in a way that is not understood: {0}")]
    Odd(String),
    /// There was no answer.
    #[error(transparent)]
    Call(#[from] CallError),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LoginBody<'a> {
    api_key: &'a str,
    client_secret: &'a str,
}

#[derive(Deserialize)]
struct LoginAnswer {
    token: String,
}

/// Tokens for one pair of key and secret; cheap to clone, and all clones share one token.
#[derive(Clone, Debug)]
pub struct Login(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    upstream: Upstream,
    credentials: WaldoCredentials,
    current: Mutex<Current>,
    /// Held while a login is on its way.
    flight: Arc<tokio::sync::Mutex<Flight>>,
}

#[derive(Debug, Default)]
struct Current {
    token: Option<Token>,
    /// When Waldo last did not take a token of ours.
    replaced_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Flight {
    failed: Option<(Instant, LoginFault)>,
    /// The pause that the next failure brings.
    pause: Option<Duration>,
    /// The refusal was told.
    told: bool,
}

impl Login {
    /// With these credentials at this Waldo; nothing is sent yet.
    #[must_use]
    pub fn new(upstream: Upstream, credentials: WaldoCredentials) -> Self {
        Self(Arc::new(Inner {
            upstream,
            credentials,
            current: Mutex::default(),
            flight: Arc::default(),
        }))
    }

    /// A token that is good as far as is known, by logging in if need be.
    ///
    /// # Errors
    /// When the login fails, or failed a moment ago.
    pub async fn token(&self) -> Result<Token, LoginFault> {
        if let Some(token) = self.good() {
            return Ok(token);
        }
        let mut flight = Arc::clone(&self.0.flight).lock_owned().await;
        if let Some(token) = self.good() {
            return Ok(token);
        }
        if let Some((until, fault)) = &flight.failed
            && Instant::now() < *until
        {
            return Err(fault.clone());
        }
        let login = self.clone();
        // In a task of its own: whoever asked may hang up, and others wait for the same.
        let task = tokio::spawn(async move {
            let outcome = login.log_in().await;
            login.land(&mut flight, outcome)
        });
        task.await
            .unwrap_or_else(|_| Err(LoginFault::Odd("the login was broken off".to_owned())))
    }

    /// Lets the next call try a login that was refused a moment ago: somebody may have mended the key.
    pub async fn forget_refusal(&self) {
        let mut flight = self.0.flight.lock().await;
        let refused = |(_, fault): &(Instant, LoginFault)| {
            matches!(fault, LoginFault::Refused(_) | LoginFault::Revoked)
        };
        if flight.failed.as_ref().is_some_and(refused) {
            flight.failed = None;
        }
    }

    /// Takes up the fresh token that an answer brings, if it answers a call with a token of ours.
    pub fn take_fresh<B>(&self, used: &Token, answer: &Response<B>) {
        if !answer.status().is_success() {
            return;
        }
        let fresh = answer
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .and_then(|(_, token)| Token::new(token.trim()));
        let mut current = self.current();
        // An answer that was long on its way must not bring back what was given up meanwhile.
        if let (Some(fresh), Some(known)) = (fresh, &current.token)
            && (known.same(used) || known.renew_at < fresh.renew_at)
        {
            current.token = Some(fresh);
        }
    }

    /// Waldo does not take this token: gives it up. Whether another try makes sense.
    #[must_use]
    pub fn give_up(&self, used: &Token) -> bool {
        let mut current = self.current();
        if current.token.as_ref().is_some_and(|known| known.same(used)) {
            let now = Instant::now();
            if current
                .replaced_at
                .is_some_and(|at| now < at + REPLACE_EVERY)
            {
                return false;
            }
            current.replaced_at = Some(now);
            current.token = None;
        }
        true
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Current> {
        self.0
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn good(&self) -> Option<Token> {
        let current = self.current();
        current
            .token
            .clone()
            .filter(|token| Instant::now() < token.renew_at)
    }

    /// Notes how a login ended, for this call and those that wait.
    fn land(
        &self,
        flight: &mut Flight,
        outcome: Result<Token, LoginFault>,
    ) -> Result<Token, LoginFault> {
        match &outcome {
            Ok(token) => {
                if flight.failed.is_some() {
                    log::info!("logged in at Waldo again");
                }
                *flight = Flight::default();
                self.current().token = Some(token.clone());
            }
            Err(fault) => {
                let refused = matches!(fault, LoginFault::Refused(_) | LoginFault::Revoked);
                let pause = if refused {
                    REFUSED_PAUSE
                } else {
                    flight.pause.map_or(PAUSE.0, |last| (last * 2).min(PAUSE.1))
                };
                let asked = match fault {
                    LoginFault::Busy { retry_after, .. } => retry_after.unwrap_or_default(),
                    _ => Duration::ZERO,
                };
                flight.pause = Some(pause);
                let until = Instant::now() + pause.max(asked);
                flight.failed = Some((until, fault.clone()));
                if !(refused && flight.told) {
                    log::error!("cannot log in at Waldo: {fault}");
                }
                flight.told = refused;
            }
        }
        outcome
    }

    async fn log_in(&self) -> Result<Token, LoginFault> {
        let credentials = &self.0.credentials;
        let body = serde_json::to_vec(&LoginBody {
            api_key: credentials.api_key.expose(),
            client_secret: credentials.client_secret.expose(),
        })
        .map_err(|error| LoginFault::Odd(error.to_string()))?;
        let mut request = Request::new(whole(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = http::Uri::from_static(LOGIN_PATH);
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json.clone());
        request.headers_mut().insert(ACCEPT, json);
        let identity = HeaderValue::from_static("identity");
        request.headers_mut().insert(ACCEPT_ENCODING, identity);
        let (head, body) = self.0.upstream.send(request).await?.into_parts();
        let Held::Whole(body) = hold(body, MAX_ERROR_BYTES).await? else {
            return Err(LoginFault::Odd("the answer is too large".to_owned()));
        };
        if head.status.is_success() {
            return serde_json::from_slice::<LoginAnswer>(&body)
                .ok()
                .and_then(|answer| Token::new(&answer.token))
                .ok_or_else(|| LoginFault::Odd(format!("{} without a token", head.status)));
        }
        Err(match (head.status, error_code(&body)) {
            (_, Some(code)) if code == "API_KEY_REVOKED" => LoginFault::Revoked,
            (status, _) if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
                LoginFault::Busy {
                    status: status.as_u16(),
                    retry_after: retry_after(&head.headers),
                }
            }
            (status, code) if status.is_client_error() => {
                LoginFault::Refused(code.unwrap_or_else(|| status.to_string()))
            }
            (status, _) => LoginFault::Odd(status.to_string()),
        })
    }
}
