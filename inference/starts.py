"""Starting points that cannot fail: prior draws that were solved before the sampler sees them."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from scipy.optimize import minimize

from .problem import Problem

METHODS = ("screened", "median", "map")
WALL = 1e4  # energy where no solve succeeds: high, but low enough for a line search to interpolate

type Potential = Callable[[dict[str, Array]], Float[Array, ""]]


class NoStart(RuntimeError):
    """No prior draw could be solved: there is nowhere to start."""


class Starts(eqx.Module):
    """Unconstrained starting points, one per chain, and how the screened prior draws fared."""

    position: dict[str, Float[Array, " chain"]]
    num_screened: int
    num_failed: int


def starts(
    problem: Problem, potential: Potential, key: PRNGKeyArray, num_chains: int, method: str, num_screened: int
) -> Starts:
    """Screen prior draws by one batched solve and start each chain from a point with finite density.

    `screened` takes the draws of highest density, one per chain; `map` improves each of them to a local
    maximum of the density; `median` starts every chain at the prior median, if that can be solved.

    Raises `NoStart` if fewer draws than chains could be solved.
    """
    median = {name: jnp.log(prior.median) for name, prior in problem.sampled.items()}
    drawn = {name: jnp.append(jnp.log(x), median[name]) for name, x in problem.draw(key, num_screened).items()}
    energy = np.asarray(jax.jit(jax.vmap(potential))(drawn))
    solved = np.isfinite(energy)
    if solved.sum() < num_chains:
        raise NoStart(
            f"only {solved.sum()} of {solved.size} prior draws have a finite density, {num_chains} are needed;"
            " narrow the priors, check units and dose, or raise `solver.max_steps`"
        )
    best = np.argsort(np.where(solved, energy, np.inf))[:num_chains]
    if method == "median" and solved[-1]:
        best = np.full(num_chains, num_screened)
    position = {name: draws[best] for name, draws in drawn.items()}
    if method == "map":
        position = _ascend(potential, position, num_chains)
    return Starts(position, solved.size, int((~solved).sum()))


def _ascend(potential: Potential, position: dict[str, Array], num_chains: int) -> dict[str, Array]:
    """Each point moved to a nearby local maximum of the density by L-BFGS; it never gets worse."""
    names = list(position)
    slope = jax.jit(jax.value_and_grad(lambda x: potential(dict(zip(names, x, strict=True)))))

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = slope(jnp.asarray(x))
        return (float(value), np.asarray(gradient)) if np.isfinite(value) else (WALL, np.zeros_like(x))

    first = np.stack([np.asarray(position[name]) for name in names], axis=1)
    found = np.stack([minimize(objective, x, jac=True, method="L-BFGS-B").x for x in first])
    return {name: jnp.asarray(found[:, i]) for i, name in enumerate(names)}
