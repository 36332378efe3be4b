r"""A metric from what the readings tell: no draws are needed to know how wide a posterior is along each direction.

Where readings have log-predictions $f(x)$ at a position $x$ and the information $w_i$ about each (the curvature of its
log-density), the posterior's curvature is about

$$M(x) = J^\top \mathrm{diag}(w)\, J + P, \qquad J = \partial f / \partial x,$$

with the curvature $P$ of the prior and of the noise: Fisher's information, as in Girolami and Calderhead (J R Stat Soc B
2011;73:123), but held fixed along a trajectory. A population of many subjects has too many directions for a metric from
draws, and strong ties between what its subjects share and what is each one's own.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpyro.infer.hmc_util import dual_averaging

from .density import Density, Position
from .starts import floored

type Square = Float[Array, "parameter parameter"]


class Parts:
    """A position in the parts whose metrics are dense: all of it, or what subjects share and what is each one's own."""

    def __init__(self, blocks: list[Int[np.ndarray, " entry"]]):
        self._blocks = {f"part_{i:04d}": block for i, block in enumerate(blocks) if len(block)}
        self._back = np.argsort(np.concatenate(list(self._blocks.values())))
        self.names = [(name,) for name in self._blocks]

    def split(self, position: Float[Array, " parameter"]) -> dict[str, Array]:
        """The parts of a position."""
        if len(self._blocks) == 1:
            return dict.fromkeys(self._blocks, position)
        return {name: jnp.asarray(position)[block] for name, block in self._blocks.items()}

    def joined(self, parts: dict[str, Array]) -> Float[Array, " parameter"]:
        """The position of its parts."""
        whole = jnp.concatenate([parts[name] for name in self._blocks])
        return whole if (np.diff(self._back) == 1).all() else whole[self._back]

    def blocks_of(self, covariance: Float[np.ndarray, "parameter parameter"], dense: bool) -> Any:
        """The covariance within each part, or the variances."""
        if not dense:
            return {(name,): np.diag(covariance)[block] for name, block in self._blocks.items()}
        return {(name,): covariance[np.ix_(block, block)] for name, block in self._blocks.items()}


def information(density: Density, position: Position) -> Square:
    """$M$ at a position."""
    problem, data = density.problem, density.problem.data

    def predicted(x: Array) -> Array:
        return problem.predict(density.values(x))[0]

    log_f, pull = jax.vjp(predicted, position)
    (jacobian,) = jax.vmap(pull)(jnp.eye(len(log_f)))

    def likelihood(log_f: Array, x: Array, value: Array) -> Array:
        read = problem.noise.log_density(log_f, density.values(x), data.reading(value), problem.scatter)
        return jnp.sum(data.counted(read))

    # The information of a reading does not depend on where it fell; that of a censored one is taken as it is.
    typical = jnp.where(data.cens == 0, jnp.exp(log_f), data.value)
    slope = jax.grad(lambda f: likelihood(f, position, typical))
    weight = -jax.jvp(slope, (log_f,), (jnp.ones_like(log_f),))[1]
    told = jnp.diag(
        jnp.maximum(-jnp.diag(jax.hessian(lambda x: likelihood(log_f, x, jnp.asarray(data.value)))(position)), 0)
    )
    prior = -jax.hessian(density.log_prior)(position)
    return (jacobian * jnp.maximum(weight, 0)[:, None]).T @ jacobian + told + prior


def covariance(density: Density, curvature: Square) -> Square:
    """The inverse of a curvature that may be too flat, or not convex, along some directions."""
    spread = jnp.asarray(density.sites.spread)
    scaled = spread[:, None] * (curvature + curvature.T) / 2 * spread
    values, vectors = jnp.linalg.eigh(jnp.where(jnp.all(jnp.isfinite(scaled)), scaled, jnp.eye(len(spread))))
    return floored(values, vectors, spread, jnp)


def retuned(density: Density, adapt: Any, positions: Float[Array, "draw parameter"]) -> Any:
    """NumPyro's adaptation with the metric of the information at these draws, its step sought anew.

    Without a new search a chain that began in a narrow place keeps its small step: averages over steps forget slowly.
    """
    curvature = jnp.mean(jax.lax.map(lambda x: information(density, x), positions), axis=0)
    found = covariance(density, curvature)
    root = jnp.linalg.cholesky(found[::-1, ::-1])[::-1, ::-1].T
    inverse = jax.scipy.linalg.solve_triangular(root, jnp.eye(len(root)), lower=True)
    name = next(iter(adapt.inverse_mass_matrix))
    search, _ = dual_averaging()
    return adapt._replace(
        inverse_mass_matrix={name: found},
        mass_matrix_sqrt={name: inverse},
        mass_matrix_sqrt_inv={name: root},
        ss_state=search(jnp.log(adapt.step_size)),  # type: ignore[arg-type]
    )
