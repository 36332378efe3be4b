"""Priors stated the way people think of them: a median and how many fold it may be off."""

import math
from collections.abc import Iterator, Mapping

import equinox as eqx
import numpyro.distributions as dist

_Z95 = 1.6448536269514722  # the normal quantile of 0.95


class Prior(eqx.Module):
    """A log-normal prior: 90 % of its mass lies between `median`/`fold` and `median` x `fold`."""

    median: float = eqx.field(static=True)
    fold: float = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not (math.isfinite(self.median) and self.median > 0):
            raise ValueError(f"`median` of a prior is {self.median}; give a positive number")
        if not (math.isfinite(self.fold) and self.fold > 1):
            raise ValueError(f"`fold` of a prior is {self.fold}; give a number above 1")

    @property
    def log_sd(self) -> float:
        """The standard deviation of the logarithm."""
        return math.log(self.fold) / _Z95

    @property
    def distribution(self) -> dist.LogNormal:
        """The prior as a NumPyro distribution."""
        return dist.LogNormal(math.log(self.median), self.log_sd)


class Priors(eqx.Module):
    """A prior for each sampled parameter; every other parameter keeps the model's value."""

    parameters: Mapping[str, Prior] = eqx.field(static=True)

    def __init__(self, **parameters: Prior | Mapping[str, float]):
        self.parameters = {
            name: prior if isinstance(prior, Prior) else _prior(name, prior) for name, prior in parameters.items()
        }

    def __check_init__(self) -> None:
        if not self.parameters:
            raise ValueError("no parameter has a prior; give at least one, as in `prior.gamma.median=1`")

    def __iter__(self) -> Iterator[str]:
        return iter(self.parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    def __getitem__(self, name: str) -> Prior:
        return self.parameters[name]


def _prior(name: str, config: Mapping[str, float]) -> Prior:
    if set(config) != {"median", "fold"}:
        raise ValueError(f"the prior of `{name}` has the keys {', '.join(config) or 'none'}; give `median` and `fold`")
    try:
        return Prior(float(config["median"]), float(config["fold"]))
    except (TypeError, ValueError) as error:
        raise ValueError(f"the prior of `{name}`: {error}") from error
