#!/bin/sh
# Follows what is decided on Waldo's dashboard. Usage: follow.sh [FILE]. Needs curl and jq.
# ROUNDS ends it after so many pages, for tests.
set -u
query=${WALDO_QUERY:-http://127.0.0.1:7312}
file=${1:-app.json} rounds=${ROUNDS:--1}
page=$(mktemp)
trap 'rm -f "$page"' EXIT
trap 'exit 1' INT TERM

# One file in place of a database: the cursor and what was made of the events are replaced together, by rename.
[ -e "$file" ] || echo '{"next":0,"accounts":{}}' >"$file" || exit 1

# Your work: gives the state that is saved with the cursor, and in it what was news.
work='.next = $page[0].next | .news = [] | reduce (
        $page[0].items[] | {seq, id: .customerId} + (.changes[] | select(.field == "status") | {status: .to})
    ) as $one (.; if .accounts[$one.id] == $one.status then . else # known already
        .accounts[$one.id] = $one.status | .news += ["\($one.seq) \($one.id) \($one.status)"]
    end)'

while [ "$rounds" != 0 ]; do
    rounds=$((rounds - 1))
    filter="origin=dashboard&disposition=applied"
    after=$(jq .next "$file") || exit 1
    if ! curl -sSf -m 75 -o "$page" "$query/v1/events?after=$after&$filter&wait=${WAIT:-30}"; then
        sleep 1 # not there, 503, broken off: try again
        continue
    fi
    jq --slurpfile page "$page" "$work" "$file" >"$file.new" && sync "$file.new" && mv "$file.new" "$file" || exit 1
    jq -r '.news[]' "$file"
done
