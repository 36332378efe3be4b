"""Simulation-based calibration of every shipped model: the results and figures of docs/calibration.md.

    python benchmarks/calibration.py [NAME ...]      minimal, endotoxin, network, posterior; all if none is named

Every job is one `cytostorm calibrate`, whose fits are on disk one by one: a call that was killed continues. A job that is
finished is not run again. Writes benchmarks/calibration.json and the figures docs/calibration_NAME_*.png.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from cytostorm.inference.calibration.findings import counted

ROOT = Path(__file__).parent.parent
COMMAND = Path(sys.executable).with_name("cytostorm")
RESULTS = ROOT / "benchmarks" / "calibration.json"
FIGURES = ("ecdf", "ranks", "coverage", "recovery")
TEN = "data.times_h=[0,0.5,1,1.5,2,2.5,3,4,5,6]"
MINIMAL = ["data=synthetic", TEN, "data.lower_limit=1.0"]
LOOSE = ["solver.rtol=1e-4", "solver.atol=1e-6"]
JOBS = {
    "minimal": MINIMAL,
    "endotoxin": [
        *("model=endotoxin", "prior=endotoxin", "data=synthetic", "data.times_h=[0,1,1.5,2,3,4,6,8]"),
        *("data.analytes=[tnf,il6,il10]", "noise=per_analyte"),
    ],
    "network": ["experiment=timing", *LOOSE],
    "posterior": [*MINIMAL, "posterior=true", "num_replicates=100"],
}


def made(name: str) -> Path:
    """The folder of a job, which is run if it is not finished."""
    folder = ROOT / "runs" / "calibration" / name
    if not (folder / "manifest.json").exists():
        done = subprocess.run(
            [COMMAND, "calibrate", *JOBS[name], f"hydra.run.dir={folder}", *THREADS], cwd=ROOT, check=False
        )
        if not (folder / "manifest.json").exists():
            raise SystemExit(f"{name}: exit code {done.returncode}")
    return folder


THREADS = ["threads=1"]  # seconds of the processor are then those of one core


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
    return counts | drawn | {"seconds": manifest["seconds"], "passed": manifest["passed"], "quantities": rows}


def main(names: list[str]) -> None:
    """Run what is not finished, and keep results and figures."""
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in names or JOBS:
        folder = made(name)
        known[name] = {"command": " ".join(["cytostorm calibrate", *JOBS[name]]), **result(folder)}
        RESULTS.write_text(json.dumps(known, indent=1) + "\n")
        for figure in FIGURES:
            shutil.copy(folder / f"{figure}.png", ROOT / "docs" / f"calibration_{name}_{figure}.png")


if __name__ == "__main__":
    main(sys.argv[1:])
