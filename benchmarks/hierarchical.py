"""The data of the problem `hierarchical`: twenty subjects of the minimal model after LPS, drawn once, in hierarchical.csv.

`hierarchical.py`, from the repository root, draws them again: the same by the seed.
"""

from pathlib import Path

import numpy as np
import pandas as pd

import cytostorm.inference as ci
from cytostorm.models import Minimal, Scenario, Solver, bolus, values
from cytostorm.scripts import device

FILE = Path(__file__).resolve().parent / "hierarchical.csv"
SUBJECTS, SEED = 20, 1
TIMES_H = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
# Standard deviations of the logarithms between subjects. The gain is the same in all: readings after LPS hardly tell it.
OMEGA = {"k_l": 0.3, "u0": 0.3}
CORRELATION, SIGMA = -0.4, 0.15
FIXED = ("k_m", "x_l", "w_l", "k_r", "w_r", "n_u")  # in the prior of `cytostorm fit`, here at the values of the model

# What `cytostorm fit` is told.
OVERRIDES = [
    *("data=cohort", f"data.path={FILE}", "sampler=nuts_population", "sampler.target_accept=0.9", "sampler.num_draws=750"),
    "prior.gamma.fold=1.5",  # as if from an earlier study, for these readings alone leave a long tail of high gains
    *(f"~prior.{name}" for name in FIXED),
    "+variability._target_=cytostorm.inference.Variability",
    "+variability.correlation=2.0",
    *(f"+variability.effects.{name}={{omega: {{median: 0.3, fold: 3}}}}" for name in OMEGA),
]


def drawn() -> pd.DataFrame:
    """The readings, to four digits as a table would have them."""
    model, story = Minimal(), Scenario(bolus("lps", 2.0))
    root = np.linalg.cholesky([[1.0, CORRELATION], [CORRELATION, 1.0]])
    deviation = np.random.default_rng(SEED).standard_normal((SUBJECTS, 2)) @ root.T
    frames = []
    for i, along in enumerate(deviation):
        truth = {name: float(values(model)[name] * np.exp(w * x)) for (name, w), x in zip(OMEGA.items(), along, strict=True)}
        one = ci.Synthetic(TIMES_H, sigma=SIGMA, seed=SEED + i, truth=truth).draw(model, story, Solver())
        frames.append(pd.DataFrame({"subject": f"S{i + 1:02d}", "time_h": one.time, "analyte": "il6", "value": one.value}))
    table = pd.concat(frames, ignore_index=True).assign(unit="pg/mL")
    return table.assign(value=[float(f"{x:.4g}") for x in table["value"]])


if __name__ == "__main__":
    device.start("cpu")
    drawn().to_csv(FILE, index=False)
