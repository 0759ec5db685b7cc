#!/bin/sh
# Holds the alert rules and the dashboard to what Prometheus takes: promtool (Debian package `prometheus`) and jq.
# That every name in them is served is held by `cargo test --test metrics`.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

promtool check rules prometheus/waldo-syncd.rules.yml
(cd prometheus && promtool test rules waldo-syncd.rules.test.yml)
# Each alert has a case in which it fires, and a line in the documentation.
for alert in $(sed -n 's/^ *- alert: //p' prometheus/waldo-syncd.rules.yml); do
  grep -q "alertname=\"$alert\"" prometheus/waldo-syncd.rules.test.yml || { echo "$alert has no test"; exit 1; }
  grep -q "^| \`$alert\` |" ../docs/OPERATIONS.md || { echo "docs/OPERATIONS.md does not tell what to do at $alert"; exit 1; }
done

# The dashboard's queries, as rules: what promtool cannot parse, Grafana cannot draw.
dashboard=grafana/waldo-syncd.json
jq -e '([.panels[].id] | length == (unique | length)) and all(.panels[]; .type == "row" or (.targets | length > 0))' \
  "$dashboard" >/dev/null || { echo "$dashboard: an id is used twice, or a panel shows nothing"; exit 1; }
jq '{groups: [{name: "dashboard", rules: [
  [.panels[].targets[]?.expr, .annotations.list[].expr] | flatten | to_entries[]
  | {record: "panel:\(.key)", expr: (.value | gsub("\\$__rate_interval"; "5m") | gsub("\\$[a-z]+"; "x"))}]}]}' \
  "$dashboard" >"$work/dashboard.json"
promtool check rules "$work/dashboard.json"
