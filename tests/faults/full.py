"""A full disk: a small file system is filled until deliveries are refused, and gets its space back, again and again.

Refusals are 503 with Retry-After, readers are served, and the same process takes deliveries within a second of space; it
says so by itself also where nobody tries meanwhile.
The space that is left when the filling stops is different each time, so that another write is the one without room.
"""

import random

from disk import Disk
from errors import back_again, served, soon
from kill import finish
from ledger import Ledger, under_load
from rig import Daemon, Place, until

MEGABYTES = 48
ROUNDS = 10  # on one disk
MOST_LEFT = 256 << 10


def run(long, report):
    acknowledged = refused = slowest = 0
    disks = 20 if long else 2
    for _ in range(disks):
        ledger = Ledger()
        with Disk(MEGABYTES) as disk, Place(disk.data) as place, Daemon(place) as daemon:
            for number in range(ROUNDS):
                slowest = max(slowest, fill_and_free(disk, daemon, ledger, somebody_tries=number % 2 == 0))
            ledger.verify(daemon)
            daemon.kill()
            finish(place, ledger)
        acknowledged, refused = acknowledged + len(ledger), refused + ledger.refused
    report(f"{disks * ROUNDS} times without space: {acknowledged} acknowledged, {refused} refused, 0 lost; "
           f"deliveries taken {slowest * 1000:.0f} ms after there was space again, at most")


def fill_and_free(disk, daemon, ledger, somebody_tries):
    refused = ledger.refused
    with under_load(daemon, ledger, senders=3, size=9000) as load:
        disk.fill(left=random.randrange(MOST_LEFT))
        until("a refusal", 30, lambda: ledger.refused > refused)
        served(daemon)
        if not somebody_tries:
            load.hush()
        disk.give_space()
        if somebody_tries:
            return back_again(daemon, ledger)
        return soon("it to be ready by itself", lambda: daemon.get("/readyz").status == 200)
