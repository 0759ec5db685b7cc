"""kill -9 at any moment: under load, during a start, and while the file is being looked after.

Each round's daemon dies after a random time; what it acknowledged is compared with what the next one shows. `points.py`
aims instead of rolling dice.
"""

import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor

from ledger import Ledger, under_load
from rig import Breach, Daemon, Place
from upkeep import back_up, erase, prune

ROUNDS_ON_ONE_FILE = 50


def run(long, report):
    rounds = 1000 if long else 30
    acknowledged, starts = 0, []
    for first in range(0, rounds, ROUNDS_ON_ONE_FILE):
        acknowledged += on_one_file(min(ROUNDS_ON_ONE_FILE, rounds - first), starts)
    starts.sort()
    report(f"{rounds} kills under load: {acknowledged} acknowledged, 0 lost; from start to open doors "
           f"{starts[len(starts) // 2] * 1000:.0f} ms in the middle, {starts[-1] * 1000:.0f} ms at most")

    rounds = 50 if long else 4
    for name, work in WORK.items():
        acknowledged = sum(while_at(work) for _ in range(rounds))
        report(f"{rounds} kills during {name}: {acknowledged} acknowledged, 0 lost")


def on_one_file(rounds, starts):
    """One kill after the other on a log that grows."""
    ledger = Ledger()
    with Place() as place:
        for number in range(rounds):
            began = time.monotonic()
            with Daemon(place) as daemon:
                starts.append(time.monotonic() - began)
                ledger.verify(daemon, whole=False)
                with under_load(daemon, ledger, size=9000):
                    time.sleep(random.uniform(0, 0.25))
                    daemon.kill()
            if number % 5 == 1:
                kill_a_start(place)
            if number % 10 == 0:
                place.whole()
        finish(place, ledger)
    return len(ledger)


def kill_a_start(place):
    daemon = Daemon.launched(place)
    time.sleep(random.uniform(0, 0.02))
    if daemon.kill() != -signal.SIGKILL:
        raise Breach(f"a start ended by itself:\n{daemon.log_text()[-2000:]}")


def finish(place, ledger):
    """After the last kill: all is there, a delivery is taken, a clean stop leaves a whole file."""
    if len(ledger):
        place.must("check")
    with Daemon(place) as daemon:
        ledger.verify(daemon)
        if not ledger.post(daemon.ingest()):
            raise Breach("no delivery was taken after the last start")
        ledger.verify(daemon, whole=False)
        daemon.stop()
    place.whole()
    beside = [file.name for file in place.data.glob("waldo-syncd.db-*")]
    if beside:
        raise Breach(f"a clean stop leaves {beside} beside the file")


def while_at(work):
    """A kill while something looks after the file, again and again until the daemon dies."""
    ledger, checks = Ledger(), []
    with Place() as place, Daemon(place) as daemon:
        for _ in range(100):
            ledger.post(daemon.ingest(), size=9000)

        def at_it():
            while daemon.runs():
                checks.append(work(daemon, ledger))

        with ThreadPoolExecutor() as pool, under_load(daemon, ledger, size=60_000 if work is checkpoint else 9000):
            worker = pool.submit(at_it)
            time.sleep(random.uniform(0.02, 0.5))
            daemon.kill()
            worker.result()
        finish(place, ledger)
        for check in filter(None, checks):
            check()
    return len(ledger)


def checkpoint(*_):
    """Large bodies are enough to keep the checkpoints going."""
    time.sleep(0.01)


WORK = {"checkpoints": checkpoint, "backups": back_up, "prunes": prune, "erasures": erase}
