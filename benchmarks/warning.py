"""Could we have known? Synthetic patients, read twice a day: forecasts after every reading.

    python benchmarks/warning.py [PATIENTS]      writes docs/warning.md where there are 200, which is the default
    python benchmarks/warning.py cart            published CAR-T patients instead; writes docs/warning_cart.md

Gains and all else are drawn from the prior of the network; what is forecast is whether IL-6 exceeds 1000 pg/mL. In one
cohort half of the patients storm, in the other as many as the prior says. Only forecasts made before it does count, so that
they are told given that it has not; and where half storm, given that half do.
"""

import sys
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import cytostorm.inference as ci
from cytostorm.inference.keys import root
from cytostorm.inference.results.foreseen import series
from cytostorm.inference.synthetic import Synthetic
from cytostorm.inference.warning.alarm import first_time
from cytostorm.inference.warning.replay import OURS, compared, replay, scored
from cytostorm.inference.warning.warning_figures import calibrated
from cytostorm.models import replace, simulate
from cytostorm.scripts.compose import build, composed
from cytostorm.scripts.data import place
from cytostorm.scripts.forecast import problems_of
from cytostorm.scripts.problem import world

DOCS = Path(__file__).parent.parent / "docs"
THRESHOLD, UNTIL, LAST = 1000.0, 192.0, 120.0
USUAL = 200
READ = tuple(float(t) for t in np.arange(0, LAST + 1, 12))
COLUMNS = {
    "method": "{}",
    "horizon_h": "{:.0f}",
    "forecasts": "{}",
    "came": "{:.2f}",
    "brier": "{:.3f}",
    "slope": "{:.2f}",
    "slope_se": "{:.2f}",
    "intercept": "{:.2f}",
    "foreseen": "{}",
    "storms": "{}",
    "lead_h": "{:.0f}",
    "false_alarms": "{}",
    "log_score": "{:.2f}",
    "crps": "{:.3f}",
}


def patients(number, half):
    """Problems and true courses of so many patients; half of them with a storm, or as they come."""
    cfg = composed("compare", ["trigger=viral", "solver.rtol=1e-5", "solver.atol=1e-7"])
    model, story, solver = world(cfg)
    priors, grid = build(cfg.prior), np.arange(0.0, UNTIL + 1)
    one = ci.Problem(model, story, Synthetic(READ, ("il6", "crp")).draw(model, story, solver), priors, None, solver)
    drawn = {name: np.asarray(x) for name, x in one.draw(root(7), 40 * number).items()}
    problems, truth, left = {}, {}, {True: number // 2, False: number - number // 2}
    for i in range(40 * number):
        if len(problems) == number:
            break
        own = {name: float(drawn[name][i]) for name in priors}
        trajectory = simulate(replace(model, {n: jnp.asarray(x) for n, x in own.items()}), story, grid, solver)
        il6 = np.asarray(trajectory.observe(model)["il6"])
        storm = bool((il6 > THRESHOLD).any())
        if not trajectory.okay or (half and not left[storm]):
            continue
        left[storm] -= 1
        recipe = Synthetic(READ, ("il6", "crp"), sigma=float(drawn["sigma"][i]), seed=i, truth=own)
        label = f"{'storm' if storm else 'resolve'}_{i}"
        problems[label] = ci.Problem(model, story, recipe.draw(model, story, solver), priors, None, solver)
        truth[label] = (grid, il6)
    return problems, truth


class Replayed(NamedTuple):
    """Scores of a cohort, the odds of its storms over those of the prior, the chances that were told, the scores of its
    first fifty, and how many forecasts took how long [s]."""

    table: pd.DataFrame
    odds: float
    chances: pd.DataFrame
    fifty: pd.DataFrame
    told: int
    seconds: float


def replayed(number, half):
    """A cohort of so many patients, replayed and scored."""
    problems, truth = patients(number, half)
    clock = time.perf_counter()
    forecasts, ahead = replay(problems, root(0), UNTIL, THRESHOLD, num_points=1000)
    seconds = time.perf_counter() - clock
    odds = 1.0
    if half:
        storms = sum(many[0].ever for many in forecasts.values()) / number  # before any reading: what the prior says
        odds = (1 - storms) / storms
    chances, readings = compared(problems, forecasts, ahead, truth, THRESHOLD, ours=partial(first_time, odds=odds))
    kinds = (("storm", 25), ("resolve", 25)) if half else (("", 50),)
    some = [label for kind, most in kinds for label in [x for x in problems if x.startswith(kind)][:most]]
    fifty = scored(chances[chances["patient"].isin(some)], readings[readings["patient"].isin(some)])
    return Replayed(scored(chances, readings), odds, chances, fifty, sum(map(len, forecasts.values())), seconds)


def markdown(table):
    """A table of scores in Markdown."""
    lines = ["| " + " | ".join(name.replace("_", " ") for name in COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    for row in table.to_dict("records"):
        lines.append("| " + " | ".join(form.format(row[name]) for name, form in COLUMNS.items()) + " |")
    return "\n".join(lines)


PAGE = """# Warning before the storm

{number} synthetic patients with a viral infection, their gain and all else drawn from the prior of the network, IL-6 and
CRP read twice a day until {last:.0f} h. After every reading: will IL-6 exceed {threshold:.0f} pg/mL within so many hours?
Only forecasts made before it does count, so ours are told given that it has not. `python benchmarks/warning.py` writes this
page; {told} forecasts took {seconds:.0f} s here.

The rivals are given more than ours: their scales are those of highest likelihood over the very patients that they are
judged on. Brier scores are squares of what was wrong (0 is perfect); of calibration a slope of 1 and an intercept of 0 are
right, and the standard error of the slope is over patients; an alarm is a probability of one half; the log score is the mean
log predictive density of the next log-reading, and CRPS its distance.

## Half of them storm

As many storms as recoveries, which is more than the prior gives ({share:.0%} of the cohort below). Ours is told that, by
Bayes' rule: the odds of a patient who ever storms are multiplied by {odds:.2f}.

{half}

Of the first fifty alone, 25 of them with a storm, ours has {fifty_half}.

## As they come

{plain}

Of the first fifty alone, ours has {fifty_plain}.

![What came against what was forecast](calibration.png)
"""


def slopes(table):
    """The Brier scores and slopes of ours in words."""
    rows = table[table["method"] == OURS].to_dict("records")
    brier = ", ".join(f"{row['brier']:.3f}" for row in rows)
    slope = ", ".join(f"{row['slope']:.2f} (SE {row['slope_se']:.2f})" for row in rows)
    hours = ", ".join(f"{row['horizon_h']:.0f}" for row in rows)
    return f"Brier scores of {brier} and slopes of {slope} within {hours} h"


CART = """# Warnings: published CAR-T patients

{number} CD22 CAR-T patients who had neither tocilizumab nor a steroid nor anakinra ([data](data.md)), each forecast from
its own readings of IL-6: will IL-6 exceed {threshold:.0f} pg/mL, and what is the next reading? The prior is what the
cohort's fit says of a new patient ([CAR-T patients](cart_crs.md), `configs/experiment/cart_forecast.yaml`). These patients
are part of that fit, as the rivals' scales are those of highest likelihood over the very patients.
`python benchmarks/warning.py cart` writes this page; {told} forecasts took {seconds:.0f} s here. The columns are explained
under [warnings](warning.md); what came is told by readings alone.

{table}
"""


def cart():
    """Replay the published patients and write their page."""
    cfg = composed("forecast", ["experiment=cart_forecast"])
    problems = problems_of(cfg, "il6")
    until = max(float(p.data.time.max()) for p in problems.values()) + 72
    clock = time.perf_counter()
    threshold = float(cfg.threshold)
    forecasts, ahead = replay(problems, root(0), until, threshold, num_points=cfg.num_points, step=cfg.step_h)
    seconds = time.perf_counter() - clock
    truth = {label: series(problem, "il6") for label, problem in problems.items()}
    table = scored(*compared(problems, forecasts, ahead, truth, threshold))
    told = sum(len(x) for x in forecasts.values())
    text = CART.format(number=len(problems), threshold=threshold, told=told, seconds=seconds, table=markdown(table))
    print(text)
    (DOCS / "warning_cart.md").write_text(text)


def main(argv):
    """Forecast, score, and write the page."""
    place()
    if argv == ["cart"]:
        return cart()
    number = int(argv[0]) if argv else USUAL
    half, plain = replayed(number, True), replayed(number, False)
    text = PAGE.format(
        number=number,
        last=LAST,
        threshold=THRESHOLD,
        told=half.told + plain.told,
        seconds=half.seconds + plain.seconds,
        share=plain.table["storms"].iloc[0] / number,
        odds=half.odds,
        half=markdown(half.table),
        plain=markdown(plain.table),
        fifty_half=slopes(half.fifty),
        fifty_plain=slopes(plain.fifty),
    )
    print(text)
    if number == USUAL:
        (DOCS / "warning.md").write_text(text)
        plt.switch_backend("agg")
        calibrated(plain.chances, 48.0).savefig(DOCS / "calibration.png")


if __name__ == "__main__":
    main(sys.argv[1:])
