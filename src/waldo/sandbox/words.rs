//! Waldo's vocabulary, as far as the stand-in uses it.

use serde::Serialize;

/// A type of evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Who somebody is.
    Kyc,
    /// How far somebody is to be trusted.
    Fraud,
    /// A document that shows who somebody is.
    Document,
}

/// How far an evaluation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It was asked for.
    Initiated,
    /// It runs.
    #[serde(rename = "in_progress")]
    Running,
    /// It has an outcome.
    Completed,
    /// It ended without one.
    Failed,
}

impl Progress {
    /// Whether nothing follows.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

/// Whether a customer is approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Standing {
    /// By score or by a person.
    Approved,
    /// By score, by a person or by a flag.
    Rejected,
    /// A person has to decide.
    Review,
}

/// What the identity check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kyc {
    /// It is who it says.
    Passed,
    /// A person has to look.
    Review,
    /// Nothing yet.
    Pending,
}

/// Who caused something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A call of the API.
    Api,
    /// A person on the dashboard.
    Dashboard,
}

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `POST /onboard`.
    Onboard,
    /// `POST /check-fraud`.
    Fraud,
    /// `POST /document`.
    Document,
}
