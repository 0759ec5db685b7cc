//! This machine's clock, for whoever may look at one. The rules may not.

use crate::domain::Timestamp;

/// The time now.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}
