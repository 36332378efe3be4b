"""How subjects differ: spread around the population's medians, correlation, and what covariates explain."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions.transforms import CorrCholeskyTransform, ExpTransform, IdentityTransform

from .prior import Belief, Prior
from .site import Site, Values

KINDS = ("power", "exponential")

type Centre = Mapping[str, Float[Array, " subject"]]
type Weight = Float[Any, " subject"]


class Effect(eqx.Module):
    """The spread of one parameter between subjects: `omega` is the standard deviation of its logarithm.

    `centred` chooses what is sampled for each subject: its log-parameter (for readings that tell it well), or its
    deviation from the median in units of the spread, given its other parameters (for readings that do not).
    """

    omega: Prior = Prior(0.3, 3.0)
    centred: bool = eqx.field(default=False, static=True)


class Covariate(eqx.Module):
    r"""What a covariate $x$ explains of a parameter.

    $\log\theta$ gains $\beta \log(x / x_0)$ (`power`: allometry) or $\beta (x - x_0)$ (`exponential`). `coefficient` is
    $\beta$, or the middle of its normal prior with standard deviation `sd`.
    """

    parameter: str = eqx.field(static=True)
    covariate: str = eqx.field(static=True)
    reference: float = eqx.field(default=1.0, static=True)
    kind: str = eqx.field(default="power", static=True)
    coefficient: float = eqx.field(default=0.0, static=True)
    sd: float | None = eqx.field(default=None, static=True)

    def __check_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"`kind` of covariate `{self.covariate}` is {self.kind!r}; choose from: {', '.join(KINDS)}")
        if self.kind == "power" and not self.reference > 0:
            raise ValueError(f"`reference` of covariate `{self.covariate}` is {self.reference}; a power needs one above 0")
        if self.sd is not None and not self.sd > 0:
            raise ValueError(f"`sd` of covariate `{self.covariate}` is {self.sd}; give a positive number, or null to fix it")

    @property
    def name(self) -> str:
        """The name of the coefficient."""
        return f"beta_{self.parameter}_{self.covariate}"

    def along(self, x: Float[np.ndarray, " subject"]) -> Float[np.ndarray, " subject"]:
        """What the coefficient multiplies. Raises `ValueError` for a power of a value that is not positive."""
        if self.kind == "exponential":
            return x - self.reference
        if not np.all(x > 0):
            raise ValueError(f"covariate `{self.covariate}` has the value {x[~(x > 0)][0]:g}; a power needs values above 0")
        return np.log(x / self.reference)


class Variability(eqx.Module):
    r"""The distribution of the subjects' parameters around the population's medians $\mu$.

    $\log\theta_s = \log\mu + \mathrm{diag}(\omega)\, L z_s + \beta x_s$ with $z_s \sim N(0, I)$ and $L L^\top$ the
    correlation of the effects: $L \sim$ LKJ(`correlation`) (Lewandowski, Kurowicka and Joe, J Multivar Anal
    2009;100:1989), or the identity where `correlation` is null. `assay` and `background` are the priors of the factor
    between what is predicted and what an assay reads, and of what it reads of nothing, for every analyte of every study
    but the first; null where all read alike.
    """

    effects: Mapping[str, Effect] = eqx.field(static=True)  # a tree would sort them by name
    correlation: float | None = eqx.field(static=True)
    covariates: tuple[Covariate, ...]
    assay: Belief | None
    background: Belief | None

    def __init__(
        self,
        effects: Mapping[str, Effect | Mapping[str, Any]],
        correlation: float | None = 2.0,
        covariates: Sequence[Covariate | Mapping[str, Any]] = (),
        assay: Belief | None = None,
        background: Belief | None = None,
    ):
        self.effects = {name: x if isinstance(x, Effect) else _effect(name, x) for name, x in effects.items()}
        self.correlation, self.assay, self.background = correlation, assay, background
        self.covariates = tuple(x if isinstance(x, Covariate) else Covariate(**x) for x in covariates)

    def __check_init__(self) -> None:
        if not self.effects:
            raise ValueError("no parameter differs between subjects; give `effects` at least one")
        if self.correlation is not None and not self.correlation > 0:
            raise ValueError(f"`correlation` is {self.correlation}; give a positive concentration, or null for none")

    @property
    def correlated(self) -> bool:
        """Whether the effects are correlated."""
        return self.correlation is not None and len(self.effects) > 1

    def sites(self, num: int, middle: Mapping[str, float]) -> dict[str, Site]:
        """What is sampled for `num` subjects of a population with these prior medians."""
        size = len(self.effects)
        priors = [effect.omega for effect in self.effects.values()]
        typical = tuple(math.log(prior.median) for prior in priors)
        omega = Site((size,), ExpTransform(), typical, tuple(prior.log_sd for prior in priors))
        found = {"omega": omega}
        if self.correlated:
            found["root"] = Site((size * (size - 1) // 2,), CorrCholeskyTransform(), spread=0.5)
        if plain := self._plain:
            found["z"] = Site((len(plain), num), IdentityTransform(), by_subject=True)
        for name, effect in self.effects.items():
            if effect.centred:
                centre, spread = math.log(middle[name]), effect.omega.median
                found[f"log_{name}"] = Site((num,), IdentityTransform(), centre, spread, by_subject=True)
        for covariate in self.covariates:
            if covariate.sd is not None:
                found[covariate.name] = Site((), IdentityTransform(), covariate.coefficient, covariate.sd)
        return found

    def coefficients(self) -> Values:
        """The NumPyro program of the coefficients of covariates."""
        return {x.name: _sample(x.name, dist.Normal(x.coefficient, x.sd)) for x in self.covariates if x.sd is not None}

    def program(self, centre: Centre, weight: Weight) -> Values:
        """The NumPyro program of what differs between subjects.

        `centre` are the log-parameters of a typical subject with the covariates of each; `weight` narrows effects: the
        mean of $n$ subjects is one whose effects are narrower by $1/\\sqrt n$.
        """
        size = len(self.effects)
        priors = [effect.omega for effect in self.effects.values()]
        median, log_sd = np.log([p.median for p in priors]), np.array([p.log_sd for p in priors])
        found: Values = {"omega": _sample("omega", dist.LogNormal(median, log_sd).to_event(1))}
        if self.correlated:
            found["root"] = _sample("root", dist.LKJCholesky(size, self.correlation))
        if plain := self._plain:
            found["z"] = _sample("z", dist.Normal(0, 1).expand([len(plain), len(weight)]).to_event(2))

        def given(name: str, middle: Array, spread: Array) -> Array:
            found[name] = _sample(name, dist.Normal(middle, spread).to_event(1))
            return found[name]

        self._standard(found, centre, weight, given)
        return found

    def subjects(self, values: Values, centre: Centre, weight: Weight) -> Float[Array, "effect subject"]:
        """The log-parameters of every subject."""
        z = self.deviations(values, centre, weight)
        middle = jnp.stack([centre[name] for name in self.effects])
        return middle + values["omega"][:, None] * (self.root(values) @ z) * weight

    def deviations(self, values: Values, centre: Centre, weight: Weight) -> Float[Array, "effect subject"]:
        """$z$ of every subject, however its effects are sampled."""
        return self._standard(values, centre, weight, lambda name, middle, spread: values[name])

    def root(self, values: Values) -> Float[Array, "effect effect"]:
        """The lower triangular root of the correlation."""
        return values.get("root", jnp.eye(len(self.effects)))

    @property
    def _plain(self) -> list[str]:
        return [name for name, effect in self.effects.items() if not effect.centred]

    def _standard(
        self, values: Values, centre: Centre, weight: Weight, given: Callable[[str, Array, Array], Array]
    ) -> Float[Array, "effect subject"]:
        """The deviations, where `given(name, middle, spread)` are the log-parameters of a centred effect."""
        root, z = self.root(values), []
        for k, (name, effect) in enumerate(self.effects.items()):
            if not effect.centred:
                z.append(values["z"][self._plain.index(name)])
                continue
            scale = values["omega"][k] * weight
            before = sum((root[k, q] * z[q] for q in range(k)), jnp.zeros(len(weight)))
            log_parameter = given(f"log_{name}", centre[name] + scale * before, scale * root[k, k])
            z.append(((log_parameter - centre[name]) / scale - before) / root[k, k])
        return jnp.stack(z)


def _sample(name: str, distribution: dist.Distribution) -> Array:
    return jnp.asarray(numpyro.sample(name, distribution))


def _effect(name: str, config: Mapping[str, Any]) -> Effect:
    if unknown := config.keys() - {"omega", "centred"}:
        raise ValueError(f"the effect on `{name}` has no key `{unknown.pop()}`; it has: omega, centred")
    given = dict(config)
    if "omega" in given and not isinstance(given["omega"], Prior):
        given["omega"] = Prior(**given["omega"])
    return Effect(**given)
