"""Where the jobs of a sweep run: one after another or side by side here, on a SLURM cluster, or on Ray."""

import fcntl
import hashlib
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

from ..faults import BadConfig
from . import status
from .status import FAILED, QUEUED, RUNNING, STOPPED
from .work import work

Ended = Callable[[Path], None]
HALT = ".halt"  # in the folder of a sweep: no more jobs are begun
VISIBLE = "CUDA_VISIBLE_DEVICES"  # the GPUs that a process may use, by number or name


class Launcher(Protocol):
    """What brings jobs to a machine. `waits` says whether the jobs are over when `launch` returns."""

    waits: bool

    def launch(self, folders: Sequence[Path], ended: Ended, halt: "Halt") -> None:
        """Run, or queue, the jobs in these folders; `ended` hears of each that is over."""
        ...


class Halt:
    """Whether the sweep was asked to stop, by Ctrl-C or SIGTERM; jobs under way then save what they have and leave."""

    def __init__(self) -> None:
        self.asked: int | None = None
        self.pids: set[int] = set()
        self._others: Callable[[], list[int]] = list

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear signals while this lasts."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._heard) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def also(self, pids: Callable[[], list[int]]) -> Iterator[None]:
        """While this lasts, ask which other processes are to stop."""
        self._others = pids
        try:
            yield
        finally:
            self._others = list

    def _heard(self, number: int, _: Any) -> None:
        again, self.asked = self.asked is not None, number
        if not again:
            print("\ncytostorm: jobs under way save what they have; again kills them", file=sys.stderr)
        for pid in {*self.pids, *self._others()}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if again else signal.SIGTERM)


def extra(module: str, name: str) -> Any:
    """A module of an optional extra. Raises `BadConfig` with the remedy where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        remedy = f"pip install 'cytostorm[{name}]'"
        raise BadConfig(f"launcher={name} needs {module}, which is not installed; {remedy}") from error


@dataclass
class Local:
    """A process for each job on this machine, `jobs` at a time; with `gpus`, each has one of so many to itself."""

    jobs: int = 1
    gpus: int = 0
    waits = True

    def __post_init__(self) -> None:
        at_least(self, jobs=1, gpus=0)
        as_many(self.jobs, self.gpus)

    def launch(self, folders: Sequence[Path], ended: Ended, halt: Halt) -> None:
        names, places = visible(self.gpus), SimpleQueue[dict[str, str]]()
        for i in range(self.jobs):
            places.put({VISIBLE: names[i]} if names else {})

        def run(folder: Path) -> None:
            if halt.asked is None:
                place = places.get()
                self._one(folder, place, halt)
                places.put(place)
                ended(folder)

        with ThreadPoolExecutor(self.jobs) as pool:
            for _ in pool.map(run, folders):
                pass

    def _one(self, folder: Path, place: dict[str, str], halt: Halt) -> None:
        command = [sys.executable, "-m", "cytostorm.scripts.sweeps.work", str(folder)]
        with (folder / "log.txt").open("a") as log:
            # In a session of its own, so that Ctrl-C is the sweep's to pass on.
            process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | place, start_new_session=True)
            halt.pids.add(process.pid)
            code = process.wait()
            halt.pids.discard(process.pid)
        lost(folder, code)


def as_many(jobs: int, number: int) -> None:
    """Raise `ValueError` where GPUs are shared out and there is not one for each of the jobs that run side by side."""
    if number and not 0 < jobs <= number:
        raise ValueError(f"`jobs` is {jobs} and `gpus` {number}; a job needs one of its own: give as many")


def visible(number: int) -> list[str]:
    """The names of so many GPUs: the first of those that this process may use, where it was given some.

    Raises `BadConfig` where it was given fewer.
    """
    given = os.environ.get(VISIBLE)
    names = [str(i) for i in range(number)] if given is None else [x.strip() for x in given.split(",") if x.strip()]
    if len(names) < number:
        raise BadConfig(f"`gpus` of the launcher is {number}, and {VISIBLE}={given} shows {len(names)}; give no more")
    return names[:number]


def lost(folder: Path, code: int) -> None:
    """Write down what became of a job whose process left with this code, where it could not do so itself."""
    found = status.read(folder)
    if found.state not in (QUEUED, RUNNING) or status.look(folder).state == status.DONE:
        return
    if code < 0:
        name = signal.Signals(-code).name
        why = ", as a machine does that is out of memory" if -code == signal.SIGKILL else ""
        replace(found, state=STOPPED, remaining=None, reason=f"killed by {name}{why}").write(folder)
    elif code:
        replace(found, state=FAILED, remaining=None, reason=f"left with the exit code {code}; see log.txt").write(folder)


@dataclass
class Joblib:
    """Workers that stay: they import once and keep compiled programs, which is worth most where jobs are short.

    With `gpus`, each worker has one of so many to itself.
    """

    jobs: int = -1
    gpus: int = 0
    waits = True

    def __post_init__(self) -> None:
        if self.jobs == 0 or self.jobs < -1:
            raise ValueError(f"`jobs` is {self.jobs}; give 1 or more, or -1 for one on every core")
        at_least(self, gpus=0)
        as_many(self.jobs, self.gpus)

    def launch(self, folders: Sequence[Path], ended: Ended, halt: Halt) -> None:
        joblib = extra("joblib", "joblib")
        from joblib.externals.loky.process_executor import BrokenProcessPool

        root = folders[0].parent.parent
        (root / HALT).unlink(missing_ok=True)
        left, tried, names = list(folders), dict.fromkeys(folders, 0), visible(self.gpus)
        with halt.also(lambda: _stop(root, folders)):
            while left and halt.asked is None:
                pool = joblib.Parallel(n_jobs=self.jobs, backend="loky", batch_size=1, return_as="generator_unordered")
                try:
                    for place in pool(joblib.delayed(pooled)(str(folder), names) for folder in left):
                        ended(Path(place))
                    left = []
                except BrokenProcessPool:  # a worker was killed, and the pool with it: those beside it go on in another
                    left = [folder for folder in left if status.look(folder).state in (QUEUED, STOPPED)]
                    for folder in left:
                        tried[folder] += status.read(folder).state == RUNNING
                        if tried[folder] > 1:
                            lost(folder, -signal.SIGKILL)
                    left = [folder for folder in left if tried[folder] <= 1]


def _stop(root: Path, folders: Sequence[Path]) -> list[int]:
    """Keep workers from beginning another job, and return those that are at one."""
    (root / HALT).touch()
    found = (status.read(folder) for folder in folders)
    return [s.pid for s in found if s.state == RUNNING]


_own: list[Any] = []  # the lock of the GPU that this worker has, as long as it lives


def claim(root: Path, names: Sequence[str]) -> None:
    """Take one of these GPUs for this process and no other, and keep it; a worker that dies leaves its own to the next."""
    while names and not _own:
        for name in names:
            lock = (root / f".gpu-{hashlib.sha256(name.encode()).hexdigest()[:8]}").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            os.environ[VISIBLE] = name  # before JAX looks for devices, which it does once
            _own.append(lock)
            return
        time.sleep(0.1)


def pooled(place: str, names: Sequence[str] = ()) -> str:
    """Run a job in a worker that stays, on one of these GPUs, where there are any."""
    claim(Path(place).parent.parent, names)
    if os.getsid(0) != os.getpid():
        os.setsid()  # Ctrl-C is the sweep's to pass on
    signal.signal(signal.SIGTERM, _leave)
    if not (Path(place).parent.parent / HALT).exists():
        work(place)
    return place


def _leave(*_: Any) -> None:
    raise KeyboardInterrupt


def at_least(launcher: Any, **least: int) -> None:
    """Raise `ValueError` where a setting of a launcher is below the least it can be."""
    for name, number in least.items():
        if (given := getattr(launcher, name)) < number:
            raise ValueError(f"`{name}` of the launcher is {given}; give {number} or more")
