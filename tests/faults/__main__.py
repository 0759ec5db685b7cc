"""The fault drivers: break what the program stands on, and see whether it keeps its promises.

    python3 tests/faults                 the short form, all drivers, some three minutes
    python3 tests/faults --long          the long form, about an hour
    python3 tests/faults kill power      these only

Needs root and Linux: it mounts small disks of its own, traces system calls and limits processes. All of that happens in
namespaces that end with it, so nothing stays mounted or running, however it ends. Exit codes: 0 every promise was kept,
1 one was broken, 77 none was broken but something could not be tried here (it says what).
"""

import argparse
import importlib
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

import rig

DRIVERS = ("kill", "points", "power", "full", "errors", "place", "clock", "limits", "framing", "slow", "streams")
NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
INSIDE = "WALDO_FAULTS_INSIDE"
TOOLS = ("strace", "mkfs.ext4", "mount", "umount", "prlimit", "setpriv")
KEPT, BROKEN, NOT_RUN = 0, 1, 77


class Report:
    """Prints what a driver found as it finds it."""

    def __init__(self, driver):
        self.driver, self.began, self.missing = driver, time.monotonic(), False

    def __call__(self, figures):
        print(f"[{time.monotonic() - self.began:6.1f} s] {self.driver}: {figures}", flush=True)

    def cannot(self, reason):
        """A part that this machine has no means for."""
        self.missing = True
        self(f"NOT RUN: {reason}")


def main():
    arguments = parse()
    if os.geteuid() != 0:
        print("NOT RUN: all of it needs root, for disks and namespaces of its own")
        return NOT_RUN
    if INSIDE not in os.environ:
        if subprocess.run([*NAMESPACES, "true"]).returncode != 0:
            print("NOT RUN: all of it needs mount and process namespaces of its own")
            return NOT_RUN
        os.environ[INSIDE] = "1"
        os.execvp(NAMESPACES[0], [*NAMESPACES, sys.executable, *sys.argv])
    rig.binary = arguments.binary.resolve()
    random.seed(arguments.seed)
    print(f"the {'long' if arguments.long else 'short'} form with {rig.binary}, seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="waldo-faults-", dir=arguments.scratch) as folder:
        os.chmod(folder, 0o755)
        tempfile.tempdir = folder
        outcomes = [drive(name, arguments.long) for name in arguments.drivers or DRIVERS]
    return max(outcomes, key=(KEPT, NOT_RUN, BROKEN).index)


def parse():
    parser = argparse.ArgumentParser(prog="python3 tests/faults", description="Breaks what the program stands on.")
    parser.add_argument("drivers", nargs="*", metavar="DRIVER", help=f"some of: {' '.join(DRIVERS)}")
    parser.add_argument("--long", action="store_true", help="the long form")
    parser.add_argument("--binary", type=pathlib.Path, default=rig.binary, help="the program under test")
    parser.add_argument("--scratch", help="where disks and data directories are made")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of all chance but that of threads")
    arguments = parser.parse_args()
    if unknown := set(arguments.drivers) - set(DRIVERS):
        parser.error(f"no such driver: {' '.join(unknown)}")
    if not os.access(arguments.binary, os.X_OK):
        parser.error(f"{arguments.binary} is no program; build it first: cargo build --release")
    return arguments


def drive(name, long):
    report = Report(name)
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        report.cannot(f"needs {', '.join(missing)}")
        return NOT_RUN
    try:
        importlib.import_module(name).run(long, report)
    except Exception as breach:  # a driver that fails itself proves nothing either; the others still run
        traceback.print_exc()
        report(f"BROKEN: {type(breach).__name__}: {breach}")
        return BROKEN
    return NOT_RUN if report.missing else KEPT


sys.exit(main())
