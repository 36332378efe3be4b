r"""What the readings of a population tell of what its subjects share, whatever differs between them.

About the log-parameters of its subject every log-prediction is taken as linear. The readings of subject $i$ then scatter as
$V_i = R_i + J_i \Sigma_i J_i^\top$: by their noise, of variance $R_i$, the inverse of what each tells of its log-prediction,
and by what differs between subjects, of covariance $\Sigma_i$, through the sensitivities $J_i$. Where predictions move by
$G_i$ with what is shared,

$$F = \sum_i G_i^\top V_i^{-1} G_i + \tfrac12 \mathrm{tr}(V_i^{-1}\,\partial V_i\,V_i^{-1}\,\partial V_i)$$

(Mentré, Mallet and Baccar, Biometrika 1997;84:429; Retout and Mentré, J Biopharm Stat 2003;13:209). By the inverse of a sum
(Woodbury), nothing larger than the effects of a subject is inverted.
"""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpyro.distributions import LKJCholesky, Normal

from ..population import Population
from ..site import Values
from .information import of_readings

type Place = Float[Any, "*point entry"]  # the position of what is shared, then the log-parameters of every subject


class Shared(eqx.Module):
    """What the readings tell at a place: their information about the position of what is shared, and the covariance of the
    log-parameters of every subject that they and the prior leave; without meaning if not `okay`."""

    okay: Bool[Any, "*point"]
    information: Float[Any, "*point quantity quantity"]
    left: Float[Any, "*point subject parameter parameter"]


class Straight(eqx.Module):
    """The log-predictions of a population, taken as linear, and what readings scatter by.

    `jacobian` is along the log-parameters of the reading's subject, `moved` along what is shared, `centre` that of the
    log-parameters of every subject; `between` is the covariance of the effects and `turned` its derivatives, `each` the
    information of every reading about its log-prediction and the noise.
    """

    jacobian: Float[Array, "obs parameter"]
    moved: Float[Array, "obs quantity"]
    centre: Float[Array, "subject parameter quantity"]
    between: Float[Array, "effect effect"]
    turned: Float[Array, "quantity effect effect"]
    each: Float[Array, "obs entry entry"]


def places(shared: Float[Any, "point quantity"], theta: Float[Any, "point subject parameter"]) -> Float[np.ndarray, "p e"]:
    """Places, as `Everywhere` takes them."""
    return np.concatenate([np.asarray(shared), np.reshape(theta, (len(theta), -1))], axis=1)


def parted(problem: Population, x: Place) -> tuple[Float[Array, " quantity"], Float[Array, "subject parameter"]]:
    """The position of what is shared, and the log-parameters of every subject."""
    size = problem.sites.common.size
    return x[:size], x[size:].reshape(len(problem.cohort), len(problem.priors))


def told(problem: Population, x: Place, spread: Float[np.ndarray, " quantity"]) -> Shared:
    """What the readings tell at a place, where the prior has this spread."""
    s, theta = parted(problem, x)
    log_f, jacobian, okay = problem.linearize(theta)
    line = straight(problem, s, log_f, jacobian)
    found, k, turn = informed(problem, line)
    covariance = jnp.linalg.inv(found + jnp.diag(spread**-2.0))
    known = effects(problem)
    pull = line.centre.at[:, known].add(-turn)
    left = jnp.einsum("ipq,qr,isr->ips", pull, covariance, pull)
    return Shared(jnp.all(okay), found, left.at[:, *np.ix_(known, known)].add(k))


def straight(
    problem: Population, s: Float[Array, " quantity"], log_f: Float[Array, " obs"], jacobian: Float[Array, "obs parameter"]
) -> Straight:
    """The log-predictions, which are these before the assays with these derivatives, taken as linear."""
    common = problem.sites.common
    read = lambda s, log_f: problem.assays.read(log_f, common.values(s))  # noqa: E731
    log_read, steep = jax.jvp(partial(read, s), (log_f,), (jnp.ones_like(log_f),))
    along = steep[:, None] * jacobian
    middle = jax.jacfwd(lambda s: centre(problem, common.values(s)))(s)
    moved = jnp.einsum("op,opq->oq", along, middle[problem.owner]) + jax.jacfwd(read)(s, log_f)
    between = lambda s: spreading(problem, common.values(s)) @ spreading(problem, common.values(s)).T  # noqa: E731
    turned = jnp.moveaxis(jax.jacfwd(between)(s), -1, 0)
    each = of_readings(problem, common.values(s), log_read)
    return Straight(along, moved, middle, between(s), turned, each)


def informed(
    problem: Population, line: Straight
) -> tuple[
    Float[Array, "quantity quantity"], Float[Array, "subject effect effect"], Float[Array, "subject effect quantity"]
]:
    """The information about what is shared; what readings leave of each subject's effects, and how these move with it."""
    share = problem.weight**2  # the mean of n subjects differs less
    sigma, turned = share[:, None, None] * line.between, jnp.einsum("i,qab->iqab", share, line.turned)
    j, weight = line.jacobian[:, effects(problem)], line.each[:, 0, 0]
    eye = jnp.eye(j.shape[1])
    a = problem.by_subject(jnp.einsum("oa,o,ob->oab", j, weight, j))
    b = problem.by_subject(jnp.einsum("oa,o,oq->oaq", j, weight, line.moved))
    k, m = jnp.linalg.solve(eye + sigma @ a, sigma), jnp.linalg.solve(eye + a @ sigma, a)
    found = jnp.einsum("op,o,oq->pq", line.moved, weight, line.moved) - jnp.einsum("iap,iab,ibq->pq", b, k, b)
    turn = jnp.einsum("iab,iqbc->iqac", m, turned)
    found += jnp.einsum("ipab,iqba->pq", turn, turn) / 2
    # The noise: its variance grows by `d` of itself with the logarithm of each of its parameters.
    d = jnp.sqrt(2 * jnp.maximum(jnp.diagonal(line.each[:, 1:, 1:], axis1=1, axis2=2), 0.0))
    grown = problem.by_subject(jnp.einsum("oa,o,on,ob->onab", j, weight, d, j))
    spent = 1 - 2 * weight * jnp.einsum("oa,oab,ob->o", j, k[problem.owner], j)
    through, rest = k[:, None] @ grown, eye - k @ a
    own = (jnp.einsum("om,o,on->mn", d, spent, d) + jnp.einsum("imab,inba->mn", through, through)) / 2
    both = jnp.einsum("iab,iqbc,idc,inda->qn", rest, turned, rest, grown) / 2
    noise = slice(len(problem.priors), len(problem.sampled))
    return found.at[noise, noise].add(own).at[:, noise].add(both).at[noise, :].add(both.T), k, k @ b


def heights(problem: Population, x: Place) -> tuple[Float[Array, " quantity"], Float[Array, ""]]:
    """The log-density of the prior of each number that is shared, over its position, and the log-likelihood of the readings.

    The numbers that a correlation is made of have one prior together.
    """
    s, theta = parted(problem, x)
    values, prior, begin = problem.sites.common.values(s), [], 0
    for name, site in problem.sites.common.parts.items():
        part, begin = s[begin : begin + site.size], begin + site.size
        if name == "root":
            together = LKJCholesky(len(effects(problem)), problem.variability.correlation).log_prob(values[name])
            together += jnp.sum(site.transform.log_abs_det_jacobian(part, values[name]))
            prior.append(jnp.full(site.size, together))
        elif site.prior is None:
            prior.append(Normal(jnp.array(site.centre), jnp.array(site.spread)).log_prob(part))
        else:
            prior.append(site.prior.distribution.log_prob(jnp.exp(part)) + part)
    log_f, okay = problem.read_at(values, theta)
    density = problem.noise.log_density(log_f, values, problem.data, problem.scatter)
    return jnp.concatenate(prior), jnp.where(jnp.all(okay), jnp.sum(problem.data.counted(density)), -jnp.inf)


def centre(problem: Population, values: Values) -> Float[Array, "subject parameter"]:
    """The log-parameters of a typical subject with the covariates of each."""
    found = problem.centre(values)
    return jnp.stack([found[name] for name in problem.priors], axis=1)


def effects(problem: Population) -> Int[np.ndarray, " effect"]:
    """The numbers of the parameters that differ between subjects."""
    return np.array([list(problem.priors).index(name) for name in problem.variability.effects])


def spreading(problem: Population, values: Values) -> Float[Array, "effect effect"]:
    """The triangular root of the covariance between subjects."""
    return values["omega"][:, None] * problem.variability.root(values)
