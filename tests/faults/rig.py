"""The program under test: a place to run in, a running daemon, its doors and its verbs.

Everything waits for something that happens (a ready file, an answer, the end of a process) and gives up after a limit.
"""

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SECRET = "secret-of-the-fault-drivers"
HOOK = f"/webhooks/waldo/{SECRET}"
START_LIMIT = STOP_LIMIT = VERB_LIMIT = 60
ANSWER_LIMIT = 20

binary = HERE.parent.parent / "target/release/waldo-syncd"


class Breach(Exception):
    """The program did not keep a promise."""


class NotStarted(Exception):
    """The daemon ended before its doors were open."""

    def __init__(self, code, log):
        super().__init__(f"the daemon ended with {code} before its doors were open:\n{log}")
        self.code = code


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __str__(self):
        return f"{self.status} {self.body[:300]!r}"


class Client:
    """One kept connection to one door: `host:port`, or the path of a Unix socket."""

    def __init__(self, door, timeout=ANSWER_LIMIT):
        if door.startswith("/"):
            self.connection = http.client.HTTPConnection("localhost", timeout=timeout)
            self.connection.connect = self._connect_unix
            self.path = door
        else:
            self.connection = http.client.HTTPConnection(door, timeout=timeout)

    def _connect_unix(self):
        self.connection.sock = socket.socket(socket.AF_UNIX)
        self.connection.sock.settimeout(self.connection.timeout)
        self.connection.sock.connect(self.path)

    def call(self, method, target, body=None, headers=None):
        """One exchange; OSError or HTTPException when there is no whole answer."""
        try:
            self.connection.request(method, target, body, headers or {})
            answer = self.connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def close(self):
        self.connection.close()


NO_ANSWER = (OSError, http.client.HTTPException)


class Place:
    """A folder in which the program runs; `data` may be put on another disk."""

    def __init__(self, data=None):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="place-"))
        self.data = pathlib.Path(data or self.path / "data")
        self.control = self.path / "control.sock"
        self.log = self.path / "log"
        self.settings = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def environment(self):
        names = {"ingest.secret": SECRET, **self.settings}
        return {
            "HOME": str(self.path),
            "PATH": os.environ["PATH"],
            **{"WALDO_SYNCD_" + name.upper().replace(".", "__"): str(value) for name, value in names.items()},
        }

    def verb(self, *arguments, under=(), data=None):
        """Runs a verb to its end: (exit code, what it printed). By a signal the code is negative."""
        run = subprocess.run(
            [*under, binary, *arguments, "--data-dir", data or self.data],
            env=self.environment(), cwd=self.path, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=VERB_LIMIT,
        )
        output = run.stdout.decode(errors="replace")
        calm(output)
        return run.returncode, output

    def must(self, *arguments, **options):
        """Runs a verb that has to succeed."""
        code, output = self.verb(*arguments, **options)
        if code != 0:
            raise Breach(f"{' '.join(map(str, arguments))} ended with {code}:\n{output}")
        return output

    def whole(self, data=None):
        """The chain is whole, and the rows are what the log says."""
        self.must("check", data=data)
        self.must("rebuild", "--diff", data=data)


class Daemon:
    """A running daemon. `under` are words before its command: strace, prlimit, setpriv and their like, none of which may
    stay its parent."""

    def __init__(self, place, under=(), environment=None, program=None):
        self.place, self.extra, self.program = place, environment or {}, program or binary
        self.launch(under)
        self.await_doors()

    def __enter__(self):
        return self

    def __exit__(self, kind, breach, *_):
        if breach:
            how = "runs" if self.runs() else f"ended with {self.process.returncode}"
            breach.add_note(f"the daemon {how}; its log ends:\n{self.log_text()[-1000:]}")
        self.kill()

    @classmethod
    def launched(cls, place, under=()):
        """One that may end before its doors are open; nothing is known of it yet but its process."""
        daemon = cls.__new__(cls)
        daemon.place, daemon.extra, daemon.program = place, {}, binary
        daemon.launch(under)
        return daemon

    def launch(self, under):
        self.ready = self.place.path / "ready.json"
        self.ready.unlink(missing_ok=True)
        command = [
            *under, self.program, "serve", "--data-dir", self.place.data,
            "--ingest", "127.0.0.1:0", "--query", "127.0.0.1:0",
            "--control", self.place.control, "--ready-file", self.ready,
        ]
        with open(self.place.log, "ab") as log:
            self.process = subprocess.Popen(
                command, env=self.place.environment() | self.extra, cwd=self.place.path, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, restore_signals=False,
            )

    def await_doors(self):
        end = time.monotonic() + START_LIMIT
        while not self.ready.exists():
            code = self.process.poll()
            if code is not None:
                raise NotStarted(code, self.log_text()[-2000:])
            if time.monotonic() > end:
                self.kill()
                raise Breach(f"no door opened in {START_LIMIT} s:\n{self.log_text()[-2000:]}")
            time.sleep(0.002)
        doors = json.loads(self.ready.read_text())
        self.ingest_door, self.query_door, self.control_door = doors["ingest"], doors["query"], doors["control"]

    @property
    def pid(self):
        return self.process.pid

    def ingest(self, **options):
        return Client(self.ingest_door, **options)

    def query(self, **options):
        return Client(self.query_door, **options)

    def control(self, **options):
        return Client(self.control_door, **options)

    def get(self, target):
        return self.query().call("GET", target)

    def runs(self):
        return self.process.poll() is None

    def signal(self, number):
        if self.runs():
            os.kill(self.process.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.ended()

    def stop(self):
        """A clean stop: it ends by itself with 0 and leaves one file of the database."""
        self.signal(signal.SIGTERM)
        code = self.ended()
        if code != 0:
            raise Breach(f"a stop ended with {code}:\n{self.log_text()[-2000:]}")

    def ended(self):
        """Waits for the end; the exit code, negative by a signal."""
        try:
            code = self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired as hung:
            self.process.kill()
            raise Breach(f"the daemon did not end in {STOP_LIMIT} s") from hung
        calm(self.log_text())
        return code

    def log_text(self):
        return self.place.log.read_text(errors="replace") if self.place.log.exists() else ""

    def sockets(self):
        """How many it has open, its doors among them."""
        count = 0
        for file in pathlib.Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                count += os.readlink(file).startswith("socket:")
        return count

    def memory(self):
        """Resident bytes."""
        pages = pathlib.Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


def calm(text):
    """No panic text, ever."""
    for word in ("panicked at", "stack backtrace"):
        if word in text:
            raise Breach(f"panic text in the output:\n{text[-3000:]}")


def until(what, limit, condition):
    """Waits until the condition gives something; the seconds it took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() > began + limit:
            raise Breach(f"waited {limit} s for {what}")
        time.sleep(0.005)
    return time.monotonic() - began
