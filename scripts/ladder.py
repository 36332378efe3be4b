"""The ladder of checks before a long fit: readings, prior draws, density, gradient, time and memory."""

import resource
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from omegaconf import DictConfig

import cytostorm.inference as ci
from cytostorm.inference.keys import branches, root
from cytostorm.inference.samplers.density import LOWEST, Point
from cytostorm.models import Solver

from .certify import certificate
from .compose import BadConfig, build
from .costs import cost
from .finding import Finding
from .fit import about
from .health import cores, free_memory
from .problem import prepare

INPUT = ("readings", "problem")  # rungs at which the input is at fault
NUM_DRAWS, BLOCK, PATIENCE = 64, 8, 60.0  # positions; how many in one call, and no more of them after so long [s]
NUM_CERTIFIED, NUM_FEW = 8, 2  # draws of the gradient certificate, and those by finite differences
MANY, MOST = 0.1, 0.5  # shares of draws that fail: worth a word, and too many to start from
STEP = 1e-3  # of differences along a direction, in units of the prior's spread
SLOPE = 1e-2  # the largest error of a gradient along a direction, relative to its length
TIGHTER = 1e-3  # times the tolerances


def climb(cfg: DictConfig) -> Iterator[Finding]:
    """One rung after the other; the last is the first that does not hold."""
    try:
        data = build(cfg.data)
        yield Finding("readings", _readings(data))
    except BadConfig as error:
        yield Finding("readings", str(error), False, "`cytostorm data check FILE` tells what is understood of a table")
        return
    try:
        problem, sampler, _ = prepare(cfg)
    except BadConfig as error:
        yield Finding("problem", str(error), False)
        return
    yield Finding("problem", f"{len(problem.data)} readings, {problem.sites.size} sampled parameters, {about(problem)}")
    key_draws, key_few = branches(root(cfg.seed), 2)
    density = ci.Density(problem)
    positions = density.drawn(key_draws, NUM_DRAWS - 1)  # and the middle of the prior
    points, seconds, compiling = looked(density, positions)
    positions = positions[: len(points.solved)]
    rungs: tuple[Callable[[], Finding], ...] = (
        lambda: solvable(problem, points),
        lambda: finite(density, positions, points),
        lambda: right(problem, density, positions, points, key_few),
        lambda: affordable(problem, sampler, seconds, compiling),
    )
    for rung in rungs:
        found = rung()
        yield found
        if found.holds is False:
            return


def _readings(data: Any) -> str:
    """What there is to read, in words."""
    if isinstance(data, ci.Synthetic):
        return f"synthetic, of {data.num_subjects} subject{'s' if data.num_subjects > 1 else ''} with known truth"
    parts = [subject.data for subject in data] if isinstance(data, ci.Cohort) else [data]
    subjects = len(data) if isinstance(data, ci.Cohort) else len(set(data.subject))
    time_h = np.concatenate([part.time for part in parts])
    censored = sum(int(np.count_nonzero(part.cens)) for part in parts)
    analytes = ", ".join(dict.fromkeys(a for part in parts for a in part.analyte))
    return (
        f"{len(time_h)} of {analytes}, {subjects} subject{'s' if subjects > 1 else ''},"
        f" {time_h.min():g} to {time_h.max():g} h, {censored} censored"
    )


def looked(density: ci.Density, positions: np.ndarray) -> tuple[Point, float, float]:
    """The density and its slopes at each position; what a look takes on its own, and what compiling took [s].

    As chains do, positions follow each other inside one program. Where a block takes long the rest are left out.
    """
    look = density.jit(lambda at, rows: jax.lax.map(lambda row: at.point(row, jnp.asarray(-1)), rows))
    clock = time.perf_counter()
    jax.block_until_ready(look(positions[:BLOCK]))
    first, found, seconds = time.perf_counter() - clock, [], []
    for begin in range(0, len(positions), BLOCK):
        clock = time.perf_counter()
        rows = positions[begin : begin + BLOCK]
        found.append(jax.device_get(look(np.concatenate([rows, np.repeat(rows[-1:], BLOCK - len(rows), axis=0)]))))
        seconds.append(time.perf_counter() - clock)
        if sum(seconds) > PATIENCE:
            break
    points = jax.tree.map(lambda *x: np.concatenate(x)[: len(positions)], *found)
    each = float(np.median(seconds))
    return points, each / BLOCK, max(first - each, 0.0)


def solvable(problem: ci.Problem | ci.Population, points: Point) -> Finding:
    """Whether draws from the prior can be solved."""
    failed = ~points.solved
    share, num = float(failed.any(axis=1).mean()), len(failed)
    told = f"{failed.any(axis=1).sum()} of {num} could not be solved ({share:.0%})"
    if isinstance(problem, ci.Population) and failed.any():
        worst = int(failed.sum(axis=0).argmax())
        told += f"; most often subject {problem.cohort.labels[worst]}, {failed[:, worst].sum()} times"
    remedy = "narrow the priors, check units and doses, or raise `solver.max_steps`"
    return Finding("prior draws", told, False if share > MOST else None if share > MANY else True, remedy)


def finite(density: ci.Density, positions: np.ndarray, points: Point) -> Finding:
    """Whether log-density and gradient are finite wherever the solve succeeded."""
    solved = points.solved.all(axis=1)
    slopes = points.slope_prior + points.slope_likelihood
    bad = solved & ~((points.log_likelihood > LOWEST) & np.isfinite(points.log_prior) & np.isfinite(slopes).all(axis=1))
    if bad.any():
        values = {
            name: x for name, x in density.values(jnp.asarray(positions[int(bad.argmax())])).items() if np.ndim(x) == 0
        }
        where = ", ".join(f"{name}={float(x):.4g}" for name, x in list(values.items())[:8])
        told = f"not finite at {bad.sum()} of {solved.sum()} draws, first at {where}"
        return Finding("density and gradient", told, False, "look at what the model reads there; bound or narrow the priors")
    heights = (points.log_prior + points.log_likelihood)[solved]
    told = f"finite at {solved.sum()} draws, log-density {heights.min():.3g} to {heights.max():.3g}"
    return Finding("density and gradient", told)


def right(problem: Any, density: ci.Density, positions: np.ndarray, points: Point, key: Any) -> Finding:
    """Whether the gradient is that of the density: by the certificate of `certify`, or along directions for a population."""
    what, remedy = "gradient", "tighten `solver.rtol`; `cytostorm certify` with the same overrides tells more"
    if isinstance(problem, ci.Problem):
        try:
            rows, _ = certificate(problem, problem.draw(key, NUM_CERTIFIED), NUM_FEW)
        except BadConfig as error:
            return Finding(what, str(error), False)
        worst = max(rows, key=lambda row: row["error"] / row["allowed"])
        told = (
            f"{NUM_CERTIFIED} draws: {worst['what']} is off by {worst['error']:.1e}, and {worst['allowed']:.0e} is allowed"
        )
        return Finding(what, told, all(row["holds"] for row in rows), remedy)
    error, num = along(problem, positions, points)
    told = f"along {num} directions off by {error:.1e} of its length at most, and {SLOPE:.0e} is allowed"
    return Finding(what, told, error <= SLOPE, "tighten `solver.rtol` and `solver.atol`")


def along(problem: Any, positions: np.ndarray, points: Point) -> tuple[float, int]:
    """The largest error of gradients along random directions, relative to their length, and the number of directions.

    Against central differences of the density by a solver with tighter tolerances.
    """

    def tight(leaf: Any) -> Any:
        if not isinstance(leaf, Solver):
            return leaf
        return Solver(leaf.method, TIGHTER * leaf.rtol, TIGHTER * leaf.atol, 100 * leaf.max_steps)

    reference = ci.Density(jax.tree.map(tight, problem, is_leaf=lambda x: isinstance(x, Solver)))
    look = reference.jit(ci.Density.point)
    height = lambda x: (p := look(x, np.array(-1))).log_prior + p.log_likelihood  # noqa: E731
    random, errors = np.random.default_rng(0), []
    for i in np.flatnonzero(points.solved.all(axis=1))[: 2 * NUM_FEW]:
        slope = points.slope_prior[i] + points.slope_likelihood[i]
        way = STEP * reference.sites.spread * random.standard_normal(len(slope))
        rise = float(height(positions[i] + way) - height(positions[i] - way)) / 2
        errors.append(abs(rise - slope @ way) / (np.linalg.norm(slope) * np.linalg.norm(way)))
    return max(errors, default=np.inf), len(errors)


def affordable(problem: Any, sampler: Any, seconds: float, compiling: float) -> Finding:
    """What the fit will take, and whether there is memory for it."""
    expected = cost(sampler, problem.sites.size, len(problem.data), cores())
    low, high = (seconds * x + compiling for x in expected.rounds)
    need, free = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20 + expected.gigabytes, free_memory()
    told = (
        f"{_span(low)} to {_span(high)}: {expected.words} at {1e3 * seconds:.3g} ms each on {cores()} cores,"
        f" {_span(compiling)} to compile; {need:.1f} GiB of memory"
    )
    remedy = f"{free:.1f} GiB are free: raise `sampler.thin`, lower `sampler.num_draws`, or fit fewer subjects"
    return Finding("time and memory", told, need < free, remedy)


def _span(seconds: float) -> str:
    """A time in words."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.2g} s"
