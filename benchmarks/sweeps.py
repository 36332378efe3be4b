"""What a sweep costs: the bars of batch inference. `python benchmarks/sweeps.py [overhead] [collect] [status] [speed]`.

`overhead`: a job by `cytostorm sweep` against the bare `cytostorm fit`; `collect`: 1,000 finished runs; `status`: 10,000
jobs; `speed`: 24 small fits side by side on two cores against one after another (needs both cores for itself).
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from cytostorm.scripts.sweeps.plan import Job, keep
from cytostorm.scripts.sweeps.status import Status

CYTOSTORM = [sys.executable, "-c", "from cytostorm.scripts.cli import main; main()"]
SMALL = ["fit", "debug=quick", "report=false"]


def clock(*argv: str, codes: tuple[int, ...] = (0,), work: bool = False) -> float:
    """Seconds of one command; with `work` those of the processor, which a busy machine hardly changes."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([*CYTOSTORM, *argv], capture_output=True, text=True)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode in codes, done.stderr
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime if work else wall


def overhead(place: Path) -> None:
    """Rounds are interleaved; the sweep's own start is shared by its jobs, and told apart."""
    bare, swept, alone, number = [], [], [], 4
    clock(*SMALL, f"hydra.run.dir={place / 'warm'}")
    for i in range(3):
        bare += [clock(*SMALL, f"seed={100 * i + j}", f"hydra.run.dir={place / f'bare{i}{j}'}") for j in range(number)]
        seeds = ",".join(str(100 * i + j) for j in range(number))
        swept.append(clock("sweep", *SMALL, f"seed={seeds}", f"sweep.dir={place / f'sweep{i}'}"))
        alone.append(clock("sweep", *SMALL, f"seed={seeds}", f"sweep.dir={place / f'sweep{i}'}"))
    job, start, one = statistics.median(bare), statistics.median(alone), statistics.median(swept)
    more = (one - start) / number - job
    print(f"overhead: bare fit {job:.2f} s; a job of a sweep takes {more:+.2f} s more ({more / job:+.1%});")
    print(f"  the sweep itself, with nothing to run, {start:.2f} s once (medians of 3 rounds of {number})")


def collect(place: Path) -> None:
    """A thousand folders of one fit of the shipped data, by links: two chains of 1,000 draws."""
    clock(*SMALL, "sampler.num_draws=1000", f"hydra.run.dir={place / 'run'}")
    root = place / "sweep"
    jobs = [Job("fit", (f"seed={i}",), {"seed": str(i)}, f"{i:016x}") for i in range(1000)]
    keep(root, jobs)
    for job in jobs:
        shutil.copytree(place / "run", job.folder(root), copy_function=os.link)
        (job.folder(root) / "status.json").write_text(json.dumps(asdict(Status("done", passed=True, seconds=12.0))))
    wall, work = (clock("sweep", "collect", str(root), work=work) for work in (False, True))
    print(f"collect: 1,000 finished runs in {wall:.1f} s; {work:.1f} s of the processor")


def status(place: Path) -> None:
    """Ten thousand jobs, one in ten running, one in ten failed."""
    root = place / "sweep"
    jobs = [Job("fit", (f"seed={i}",), {"seed": str(i)}, f"{i:016x}") for i in range(10_000)]
    keep(root, jobs)
    for i, job in enumerate(jobs):
        job.folder(root).mkdir(parents=True)
        state = {0: "running", 1: "failed"}.get(i % 10, "done")
        one = Status(state, reason="it did" if state == "failed" else "", host=os.uname().nodename, done=5, total=9)
        (job.folder(root) / "status.json").write_text(json.dumps(asdict(one)))
    wall, work = (
        statistics.median(clock("sweep", "status", str(root), codes=(1,), work=work) for _ in range(3))
        for work in (False, True)
    )
    print(f"status: 10,000 jobs in {wall:.2f} s; {work:.2f} s of the processor (medians of 3)")


def speed(place: Path) -> None:
    """One after another by the local launcher, then on two workers that stay, and on two processes."""
    assert len(os.sched_getaffinity(0)) > 1, "it takes two cores"
    seeds = "seed=range(0,24)"
    clock(*SMALL, f"hydra.run.dir={place / 'warm'}")
    one = clock("sweep", *SMALL, seeds, f"sweep.dir={place / 'one'}")
    print(f"speed: 24 small fits one after another in {one:.0f} s")
    for name in ("joblib", "local"):
        two = clock("sweep", *SMALL, seeds, f"launcher={name}", "launcher.jobs=2", f"sweep.dir={place / name}")
        print(f"  launcher={name} launcher.jobs=2: {two:.0f} s, {one / two:.2f} times faster")


def main() -> None:
    """Measure what is asked for, all by default."""
    every = {"overhead": overhead, "collect": collect, "status": status, "speed": speed}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", choices=[*every, []], default=[])
    for name in parser.parse_args().what or every:
        with tempfile.TemporaryDirectory() as place:
            every[name](Path(place))


if __name__ == "__main__":
    main()
