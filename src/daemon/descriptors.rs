//! How many files this process may have open, and what that leaves for connections.
//!
//! A door that runs out of them has to close one connection of its own for each that it takes, and may hit one whose
//! request is just coming; and the database cannot be opened again after an error. So no door gets more than its share.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::config::Config;

/// Files that are no connections: the database on each of its connections, listeners, log, runtime.
const BESIDE: u64 = 48;
/// A door that takes fewer connections is of no use.
const LEAST: u64 = 4;

/// Allows this process what it may allow itself, and keeps the doors' connections within that.
pub(super) fn fit(config: &mut Config, is_outbound: bool, warnings: &mut Vec<String>) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let soft = limit.current;
        limit.current = limit.maximum;
        if setrlimit(Resource::Nofile, limit).is_err() {
            limit.current = soft;
        }
    }
    let Some(files) = limit.current else {
        return;
    };
    let share = share(files, doors(config, is_outbound));
    let wanted = &mut config.limits.max_connections;
    if share < *wanted {
        warnings.push(format!(
            "each door takes {share} connections instead of [limits] max_connections = {wanted}: this process may open {files} \
             files (LimitNOFILE, ulimit -n)"
        ));
        *wanted = share;
    }
}

/// How many doors there will be. A call through the gateway holds a connection on either side.
fn doors(config: &Config, is_outbound: bool) -> u64 {
    3 + u64::from(config.query.socket.is_some()) + 2 * u64::from(is_outbound)
}

/// Connections that each door may have.
fn share(files: u64, doors: u64) -> usize {
    let share = files.saturating_sub(BESIDE) / doors.max(1);
    usize::try_from(share.max(LEAST)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_share_what_the_database_leaves() {
        assert_eq!(share(1024, 3), 325);
        assert_eq!(share(64, 3), 5);
        assert_eq!(share(10, 3), 4);
        assert_eq!(share(u64::MAX, 1), usize::MAX - 48);
    }
}
