"""What the daemon acknowledged, the load that makes it do so, and the comparison with what it shows afterwards.

A ledger outlives kills, power cuts and full disks. It holds what a sender knows: which body was answered with which seq.
"""

import contextlib
import copy
import hashlib
import itertools
import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from rig import HOOK, NO_ANSWER, Breach

CUSTOMERS = 40
PAGE = 1000
SAMPLES = 20
PAUSE = 0.01  # after a refusal, in seconds


class Ledger:
    """Bodies by the seq they were acknowledged with, and requests that were registered."""

    def __init__(self):
        self.events = {}
        self.requests = set()
        self.last = 0
        self.refused = self.unanswered = 0
        self.lock = threading.Lock()
        self.numbers = itertools.count()
        self.seen_to = 0
        self.pruned = False

    def copy(self):
        """What is known at this moment."""
        other = Ledger()
        with self.lock:
            other.events, other.requests, other.last = dict(self.events), set(self.requests), self.last
        other.numbers, other.pruned = copy.copy(self.numbers), self.pruned
        return other

    def __len__(self):
        return len(self.events) + len(self.requests)

    def body(self, size=0):
        """A body like no other in this ledger, in one of the shapes that Waldo sends."""
        number = next(self.numbers)
        customer = f"c{number % CUSTOMERS}"
        shape = number % 4
        if shape == 0:
            body = {"event": "flag", "customerId": customer, "flag": number % 8 == 0}
        elif shape == 1:
            validation = {"status": ["APPROVED", "REVIEW", "REJECTED"][number % 3], "kyc": "PASSED"}
            body = {"event": "onboard", "customerId": customer, "validation": validation}
        else:
            evaluation = {"type": "fraud", "status": "initiated" if shape == 2 else "completed"}
            body = {"event": "evaluation", "customerId": customer, "requestId": f"r{number // 4}",
                    "evaluation": evaluation}
        body["post"] = number
        if size:
            body["fill"] = "x" * size
        return json.dumps(body).encode()

    def post(self, client, size=0):
        """One delivery, noted by its answer. True: acknowledged; False: refused; None: no answer."""
        body = self.body(size)
        try:
            answer = client.call("POST", HOOK, body)
        except NO_ANSWER:
            return self.left_unanswered()
        return self.note(answer, 200, lambda: self.acknowledge(answer.json()["seq"], body))

    def register(self, client):
        """One registration by the control socket, noted like a delivery."""
        name = f"own{next(self.numbers)}"
        body = json.dumps({"requestId": name, "operation": "onboard", "customerId": f"c{hash(name) % CUSTOMERS}"})
        try:
            answer = client.call("POST", "/v1/requests", body)
        except NO_ANSWER:
            return self.left_unanswered()
        return self.note(answer, 201, lambda: self.requests.add(name))

    def left_unanswered(self):
        self.unanswered += 1
        time.sleep(PAUSE)

    def note(self, answer, success, keep):
        if answer.status == success:
            keep()
            return True
        if answer.status != 503:
            raise Breach(f"neither acknowledged nor refused: {answer}")
        if not answer.headers.get("Retry-After", "").isdigit():
            raise Breach(f"a 503 without Retry-After: {answer}")
        self.refused += 1
        time.sleep(PAUSE)
        return False

    def acknowledge(self, seq, body):
        with self.lock:
            if seq in self.events:
                raise Breach(f"seq {seq} was given twice")
            self.events[seq] = body
            self.last = max(self.last, seq)

    def verify(self, daemon, whole=True):
        """All that was acknowledged is shown by a running daemon, each body byte for byte, in an unbroken order of seqs.
        Without `whole` only what was acknowledged since the last time."""
        missing = {seq: body for seq, body in self.events.items() if whole or seq > self.seen_to}
        sample = random.sample(sorted(missing), min(SAMPLES, len(missing)))
        requests = set(self.requests)
        client = daemon.query()
        end = shown(client, "/v1/stats").json()["durableSeq"]
        lost = sum(seq > end for seq in self.events)
        if lost:
            raise Breach(f"the log ends at {end}, {lost} of {len(self.events)} events were acknowledged behind that")
        after = 0 if whole else self.seen_to
        wait = f"&minSeq={end}"
        last = after
        while True:
            page = shown(client, f"/v1/events?limit={PAGE}&after={after}{wait}").json()
            for event in page["items"]:
                seq = event["seq"]
                if seq <= last:
                    raise Breach(f"the feed shows {seq} behind {last}")
                last = seq
                body = missing.pop(seq, None)
                if body is not None and event["digest"] != hashlib.sha256(body).hexdigest():
                    raise Breach(f"event {seq} is not what was acknowledged as {seq}")
                if event["source"] == "control":
                    requests.discard(event["requestId"])
            after = page["next"]
            if not page["items"]:
                break
        if whole and requests:
            raise Breach(f"{len(requests)} of {len(self.requests)} acknowledged registrations are lost")
        if missing:
            raise Breach(f"{len(missing)} of {len(self.events)} acknowledged events are lost, "
                         f"the first is {min(missing)}; the log ends at {last}")
        for seq in sample:
            answer = shown(client, f"/v1/events/{seq}/payload", but=404 if self.pruned else None)
            if answer.status == 200 and answer.body != self.events[seq]:
                raise Breach(f"the payload of {seq} is not what was sent: {answer}")
        self.seen_to = last


def shown(client, target, but=None):
    """The answer to a question that has one, or the one other answer that will do."""
    try:
        answer = client.call("GET", target)
    except NO_ANSWER as silence:
        raise Breach(f"{target} is not answered: {silence!r}") from silence
    if answer.status not in (200, but):
        raise Breach(f"{target} is answered {answer}")
    return answer


class Load:
    """Threads that deliver, and one that registers requests, until told to stop or the daemon is gone. Of the bodies a
    share is of that size, the others are small."""

    def __init__(self, daemon, ledger, senders=6, size=0, share=0.2):
        self.daemon, self.over = daemon, threading.Event()
        work = [(daemon.ingest, lambda client: ledger.post(client, size if random.random() < share else 0))] * senders
        work.append((daemon.control, ledger.register))
        self.pool = ThreadPoolExecutor(len(work))
        self.running = [self.pool.submit(self.run, *job) for job in work]

    def run(self, connect, act):
        client = connect()
        while not self.over.is_set() and (act(client) or self.daemon.runs()):
            pass
        client.close()

    def hush(self):
        """No delivery comes any more; a registration may still wait for its answer."""
        self.over.set()
        for sender in self.running[:-1]:
            sender.result()

    def stop(self):
        self.over.set()
        self.pool.shutdown()
        for worker in self.running:
            worker.result()


@contextlib.contextmanager
def under_load(daemon, ledger, **options):
    load = Load(daemon, ledger, **options)
    try:
        yield load
    except BaseException:
        load.over.set()
        raise
    load.stop()
