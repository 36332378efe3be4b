r"""How well a population predicts a subject that was left out, without fitting it anew.

The likelihood of all readings of a subject $s$ under the population alone is an integral over who the subject may be,

$$p(y_s \mid \varphi) = \int p(y_s \mid \theta, \varphi)\, N(\log\theta; \mu(\varphi), \Sigma(\varphi))\, d\log\theta,$$

taken by importance sampling: half of the points come from the population, half from a normal distribution around the
posterior of that subject. Pareto-smoothed weights $1 / p(y_s \mid \varphi)$ then turn draws of the posterior of all into
draws of the posterior without $s$ (Vehtari, Gelman and Gabry, Stat Comput 2017;27:1413; over whole subjects as in Merkle,
Furr and Rabe-Hesketh, Psychometrika 2019;84:802).
"""

from functools import partial
from typing import Any

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
from scipy.stats import t

from .arguments import jitted
from .population import Population
from .samplers import thinned
from .site import Values
from .summary import inside

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
    index = thinned(total, NUM_DRAWS)
    individuals = jitted(lambda at, values: jax.vmap(at.individual)(values), problem)
    theta = np.asarray(individuals({n: jnp.asarray(x) for n, x in values.items()}))
    which = np.array([list(problem.priors).index(name) for name in problem.variability.effects])
    own = theta[:, :, which]
    middle = own.mean(axis=0)
    wide = WIDER**2 * np.stack([np.cov(own[:, i].T).reshape(len(which), -1) for i in range(own.shape[1])])
    run = jitted(partial(_one, which=which), problem)
    parts = [
        jax.device_get(run({n: jnp.asarray(x[i]) for n, x in values.items()}, k, middle, wide))
        for i, k in zip(index, jax.random.split(key, len(index)), strict=True)
    ]
    likelihood, replicates = (np.stack(x) for x in zip(*parts, strict=True))
    # A draw under which a subject is impossible leaves a ratio that the smoothing can still order.
    likelihood = np.maximum(likelihood, likelihood.max(axis=0) - 700)
    with np.errstate(over="ignore"):  # ArviZ takes the logarithm of what the weights divide by
        weights, shape = xr.DataArray(likelihood.T, dims=("subject", "sample")).azstats.psislw(dim="sample")
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
    return pd.DataFrame(
        {
            "subject": data.subject,
            "analyte": data.analyte,
            "time_h": data.time,
            "value": data.value,
            "cens": data.cens,
            "low": low,
            "high": high,
            "inside": inside(data.value, data.cens, low, high),
        }
    )


def mean_curve(problem: Population) -> Float[np.ndarray, " subject"]:
    """The log-density of each subject under the mean curve of the others, which knows no mechanism.

    At each time the log-readings of the others in the study are normal: a new one has Student's $t$ distribution around
    their mean. Not a number where a subject has a censored reading, or one that fewer than three others share.
    """
    data = problem.data
    study = np.array([problem.cohort.subjects[i].study for i in problem.owner])
    frame = pd.DataFrame({"study": study, "analyte": data.analyte, "time": data.time, "y": np.log(data.value)})
    frame.loc[data.cens != 0, "y"] = np.nan
    same: Any = frame.groupby(["study", "analyte", "time"])["y"]
    n, total, square = (np.asarray(same.transform(f)) for f in ("count", "sum", lambda y: (y**2).sum()))
    y, others = frame["y"].to_numpy(), n - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (total - y) / others
        variance = (square - y**2 - others * mean**2) / (others - 1)
        density = t.logpdf(y, others - 1, mean, np.sqrt(variance * (1 + 1 / others))) - y
    density = np.where(others >= 3, density, np.nan)
    return np.array([density[problem.owner == i].sum() for i in range(len(problem.cohort))])


def by_subject(problem: Population, left: LeftOut) -> pd.DataFrame:
    """One row per subject: expected log predictive density when left out, beside that of the others' mean curve."""
    return pd.DataFrame(
        {
            "subject": problem.cohort.labels,
            "num_readings": np.bincount(problem.owner, minlength=len(problem.cohort)),
            "elpd": left.elpd,
            "elpd_mean_curve": mean_curve(problem),
            "pareto_k": left.pareto_k,
        }
    )
