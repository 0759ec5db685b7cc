//! Makes backups by itself and keeps the newest ones. A failure is told and tried again; it ends nothing.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::clock::now;
use crate::config::BackupConfig;
use crate::domain::Timestamp;
use crate::store::{BackupError, Store, keep_newest, newest_in};

/// How long is slept at once at most: the clock may be set meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The least time between two tries; the names of backups tell them apart by the second.
const LEAST: Duration = Duration::from_secs(1);
/// How soon a failure is tried again, at most.
const AGAIN_WITHIN: Duration = Duration::from_secs(600);

/// When backups are made, where, and how many stay.
#[derive(Debug)]
pub(super) struct Schedule {
    dir: PathBuf,
    every: Duration,
    keep: usize,
}

impl Schedule {
    /// The schedule, if there is one.
    pub(super) fn of(config: &BackupConfig) -> Option<Self> {
        Some(Self {
            dir: config.dir.clone()?,
            every: config.every?.max(LEAST),
            keep: usize::try_from(config.keep).unwrap_or(usize::MAX),
        })
    }
}

/// Makes a backup whenever the newest one in the directory is old enough.
pub(super) async fn make_when_due(store: Store, schedule: Schedule) {
    loop {
        let newest = newest_at(&schedule);
        wait_for(newest, schedule.every).await;
        match make(&store, &schedule).await {
            Ok(()) => store.backups().set_trouble(None),
            // Another one was asked for by hand: soon there is a newer one, or not.
            Err(Failure::Made(BackupError::Running | BackupError::Stopped)) => {
                tokio::time::sleep(LEAST).await;
            }
            Err(failure) => {
                let told = format!("the backup that was due was not made: {failure}");
                log::error!("{told}");
                store.backups().set_trouble(Some(told));
                tokio::time::sleep(schedule.every.min(AGAIN_WITHIN)).await;
            }
        }
    }
}

/// Why there is no new backup, or too many old ones.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Made(#[from] BackupError),
    #[error("{}: {source}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("older backups in {} cannot be removed: {source}", path.display())]
    Keep { path: PathBuf, source: io::Error },
}

async fn make(store: &Store, schedule: &Schedule) -> Result<(), Failure> {
    let path = schedule.dir.clone();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&path)
        .map_err(|source| Failure::Directory {
            path: path.clone(),
            source,
        })?;
    store.backup(path.clone(), false).await?;
    // Only now, when there is a newer one that passed the check.
    let removed = keep_newest(&path, schedule.keep).map_err(|source| Failure::Keep {
        path: path.clone(),
        source,
    })?;
    log::debug!("{removed} files of older backups were removed");
    Ok(())
}

fn newest_at(schedule: &Schedule) -> Option<Timestamp> {
    let newest = newest_in(&schedule.dir).ok().flatten();
    newest.map(|backup| backup.manifest.at)
}

/// Sleeps until something is so old; not at all when there is nothing, or when it is of a time that has yet to come.
async fn wait_for(newest: Option<Timestamp>, every: Duration) {
    let Some(newest) = newest else {
        return;
    };
    loop {
        let Ok(age) = u64::try_from(now().ms_since(newest)) else {
            return;
        };
        let left = every.saturating_sub(Duration::from_millis(age));
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LOOK_EVERY)).await;
    }
}
