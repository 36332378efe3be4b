r"""Who a subject may be, given its readings and one draw of the population: points, and what each is worth.

The likelihood of all readings of a subject $s$ under the population alone is an integral over its log-parameters $b$,

$$p(y_s \mid \varphi) = \int p(y_s \mid b, \varphi)\, N(b; \mu(\varphi), \Sigma(\varphi))\, db,$$

taken by importance sampling: half of the points come from the population, half from a normal distribution around the
posterior of that subject. The same weights turn the points into draws of who the subject is.
"""

from collections.abc import Sequence

import arviz_stats  # noqa: F401 - gives xarray its `azstats`
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.scipy.special import logsumexp
from jax.scipy.stats import multivariate_normal
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..population import Population
from ..site import Values

NUM_POINTS = 128  # of each half
WIDER = 1.5  # the normal distribution around a subject's posterior, in standard deviations of it
NUM_STEPS = 30  # of a climb to a subject's mode

type Middle = Float[Array, "subject effect"]
type Spread = Float[Array, "subject effect effect"]


class Points(eqx.Module):
    """Points of every subject under one draw of the population, the population's own ones first.

    `effects` are log-parameters, `log_f` log-predictions of the readings; the mean of `exp(log_weight)` over points
    estimates the likelihood of a subject. Where `okay` is false a solve failed and the weight is zero.
    """

    effects: Float[Array, "point subject effect"]
    log_f: Float[Array, "point obs"]
    log_weight: Float[Array, "point subject"]
    okay: Bool[Array, "point subject"]

    @property
    def log_likelihood(self) -> Float[Array, " subject"]:
        """The log-likelihood of all readings of each subject under the population."""
        return logsumexp(self.log_weight, axis=0) - jnp.log(1.0 * len(self.log_weight))

    @property
    def worth(self) -> Float[Array, " subject"]:
        """How many equally weighted points these are worth for each subject; 0 where none is possible."""
        share = jnp.exp(self.log_weight - jnp.max(self.log_weight, axis=0, initial=-1e300))
        return jnp.sum(share, axis=0) ** 2 / jnp.maximum(jnp.sum(share**2, axis=0), 1e-300)


def places(problem: Population) -> Int[np.ndarray, " effect"]:
    """Where the parameters that differ between subjects stand among all that are sampled."""
    return np.array([list(problem.priors).index(name) for name in problem.variability.effects])


def among(problem: Population, values: Values) -> tuple[Middle, Spread]:
    """Mean and covariance of the subjects' log-parameters in the population."""
    centre = problem.centre(values)
    root = values["omega"][:, None] * problem.variability.root(values)
    mean = jnp.stack([centre[name] for name in problem.variability.effects], axis=1)
    return mean, jnp.asarray(problem.weight)[:, None, None] ** 2 * (root @ root.T)


def whole(problem: Population, values: Values, effects: Middle) -> Float[Array, "subject parameter"]:
    """All log-parameters of subjects with these effects."""
    centre = problem.centre(values)
    return jnp.stack([centre[name] for name in problem.priors], axis=1).at[:, places(problem)].set(effects)


def weighed(problem: Population, values: Values, key: PRNGKeyArray, middle: Middle, wide: Spread) -> Points:
    """Points of every subject, half from the population and half from normal distributions, and their weights."""
    mean, spread = among(problem, values)
    keys = jax.random.split(key)
    points = jnp.concatenate([_normal(keys[0], mean, spread), _normal(keys[1], middle, wide)])
    log_f, okay = jax.lax.map(lambda x: problem.read_at(values, whole(problem, values, x)), points)
    read = jax.vmap(lambda f: problem.noise.log_density(f, values, problem.data, problem.scatter))(log_f)
    likelihood = jax.vmap(problem.by_subject)(read)
    target = _log_normal(points, mean, spread)
    proposal = jnp.logaddexp(target, _log_normal(points, middle, wide)) - jnp.log(2.0)
    return Points(points, log_f, jnp.where(okay, likelihood + target - proposal, -jnp.inf), okay)


def _normal(key: Array, middle: Array, spread: Array) -> Float[Array, "point subject effect"]:
    noise = jax.random.normal(key, (NUM_POINTS, *middle.shape))
    return middle + jnp.einsum("sij,psj->psi", jnp.linalg.cholesky(spread), noise)


def _log_normal(points: Array, middle: Array, spread: Array) -> Float[Array, "point subject"]:
    density = jax.vmap(jax.vmap(multivariate_normal.logpdf))
    return jnp.asarray(
        density(points, jnp.broadcast_to(middle, points.shape), jnp.broadcast_to(spread, (len(points), *spread.shape)))
    )


def laplace(problem: Population, values: Values, key: PRNGKeyArray) -> tuple[Middle, Spread]:
    """Mode and inverse curvature of every subject's log-parameters given its readings, under one population.

    The climb begins at the best of the population's points. Its steps are those of Gauss and Newton, damped after
    Levenberg and Marquardt where they do not lead up; subjects climb side by side.
    """
    mean, spread = among(problem, values)
    precision = jnp.linalg.inv(spread)
    size = mean.shape[1]

    def height(log_f: Array, okay: Array, effects: Array) -> Float[Array, " subject"]:
        read = problem.noise.log_density(log_f, values, problem.data, problem.scatter)
        off = effects - mean
        inside = problem.by_subject(read) - 0.5 * jnp.einsum("si,sij,sj->s", off, precision, off)
        return jnp.where(okay, inside, -jnp.inf)

    def look(effects: Array) -> tuple[Array, Array, Array]:
        """Height, slope and curvature."""

        def predicted(x: Array) -> tuple[Array, Array]:
            return problem.predict_at(values, whole(problem, values, x))

        log_f, pull, okay = jax.vjp(predicted, effects, has_aux=True)
        # A reading depends on its own subject alone: its row over all subjects sums to that one's.
        jacobian = jax.vmap(pull)(jnp.eye(len(log_f)))[0].sum(axis=1)

        def likelihood(f: Array, value: Array) -> Array:
            return jnp.sum(problem.noise.log_density(f, values, problem.data.reading(value), problem.scatter))

        slope = jax.grad(likelihood)(log_f, jnp.asarray(problem.data.value))
        typical = jnp.where(problem.data.cens == 0, jnp.exp(log_f), problem.data.value)
        bend = -jax.jvp(lambda f: jax.grad(likelihood)(f, typical), (log_f,), (jnp.ones_like(log_f),))[1]
        outer = jnp.maximum(bend, 0)[:, None, None] * jacobian[:, :, None] * jacobian[:, None, :]
        down = jnp.einsum("sij,sj->si", precision, effects - mean)
        return (
            height(log_f, okay, effects),
            problem.by_subject(slope[:, None] * jacobian) - down,
            problem.by_subject(outer) + precision,
        )

    def step(state: tuple, _: None) -> tuple[tuple, None]:
        here, (top, slope, curvature), damping = state
        ridge = damping[:, None, None] * curvature * jnp.eye(size)
        there = here + jnp.linalg.solve(curvature + ridge, slope[..., None])[..., 0]
        seen = look(there)
        up = seen[0] > top
        pick = lambda new, old: jnp.where(up.reshape(-1, *[1] * (new.ndim - 1)), new, old)  # noqa: E731
        kept = jax.tree.map(pick, (there, seen), (here, (top, slope, curvature)))
        return (*kept, jnp.where(up, damping / 4, damping * 8 + 1e-3)), None

    points = jnp.concatenate([mean[None], _normal(key, mean, spread)])
    log_f, okay = jax.lax.map(lambda x: problem.read_at(values, whole(problem, values, x)), points)
    best = jnp.argmax(jax.vmap(height)(log_f, okay, points), axis=0)
    start = points[best, jnp.arange(len(mean))]
    (mode, (_, _, curvature), _), _ = jax.lax.scan(step, (start, look(start), jnp.zeros(len(mean))), None, NUM_STEPS)
    return mode, jnp.linalg.inv(curvature)


def possible(likelihood: Float[np.ndarray, "draw subject"]) -> Float[np.ndarray, "draw subject"]:
    """Log-likelihoods with those of impossible subjects so low that they count for nothing but can still be ordered."""
    best = likelihood.max(axis=0)
    return np.maximum(likelihood, np.where(np.isfinite(best), best, 0.0) - 700)


def weighted(
    x: Float[np.ndarray, "draw ..."], weight: Float[np.ndarray, " draw"], levels: Sequence[float]
) -> Float[np.ndarray, "level ..."]:
    """The quantiles of weighted draws."""
    return np.quantile(x, levels, axis=0, weights=weight, method="inverted_cdf")


def smoothed(
    log_ratio: Float[np.ndarray, "draw subject"],
) -> tuple[Float[np.ndarray, "draw subject"], Float[np.ndarray, " subject"]]:
    """Pareto-smoothed logarithms of importance weights, and the Pareto k of each subject."""
    with np.errstate(over="ignore"):  # ArviZ takes the logarithm of what the weights divide by
        weights, shape = xr.DataArray(-log_ratio.T, dims=("subject", "sample")).azstats.psislw(dim="sample")
    return np.asarray(weights.transpose("sample", "subject")), np.asarray(shape)
