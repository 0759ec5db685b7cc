#!/bin/sh
# Reads a customer, again only when it changed. Usage: customer.sh ID [MIN_SEQ [FOLDER]]. Needs curl 7.70 and jq.
set -eu
query=${WALDO_QUERY:-http://127.0.0.1:7312}
id=$(printf '%s' "$1" | jq -sRr @uri)
minimum=${2:-0} kept=${3:-.}/customer-$id
[ -s "$kept.body" ] || rm -f "$kept.etag" # the tag is worth nothing without what it stands for

trap 'rm -f "$kept.new" "$kept.etag.new"' EXIT
status=$(curl -sS -m 15 -o "$kept.new" -w '%{http_code}' \
    --etag-compare "$kept.etag" --etag-save "$kept.etag.new" "$query/v1/customers/$id?minSeq=$minimum")
case $status in
    200) mv "$kept.new" "$kept.body" && mv "$kept.etag.new" "$kept.etag" ;;
    304) ;; # what is kept still holds
    404) echo "no webhook has named this customer yet" >&2 && exit 1 ;;
    *) echo "$status: try again in a second" >&2 && exit 1 ;;
esac
echo "$status $(cat "$kept.body")"
