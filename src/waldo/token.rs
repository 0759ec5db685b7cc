//! One token: a JWT, of which only the time of its end is read.
//!
//! Invariant: its text is never printed.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use serde::Deserialize;
use tokio::time::Instant;

/// The life of a token that does not say its own: what Waldo's pages promise.
const USUAL_LIFE: Duration = Duration::from_secs(3600);
/// A longer life than this is not believed.
const MAX_LIFE: Duration = Duration::from_secs(24 * 3600);
/// A token is renewed so long before its end, or at half of its life if that is shorter.
const RENEW_BEFORE: Duration = Duration::from_secs(60);
/// A token, and when it was had. Its text is never printed.
#[derive(Clone)]
pub struct Token {
    header: HeaderValue,
    /// When to stop using it.
    pub(super) renew_at: Instant,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Token {
    pub(super) fn new(text: &str) -> Option<Self> {
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

    pub(super) fn same(&self, other: &Self) -> bool {
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
    fn a_token_is_not_printed() {
        let token = Token::new("very-secret").unwrap();
        assert_eq!(format!("{token:?}"), "[redacted]");
    }
}
