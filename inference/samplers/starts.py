"""Starting points that cannot fail: prior draws that were solved, climbed from, and told apart by the modes they reach."""

import dataclasses
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..keys import branches
from .blocks import Blocks
from .density import Density
from .each import best_of_each
from .settings import at_least_one

METHODS = ("screened", "random", "median", "map", "laplace")
OF_SUBJECTS = "subjects"  # for populations
CLIMBS = ("map", "laplace")  # those that find modes
WALL = 1e4  # how far above a start the energy lies where no solve succeeds: a line search can still interpolate
STEP = 1e-3  # of the differences of gradients that give the curvature, in the logarithm of a parameter
FLOOR = 0.1  # of the prior's curvature along a direction: below it is noise, an edge, or what is not convex
BARRIER = 2.0  # two ends of climbs are two modes if the energy between them rises by this above both
NEGLIGIBLE = 15.0  # a mode that lies this much above the best holds no mass worth a chain
THREADS = 4  # climbs at a time; a solve leaves Python to the others


class Stuck(RuntimeError):
    """Sampling cannot go on; the message says what to change."""


class NoStart(Stuck):
    """Too few prior draws could be solved: there is nowhere to start."""


class Starts(eqx.Module):
    """Where chains start, and what was seen on the way.

    `position` holds a row per chain. `climbs` are the energies before and after each climb, `mode` the mode each
    reached, best first; `modes` and `spreads` hold position and covariance of each mode, and `weight` its share of the
    posterior's mass by Laplace's approximation. Without climbs these are empty. Of `num_screened` prior draws
    `num_unsolved` could not be solved; `num_solves` and `num_failed` count the whole stage, climbs and curvatures too.
    """

    position: Float[np.ndarray, "chain parameter"]
    climbs: Float[np.ndarray, "climb two"]
    mode: Int[np.ndarray, " climb"]
    modes: Float[np.ndarray, "mode parameter"]
    spreads: Float[np.ndarray, "mode parameter parameter"]
    weight: Float[np.ndarray, " mode"]
    num_screened: int
    num_unsolved: int
    num_failed: int
    num_solves: int

    @property
    def covariance(self) -> Float[np.ndarray, "parameter parameter"] | None:
        """The spread around the best mode; None where none was sought."""
        return self.spreads[0] if len(self.spreads) else None


def without_climbs(position: Float[np.ndarray, "chain parameter"], num_screened: int, num_unsolved: int) -> Starts:
    """Starting points for which nothing climbed: `num_screened` solves."""
    size = position.shape[1]
    nothing = (np.zeros((0, 2)), np.zeros(0, int), np.zeros((0, size)), np.zeros((0, size, size)), np.zeros(0))
    return Starts(position, *nothing, num_screened, num_unsolved, num_unsolved, num_screened)


class Probe:
    """The density as the stages before chains ask for it, from the host: every solve and every failure is counted."""

    def __init__(self, density: Density):
        self.num_solves, self._lock = 0, threading.Lock()
        self._density, self._before = density, int(density.failures[-1])
        slope = jax.value_and_grad(Density.potential, argnums=1)
        self._energy = density.jit(jax.vmap(Density.potential, (None, 0)))
        self._slope, self._slopes = density.jit(slope), density.jit(jax.vmap(slope, (None, 0)))

    @property
    def num_failed(self) -> int:
        """How many of the solves failed."""
        jax.effects_barrier()
        return int(self._density.failures[-1]) - self._before

    def energy(self, position: Float[Any, "lane parameter"]) -> Float[np.ndarray, " lane"]:
        """The energy at each position, infinite where the solve fails."""
        self.num_solves += len(position)
        return np.asarray(self._energy(jnp.asarray(position)))

    def slopes(self, position: Float[np.ndarray, "lane parameter"]) -> Float[np.ndarray, "lane parameter"]:
        """The gradient of the energy at each position, zero where the solve fails."""
        self.num_solves += len(position)
        return np.asarray(self._slopes(jnp.asarray(position))[1])

    def slope(self, position: Float[np.ndarray, " parameter"]) -> tuple[float, Float[np.ndarray, " parameter"]]:
        """Energy and gradient at one position; infinite and zero where the solve fails."""
        with self._lock:
            self.num_solves += 1
        value, gradient = jax.device_get(self._slope(position))
        return float(value), gradient


class Path(NamedTuple):
    """The steps of a climb, its start first: positions, energies and their gradients."""

    position: Float[np.ndarray, "step parameter"]
    energy: Float[np.ndarray, " step"]
    slope: Float[np.ndarray, "step parameter"]


class Starting(eqx.Module):
    """How chains start: one stage before sampling.

    `num_screened` prior draws are solved in one batch. `screened` starts each chain at the best of them, one per chain,
    `random` at any that could be solved; `median` starts all at the prior median, if that can be solved. `subjects` starts
    a population at the median too, but every subject at the best of its own draws, others in each chain. `map` and
    `laplace` climb from `num_climbs` of them to local maxima of the density, and start chains there (`map`) or at draws
    from the normal distributions around them (`laplace`), over all modes in turn, so that chains that disagree are
    seen to.
    """

    method: str = eqx.field(default="screened", static=True)
    num_screened: int = eqx.field(default=256, static=True)
    num_climbs: int = eqx.field(default=16, static=True)

    def __check_init__(self) -> None:
        if self.method not in (known := (*METHODS, OF_SUBJECTS)):
            raise ValueError(f"`start.method` is {self.method!r}; choose from: {', '.join(known)}")
        at_least_one(self, "num_screened", "num_climbs", within="start.")

    def find(self, density: Density, key: PRNGKeyArray, num_chains: int, blocks: Blocks) -> Starts:
        """Where `num_chains` chains start; from `blocks` if an earlier run found it.

        Raises `NoStart` if fewer draws than chains could be solved.
        """
        known = blocks.read(-1, 0)
        if known is not None:
            return Starts(*known[:-4], *(int(x) for x in known[-4:]))
        found = self._find(density, key, num_chains)
        blocks.write(-1, 0, found)
        return found

    def _find(self, density: Density, key: PRNGKeyArray, num_chains: int) -> Starts:
        if self.method == OF_SUBJECTS:
            return self._by_subject(density, key, num_chains)
        key_prior, key_chain = branches(key, 2)
        probe, drawn = Probe(density), density.drawn(key_prior, self.num_screened)
        energy = probe.energy(drawn)
        solved = np.isfinite(energy)
        if solved.sum() < num_chains:
            raise NoStart(
                f"only {solved.sum()} of {solved.size} prior draws have a finite density, {num_chains} are needed;"
                " narrow the priors, check units and dose, or raise `solver.max_steps`"
            )
        order = np.argsort(np.where(solved, energy, np.inf))
        counts = (solved.size, int((~solved).sum()))
        if self.method in ("screened", "random", "median"):
            chosen = order[:num_chains]
            if self.method == "random":
                chosen = np.flatnonzero(solved)[-num_chains:]  # draws are independent: the last are as good as any
            if self.method == "median" and solved[0]:
                chosen = np.zeros(num_chains, int)
            return without_climbs(drawn[chosen], *counts)
        scale = density.sites.spread
        # Half of the climbs start at the best draws and half anywhere: the best may all lie in one basin.
        half = order[: -(-self.num_climbs // 2)]
        rest = [i for i in np.flatnonzero(solved) if i not in half][: self.num_climbs - len(half)]
        begin = np.append(half, np.array(rest, int))
        paths = climb(probe, drawn[begin])
        ends, after = np.stack([path.position[-1] for path in paths]), np.array([path.energy[-1] for path in paths])
        mode, modes = _modes(probe, ends, after)
        spreads = np.stack([spread(probe, x, scale) for x in modes])
        lowest = np.array([after[mode == i].min() for i in range(len(modes))])
        size = lowest - 0.5 * np.linalg.slogdet(spreads)[1]
        weight = np.exp(size.min() - size) / np.exp(size.min() - size).sum()
        turn = [i for i, _ in zip(itertools.cycle(np.flatnonzero(lowest < lowest.min() + NEGLIGIBLE)), range(num_chains))]
        position = modes[turn]
        if self.method == "laplace":
            position = _around(probe, key_chain, position, spreads[turn])
        climbs = np.stack([energy[begin], after], axis=1)
        return Starts(position, climbs, mode, modes, spreads, weight, *counts, probe.num_failed, probe.num_solves)

    def _by_subject(self, density: Density, key: PRNGKeyArray, num_chains: int) -> Starts:
        if not density.sites.num_subjects:
            raise ValueError("`start.method` is 'subjects', and there is one subject; choose 'screened' or 'map'")
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(lambda k: best_of_each(density, k, self.num_screened), branches(key, num_chains)))
        position, solves, failed = np.stack([x[0] for x in found]), sum(x[1] for x in found), sum(x[2] for x in found)
        if not np.isfinite(Probe(density).energy(position)).all():
            raise NoStart(
                "some subject could not be solved at any of its draws; narrow the priors, check units and doses, or raise"
                " `solver.max_steps`"
            )
        return dataclasses.replace(without_climbs(position, solves, failed), num_solves=solves + num_chains)


def climb(probe: Probe, begin: Float[np.ndarray, "climb parameter"]) -> list[Path]:
    """The path of L-BFGS from each point to a local maximum of the density."""
    from scipy.optimize import minimize  # late: few fits climb

    def one(start: np.ndarray, first: tuple[float, np.ndarray]) -> Path:
        seen, steps = {start.tobytes(): first}, [start]

        def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
            if x.tobytes() not in seen:
                value, gradient = probe.slope(x)
                seen[x.tobytes()] = min(value, first[0] + WALL), gradient
            return seen[x.tobytes()]

        minimize(objective, start, jac=True, method="L-BFGS-B", callback=lambda x: steps.append(x.copy()))
        energy, slope = zip(*(seen[x.tobytes()] for x in steps), strict=True)
        return Path(np.stack(steps), np.array(energy), np.stack(slope))

    begun = [probe.slope(start) for start in begin]  # in turn: the first compiles for all
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, begin, begun))


def spread(probe: Probe, mode: Float[np.ndarray, " parameter"], scale: Float[np.ndarray, " parameter"]) -> np.ndarray:
    """The covariance around a mode: the inverse curvature of the energy by central differences of its gradient.

    In units of the prior's standard deviations `scale`, the curvature of a direction that the data do not inform is
    one; less than `FLOOR` of that, or a negative one, is noise or an edge, and is set to it.
    """
    moves = STEP * np.diag(scale)
    rows = probe.slopes(np.concatenate([mode + moves, mode - moves]))
    curvature = (rows[: len(mode)] - rows[len(mode) :]) / (2 * STEP) * scale
    return floored(*np.linalg.eigh((curvature + curvature.T) / 2), scale, np)


def floored(values: Any, vectors: Any, scale: Any, xp: Any) -> Any:
    """The inverse of a curvature in units of `scale`, from its eigenvalues, none of them below `FLOOR`.

    `xp` is NumPy, or its like in JAX.
    """
    return scale[:, None] * (vectors / xp.maximum(values, FLOOR)) @ vectors.T * scale


def _modes(probe: Probe, ends: np.ndarray, energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which mode each climb reached, best first, and where the modes are.

    Two ends belong to one mode if the energy on the straight line between them stays within `BARRIER` of the higher.
    """
    between = np.linspace(0.1, 0.9, 9)[:, None]
    mode, modes = np.zeros(len(ends), int), []
    for i in np.argsort(energy):
        for number, j in enumerate(modes):
            if probe.energy(ends[i] + between * (ends[j] - ends[i])).max() < max(energy[i], energy[j]) + BARRIER:
                mode[i] = number
                break
        else:
            mode[i] = len(modes)
            modes.append(i)
    return mode, ends[modes]


def _around(probe: Probe, key: Array, centre: np.ndarray, spreads: np.ndarray) -> np.ndarray:
    """A draw around each centre; where it cannot be solved, one half as far, and at last the centre itself."""
    noise = np.asarray(jax.random.normal(key, centre.shape))
    moves = np.einsum("cij,cj->ci", np.linalg.cholesky(spreads), noise)
    position = centre + moves
    for _ in range(3):
        bad = ~np.isfinite(probe.energy(position))
        moves[bad] /= 2
        position = np.where(bad[:, None], centre + moves, position)
    bad = ~np.isfinite(probe.energy(position))
    return np.where(bad[:, None], centre, position)
