"""Reads a customer, again only when it changed. Usage: customer.py ID [MIN_SEQ [FOLDER]]. Needs Python 3.8 or later."""
import json, os, sys, urllib.error, urllib.parse, urllib.request
from pathlib import Path

QUERY = os.environ.get("WALDO_QUERY", "http://127.0.0.1:7312")
name = urllib.parse.quote(sys.argv[1], safe="")
minimum = sys.argv[2] if len(sys.argv) > 2 else "0"
folder = sys.argv[3] if len(sys.argv) > 3 else "."
kept = Path(folder) / f"customer-{name}.json"  # the tag and what it stands for, in one file


def customer(minimum):
    known = json.loads(kept.read_text()) if kept.exists() else None
    url = f"{QUERY}/v1/customers/{name}?minSeq={minimum}"
    request = urllib.request.Request(url, headers={"If-None-Match": known["etag"]} if known else {})
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            known = {"etag": answer.headers["ETag"], "customer": json.load(answer)}
            kept.write_text(json.dumps(known))
            return answer.status, known["customer"]
    except urllib.error.HTTPError as error:
        if error.code == 304:  # what is kept still holds
            return error.code, known["customer"]
        raise


try:
    status, found = customer(minimum)
    print(status, json.dumps(found))
except urllib.error.HTTPError as error:
    if error.code == 404:
        sys.exit("no webhook has named this customer yet")
    sys.exit(f"{error.code}: try again in a second")
