"""What happens to the file and its place while the daemon has it open: a disk that turns read-only, a file that is moved
away or replaced, permissions that are withdrawn.
"""

import os
import shutil
import time

import rig
from disk import Disk
from errors import back_again, served
from kill import finish
from ledger import Ledger, under_load
from rig import Breach, Daemon, NotStarted, Place, until

FILE = "waldo-syncd.db"
ENDS_WITHIN = 15  # seconds; it moves the WAL first
NOBODY = 65534


def run(long, report):
    rounds = 20 if long else 2
    for name, trouble in TROUBLES.items():
        ledgers = [trouble() for _ in range(rounds)]
        report(f"{rounds} times {name}: {sum(map(len, ledgers))} acknowledged, "
               f"{sum(ledger.refused for ledger in ledgers)} refused, 0 lost")


def turns_read_only():
    """As ext4 does by itself after an error; it takes a repair and a restart to come back from that."""
    ledger = Ledger()
    with Disk(32) as disk, Place(disk.data) as place:
        with Daemon(place) as daemon:
            with under_load(daemon, ledger):
                time.sleep(0.1)
                before = ledger.copy()
                disk.turn_read_only()
                until("a refusal", 5, lambda: ledger.refused)
                served(daemon)
            acknowledged = len(ledger)
            if ledger.post(daemon.ingest()) is not False or len(ledger) != acknowledged:
                raise Breach("a delivery was not refused on a read-only disk")
            daemon.kill()
        does_not_start(place)
        disk.repair()
        # A flush that is under way when ext4 gives up succeeds, and is lost: only what was acknowledged before counts.
        finish(place, before)
    return ledger


def is_read_only_at_the_start():
    ledger = Ledger()
    with Disk(32) as disk, Place(disk.data) as place:
        with Daemon(place) as daemon:
            ledger.post(daemon.ingest())
            daemon.stop()
        disk.unmount()
        disk.mount("loop,ro")
        does_not_start(place)
        disk.restore_power()
        finish(place, ledger)
    return ledger


def does_not_start(place):
    try:
        Daemon(place).kill()
    except NotStarted as death:
        if death.code != 1 or str(place.data) not in str(death):
            raise Breach(f"the message does not name {place.data}: {death}") from death
    else:
        raise Breach("the daemon starts on a read-only disk")


def is_moved_away():
    """The daemon refuses and ends, for what it writes now is lost with it; back in its place the file has all."""
    return taken_away(lambda file: file.rename(file.with_suffix(".aside")))


def is_replaced():
    """By an earlier copy of itself, say, put there by somebody who restores a backup by hand."""

    def replace(file):
        earlier = file.with_suffix(".earlier")
        shutil.copy(file, earlier)
        file.rename(file.with_suffix(".aside"))
        earlier.rename(file)

    return taken_away(replace)


def taken_away(take):
    ledger = Ledger()
    with Place() as place:
        file = place.data / FILE
        with Daemon(place) as daemon:
            with under_load(daemon, ledger):
                time.sleep(0.1)
                take(file)
                until("the end of the daemon", ENDS_WITHIN, lambda: not daemon.runs())
            if daemon.ended() != 1:
                raise Breach("a daemon whose file is gone does not end with 1")
        file.with_suffix(".aside").rename(file)
        finish(place, ledger)
    return ledger


def withdraws_permissions():
    """What is open stays open; what has to be opened cannot be. The daemon runs as somebody whom permissions concern."""
    ledger = Ledger()
    with Place() as place:
        program = shutil.copy(rig.binary, place.path)
        os.chown(place.path, NOBODY, NOBODY)
        under = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        with Daemon(place, under=under, program=program) as daemon:
            with under_load(daemon, ledger):
                time.sleep(0.1)
                for mode in (0o000, 0o700):
                    os.chmod(place.data, mode)
                    for file in place.data.iterdir():
                        os.chmod(file, mode & 0o600)
                    time.sleep(0.3)
                if not daemon.runs():
                    raise Breach(f"withdrawn permissions end the daemon:\n{daemon.log_text()[-2000:]}")
                back_again(daemon, ledger)
            ledger.verify(daemon)
            daemon.kill()
        finish(place, ledger)
    return ledger


TROUBLES = {
    "the disk turns read-only": turns_read_only,
    "the disk is read-only at the start": is_read_only_at_the_start,
    "the file is moved away": is_moved_away,
    "the file is replaced": is_replaced,
    "permissions are withdrawn": withdraws_permissions,
}
