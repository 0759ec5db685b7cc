//! Values that options take, and what is said of one that will not do.

use std::time::Duration;

use serde_json::value::RawValue;

use crate::config;

/// A place in the log.
pub fn seq(text: &str) -> Result<u64, &'static str> {
    text.parse()
        .map_err(|_| "expected the number of an event, as in 4711")
}

/// A time.
pub fn time(text: &str) -> Result<Duration, &'static str> {
    humantime::parse_duration(text).map_err(|_| "expected a time, as in 90s, 15m, 2h or 365d")
}

/// Where to listen.
pub fn address(text: &str) -> Result<String, &'static str> {
    config::address(text.to_owned()).ok_or("expected an address as host:port, as in 127.0.0.1:7314")
}

/// A part of the whole.
pub fn share(text: &str) -> Result<f64, &'static str> {
    text.parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or("expected a number from 0 to 1")
}

/// JSON, kept as it was typed, digit for digit.
pub fn json(text: &str) -> Result<Box<RawValue>, &'static str> {
    RawValue::from_string(text.to_owned()).map_err(|_| r#"expected JSON, as in '{"order":7}'"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_will_not_do_is_told_in_our_own_words() {
        assert!(seq("-1").is_err() && seq("4711") == Ok(4711));
        assert!(time("3x").is_err() && time("15m") == Ok(Duration::from_secs(900)));
        assert!(address("nonsense").is_err() && address("127.0.0.1:99999").is_err());
        assert!(address("localhost:0").is_ok() && address("[::1]:7314").is_ok());
        assert!(share("7").is_err() && share("NaN").is_err() && share("0.5") == Ok(0.5));
        assert!(json("{").is_err());
        assert_eq!(json("[1.0]").unwrap().get(), "[1.0]");
    }
}
