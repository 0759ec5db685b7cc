//! The backups of a running daemon: one at a time, what came of the last, and an end when the daemon stops.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backup::{BackupError, Job};
use super::leash::Leash;
use super::manifest::{Backup, last_backup};
use super::step::Step;
use super::{Store, StoreError};

/// How long a stop waits for a backup to notice it.
const END_WITHIN: Duration = Duration::from_secs(5);

/// How far the backup is that is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Running {
    /// What it is at.
    pub step: Step,
    /// How much of that is done, in bytes, rows or events.
    pub done: u64,
    /// Of how much; 0 where that cannot be counted.
    pub of: u64,
}

/// What is known of the backups of one database.
#[derive(Debug)]
pub struct Backups {
    leash: Leash,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: Option<Running>,
    last: Option<Backup>,
    trouble: Option<String>,
    made: u64,
    failed: u64,
}

impl Backups {
    /// Finds out about the last backup of the database in a directory.
    pub(super) fn of(directory: &Path) -> Self {
        let last = last_backup(directory).unwrap_or_else(|error| {
            log::warn!("what was noted of the last backup cannot be read: {error}");
            None
        });
        let state = State {
            last,
            ..State::default()
        };
        Self {
            leash: Leash::default(),
            state: Mutex::new(state),
            ended: Condvar::new(),
        }
    }

    /// The last backup that was made, to wherever.
    #[must_use]
    pub fn last(&self) -> Option<Backup> {
        self.with(|state| state.last.clone())
    }

    /// How far the one is that is being made; `None` when none is.
    #[must_use]
    pub fn running(&self) -> Option<Running> {
        self.with(|state| state.running)
    }

    /// Why the backups that should be made by themselves are not.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.with(|state| state.trouble.clone())
    }

    /// Notes why a backup that was due was not made, or that one was.
    pub fn set_trouble(&self, trouble: Option<String>) {
        self.with(|state| state.trouble = trouble);
    }

    /// How many were made and how many failed since the start.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        self.with(|state| (state.made, state.failed))
    }

    /// Breaks off what is being made and waits for its end.
    pub(super) fn end(&self) {
        self.leash.pull();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .ended
            .wait_timeout_while(state, END_WITHIN, |state| state.running.is_some())
            .unwrap_or_else(PoisonError::into_inner);
        if waited.1.timed_out() {
            log::warn!("a backup is still being made at the stop; it is not waited for");
        }
    }

    fn with<T>(&self, ask: impl FnOnce(&mut State) -> T) -> T {
        ask(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn begin(self: &Arc<Self>) -> Result<Turn, BackupError> {
        self.with(|state| {
            if state.running.is_some() {
                return Err(BackupError::Running);
            }
            state.running = Some(Running {
                step: Step::Copying,
                done: 0,
                of: 0,
            });
            Ok(Turn(Arc::clone(self)))
        })
    }
}

/// The turn of one backup, given back also when it ends by a fault.
struct Turn(Arc<Backups>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.with(|state| state.running = None);
        self.0.ended.notify_all();
    }
}

impl Store {
    /// Makes a backup while the store works, and goes on with it when whoever asked has gone.
    ///
    /// # Errors
    /// [`BackupError::Running`] when one is being made; else when it cannot be made, and then nothing is left of it.
    pub async fn backup(&self, destination: PathBuf, force: bool) -> Result<Backup, BackupError> {
        let turn = self.inner.backups.begin()?;
        let inner = Arc::clone(&self.inner);
        let work = move || {
            let job = Job {
                database: &inner.path,
                destination: &destination,
                force,
                now: (inner.options.clock)(),
            };
            let mut steps = |step, done, of| {
                let now = Running { step, done, of };
                turn.0.with(|state| state.running = Some(now));
            };
            let result = job.run(&turn.0.leash, true, &mut steps);
            turn.0.with(|state| match &result {
                Ok(backup) => {
                    state.made += 1;
                    state.last = Some(backup.clone());
                    log::info!(
                        "a backup of {} events was written to {}, {} bytes, chain head {}",
                        backup.manifest.events,
                        backup.path.display(),
                        backup.manifest.bytes,
                        backup.manifest.head
                    );
                }
                Err(_) => state.failed += 1,
            });
            result
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable("a backup ended by a fault".to_owned()).into())
        })
    }

    /// What is known of the backups.
    #[must_use]
    pub fn backups(&self) -> &Backups {
        &self.inner.backups
    }
}
