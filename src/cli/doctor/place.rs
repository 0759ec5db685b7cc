//! The data directory: rights, room, the database, and the clock that events are told by.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::findings::Findings;
use crate::cli::Context;
use crate::cli::screen::bytes;
use crate::clock::now;
use crate::domain::Timestamp;
use crate::store::{ERASED_FILE, FILE_NAME, newest_event};
use crate::words::counted;

/// Free space below which there is a warning, and below which it is a problem, in bytes.
const LITTLE_SPACE: (u64, u64) = (1 << 30, 64 << 20);
/// A WAL longer than this is not emptied as it should be.
const LONG_WAL: u64 = 256 << 20;
/// No clock that is right shows less (2025-01-01) or more (2100-01-01).
const SANE_TIMES: (Timestamp, Timestamp) =
    (Timestamp(1_735_689_600_000), Timestamp(4_102_444_800_000));
/// How far an event may lie in the future, in milliseconds.
const CLOCKS_DIFFER_MS: i64 = 60_000;

pub(super) fn look(context: &Context, directory: &Path, findings: &mut Findings) {
    if data(context, directory, findings) {
        space(directory, findings);
        database(context, directory, findings);
    }
    clock(directory, findings);
}

/// Whether it is there and not for this user's eyes, which tells nothing of what is in it.
pub(super) fn is_closed(directory: &Path) -> bool {
    fs::read_dir(directory).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// Permission bits.
pub(super) fn mode(meta: &Metadata) -> u32 {
    meta.permissions().mode() & 0o7777
}

/// Looks at the rights of the data directory and of what is in it; whether there is one.
fn data(context: &Context, directory: &Path, findings: &mut Findings) -> bool {
    const CHECK: &str = "data";
    let shown = directory.display();
    let meta = match fs::metadata(directory) {
        Ok(meta) if meta.is_dir() => meta,
        Ok(_) => {
            findings.problem(CHECK, format!("{shown} is no directory"), "name --data-dir");
            return false;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            findings.warn(
                CHECK,
                format!("{shown} is not there yet"),
                &format!(
                    "`{}` makes it; or name the daemon's --config and --data-dir",
                    context.advise("serve")
                ),
            );
            return false;
        }
        Err(error) => {
            findings.problem(
                CHECK,
                format!("cannot look at {shown}: {error}"),
                "run this as the daemon's user",
            );
            return false;
        }
    };
    let mut sound = true;
    if mode(&meta) & 0o077 != 0 {
        sound = false;
        findings.problem(
            CHECK,
            format!("{shown} is open to others (mode {:04o})", mode(&meta)),
            &format!("chmod 700 {shown}"),
        );
    }
    let wal = format!("{FILE_NAME}-wal");
    let shared = format!("{FILE_NAME}-shm");
    for name in [FILE_NAME, &wal, &shared, ERASED_FILE, "webhook-secret"] {
        let path = directory.join(name);
        let Ok(file) = fs::metadata(&path) else {
            continue;
        };
        if mode(&file) & 0o077 != 0 {
            sound = false;
            findings.problem(
                CHECK,
                format!(
                    "{} is open to others (mode {:04o})",
                    path.display(),
                    mode(&file)
                ),
                &format!("chmod 600 {}", path.display()),
            );
        }
        if file.uid() != meta.uid() {
            sound = false;
            findings.problem(
                CHECK,
                format!("{} has another owner than its directory", path.display()),
                "the daemon cannot write to it: chown it to the daemon's user",
            );
        }
        if name == wal && file.len() > LONG_WAL {
            findings.warn(
                "wal",
                format!("{} has {}", path.display(), bytes(file.len())),
                "a program that reads the file for long keeps it from being emptied: find and end it",
            );
        }
    }
    if sound {
        findings.ok(
            CHECK,
            format!("{shown} and its files are their owner's alone"),
        );
    }
    true
}

fn space(directory: &Path, findings: &mut Findings) {
    const CHECK: &str = "disk";
    let free = match rustix::fs::statvfs(directory) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => return findings.warn(CHECK, format!("cannot be looked at: {error}"), ""),
    };
    let text = format!("{} are free", bytes(free));
    let advice = "webhooks are refused with 503 when it is full: make room, or prune (it makes room inside the file)";
    match free {
        free if free < LITTLE_SPACE.1 => findings.problem(CHECK, text, advice),
        free if free < LITTLE_SPACE.0 => findings.warn(CHECK, text, advice),
        _ => findings.ok(CHECK, text),
    }
}

fn database(context: &Context, directory: &Path, findings: &mut Findings) {
    const CHECK: &str = "database";
    let path = directory.join(FILE_NAME);
    if !path.exists() {
        return findings.warn(
            CHECK,
            format!("{} is not there yet", path.display()),
            &format!("`{}` makes it", context.advise("serve")),
        );
    }
    match newest_event(&path) {
        Ok(newest) => {
            let events = newest.map_or(0, |(seq, _)| seq.0);
            findings.ok(
                CHECK,
                format!(
                    "{} in the log; `{}` proves the chain",
                    counted(events, "event", "events"),
                    context.advise("check")
                ),
            );
        }
        Err(error) => findings.problem(
            CHECK,
            error.to_string(),
            &format!(
                "`{}` tells more; a backup may have to be restored",
                context.advise("check")
            ),
        ),
    }
}

fn clock(directory: &Path, findings: &mut Findings) {
    const CHECK: &str = "clock";
    let now = now();
    let advice = "set the clock, and let the system keep it (timedatectl set-ntp true)";
    if now < SANE_TIMES.0 || now > SANE_TIMES.1 {
        return findings.problem(CHECK, format!("it shows {now}"), advice);
    }
    let path = directory.join(FILE_NAME);
    let newest = if path.exists() {
        newest_event(&path).ok().flatten()
    } else {
        None
    };
    match newest {
        Some((seq, at)) if at.ms_since(now) > CLOCKS_DIFFER_MS => findings.problem(
            CHECK,
            format!("it shows {now}, but event {seq} came at {at}"),
            advice,
        ),
        _ => findings.ok(CHECK, format!("it shows {now}")),
    }
}
