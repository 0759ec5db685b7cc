"""What looks after the file of a running daemon: backups, prunes, erasures.

Each asks for one and gives back a check of what it was told, to be made after whatever comes next; None, if the daemon
died before it answered.
"""

import random

from rig import HOOK, NO_ANSWER, Breach, until


def back_up(daemon, ledger, *_):
    """A backup that was reported done is whole, with all that was acknowledged before it began."""
    backup = daemon.place.data.parent / f"backup-{random.randrange(1 << 60):x}.db"
    known = ledger.last
    if not done(daemon, "backup", backup):
        return None

    def check():
        printed = daemon.place.must("check", backup)
        if int(printed.split("events")[1].split()[0]) < known:
            raise Breach(f"the backup holds less than the {known} events before it:\n{printed}")
        backup.unlink()

    return check


def erase(daemon, ledger, *_):
    """Of a customer who was reported erased nothing is left in any file, from that moment on."""
    name = f"gone-{random.randrange(1 << 60):x}"
    body = f'{{"event":"flag","customerId":"{name}","flag":true}}'
    try:
        seq = daemon.ingest().call("POST", HOOK, body).json()["seq"]
        daemon.get(f"/v1/customers/{name}?minSeq={seq}")
    except NO_ANSWER:
        return None
    if not done(daemon, "erase", name, "--yes"):
        return None

    def check():
        for file in daemon.place.data.iterdir():
            if name.encode() in file.read_bytes():
                raise Breach(f"{file.name} still holds the erased {name}")

    check()
    return check


def prune(daemon, ledger):
    """Payloads that are gone stay gone; all else of an event stays."""
    ledger.pruned = True
    done(daemon, "prune", "--older-than", "100ms", "--yes")
    return None


def done(daemon, *verb):
    code, output = daemon.place.verb(*verb)
    if code != 0:
        until(f"the end of a daemon that failed in {verb[0]}: {output}", 1, lambda: not daemon.runs())
    return code == 0
