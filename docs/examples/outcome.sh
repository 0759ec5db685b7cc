#!/bin/sh
# Waits for the outcome of a request. Usage: outcome.sh REQUEST_ID. Needs curl and jq.
# Ends with 0 when it is there, and with 3 when it is overdue or given up.
set -eu
query=${WALDO_QUERY:-http://127.0.0.1:7312}
after=0
while :; do
    request=$(curl -sSf -m 15 "$query/v1/requests/$1")
    case $(printf '%s' "$request" | jq -r 'if .overdue then "overdue" else .state end') in
        completed | failed) printf '%s\n' "$request" && exit 0 ;;
        overdue | expired) printf '%s\n' "$request" && exit 3 ;;
    esac
    # Instead of asking again and again: wait for the next event that concerns the request.
    after=$(curl -sSf -m 75 "$query/v1/events?requestId=$1&after=$after&wait=30" | jq .next)
done
