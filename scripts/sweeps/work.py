"""One job of a sweep, from its folder: whichever machine it is on, this is what runs there."""

import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from .. import whole
from . import status
from .plan import Job
from .status import DONE, FAILED, QUEUED, RUNNING, STOPPED, Status

EVERY = 1.0  # s between two reports of progress


def prepare(job: Job, root: Path, written: str) -> Path:
    """Lay down what a job needs to run in its folder, and queue it; `written` is the code to the letter."""
    folder = job.folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    asked = {"job": job.job, "overrides": job.overrides, "key": job.key, "directory": os.getcwd(), "code": written}
    whole.write(folder / "job.json", json.dumps(asked) + "\n", durable=False)
    replace(status.read(folder), state=QUEUED, reason="", where="", remaining=None).write(folder)
    return folder


def work(place: str, where: str = "") -> str:
    """Run the job in a folder to its end, or go on with it, and return its state; `where` names it in a queue.

    A job that another process has is left to it, and one that is finished is not touched. What it prints is in `log.txt`.
    """
    folder = Path(place)
    with status.holding(folder) as mine:
        before = status.read(folder)
        if not mine or before.state == DONE:
            return before.state
        now = replace(
            before,
            state=RUNNING,
            attempts=before.attempts + 1,
            reason="",
            host=socket.gethostname(),
            pid=os.getpid(),
            where=where or before.where,
        )
        now.write(folder)
        clock = time.monotonic()
        heard = Heard(folder, now)
        with logged(folder / "log.txt"):
            code, reason = _tried(folder, heard)
        found = _ended(folder, heard.status, code, reason, time.monotonic() - clock)
        found.write(folder)
    return found.state


class Heard:
    """What the sampler tells of its progress, written down once a second at most."""

    def __init__(self, folder: Path, now: Status):
        self.folder, self.status = folder, now
        self._first: tuple[float, int] | None = None
        self._last = -EVERY

    def __call__(self, done: int, total: int) -> None:
        """Hear that so many iterations of so many are done."""
        now = time.monotonic()
        if self._first is None or done < self._first[1]:
            self._first = now, done  # what was there already took no time
        since, at = self._first
        left = (now - since) / (done - at) * (total - done) if done > at else None
        self.status = replace(self.status, done=int(done), total=int(total), remaining=left)
        if now - self._last >= EVERY:
            self._last = now
            self.status.write(self.folder)


def _tried(folder: Path, heard: Heard) -> tuple[int, str]:
    """Run the job; returns its exit code, and the reason where that is not 0."""
    from .. import run as runs
    from ..cli import run
    from ..compose import quoted
    from . import identity

    reasons: list[str] = []

    def say(message: str) -> None:
        print(f"cytostorm: {message}", file=sys.stderr)
        reasons.append(message)

    try:
        asked = json.loads((folder / "job.json").read_text())
        os.chdir(asked["directory"])
        if asked["code"] != identity.as_written() and not _same(asked["key"], asked["job"], asked["overrides"]):
            return 1, "the code or the data changed after the job was queued; give the sweep again"
        if (folder / "config.yaml").is_file() and not (folder / "manifest.json").is_file():
            (folder / "config.yaml").unlink()  # the key says that it is the same, whatever its files are called now
        runs.listeners[:] = [heard]
        code = run([asked["job"], *asked["overrides"], f"hydra.run.dir={quoted(folder.resolve())}"], say)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT, "interrupted"
    except Exception as error:
        traceback.print_exc()
        return 1, f"{type(error).__name__}: {error}"
    finally:
        runs.listeners.clear()
    return code, reasons[-1] if reasons else ""


def _same(key: str, job: str, overrides: list[str]) -> bool:
    """Whether code that was written otherwise still computes the same."""
    from ..compose import check
    from . import identity

    cfg = check(job, overrides)
    return cfg is not None and identity.key(job, cfg) == key


def _ended(folder: Path, last: Status, code: int, reason: str, seconds: float) -> Status:
    """The last word on a job."""
    found = replace(last, remaining=None, seconds=round(seconds, 3), reason=reason)
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        if code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
            return replace(found, state=STOPPED)
        return replace(found, state=FAILED, reason=reason or f"exit code {code}, and no manifest.json; see log.txt")
    reasons = "; ".join((manifest.get("verdict") or {}).get("reasons", []))
    return replace(found, state=DONE, passed=manifest.get("passed"), reason=reasons or reason, done=last.total)


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """While this lasts, whatever this process prints goes into a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    before = os.dup(1), os.dup(2)
    with path.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for i, kept in enumerate(before, start=1):
                os.dup2(kept, i)
                os.close(kept)


if __name__ == "__main__":
    sys.exit(0 if work(sys.argv[1]) == DONE else 1)
