"""A disk of its own for a daemon: a file with ext4 on it, mounted in the namespace of this run, so that both go with it.

`cut` is a power failure as a program can notice it: the file system stops at once and forgets what was not flushed, its
own journal included.
"""

import contextlib
import fcntl
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile

from rig import until

EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
WITHOUT_FLUSHING_THE_JOURNAL = 2


class Disk:
    def __init__(self, megabytes):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="disk-"))
        self.prepare(megabytes)
        self.image = self.folder / "image"
        self.path = self.folder / "mounted"
        self.path.mkdir()
        with open(self.image, "wb") as image:
            image.truncate(megabytes << 20)
        # Blocks of a page's size, as on every disk that is not tiny. Smaller ones leave holes in the mapped index of the
        # WAL, and writing to a hole on a full disk ends a process by SIGBUS.
        subprocess.run(["mkfs.ext4", "-q", "-b", "4096", "-m", "0", "-E", "lazy_itable_init=0", self.image], check=True)
        self.mounted = False
        self.mount()

    def prepare(self, megabytes):
        """The image may go anywhere."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.unmount()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def data(self):
        return self.path / "data"

    def mount(self, options="loop"):
        subprocess.run(["mount", "-o", options, self.image, self.path], check=True)
        self.mounted = True

    def unmount(self):
        if self.mounted:
            subprocess.run(["umount", self.path], check=True)
            self.mounted = False

    def cut(self):
        """From now on every call on it fails, and what was not flushed is gone."""
        with self._handle() as handle:
            fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, struct.pack("I", WITHOUT_FLUSHING_THE_JOURNAL))

    def restore_power(self):
        """Nobody may have a file of it open any more."""
        self.unmount()
        self.mount()

    def turn_read_only(self):
        """As after an error in the file system's own data."""
        subprocess.run(["mount", "-o", "remount,errors=remount-ro", self.path], check=True)
        pathlib.Path(f"/sys/fs/ext4/{self.device()}/trigger_fs_error").write_text("made by a test")

    def repair(self):
        self.unmount()
        subprocess.run(["e2fsck", "-fy", self.image], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.mount()

    def device(self):
        found = subprocess.run(["findmnt", "-no", "SOURCE", self.path], check=True, capture_output=True, text=True)
        return pathlib.Path(found.stdout.strip()).name

    def free(self):
        stat = os.statvfs(self.path)
        return stat.f_bavail * stat.f_frsize

    def fill(self, left):
        """Takes all space but about `left` bytes."""
        with open(self.path / "filler", "ab") as filler:
            take = self.free() - left
            with contextlib.suppress(OSError):
                if take > 0:
                    os.posix_fallocate(filler.fileno(), os.fstat(filler.fileno()).st_size, take)

    def give_space(self):
        (self.path / "filler").unlink(missing_ok=True)

    @contextlib.contextmanager
    def _handle(self):
        handle = os.open(self.path, os.O_RDONLY)
        try:
            yield handle
        finally:
            os.close(handle)


class UnorderedDisk(Disk):
    """One whose journal does not bring the data of a file along with its name, as that of ext4 does otherwise: only what
    was flushed itself is there after a cut."""

    def mount(self, options="loop"):
        super().mount(f"{options},data=writeback")


class ThinDisk(Disk):
    """A disk with less behind it than it says, as thinly provisioned ones have. While it is starved, what is written to
    new blocks is lost: the next flush says so once, and the cache forgets that it was ever to be written.

    With `dioread_lock`, for as ext4 comes it cannot be survived: after such an error it marks blocks that are written
    again, and flushed with success, as never written, and they read as zeros after a power cut."""

    mounted_before = False

    def prepare(self, megabytes):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", self.folder], check=True)

    def mount(self, options="loop"):
        """What the file system holds by now has something behind it; its free blocks have not."""
        if not self.mounted_before:
            self.image.write_bytes(self.image.read_bytes())
        super().mount(f"{options},dioread_lock")
        # Page by page, for the loop device says of a write that was cut short that it is done.
        pathlib.Path(f"/sys/block/{self.device()}/queue/max_sectors_kb").write_text("4")
        if not self.mounted_before:
            subprocess.run(["fstrim", self.path], check=True)
        self.mounted_before = True

    def __exit__(self, *_):
        self.unmount()
        subprocess.run(["umount", self.folder], check=True)
        self.folder.rmdir()

    def starve(self):
        with open(self.folder / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
            while filler.write(bytes(1 << 16)):
                pass

    def feed(self):
        (self.folder / "filler").unlink()


def strace(*injections, path=None, log="/dev/null"):
    """Words before a command that have some of its system calls fail: `fsync:error=EIO:when=3`. Each thread counts its
    calls for itself. The tracer is a grandchild, so the command stays the child of whoever starts it."""
    calls = ",".join(injection.split(":")[0] for injection in injections)
    words = ["strace", "-D", "-f", "-qqq", "-I", "2", "-o", str(log), "-e", "signal=none", "-e", f"trace={calls}"]
    for injection in injections:
        words += ["-e", f"inject={injection}"]
    return words + (["-P", str(path)] if path else [])


def stop_tracing(pid):
    """From now on all calls of a traced process are real."""
    tracer = tracer_of(pid)
    if tracer:
        os.kill(tracer, signal.SIGTERM)
        until("the tracer to let go", 10, lambda: not tracer_of(pid))


def tracer_of(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("TracerPid:")[1].split()[0])
