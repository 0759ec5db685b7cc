#!/bin/sh
# Holds the systemd units: nothing in them that systemd does not know, and an exposure within its bounds. Needs systemd's
# tools, no running systemd, no root.
set -eu
cd "$(dirname "$0")/systemd"
sealed=0.3
outbound=1.2
command -v systemd-analyze >/dev/null || { echo "check-units: systemd-analyze is missing: install the package systemd" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The program is not installed here; anything that can be run stands in for it.
for unit in *.service *.socket *.timer; do
  sed 's|^ExecStart=/usr/bin/waldo-syncd|ExecStart=/bin/true|' "$unit" >"$work/$unit"
done
# systemd-analyze says what it does not understand and is content: what it says counts, not how it ends.
for unit in "$work"/*.service "$work"/*.socket "$work"/*.timer; do
  said=$(SYSTEMD_UNIT_PATH="$work:" systemd-analyze verify --man=no --recursive-errors=yes "$unit" 2>&1) || true
  [ -z "$said" ] || { echo "check-units: ${unit##*/}: $said" >&2; exit 1; }
done
score() { # unit, bound; --threshold takes ten times the score
  systemd-analyze security --offline=true --no-pager \
    --threshold="$(echo "$2" | awk '{ print $1 * 10 }')" "$work/$1" >"$work/table" || {
    cat "$work/table"; echo "check-units: $1 is more exposed than $2" >&2; exit 1; }
  sed -n 's/^→ */check-units: /p' "$work/table"
}
score waldo-syncd.service "$sealed"
score waldo-syncd-backup.service "$sealed"
score waldo-syncd-outbound.service "$outbound"
