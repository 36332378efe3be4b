"""Are the gradients right for every trigger of the network, over its whole prior? `make certificates` runs it.

One `cytostorm certify` of 500 prior draws for each trigger, with and without tocilizumab at a quarter of the story; IL-6
and CRP at 25 times over the story. A run that is finished is kept, so that a call that was killed continues. The table
goes to docs/certificates.md.
"""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
from conftest import ROOT
from test_network import TRIGGERS, trigger

from cytostorm.scripts.certify import BARS

DRAWS, READINGS = 500, 25
COMMAND = Path(sys.executable).with_name("cytostorm")
HORIZON_H = 48.0  # of a trigger that names none
CASES = [
    *product(TRIGGERS, ("none", "tocilizumab"), ("native",)),
    *product(("cart", "bacterial"), ("tocilizumab",), ("tsit5",)),
]
COLUMNS = ("sensitivity", "sensitivity, 99.9 %", "finite differences", "batch against loop", "value")

PAGE = """# Certificates of gradients

The network under every trigger, its whole prior (`prior=network`), {draws} draws each; IL-6 and CRP at {readings} times
over the story; tocilizumab from a quarter of it on. Errors of log-predictions and of their derivatives along the logarithm
of each parameter, relative to the largest of that parameter, against diffrax's dopri8 at rtol 1e-11; finite differences by
that solver, and single solves, for the first 16 draws. A draw that one of the two cannot solve has failed and is left out.
In bold: more than allowed. Remade by `make certificates`.

Finite differences have a step of 1e-4, or of 1e-5 where the first is too wide: one patient of `mas` under tocilizumab lies
so near the fold that IL-6 changes by 89 times what its gain changes by.

| trigger | treatment | solver | {columns} | failed |
|---|---|---|{rule}|---|
| | | allowed | {allowed} | |
{rows}
"""


def certify(name: str, drug: str, method: str) -> dict:
    """The manifest of one certificate."""
    folder = ROOT / "runs" / "certificates" / f"{name}-{drug}-{method}"
    horizon = trigger(name).horizon_h or HORIZON_H
    times = ",".join(f"{t:.6g}" for t in np.linspace(0.0, horizon, READINGS))
    overrides = ["model=network", f"trigger={name}", f"treatment={drug}", "prior=network", f"solver={method}"]
    overrides += ["data=synthetic", f"data.times_h=[{times}]", "data.analytes=[il6,crp]", f"num_draws={DRAWS}"]
    overrides += [f"treatment.start_h={horizon / 4}", f"hydra.run.dir={folder}"]
    if not (folder / "manifest.json").exists():
        subprocess.run([COMMAND, "certify", *overrides], cwd=ROOT, check=False)
    return json.loads((folder / "manifest.json").read_text())


def shown(error: float, allowed: float) -> str:
    """An error, in bold where it is more than allowed."""
    return f"{error:.1e}" if error <= allowed else f"**{error:.1e}**"


def main():
    """Certify what is not yet certified, and write the table. Returns 0 if every certificate holds, 1 if not."""
    rows, passed = [], True
    for case in CASES:
        found = certify(*case)
        passed &= found["passed"]
        errors = [shown(found["certificate"][name], BARS[name]) for name in COLUMNS]
        rows.append("| " + " | ".join([*case, *errors, str(found["num_failed_solves"])]) + " |")
    page = PAGE.format(
        draws=DRAWS,
        readings=READINGS,
        columns=" | ".join(COLUMNS),
        rule="|".join(["---"] * len(COLUMNS)),
        allowed=" | ".join(f"{BARS[name]:.0e}" for name in COLUMNS),
        rows="\n".join(rows),
    )
    (ROOT / "docs" / "certificates.md").write_text(page)
    print(page)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
