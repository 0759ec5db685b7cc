"""Readers of the event stream, of whom half never read: those who do get every event in order, those who do not are let
go, and deliveries are taken all the while.
"""

import contextlib
import selectors
import socket
import time

from ledger import Ledger
from rig import Breach, Daemon, Place

WRITE_TIMEOUT = 2  # seconds
GRACE = 1
EVENT_BYTES = 20_000
EVENTS = 250  # more than the kernel keeps for a reader
SHORT, LONG = 40, 1000
PATIENCE = 300
ASK = b"GET /v1/events/stream?after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n"


def run(long, report):
    count = LONG if long else SHORT
    with Place() as place:
        place.settings = {"limits.write_timeout": f"{WRITE_TIMEOUT}s"}
        with Daemon(place) as daemon:
            report(f"{count} readers of the stream: {watched(daemon, count)}")
            daemon.stop()
        place.whole()


def watched(daemon, count):
    ledger, sockets_before = Ledger(), daemon.sockets()
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for number in range(count):
            reader = stack.enter_context(connected(daemon.query_door))
            if number % 2 == 0:
                selector.register(reader, selectors.EVENT_READ, Reader())
        client, slowest = daemon.ingest(), 0.0
        for _ in range(EVENTS):
            began = time.monotonic()
            if not ledger.post(client, size=EVENT_BYTES):
                raise Breach("a delivery was not taken")
            slowest = max(slowest, time.monotonic() - began)
            read_what_is_there(selector)
        readers = [key.data for key in selector.get_map().values()]
        end = time.monotonic() + PATIENCE
        while any(reader.last < ledger.last for reader in readers):
            read_what_is_there(selector)
            if time.monotonic() > end:
                raise Breach(f"after {PATIENCE} s a reader stands at {min(r.last for r in readers)} of {ledger.last}")
        began = time.monotonic()
        while daemon.sockets() > sockets_before + len(readers) + 1:
            read_what_is_there(selector)
            if time.monotonic() > began + WRITE_TIMEOUT + GRACE:
                raise Breach(f"{daemon.sockets() - sockets_before - len(readers)} who do not read are still served")
    ledger.verify(daemon)
    return (f"{len(readers)} got {ledger.last} events in order, the others were let go; "
            f"the slowest delivery took {slowest * 1000:.0f} ms")


class Reader:
    """Follows the stream: every seq once, in order."""

    def __init__(self):
        self.rest, self.last = b"", 0

    def take(self, part):
        *lines, self.rest = (self.rest + part).split(b"\n")
        for line in lines:
            if line.startswith(b"id:"):
                seq = int(line[3:])
                if seq != self.last + 1:
                    raise Breach(f"the stream shows {seq} after {self.last}")
                self.last = seq


def read_what_is_there(selector):
    for key, _ in selector.select(timeout=0.001):
        part = key.fileobj.recv(1 << 20)
        if not part:
            raise Breach(f"a reader was let go at {key.data.last}")
        key.data.take(part)


def connected(door):
    host, port = door.rsplit(":", 1)
    reader = socket.create_connection((host, int(port)))
    reader.sendall(ASK)
    reader.setblocking(False)
    return reader
