"""cytostorm sweep JOB [overrides]: many jobs; sweep status DIR: how they are; sweep collect DIR: one table of them all."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from .faults import BadConfig
from .sweeps import status
from .sweeps.status import DONE, FAILED, QUEUED, RUNNING, STOPPED

USAGE = """\
usage: cytostorm sweep JOB [overrides]     run JOB once for every combination of its overrides
       cytostorm sweep status DIR          how the jobs are; live on a terminal, until all are over
       cytostorm sweep collect DIR         all finished jobs in DIR/results.parquet and DIR/results.zarr; any number of times

  cytostorm sweep fit 'trigger=glob(lps*)' 'seed=range(0,20)'
  cytostorm sweep fit 'seed=range(0,20)' launcher=joblib launcher.jobs=8
  cytostorm sweep fit 'seed=range(0,20)' launcher=slurm launcher.time=4:00:00 launcher.memory=8GB
  cytostorm sweep fit 'seed=range(0,20)' launcher=ray launcher.address=auto

A job is known by the numbers of its configuration, its data and the code. The same command again runs only what is left:
jobs that were stopped go on, those that failed are tried again with sweep.retry=true.
The folder is runs/sweep/JOB-<hash>, or sweep.dir=DIR. exit codes: 0 all done (launcher=slurm: all queued),
1 some are not, 2 bad input or configuration, 130 interrupted"""


def main(argv: Sequence[str]) -> int:
    """Do what the first argument says and return the exit code. Raises `BadConfig` for arguments that do not fit."""
    if not argv or {"-h", "--help"} & {*argv}:
        print(USAGE)
        return 0
    verb, *arguments = argv
    if verb in ("status", "collect"):
        if len(arguments) != 1:
            came = " ".join(arguments) or "nothing"
            raise BadConfig(f"`cytostorm sweep {verb}` takes the folder of a sweep; came: {came}")
        root = Path(arguments[0])
        if verb == "status":
            from .sweeps.watch import watch

            return watch(root)
        from .sweeps.collect import collect

        return collect(root)
    return sweep(verb, arguments)


def sweep(job: str, argv: Sequence[str]) -> int:
    """Run what is left of a sweep; returns 0 where all is done, or queued."""
    from .cli import JOBS
    from .compose import blame, build, check
    from .run import console
    from .sweeps import identity, plan
    from .sweeps.launchers import Halt
    from .sweeps.work import prepare

    if job not in JOBS:
        raise BadConfig(f"no job `{job}` to sweep; jobs: {', '.join(JOBS)}")
    own, overrides = plan.parted(argv)
    cfg = check("sweep", own)
    assert cfg is not None
    with blame():
        launcher = build(cfg.launcher)
    asked = plan.jobs(job, overrides)
    root = Path(cfg.sweep.dir or f"runs/sweep/{job}-{_name(overrides)}")
    root.mkdir(parents=True, exist_ok=True)
    with status.holding(root) as mine:
        if not mine:
            raise BadConfig(f"{root} has another sweep under way; wait for it, or give another `sweep.dir`")
        plan.keep(root, asked)
        counts, left = sorted_out([one.folder(root) for one in asked], cfg.sweep.retry)
        console.print(f"{root}: {len(asked)} jobs{told(counts)}", highlight=False, soft_wrap=True)
        written = identity.as_written()
        folders = [prepare(one, root, written) for one in asked if one.folder(root) in left]
        halt = Halt()

        def ended(folder: Path) -> None:
            found = status.look(folder)
            console.print(_line(folder, found), highlight=False, soft_wrap=True)

        if folders:
            with halt.listening():
                launcher.launch(folders, ended, halt)
    found = [status.read(one.folder(root)) for one in asked]
    number = Counter(one.state for one in found)
    if not launcher.waits:
        console.print(f"queued; see them by: cytostorm sweep status {root}", highlight=False, soft_wrap=True)
        return 1 if number[FAILED] else 0
    console.print(f"{number[DONE]} of {len(asked)} jobs are done, {number[FAILED]} failed", highlight=False)
    if halt.asked is not None:
        return 128 + halt.asked
    return 0 if number[DONE] == len(asked) else 1


def sorted_out(folders: Sequence[Path], retry: bool) -> tuple[Counter[str], set[Path]]:
    """How many jobs are in which state, and the folders of those to run: neither done nor under way, nor failed for good."""
    before = {folder: status.read(folder) for folder in folders}
    queue = status.asked(before.values())
    counts: Counter[str] = Counter()
    left = set()
    for folder, said in before.items():
        found = status.look(folder, queue)
        if found.state == DONE and said.state != DONE:
            found.write(folder)
        waiting = found.state in (QUEUED, RUNNING) and status.under_way(folder, found, queue)
        counts["waiting" if waiting and found.state == QUEUED else found.state] += 1
        if not waiting and (found.state in (QUEUED, STOPPED) or (found.state == FAILED and retry)):
            left.add(folder)
    return counts, left


def told(counts: Counter[str]) -> str:
    """The states before a sweep begins, in words."""
    words = {
        DONE: "are done",
        RUNNING: "are running",
        "waiting": "are in the queue",
        STOPPED: "go on from where they stopped",
        FAILED: "failed before (sweep.retry=true tries them again)",
        QUEUED: "to run",
    }
    return "".join(f", {counts[state]} {text}" for state, text in words.items() if counts[state])


def _line(folder: Path, found: status.Status) -> str:
    verdict = {True: ", PASS", False: ", FAIL", None: ""}[found.passed] if found.state == DONE else ""
    seconds = f" in {found.seconds:.0f} s" if found.seconds is not None else ""
    reason = f": {found.reason.splitlines()[0]}" if found.reason and found.state != DONE else ""
    return f"{folder.name} {found.state}{seconds}{verdict}{reason}"


def _name(overrides: Sequence[str]) -> str:
    """A short name for a command: the same for the same overrides in any order."""
    return hashlib.sha256(json.dumps(sorted(overrides)).encode()).hexdigest()[:8]
