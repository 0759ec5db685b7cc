#!/bin/sh
# Onboards a person through the gateway. Usage: gateway.sh EXTERNAL_ID. Needs curl and jq.
set -eu
gateway=${WALDO_GATEWAY:-http://127.0.0.1:7313} # in place of https://api.waldo.ai
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

jq -n --arg externalId "$1" '{$externalId, firstName: "Ada", lastName: "Example", dob: "1990-01-02",
    officialId: {docType: "SSN", value: "000-00-0000", format: "XXX-XX-XXXX", country: "US"},
    email: "ada@example.com", phone: "+15550100001", address: "1 Sample Street", city: "Sampleton",
    state: "NY", zipCode: "00000", country: "US", options: {includeFraudCheck: true}}' >"$work/person"
status=$(curl -sS -m 75 -D "$work/head" -o "$work/answer" -w '%{http_code}' "$gateway/onboard" \
    -H 'Content-Type: application/json' --data-binary "@$work/person")

if [ "$status" != 200 ]; then # Waldo's own error, or a problem of the gateway; both have a code
    echo "onboarding: $status $(jq -r .code "$work/answer")" >&2
    exit 1
fi
if grep -qi '^waldo-syncd-recorded: *false' "$work/head"; then
    echo "waldo-syncd knows nothing of this call: register the request" >&2
fi
jq -r '"\(.requestId) \(.customerId)"' "$work/answer" # keep both
