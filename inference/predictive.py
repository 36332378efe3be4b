"""What a problem predicts at many draws of its parameters: curves, log-likelihoods, replicated readings."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from cytostorm.models import Plan, constant, derivations

from .prior import Belief
from .problem import Problem

BATCH = 256
MOST = 400_000  # readings of draws whose standing is kept


class Prediction(eqx.Module):
    """Predictions along a leading draw dimension; where `okay` is false the others carry no meaning."""

    okay: Bool[Array, "*draw"]
    derived: dict[str, Float[Array, "*draw"]]
    log_prior: dict[str, Float[Array, "*draw"]]
    curves: dict[str, Float[Array, "*draw time"]]
    log_f: Float[Array, "*draw obs"]
    log_likelihood: Float[Array, "*draw obs"]
    replicated: Float[Array, "*draw obs"]


def predict(problem: Problem, values: dict[str, Float[np.ndarray, " draw"]], grid: Plan, key: PRNGKeyArray) -> Prediction:
    """Predict at every draw, in batches of equal size so that one program serves them all."""
    num, padded = len(next(iter(values.values()))), problem.padded()
    padding = -num % BATCH
    values = {name: np.concatenate([x, np.repeat(x[-1:], padding)]) for name, x in values.items()}
    parts = [
        _predict(
            padded,
            problem.sampled,
            {name: constant(x[i : i + BATCH]) for name, x in values.items()},
            grid,
            key,
            constant(i),
        )
        for i in range(0, num + padding, BATCH)
    ]
    found = jax.tree.map(lambda *x: np.concatenate(x)[:num], *parts)
    back = problem.data.places
    of_readings = lambda p: (p.log_f, p.log_likelihood, p.replicated)  # noqa: E731
    return eqx.tree_at(of_readings, found, [x[:, back] for x in of_readings(found)])


@eqx.filter_jit
def _predict(
    problem: Problem, priors: dict[str, Belief], values: dict[str, Array], grid: Plan, key: PRNGKeyArray, begin: Array
) -> Prediction:
    def one(values: dict[str, Array], key: Array) -> Prediction:
        model = problem.build(values)
        log_f, okay = problem.read(values)
        curves, drawn = problem.curves(values, grid)
        log_likelihood = problem.noise.log_density(log_f, values, problem.data)
        replicated = problem.noise.draw(key, log_f, values, problem.data)
        log_prior = {name: jnp.asarray(prior.distribution.log_prob(values[name])) for name, prior in priors.items()}
        derived = {name: getattr(model, name) for name in derivations(model)}
        return Prediction(okay & drawn, derived, log_prior, curves, log_f, log_likelihood, replicated)

    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, begin + jnp.arange(BATCH))
    return jax.vmap(one)(values, keys)


def standing(
    problem: Any, log_f: Float[np.ndarray, "draw obs"], values: Mapping[str, Any], shape: tuple[int, int]
) -> xr.Dataset:
    """How every reading stands among those that each draw of the posterior foresees.

    `predicted` is its prediction without noise [its unit]; `low` and `high` are the chances of a smaller reading and of one
    that is no larger, which differ where it is censored. Draws come in `shape`, chain after chain; of many draws of many
    readings some are kept, evenly spread.
    """
    apart = max(1, -(-log_f.size // MOST))
    chains, draws = shape
    kept = np.arange(chains * draws).reshape(shape)[:, ::apart]
    log_f = log_f[kept.ravel()]
    noise = {name: np.asarray(values[name])[kept.ravel()] for name in problem.noise.parameters(problem.data)}
    low, high = problem.noise.chance(log_f, noise, problem.data, problem.scatter)
    found = {"predicted": np.exp(log_f), "low": low, "high": high}
    return xr.Dataset(
        {name: (("chain", "draw", "obs_id"), x.reshape(*kept.shape, -1)) for name, x in found.items()},
        coords={"chain": np.arange(chains), "draw": np.arange(0, draws, apart), "obs_id": np.array(problem.data.labels)}
        | problem.data.coordinates,
    )
