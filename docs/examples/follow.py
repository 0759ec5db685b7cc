"""Follows what is decided on Waldo's dashboard. Usage: follow.py [DATABASE]. Needs Python 3.8 or later.

ROUNDS ends it after so many pages, for tests.
"""
import json, os, sqlite3, sys, time, urllib.error, urllib.request

QUERY = os.environ.get("WALDO_QUERY", "http://127.0.0.1:7312")
WAIT = int(os.environ.get("WAIT", "30"))
rounds = int(os.environ.get("ROUNDS", "-1"))

db = sqlite3.connect(sys.argv[1] if len(sys.argv) > 1 else "app.db")  # your app's own database
db.execute("CREATE TABLE IF NOT EXISTS waldo_cursor (id INTEGER PRIMARY KEY CHECK (id = 1), next INTEGER NOT NULL)")
db.execute("CREATE TABLE IF NOT EXISTS account (customer_id TEXT PRIMARY KEY, status TEXT)")
db.execute("INSERT OR IGNORE INTO waldo_cursor VALUES (1, 0)")
db.commit()


def page(after):
    url = f"{QUERY}/v1/events?after={after}&origin=dashboard&disposition=applied&wait={WAIT}"
    with urllib.request.urlopen(url, timeout=WAIT + 15) as answer:
        return json.load(answer)


def handle(event):
    """Your work, in the transaction that also moves the cursor. Gives what was news."""
    for change in event["changes"]:
        if change["field"] == "status":
            done = db.execute(
                "INSERT INTO account VALUES (?, ?) ON CONFLICT (customer_id)"
                " DO UPDATE SET status = excluded.status WHERE status IS NOT excluded.status",
                (event["customerId"], change["to"]),
            )
            if done.rowcount:  # 0: known already
                yield f"{event['seq']} {event['customerId']} {change['to']}"


while rounds != 0:
    rounds -= 1
    (after,) = db.execute("SELECT next FROM waldo_cursor").fetchone()
    try:
        found = page(after)
    except (OSError, ValueError) as error:  # not there, 503, broken off: try again
        retry = error.headers.get("Retry-After") if isinstance(error, urllib.error.HTTPError) else None
        time.sleep(int(retry or 1))
        continue
    with db:  # one transaction: all of it or nothing
        news = [line for event in found["items"] for line in handle(event)]
        db.execute("UPDATE waldo_cursor SET next = ?", (found["next"],))
    for line in news:
        print(line, flush=True)
