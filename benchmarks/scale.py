"""What a virtual trial costs, and ten thousand jobs of which some are killed: writes docs/scale.md.

python benchmarks/scale.py            from what was measured before, and a simulated cluster
python benchmarks/scale.py measure    first measures anew what a job costs the machine that gives the sweep (scale.json)
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from cluster import NOTICE_S, PATIENCE, Work, asked, simulated
from results import FILE, machine

from cytostorm.scripts.sweep import sorted_out
from cytostorm.scripts.sweeps import identity, plan
from cytostorm.scripts.sweeps.work import prepare

HERE = Path(__file__).resolve().parent
PAGE, KEPT = HERE.parent / "docs" / "scale.md", HERE / "scale.json"
COMMAND = Path(sys.executable).with_name("cytostorm")
PATIENTS = (1_000, 100_000, 10_000_000)
JOBS = 10_000
POPULATION_S = 5 * 3600.0  # the median length of the long jobs: longer than the launcher's limit
SHOWN = (".html", ".png")  # what is for the eye


def measure(num: int = 200) -> dict:
    """What a job costs where the sweep is given, in seconds of the processor, and what a default fit leaves on the disk."""
    plan.jobs("fit", ["seed=0,1"])

    def seconds(run):
        begin = time.process_time()
        found = run()
        return (time.process_time() - begin) / num, found

    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        planned, jobs = seconds(lambda: plan.jobs("fit", [f"seed=range(0,{num})"]))
        written = identity.as_written()
        queued, folders = seconds(lambda: [prepare(job, root, written) for job in jobs])
        looked, _ = seconds(lambda: sorted_out(folders, retry=False))
        done = subprocess.run([COMMAND, "fit", f"hydra.run.dir={root / 'fit'}"], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"the default fit failed: {done.stderr}")
        files = [path for path in (root / "fit").rglob("*") if path.is_file()]
        size = {path: path.stat().st_size for path in files}
    return {
        "machine": machine(),
        "plan_s": planned,
        "queue_s": queued,
        "look_s": looked,
        "files": len(files),
        "mib": sum(size.values()) / 2**20,
        "shown_files": sum(path.suffix in SHOWN for path in files),
        "shown_mib": sum(number for path, number in size.items() if path.suffix in SHOWN) / 2**20,
    }


@dataclass(frozen=True)
class Cost:
    """What one patient takes of all cores of the machine of the benchmarks [s], and what comes on top once [s]."""

    what: str
    source: str
    each: float
    once: float = 0.0

    def of(self, patients: int) -> float:
        """The seconds of so many."""
        return self.once + patients * self.each


def costs() -> list[Cost]:
    """Of everything that was measured."""
    found, timing = json.loads(FILE.read_text()), json.loads((HERE / "timing.json").read_text())
    each, once = np.polyfit([row["solves"] for row in timing["rows"]], [row["seconds"] for row in timing["rows"]], 1)
    rows = [Cost("simulated without and with a treatment, all outcomes, network", "timing.py", 2 * each, once)]
    for name, rates in found["throughput"]["gradients_per_s"].items():
        rows.append(Cost(f"one gradient, {name}", "throughput.py", 1 / rates["1024"]))
    for sampler in ("independence", "nuts"):
        for name in ("minimal", "network"):
            seconds = found["stan"][name]["sampling"][sampler]["rates"]["seconds"]["ours_warm"]
            rows.append(Cost(f"a posterior, {name}, `{sampler}`", "against_stan.py", seconds))
    return rows


def gradients() -> str:
    """The rows of the cost of a gradient, in milliseconds of the whole machine."""
    rates = json.loads(FILE.read_text())["throughput"]["gradients_per_s"]
    widths = sorted(next(iter(rates.values())), key=int)
    rows = [[f"{1e3 / one[width]:.3g}" for one in rates.values()] for width in widths]
    head = f"| side by side | {' | '.join(rates)} |\n|---|{'---|' * len(rates)}\n"
    return head + "\n".join(f"| {width} | {' | '.join(row)} |" for width, row in zip(widths, rows, strict=True))


def words(seconds: float) -> str:
    """A time, to two digits, in a unit that suits it."""
    units = {"s": 1.0, "min": 60.0, "h": 3600.0, "days": 86400.0, "years": 365.25 * 86400}
    name = next((n for n, following in zip(units, [*units][1:], strict=False) if seconds < units[following]), "years")
    number = float(f"{seconds / units[name]:.2g}")
    return f"{number:,.0f} {name}" if number >= 10 else f"{number:g} {name}"


def trials(at_once: int) -> str:
    """The rows of the cost of a trial: on one machine, and on as many as jobs of one array run side by side."""
    head = "| for each patient | measured by | " + " | ".join(f"{n:,} patients" for n in PATIENTS) + " |\n"
    rows = [f"|---|---|{'---|' * len(PATIENTS)}"]
    for cost in costs():
        cells = (f"{words(cost.of(n))}; {words(cost.once + n * cost.each / at_once)}" for n in PATIENTS)
        rows.append(f"| {cost.what} | `{cost.source}` | {' | '.join(cells)} |")
    return head + "\n".join(rows)


def works() -> dict[str, Work]:
    """The sweeps that are simulated: fits as long as one that was measured, and as some of populations are."""
    rates = json.loads(FILE.read_text())["stan"]["network"]["sampling"]["nuts"]["rates"]["seconds"]
    short = Work(rates["ours_warm"], 2.0, "nuts", rates["ours_cold"] - rates["ours_warm"])
    long = replace(short, median_s=POPULATION_S, fold=1.5, sampler="nuts_population")
    return {
        "one patient": short,
        "one patient, never resumed": replace(short, resumes=False),
        "a population": long,
        "a population, blocks of 250": replace(long, block=250),
        "a population, never resumed": replace(long, resumes=False),
        "a population, never resumed, limit of a day": replace(long, resumes=False, limit="1-0:00"),
    }


def outcome(name: str, work: Work) -> str:
    """The row of a sweep."""
    with tempfile.TemporaryDirectory() as place:
        found = simulated(work, Path(place) / "jobs", JOBS)
    stays = sum(one.stays for one in found.jobs)
    twice = f"{found.repeated:.1%}" if found.repeated < 10 else f"{found.repeated:,.0f} times"
    return (
        f"| {name} | {found.done:,} | {found.commands} | {stays / JOBS:.2f} | {twice} |"
        f" {stays * work.start_s / sum(one.worked for one in found.jobs):.1%} | {words(3600 * found.hours)} |"
    )


def page() -> str:
    """The page in Markdown."""
    head, found = json.loads(KEPT.read_text()), json.loads(FILE.read_text())
    (launcher, *_), long = asked("nuts_population"), works()["a population"]
    return TEXT.format(
        processor=found["machine"]["processor"],
        cores=found["machine"]["cores"],
        gradients=gradients(),
        trials=trials(launcher.at_once),
        rate=found["throughput"]["gradients_per_s"]["network"]["1024"],
        at_once=launcher.at_once,
        largest=launcher.largest,
        most=plan.MOST,
        files=head["files"],
        mib=head["mib"],
        lean=head["mib"] - head["shown_mib"],
        lean_files=head["files"] - head["shown_files"],
        most_files=plan.MOST * (head["files"] - head["shown_files"]) / 1e6,
        most_gib=plan.MOST * (head["mib"] - head["shown_mib"]) / 1024,
        plan_ms=1e3 * head["plan_s"],
        queue_ms=1e3 * head["queue_s"],
        look_ms=1e3 * head["look_s"],
        most_plan=words(plan.MOST * (head["plan_s"] + head["queue_s"])),
        jobs=JOBS,
        arrays=-(-JOBS // launcher.largest),
        side=-(-JOBS // launcher.largest) * launcher.at_once,
        time=launcher.time,
        notice=NOTICE_S,
        patience=PATIENCE,
        requeues=launcher.requeues,
        killed=100 * long.killed,
        short=words(works()["one patient"].median_s),
        long=words(long.median_s),
        start=words(long.start_s),
        rows="\n".join(outcome(name, work) for name, work in works().items()),
    )


TEXT = """# Scale plan

What a virtual trial of many patients costs, what gives out first, and what failures cost. `python benchmarks/scale.py`
writes this page from what other benchmarks measured ([Benchmarks](benchmarks.md)) and from a simulated cluster.

## One patient

Milliseconds of a machine with {cores} cores ({processor}) for the log-density of one patient with its gradient, all cores
at work where many are solved side by side:

{gradients}

On a GPU this has not been measured. `python -m cytostorm.scripts.gpu_check` measures it where there is one: gradients per
second over widths, on both devices.

## A trial

Time on one such machine, which stands for a laptop; then on {at_once} of them, as many jobs as `launcher=slurm` has of one
array at work (`launcher.at_once`), if none waits and none fails:

{trials}

A posterior is that of a fit whose programs are compiled already. On a GPU that computes r gradients per second,
N patients of g gradients each take N g / r seconds, where the batch fills it: r is the figure of `gpu_check` at its best
width, where this machine has {rate:,.0f} for the network.

## What gives out first

- **Of simulated patients: the processor.** They need no files of their own. Give them in parts, as jobs of some thousand
  patients each, with a seed each.
- **Of a posterior for each patient: jobs and files.** A sweep has {most:,} jobs at most. The default fit leaves {files}
  files, {mib:.1f} MiB; without figures and report {lean_files} files, {lean:.1f} MiB: for {most:,} jobs
  {most_files:.1f} million files and {most_gib:,.0f} GiB. A trial of 10,000,000 would be a hundred such sweeps; `collect`
  each, and delete its jobs.
- **The machine that gives the sweep** takes {plan_ms:.0f} ms of its processor for each job to tell whether it is a new
  one, {queue_ms:.1f} ms to lay it down, {look_ms:.2f} ms to look at it again: {most_plan} before {most:,} jobs are queued.
- **The queue.** An array has {largest:,} jobs (`launcher.largest`), {at_once} of which run at a time. How many jobs one user
  may have is the cluster's to say.

## Ten thousand jobs, some killed

Simulated: {jobs:,} jobs in {arrays} arrays, on a cluster with room for the {side} that may be at work at once. Lengths are
log-normal: *one patient* has the median of the network's fit by `nuts`, {short}, within a factor of 2 for two of three
jobs; *a population* {long}, within 1.5 (assumed). Jobs are killed at a constant rate, one of the median length with a
chance of {killed:.0f} %; a job that is killed stays away until the same command is given again, once nothing is under way.
A stay on a node ends {notice:.0f} s before the limit of {time}, and the job goes back into the queue, {requeues} times at
most. Every stay begins with {start} of imports and compilation. Blocks are those of `sampler=nuts` and `nuts_population`,
unless another number is given. Which jobs are left when the command is given again, `cytostorm sweep` itself decides, by
their folders.

| | done of {jobs:,} | commands | stays of a job | work repeated | beginnings | until all is over |
|---|---|---|---|---|---|---|
{rows}

Work is repeated where it was not yet in a block on disk: on average half a block for every stay that did not end well. So
blocks should be short against the limit: a job one block of which is longer than a stay never ends, nor, without blocks,
one that is longer itself. There the command was given until it brought nothing more, {patience} times in a row. A limit
that is long enough for all costs what the last row says, and a long wait in the queue of a real cluster, which is not
simulated. *Beginnings* are the imports and compilation of all stays, as a share of the work.
"""


if __name__ == "__main__":
    if sys.argv[1:] == ["measure"]:
        KEPT.write_text(json.dumps(measure(), indent=1, sort_keys=True) + "\n")
    PAGE.write_text(page())
    print(PAGE.read_text())
