"""How readings scatter around the model's prediction."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Float, PRNGKeyArray

from .observations import Observations
from .prior import Prior


class Noise(eqx.Module):
    """The distribution of readings given their log-predictions `log_f`."""

    @abc.abstractmethod
    def parameters(self, data: Observations) -> dict[str, Prior]:
        """The noise parameters that `data` inform, with their priors."""

    @abc.abstractmethod
    def log_density(
        self, log_f: Float[Array, " obs"], parameters: dict[str, Float[Array, ""]], data: Observations
    ) -> Float[Array, " obs"]:
        """The log-density of each reading's value; its log-probability where it is censored."""

    @abc.abstractmethod
    def draw(
        self, key: PRNGKeyArray, log_f: Float[Array, " obs"], parameters: dict[str, Float[Array, ""]], data: Observations
    ) -> Float[Array, " obs"]:
        """Replicated readings, as an assay without limits would give them."""


class LogNormal(Noise):
    r"""Log-normal scatter, for single readings and for summaries of groups.

    *A single reading* $y$ of the prediction $f$ has $\ln y \sim N(\ln f, \sigma^2)$; below (above) a limit
    $\ell$ its likelihood is the exact tail $\Phi(\pm(\ln \ell - \ln f)/\sigma)$, or what lies between $\ell$ and
    the far end of its interval.

    *A group's summary* is the log-mean $m$ and log-SD $s$ of $n$ subjects at one time, whose log-readings are
    taken as $N(\ln f, \tau^2)$ with a spread $\tau$ of that time's own. Under the reference prior
    $p(\tau) \propto 1/\tau$ it integrates out exactly: $(m - \ln f)/(s/\sqrt n)$ has Student's $t$
    distribution with $n-1$ degrees of freedom (Gelman et al., Bayesian Data Analysis, 3rd ed., section 3.2).
    The summaries do not tell the correlation of one subject's readings over time; it is taken as zero.
    """

    sigma: Prior = eqx.field(default_factory=lambda: Prior(0.2, 3.0))

    def parameters(self, data: Observations) -> dict[str, Prior]:
        """The noise parameters that `data` inform, with their priors: none where all rows are summaries."""
        return {"sigma": self.sigma} if data.individual.any() else {}

    def log_density(
        self, log_f: Float[Array, " obs"], parameters: dict[str, Float[Array, ""]], data: Observations
    ) -> Float[Array, " obs"]:
        """The log-density of each reading's value given the log-prediction; log-probability where censored."""
        sigma = parameters.get("sigma", 1.0)
        log_y, log_limit = jnp.log(data.value), jnp.log(data.limit)
        read = dist.Normal(log_f, sigma).log_prob(log_y) - log_y
        near = jnp.asarray(-data.cens * (log_limit - log_f) / sigma)
        tail = log_ndtr(near)
        if data.bound is not None:
            closed = (data.cens != 0) & (data.bound > 0) & np.isfinite(data.bound)
            far = -data.cens * (jnp.log(jnp.where(closed, data.bound, 1.0)) - log_f) / sigma
            tail = jnp.where(closed, log_between(jnp.where(closed, far, near - 1.0), near), tail)
        group = self._mean(data, log_f).log_prob(log_y) - log_y
        return jnp.where(data.individual, jnp.where(data.cens == 0, read, tail), group)

    def draw(
        self, key: PRNGKeyArray, log_f: Float[Array, " obs"], parameters: dict[str, Float[Array, ""]], data: Observations
    ) -> Float[Array, " obs"]:
        """Replicated readings: what the assay would read without its limits, or the mean of another such group."""
        one, many = jax.random.split(key)
        single = dist.Normal(log_f, parameters.get("sigma", 1.0)).sample(one)
        return jnp.exp(jnp.where(data.individual, single, self._mean(data, log_f).sample(many)))

    def _mean(self, data: Observations, log_f: Float[Array, " obs"]) -> dist.StudentT:
        freedom = jnp.maximum(data.n - 1, 1)
        scale = jnp.where(data.individual, 1.0, data.spread / jnp.sqrt(jnp.maximum(data.n, 1)))
        return dist.StudentT(freedom, log_f, scale)


def log_between(low: Float[Array, "*shape"], high: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    r"""$\ln(\Phi(b) - \Phi(a))$ for finite $a < b$, exact in both tails."""
    flip = low > 0
    low, high = jnp.where(flip, -high, low), jnp.where(flip, -low, high)
    outer = log_ndtr(high)
    return outer + jnp.log(-jnp.expm1(log_ndtr(low) - outer))
