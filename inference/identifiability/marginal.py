r"""The likelihood of what the subjects of a population share, with what differs between them integrated out.

About one place, the means of a posterior, the logarithms of the solutions are taken as linear in the log-parameters of their
subjects, so that it is computed without a solve. The integral over the effects of a subject, $\Sigma_i = L L^\top$, is
Laplace's, about the effects $L\hat z$ of the largest density there, with the expected curvature:

$$\ln p(y_i) \approx \ln p(y_i \mid \hat z) - \tfrac12 \hat z^\top\hat z - \tfrac12 \ln\det(1 + L^\top J_i^\top W_i J_i L),$$

which is exact for log-normal noise and an assay without a background. This is the first-order conditional estimate of
pharmacometrics with its interaction (Wang, J Pharmacokinet Pharmacodyn 2007;34:575), linearised once.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.distributions.transforms import CorrCholeskyTransform

from ..arguments import by_blocks, jitted
from ..population import Population
from ..quantities import quantities
from ..site import Values
from .information import Told, of_places
from .profile import Axes
from .shared import Place, centre, effects, informed, parted, spreading, straight

BLOCK = 16  # positions side by side
NEWTON = 24  # steps to the effects of the largest density; one where noise is log-normal
LEAST = 0.2  # of its expected curvature, for a reading


class Fixed(eqx.Module):
    """Solutions at a place: logarithms before the assays, their derivatives, and the log-parameters there."""

    log_f: Float[Array, " obs"]
    jacobian: Float[Array, "obs parameter"]
    theta: Float[Array, "subject parameter"]


class Marginal:
    """`told` of what is shared at any positions of it, where solutions are linear about a place."""

    def __init__(self, problem: Population, place: Place):
        def fix(problem: Population, x: Array) -> Fixed:
            _, theta = parted(problem, x)
            log_f, jacobian, _ = problem.linearize(theta)
            return Fixed(log_f, jacobian, theta)

        self._fixed = jitted(fix, problem)(place)
        self._program = jitted(lambda problem, fixed, s: jax.vmap(told, (None, None, 0))(problem, fixed, s), problem)

    def __call__(self, points: Float[np.ndarray, "point quantity"]) -> Told:
        """What is told at each position, along a leading axis."""
        return by_blocks(lambda index: self._program(self._fixed, points[index]), len(points), BLOCK)


def axes_of_shared(problem: Population, spread: Float[np.ndarray, " quantity"]) -> Axes:
    """What subjects share, where the prior has this spread: noise and correlations keep their priors.

    What may be negative, a correlation or a coefficient, has no profile.
    """
    which = quantities(problem)
    noise = np.array([q.name in problem.sampled and q.name not in problem.priors for q in which])
    correlation = np.array([q.transform is CorrCholeskyTransform for q in which])
    shown = np.array([q.positive for q in which])
    return Axes([q.name for q in which], problem.sites.common.centre, spread, ~noise & ~correlation, shown)


def told(problem: Population, fixed: Fixed, s: Float[Array, " quantity"]) -> Told:
    """Log-likelihood of what is shared, its slope, and its information, at a position."""
    z = _best(problem, fixed, s)
    height, slope = jax.value_and_grad(lambda s: _height(problem, fixed, s, z))(s)  # the density is level along z
    log_f = _moved(problem, fixed, problem.sites.common.values(s), z)
    found, _, _ = informed(problem, straight(problem, s, log_f, fixed.jacobian))
    okay = jnp.isfinite(height) & jnp.all(jnp.isfinite(slope)) & jnp.all(jnp.isfinite(found))
    return Told(okay, jnp.where(okay, height, -jnp.inf), slope, found)


def _height(problem: Population, fixed: Fixed, s: Array, z: Array) -> Float[Array, ""]:
    values = problem.sites.common.values(s)
    log_f = _moved(problem, fixed, values, z)
    bent = _bent(problem, fixed, values, log_f)
    return jnp.sum(_each(problem, values, log_f)) - jnp.sum(z**2) / 2 - jnp.sum(jnp.linalg.slogdet(bent)[1]) / 2


def _best(problem: Population, fixed: Fixed, s: Array) -> Float[Array, "subject effect"]:
    """The effects of the largest density, in units of their spread, by Newton's steps, damped for each subject by itself.

    A reading in a tail bends the other way: there `LEAST` of what is expected takes the place of its curvature.
    """
    values = problem.sites.common.values(s)
    z = jnp.zeros((len(problem.cohort), len(effects(problem))))
    rows, least = _rows(problem, fixed, values), LEAST * _weights(problem, values, _moved(problem, fixed, values, z))
    eye = jnp.eye(z.shape[1])

    def height(z: Array) -> Float[Array, " subject"]:
        return problem.by_subject(_each(problem, values, _moved(problem, fixed, values, z))) - jnp.sum(z**2, axis=1) / 2

    def step(_: Any, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        z, here, damping = state
        slope = jax.grad(lambda f: jnp.sum(_each(problem, values, f)))
        log_f = _moved(problem, fixed, values, z)
        up, bend = jax.jvp(slope, (log_f,), (jnp.ones_like(log_f),))
        bent = problem.by_subject(jnp.einsum("oa,o,ob->oab", rows, jnp.maximum(-bend, least), rows))
        bent += (1 + damping)[:, None, None] * eye
        tried = z + jnp.linalg.solve(bent, (problem.by_subject(up[:, None] * rows) - z)[..., None])[..., 0]
        there = height(tried)
        better = there > here
        damping = jnp.where(better, damping / 8, 4 * damping + 0.1)
        return jnp.where(better[:, None], tried, z), jnp.where(better, there, here), damping

    return jax.lax.fori_loop(0, NEWTON, step, (z, height(z), jnp.zeros(len(z))))[0]


def _moved(problem: Population, fixed: Fixed, values: Values, z: Array) -> Float[Array, " obs"]:
    """The log-predictions before the assays where the effects are these."""
    theta = centre(problem, values)
    theta = theta.at[:, effects(problem)].add(problem.weight[:, None] * (z @ spreading(problem, values).T))
    return fixed.log_f + jnp.einsum("op,op->o", fixed.jacobian, (theta - fixed.theta)[problem.owner])


def _rows(problem: Population, fixed: Fixed, values: Values) -> Float[Array, "obs effect"]:
    """How log-predictions before the assays move with the effects, in units of their spread."""
    return jnp.asarray(problem.weight)[problem.owner][:, None] * (
        fixed.jacobian[:, effects(problem)] @ spreading(problem, values)
    )


def _bent(problem: Population, fixed: Fixed, values: Values, log_f: Array) -> Float[Array, "subject effect effect"]:
    """The expected curvature of the effects of every subject, in units of their spread."""
    rows = _rows(problem, fixed, values)
    each = jnp.einsum("oa,o,ob->oab", rows, _weights(problem, values, log_f), rows)
    return jnp.eye(rows.shape[1]) + problem.by_subject(each)


def _weights(problem: Population, values: Values, log_f: Array) -> Float[Array, " obs"]:
    """The information of every reading about its log-prediction before the assay."""
    log_read, steep = jax.jvp(lambda f: problem.assays.read(f, values), (log_f,), (jnp.ones_like(log_f),))
    return steep**2 * of_places(problem, values, log_read)


def _each(problem: Population, values: Values, log_f: Array) -> Float[Array, " obs"]:
    """The log-likelihood of every reading where these are the log-predictions before the assays."""
    log_read = problem.assays.read(log_f, values)
    return problem.data.counted(problem.noise.log_density(log_read, values, problem.data, problem.scatter))
