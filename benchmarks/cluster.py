"""A cluster that is simulated: jobs that are killed or out of time, put back, and given again (discrete events).

Which jobs are left, and where blocks end, the project's own code says; limits and sizes are those of its configurations.
"""

import heapq
import json
import math
import os
from collections import deque
from dataclasses import asdict, dataclass
from functools import cache
from itertools import count
from pathlib import Path

import numpy as np

from cytostorm.inference.samplers.draws import sizes
from cytostorm.scripts.compose import build, composed
from cytostorm.scripts.sweep import sorted_out
from cytostorm.scripts.sweeps.clusters import Slurm, minutes
from cytostorm.scripts.sweeps.status import DONE, RUNNING, STOPPED, Status

PATIENCE = 3  # commands in a row that bring no job further, after which a sweep is given up
NOTICE_S = 90.0  # so long before its limit a job is told, by submitit, and put back


@dataclass(frozen=True)
class Work:
    """Jobs of a length that is log-normal around a median [s], in blocks as the configuration of a sampler says.

    `block` are other blocks than those, `limit` another time limit than the launcher's. Every stay on a node begins with
    `start_s` of no work. Jobs are killed at a constant rate, one of the median length with probability `killed`. Those
    that do not resume begin anew on every stay.
    """

    median_s: float
    fold: float
    sampler: str
    start_s: float
    killed: float = 0.1
    block: int | None = None
    limit: str | None = None
    resumes: bool = True


@dataclass
class One:
    """A job: its folder, its length [s], when its blocks end, how far it has come, what it has cost, and its stays."""

    folder: Path
    length: float
    ends: np.ndarray
    saved: float = 0.0
    worked: float = 0.0
    stays: int = 0
    requeues: int = 0

    @property
    def done(self) -> bool:
        """Whether its last block is on disk."""
        return self.saved >= self.length


@dataclass(frozen=True)
class Found:
    """What became of the jobs of a sweep, how often its command was given, and the hours until nothing was under way."""

    jobs: list[One]
    commands: int
    hours: float

    @property
    def done(self) -> int:
        """How many jobs are done."""
        return sum(one.done for one in self.jobs)

    @property
    def repeated(self) -> float:
        """Work that was lost, as a share of the work that was not; infinite where all was."""
        kept = sum(one.saved for one in self.jobs)
        return sum(one.worked for one in self.jobs) / kept - 1 if kept else math.inf


@cache
def asked(sampler: str) -> tuple[Slurm, int, tuple[int, int]]:
    """The launcher, and of a sampler's configuration the block and the iterations of warm-up and draws."""
    chosen = composed("fit", [f"sampler={sampler}"]).sampler
    return build(composed("sweep", ["launcher=slurm"]).launcher), chosen.block, (chosen.num_warmup, chosen.num_draws)


def simulated(work: Work, root: Path, num: int, seed: int = 0) -> Found:
    """Give a sweep of so many jobs, and again when nothing is under way, until all are done or `PATIENCE` is at an end."""
    rng, (launcher, block, parts) = np.random.default_rng(seed), asked(work.sampler)
    ends = np.cumsum([size for number in parts for size in sizes(number, work.block or block)]) / sum(parts)
    lengths = work.median_s * np.exp(math.log(work.fold) * rng.standard_normal(num))
    jobs = {path: One(path, x, x * ends) for path, x in ((root / f"{i:016x}", x) for i, x in enumerate(lengths))}
    for folder in jobs:
        folder.mkdir(parents=True)
    commands, hours, idle, before = 0, 0.0, 0, 0.0
    while idle < PATIENCE and (left := sorted_out([*jobs], retry=False)[1]):
        chosen = [one for folder, one in jobs.items() if folder in left]
        arrays = [chosen[i : i + launcher.largest] for i in range(0, len(chosen), launcher.largest)]
        hours += max(_array(part, work, launcher, rng) for part in arrays) / 3600
        commands += 1
        come = sum(one.saved for one in jobs.values())
        idle, before = 0 if come > before else idle + 1, come
    return Found([*jobs.values()], commands, hours)


def _array(jobs: list[One], work: Work, launcher: Slurm, rng: np.random.Generator) -> float:
    """One array of jobs, with room on the cluster for all that may run at once; returns when the last leaves [s]."""
    limit = 60 * minutes(work.limit or launcher.time) - NOTICE_S
    waiting, busy, now, order = deque(jobs), [], 0.0, count()
    for one in jobs:
        one.requeues = 0
    while waiting or busy:
        while waiting and len(busy) < launcher.at_once:
            one = waiting.popleft()
            seconds, state = _stay(one, work, limit, rng)
            heapq.heappush(busy, (now + seconds, next(order), one, state))
        now, _, one, state = heapq.heappop(busy)
        if state == STOPPED and one.requeues < launcher.requeues:
            one.requeues += 1
            waiting.append(one)
        else:
            told = Status(state, host=os.uname().nodename, attempts=one.stays)
            (one.folder / "status.json").write_text(json.dumps(asdict(told)))
    return now


def _stay(one: One, work: Work, limit: float, rng: np.random.Generator) -> tuple[float, str]:
    """A job on a node: how long it is there [s], and what it says of itself then; one that is killed says that it runs."""
    begun = one.saved
    last = min((whole := work.start_s + one.length - begun), limit)
    killed = rng.exponential(-work.median_s / math.log1p(-work.killed)) if work.killed else math.inf
    seconds, state = (killed, RUNNING) if killed < last else (last, DONE if last == whole else STOPPED)
    come = begun + max(seconds - work.start_s, 0.0)
    if state == DONE:
        one.saved = come = one.length
    elif work.resumes:
        one.saved = max(begun, one.ends[one.ends <= come].max(initial=0.0))
    one.worked += come - begun
    one.stays += 1
    return seconds, state
