"""Where a population's chains start: every subject at the best of its own draws, the population in the middle of its prior.

Subjects are independent given the population. So the best draws of each can be put together, and many poor starts of one
subject cost no more than those of another: a search in as many dimensions as one subject has, whatever the cohort.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..site import Values
from .density import Density

ROUNDS = 6  # of draws, each but the first around the best of the one before
ELITE = 0.1  # the share of them that is called the best
NARROWEST = 0.05  # between the best draws of a subject, in units of the spread between subjects


def best_of_each(density: Density, key: PRNGKeyArray, num: int) -> tuple[Float[Array, " parameter"], int, int]:
    """A position with every subject near the best of `num` draws a round, by cross-entropy search (Rubinstein, 1999).

    What is shared stays in the middle of its prior. Also returns how many times the cohort was solved, and how many of
    these failed for one of its subjects at least.
    """
    run = density.jit(_round, static_argnums=4)
    problem = density.problem
    shape = (len(problem.variability.effects), len(problem.cohort))
    middle, wide, failed, best, lowest = np.zeros(shape), np.ones(shape), 0, np.zeros(shape), np.full(shape[1], np.inf)
    for key_round in jax.random.split(key, ROUNDS):
        z, energy = jax.device_get(run(key_round, middle, wide, num))
        order = np.argsort(np.where(np.isfinite(energy), energy, np.inf), axis=0)
        chosen = np.take_along_axis(z, order[: max(2, int(ELITE * num)), None], axis=0)
        middle, wide = chosen.mean(axis=0), np.maximum(chosen.std(axis=0), NARROWEST)
        failed += int((~np.isfinite(energy)).any(axis=1).sum())
        first = np.take_along_axis(energy, order[:1], axis=0)[0]
        best = np.where(first < lowest, np.take_along_axis(z, order[:1, None], axis=0)[0], best)
        lowest = np.fmin(first, lowest)
    return density.jit(lambda at, z: at.positions(_values(at, z)))(best), ROUNDS * num, failed


def _round(
    density: Density, key: Array, middle: Array, wide: Array, num: int
) -> tuple[Float[Array, "draw effect subject"], Float[Array, "draw subject"]]:
    """Draws of every subject's deviations, and the energy of each subject at each, infinite where it cannot be solved."""
    z = middle + wide * jax.random.normal(key, (num, *middle.shape))
    problem: Any = density.problem

    def energy(z: Array) -> Array:
        values = _values(density, z)
        log_f, okay = problem.read(values)
        total = problem.by_subject(problem.noise.log_density(log_f, values, problem.data, problem.scatter))
        return jnp.where(okay & jnp.isfinite(total), 0.5 * jnp.sum(z**2, axis=0) - total, jnp.inf)

    return z, jax.lax.map(energy, z)


def _values(density: Density, z: Float[Array, "effect subject"]) -> Values:
    """What is sampled, where the population is in the middle of its prior and its subjects deviate by `z`."""
    problem: Any = density.problem
    values = density.values(jnp.asarray(density.sites.centre))
    vary, centre = problem.variability, problem.centre(values)
    off = values["omega"][:, None] * (vary.root(values) @ z) * problem.weight
    own = {f"log_{name}": centre[name] + off[k] for k, name in enumerate(vary.effects)}
    plain = [k for k, effect in enumerate(vary.effects.values()) if not effect.centred]
    return {name: own.get(name, z[np.array(plain)] if name == "z" else x) for name, x in values.items()}
