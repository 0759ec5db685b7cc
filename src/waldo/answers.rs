//! What Waldo's answers say beside their content: the code of an error, a time, when to come again.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use serde::Deserialize;

use crate::domain::Timestamp;

/// Bytes of an error, and of an answer to a login, that are read.
pub(super) const MAX_ERROR_BYTES: usize = 64 * 1024;
/// A longer wait than this is not believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

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

/// When to try again, as a header says it: in seconds, or as a date; at most a day.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    }
    let at = http_date(text)?;
    let wait = at.0.saturating_sub(crate::clock::now().0);
    let wait = Duration::from_millis(u64::try_from(wait).unwrap_or_default());
    Some(wait.min(MAX_RETRY_AFTER))
}

/// A point in time as HTTP writes it.
#[must_use]
pub fn http_date(text: &str) -> Option<Timestamp> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new();
    let at = parser.parse_timestamp(text).ok()?;
    Some(Timestamp(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(of("120"), Some(Duration::from_secs(120)));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(of("Tue, 31 Dec 2199 23:59:59 GMT"), Some(MAX_RETRY_AFTER));
        assert_eq!(of("18446744073709551615"), Some(MAX_RETRY_AFTER));
        assert_eq!(of("soon"), None);
        assert_eq!(of("-5"), None);
    }
}
