"""Twenty cohorts of known truth, fitted; and what a gradient costs as a cohort grows: `make benchmark` runs it.

    python benchmarks/cohorts.py [cost | recovery]      one of the two, or both

The problem is that of `hierarchical`. Truths are drawn from the prior and readings from the model under them, so that 90 %
intervals hold 90 % of the truths if the posterior is right. The cost is measured on 5, 20 and 80 such subjects.
"""

import dataclasses
import sys
import tempfile
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from hierarchical import FILE, OVERRIDES
from race import clock
from results import merge
from scipy.stats import binom

import cytostorm.inference as ci
from cytostorm.inference.arguments import jitted
from cytostorm.inference.keys import branches, root
from cytostorm.inference.style import BLUE, GREY, styled
from cytostorm.inference.verdict import largest_rhat
from cytostorm.scripts import device
from cytostorm.scripts.compose import composed
from cytostorm.scripts.problem import prepare

COHORTS, SIZES, ROUNDS, LEVEL = 20, (5, 20, 80), 15, 0.9
FIGURE = Path(__file__).resolve().parents[1] / "docs" / "cohorts.png"


def problem_of(num: int) -> tuple[ci.Population, ci.NUTS]:
    """The problem of so many subjects, those of the file again and again, and its sampler."""
    table = pd.read_csv(FILE)
    known = list(dict.fromkeys(table["subject"]))
    parts = [table[table["subject"] == known[i % len(known)]].assign(subject=f"S{i:03d}") for i in range(num)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cohort.csv"
        pd.concat(parts).to_csv(path, index=False)
        problem, sampler, _ = prepare(composed("fit", [*OVERRIDES, f"data.path={path}"]))
    assert isinstance(problem, ci.Population)
    assert isinstance(sampler, ci.NUTS)
    return problem, sampler


def recovered() -> dict:
    """For every shared quantity, how many of the cohorts have the truth inside their interval; and the largest R-hat."""
    problem, sampler = problem_of(20)
    sampler = dataclasses.replace(sampler, num_draws=300)
    keys, read = branches(root(7), 3), jitted(lambda at, values: at.read(values), problem)
    truths = {name: np.asarray(x) for name, x in problem.draw(keys[0], 2 * COHORTS).items()}
    inside: dict[str, int] = {}
    worst, done, unsolved = 0.0, 0, 0
    for i, (key, key_fit) in enumerate(zip(branches(keys[1], 2 * COHORTS), branches(keys[2], 2 * COHORTS), strict=True)):
        truth = {name: jnp.asarray(x[i]) for name, x in truths.items()}
        log_f, okay = read(truth)
        if done == COHORTS:
            break
        if not okay.all():
            unsolved += 1
            continue
        y = np.asarray(problem.noise.draw(key, log_f, truth, problem.data, problem.scatter))
        draws = sampler.sample(eqx.tree_at(lambda p: p.data.value, problem, y), key_fit)
        done += 1
        for name in ("gamma", "k_l", "u0", "t_u", "omega", *problem.noise.parameters(problem.data)):
            x = np.asarray(draws.values[name])
            found = x.reshape(-1, *x.shape[2:])
            low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
            held = np.atleast_1d((low <= truths[name][i]) & (truths[name][i] <= high))
            labels = [f"omega[{e}]" for e in problem.variability.effects] if name == "omega" else [name]
            for label, hit in zip(labels, held, strict=True):
                inside[label] = inside.get(label, 0) + int(hit)
            worst = max(worst, largest_rhat(x))
        print(f"  cohort {done}: {inside}, R-hat so far {worst:.3f}", flush=True)
    low, high = binom.interval(0.99, COHORTS, LEVEL)
    return {
        "cohorts": done,
        "unsolved": unsolved,
        "inside": inside,
        "allowed": [int(low), int(high)],
        "worst_rhat": worst,
    }


def cost() -> dict:
    """Milliseconds of a value and its gradient by the number of subjects; rounds interleaved, medians."""
    runs = {}
    for num in SIZES:
        density = ci.Density(problem_of(num)[0])
        runs[num] = (density.jit(lambda density, x: jax.value_and_grad(density.potential)(x)), density.sites.centre)
    for run, x in runs.values():
        clock(lambda: run(jnp.asarray(x)))
    ms = {num: [] for num in SIZES}
    for _ in range(ROUNDS):
        for num, (run, x) in runs.items():
            ms[num].append(1e3 * clock(lambda: run(jnp.asarray(x))))
    return {str(num): float(np.median(x)) for num, x in ms.items()}


def drawn(ms: dict) -> None:
    """The figure: cost against size, beside a line of proportion."""
    num, taken = np.array([int(n) for n in ms]), np.array(list(ms.values()))
    with styled():
        figure, ax = plt.subplots(figsize=(4.6, 3.2))
        ax.plot(num, taken[0] * num / num[0], color=GREY, lw=1, label="in proportion")
        ax.plot(num, taken, "o-", color=BLUE, label="measured")
        ax.set(xscale="log", yscale="log", xlabel="subjects", ylabel="value and gradient [ms]", xticks=num, xticklabels=num)
        ax.legend(fontsize=8)
        figure.savefig(FIGURE, dpi=150)


def main() -> None:
    """Measure, fit, print and keep."""
    device.start("cpu")
    parts = sys.argv[1:] or ["cost", "recovery"]
    if "cost" in parts:
        ms = cost()
        print("value and gradient: " + ", ".join(f"{num} subjects {x:.2f} ms" for num, x in ms.items()))
        drawn(ms)
        merge("cohorts", {"ms": ms})
    if "recovery" in parts:
        found = recovered()
        print(f"{COHORTS} cohorts, truths inside their 90 % interval: {found['inside']} (of 20, {found['allowed']} allowed)")
        merge("cohorts", found)


if __name__ == "__main__":
    main()
