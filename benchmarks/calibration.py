"""Simulation-based calibration of every shipped model: the results and figures of docs/calibration.md.

    python benchmarks/calibration.py [NAME ...]      minimal, endotoxin, network, posterior, population, and experiments of
                                                     one subject by their names; all if none is named

Every job is one `cytostorm calibrate`, whose fits are on disk one by one: a call that was killed continues. A job that is
finished is not run again. Writes benchmarks/calibration.json, docs/calibration_NAME_*.png, and the end of
docs/calibration.md.
"""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import hierarchical
import numpy as np
import pandas as pd

from cytostorm.inference.calibration.findings import counted

ROOT = Path(__file__).parent.parent
COMMAND = Path(sys.executable).with_name("cytostorm")
PAGE, MARK = ROOT / "docs" / "calibration.md", "## Shipped results\n"
RESULTS = ROOT / "benchmarks" / "calibration.json"
FIGURES = ("ecdf", "coverage")
TEN = "data.times_h=[0,0.5,1,1.5,2,2.5,3,4,5,6]"
# Truths, readings and fits share a solver: its tolerance is no error of the calibration.
LOOSE = ["solver.rtol=1e-4", "solver.atol=1e-6"]
MINIMAL = ["data=synthetic", TEN, "data.lower_limit=1.0", *LOOSE, "sampler.num_draws=250"]
JOBS = {
    "minimal": MINIMAL,
    "endotoxin": [
        *("model=endotoxin", "prior=endotoxin", "data=synthetic", "data.times_h=[0,1,1.5,2,3,4,6,8]"),
        *("data.analytes=[tnf,il6,il10]", "noise=per_analyte"),
    ],
    "network": ["experiment=timing", *LOOSE],
    "posterior": [*MINIMAL, "posterior=true", "num_replicates=100"],
    "population": [
        *(*hierarchical.OVERRIDES, "sampler.target_accept=0.95", "sampler.num_warmup=400"),
        *("num_replicates=20", "num_ranks=50"),
        *("sampler@again=nuts_population", "again.target_accept=0.98", "again.num_warmup=1000", "again.num_draws=2000"),
    ],
}
SHORT = ["sampler=independence_short", "num_replicates=20"]
EXPERIMENTS = {  # of one subject, in short
    "synthetic_storm": ["experiment=synthetic_storm", *SHORT],
    "network_cart": ["experiment=network_cart", *SHORT],
    "clearance": ["experiment=clearance", *SHORT],
    "endotoxemia_infusion": ["experiment=endotoxemia_infusion", *SHORT],
    "endotoxemia_infusion_again": ["experiment=endotoxemia_infusion", SHORT[0], "num_replicates=60", "seed=1"],
}
EVERY = JOBS | EXPERIMENTS

TITLES = {
    "minimal": "The minimal model, ten readings, a limit of quantification",
    "endotoxin": "The endotoxin model, three cytokines",
    "network": "The storm network, a viral storm (`experiment=timing`)",
    "posterior": "The minimal model around one patient's readings",
    "population": "A population: the minimal model in twenty subjects (`benchmarks/hierarchical.csv`)",
}
SECTION = """
### {title}

    {command}

{fits} replicates of {drawn} truths ({unsolved} could not be solved): {second} fits by the second sampler, {doubtful} that
did not pass their check, {lost} that could not be made. **{passed}**: {inside} of {number} quantities lie inside their
95 % band, the smallest p is {least:.2g} (allowed: {allowed:.2g}).

| quantity | p | in band | 50 % | 80 % | 90 % | 95 % | contraction | z-score, mean (SD) |
|---|---|---|---|---|---|---|---|---|
{rows}

![Distribution functions of ranks less the uniform one, in their bands](calibration_{name}_ecdf.png)
![Coverage of central intervals](calibration_{name}_coverage.png)
"""
IN_SHORT = """
### Experiments of one subject, in short

| command | fits | by the second sampler | doubtful | quantities in their band | smallest p (allowed) | verdict |
|---|---|---|---|---|---|---|
{rows}
"""
ROW = (
    "| `{command}` | {fits} | {second} | {doubtful} | {inside} of {number} | {least:.2g} of `{worst}` ({allowed:.2g}) |"
    " {passed} |"
)


def made(name: str) -> Path:
    """The folder of a job, which is run if it is not finished."""
    folder = ROOT / "runs" / "calibration" / name
    if not (folder / "manifest.json").exists():
        done = subprocess.run([COMMAND, "calibrate", *EVERY[name], f"hydra.run.dir={folder}"], cwd=ROOT, check=False)
        if not (folder / "manifest.json").exists():
            raise SystemExit(f"{name}: exit code {done.returncode}")
    return folder


def result(folder: Path) -> dict:
    """What the page tells of a job."""
    manifest = json.loads((folder / "manifest.json").read_text())
    fits = pd.read_csv(folder / "fits.csv", keep_default_na=False)
    table = pd.read_csv(folder / "calibration.csv")
    lost, doubtful = counted(fits)
    again = int(np.count_nonzero(fits["attempt"] == 2))
    counts = {"fits": len(fits), "second": again, "doubtful": doubtful, "lost": lost}
    columns = ["parameter", "num", "p_value", "in_band", "passes", "contraction", "z_mean", "z_sd"]
    columns += [f"coverage_{level}" for level in (50, 80, 90, 95)]
    rows = json.loads(table[columns].round(4).to_json(orient="records"))
    drawn = {"drawn": manifest["num_screened"], "unsolved": manifest["num_screened_failed"]}
    return counts | drawn | {"passed": manifest["passed"], "quantities": rows}


def section(name: str, found: dict) -> str:
    """What the page says of a job."""
    rows, quantities = [], found["quantities"]
    for q in quantities:
        inside = " | ".join(f"{q[f'coverage_{level}']:.3f}" for level in (50, 80, 90, 95))
        learned = " | " if q["contraction"] is None else f"{q['contraction']:.2f} | {q['z_mean']:+.2f} ({q['z_sd']:.2f})"
        band = "yes" if q["in_band"] else "no"
        rows.append(f"| `{q['parameter']}` | {q['p_value']:.3f} | {band} | {inside} | {learned} |")
    return SECTION.format(name=name, title=TITLES[name], rows="\n".join(rows), **found | in_all(found))


def in_all(found: dict) -> dict:
    """What the page says of all quantities of a job together."""
    quantities = found["quantities"]
    worst = min(quantities, key=lambda q: q["p_value"])
    return {
        "inside": sum(q["in_band"] for q in quantities),
        "number": len(quantities),
        "worst": worst["parameter"],
        "least": worst["p_value"],
        "allowed": 0.05 / len(quantities),
        "passed": "PASS" if found["passed"] else "FAIL",
    }


def main(names: list[str]) -> None:
    """Run what is not finished, and keep results and figures."""
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in names or EVERY:
        folder = made(name)
        command = shlex.join(["cytostorm", "calibrate", *EVERY[name]]).replace(f"{ROOT}/", "")
        known[name] = {"command": command, **result(folder)}
        RESULTS.write_text(json.dumps(known, indent=1) + "\n")
        for figure in FIGURES if name in JOBS else ():
            shutil.copy(folder / f"{figure}.png", ROOT / "docs" / f"calibration_{name}_{figure}.png")
        text = "".join(section(job, known[job]) for job in JOBS if job in known)
        rows = [ROW.format(**known[job] | in_all(known[job])) for job in EXPERIMENTS if job in known]
        PAGE.write_text(PAGE.read_text().split(MARK)[0] + MARK + text + IN_SHORT.format(rows="\n".join(rows)))


if __name__ == "__main__":
    main(sys.argv[1:])
