"""What a job of a sweep tells of itself: one small file in its folder, replaced whole, so that none is ever read by half."""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from .. import whole

QUEUED, RUNNING, DONE, FAILED, STOPPED = STATES = ("queued", "running", "done", "failed", "stopped")
GONE = "its process is gone: killed, or the machine was"
SILENT = 600.0  # s without a sign, after which a job on another machine counts as gone


@dataclass(frozen=True)
class Status:
    """The state of a job.

    `failed` has a `reason`, and is tried again only when asked; `stopped` was interrupted or killed, and goes on from its
    last block. `done` and `total` count iterations, `remaining` [s] is what they will still take. `passed` is the verdict
    of a finished job that has one. `where` names the entry of a queue, `host` and `pid` the process.
    """

    state: str = QUEUED
    reason: str = ""
    passed: bool | None = None
    attempts: int = 0
    done: int = 0
    total: int = 0
    remaining: float | None = None
    seconds: float | None = None
    host: str = ""
    pid: int = 0
    where: str = ""

    def write(self, folder: Path) -> None:
        """Make this the state of the job in a folder."""
        whole.write(folder / "status.json", json.dumps(asdict(self)) + "\n", durable=self.state in (DONE, FAILED, STOPPED))


KNOWN = {field.name for field in fields(Status)}


def read(folder: Path) -> Status:
    """What the job in a folder last said of itself; queued where it has said nothing that can be read."""
    try:
        with open(folder / "status.json", "rb") as file:
            found = json.loads(file.read())
        return Status(**{name: value for name, value in found.items() if name in KNOWN})
    except (OSError, ValueError, AttributeError):
        return Status()


def look(folder: Path, queue: frozenset[str] | None = None) -> Status:
    """The state of the job in a folder as it is: one whose process is gone was stopped, unless it had finished.

    `queue` are the entries of the cluster's queue, where it could be asked.
    """
    found = read(folder)
    if found.state not in (QUEUED, RUNNING) or under_way(folder, found, queue):
        return found
    if (folder / "manifest.json").is_file():  # killed after its last file
        return replace(found, state=DONE, remaining=None)
    if found.state == RUNNING:
        return replace(found, state=STOPPED, remaining=None, reason=found.reason or GONE)
    return found


def under_way(folder: Path, status: Status, queue: frozenset[str] | None) -> bool:
    """Whether a job that says that it is queued or running still has a process, or a place in a queue.

    The lock of its folder tells of this machine, and of others where the file system has locks; else the queue tells, or,
    where there is none, when it was last heard of, by the clock of the file system.
    """
    if status.state == RUNNING and held(folder):
        return True
    if status.where and queue is not None:
        return status.where in queue
    return status.state == RUNNING and status.host != socket.gethostname() and silence(folder) < SILENT


def silence(folder: Path) -> float:
    """How long ago a job was heard of [s]; both times are those of the file system, whatever the machines' clocks say."""
    probe = folder / f".now.{os.getpid()}"
    try:
        probe.touch()
        return probe.stat().st_mtime - (folder / "status.json").stat().st_mtime
    except OSError:
        return 0.0
    finally:
        probe.unlink(missing_ok=True)


@contextmanager
def holding(folder: Path, patience: float = 2.0) -> Iterator[bool]:
    """Hold the lock of a job, or of a sweep, while this lasts; yields whether it could be had."""
    with (folder / ".held").open("w") as file:
        until = time.monotonic() + patience  # a reader holds the lock for an instant
        while not (got := _locked(file.fileno(), fcntl.LOCK_EX)) and time.monotonic() < until:
            time.sleep(0.05)
        yield got


def held(folder: Path) -> bool:
    """Whether some process holds the lock of a job."""
    try:
        with (folder / ".held").open() as file:
            return not _locked(file.fileno(), fcntl.LOCK_SH)
    except OSError:
        return False


def _locked(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def asked(statuses: Iterable[Status]) -> frozenset[str] | None:
    """The entries of the SLURM queue; None where no job needs it, or it cannot be asked."""
    if not any(s.where and s.state in (QUEUED, RUNNING) for s in statuses) or not shutil.which("squeue"):
        return None
    command = ["squeue", "--noheader", "--array", "--format=%i"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return frozenset(done.stdout.split())
