"""What a process may have, taken away from it: files, memory, processor time.

Out of files, a hundred silent clients a door do not keep one honest client out. Out of memory, the kernel kills it or it
ends by itself; nothing acknowledged is lost. Stopped for a while, it goes on.
"""

import contextlib
import os
import pathlib
import random
import resource
import signal
import socket
import time

from errors import back_again
from kill import finish
from ledger import Ledger, under_load
from rig import Breach, Daemon, Place, until

FILES, SILENT, HONEST = 64, 100, 100
KILLED_WITHIN = 5  # seconds
MOST_TRIES = 40
GROUPS = pathlib.Path("/sys/fs/cgroup/memory")
LARGE = 900_000
MORE = 2 << 20


def run(long, report):
    rounds = 20 if long else 3
    slowest = max(out_of_files() for _ in range(rounds))
    report(f"{rounds} times {FILES} files and {SILENT} silent clients a door: all of {2 * HONEST} honest calls served, "
           f"the slowest in {slowest * 1000:.0f} ms")

    rounds = 50 if long else 3
    acknowledged = sum(suspended() for _ in range(rounds))
    report(f"{rounds} times suspended for a while: {acknowledged} acknowledged, 0 lost")

    rounds = 30 if long else 3
    outcomes = [out_of_addresses() for _ in range(rounds)]
    while not any(refused or ended for _, refused, ended in outcomes):  # it may have had all that it needed
        if len(outcomes) == MOST_TRIES:
            raise Breach("control: it was never short of address space")
        outcomes.append(out_of_addresses())
    acknowledged, refused, ends = map(sum, zip(*outcomes))
    report(f"{len(outcomes)} times out of address space: {acknowledged} acknowledged, {refused} refused, 0 lost; {ends} times it ended")

    if not os.access(GROUPS, os.W_OK):
        return report.cannot(f"killed for its memory: needs {GROUPS} (cgroup v1)")
    acknowledged, killed = map(sum, zip(*(killed_for_its_memory() for _ in range(rounds))))
    if not killed:
        return report.cannot(f"killed for its memory: the kernel found room for it {rounds} times")
    report(f"{killed} times killed by the kernel for its memory, of {rounds}: {acknowledged} acknowledged, 0 lost")


def out_of_files():
    """The slowest of the honest calls."""
    ledger, slowest = Ledger(), 0.0
    with Place() as place, Daemon(place, under=("prlimit", f"--nofile={FILES}")) as daemon:
        with contextlib.ExitStack() as silent:
            for door in (daemon.ingest_door, daemon.query_door):
                host, port = door.rsplit(":", 1)
                for _ in range(SILENT):
                    silent.enter_context(socket.create_connection((host, int(port))))
            for _ in range(HONEST):
                began = time.monotonic()
                if not ledger.post(daemon.ingest()):
                    raise Breach("an honest delivery was not taken")
                if daemon.get(f"/v1/events/{ledger.last}?minSeq={ledger.last}").status != 200:
                    raise Breach("an honest reader was not served")
                slowest = max(slowest, time.monotonic() - began)
        ledger.verify(daemon)
        daemon.stop()
        finish(place, ledger)
    return slowest


def suspended():
    ledger = Ledger()
    with Place() as place:
        # Shorter than the pause, so that all who wait between two requests have waited too long when it goes on.
        place.settings = {f"limits.{what}_timeout": "500ms" for what in ("idle", "write")}
        with Daemon(place) as daemon:
            with under_load(daemon, ledger, size=9000):
                time.sleep(random.uniform(0, 0.1))
                daemon.signal(signal.SIGSTOP)
                time.sleep(0.8)
                daemon.signal(signal.SIGCONT)
                back_again(daemon, ledger)
            ledger.verify(daemon)
            daemon.stop()
        finish(place, ledger)
    return len(ledger)


def out_of_addresses():
    """Its address space may not grow any more: (acknowledged, refused, whether it ended)."""
    ledger = Ledger()
    with Place() as place, Daemon(place) as daemon:
        with under_load(daemon, ledger, size=LARGE, share=1):
            time.sleep(0.1)
            resource.prlimit(daemon.pid, resource.RLIMIT_AS, (1 << 20, resource.RLIM_INFINITY))
            with contextlib.suppress(Breach):  # it may have all that it needs
                until("a refusal", 3, lambda: ledger.refused or not daemon.runs())
            ended = not daemon.runs()
            try:
                resource.prlimit(daemon.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
                back_again(daemon, ledger)
            except (ProcessLookupError, Breach):
                if daemon.runs():
                    raise
                ended = True
        if not ended:
            ledger.verify(daemon)
        daemon.kill()
        finish(place, ledger)
    return len(ledger), ledger.refused, ended


def killed_for_its_memory():
    """It may have little more than after its start: (acknowledged, whether the kernel killed it)."""
    ledger = Ledger()
    with memory_group() as (group, inside), Place() as place, Daemon(place, under=inside) as daemon:
        in_use = int((group / "memory.usage_in_bytes").read_text())
        (group / "memory.limit_in_bytes").write_text(str(in_use + MORE))
        with under_load(daemon, ledger):
            time.sleep(0.1)
            with under_load(daemon, ledger, senders=24, size=LARGE, share=1), contextlib.suppress(Breach):
                until("the kernel to kill it", KILLED_WITHIN, lambda: not daemon.runs())  # it may get by
            killed = not daemon.runs()
            if daemon.kill() != -signal.SIGKILL:
                raise Breach("it was not the kernel that ended it")
        finish(place, ledger)
    return len(ledger), killed


@contextlib.contextmanager
def memory_group():
    """A group of processes, and words before a command that begins in it: what it has later is charged to the group."""
    group = GROUPS / f"waldo-faults-{random.randrange(1 << 60):x}"
    group.mkdir()
    try:
        yield group, ("sh", "-c", f'echo $$ >{group}/cgroup.procs && exec "$@"', "sh")
    finally:
        group.rmdir()
