"""Power failures: what was acknowledged stands on the disk, not in a cache, and behind nothing that the disk has lost.

The controls must lose something, or the disk under these tests forgets too little to prove anything: with every flush
made a no-op, and with the flushes of the WAL alone, which is `synchronous=NORMAL` between two checkpoints.
"""

import random
import time

from disk import Disk, ThinDisk, UnorderedDisk, strace
from errors import back_again
from ledger import Ledger, under_load
from rig import Breach, Daemon, NotStarted, Place, until
from upkeep import back_up, erase

MEGABYTES = 48
FLUSHES = "fsync,fdatasync"
FLUSHES_OF_A_START = 20  # more than there are
CONTROLS = 3


def run(long, report):
    rounds = 300 if long else 20
    acknowledged = sum(survives(cut()) for _ in range(rounds))
    report(f"{rounds} cuts under load: {acknowledged} acknowledged, 0 lost")

    rounds = 200 if long else 5
    acknowledged = 0
    for _ in range(rounds):
        every = random.randint(3, 9)
        acknowledged += survives(cut(failing=f"{FLUSHES}:error=EIO:when={FLUSHES_OF_A_START + every}+{every}"))
    report(f"{rounds} cuts after flushes that failed: {acknowledged} acknowledged, 0 lost")

    rounds = 100 if long else 5
    acknowledged = sum(survives(cut(before=lose_writes, disk=ThinDisk)) for _ in range(rounds))
    report(f"{rounds} cuts after writes that the disk lost: {acknowledged} acknowledged, 0 lost")

    rounds = 30 if long else 2
    for _ in range(rounds):
        survives(cut(before=back_up, disk=UnorderedDisk))
        survives(cut(before=erase))
    report(f"{rounds} cuts each after a backup and after an erasure that was reported done: both still done")

    for name, path in (("no flush at all", None), ("no flush of the WAL", "waldo-syncd.db-wal")):
        found = [breach for _, breach in (cut(failing=f"{FLUSHES}:retval=0", path=path) for _ in range(CONTROLS)) if breach]
        if not found:
            raise Breach(f"control: with {name} nothing was lost in {CONTROLS} cuts, so these cuts prove nothing")
        report(f"control, {name}: noticed in {len(found)} of {CONTROLS} cuts ({found[0]})")


def survives(outcome):
    acknowledged, breach = outcome
    if breach:
        raise breach
    return acknowledged


def cut(failing=None, path=None, before=None, disk=Disk):
    """One power failure under load: (acknowledged, the breach that was found afterwards)."""
    ledger = Ledger()
    with disk(MEGABYTES) as disk, Place(disk.data) as place:
        under = strace(failing, path=path and disk.data / path) if failing else ()
        daemon = Daemon(place, under=under)
        with under_load(daemon, ledger, size=9000):
            check = before(daemon, ledger, disk) if before else lambda: None
            time.sleep(random.uniform(0.02, 0.3))
            # An answer that comes while the file system is being shut down proves nothing: no machine sends any then.
            at_the_cut = ledger.copy()
            disk.cut()
            daemon.kill()
        disk.restore_power()
        try:
            with_power_again(place, at_the_cut)
            check()
        except Breach as breach:
            return len(at_the_cut), breach
    return len(at_the_cut), None


def lose_writes(daemon, ledger, disk):
    """What was lost must not stand before anything that is acknowledged later."""
    refused = ledger.refused
    disk.starve()
    until("a flush that fails", 20, lambda: ledger.refused > refused)
    disk.feed()
    back_again(daemon, ledger)
    return lambda: None


def with_power_again(place, ledger):
    try:
        daemon = Daemon(place)
    except NotStarted as death:
        last_words = str(death).splitlines()[-1]
        raise Breach(f"no start after the power came back: {last_words}") from death
    with daemon:
        ledger.verify(daemon)
        if not ledger.post(daemon.ingest()):
            raise Breach("no delivery was taken after the power came back")
        daemon.stop()
    place.whole()
