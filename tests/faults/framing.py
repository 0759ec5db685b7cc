"""Requests that are no clean HTTP/1.1: written to a socket as they are, answered by 4xx or closed, and never stored.

Each one carries a webhook that would be stored if its bytes were read in the wrong way, most of them one behind it too.
"""

import itertools
import random
import re
import socket
from concurrent.futures import ThreadPoolExecutor

from ledger import Ledger
from rig import HOOK, Breach, Daemon, Place

PATIENCE = 5  # seconds
SOCKETS = 50
STORED = re.compile(rb"HTTP/1\.[01] (?:200|413) ")  # a changed byte may make it a request of HTTP/1.0
BITS = (b"", b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b",", b";", b"\x00", b"0", b"f", b"+", b"chunked", b"\xff", b"{")

BODY = b'{"event":"flag","customerId":"smuggled","flag":true}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
START = b"POST %s HTTP/1.1\r\n" % HOOK.encode()
HOST = b"Host: localhost\r\n"
GOOD = START + HOST + LENGTH + b"\r\n" + BODY


def head(*fields, start=START, host=HOST):
    return start + host + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


def chunked(fields=(b"Transfer-Encoding: chunked",), body=CHUNKS):
    return head(*fields) + body


CASES = {
    "length and encoding": head(LENGTH.strip(), CHUNKED.strip()) + CHUNKS + GOOD,
    "encoding and length": head(CHUNKED.strip(), b"Content-Length: 3") + CHUNKS + GOOD,
    "two lengths": head(LENGTH.strip(), LENGTH.strip()) + BODY,
    "two lengths that differ": head(LENGTH.strip(), b"Content-Length: 0") + BODY,
    "a list of lengths": head(b"Content-Length: %d, %d" % (len(BODY), len(BODY))) + BODY,
    "a length with a sign": head(b"Content-Length: +%d" % len(BODY)) + BODY,
    "a negative length": head(b"Content-Length: -1") + BODY,
    "a length in hex": head(b"Content-Length: 0x34") + BODY,
    "a length past all numbers": head(b"Content-Length: 99999999999999999999999") + BODY,
    "two encodings": chunked((b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked")),
    "chunked twice": chunked((b"Transfer-Encoding: chunked, chunked",)),
    "another encoding and chunked": chunked((b"Transfer-Encoding: gzip, chunked",)),
    "chunked and another encoding": chunked((b"Transfer-Encoding: chunked, identity",)),
    "an unknown encoding": chunked((b"Transfer-Encoding: xchunked",)),
    "no encoding": chunked((b"Transfer-Encoding:",)),
    "an encoding in quotes": chunked((b'Transfer-Encoding: "chunked"',)),
    "a tab in the encoding": chunked((b"Transfer-Encoding: chu\tnked",)),
    "an encoding behind a vertical tab": chunked((b"Transfer-Encoding: \x0bchunked",)),
    "a space before the colon": head(b"Content-Length : %d" % len(BODY)) + BODY,
    "an encoding with a space before the colon": chunked((b"Transfer-Encoding : chunked", LENGTH.strip())),
    "a folded field": head(b"X: a\r\n b", LENGTH.strip()) + BODY,
    "a folded encoding": chunked((b"Transfer-Encoding:\r\n chunked",)),
    "a folded first field": START + b" " + HOST + LENGTH + b"\r\n" + BODY,
    "bare LF everywhere": GOOD.replace(b"\r\n", b"\n"),
    "bare LF in one place": GOOD.replace(HOST, b"Host: localhost\n"),
    "bare LF at the end": START + HOST + LENGTH + b"\n" + BODY,
    "bare CR in a value": head(b"X: a\rContent-Length: 0", LENGTH.strip()) + BODY,
    "NUL in a value": head(b"X: a\x00b", LENGTH.strip()) + BODY,
    "NUL in a name": head(b"X\x00: b", LENGTH.strip()) + BODY,
    "NUL in the path": head(LENGTH.strip(), start=START.replace(b" HTTP", b"\x00 HTTP")) + BODY,
    "a field without a colon": head(b"Content-Length", LENGTH.strip()) + BODY,
    "a field without a name": head(b": a", LENGTH.strip()) + BODY,
    "no Host": head(LENGTH.strip(), host=b"") + BODY,
    "two Hosts": head(b"Host: localhost", LENGTH.strip()) + BODY,
    "an empty Host": head(LENGTH.strip(), host=b"Host: \r\n") + BODY,
    "a Host with user information": head(LENGTH.strip(), host=b"Host: a@localhost\r\n") + BODY,
    "another host in the target": head(LENGTH.strip(), start=START.replace(b"/web", b"http://evil/web")) + BODY,
    "a target with user information": head(LENGTH.strip(), start=START.replace(b"/web", b"http://a@localhost/web")) + BODY,
    "CONNECT": b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n" + GOOD,
    "a space in the target": head(LENGTH.strip(), start=START.replace(b" HTTP", b" x HTTP")) + BODY,
    "HTTP/0.9": b"POST %s\r\n\r\n" % HOOK.encode() + BODY,
    "HTTP/1.0 with an encoding": chunked().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/1.2": GOOD.replace(b"HTTP/1.1", b"HTTP/1.2"),
    "HTTP/3.0": GOOD.replace(b"HTTP/1.1", b"HTTP/3.0"),
    "h2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 9 + GOOD,
    "TLS hello": bytes.fromhex("16030100c8010000c40303") + bytes(190) + GOOD,
    "a chunk size with a sign": chunked(body=b"+" + CHUNKS),
    "a chunk size of nothing": chunked(body=b"\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk size in 0x": chunked(body=b"0x" + CHUNKS),
    "a chunk size past all numbers": chunked(body=b"1" + b"0" * 16 + b"\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk size with bare LF": chunked(body=CHUNKS.replace(b"\r\n", b"\n", 1)),
    "a chunk longer than its size": chunked(body=b"3\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk without its end": chunked(body=b"%x\r\n%s0\r\n\r\n" % (len(BODY), BODY)),
    "an extension without end": chunked(body=b"%x;%s\r\n%s\r\n0\r\n\r\n" % (len(BODY), b"a" * 100_000, BODY)),
    "an extension with bare LF": chunked(body=b"%x;a\nb\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "trailers without end": chunked(body=CHUNKS[:-2] + b"X: y\r\n" * 20_000 + b"\r\n"),
    "too many fields": head(*[b"X: y"] * 100, LENGTH.strip()) + BODY,
    "too large a head": head(b"X: " + b"y" * 20_000, LENGTH.strip()) + BODY,
    "a head without end": START + HOST + b"X: y\r\n" * 20_000,
}


def run(long, report):
    ledger = Ledger()
    with Place() as place:
        place.settings = {f"limits.{what}_timeout": "500ms" for what in ("head", "body", "idle")}
        with Daemon(place) as daemon:
            end = controls(daemon)
            doors = (daemon.ingest_door, daemon.query_door, daemon.control_door)
            for (name, request), door in itertools.product(CASES.items(), doors):
                refused(daemon, door, name, request, end)
            report(f"{len(CASES)} requests in bad shape at {len(doors)} doors: refused or closed, no row stored")
            rounds = 20_000 if long else 500
            stored = mangled(daemon, rounds, end)
            report(f"{rounds} pairs of requests with a few bytes changed: {stored} rows, each of them acknowledged")
            if not ledger.post(daemon.ingest()):
                raise Breach("no honest delivery was taken afterwards")
            daemon.stop()
        place.whole()


def controls(daemon):
    """What is clean is stored, or the refusals prove nothing."""
    absolute = START.replace(b"/web", b"http://localhost/web")
    clean = {GOOD: 1, GOOD + GOOD: 2, chunked(): 1, head(LENGTH.strip(), start=absolute) + BODY: 1}
    for request, rows in clean.items():
        before = end_of(daemon)
        answer = exchange(daemon.ingest_door, request)
        if answer.count(b"HTTP/1.1 200 ") != rows or end_of(daemon) != before + rows:
            raise Breach(f"a clean request is not stored: {request}: {answer}")
    return end_of(daemon)


def refused(daemon, door, name, request, end):
    answer = exchange(door, request)
    if answer and not answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")):
        raise Breach(f"{name} at {door} is answered {answer[:200]}")
    if end_of(daemon) != end:
        raise Breach(f"{name} at {door} stored something: {answer[:200]}")


def mangled(daemon, rounds, end):
    """Every row has its acknowledgement, whatever the bytes."""

    def one(number):
        chance = random.Random(number)
        request = bytearray(chance.choice((GOOD, chunked())) + GOOD)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(request))
            request[place : place + chance.randint(0, 2)] = chance.choice(BITS)
        answers = exchange(daemon.ingest_door, bytes(request))
        return len(STORED.findall(answers))

    with ThreadPoolExecutor(SOCKETS) as pool:
        stored = sum(pool.map(one, [random.randrange(1 << 60) for _ in range(rounds)]))
    if not stored:
        raise Breach("of all the changed requests none was good enough to be stored, so they prove nothing")
    if end_of(daemon) - end != stored:
        raise Breach(f"{end_of(daemon) - end} rows for {stored} acknowledgements")
    return stored


def exchange(door, request):
    """Sends the bytes and reads all that comes until the door closes, as it does with whoever sends no more."""
    if door.startswith("/"):
        connection = socket.socket(socket.AF_UNIX)
    else:
        connection = socket.socket()
    with connection:
        connection.settimeout(PATIENCE)
        connection.connect(door if door.startswith("/") else tuple_of(door))
        answer = b""
        try:
            connection.sendall(request)
            while part := connection.recv(65536):
                answer += part
        except TimeoutError as silence:
            raise Breach(f"not closed in {PATIENCE} s: {request[:200]} {answer[:200]}") from silence
        except OSError:
            pass  # closed with bytes unread
        return answer


def tuple_of(door):
    host, port = door.rsplit(":", 1)
    return host, int(port)


def end_of(daemon):
    return daemon.get("/v1/stats").json()["durableSeq"]
