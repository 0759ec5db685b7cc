"""A clock that jumps: back a day, ahead by decades, back by decades. The order of the feed and the chain do not depend on
it, nor do the waits of connections.
"""

import pathlib
import time

from errors import back_again
from kill import finish
from ledger import Ledger, under_load
from rig import Breach, Daemon, Place

JUMPS = ("-1d", "+30y", "-20y", "+1h", "-1h", "+70y", "+0")
LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")


def run(long, report):
    library = next((found for folder in LIBRARIES for found in pathlib.Path(folder).glob("**/libfaketime.so.1")), None)
    if not library:
        return report.cannot("needs libfaketime, in Debian's package faketime")
    ledger, jumps = Ledger(), JUMPS * (20 if long else 1)
    with Place() as place:
        clock = place.path / "clock"
        turn(clock, "+0")
        faked = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        with Daemon(place, environment=faked) as daemon:
            kept = daemon.ingest()
            years = set()
            for jump in jumps:
                with under_load(daemon, ledger):
                    time.sleep(0.05)
                    turn(clock, jump)
                    time.sleep(0.05)
                back_again(daemon, ledger)
                if not ledger.post(kept):
                    raise Breach("a kept connection was lost when the clock jumped")
                years.add(daemon.get(f"/v1/events/{ledger.last}?minSeq={ledger.last}").json()["receivedAt"][:4])
            if len(years) < 4:
                raise Breach(f"control: the clock did not jump, all is of {years}")
            ledger.verify(daemon)
            place.whole()
            daemon.kill()
        turn(clock, "-40y")
        with Daemon(place, environment=faked) as daemon:
            back_again(daemon, ledger)
            daemon.stop()
        finish(place, ledger)
    report(f"{len(jumps)} jumps of the clock, events of {len(years)} years: {len(ledger)} acknowledged, 0 lost, all in order")


def turn(clock, jump):
    fresh = clock.with_suffix(".fresh")
    fresh.write_text(jump)
    fresh.rename(clock)
