"""Replicates: a truth each, and readings that the problem's own model, noise and assay make of it."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ..arguments import by_blocks, jitted
from ..keys import branches
from ..observations import KINDS, Observations, joined
from ..population import Population
from ..problem import Problem
from ..quantities import of_prior
from ..samplers import Density, NoStart

BLOCK = 64  # replicates that are drawn side by side
MOST = 20  # draws for every replicate, before truths that cannot be solved are too many


class Assay(NamedTuple):
    """What an assay tells no value of: below `low` and above `high`, for every reading [unit of its analyte]."""

    low: Float[np.ndarray, " obs"]
    high: Float[np.ndarray, " obs"]

    @property
    def limited(self) -> bool:
        """Whether there are limits."""
        return bool((self.low > 0).any() or np.isfinite(self.high).any())

    def read(self, data: Observations, value: Float[np.ndarray, " obs"]) -> Observations:
        """The same observations with what the assay tells of other values."""
        cens = np.where(value < self.low, -1, np.where(value > self.high, 1, 0))
        limit = np.where(cens < 0, self.low, np.where(cens > 0, self.high, 1.0))
        return dataclasses.replace(data, value=np.clip(value, self.low, self.high), cens=cens, limit=limit)


class Replicates(NamedTuple):
    """Truths as positions, the readings of each, and of how many truths that were drawn how many could not be solved."""

    truth: Float[np.ndarray, "replicate parameter"]
    data: list[Observations]
    num_drawn: int
    num_failed: int


def assay(data: Observations, low: float | None = None, high: float | None = None) -> Assay:
    """The limits of the assay: those given, and those at which readings are censored.

    A reading that is not censored has the nearest limit of its analyte that it respects. The means of groups have none.
    Raises `ValueError` for readings that are known to lie between two limits, for which no limits are known elsewhere.
    """
    if data.bound is not None and np.any((data.cens != 0) & (data.bound > 0) & np.isfinite(data.bound)):
        raise ValueError(
            "some readings are known to lie in an interval, and no table says where others would; leave out the column"
            " `bound` to calibrate with readings below their limit"
        )
    lows, highs = np.zeros(len(data)), np.full(len(data), np.inf)
    analyte = np.array(data.analyte)
    for i in np.flatnonzero(data.individual):
        mine = analyte == analyte[i]
        below = data.limit[mine & (data.cens < 0)]
        above = data.limit[mine & (data.cens > 0)]
        here = data.value[i]
        lows[i] = max([*below[below <= here], low or 0.0]) if data.cens[i] >= 0 else data.limit[i]
        highs[i] = min([*above[above >= here], np.inf if high is None else high]) if data.cens[i] <= 0 else data.limit[i]
    return Assay(lows, highs)


def drawn(
    problem: Problem | Population, limits: Assay, key: PRNGKeyArray, num: int, truth: np.ndarray | None = None
) -> Replicates:
    """`num` replicates with truths from the prior, or at the positions `truth`, which are then tried one after the other.

    A truth that cannot be solved is replaced by the next and counted: the density of every posterior is zero there too, so
    that the prior is the one given that it can be solved. Raises `NoStart` where too few can be.
    """
    run = jitted(_readings, problem)
    key_truth, key_noise = branches(key, 2)
    keys = np.stack([np.asarray(key) for key in branches(key_noise, MOST * num)])
    most = MOST * num if truth is None else len(truth)
    if truth is None:
        truth = of_prior(problem, key_truth, most)
    values, okay, tried = np.zeros((0, len(problem.data))), np.zeros(0, bool), 0
    while okay.sum() < num and tried < most:
        part = slice(tried, min(tried + max(num, BLOCK), most))
        here, lanes = truth[part], keys[part]
        found, solved = by_blocks(lambda i, x=here, k=lanes: run(x[i], k[i]), len(here), BLOCK)
        values, okay, tried = np.concatenate([values, found]), np.append(okay, solved), part.stop
    if okay.sum() < num:
        raise NoStart(
            f"only {okay.sum()} of {tried} truths could be solved, {num} are needed; narrow the priors or raise"
            " `solver.max_steps`"
        )
    chosen = np.flatnonzero(okay)[:num]
    last = int(chosen[-1]) + 1
    return Replicates(truth[chosen], [limits.read(problem.data, values[i]) for i in chosen], last, last - num)


def _readings(
    problem: Problem | Population, position: Float[Array, "replicate parameter"], keys: Array
) -> tuple[Float[Array, "replicate obs"], Bool[Array, " replicate"]]:
    """What an assay without limits would read at each truth, and whether it could be solved."""

    def one(position: Array, key: Array) -> tuple[Array, Array]:
        values = problem.sites.values(position)
        log_f, okay = problem.read(values)
        value = problem.noise.draw(key, log_f, values, problem.data, problem.scatter)
        return value, jnp.all(okay) & jnp.all(jnp.isfinite(value) & (value > 0))

    return jax.vmap(one)(position, keys)


def posed(problem: Problem | Population, limits: Assay, beside: bool) -> Density:
    """The density of which every replicate is one: compiled once, whichever readings are censored.

    With `beside` replicates are readings beside those of the problem, which are given too.
    """
    kinds = [kind for kind in KINDS if kind != "censored" or limits.limited or (problem.data.cens != 0).any()]
    there = problem.data.individual
    kinds = tuple(kind for kind in kinds if (there.any() if kind != "group" else not there.all()))
    if beside:
        assert isinstance(problem, Problem), "readings of a population have no place beside it"
        data = joined([problem.data, problem.data])
        problem = Problem(problem.model, problem.scenario, data, problem.priors, problem.noise, problem.solver)
    return Density(problem, kinds=kinds)


def given(density: Density, problem: Problem | Population, data: Observations, beside: bool) -> Density:
    """The density of one replicate."""
    return density.given(joined([problem.data, data]) if beside else data)
