#!/bin/sh
# Holds the arrows between the folders: who may import whom. Each line names a breach and where it is.
set -u
cd "$(dirname "$0")/.."
breaches=0
forbid() { # why, pattern, where...
  why=$1 pattern=$2
  shift 2
  found=$(grep -rnE "$pattern" "$@" --include='*.rs' | grep -vE ':[0-9]+:\s*//')
  if [ -n "$found" ]; then
    printf '%s\n%s\n' "$why:" "$found"
    breaches=$((breaches + 1))
  fi
}
forbid "the rules do no I/O" \
  'use (tokio|rusqlite|warp|hyper|log|std::(fs|env|net|time|process))|SystemTime|Instant::now|getrandom' src/domain
forbid "the rules know nobody" 'crate::(store|http|daemon|cli|clock|config|metrics|systemd|logging)' src/domain
forbid "the store knows only the rules and the metrics" 'crate::(http|daemon|cli|clock|config|systemd|logging)' src/store
forbid "a door knows nothing of what it serves" \
  'crate::(store|http|waldo|daemon|cli|client|config|domain|metrics|systemd|logging)' src/door
forbid "the client is a leaf" 'crate::' src/client.rs
forbid "what speaks to Waldo speaks to the daemon by the control socket" \
  'crate::(store|http|daemon|cli|systemd|logging)\b' src/waldo
forbid "the doors do not know the wiring" 'crate::(waldo|daemon|cli|client|systemd|logging)' src/http
forbid "the configuration is a leaf" 'crate::(store|http|daemon|cli|domain|metrics|systemd|logging)' src/config
forbid "the metrics are a leaf" 'crate::(store|http|daemon|cli|domain|config|systemd|logging)' src/metrics.rs src/metrics
forbid "SQL stays in the store" 'rusqlite|SELECT .* FROM|INSERT INTO' src/domain src/door src/http src/waldo src/cli src/client.rs src/config src/daemon
forbid "warp stays at the doors" '\bwarp::' src/domain src/store src/cli src/client.rs src/config src/daemon
forbid "the environment is read in config and systemd" 'env::(var|vars|set_var)' \
  src/domain src/store src/door src/http src/waldo src/cli src/client.rs src/daemon src/logging.rs src/metrics.rs src/metrics
forbid "secrets are compared in constant time" 'expose\(\)[^;]*[!=]=|[!=]= *[^;]*expose\(\)' src/http src/waldo src/daemon
# Closing any descriptor of the database takes SQLite's locks on it away (src/store/raw.rs). What is opened in these files is
# never the database of a process that has a connection to it: folders, lists, manifests, copies, the WAL; restore works under
# the lock of a directory without any connection.
# Besides, the process's own /proc is read (samples/process.rs), and documents are written by a test (openapi/mod.rs).
opens='\bFile::(open|options|create)|OpenOptions|\bfs::(read|read_to_string|copy|write|open|openat)\(|(use|=) rustix::fs::.*\bopen'
forbid "only raw.rs opens the database past SQLite" "$opens" $(find src/store src/daemon src/http src/waldo -name '*.rs' \
  ! -path src/store/raw.rs ! -path src/store/schema.rs ! -path src/store/workplace.rs ! -path src/store/erased.rs \
  ! -path src/store/manifest.rs ! -path src/store/backup.rs ! -path src/store/restore.rs ! -path src/store/erase/search.rs \
  ! -path src/daemon/samples/process.rs ! -path src/http/openapi/mod.rs)
grep -q '^unsafe_code = "forbid"$' Cargo.toml || {
  echo "unsafe code is forbidden: Cargo.toml must say so"
  breaches=$((breaches + 1))
}
[ "$breaches" = 0 ] && echo "the arrows hold" || exit 1
