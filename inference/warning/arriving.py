r"""The posterior of one patient after every reading, in their order, without a new fit for each.

After $k$ readings a pool of points is weighted by $p(\theta)\, p(y_{1:k} \mid \theta) / q(\theta)$: one solve of a
point tells its likelihood for all of them. Where too few points are worth anything, a mixture of Student's t distributions
is fitted to the weighted pool and new points are drawn from it; $q$ is the mixture of all proposals in the pool (adaptive
multiple importance sampling: Cornuet et al., Scand J Stat 2012;39:798).
"""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from scipy.special import logsumexp

from cytostorm.models import Plan, derivations, filled, plan

from ..arguments import divided
from ..keys import generator
from ..problem import Problem
from ..samplers.mixture import Mixture, fitted
from ..samplers.weights import normalised, worth
from ..site import Sites

ENOUGH = 0.2  # of the points of a proposal: so many must be worth something
FIT = 0.1  # of them, at least, are worth something where a mixture is fitted: the likelihood is tempered to that
ROUNDS = 10  # proposals at most after each reading
KEPT = 4  # proposals that the pool holds
PARTS = 4
DEFENSIVE = 0.1  # the share of a proposal that is wider than what it was fitted to
WIDER = 2.0
CHOSEN = 200  # points whose margins are told
ROUND = 32  # numbers of times are rounded up to multiples, so that patients share programs


type Look = Callable[[np.ndarray, np.ndarray], Seen]


class Seen(eqx.Module):
    """Of points: success, log-density and a replicate of every reading, and the curve that is watched."""

    okay: Bool[Any, "*point"]
    log_density: Float[Any, "*point obs"]
    replicate: Float[Any, "*point obs"]
    curve: Float[Any, "*point time"]


class Known(eqx.Module):
    """What is known of a patient at `time` [h], from `num` readings: points of the posterior and their weights.

    `margin` are gains over their critical values of points that weigh the same. `rows` are the readings of the watched
    analyte that come next, at one time. `ess` is what the weights are worth.
    """

    time: float
    num: int
    x: Float[np.ndarray, "point parameter"]
    weight: Float[np.ndarray, " point"]
    seen: Any
    margin: Float[np.ndarray, " chosen"]
    rows: Any
    ess: float
    num_solves: int
    num_failed: int


class Watch:
    """Programs for patients who are read alike: what is compiled for one serves all whose readings have its shape."""

    def __init__(self, analyte: str = "il6"):
        self.analyte, self._programs = analyte, {}

    def look(self, problem: Problem, prepared: Plan) -> tuple[Look, Callable[[np.ndarray], np.ndarray]]:
        """What tells everything of points of a problem, and what tells their margins."""
        arrays, rest = divided((problem, prepared))
        leaves, structure = jax.tree.flatten(arrays)
        shapes = tuple((x.shape, x.dtype) for x in leaves)
        model = tuple(np.asarray(x).tobytes() for x in jax.tree.leaves((problem.model, problem.solver)))
        kind = (structure, shapes, problem.data.analyte, problem.data.kinds, model)
        if kind not in self._programs:

            def one(arrays: Any, x: Array, key: Array) -> Seen:
                problem, prepared = eqx.combine(arrays, rest)
                return self._one(problem, prepared, x, key)

            self._programs[kind] = jax.jit(jax.vmap(one, (None, 0, 0))), jax.jit(jax.vmap(partial(_margin, problem)))
        run, margin = self._programs[kind]
        return lambda x, key: jax.device_get(run(arrays, x, key)), lambda x: jax.device_get(margin(x))

    def _one(self, problem: Problem, prepared: Plan, x: Array, key: Array) -> Seen:
        values = problem.sites.values(x)
        read, okay = problem.curves(values, prepared)
        picked = problem._pick(read)
        okay &= jnp.all(picked > 0)
        log_f = jnp.log(jnp.where(okay, jnp.maximum(picked, 1e-300), 1.0))
        density = problem.data.counted(problem.noise.log_density(log_f, values, problem.data))
        okay &= jnp.all(jnp.isfinite(density))
        replicate = problem.noise.draw(key, log_f, values, problem.data)
        return Seen(okay, jnp.where(okay, density, 0.0), replicate, jnp.maximum(read[self.analyte], 1e-300))


def _margin(problem: Problem, x: Array) -> Array:
    model: Any = problem.build(problem.sites.values(x))
    return model.margin if "margin" in derivations(model) else jnp.full((), jnp.nan)


def arriving(
    problem: Problem,
    until: float,
    key: PRNGKeyArray,
    num_points: int = 1000,
    step: float = 1.0,
    watch: Watch | None = None,
) -> tuple[Float[np.ndarray, " time"], Iterator[Known]]:
    """The times of the curves [h], every `step` until `until`, and what is known before any reading and after each.

    Raises `ValueError` where `until` does not come after the last reading, and where no draw of the prior can be solved.
    """
    last = float(problem.data.time.max())
    if until < last:
        raise ValueError(f"curves until {until:g} h do not reach the last reading, {last:g} h; give a later `until`")
    padded = problem.padded()
    grid = np.arange(problem.scenario.start, until + step, step)
    times = np.unique(np.concatenate([grid, padded.data.time]))
    prepared = filled(plan(problem.model, problem.scenario, times, problem.within.moving), len(times) + -len(times) % ROUND)
    padded = eqx.tree_at(lambda p: p.when, padded, np.searchsorted(times, padded.data.time))
    watch = watch or Watch()
    look, margin = watch.look(padded, prepared)
    return times, _steps(padded, look, margin, len(times), generator(key), num_points, watch.analyte)


def _steps(
    problem: Problem,
    look: Look,
    margin: Callable[[np.ndarray], np.ndarray],
    size: int,
    rng: np.random.Generator,
    num: int,
    analyte: str,
) -> Iterator[Known]:
    data, sites = problem.data, problem.sites
    real = np.ones(len(data), bool) if data.real is None else np.asarray(data.real)
    moments, watched = np.unique(data.time[real]), real & np.array([a == analyte for a in data.analyte])
    pool = Pool(sites)
    pool.add(None, sites.drawn(rng.standard_normal((2 * num, sites.size))), look, rng)
    if not pool.seen.okay.any():
        raise ValueError("no draw from the prior can be solved; narrow the priors or raise `solver.max_steps`")
    for k in range(len(moments) + 1):
        now = problem.scenario.start if k == 0 else float(moments[k - 1])
        told = real & (data.time <= now) if k else np.zeros(len(data), bool)
        weight = pool.settle(told, num, rng, look)
        rows = np.flatnonzero(watched & (data.time == moments[k])) if k < len(moments) else np.zeros(0, int)
        seen = dataclasses.replace(pool.seen, curve=pool.seen.curve[:, :size])
        chosen = pool.x[np.searchsorted(np.cumsum(weight)[:-1], (np.arange(CHOSEN) + rng.random()) / CHOSEN)]
        effective, counts = worth(weight), (pool.num_solves, pool.num_failed)
        yield Known(now, int(told.sum()), pool.x, weight, seen, margin(chosen), rows, effective, *counts)


class Pool:
    """Points with the proposals that they were drawn from, and what was seen of each."""

    def __init__(self, sites: Sites):
        self._sites = sites
        self._parts: list[tuple[Mixture | None, np.ndarray, Seen]] = []
        self.num_solves = self.num_failed = 0

    def add(self, proposal: Mixture | None, x: np.ndarray, look: Look, rng: np.random.Generator) -> None:
        """Look at points of a proposal (the prior where it is None); the oldest are forgotten."""
        seen = look(x, rng.integers(0, 2**32, (len(x), 2), np.uint32))
        self.num_solves += len(x)
        self.num_failed += int((~seen.okay).sum())
        self._parts = [*self._parts, (proposal, x, seen)][-KEPT:]
        self.x = np.concatenate([part[1] for part in self._parts])
        self.seen: Seen = jax.tree.map(lambda *y: np.concatenate(y), *[part[2] for part in self._parts])
        self._prior = self._sites.log_prior(self.x)
        each = [self._prior if m is None else m.log_density(self.x) for m, _, _ in self._parts]
        share = np.log([len(part[1]) / len(self.x) for part in self._parts])
        self._proposal = logsumexp(np.array(each) + share[:, None], axis=0)

    def weights(self, told: Bool[np.ndarray, " obs"], power: float = 1.0) -> Float[np.ndarray, " point"]:
        """The weights of the points given the readings `told`, or a power of their likelihood."""
        height = self._prior + power * self.seen.log_density[:, told].sum(axis=1) - self._proposal
        return normalised(np.where(self.seen.okay, height, -np.inf))

    def settle(self, told: np.ndarray, num: int, rng: np.random.Generator, look: Look) -> Float[np.ndarray, " point"]:
        """The weights given the readings `told`, after as many new points as they need."""
        weight = self.weights(told)
        for _ in range(ROUNDS):
            if worth(weight) >= ENOUGH * num:
                break
            power = next(p for p in (*np.geomspace(1, 1e-4, 25), 0.0) if p == 0 or worth(self.weights(told, p)) >= FIT * num)
            mixture = fitted(self.x, self.weights(told, power), PARTS, rng)
            wide = Mixture(mixture.share, mixture.centre, WIDER * mixture.root)
            proposal = Mixture.of([mixture, wide], [1 - DEFENSIVE, DEFENSIVE])
            self.add(proposal, proposal.draw(rng, num), look, rng)
            weight = self.weights(told)
        return weight
