"""Onboards a person through the gateway. Usage: gateway.py EXTERNAL_ID. Needs Python 3.8 or later."""
import json, os, sys, urllib.error, urllib.request

GATEWAY = os.environ.get("WALDO_GATEWAY", "http://127.0.0.1:7313")  # in place of https://api.waldo.ai


def call(path, body):
    data = json.dumps(body).encode()
    request = urllib.request.Request(GATEWAY + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=75) as answer:  # the gateway itself gives up after 60 s
        recorded = answer.headers.get("Waldo-Syncd-Recorded") != "false"
        return json.load(answer), recorded


person = {
    "externalId": sys.argv[1], "firstName": "Ada", "lastName": "Example", "dob": "1990-01-02",
    "officialId": {"docType": "SSN", "value": "000-00-0000", "format": "XXX-XX-XXXX", "country": "US"},
    "email": "ada@example.com", "phone": "+15550100001", "address": "1 Sample Street", "city": "Sampleton",
    "state": "NY", "zipCode": "00000", "country": "US", "options": {"includeFraudCheck": True},
}
try:
    answer, recorded = call("/onboard", person)
except urllib.error.HTTPError as error:  # Waldo's own error, or a problem of the gateway; both have a code
    sys.exit(f"onboarding: {error.code} {json.load(error).get('code')}")
if not recorded:
    print("waldo-syncd knows nothing of this call: register the request", file=sys.stderr)
print(answer["requestId"], answer["customerId"])  # keep both
