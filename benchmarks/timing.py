"""How long a comparison takes: draws x arms x 21 days of the storm network, its memory, and its accuracy.

python benchmarks/timing.py
"""

import json
import resource
import time
from pathlib import Path

import numpy as np

from cytostorm.inference.decisions.counterfactual import compare
from cytostorm.inference.decisions.options import NOW, Clock, options
from cytostorm.inference.decisions.patients import Patient, expected
from cytostorm.inference.keys import root
from cytostorm.inference.results.choices import courses_of
from cytostorm.models import Solver
from cytostorm.scripts.compose import build, composed
from cytostorm.scripts.data import place
from cytostorm.scripts.problem import world

HERE = Path(__file__).parent
NUM, UNTIL, ARMS = 1000, 504.0, (4, 8, 16, 24)  # and no treatment


def main():
    """Measure, print, and keep what was found."""
    place()
    cfg = composed("compare", [])
    model, story, solver = world(cfg)
    outcomes = build(cfg.outcome)
    (patient,) = expected(model, story, build(cfg.prior), solver, 0.0, NUM, root(0))
    given = courses_of("tocilizumab+dexamethasone")

    def run(people, number):
        starts = np.linspace(0, 240, number).tolist()
        choices = options({"a": given}, {"a": starts}, {"a": [1.0]}, {"a": Clock(NOW)})
        clock = time.perf_counter()
        found = compare([people], choices, outcomes, UNTIL)
        return time.perf_counter() - clock, found

    _, found = run(patient, 2)  # compiles
    rows = []
    for number in ARMS:
        seconds = [run(patient, number)[0] for _ in range(3)]
        rows.append({"arms": number + 1, "solves": NUM * (number + 1), "seconds": float(np.median(seconds))})
        print(rows[-1], flush=True)
    few = {name: x[:100] for name, x in patient.values.items()}
    exact = Patient("exact", model, story, few, Solver(rtol=1e-9, atol=1e-11, max_steps=100_000), 0.0)
    ours = Patient("ours", model, story, few, solver, 0.0)
    (_, tight), (_, plain) = run(exact, 4), run(ours, 4)
    size = np.abs(tight.outcome).max(axis=(0, 1, 2)) + 1e-12
    error = (np.abs(plain.outcome - tight.outcome) / size).max(axis=(0, 1, 2))
    errors = dict(zip(tight.outcomes, error.tolist(), strict=True))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("largest errors relative to the largest value:", {n: f"{x:.1e}" for n, x in errors.items()})
    print(f"peak memory {memory:.0f} MiB; failed solves {int((~found.okay).sum())}")
    result = {"draws": NUM, "hours": UNTIL, "rows": rows, "errors": errors, "memory_mib": memory}
    (HERE / "timing.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
