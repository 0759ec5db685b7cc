//! The closed vocabularies: each word has one spelling outside and one small number in the file.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The text is not one of the known words.
#[derive(Debug, thiserror::Error)]
#[error("expected one of {expected}")]
pub struct UnknownWord {
    expected: String,
}

macro_rules! words {
    (
        $(#[doc = $doc:literal])+
        $name:ident { $($(#[doc = $variant_doc:literal])+ $variant:ident = $code:literal $word:literal,)+ }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[doc = $variant_doc])+ $variant = $code,)+ }

        impl $name {
            /// Every word, in the order of definition.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word as the outside sees it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The number that stands for it in the file.
            #[must_use]
            pub const fn code(self) -> i64 {
                self as i64
            }

            /// The word behind a number from the file, if there is one.
            #[must_use]
            pub const fn from_code(code: i64) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                Self::ALL
                    .iter()
                    .copied()
                    .find(|word| word.as_str() == text)
                    .ok_or_else(|| UnknownWord { expected: [$($word),+].join(", ") })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        #[cfg(test)]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let words = [$(concat!(" `", $word, "`:", $($variant_doc),+)),+].concat();
                let description = [concat!($($doc),+).trim(), &words].concat();
                schemars::json_schema!({
                    "type": "string", "enum": [$($word),+], "description": description,
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

words! {
    /// How an event reached the daemon.
    Source {
        /// Waldo posted it.
        Webhook = 1 "webhook",
        /// Waldo answered a call that went through the gateway.
        Gateway = 2 "gateway",
        /// The reconciler asked Waldo.
        Poll = 3 "poll",
        /// A local app told the control socket.
        Control = 4 "control",
    }
}

words! {
    /// Who caused an event: a person at Waldo's dashboard, or the company's own API call.
    Origin {
        /// The company's own call.
        Api = 1 "api",
        /// A person at the dashboard, or nobody we can name.
        Dashboard = 2 "dashboard",
    }
}

words! {
    /// What the origin was told by.
    Evidence {
        /// The event carries a requestId, which Waldo only gives to API operations.
        RequestId = 1 "request_id",
        /// No requestId, but exactly one open request fits the customer and the evaluation type.
        PendingRequest = 2 "pending_request",
        /// A flag event that echoes one of the company's own flag calls.
        OwnFlagCall = 3 "own_flag_call",
        /// Nothing points to an own call.
        None = 4 "none",
        /// It is Waldo's own answer to a call, which came through the gateway without a requestId.
        GatewayAnswer = 5 "gateway_answer",
    }
}

words! {
    /// What became of an event.
    Disposition {
        /// It changed a projection, or confirmed it.
        Applied = 1 "applied",
        /// A repeat of an earlier event; kept, not applied.
        Duplicate = 2 "duplicate",
        /// A later status was known already; kept, not applied.
        Stale = 3 "stale",
        /// A JSON object that names no customer or no known event.
        Unrecognised = 4 "unrecognised",
        /// No JSON object at all, or too large.
        Quarantined = 5 "quarantined",
        /// It was about a customer who was erased; nothing of it is left but its place in the log.
        Erased = 6 "erased",
    }
}

words! {
    /// The event names whose meaning is known.
    EventKind {
        /// A customer is being, or was, onboarded or decided on.
        Onboard = 1 "onboard",
        /// A customer was flagged or unflagged.
        Flag = 2 "flag",
        /// An evaluation moved on.
        Evaluation = 3 "evaluation",
        /// An app registered a requestId that it waits for.
        RequestRegistered = 4 "request.registered",
        /// An app called Waldo's flag endpoint itself.
        FlagCalled = 5 "flag.called",
        /// A person or an app settled a request by hand.
        RequestSettled = 6 "request.settled",
    }
}

words! {
    /// The kind of call that a request stands for.
    Operation {
        /// `POST /onboard`.
        Onboard = 1 "onboard",
        /// `POST /check-fraud`.
        Fraud = 2 "fraud",
        /// `POST /document`.
        Document = 3 "document",
        /// `POST /flag`.
        Flag = 4 "flag",
        /// Anything else.
        Other = 5 "other",
    }
}

words! {
    /// Where a request stands.
    State {
        /// Registered, nothing heard.
        Pending = 1 "pending",
        /// Something was heard, not all of it final.
        InProgress = 2 "in_progress",
        /// Every type seen or expected has completed.
        Completed = 3 "completed",
        /// All types are final and at least one failed.
        Failed = 4 "failed",
        /// Not settled long past its deadline. Derived when asked, never stored.
        Expired = 5 "expired",
    }
}

words! {
    /// What told that a request has ended.
    SettledBy {
        /// A webhook that carries its requestId.
        Webhook = 1 "webhook",
        /// A webhook without requestId that only fits this request, or Waldo's own final answer to the call.
        Inferred = 2 "inferred",
        /// The reconciler's question.
        Poll = 3 "poll",
        /// Somebody at the control socket.
        Manual = 4 "manual",
    }
}

impl Operation {
    /// The evaluation type that such a call starts even when nobody has said so.
    #[must_use]
    pub const fn implied_evaluation(self) -> Option<&'static str> {
        match self {
            Self::Onboard => Some("kyc"),
            Self::Fraud => Some("fraud"),
            Self::Document => Some("document"),
            Self::Flag | Self::Other => None,
        }
    }
}

impl State {
    /// Whether nothing more is waited for.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_comes_back_from_its_spelling_and_its_number() {
        for word in Disposition::ALL {
            assert_eq!(word.as_str().parse::<Disposition>().unwrap(), *word);
            assert_eq!(Disposition::from_code(word.code()), Some(*word));
        }
        assert_eq!(Disposition::from_code(99), None);
        let error = "gone".parse::<Origin>().unwrap_err();
        assert_eq!(error.to_string(), "expected one of api, dashboard");
    }
}
