r"""What readings tell of the parameters at one point: slope and Fisher information, from one solve with its sensitivities.

A reading with the log-prediction $f_i$ tells of it, and of the noise, by its information
$I_i = E[s_i s_i^\top]$, the mean square of the slope $s_i$ of its log-density over what it might have been. With the
sensitivities $J$ of the log-predictions along the log-parameters all readings together have

$$F = \sum_i L_i^\top I_i L_i,$$

where $L_i$ stacks the row $J_i$ on the identity of the noise parameters. Under log-normal noise this is $J^\top J/\sigma^2$,
and twice the number of readings for $\ln\sigma$.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..arguments import by_blocks, jitted
from ..population import Population
from ..problem import Problem
from ..site import Values

BLOCK = 16  # points solved side by side
NODES, REACH = 61, 5.5  # of the quadrature over a reading: u = sinh v, |v| up to REACH
ASIDE = 1e-6  # from the middle of a reading's density, where the third derivative of Student's t is 0 times infinity

type Report = Callable[[int, int], None]


class Told(eqx.Module):
    """What the readings tell at a point, along the logarithms of all sampled parameters; without meaning if not `okay`."""

    okay: Bool[Any, "*point"]
    log_likelihood: Float[Any, "*point"]
    slope: Float[Any, "*point parameter"]
    information: Float[Any, "*point parameter parameter"]


class Rows(eqx.Module):
    """Every reading on its own: its sensitivities along the log-parameters of the model, and what weight they have."""

    okay: Bool[Any, "*point"]
    jacobian: Float[Any, "*point obs parameter"]
    weight: Float[Any, "*point obs"]


def told(problem: Problem, x: Float[Array, " parameter"]) -> Told:
    """Log-likelihood, slope and Fisher information at a position."""
    values = problem.sites.values(x)
    log_f, jacobian, okay = problem.linearize(values)
    each, num = of_readings(problem, values, log_f), len(problem.sampled) - len(problem.priors)
    along = jnp.concatenate([jacobian[:, None], jnp.zeros((len(log_f), num, jacobian.shape[1]))], axis=1)
    noise = jnp.concatenate([jnp.zeros((1, num)), jnp.eye(num)])
    along = jnp.concatenate([along, jnp.broadcast_to(noise, (len(log_f), *noise.shape))], axis=2)
    read = jnp.asarray(problem.data.value)
    density, slope = _density(problem, values, log_f, read), _slopes(problem, values, log_f, read)
    return Told(
        okay,
        jnp.where(okay, jnp.sum(density), -jnp.inf),
        jnp.einsum("oa,oap->p", slope, along),
        jnp.einsum("oap,oab,obq->pq", along, each, along),
    )


def rows(problem: Problem, x: Float[Array, " parameter"]) -> Rows:
    """The sensitivities of every reading and the information about its log-prediction, at a position."""
    values = problem.sites.values(x)
    log_f, jacobian, okay = problem.linearize(values)
    return Rows(okay, jacobian, of_readings(problem, values, log_f)[:, 0, 0])


def of_readings(
    problem: Problem | Population, values: Values, log_f: Float[Array, " obs"]
) -> Float[Array, "obs entry entry"]:
    """The information of each reading about its log-prediction and the logarithm of every noise parameter.

    By quadrature over what the reading might have been, whatever the noise. A censored one is taken as it is: its
    curvature about the log-prediction. What does not count has none.
    """
    return _told(problem, values, log_f, _slopes)


def of_places(problem: Problem | Population, values: Values, log_f: Float[Array, " obs"]) -> Float[Array, " obs"]:
    """The information of each reading about its log-prediction alone: the first entry of `of_readings`, for less."""
    return _told(problem, values, log_f, lambda *given: _slope(*given)[:, None])[:, 0, 0]


def _told(
    problem: Problem | Population, values: Values, log_f: Array, slopes: Callable[..., Float[Array, "obs entry"]]
) -> Float[Array, "obs entry entry"]:
    data, typical = problem.data, jnp.exp(log_f + ASIDE)
    counts = data.counted(jnp.ones_like(log_f))
    bend = _bend(problem, values, log_f, jnp.where(data.cens == 0, typical, data.value))
    # What is censored has no density: its value stays where it is, or far out derivatives overflow.
    scale = jnp.where(data.cens == 0, 1 / jnp.sqrt(jnp.where(bend > 0, bend, 1.0)), 0.0)
    v = np.linspace(-REACH, REACH, NODES)

    def node(u: Array, du: Array) -> tuple[Array, Array]:
        log_y = log_f + scale * u
        mass = jnp.exp(_density(problem, values, log_f, jnp.exp(log_y)) + log_y) * du
        slope = slopes(problem, values, log_f, jnp.exp(log_y))
        return mass, mass[:, None, None] * slope[:, :, None] * slope[:, None, :]

    mass, square = jax.vmap(node)(jnp.asarray(np.sinh(v)), jnp.asarray(np.cosh(v)))
    free = square.sum(axis=0) / mass.sum(axis=0)[:, None, None]
    tail = jnp.zeros_like(free).at[:, 0, 0].set(jnp.maximum(bend, 0.0))
    return counts[:, None, None] * jnp.where((data.cens == 0)[:, None, None], free, tail)


def _density(problem: Problem | Population, values: Values, log_f: Array, value: Array) -> Float[Array, " obs"]:
    return problem.data.counted(problem.noise.log_density(log_f, values, problem.data.reading(value), problem.scatter))


def _slopes(problem: Problem | Population, values: Values, log_f: Array, value: Array) -> Float[Array, "obs entry"]:
    """The slopes of every reading's log-density along its log-prediction and the logarithm of every noise parameter."""
    names = [name for name in problem.sampled if name not in problem.priors]

    def moved(by: Array) -> Array:
        noise = {name: values[name] * jnp.exp(by[1 + k]) for k, name in enumerate(names)}
        return _density(problem, values | noise, log_f + by[0], value)

    return jax.jacfwd(moved)(jnp.zeros(1 + len(names)))


def _slope(problem: Problem | Population, values: Values, log_f: Array, value: Array) -> Float[Array, " obs"]:
    """The slope of every reading's log-density along its log-prediction."""
    return jax.jvp(lambda f: _density(problem, values, f, value), (log_f,), (jnp.ones_like(log_f),))[1]


def _bend(problem: Problem | Population, values: Values, log_f: Array, value: Array) -> Float[Array, " obs"]:
    """Minus the second derivative of every reading's log-density along its log-prediction."""
    return -jax.jvp(lambda f: _slope(problem, values, f, value), (log_f,), (jnp.ones_like(log_f),))[1]


class Everywhere[T]:
    """`told` or `rows` of a problem at any number of positions: one compiled program, in blocks of `BLOCK`."""

    def __init__(self, function: Callable[[Any, Array], T], problem: Problem | Population):
        self.problem = problem
        self._program = jitted(lambda problem, x: jax.vmap(function, (None, 0))(problem, x), problem)

    def __call__(self, points: Float[np.ndarray, "point parameter"], report: Report = lambda done, total: None) -> T:
        """What the function returns, along a leading axis over the positions."""
        return by_blocks(lambda index: self._program(points[index]), len(points), BLOCK, report)
