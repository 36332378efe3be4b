"""Could we have known? Fifty synthetic patients, half of whom storm, read twice a day: forecasts after every reading.

    python benchmarks/warning.py [PATIENTS]

Gains and all else are drawn from the prior of the network; what is forecast is whether IL-6 exceeds 1000 pg/mL.
"""

import json
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np

import cytostorm.inference as ci
from cytostorm.inference.keys import root
from cytostorm.inference.synthetic import Synthetic
from cytostorm.inference.warning.replay import compared, replay, scored
from cytostorm.models import replace, simulate
from cytostorm.scripts.compose import build, composed
from cytostorm.scripts.data import place
from cytostorm.scripts.problem import world

HERE = Path(__file__).parent
THRESHOLD, UNTIL, LAST = 1000.0, 192.0, 120.0
READ = tuple(float(t) for t in np.arange(0, LAST + 1, 12))


def patients(number, trigger="viral"):
    """Problems and true courses of so many patients, half of them with a storm."""
    cfg = composed("compare", [f"trigger={trigger}", "solver.rtol=1e-5", "solver.atol=1e-7"])
    model, story, solver = world(cfg)
    priors, grid = build(cfg.prior), np.arange(0.0, UNTIL + 1)
    one = ci.Problem(model, story, Synthetic(READ, ("il6", "crp")).draw(model, story, solver), priors, None, solver)
    drawn = {name: np.asarray(x) for name, x in one.draw(root(7), 40 * number).items()}
    problems, truth, left = {}, {}, {True: number // 2, False: number - number // 2}
    for i in range(40 * number):
        if not any(left.values()):
            break
        own = {name: float(drawn[name][i]) for name in priors}
        trajectory = simulate(replace(model, {n: jnp.asarray(x) for n, x in own.items()}), story, grid, solver)
        il6 = np.asarray(trajectory.observe(model)["il6"])
        storm = bool((il6 > THRESHOLD).any())
        if not trajectory.okay or not left[storm]:
            continue
        left[storm] -= 1
        recipe = Synthetic(READ, ("il6", "crp"), sigma=float(drawn["sigma"][i]), seed=i, truth=own)
        label = f"{'storm' if storm else 'resolve'}_{i}"
        problems[label] = ci.Problem(model, story, recipe.draw(model, story, solver), priors, None, solver)
        truth[label] = (grid, il6)
    return problems, truth


def main(argv):
    """Forecast, score, print, and keep what fifty patients gave."""
    place()
    number = int(argv[0]) if argv else 50
    problems, truth = patients(number)
    clock = time.perf_counter()
    forecasts, ahead = replay(problems, root(0), UNTIL, THRESHOLD, num_points=1000)
    seconds = time.perf_counter() - clock
    table = scored(*compared(problems, forecasts, ahead, truth, THRESHOLD))
    print(table.to_string(index=False, float_format="{:.3g}".format))
    told = sum(len(x) for x in forecasts.values())
    print(f"{len(problems)} patients, {told} forecasts in {seconds:.0f} s")
    if number == 50:
        found = {"patients": number, "forecasts": told, "seconds": seconds, "scores": table.to_dict("records")}
        (HERE / "warning.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
