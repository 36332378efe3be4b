"""cytostorm benchmark: time and accuracy of solves and gradients, method by method, in one interleaved run."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from omegaconf import DictConfig

import cytostorm.inference as ci
from cytostorm.inference.style import styled
from cytostorm.models import Solver

from . import device
from .compose import blame
from .problem import prepare
from .run import begin, console, end, progress

REFERENCE = Solver("dopri8", rtol=1e-11, atol=1e-13, max_steps=100_000)
ROUNDS, LEAST_S = 5, 0.2  # of gradients side by side


def main(cfg: DictConfig, folder: Path) -> int:
    """Measure, save and print. Returns the exit code."""
    clock = time.perf_counter()
    hardware = device.start(**cfg.device)
    problem, _, _ = prepare(cfg)
    with blame():
        solvers = [Solver(m, r, r * 1e-2, problem.solver.max_steps) for m in cfg.methods for r in cfg.rtols]
    config_hash = begin(cfg, folder)
    draws = problem.draw(jax.random.PRNGKey(cfg.seed), cfg.num_draws)
    first = {name: jnp.asarray(prior.median) for name, prior in problem.sampled.items()}
    truth = jax.vmap(_gradient(problem, REFERENCE))(draws)
    rows, timed = [], []
    with progress("benchmark") as report:
        for i, solver in enumerate(solvers):
            functions = {"value_ms": _value(problem, solver), "gradient_ms": _gradient(problem, solver)}
            value, jacobian, okay = jax.vmap(functions["gradient_ms"])(draws)
            good = np.asarray(okay & truth[2])
            scale = np.maximum(np.abs(truth[1]).max(axis=1, keepdims=True), 1e-3)
            rows.append(
                {
                    "method": solver.method,
                    "rtol": solver.rtol,
                    "value_error": float(np.abs(value - truth[0])[good].max()),
                    "gradient_error": float((np.abs(jacobian - truth[1]) / scale)[good].max()),
                    "failed": int((~good).sum()),
                }
            )
            timed.append(functions)
            report(i + 1, len(solvers) + cfg.num_repeats)
        seconds: list[dict[str, list[float]]] = [{name: [] for name in functions} for functions in timed]
        for repeat in range(cfg.num_repeats):
            for functions, taken in zip(timed, seconds, strict=True):
                for name, function in functions.items():
                    taken[name].append(_time(function, first))
            report(len(solvers) + repeat + 1, len(solvers) + cfg.num_repeats)
    medians = [{name: 1e3 * float(np.median(x)) for name, x in taken.items()} for taken in seconds]
    table = pd.DataFrame([row | median for row, median in zip(rows, medians, strict=True)])
    table.to_csv(folder / "benchmark.csv", index=False)
    figure = work_precision(table)
    figure.savefig(folder / "work_precision.png")
    console.print(table.to_string(index=False, float_format="{:.3g}".format), highlight=False)
    console.print(
        f"largest errors over {cfg.num_draws} prior draws against {REFERENCE.method} at rtol {REFERENCE.rtol:g}: of the"
        " log-prediction, and of its derivatives relative to the largest of each parameter; times are medians for one solve",
        highlight=False,
    )
    widths = gradients_per_s(ci.Density(problem), cfg.widths, cfg.seed)
    for width, rate in widths.items():
        console.print(f"{width:6d} lanes: {rate:9.0f} gradients of the log-density per second", highlight=False)
    pd.Series(widths, name="gradients_per_s").rename_axis("lanes").to_csv(folder / "widths.csv")
    total = time.perf_counter() - clock
    end(folder, "benchmark", device=hardware, seed=cfg.seed, config_sha256=config_hash, seconds={"total": total})
    return 0


def gradients_per_s(density: ci.Density, widths: Sequence[int], seed: int = 0) -> dict[int, float]:
    """Values of the log-density with their gradients per second, so many side by side, compilation apart.

    Rounds are interleaved, and medians returned; narrow batches are at other draws of the prior each time, for some are
    dearer than others.
    """
    slope = jax.jit(jax.vmap(jax.value_and_grad(density.potential)))
    positions = density.positions(density.problem.draw(jax.random.PRNGKey(seed), max(widths)))
    for width in widths:
        jax.block_until_ready(slope(positions[:width]))
    taken: dict[int, list[float]] = {width: [] for width in widths}
    for number in range(ROUNDS):
        for width in widths:
            calls, clock = 0, time.perf_counter()
            while calls == 0 or time.perf_counter() - clock < LEAST_S:
                first = min((number * 131 + calls) * width % max(widths), max(widths) - width)
                jax.block_until_ready(slope(positions[first : first + width]))
                calls += 1
            taken[width].append(calls * width / (time.perf_counter() - clock))
    return {width: float(np.median(rates)) for width, rates in taken.items()}


def _value(problem: ci.Problem, solver: Solver) -> Callable:
    """Log-predictions and success at one draw."""
    chosen = eqx.tree_at(lambda p: p.solver, problem, solver)
    return jax.jit(lambda values: chosen.read(values))


def _gradient(problem: ci.Problem, solver: Solver) -> Callable:
    """Log-predictions, their Jacobians and success at one draw."""
    chosen = eqx.tree_at(lambda p: p.solver, problem, solver)
    return jax.jit(lambda values: chosen.linearize(values))


def _time(function: Callable, values: Any, repeats: int = 10) -> float:
    jax.block_until_ready(function(values))
    start = time.perf_counter()
    for _ in range(repeats):
        jax.block_until_ready(function(values))
    return (time.perf_counter() - start) / repeats


def work_precision(table: pd.DataFrame) -> Figure:
    """The cost of a value and its gradient against the gradient's error, by method; a point for each tolerance."""
    plt.switch_backend("agg")
    with styled():
        figure, ax = plt.subplots(figsize=(7.2, 4.4))
        for (method, rows), marker in zip(table.groupby("method", sort=False), "osD^vP*X", strict=False):
            ax.plot(rows["gradient_error"], rows["gradient_ms"], marker=marker, label=str(method))
        ax.set(xscale="log", yscale="log", ylabel="value and gradient [ms]")
        ax.set_xlabel("largest error of a sensitivity over prior draws, relative to the largest of its parameter")
        ax.legend(fontsize=9)
    return figure
