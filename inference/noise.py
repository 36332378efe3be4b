"""How readings scatter around the model's prediction."""

import abc
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.scipy.special import betainc, log_ndtr
from jaxtyping import Array, Float, PRNGKeyArray
from scipy.special import ndtr, stdtr

from .analyte import LABELS
from .observations import Observations
from .prior import Belief, Prior
from .site import Values

type ByDraw = Float[np.ndarray, "draw obs"]


class Noise(eqx.Module):
    """The distribution of readings given their log-predictions `log_f`."""

    @abc.abstractmethod
    def parameters(self, data: Observations) -> dict[str, Belief]:
        """The noise parameters that `data` inform, with their priors."""

    @abc.abstractmethod
    def log_density(
        self, log_f: Float[Array, " obs"], parameters: Values, data: Observations, scatter: Any = 1.0
    ) -> Float[Array, " obs"]:
        """The log-density of each reading's value; its log-probability where it is censored.

        `scatter` widens or narrows the noise of single readings.
        """

    @abc.abstractmethod
    def draw(
        self, key: PRNGKeyArray, log_f: Float[Array, " obs"], parameters: Values, data: Observations, scatter: Any = 1.0
    ) -> Float[Array, " obs"]:
        """Replicated readings, as an assay without limits would give them."""

    @abc.abstractmethod
    def chance(
        self, log_f: ByDraw, parameters: Mapping[str, Any], data: Observations, scatter: Any = 1.0
    ) -> tuple[ByDraw, ByDraw]:
        """The chance of a reading smaller than each, and of one that is no larger, at many draws.

        Both are the same for a value as read; for a censored reading what it leaves possible lies between them. Computed on
        the host: `log_f` and the parameters are NumPy's, with a leading axis of draws.
        """

    @abc.abstractmethod
    def describe(self, name: str) -> dict[str, str]:
        """Symbol, unit and meaning of a noise parameter."""


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

    With `per_analyte` each analyte has a `sigma` of its own; with `nu` single readings have Student's $t$ distribution
    of so many degrees of freedom in place of the normal one, which outliers move less.
    """

    sigma: Belief = eqx.field(default_factory=lambda: Prior(0.2, 3.0))
    per_analyte: bool = eqx.field(default=False, static=True)
    nu: float | None = eqx.field(default=None, static=True)

    def __check_init__(self) -> None:
        if self.nu is not None and not self.nu > 0:
            raise ValueError(f"`nu` of the noise is {self.nu}; give degrees of freedom above 0, or null for normal noise")

    def parameters(self, data: Observations) -> dict[str, Belief]:
        """The noise parameters that `data` inform, with their priors: none where all rows are summaries."""
        read = [a for a, single in zip(data.analyte, data.individual, strict=True) if single]
        return dict.fromkeys([self._name(a) for a in read], self.sigma)

    def describe(self, name: str) -> dict[str, str]:
        """Symbol, unit and meaning of a noise parameter."""
        analyte = name.removeprefix("sigma").removeprefix("_")
        symbol = rf"\sigma_\mathrm{{{analyte.replace('_', ' ')}}}" if analyte else r"\sigma"
        of = f" of {LABELS[analyte]}" if analyte else ""
        return {"symbol": symbol, "unit": "1", "meaning": f"SD of log-readings{of} around the prediction"}

    def log_density(
        self, log_f: Float[Array, " obs"], parameters: Values, data: Observations, scatter: Any = 1.0
    ) -> Float[Array, " obs"]:
        """The log-density of each reading's value given the log-prediction; log-probability where censored."""
        parts = {"read": self._of_read, "censored": self._of_censored, "group": self._of_group}
        rows = {"read": data.cens == 0, "censored": data.cens != 0, "group": ~data.individual}
        sigma = self._sigma(parameters, data) * scatter
        found = parts[data.kinds[0]](log_f, sigma, data)
        for kind in data.kinds[1:]:
            found = jnp.where(rows[kind], parts[kind](log_f, sigma, data), found)
        return found

    def _of_read(self, log_f: Array, sigma: Array, data: Observations) -> Array:
        log_y = jnp.log(data.value)
        return jnp.asarray(self._single(log_f, sigma).log_prob(log_y) - log_y)

    def _of_censored(self, log_f: Array, sigma: Array, data: Observations) -> Array:
        # Away from zero where nothing is censored: there the tail of Student's t has no derivative by its formula.
        near = jnp.where(data.cens == 0, -1.0, -data.cens * (jnp.log(data.limit) - log_f) / sigma)
        tail = self._log_cdf(near)
        if data.bound is None:
            return tail
        closed = (data.cens != 0) & (data.bound > 0) & jnp.isfinite(data.bound)
        far = -data.cens * (jnp.log(jnp.where(closed, data.bound, 1.0)) - log_f) / sigma
        return jnp.where(closed, log_between(self._log_cdf, jnp.where(closed, far, near - 1.0), near), tail)

    def _of_group(self, log_f: Array, sigma: Array, data: Observations) -> Array:
        freedom, error = self._mean(data)
        log_y = jnp.log(data.value)
        return jnp.asarray(dist.StudentT(freedom, log_f, error).log_prob(log_y) - log_y)

    def draw(
        self, key: PRNGKeyArray, log_f: Float[Array, " obs"], parameters: Values, data: Observations, scatter: Any = 1.0
    ) -> Float[Array, " obs"]:
        """Replicated readings: what the assay would read without its limits, or the mean of another such group."""
        freedom, error = self._mean(data)
        freedom = jnp.where(data.individual, self.nu or jnp.inf, freedom)
        scale = jnp.where(data.individual, self._sigma(parameters, data) * scatter, error)
        return jnp.exp(log_f + scale * student(key, freedom))

    def chance(
        self, log_f: ByDraw, parameters: Mapping[str, Any], data: Observations, scatter: Any = 1.0
    ) -> tuple[ByDraw, ByDraw]:
        """The chance of a reading smaller than each, and of one that is no larger, at many draws."""
        each = [np.broadcast_to(parameters.get(self._name(a), 1.0), len(log_f)) for a in data.analyte]
        freedom, error = self._mean(data, np)
        scale = np.where(data.individual, np.stack(each, axis=1) * scatter, error)
        freedom = np.where(data.individual, self.nu or np.inf, freedom)
        far = np.where(data.cens > 0, np.inf, 0.0) if data.bound is None else data.bound
        ends = [np.where(data.cens == 0, data.value, np.where(data.cens == k, data.limit, far)) for k in (1, -1)]

        def cdf(x: np.ndarray) -> np.ndarray:
            return np.where(np.isinf(freedom), ndtr(x), stdtr(np.where(np.isinf(freedom), 1.0, freedom), x))

        with np.errstate(divide="ignore"):  # of what lies between 0 and a limit
            low, high = (cdf((np.log(end) - log_f) / scale) for end in ends)
        return low, high

    def _name(self, analyte: str) -> str:
        return f"sigma_{analyte}" if self.per_analyte else "sigma"

    def _sigma(self, parameters: Values, data: Observations) -> Array:
        """The standard deviation of every reading; that of a summary is not used."""
        names = list(dict.fromkeys(self._name(a) for a in data.analyte))
        each = jnp.stack([jnp.asarray(parameters.get(name, 1.0)) for name in names])
        return each[0] if len(names) == 1 else each[np.array([names.index(self._name(a)) for a in data.analyte])]

    def _single(self, log_f: Array, sigma: Array) -> dist.Distribution:
        return dist.Normal(log_f, sigma) if self.nu is None else dist.StudentT(self.nu, log_f, sigma)

    def _log_cdf(self, x: Array) -> Array:
        if self.nu is None:
            return log_ndtr(x)
        # One tail by the incomplete beta function, which is exact far out.
        tail = 0.5 * betainc(0.5 * self.nu, 0.5, self.nu / (self.nu + x**2))
        return jnp.where(x < 0, jnp.log(tail), jnp.log1p(-tail))

    def _mean(self, data: Observations, xp: Any = jnp) -> tuple[Any, Any]:
        """The degrees of freedom and the standard error of every summary; those of a single reading are not used.

        By the functions of JAX, or by those of NumPy on the host.
        """
        error = xp.where(data.individual, 1.0, data.spread / xp.sqrt(xp.maximum(data.n, 1)))
        return xp.maximum(data.n - 1, 1), error


def log_between(
    log_cdf: Callable[[Array], Array], low: Float[Array, "*shape"], high: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    r"""$\ln(F(b) - F(a))$ of a symmetric distribution for finite $a < b$, exact in both tails."""
    flip = low > 0
    low, high = jnp.where(flip, -high, low), jnp.where(flip, -low, high)
    outer = log_cdf(high)
    return outer + jnp.log(-jnp.expm1(log_cdf(low) - outer))


def student(key: PRNGKeyArray, freedom: Float[Array, " obs"]) -> Float[Array, " obs"]:
    r"""Draws of Student's $t$ distribution with $n$ degrees of freedom, infinitely many included.

    $\sqrt{n\,(u^{-2/n} - 1)}\,\cos 2\pi v$ with uniform $u$ and $v$ (Bailey, Math Comp 1994;62:779-781): a rejection
    sampler, exact as well, takes longer to compile than all else that is predicted.
    """
    u, v = jax.random.uniform(key, (2, *freedom.shape))
    n = jnp.minimum(freedom, 1e15)
    return jnp.sqrt(n * jnp.expm1(-2 / n * jnp.log1p(-u))) * jnp.cos(2 * jnp.pi * v)
