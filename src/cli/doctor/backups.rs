//! Whether there is a backup that would do, and how old it is, whoever made it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::findings::Findings;
use crate::clock::now;
use crate::config::BackupConfig;
use crate::domain::Timestamp;
use crate::store::{last_backup, newest_in};

const CHECK: &str = "backup";
/// A last backup that is older is late where no `every` says what was meant; the packaged timer makes one a day.
const LATE: Duration = Duration::from_secs(48 * 3600);

/// A checked backup.
struct Known {
    at: Timestamp,
    path: PathBuf,
}

pub(super) fn look(
    config: &BackupConfig,
    directory: &Path,
    stats: Option<&Value>,
    findings: &mut Findings,
) {
    let mut known: Vec<Known> = noted(directory, stats).into_iter().collect();
    if let Some(place) = &config.dir {
        match newest_in(place) {
            Ok(newest) => known.extend(newest.map(|backup| Known {
                at: backup.manifest.at,
                path: backup.path,
            })),
            Err(error) => {
                return findings.problem(
                    CHECK,
                    format!("cannot look into {}: {error}", place.display()),
                    "make it, and let the daemon's user write there",
                );
            }
        }
    }
    let Some(last) = known.into_iter().max_by_key(|known| known.at) else {
        let (finding, advice) = match &config.dir {
            Some(place) => (
                format!("there is no checked one in {}", place.display()),
                "the daemon's log says why, or [backup] every is not set",
            ),
            None => (
                "none was ever made".to_owned(),
                "[backup] dir and every, or `systemctl enable --now waldo-syncd-backup.timer`, or `waldo-syncd backup` as a \
                 job of your own",
            ),
        };
        return findings.warn(CHECK, finding, advice);
    };
    let age = Duration::from_millis(u64::try_from(now().ms_since(last.at)).unwrap_or(0));
    let path = last.path.display();
    let finding = format!("the last checked one is {} old: {path}", span(age));
    match config.every {
        Some(every) if age > 2 * every => {
            findings.problem(CHECK, finding, "the daemon's log says why");
        }
        None if age > LATE => findings.warn(
            CHECK,
            finding,
            "does the timer or the job run that makes them? `systemctl status waldo-syncd-backup.timer`",
        ),
        _ if is_gone(&last.path) => findings.warn(
            CHECK,
            format!("the last checked one, {} old, is no longer at {path}", span(age)),
            "it was removed or moved, or its disk is not mounted",
        ),
        _ => findings.ok(CHECK, finding),
    }
}

/// The last backup of this database to wherever, as it is noted beside it; else as the daemon says.
fn noted(directory: &Path, stats: Option<&Value>) -> Option<Known> {
    if let Ok(Some(backup)) = last_backup(directory) {
        return Some(Known {
            at: backup.manifest.at,
            path: backup.path,
        });
    }
    let last = &stats?["lastBackup"];
    Some(Known {
        at: serde_json::from_value(last["at"].clone()).ok()?,
        path: last["path"].as_str()?.into(),
    })
}

/// Whether it is known not to be there; who may not look knows nothing.
fn is_gone(path: &Path) -> bool {
    fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn span(age: Duration) -> String {
    let hours = age.as_secs() / 3600;
    match hours {
        0 => "less than an hour".to_owned(),
        1..48 => format!("{hours} h"),
        _ => format!("{} days", hours / 24),
    }
}
