//! Tokens in the shape of Waldo's: JWTs with an `exp`, signed by a key that ends with the process.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::domain::Timestamp;

/// Longer is no token of ours.
const MAX_TOKEN_BYTES: usize = 1024;

#[derive(Serialize, Deserialize)]
struct Claims {
    iat: i64,
    exp: i64,
    /// Tells tokens of one second apart.
    jti: u64,
}

/// Makes and checks tokens.
#[derive(Clone)]
pub struct Tokens {
    key: Hmac<Sha256>,
    life_ms: i64,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// With a fresh key.
    pub fn new(life: Duration) -> Self {
        let mut key = [0; 64];
        if let Err(error) = getrandom::fill(&mut key) {
            // The tokens guard made-up people; a guessable key is no loss.
            log::warn!("no randomness for the sandbox's tokens: {error}");
        }
        Self {
            // HMAC takes a key of any length.
            key: Hmac::new(&key.into()),
            life_ms: i64::try_from(life.as_millis()).unwrap_or(i64::MAX),
        }
    }

    /// A token from now on.
    pub fn make(&self, now: Timestamp) -> String {
        let claims = Claims {
            iat: now.0 / 1000,
            exp: now.plus_ms(self.life_ms).plus_ms(999).0 / 1000,
            jti: fastrand::u64(..),
        };
        let claims = serde_json::to_vec(&claims).unwrap_or_default();
        let head = BASE64.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
        let signed = format!("{head}.{}", BASE64.encode(claims));
        let mut mac = self.key.clone();
        mac.update(signed.as_bytes());
        let signature = BASE64.encode(mac.finalize().into_bytes());
        format!("{signed}.{signature}")
    }

    /// Whether it is one of ours and not expired.
    pub fn is_valid(&self, token: &str, now: Timestamp) -> bool {
        self.expiry(token).is_some_and(|exp| now.0 / 1000 < exp)
    }

    fn expiry(&self, token: &str) -> Option<i64> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let mut mac = self.key.clone();
        mac.update(signed.as_bytes());
        mac.verify_slice(&BASE64.decode(signature).ok()?).ok()?;
        let (_, claims) = signed.split_once('.')?;
        let claims: Claims = serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()?;
        Some(claims.exp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lives_its_time_and_no_other_key_makes_one() {
        let tokens = Tokens::new(Duration::from_secs(60));
        let now = Timestamp(1_000_000);
        let token = tokens.make(now);
        assert_eq!(token.split('.').count(), 3);
        assert!(tokens.is_valid(&token, now.plus_ms(59_000)));
        assert!(!tokens.is_valid(&token, now.plus_ms(61_000)));
        assert!(!Tokens::new(Duration::from_secs(60)).is_valid(&token, now));
        for bad in ["", ".", "a.b.c", &token[1..], &token[..token.len() - 2]] {
            assert!(!tokens.is_valid(bad, now), "{bad}");
        }
        assert_ne!(token, tokens.make(now));
    }
}
