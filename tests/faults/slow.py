"""Clients that hold connections and give nothing for them: silent ones, heads and bodies that come byte by byte, answers
that nobody reads, and clients that are gone without having said so.

Meanwhile honest clients, each with a connection of its own, are all served, the bad ones are let go within the time that
is configured for what they do, and the daemon's memory stays bounded.
"""

import contextlib
import dataclasses
import multiprocessing
import pathlib
import socket
import statistics
import time

from ledger import Ledger
from rig import HOOK, NO_ANSWER, Breach, Daemon, Place

MEMORY = 256 << 20
GRACE = 1  # second past the timeout
WITHIN, FLOOR = 3, 0.05  # times the unloaded p99; below this many seconds it does not matter
SLACK = 3  # honest connections that come and go
TCP_REPAIR = 19
ESTABLISHED = "01"
HEAD = f"POST {HOOK} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n".encode()
PAGE = "/v1/events?limit=1000"
PAGES = f"GET {PAGE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * 100


@dataclasses.dataclass
class Kind:
    """A bad client: what it sends at first, what every second, and the timeout that is to end it."""

    first: bytes
    drip: bytes
    timeout: str
    door: str = "ingest"
    vanishes: bool = False
    lingers: int = 0  # seconds for which the door reads away what comes after its answer
    short: int = 1200  # more than there may be connections at once
    long: int = 10_000


KINDS = {
    "silent": Kind(b"", b"", "head"),
    "slow heads": Kind(HEAD, b"x", "head"),
    "slow bodies": Kind(HEAD + b"\r\n", b"x", "body", lingers=1),
    "never reading": Kind(PAGES, b"", "write", door="query", short=100, long=1000),
    "half-open": Kind(HEAD + b"\r\nx", b"", "body", vanishes=True, lingers=1),
}


def run(long, report):
    times = {"head": 10, "body": 10, "idle": 30, "write": 30} if long else {"head": 2, "body": 2, "idle": 3, "write": 2}
    for name, kind in KINDS.items():
        count = kind.long if long else kind.short
        with Place() as place:
            place.settings = {f"limits.{what}_timeout": f"{seconds}s" for what, seconds in times.items()}
            with Daemon(place) as daemon:
                ledger = Ledger()
                for _ in range(300):
                    ledger.post(daemon.ingest())
                report(f"{count} {name}: {attacked(daemon, ledger, kind, count, times[kind.timeout] + kind.lingers, long)}")
                ledger.verify(daemon)
                daemon.stop()
            place.whole()


def attacked(daemon, ledger, kind, count, limit, long):
    unloaded = Honest(daemon, ledger)
    unloaded.call(for_seconds=10 if long else 1)
    sockets_before = daemon.sockets()
    honest = Honest(daemon, ledger)
    with attack(daemon, kind, count) as all_are_there:
        while not all_are_there():
            honest.call()
        waits = Waits(daemon, kind, limit + GRACE)
        while daemon.sockets() > sockets_before + SLACK:
            waits.look()
            honest.call()
    if honest.memory > MEMORY:
        raise Breach(f"{honest.memory >> 20} MiB of memory")
    # Those who never read have asked for work before, for which honest readers have to wait.
    if long and kind.door == "ingest" and honest.p99() > max(WITHIN * unloaded.p99(), FLOOR):
        raise Breach(f"honest p99 {honest.p99() * 1000:.1f} ms, unloaded {unloaded.p99() * 1000:.1f} ms")
    return (f"{len(honest.times)} honest calls, 0 failed, p99 {honest.p99() * 1000:.1f} ms (unloaded "
            f"{unloaded.p99() * 1000:.1f} ms); all let go after {waits.longest:.1f} s, of {limit} s; {honest.memory >> 20} MiB")


class Waits:
    """How long the clients of a kind have been waited for: all since the last one came, or each since it last took a
    byte of an answer."""

    def __init__(self, daemon, kind, limit):
        self.daemon, self.limit, self.longest = daemon, limit, 0.0
        self.per_answer = kind.timeout == "write"
        self.since = {"all": (0, time.monotonic())}

    def look(self):
        now = time.monotonic()
        if self.per_answer:
            unread = answers_unread(self.daemon.query_door)
            kept = {client: self.since[client] for client in unread.keys() & self.since.keys()}
            self.since = {client: kept[client] if client in kept and kept[client][0] == size else (size, now)
                          for client, size in unread.items()}
        self.longest = max([self.longest, *(now - since for _, since in self.since.values())])
        if self.longest > self.limit:
            raise Breach(f"a connection is still open after {self.longest:.1f} s")


def answers_unread(door):
    """What the kernel still keeps for each client of a door, in bytes."""
    port = f":{int(door.rsplit(':', 1)[1]):04X}"
    rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    queues = {row[2]: int(row[4].split(":")[0], 16) for row in rows if row[1].endswith(port) and row[3] == ESTABLISHED}
    return {client: size for client, size in queues.items() if size}


class Honest:
    """Calls one after the other, each on a connection of its own."""

    def __init__(self, daemon, ledger):
        self.daemon, self.ledger, self.times, self.memory = daemon, ledger, [], 0

    def call(self, for_seconds=0):
        end = time.monotonic() + for_seconds
        while True:
            for act in (self.post, self.read):
                began = time.monotonic()
                act()
                self.times.append(time.monotonic() - began)
            self.memory = max(self.memory, self.daemon.memory())
            if time.monotonic() >= end:
                return

    def post(self):
        if not self.ledger.post(self.daemon.ingest()):
            raise Breach("an honest delivery was not taken")

    def read(self):
        try:
            answer = self.daemon.get("/v1/events?limit=1")
        except NO_ANSWER as error:
            raise Breach(f"an honest reader got no answer: {error}") from error
        if answer.status != 200:
            raise Breach(f"an honest reader got {answer}")

    def p99(self):
        """The median of what the 99th of each hundred took: one disturbance is not all there was."""
        whole = len(self.times) - len(self.times) % 100 or len(self.times)
        return statistics.median(sorted(self.times[at : at + 100])[-2] for at in range(0, whole, 100))


@contextlib.contextmanager
def attack(daemon, kind, count):
    """Bad clients in a process of their own; what it gives tells whether all have connected."""
    here, there = multiprocessing.Pipe()
    door = daemon.query_door if kind.door == "query" else daemon.ingest_door
    attacker = multiprocessing.get_context("fork").Process(target=hold, args=(kind, door, count, there), daemon=True)
    attacker.start()

    def all_are_there():
        if not attacker.is_alive():
            raise Breach(f"the bad clients ended with {attacker.exitcode} before all had connected")
        return here.poll()

    try:
        yield all_are_there
    finally:
        here.send("enough")
        attacker.join()


def hold(kind, door, count, parent):
    host, port = door.rsplit(":", 1)
    clients = set()
    for number in range(count):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((host, int(port)))
        client.setblocking(False)
        clients.add(client)
        say(clients, client, kind.first)
        if kind.vanishes:
            client.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)  # closes without a word
            client.close()
            clients.discard(client)
        if number % 100 == 0:
            drip(clients, kind)
    parent.send("all are there")
    while not parent.poll(1):
        drip(clients, kind)


def drip(clients, kind):
    if kind.drip:
        for client in list(clients):
            say(clients, client, kind.drip)


def say(clients, client, text):
    try:
        client.send(text)
    except BlockingIOError:
        pass
    except OSError:
        client.close()
        clients.discard(client)
