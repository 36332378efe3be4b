"""Starting points that cannot fail: prior draws that were solved, climbed from, and told apart by the modes they reach."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from scipy.optimize import minimize

from ..keys import branches
from .blocks import Blocks
from .density import Density
from .settings import at_least_one

METHODS = ("screened", "median", "map", "laplace")
CLIMBS = ("map", "laplace")  # those that find modes
WALL = 1e4  # energy where no solve succeeds: high, but low enough for a line search to interpolate
STEP = 1e-3  # of the differences of gradients that give the curvature, in the logarithm of a parameter
BARRIER = 2.0  # two ends of climbs are two modes if the energy between them rises by this above both
NEGLIGIBLE = 15.0  # a mode that lies this much above the best holds no mass worth a chain


class NoStart(RuntimeError):
    """Too few prior draws could be solved: there is nowhere to start."""


class Starts(eqx.Module):
    """Where chains start, and what was seen on the way.

    `position` holds a row per chain. `climbs` are the energies before and after each climb, `mode` the mode each
    reached, best first; `modes` and `spreads` hold position and covariance of each mode, and `weight` its share of the
    posterior's mass by Laplace's approximation. Without climbs these are empty.
    """

    position: Float[np.ndarray, "chain parameter"]
    climbs: Float[np.ndarray, "climb two"]
    mode: Int[np.ndarray, " climb"]
    modes: Float[np.ndarray, "mode parameter"]
    spreads: Float[np.ndarray, "mode parameter parameter"]
    weight: Float[np.ndarray, " mode"]
    num_screened: int
    num_failed: int
    num_solves: int

    @property
    def covariance(self) -> Float[np.ndarray, "parameter parameter"] | None:
        """The spread around the best mode; None where none was sought."""
        return self.spreads[0] if len(self.spreads) else None


def without_climbs(
    position: Float[np.ndarray, "chain parameter"], num_screened: int, num_failed: int, num_solves: int
) -> Starts:
    """Starting points for which nothing climbed."""
    size = position.shape[1]
    nothing = (np.zeros((0, 2)), np.zeros(0, int), np.zeros((0, size)), np.zeros((0, size, size)), np.zeros(0))
    return Starts(position, *nothing, num_screened, num_failed, num_solves)


class Starting(eqx.Module):
    """How chains start: one stage before sampling.

    `num_screened` prior draws are solved in one batch. `screened` starts each chain at the best of them, one per chain;
    `median` starts all at the prior median, if that can be solved. `map` and `laplace` climb from `num_climbs` of them
    to local maxima of the density, and start chains there (`map`) or at draws from the normal distributions around
    them (`laplace`), over all modes in turn, so that chains that disagree are seen to.
    """

    method: str = eqx.field(default="screened", static=True)
    num_screened: int = eqx.field(default=256, static=True)
    num_climbs: int = eqx.field(default=16, static=True)

    def __check_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"`start.method` is {self.method!r}; choose from: {', '.join(METHODS)}")
        at_least_one(self, "num_screened", "num_climbs", within="start.")

    def find(self, density: Density, key: PRNGKeyArray, num_chains: int, blocks: Blocks) -> Starts:
        """Where `num_chains` chains start; from `blocks` if an earlier run found it.

        Raises `NoStart` if fewer draws than chains could be solved.
        """
        known = blocks.read(-1, 0)
        if known is not None:
            return Starts(*known[:-3], *(int(x) for x in known[-3:]))
        found = self._find(density, key, num_chains)
        blocks.write(-1, 0, found)
        return found

    def _find(self, density: Density, key: PRNGKeyArray, num_chains: int) -> Starts:
        key_prior, key_chain = branches(key, 2)
        drawn = density.drawn(key_prior, self.num_screened)
        energy = np.asarray(jax.jit(jax.vmap(density.potential))(drawn))
        solved = np.isfinite(energy)
        if solved.sum() < num_chains:
            raise NoStart(
                f"only {solved.sum()} of {solved.size} prior draws have a finite density, {num_chains} are needed;"
                " narrow the priors, check units and dose, or raise `solver.max_steps`"
            )
        order = np.argsort(np.where(solved, energy, np.inf))
        counts = (solved.size, int((~solved).sum()))
        if self.method in ("screened", "median"):
            best = order[:num_chains]
            if self.method == "median" and solved[0]:
                best = np.zeros(num_chains, int)
            return without_climbs(drawn[best], *counts, solved.size)
        scale = density.sites.spread
        # Half of the climbs start at the best draws and half anywhere: the best may all lie in one basin.
        half = order[: -(-self.num_climbs // 2)]
        rest = [i for i in np.flatnonzero(solved) if i not in half][: self.num_climbs - len(half)]
        begin = np.append(half, np.array(rest, int))
        ends, after, steps = climb(density, drawn[begin])
        mode, modes = _modes(density, ends, after)
        spreads = np.stack([spread(density, x, scale) for x in modes])
        lowest = np.array([after[mode == i].min() for i in range(len(modes))])
        size = lowest - 0.5 * np.linalg.slogdet(spreads)[1]
        weight = np.exp(size.min() - size) / np.exp(size.min() - size).sum()
        solves = solved.size + steps + len(modes) * 2 * len(scale)
        turn = [i for i, _ in zip(itertools.cycle(np.flatnonzero(lowest < lowest.min() + NEGLIGIBLE)), range(num_chains))]
        position = modes[turn]
        if self.method == "laplace":
            position = _around(density, key_chain, position, spreads[turn])
        climbs = np.stack([energy[begin], after], axis=1)
        return Starts(position, climbs, mode, modes, spreads, weight, *counts, solves)


def climb(density: Density, begin: Float[np.ndarray, "climb parameter"]) -> tuple[np.ndarray, np.ndarray, int]:
    """The local maxima of the density that L-BFGS reaches from each point, their energies, and the solves it took."""
    slope = jax.jit(jax.value_and_grad(density.potential))
    steps = 0

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal steps
        steps += 1
        value, gradient = jax.device_get(slope(x))
        return (float(value), gradient) if np.isfinite(value) else (WALL, np.zeros_like(x))

    found = [minimize(objective, x, jac=True, method="L-BFGS-B") for x in begin]
    return np.stack([f.x for f in found]), np.array([f.fun for f in found]), steps


def spread(density: Density, mode: Float[np.ndarray, " parameter"], scale: Float[np.ndarray, " parameter"]) -> np.ndarray:
    """The covariance around a mode: the inverse curvature of the energy by central differences of its gradient.

    In units of the prior's standard deviations `scale`, the curvature of a direction that the data do not inform is
    one; less than a tenth of that, or a negative one, is noise or an edge, and is set to a tenth.
    """
    slope = jax.jit(jax.vmap(jax.grad(density.potential)))
    moves = STEP * np.diag(scale)
    rows = np.asarray(slope(jnp.asarray(np.concatenate([mode + moves, mode - moves]))))
    curvature = (rows[: len(mode)] - rows[len(mode) :]) / (2 * STEP) * scale
    values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
    return scale[:, None] * (vectors / np.maximum(values, 0.1)) @ vectors.T * scale


def _modes(density: Density, ends: np.ndarray, energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which mode each climb reached, best first, and where the modes are.

    Two ends belong to one mode if the energy on the straight line between them stays within `BARRIER` of the higher.
    """
    between = jnp.linspace(0.1, 0.9, 9)[:, None]
    line = jax.jit(lambda a, b: jax.vmap(density.potential)(a + between * (b - a)))
    mode, modes = np.zeros(len(ends), int), []
    for i in np.argsort(energy):
        for number, j in enumerate(modes):
            if np.max(np.asarray(line(ends[i], ends[j]))) < max(energy[i], energy[j]) + BARRIER:
                mode[i] = number
                break
        else:
            mode[i] = len(modes)
            modes.append(i)
    return mode, ends[modes]


def _around(density: Density, key: Array, centre: np.ndarray, spreads: np.ndarray) -> np.ndarray:
    """A draw around each centre; where it cannot be solved, one half as far, and at last the centre itself."""
    noise = np.asarray(jax.random.normal(key, centre.shape))
    moves = np.einsum("cij,cj->ci", np.linalg.cholesky(spreads), noise)
    energy = jax.jit(jax.vmap(density.potential))
    position = centre + moves
    for _ in range(3):
        bad = ~np.isfinite(np.asarray(energy(jnp.asarray(position))))
        moves[bad] /= 2
        position = np.where(bad[:, None], centre + moves, position)
    bad = ~np.isfinite(np.asarray(energy(jnp.asarray(position))))
    return np.where(bad[:, None], centre, position)
