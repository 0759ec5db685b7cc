//! The rules, as values and functions over values.
//!
//! Nothing in this folder reads a clock, a file, the environment or a socket: times come in with the events, rows
//! come in as structs and go out as structs. The same code therefore serves the live daemon, the start after a crash,
//! `rebuild`, and questions about the past, and all of them agree.

pub mod answer;
pub mod coverage;
pub mod customer;
mod decide;
pub mod fold;
pub mod json;
pub mod object;
pub mod payload;
pub mod request;
pub mod rows;
pub mod view;
mod words;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

pub use words::{Disposition, EventKind, Evidence, Operation, Origin, SettledBy, Source, State};

/// Bumped whenever a rule reads old events differently. A file whose projections were made under another number is
/// folded again from its log, with the doors open.
pub const RULES_VERSION: i64 = 4;

/// Place of an event in the log: strictly increasing from 1, never reused. `Seq(0)` stands before the first event.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(extend("maximum" = u64::MAX))
)]
pub struct Seq(pub u64);

impl Seq {
    /// The point before the first event.
    pub const START: Self = Self(0);

    /// The seq after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment in milliseconds since 1970, shown as RFC 3339 in UTC with three digits of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This moment moved by some milliseconds, held at the ends of what a 64-bit number can say.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment; negative where the clock was set back in between.
    #[must_use]
    pub const fn ms_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A clock so wrong that the calendar cannot say it is still shown, as the number it is.
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => write!(f, "{moment:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "format": "date-time", "description": "RFC 3339; given out in UTC with milliseconds.",
        })
    }
}

/// The text is no RFC 3339 time.
#[derive(Debug, thiserror::Error)]
#[error("expected a time like 2026-01-31T12:00:00Z")]
pub struct NotATime;

impl FromStr for Timestamp {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        text.parse::<jiff::Timestamp>()
            .map(|moment| Self(moment.as_millisecond()))
            .map_err(|_| NotATime)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The text is not 32 bytes in hex.
#[derive(Debug, thiserror::Error)]
#[error("expected 64 hex digits")]
pub struct NotAHash;

/// 32 bytes shown as 64 hex digits.
macro_rules! hash_newtype {
    ($(#[doc = $doc:literal])+ $name:ident) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(hex_digits(&self.0, &mut [0; 64]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAHash;

            fn from_str(text: &str) -> Result<Self, NotAHash> {
                let mut bytes = [0; 32];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| NotAHash)?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(hex_digits(&self.0, &mut [0; 64]))
            }
        }

        #[cfg(test)]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string", "pattern": "^[0-9a-f]{64}$", "description": concat!($($doc),+).trim(),
                })
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// The digits, without a text of their own on the heap: a page of the feed has two thousand hashes.
fn hex_digits<'a>(bytes: &[u8; 32], digits: &'a mut [u8; 64]) -> &'a str {
    // Both lengths are right, and hex digits are text.
    let _ = hex::encode_to_slice(bytes, digits);
    std::str::from_utf8(digits).unwrap_or_default()
}

hash_newtype! {
    /// SHA-256 of a body as it came. Waldo sends no event id, so this is what a repeat is known by.
    Digest
}

hash_newtype! {
    /// One link of the chain over the log: it commits to every event before it.
    Chain
}

impl Digest {
    /// The digest of a body.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }
}

impl Chain {
    /// What stands before the first event.
    pub const GENESIS: Self = Self([0; 32]);

    /// The link of the next event: SHA-256(previous ‖ seq ‖ receivedAt ‖ digest), the two numbers as eight bytes
    /// each, big end first, receivedAt in milliseconds since 1970.
    #[must_use]
    pub fn link(self, seq: Seq, received_at: Timestamp, digest: &Digest) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(seq.0.to_be_bytes());
        hash.update(received_at.0.to_be_bytes());
        hash.update(digest.0);
        Self(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_utc_with_milliseconds() {
        let moment = Timestamp(1_731_000_000_120);
        assert_eq!(moment.to_string(), "2024-11-07T17:20:00.120Z");
        assert_eq!(
            "2024-11-07T17:20:00.120Z".parse::<Timestamp>().unwrap(),
            moment
        );
        assert_eq!(
            "2024-11-07T18:20:00.12+01:00".parse::<Timestamp>().unwrap(),
            moment
        );
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn a_time_no_calendar_knows_is_shown_all_the_same() {
        assert_eq!(Timestamp(i64::MAX).to_string(), "9223372036854775807ms");
    }

    #[test]
    fn a_link_depends_on_all_that_it_commits_to() {
        let digest = Digest::of(b"{}");
        let link = Chain::GENESIS.link(Seq(1), Timestamp(5), &digest);
        assert_ne!(link, Chain::GENESIS.link(Seq(2), Timestamp(5), &digest));
        assert_ne!(link, Chain::GENESIS.link(Seq(1), Timestamp(6), &digest));
        assert_ne!(
            link,
            Chain::GENESIS.link(Seq(1), Timestamp(5), &Digest::of(b"[]"))
        );
        assert_ne!(link, link.link(Seq(1), Timestamp(5), &digest));
    }

    #[test]
    fn the_chain_is_what_anyone_can_compute_with_sha256sum() {
        // printf of 32 zero bytes, seq 1, time 0 and the digest of "{}", through sha256sum.
        let digest = Digest::of(b"{}");
        assert_eq!(
            digest.to_string(),
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
        let mut preimage = vec![0u8; 32];
        preimage.extend([0, 0, 0, 0, 0, 0, 0, 1]);
        preimage.extend([0; 8]);
        preimage.extend(digest.0);
        assert_eq!(
            Chain::GENESIS.link(Seq(1), Timestamp(0), &digest).0,
            Digest::of(&preimage).0
        );
    }
}
