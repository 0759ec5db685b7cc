//! The daemon as the process that speaks to Waldo sees it: its control socket.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::{self, Fault};

/// How long the daemon may take to answer as a rule, beyond what it was asked to wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the daemon did not do as it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DaemonFault {
    /// It cannot be reached.
    #[error("the daemon cannot be asked at its control socket: {0}")]
    Away(#[from] Fault),
    /// There is no such thing.
    #[error("the daemon knows of no such thing")]
    NotFound,
    /// It refused.
    #[error("the daemon answered {0}")]
    Refused(StatusCode),
    /// Its answer cannot be read.
    #[error("the daemon's answer cannot be read: {0}")]
    Odd(#[from] serde_json::Error),
}

/// The control socket of the daemon.
#[derive(Clone, Debug)]
pub struct Daemon {
    control: Arc<str>,
    patience: Duration,
}

impl Daemon {
    /// By the path of its control socket.
    #[must_use]
    pub fn new(control: &str) -> Self {
        Self {
            control: control.into(),
            patience: PATIENCE,
        }
    }

    /// The same, where whoever waits for it has less time.
    #[must_use]
    pub fn that_answers_within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Reads.
    ///
    /// # Errors
    /// When the daemon is away, refuses, or has no such thing.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, DaemonFault> {
        let answer = client::exchange(&self.control, client::get(path)?, self.patience).await?;
        read(answer.status, &answer.body)
    }

    /// Tells; `wait` is how long the daemon was asked to wait at most.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
        wait: Duration,
    ) -> Result<T, DaemonFault> {
        let request = client::post(path, serde_json::to_vec(body)?)?;
        let answer = client::exchange(&self.control, request, self.patience + wait).await?;
        read(answer.status, &answer.body)
    }
}

fn read<T: DeserializeOwned>(status: StatusCode, body: &Bytes) -> Result<T, DaemonFault> {
    match status {
        StatusCode::NOT_FOUND => Err(DaemonFault::NotFound),
        status if status.is_success() => Ok(serde_json::from_slice(body)?),
        status => Err(DaemonFault::Refused(status)),
    }
}

/// An id as a part of a path or a query.
#[must_use]
pub fn encoded(id: &str) -> impl std::fmt::Display {
    utf8_percent_encode(id, NON_ALPHANUMERIC)
}
