"""Priors of positive quantities, stated the way people think of them: a median and a fold, or a mean and an SD."""

import abc
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.scipy.special as jsp
import numpy as np
import numpyro.distributions as dist
import scipy.special as sp
from jax.core import Tracer
from jaxtyping import Float

_Z95 = 1.6448536269514722  # the normal quantile of 0.95
_NEAR = 1e-8  # times the mass cut off, or kept: so little lies so close to 0 that the density is as at 0


class Belief(eqx.Module):
    """What is believed of a positive quantity before it is read: a distribution that a sampler sees on the log scale."""

    median: eqx.AbstractVar[float]

    @property
    @abc.abstractmethod
    def stated(self) -> dict[str, float]:
        """The numbers that state it, by name, as in a configuration."""

    @property
    @abc.abstractmethod
    def log_sd(self) -> float:
        """The standard deviation of the logarithm."""

    @property
    @abc.abstractmethod
    def distribution(self) -> Any:
        """The NumPyro distribution of the quantity itself."""

    @abc.abstractmethod
    def log_quantile(self, z: Float[Any, "*batch"]) -> Float[Any, "*batch"]:
        """The logarithm of the quantile at $\\Phi(z)$: a draw where $z$ is one of a standard normal distribution."""

    @abc.abstractmethod
    def score(self, x: Float[Any, "*batch"]) -> Float[Any, "*batch"]:
        """The standard normal number whose `log_quantile` is $x$."""

    @abc.abstractmethod
    def log_density(self, x: Float[np.ndarray, "*batch"]) -> Float[np.ndarray, "*batch"]:
        """The log-density of the logarithm, at $x$."""


class Prior(Belief):
    """A log-normal prior: 90 % of its mass lies between `median`/`fold` and `median` x `fold`."""

    median: float = eqx.field(static=True)
    fold: float = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not (math.isfinite(self.median) and self.median > 0):
            raise ValueError(f"`median` of a prior is {self.median}; give a positive number")
        if not (math.isfinite(self.fold) and self.fold > 1):
            raise ValueError(f"`fold` of a prior is {self.fold}; give a number above 1")

    @property
    def stated(self) -> dict[str, float]:
        return {"median": self.median, "fold": self.fold}

    @property
    def log_sd(self) -> float:
        return math.log(self.fold) / _Z95

    @property
    def distribution(self) -> dist.LogNormal:
        return dist.LogNormal(math.log(self.median), self.log_sd)

    def log_quantile(self, z: Float[Any, "*batch"]) -> Float[Any, "*batch"]:
        return np.log(self.median) + self.log_sd * z

    def score(self, x: Float[Any, "*batch"]) -> Float[Any, "*batch"]:
        return (x - np.log(self.median)) / self.log_sd

    def log_density(self, x: Float[np.ndarray, "*batch"]) -> Float[np.ndarray, "*batch"]:
        z = (x - np.log(self.median)) / self.log_sd
        return -0.5 * (z**2 + np.log(2 * np.pi)) - np.log(self.log_sd)


class TruncatedNormal(Belief):
    """A normal prior of this `mean` and `sd`, cut off below 0."""

    mean: float = eqx.field(static=True)
    sd: float = eqx.field(static=True)
    median: float = eqx.field(static=True)

    def __init__(self, mean: float, sd: float):
        if not (math.isfinite(sd) and sd > 0):
            raise ValueError(f"`sd` of a prior is {sd}; give a positive number")
        if not (math.isfinite(mean) and mean > -5 * sd):
            raise ValueError(f"`mean` of a prior is {mean}; give one above 0, or at most 5 `sd` below it")
        self.mean, self.sd = mean, sd
        self.median = math.exp(self.log_quantile(np.zeros(())))

    @property
    def stated(self) -> dict[str, float]:
        return {"mean": self.mean, "sd": self.sd}

    @property
    def log_sd(self) -> float:
        return _log_sd(self.mean, self.sd)

    @property
    def distribution(self) -> Any:
        return dist.TruncatedNormal(self.mean, self.sd, low=0.0)

    def log_quantile(self, z: Float[Any, "*batch"]) -> Float[Any, "*batch"]:
        xp, special = (jnp, jsp) if isinstance(z, Tracer) else (np, sp)
        a = self.mean / self.sd
        below, above = sp.log_ndtr(-a), sp.log_ndtr(a)  # the masses that are cut off and kept
        share = special.log_ndtr(z) + above
        low = self.mean + self.sd * special.ndtri(xp.exp(xp.logaddexp(below, share)))
        high = self.mean - self.sd * special.ndtri(xp.exp(above) * special.ndtr(-z))
        near = share < np.log(_NEAR) + min(below, above)
        edge = np.log(self.sd) + share + 0.5 * (a**2 + np.log(2 * np.pi))
        return xp.where(near, edge, xp.log(xp.where(near, 1.0, xp.where((z < 0) & (a > 0), low, high))))

    def score(self, x: Float[Any, "*batch"]) -> Float[Any, "*batch"]:
        z, a = (np.exp(x) - self.mean) / self.sd, self.mean / self.sd
        above = sp.ndtr(-z) / sp.ndtr(a)
        below = (sp.ndtr(z) - sp.ndtr(-a)) / sp.ndtr(a)
        return np.where(below < above, sp.ndtri(np.clip(below, 1e-300, 1.0)), -sp.ndtri(above))

    def log_density(self, x: Float[np.ndarray, "*batch"]) -> Float[np.ndarray, "*batch"]:
        z = (np.exp(x) - self.mean) / self.sd
        return x - 0.5 * (z**2 + np.log(2 * np.pi)) - np.log(self.sd) - sp.log_ndtr(self.mean / self.sd)


@functools.cache
def _log_sd(mean: float, sd: float) -> float:
    """The standard deviation of the logarithm of a normal quantity above 0, by the trapezoidal rule over $z$."""
    z = np.linspace(-12, 12, 4001)
    weight = np.exp(-0.5 * z**2)
    log = TruncatedNormal(mean, sd).log_quantile(z)
    return float(np.sqrt(np.cov(log, aweights=weight, ddof=0)))


class Priors(eqx.Module):
    """A prior for each sampled parameter; every other parameter keeps the model's value."""

    parameters: Mapping[str, Belief] = eqx.field(static=True)

    def __init__(self, **parameters: Belief | Mapping[str, float]):
        self.parameters = {
            name: prior if isinstance(prior, Belief) else belief(prior, f"the prior of `{name}`")
            for name, prior in parameters.items()
        }

    def __check_init__(self) -> None:
        if not self.parameters:
            raise ValueError("no parameter has a prior; give at least one, as in `prior.gamma.median=1`")

    def __iter__(self) -> Iterator[str]:
        return iter(self.parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    def __getitem__(self, name: str) -> Belief:
        return self.parameters[name]


def recorded(prior: Belief) -> dict[str, float]:
    """What a tree keeps of a prior beside the draws: how it is stated, its median and its spread."""
    named = {"median": prior.median, "log_sd": prior.log_sd} | prior.stated
    return {f"prior_{name}": value for name, value in named.items()}


def recalled(attributes: Mapping[str, Any]) -> Belief:
    """The prior that a tree kept."""
    kinds = (("mean", "sd"), ("median", "fold"))
    names = next(names for names in kinds if all(f"prior_{name}" in attributes for name in names))
    return belief({name: attributes[f"prior_{name}"] for name in names})


def belief(stated: Mapping[str, float], of: str = "the prior") -> Belief:
    """The prior that these numbers state: `median` and `fold` or `log_sd` (log-normal), or `mean` and `sd` (normal above 0).

    Raises `ValueError` for other names, and for numbers that state no distribution; `of` says what it is.
    """
    if (made := _KINDS.get(frozenset(stated))) is None:
        kinds = ", or ".join(" and ".join(f"`{name}`" for name in sorted(names, key=_ORDER.index)) for names in _KINDS)
        raise ValueError(f"{of} has the keys {', '.join(stated) or 'none'}; give {kinds}")
    try:
        return made(**{name: float(x) for name, x in stated.items()})
    except (TypeError, ValueError) as error:
        raise ValueError(f"{of}: {error}") from error


_ORDER = ("median", "fold", "log_sd", "mean", "sd")
_KINDS: dict[frozenset[str], Callable[..., Belief]] = {
    frozenset({"median", "fold"}): Prior,
    frozenset({"median", "log_sd"}): lambda median, log_sd: Prior(median, math.exp(_Z95 * log_sd)),
    frozenset({"mean", "sd"}): TruncatedNormal,
}
