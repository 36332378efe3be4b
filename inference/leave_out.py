r"""How well a population predicts a subject that was left out, without fitting it anew.

The likelihood of all readings of a subject $s$ under the population alone is an integral over who the subject may be,

$$p(y_s \mid \varphi) = \int p(y_s \mid \theta, \varphi)\, N(\log\theta; \mu(\varphi), \Sigma(\varphi))\, d\log\theta,$$

taken by importance sampling: half of the points come from the population, half from a normal distribution around the
posterior of that subject. Pareto-smoothed weights $1 / p(y_s \mid \varphi)$ then turn draws of the posterior of all into
draws of the posterior without $s$ (Vehtari, Gelman and Gabry, Stat Comput 2017;27:1413; over whole subjects as in Merkle,
Furr and Rabe-Hesketh, Psychometrika 2019;84:802).
"""

import arviz_stats  # noqa: F401 - gives xarray its `azstats`
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from jax.scipy.special import logsumexp
from jax.scipy.stats import multivariate_normal
from jaxtyping import Array, Float, PRNGKeyArray

from .population import Population
from .site import Values

NUM_DRAWS = 200
NUM_POINTS = 128  # of each half
WIDER = 1.5  # the normal distribution around a subject's posterior, in standard deviations of it


class LeftOut(eqx.Module):
    """Each subject as the others predict it.

    `log_likelihood` is that of all readings of a subject under each draw of the population; `weights` turn the draws into
    those of the posterior without the subject. `replicates` are readings of new subjects under each draw.
    """

    log_likelihood: Float[np.ndarray, "draw subject"]
    weights: Float[np.ndarray, "draw subject"]
    pareto_k: Float[np.ndarray, " subject"]
    elpd: Float[np.ndarray, " subject"]
    replicates: Float[np.ndarray, "draw point obs"]


def leave_one_out(problem: Population, values: dict[str, np.ndarray], key: PRNGKeyArray) -> LeftOut:
    """Every subject left out in turn, from draws of the posterior of all (`values`: a leading draw axis)."""
    total = len(next(iter(values.values())))
    index = np.unique(np.linspace(0, total - 1, NUM_DRAWS).astype(int))
    theta = np.asarray(jax.jit(jax.vmap(problem.individual))({n: jnp.asarray(x) for n, x in values.items()}))
    which = np.array([list(problem.priors).index(name) for name in problem.variability.effects])
    own = theta[:, :, which]
    middle = own.mean(axis=0)
    wide = WIDER**2 * np.stack([np.cov(own[:, i].T).reshape(len(which), -1) for i in range(own.shape[1])])
    run = jax.jit(lambda values, key: _one(problem, values, key, jnp.asarray(middle), jnp.asarray(wide), which))
    parts = [
        jax.device_get(run({n: jnp.asarray(x[i]) for n, x in values.items()}, k))
        for i, k in zip(index, jax.random.split(key, len(index)), strict=True)
    ]
    likelihood, replicates = (np.stack(x) for x in zip(*parts, strict=True))
    # A draw under which a subject is impossible leaves a ratio that the smoothing can still order.
    likelihood = np.maximum(likelihood, likelihood.max(axis=0) - 700)
    ratio = xr.DataArray(-likelihood.T, dims=("subject", "sample"))
    with np.errstate(over="ignore"):
        weights, shape = ratio.azstats.psislw(dim="sample")
    weights = np.asarray(weights.transpose("sample", "subject"))
    elpd = np.asarray(logsumexp(weights + likelihood, axis=0)) - np.asarray(logsumexp(weights, axis=0))
    return LeftOut(likelihood, np.exp(weights - weights.max(axis=0)), np.asarray(shape), elpd, replicates)


def _one(
    problem: Population, values: Values, key: Array, middle: Array, wide: Array, which: np.ndarray
) -> tuple[Float[Array, " subject"], Float[Array, "point obs"]]:
    """Of one draw of the population: the log-likelihood of every subject, and readings of new subjects."""
    key_new, key_own, key_read = jax.random.split(key, 3)
    num, size = len(problem.cohort), len(which)
    centre = problem.centre(values)
    mean = jnp.stack([centre[name] for name in problem.variability.effects], axis=1)
    root = values["omega"][:, None] * problem.variability.root(values)
    spread = problem.weight[:, None, None] ** 2 * (root @ root.T)
    noise = jax.random.normal(key_new, (NUM_POINTS, num, size))
    new = mean + jnp.einsum("sij,psj->psi", jnp.linalg.cholesky(spread), noise)
    noise = jax.random.normal(key_own, (NUM_POINTS, num, size))
    own = middle + jnp.einsum("sij,psj->psi", jnp.linalg.cholesky(wide), noise)
    points = jnp.concatenate([new, own])
    typical = jnp.stack([centre[name] for name in problem.priors], axis=1)
    log_f, okay = jax.lax.map(lambda x: problem.read_at(values, typical.at[:, which].set(x)), points)
    read = jax.vmap(lambda f: problem.noise.log_density(f, values, problem.data, problem.scatter))(log_f)
    owner = problem.owner
    likelihood = jax.vmap(lambda x: jax.ops.segment_sum(x, owner, num))(read)
    density = jax.vmap(jax.vmap(multivariate_normal.logpdf))
    at = lambda m, c: density(points, jnp.broadcast_to(m, points.shape), jnp.broadcast_to(c, (*points.shape, size)))  # noqa: E731
    target = at(mean, spread)
    proposal = jnp.logaddexp(target, at(middle, wide)) - jnp.log(2.0)
    terms = jnp.where(okay, likelihood + target - proposal, -jnp.inf)
    keys = jax.random.split(key_read, NUM_POINTS)
    replicates = jax.vmap(lambda k, f: problem.noise.draw(k, f, values, problem.data, problem.scatter))(
        keys, log_f[:NUM_POINTS]
    )
    return logsumexp(terms, axis=0) - jnp.log(2.0 * NUM_POINTS), replicates


def coverage(problem: Population, left: LeftOut, level: float = 0.9) -> pd.DataFrame:
    """One row per reading: its value, the interval of that level for its left-out subject, and whether it lies inside."""
    _, points, num = left.replicates.shape
    low, high = np.zeros(num), np.zeros(num)
    for row, subject in enumerate(problem.owner):
        x = left.replicates[:, :, row].ravel()
        weight = np.repeat(left.weights[:, subject], points)
        order = np.argsort(x)
        share = np.cumsum(weight[order]) / weight.sum()
        low[row], high[row] = x[order][np.searchsorted(share, [(1 - level) / 2, (1 + level) / 2])]
    data = problem.data
    inside = np.where(data.cens == 0, (low <= data.value) & (data.value <= high), True)
    inside &= np.where(data.cens < 0, low <= data.value, True) & np.where(data.cens > 0, data.value <= high, True)
    return pd.DataFrame(
        {
            "subject": data.subject,
            "analyte": data.analyte,
            "time_h": data.time,
            "value": data.value,
            "cens": data.cens,
            "low": low,
            "high": high,
            "inside": inside,
        }
    )


def by_subject(problem: Population, left: LeftOut) -> pd.DataFrame:
    """One row per subject: expected log predictive density when left out, and the Pareto shape of its weights."""
    counts = np.bincount(problem.owner, minlength=len(problem.cohort))
    return pd.DataFrame(
        {"subject": problem.cohort.labels, "num_readings": counts, "elpd": left.elpd, "pareto_k": left.pareto_k}
    )
