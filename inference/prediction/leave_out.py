r"""How well a population predicts a subject that was left out, without fitting it anew.

The likelihood $p(y_s \mid \varphi)$ of all readings of a subject $s$ under the population alone comes from `importance`.
Pareto-smoothed weights $1 / p(y_s \mid \varphi)$ then turn draws of the posterior of all into
draws of the posterior without $s$ (Vehtari, Gelman and Gabry, Stat Comput 2017;27:1413; over whole subjects as in Merkle,
Furr and Rabe-Hesketh, Psychometrika 2019;84:802).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, PRNGKeyArray

from ..arguments import jitted
from ..population import Population
from ..population_tree import individuals_of
from ..samplers import thinned
from ..site import Values
from ..summary import inside
from .importance import NUM_POINTS, WIDER, places, possible, smoothed, weighed, weighted
from .rivals import given_curve, mean_curve

NUM_DRAWS = 200
ENOUGH = 4  # draws for every shared parameter, to regress on them


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
    theta = np.asarray(individuals_of(problem, values))
    middle, wide = given(problem, values, theta[:, :, places(problem)])
    likelihood, replicates = under(problem, {n: x[index] for n, x in values.items()}, key, middle[index], wide)
    weights, shape = smoothed(-likelihood)
    elpd = np.asarray(logsumexp(weights + likelihood, axis=0)) - np.asarray(logsumexp(weights, axis=0))
    return LeftOut(likelihood, np.exp(weights - weights.max(axis=0)), shape, elpd, replicates)


def under(
    problem: Population, values: dict[str, np.ndarray], key: PRNGKeyArray, middle: np.ndarray, wide: np.ndarray
) -> tuple[Float[np.ndarray, "draw subject"], Float[np.ndarray, "draw point obs"]]:
    """The log-likelihood of every subject under each draw of the population, and readings of new subjects.

    `middle` (a leading draw axis) and `wide` are where points of each subject are drawn besides the population's.
    """
    run = jitted(_one, problem)
    parts = [
        jax.device_get(run({n: jnp.asarray(x[i]) for n, x in values.items()}, k, middle[i], wide))
        for i, k in enumerate(jax.random.split(key, len(middle)))
    ]
    likelihood, replicates = (np.stack(x) for x in zip(*parts, strict=True))
    return possible(likelihood), replicates


def given(
    problem: Population, values: dict[str, np.ndarray], own: Float[np.ndarray, "draw subject effect"]
) -> tuple[Float[np.ndarray, "draw subject effect"], Float[np.ndarray, "subject effect effect"]]:
    """Normal distributions around every subject's posterior given each draw of the population, somewhat wider.

    What the population tells of a subject is read off the draws by linear regression, where they are many.
    """
    num, _, size = own.shape
    shared = np.asarray(problem.sites.positions(values))[:, problem.sites.blocks[0]]
    off = own - own.mean(axis=0)
    told, lost = np.zeros_like(off), 1
    if num > ENOUGH * shared.shape[1]:
        design = shared - shared.mean(axis=0)
        told = (design @ np.linalg.lstsq(design, off.reshape(num, -1), rcond=1e-9)[0]).reshape(off.shape)
        lost += shared.shape[1]
    rest = off - told
    wide = WIDER**2 * np.einsum("dsi,dsj->sij", rest, rest) / (num - lost)
    return own.mean(axis=0) + told, wide + 1e-12 * np.eye(size)


def _one(
    problem: Population, values: Values, key: Array, middle: Array, wide: Array
) -> tuple[Float[Array, " subject"], Float[Array, "point obs"]]:
    """Of one draw of the population: the log-likelihood of every subject, and readings of new subjects."""
    key_points, key_read = jax.random.split(key)
    found = weighed(problem, values, key_points, middle, wide)
    replicates = jax.vmap(lambda k, f: problem.noise.draw(k, f, values, problem.data, problem.scatter))(
        jax.random.split(key_read, NUM_POINTS), found.log_f[:NUM_POINTS]
    )
    return found.log_likelihood, replicates


def coverage(problem: Population, left: LeftOut, level: float = 0.9) -> pd.DataFrame:
    """One row per reading: its value, the interval of that level for its left-out subject, and whether it lies inside."""
    _, points, num = left.replicates.shape
    low, high = np.zeros(num), np.zeros(num)
    for row, subject in enumerate(problem.owner):
        weight = np.repeat(left.weights[:, subject], points)
        low[row], high[row] = weighted(left.replicates[:, :, row].ravel(), weight, [(1 - level) / 2, (1 + level) / 2])
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


def gain(table: pd.DataFrame, column: str) -> tuple[float, float, int]:
    """By how much leaving subjects out predicts them better than another prediction, over the subjects that both predict:
    the sum of differences of log density, its standard error and the number of subjects."""
    difference = (table["elpd"] - table[column]).dropna().to_numpy(float)
    if len(difference) < 2:
        return float(difference.sum()), float("nan"), len(difference)
    return float(difference.sum()), float(difference.std(ddof=1) * len(difference) ** 0.5), len(difference)


def by_subject(problem: Population, left: LeftOut, log_f: Float[np.ndarray, " obs"] | None = None) -> pd.DataFrame:
    """One row per subject: expected log predictive density when left out, beside those of simpler predictions.

    These are the others' mean curve and, where it is given, the curve `log_f`.
    """
    table = pd.DataFrame(
        {
            "subject": problem.cohort.labels,
            "num_readings": np.bincount(problem.owner, minlength=len(problem.cohort)),
            "elpd": left.elpd,
            "elpd_mean_curve": mean_curve(problem),
            "pareto_k": left.pareto_k,
        }
    )
    if log_f is not None:
        table.insert(4, "elpd_against", given_curve(problem, log_f))
    return table
