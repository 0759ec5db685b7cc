//! Tokens for Waldo's API: logging in, taking up the fresh ones that answers bring, and not hammering.
//!
//! Invariants: one login at a time, whose outcome all waiting calls share, also when the call that began it is gone; after
//! a failed one there is a pause, shared too; no key, secret or token is logged.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::upstream::{CallError, Held, Upstream, hold, whole};
use crate::config::WaldoCredentials;

/// Where a login goes. (One of Waldo's pages says /authentication in its text; its own example and all others say this.)
pub const LOGIN_PATH: &str = "/authenticate";
/// The life of a token that does not say its own: what Waldo's pages promise.
const USUAL_LIFE: Duration = Duration::from_secs(3600);
/// A longer life than this is not believed.
const MAX_LIFE: Duration = Duration::from_secs(24 * 3600);
/// A token is renewed so long before its end, or at half of its life if that is shorter.
const RENEW_BEFORE: Duration = Duration::from_secs(60);
/// The pause after a login that failed for now: doubled each time, up to the second value.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The pause after a login that was refused.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// A token that Waldo does not take is replaced so often at most.
const REPLACE_EVERY: Duration = Duration::from_secs(10);
/// Bytes of an answer to a login, and of an error, that are read.
pub(super) const MAX_ANSWER_BYTES: usize = 64 * 1024;

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

/// A token, and when it was had. Its text is never printed.
#[derive(Clone)]
pub struct Token {
    header: HeaderValue,
    renew_at: Instant,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Token {
    fn new(text: &str) -> Option<Self> {
        let mut header = HeaderValue::from_str(&format!("Bearer {text}")).ok()?;
        header.set_sensitive(true);
        let life = life(text, crate::clock::now().0);
        Some(Self {
            header,
            renew_at: Instant::now() + (life - RENEW_BEFORE.min(life / 2)),
        })
    }

    /// As a call carries it.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    fn same(&self, other: &Self) -> bool {
        self.header == other.header
    }
}

/// How long a JWT lives from now on. Its times are of Waldo's clock, so that the span between them counts before the
/// difference to ours; and whatever is odd about them, the usual life is a good guess.
fn life(token: &str, now_ms: i64) -> Duration {
    #[derive(Deserialize)]
    struct Claims {
        exp: Option<f64>,
        iat: Option<f64>,
    }
    let claims = token
        .split('.')
        .nth(1)
        .and_then(|part| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok())
        .and_then(|json| serde_json::from_slice::<Claims>(&json).ok());
    let Some(Claims {
        exp: Some(exp),
        iat,
    }) = claims
    else {
        return USUAL_LIFE;
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds do not matter here"
    )]
    let now = now_ms as f64 / 1000.0;
    let believed = |seconds: f64| {
        Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|life| (Duration::from_secs(1)..=MAX_LIFE).contains(life))
    };
    let spans = [iat.and_then(|iat| believed(exp - iat)), believed(exp - now)];
    spans.into_iter().flatten().min().unwrap_or(USUAL_LIFE)
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

/// The code of one of Waldo's errors.
#[must_use]
pub fn error_code(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        code: String,
    }
    let code = serde_json::from_slice::<Answer>(body).ok()?.code;
    // It goes into log lines, so it has to look like one of Waldo's codes.
    let good = (1..=64).contains(&code.len())
        && code
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    good.then_some(code)
}

/// When to try again, as a header says it: in seconds, or as a date.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers
        .get(http::header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = super::api::http_date(text)?;
    let wait = at.0.saturating_sub(crate::clock::now().0);
    Some(Duration::from_millis(
        u64::try_from(wait).unwrap_or_default(),
    ))
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
                let until = Instant::now() + pause.max(asked.min(MAX_LIFE));
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
        let Held::Whole(body) = hold(body, MAX_ANSWER_BYTES).await? else {
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn jwt(claims: &str) -> String {
        format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims))
    }

    fn lives(claims: &str) -> u64 {
        life(&jwt(claims), NOW * 1000).as_secs()
    }

    #[test]
    fn the_life_of_a_token_is_read_from_it() {
        let exp = NOW + 600;
        assert_eq!(lives(&format!(r#"{{"exp":{exp}}}"#)), 600);
        assert_eq!(lives(&format!(r#"{{"exp":{exp},"iat":{NOW}}}"#)), 600);
        assert_eq!(lives(&format!(r#"{{"exp":{exp}.5,"iat":{NOW}.5}}"#)), 600);
    }

    #[test]
    fn clocks_that_differ_do_not_matter() {
        let behind = format!(r#"{{"exp":{},"iat":{}}}"#, NOW - 7200 + 600, NOW - 7200);
        assert_eq!(lives(&behind), 600);
        let ahead = format!(r#"{{"exp":{},"iat":{}}}"#, NOW + 7200 + 600, NOW + 7200);
        assert_eq!(lives(&ahead), 600);
    }

    #[test]
    fn a_token_with_odd_times_lives_an_hour() {
        for claims in [
            "{}",
            "[]",
            "no json",
            r#"{"exp":"soon"}"#,
            r#"{"exp":0}"#,
            r#"{"exp":-1e300}"#,
            r#"{"exp":1e300}"#,
            r#"{"exp":1e300,"iat":-1e300}"#,
            r#"{"exp":5,"iat":9}"#,
        ] {
            assert_eq!(lives(claims), 3600, "{claims}");
        }
        for token in ["", ".", "..", "a.b.c", "opaque", "a.%%%.c"] {
            assert_eq!(life(token, NOW * 1000).as_secs(), 3600, "{token}");
        }
    }

    #[test]
    fn a_code_that_is_none_is_not_taken_for_one() {
        assert_eq!(
            error_code(br#"{"code":"INVALID_TOKEN","message":"m"}"#).as_deref(),
            Some("INVALID_TOKEN")
        );
        for body in [
            r#"{"code":"a name"}"#,
            r#"{"code":5}"#,
            "",
            "<html>",
            r#"{"code":""}"#,
        ] {
            assert_eq!(error_code(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(of("120"), Some(Duration::from_secs(120)));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert!(of("Fri, 31 Dec 2199 23:59:59 GMT") > Some(Duration::from_secs(3600)));
        assert_eq!(of("soon"), None);
        assert_eq!(of("-5"), None);
    }

    #[test]
    fn a_token_is_not_printed() {
        let token = Token::new("very-secret").unwrap();
        assert_eq!(format!("{token:?}"), "[redacted]");
    }
}
