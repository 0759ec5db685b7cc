"""kill -9 at every point: a program that changes the file is killed as it makes its first call of a kind, its second, and
so on until it comes to its end. What it leaves is whole, holds all that was acknowledged, and does not stand in its way
when it is run again.
"""

import itertools
import json
import shutil
import signal
import sqlite3

from disk import strace
from kill import finish
from ledger import Ledger
from rig import HERE, HOOK, Breach, Daemon, NotStarted, Place

NAMES = "rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat"
CALLS = ("pwrite64", "fsync,fdatasync", "ftruncate", NAMES)
SHORT, LONG = 8, 300
FILE = "waldo-syncd.db"
GONE = "gone-for-good"
NOT_FOUND = 3
KEPT = HERE.parent / "fixtures/databases"


def run(long, report):
    for name, (prepare, work) in WORK.items():
        reached = {}
        with Place() as template:
            ledger = prepare(template)
            for call in CALLS:
                for number in numbers(long):
                    if not dies_at(f"{call}:signal=KILL:when={number}", work, template, ledger):
                        break
                    reached[call] = number
        if missing := set(CALLS) - set(reached):
            raise Breach(f"nothing was ever killed during {name} at {' '.join(missing)}")
        points = ", ".join(f"{call.split(',')[0]} to {number}" for call, number in reached.items())
        report(f"killed during {name}, at {points}: whole every time")


def numbers(long):
    """Which calls: all of them, or 1 2 3 5 8 13 21 34."""
    if long:
        return range(1, LONG + 1)
    pairs = itertools.accumulate(range(SHORT - 1), lambda pair, _: (pair[1], sum(pair)), initial=(1, 2))
    return [first for first, _ in pairs]


def dies_at(injection, work, template, known):
    """Runs the work with one point to die at, and again without. False: it came to its end the first time."""
    with Place() as place:
        shutil.copytree(template.path, place.path, dirs_exist_ok=True)
        ledger = known.copy()
        died = work(place, ledger, strace(injection)) == -signal.SIGKILL
        finish(place, ledger)
        work(place, ledger, ())
        finish(place, ledger)
        return died


def with_events(place):
    """A file with a few events, a customer to erase, and a backup of it all."""
    ledger = Ledger()
    with Daemon(place) as daemon:
        for _ in range(30):
            ledger.post(daemon.ingest(), size=3000)
        ledger.register(daemon.control())
        daemon.ingest().call("POST", HOOK, f'{{"event":"flag","customerId":"{GONE}","flag":true}}')
        place.must("backup", place.path / "backup.db")
        daemon.stop()
    return ledger


def with_rows_of_other_rules(place):
    """All rows have to be made anew, as after an upgrade that reads old events in another way."""
    ledger = with_events(place)
    forget_rules(place)
    return ledger


def with_an_old_file(place):
    """The oldest database that is kept, from a program that is not this one."""
    place.data.mkdir()
    shutil.copy(KEPT / "schema-1.db", place.data / FILE)
    forget_rules(place)
    return Ledger()


def forget_rules(place):
    file = sqlite3.connect(place.data / FILE)
    file.execute("UPDATE projection SET rules_version = 0")
    file.commit()
    file.close()


def life(place, ledger, under):
    """Start, appends and projections one by one, the stop with its last checkpoint."""
    daemon = Daemon.launched(place, under)
    try:
        daemon.await_doors()
    except NotStarted as death:
        return death.code
    client = daemon.ingest()
    for _ in range(20):
        if ledger.post(client, size=3000) is None:
            break
    daemon.signal(signal.SIGTERM)
    return daemon.ended()


def verb(*words):
    def work(place, ledger, under):
        ledger.pruned |= words[0] == "prune"
        code, output = place.verb(*(word.format(place.path) for word in words), under=under)
        if code not in (0, -signal.SIGKILL):
            raise Breach(f"{words[0]} ended with {code}:\n{output}")
        return code

    return work


def erase(place, ledger, under):
    """Once it was said to be gone, or was found to be gone, no file has it."""
    code, output = place.verb("erase", GONE, "--yes", under=under)
    if code not in (0, NOT_FOUND, -signal.SIGKILL):
        raise Breach(f"erase ended with {code}:\n{output}")
    if code >= 0:
        for file in place.data.iterdir():
            if GONE.encode() in file.read_bytes():
                raise Breach(f"{file.name} still holds the erased customer")
    return code


def restore(place, ledger, under):
    """A restored file knows what its backup knew."""
    code = verb("restore", "{}/backup.db", "--force", "--yes")(place, ledger, under)
    if code == 0:
        end = json.loads((place.path / "backup.db.json").read_text())["events"]
        ledger.events = {seq: body for seq, body in ledger.events.items() if seq <= end}
    return code


WORK = {
    "a life of the daemon": (with_events, life),
    "a start that folds again": (with_rows_of_other_rules, life),
    "a start on an old file": (with_an_old_file, life),
    "rebuild": (with_events, verb("rebuild")),
    "prune": (with_events, verb("prune", "--older-than", "0s", "--yes")),
    "erase": (with_events, erase),
    "backup": (with_events, verb("backup", "{}/again.db", "--force")),
    "restore": (with_events, restore),
}
