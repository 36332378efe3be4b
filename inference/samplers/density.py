"""The log-density that every stage evaluates: compiled once, finite or zero, batched in blocks, its failures counted."""

import copy
import dataclasses
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from numpyro.infer.util import compute_log_probs

from cytostorm.models import platform

from ..arguments import divided
from ..observations import Observations
from ..site import Program, Values
from .books import Books
from .lanes import Lanes

LOWEST = -1e12  # the log-likelihood where a solve fails: zero probability that survives multiplication by zero
LANES = 2048  # positions that one call without slopes looks at
FEW = 512  # or so many, if there are no more
BLOCK = 32  # lanes solved side by side on a processor; `make benchmark` measures it
WIDE = 128  # or so many, without slopes

type Position = Float[Array, " parameter"]
type Arrays = list[Any]
type Asker = Int[Array, " 2"]  # the book that counts, and the chain in it


class Point(eqx.Module):
    """Log-prior (with the Jacobian of the logarithm) and log-likelihood at a position, and their gradients.

    `solved` says which subjects could be solved.
    """

    log_prior: Float[Array, ""]
    log_likelihood: Float[Array, ""]
    slope_prior: Position
    slope_likelihood: Position
    solved: Bool[Array, " subject"]


@jax.tree_util.register_pytree_node_class
class Density:
    """The posterior of a problem over positions, the unconstrained vectors of its sampled quantities.

    Value and gradient come from one solve. Where it fails, or anything is not finite, the density is zero with gradient
    zero, and `failures` counts it for the chain that asked (the last entry: for the stages before chains), `unsolved` for
    each subject that could not be solved; what `of` makes counts apart, also where several run at once. Under `vmap` lanes
    run in blocks of `block`. `num_traces` counts how often the problem was traced: once, whatever the stages.

    A density is a tree of readings, times and doses. What is compiled takes it as an argument (see `jit`), and so is one
    program for all data of a shape: `given` other readings nothing is compiled again. They may be of the `kinds` that are
    named, or of those that the problem's readings are of.
    """

    def __init__(
        self, problem: Program, num_chains: int = 0, block: int | None = None, kinds: tuple[str, ...] | None = None
    ):
        self.sites = problem.sites
        self._books = Books(problem.sites.num_subjects)
        self._open(num_chains)
        self._origin, self._kept = self, {}
        self.num_traces = 0
        padded: Any = problem.padded()
        if kinds is not None:
            padded = _reading(padded, dataclasses.replace(padded.data, kinds=kinds))
        arrays, self._rest = divided(padded)
        self._arrays, self._structure = jax.tree.flatten(arrays)
        self._side_by_side, without_slopes = (
            Lanes(block or (one if platform() == "cpu" else None)) for one in (BLOCK, WIDE)
        )
        self._trace = jax.jit(self._point)
        self._log_prior = jax.jit(self._prior)
        self._lanes = self._batched()
        self._heights = jax.jit(lambda arrays, lanes: without_slopes.solve(self._height, arrays, lanes))
        self._energy = _with_slope(self._lanes, _energy)
        self._log_likelihood = _with_slope(self._lanes, lambda found: (found.log_likelihood, found.slope_likelihood))

    def tree_flatten(self) -> tuple[tuple[Arrays, Any], "Density"]:
        """The arrays and the number of the book, and the density that was made first, which has all books."""
        return (self._arrays, self._number), self._origin

    @classmethod
    def tree_unflatten(cls, origin: "Density", arrays: tuple[Arrays, Any]) -> "Density":
        """The same density of other arrays."""
        found = copy.copy(origin)
        found._arrays, found._number = arrays
        return found

    @classmethod
    def of(cls, problem: "Posed", num_chains: int = 0) -> "Density":
        """The density of a problem, or a density as it is, with counts of nothing yet."""
        if not isinstance(problem, Density):
            return cls(problem, num_chains)
        found = copy.copy(problem)
        found._open(num_chains)
        return found

    def given(self, data: Observations) -> "Density":
        """The same posterior given other readings in the places of its own.

        Raises `ValueError` where they are of another shape, or of a kind that this density is not for.
        """
        problem, filled = self.problem, data if self.sites.num_subjects else data.filled()  # a population is not padded
        if new := [kind for kind in filled.kinds if kind not in problem.data.kinds]:
            raise ValueError(f"readings are {new[0]}, which this density is not for; name it in `kinds`")
        found = copy.copy(self)
        kept = dataclasses.replace(filled, kinds=problem.data.kinds)
        found._arrays, structure = jax.tree.flatten(divided(_reading(problem, kept))[0])
        if structure != self._structure or [x.shape for x in found._arrays] != [x.shape for x in self._arrays]:
            raise ValueError("readings are of another shape than those of this density; make one for them")
        return found

    def jit(self, function: Callable[..., Any], **options: Any) -> Any:
        """`function(density, *arguments)`, compiled, for this density: it is called with the other arguments."""
        return partial(jax.jit(function, **options), self)

    def kept(self, name: Hashable, make: Callable[[], tuple[Callable[..., Any], ...]]) -> list[Any]:
        """Functions of a density, compiled, for this one; those of one name are compiled once, whatever it is given."""
        if name not in self._kept:
            self._kept[name] = tuple(jax.jit(function) for function in make())
        return [partial(function, self) for function in self._kept[name]]

    @property
    def problem(self) -> Any:
        """The problem, as `padded` returns it."""
        return self._filled(self._arrays)

    @property
    def by_subject(self) -> tuple[int, ...]:
        """How often each subject could not be solved."""
        return tuple(self.unsolved.sum(axis=0).tolist())

    def values(self, position: Float[Any, "*batch parameter"]) -> Values:
        """The sampled quantities at a position."""
        return self.sites.values(position)

    def positions(self, values: Mapping[str, Any]) -> Float[Array, "*batch parameter"]:
        """The position of values of the sampled quantities."""
        return self.sites.positions(values)

    def drawn(self, key: PRNGKeyArray, num: int) -> Float[np.ndarray, "draw parameter"]:
        """The position in the middle of the prior, then `num` drawn from it."""
        return np.concatenate([self.sites.centre[None], self.prior_draws(key, num)])

    def prior_draws(self, key: PRNGKeyArray, num: int) -> Float[np.ndarray, "draw parameter"]:
        """`num` positions drawn from the prior."""
        return np.asarray(jax.jit(self.positions)(self.problem.draw(key, num)))

    def potential(self, position: Position) -> Float[Array, ""]:
        """The energy at a position, for the stages before chains."""
        return self.energy(position, jnp.array(-1))

    def point(self, position: Position, chain: Int[Array, ""]) -> Point:
        """The density and its slopes at a position: a lane on its own, or under `vmap` many in blocks."""
        return self._lanes(self._arrays, position, self.asker(chain))

    def energy(self, position: Position, chain: Int[Array, ""]) -> Float[Array, ""]:
        """Minus the log-density, infinite where it is zero, with its gradient."""
        return self._energy(self._arrays, position, self.asker(chain))

    def log_likelihood(self, position: Position, chain: Int[Array, ""]) -> Float[Array, ""]:
        """`LOWEST` where a solve fails, with its gradient."""
        return self._log_likelihood(self._arrays, position, self.asker(chain))

    def heights(
        self, positions: Float[np.ndarray, "lane parameter"], chains: Int[np.ndarray, " lane"]
    ) -> tuple[Float[np.ndarray, " lane"], Float[np.ndarray, " lane"]]:
        """Log-prior and log-likelihood at many positions, without slopes; failures are counted for these chains.

        Where a solve fails the log-likelihood is minus infinity.
        """
        num = len(positions)
        size = LANES if num > FEW else FEW
        lanes = np.concatenate([positions, np.repeat(positions[-1:], -num % size, axis=0)])
        calls = [self._heights(self._arrays, part) for part in lanes.reshape(-1, size, lanes.shape[1])]
        prior, likelihood, solved = (np.concatenate(x)[:num] for x in zip(*jax.device_get(calls), strict=True))
        failed = ~np.isfinite(prior + likelihood)
        np.add.at(self.failures, chains[failed], 1)
        np.add.at(self.unsolved, chains[failed], ~solved[failed])
        return np.where(np.isfinite(prior), prior, -np.inf), np.where(failed, -np.inf, likelihood)

    def log_prior(self, position: Position) -> Float[Array, ""]:
        """The log-density of the prior, without a solve."""
        return self._log_prior(self._arrays, position)

    def count(self, asker: Int[Array, "lane 2"], failed: Bool[Array, " lane"], solved: Bool[Array, "lane subject"]) -> None:
        """Count the lanes that failed, and the subjects that could not be solved, for who asked."""
        # The callback is reached only where a solve fails: counting costs nothing else.
        jax.lax.cond(jnp.any(failed), lambda: jax.debug.callback(self._books.count, asker, failed, solved), lambda: None)

    def _open(self, num_chains: int) -> None:
        number, (self.failures, self.unsolved) = self._books.open(num_chains)
        self._number = np.array(number)

    def asker(self, chain: Any) -> Asker:
        """Who asks: the book of this density, and the chain in it."""
        return jnp.stack([jnp.asarray(self._number), jnp.asarray(chain)])

    def _filled(self, arrays: Arrays) -> Any:
        return eqx.combine(jax.tree.unflatten(self._structure, arrays), self._rest)

    def _prior(self, arrays: Arrays, position: Position) -> Float[Array, ""]:
        found, _ = compute_log_probs(self._filled(arrays).latent, (), {}, self.values(position))
        return sum((jnp.sum(x) for x in found.values()), self.sites.log_volume(position))

    def _height(self, arrays: Arrays, position: Position) -> tuple[Array, Array, Array]:
        self.num_traces += 1
        (prior, likelihood), solved = self._parts(self._filled(arrays), position, slopes=False)
        return prior, likelihood, solved

    def _parts(self, problem: Any, position: Position, slopes: bool = True) -> tuple[tuple[Array, Array], Array]:
        """Log-prior and log-likelihood, and what could be solved."""
        values = self.values(position)
        found, _ = compute_log_probs(problem.program, (slopes,), {}, values, sum_log_prob=False)
        latent = sum((jnp.sum(found[name]) for name in values), self.sites.log_volume(position))
        rest = sum((jnp.sum(x) for name, x in found.items() if name not in values), jnp.zeros(()))
        return (latent, rest), jnp.isfinite(jnp.atleast_1d(found["solved"]))

    def _point(self, arrays: Arrays, position: Position) -> Point:
        self.num_traces += 1
        parts = partial(self._parts, self._filled(arrays))
        (prior, likelihood), pull, solved = jax.vjp(parts, position, has_aux=True)
        one, zero = jnp.ones(()), jnp.zeros(())
        (slope_prior,), (slope_likelihood,) = pull((one, zero)), pull((zero, one))
        finite = [jnp.all(jnp.isfinite(x)) for x in (prior, likelihood, slope_prior, slope_likelihood)]
        okay = jnp.all(jnp.array(finite))
        return Point(
            jnp.where(jnp.isfinite(prior), prior, -jnp.inf),
            jnp.where(okay, likelihood, LOWEST),
            jnp.where(okay, slope_prior, 0.0),
            jnp.where(okay, slope_likelihood, 0.0),
            solved,
        )

    def _batched(self) -> Callable[[Arrays, Position, Asker], Point]:
        @jax.custom_batching.custom_vmap
        def point(arrays: Arrays, position: Position, asker: Asker) -> Point:
            found = self._trace(arrays, position)
            self._count(asker[None], _lead(found))
            return found

        @point.def_vmap
        def _(size: int, batched: list[Any], arrays: Arrays, position: Array, asker: Array):
            position = position if batched[1] else jnp.broadcast_to(position, (size, *position.shape))
            asker = asker if batched[2] else jnp.broadcast_to(asker, (size, 2))
            found = self._side_by_side.solve(self._trace, arrays, position)
            self._count(asker, found)
            return found, jax.tree.map(lambda _: True, found)

        return point

    def _count(self, asker: Int[Array, "lane 2"], found: Point) -> None:
        self.count(asker, found.log_likelihood <= LOWEST, found.solved)


type Posed = Program | Density


def _reading(problem: Any, data: Observations) -> Any:
    """The problem given other readings at the same times."""
    return eqx.tree_at(lambda p: p.data, problem, data)


def _energy(found: Point) -> tuple[Array, Position]:
    value = -found.log_prior - found.log_likelihood
    return jnp.where(found.log_likelihood <= LOWEST, jnp.inf, value), -found.slope_prior - found.slope_likelihood


def _with_slope(
    point: Callable[[Arrays, Position, Asker], Point], choose: Callable[[Point], tuple[Array, Position]]
) -> Callable[[Arrays, Position, Asker], Float[Array, ""]]:
    """What is chosen of a point, with the slope that is chosen as its gradient along the position."""

    @jax.custom_vjp
    def value(arrays: Arrays, position: Position, asker: Asker) -> Array:
        return choose(point(arrays, position, asker))[0]

    value.defvjp(lambda *x: choose(point(*x)), lambda slope, cotangent: (None, cotangent * slope, None))
    return value


def _lead(tree: Point) -> Point:
    return jax.tree.map(lambda x: x[None], tree)
