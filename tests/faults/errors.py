"""Writes and flushes that fail: each call in turn, once and from then on, with EIO and with ENOSPC; and writes cut short.

The Nth call of a kind fails in each thread that makes so many. For short writes the kernel breaks them off itself, at a
limit on the size of files. Nothing is acknowledged that is not kept and flushed, a refusal is a 503, readers are served
all the while, and the daemon takes deliveries again by itself as soon as its disk does; where it cannot start, it does
after the restart that a service manager gives it.
"""

import itertools
import resource

from disk import strace, stop_tracing
from kill import finish
from ledger import Ledger
from rig import Breach, Daemon, NotStarted, Place, until

FLUSHES = "fsync,fdatasync"
CALLS = {"pwrite64": 30, FLUSHES: 300, "ftruncate": 10}  # and how many deliveries make 300 of them, or all there are
FAULTS = ("EIO", "ENOSPC")
SHORT, LONG = (1, 2, 3, 5, 8, 11, 12, 14, 20, 60, 75, 200), range(1, 301)
BACK_WITHIN = 1  # second, as a rule; a busy disk may have one in ten take longer
WAITED_FOR = 20  # seconds
REFUSALS = 3
recoveries = []  # how long each took, of all drivers that ran so far


def run(long, report):
    for call, fault, lasting in itertools.product(CALLS, FAULTS, (False, True)):
        tally = Tally()
        for number in LONG if long else SHORT:
            if not fails_at(call, number, fault, lasting, tally):
                break
            tally.points, tally.last = tally.points + 1, number
        if not tally.points:
            raise Breach(f"no {call} ever failed")
        report(f"{call.split(',')[0]} {fault} {'from then on' if lasting else 'once'}, {tally.points} points to the "
               f"{tally.last}.: {tally.acknowledged} acknowledged, {tally.refused} refused, "
               f"{tally.not_started} starts failed, 0 lost; back after {tally.slowest * 1000:.0f} ms at most")
    rounds = 200 if long else 20
    acknowledged, refused = cut_short(rounds)
    report(f"writes cut short, {rounds} times: {acknowledged} acknowledged, {refused} refused, 0 lost")


class Tally:
    points = last = acknowledged = refused = not_started = 0
    slowest = 0.0


def fails_at(call, number, fault, lasting, tally):
    """A life of the daemon with one point that fails. False: the point was never reached."""
    ledger = Ledger()
    with Place() as place:
        trace = place.path / "trace"
        under = strace(f"{call}:error={fault}:when={number}{'+' * lasting}", log=trace)
        try:
            with Daemon(place, under=under) as daemon:
                at_the_start = flushes(trace)
                deliver(daemon, ledger, min(CALLS[call], number + 5))
                if daemon.runs():
                    stop_tracing(daemon.pid)
                    if call == FLUSHES and len(ledger.events) > flushes(trace) - at_the_start:
                        raise Breach("there were more acknowledgements than flushes")
                    tally.slowest = max(tally.slowest, back_again(daemon, ledger))
                    ledger.verify(daemon)
        except NotStarted as death:
            if death.code != 1:
                raise Breach(str(death)) from death
            tally.not_started += 1
        finish(place, ledger)
        tally.acknowledged += len(ledger)
        tally.refused += ledger.refused
        return "INJECTED" in trace.read_text()


def deliver(daemon, ledger, deliveries):
    """One by one, so that each acknowledgement needs a flush of its own. Ends early when all is refused."""
    client, refusals = daemon.ingest(), 0
    for _ in range(deliveries):
        taken = ledger.post(client)
        if taken is None and not daemon.runs():
            return
        refusals = 0 if taken else refusals + 1
        if refusals:
            served(daemon)
        if refusals == REFUSALS:
            return


def flushes(trace):
    return sum("sync" in line and line.endswith(" = 0") for line in trace.read_text().splitlines())


def served(daemon):
    """Readers are served while deliveries are refused."""
    for target in ("/v1/events?limit=1000", "/v1/customers", "/healthz"):
        answer = daemon.get(target)
        if answer.status != 200:
            raise Breach(f"while deliveries are refused {target} answers {answer}")


def back_again(daemon, ledger):
    """The seconds until a delivery is taken."""
    client = daemon.ingest()
    return soon("a delivery to be taken again", lambda: ledger.post(client))


def soon(what, happens):
    """Waits until something recovers, and measures that it does so within a second as a rule."""
    recoveries.append(until(what, WAITED_FOR, happens))
    late = sum(seconds > BACK_WITHIN for seconds in recoveries)
    if late > 1 + len(recoveries) / 10:
        raise Breach(f"{late} of {len(recoveries)} times it took longer than {BACK_WITHIN} s for {what}")
    return recoveries[-1]


def cut_short(rounds):
    """No file may grow past a point somewhere in the next few pages: the write that crosses it is cut short there."""
    ledger = Ledger()
    with Place() as place, Daemon(place) as daemon:
        client = daemon.ingest()
        for number in range(rounds):
            ledger.post(client, size=2000)
            files = [file.stat().st_size for file in place.data.glob("waldo-syncd.db*")]
            limit = max(files) + number * 997 % 20_000
            resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            refused = ledger.refused
            until("a write past the limit", 20, lambda: not ledger.post(client, size=4000))
            if ledger.refused == refused:
                raise Breach("a write cut short was answered with neither yes nor no")
            served(daemon)
            resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            back_again(daemon, ledger)
        ledger.verify(daemon)
        daemon.kill()
        finish(place, ledger)
    return len(ledger), ledger.refused
