"""The log-density that every stage evaluates: compiled once, finite or zero, batched in blocks, its failures counted."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from numpyro.infer.util import compute_log_probs

from cytostorm.models import platform

from ..site import Program, Values

LOWEST = -1e12  # the log-likelihood where a solve fails: zero probability that survives multiplication by zero
BLOCK = 32  # lanes solved side by side on a processor; `make benchmark` measures it

type Position = Float[Array, " parameter"]


class Point(eqx.Module):
    """Log-prior (with the Jacobian of the logarithm) and log-likelihood at a position, and their gradients."""

    log_prior: Float[Array, ""]
    log_likelihood: Float[Array, ""]
    slope_prior: Position
    slope_likelihood: Position


class Density:
    """The posterior of a problem over positions, the unconstrained vectors of its sampled quantities.

    Value and gradient come from one solve. Where it fails, or anything is not finite, the density is zero with gradient
    zero, and `failures` counts it for the chain that asked (the last entry: for the stages before chains). Under `vmap`
    lanes run in blocks of `block`. `num_traces` counts how often the problem was traced: once, whatever the stages.
    """

    def __init__(self, problem: Program, num_chains: int = 0, block: int | None = None):
        self.problem, self.sites = problem, problem.sites
        self.failures: Int[np.ndarray, " chain"] = np.zeros(num_chains + 1, int)
        self.num_traces = 0
        self._block = block or (BLOCK if platform() == "cpu" else None)
        self._trace = jax.jit(self._point)
        self._log_prior = jax.jit(self._prior)
        self.point = self._batched()
        self.energy = self._whole()
        self.log_likelihood = self._power()

    def values(self, position: Float[Any, "*batch parameter"]) -> Values:
        """The sampled quantities at a position."""
        return self.sites.values(position)

    def positions(self, values: Values) -> Float[Array, "*batch parameter"]:
        """The position of values of the sampled quantities."""
        return self.sites.positions(values)

    def drawn(self, key: PRNGKeyArray, num: int) -> Float[np.ndarray, "draw parameter"]:
        """The position in the middle of the prior, then `num` drawn from it."""
        return np.concatenate([self.sites.centre[None], jax.jit(self.positions)(self.problem.draw(key, num))])

    def potential(self, position: Position) -> Float[Array, ""]:
        """The energy at a position, for the stages before chains."""
        return self.energy(position, jnp.array(-1))

    def log_prior(self, position: Position) -> Float[Array, ""]:
        """The log-density of the prior, without a solve."""
        return self._log_prior(position)

    def _prior(self, position: Position) -> Float[Array, ""]:
        found, _ = compute_log_probs(self.problem.latent, (), {}, self.values(position))
        return sum((jnp.sum(x) for x in found.values()), self.sites.log_volume(position))

    def _point(self, position: Position) -> Point:
        self.num_traces += 1

        def parts(position: Position) -> tuple[Array, Array]:
            values = self.values(position)
            found, _ = compute_log_probs(self.problem.program, (), {}, values)
            latent = sum((found[name] for name in values), self.sites.log_volume(position))
            return latent, sum((x for name, x in found.items() if name not in values), jnp.zeros(()))

        (prior, likelihood), pull = jax.vjp(parts, position)
        one, zero = jnp.ones(()), jnp.zeros(())
        (slope_prior,), (slope_likelihood,) = pull((one, zero)), pull((zero, one))
        finite = [jnp.all(jnp.isfinite(x)) for x in (prior, likelihood, slope_prior, slope_likelihood)]
        okay = jnp.all(jnp.array(finite))
        return Point(
            jnp.where(jnp.isfinite(prior), prior, -jnp.inf),
            jnp.where(okay, likelihood, LOWEST),
            jnp.where(okay, slope_prior, 0.0),
            jnp.where(okay, slope_likelihood, 0.0),
        )

    def _batched(self) -> Callable[[Position, Int[Array, ""]], Point]:
        """`point(position, chain)`: a lane on its own, or under `vmap` many in blocks."""

        @jax.custom_batching.custom_vmap
        def point(position: Position, chain: Array) -> Point:
            found = self._trace(position)
            self._count(chain[None], found.log_likelihood[None])
            return found

        @point.def_vmap
        def _(size: int, batched: list[bool], position: Array, chain: Any):
            chain = jnp.asarray(chain)
            position = position if batched[0] else jnp.broadcast_to(position, (size, *position.shape))
            chain = chain if batched[1] else jnp.broadcast_to(chain, (size,))
            block = -(-size // -(-size // (self._block or size)))
            spare = -size % block
            lanes = jnp.concatenate([position, jnp.broadcast_to(position[-1], (spare, position.shape[1]))])
            rows = lanes.reshape(-1, block, position.shape[1])
            found = jax.lax.map(jax.vmap(self._trace), rows) if len(rows) > 1 else _lead(jax.vmap(self._trace)(rows[0]))
            found = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:size], found)
            self._count(chain, found.log_likelihood)
            return found, jax.tree.map(lambda _: True, found)

        return point

    def _count(self, chain: Int[Array, " lane"], likelihood: Float[Array, " lane"]) -> None:
        def count(chain: Any, likelihood: Any) -> None:
            np.add.at(self.failures, np.asarray(chain)[np.asarray(likelihood) <= LOWEST], 1)

        # The callback is reached only where a solve fails: counting costs nothing else.
        failed = jnp.any(likelihood <= LOWEST)
        jax.lax.cond(failed, lambda: jax.debug.callback(count, chain, likelihood), lambda: None)

    def _whole(self) -> Callable[[Position, Int[Array, ""]], Float[Array, ""]]:
        """`energy(position, chain)`: minus the log-density, infinite where it is zero, with its gradient."""

        @jax.custom_vjp
        def energy(position: Position, chain: Array) -> Array:
            return forward(position, chain)[0]

        def forward(position: Position, chain: Array):
            found = self.point(position, chain)
            value = -found.log_prior - found.log_likelihood
            return jnp.where(found.log_likelihood <= LOWEST, jnp.inf, value), found.slope_prior + found.slope_likelihood

        energy.defvjp(forward, lambda slope, cotangent: (-cotangent * slope, None))
        return energy

    def _power(self) -> Callable[[Position, Int[Array, ""]], Float[Array, ""]]:
        """`log_likelihood(position, chain)`: `LOWEST` where a solve fails, with its gradient."""

        @jax.custom_vjp
        def value(position: Position, chain: Array) -> Array:
            return forward(position, chain)[0]

        def forward(position: Position, chain: Array):
            found = self.point(position, chain)
            return found.log_likelihood, found.slope_likelihood

        value.defvjp(forward, lambda slope, cotangent: (cotangent * slope, None))
        return value


def _lead(tree: Point) -> Point:
    return jax.tree.map(lambda x: x[None], tree)
