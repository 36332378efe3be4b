"""What a program samples: a scalar, vector or matrix, and its map from unconstrained numbers."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from numpyro.distributions.transforms import ExpTransform

from .observations import Observations
from .prior import Belief

type Values = dict[str, Array]


@runtime_checkable
class Program(Protocol):
    """What a sampler takes: a NumPyro program and what it samples."""

    @property
    def sites(self) -> "Sites":
        """Everything that is sampled."""
        ...

    @property
    def data(self) -> Observations:
        """The readings."""
        ...

    @property
    def noise(self) -> Any:
        """How readings scatter around their predictions."""
        ...

    @property
    def scatter(self) -> Any:
        """What narrows the noise of each reading."""
        ...

    def padded(self) -> "Program":
        """The same posterior for what is compiled: of a shape that data sets of similar size share."""
        ...

    def predict(self, values: Values) -> tuple[Float[Array, " obs"], Bool[Array, "*subject"]]:
        """The log-prediction of every reading, differentiable in reverse mode, and what could be solved."""
        ...

    def latent(self) -> Values:
        """The NumPyro program of the priors alone."""
        ...

    def program(self, slopes: bool = True) -> None:
        """The NumPyro program; without `slopes` it cannot be differentiated, and is faster."""
        ...

    def draw(self, key: PRNGKeyArray, num: int) -> Values:
        """`num` draws of everything from its prior."""
        ...


class Site(eqx.Module):
    """A sampled quantity: `transform` maps an unconstrained array of `shape` to its value.

    `centre` and `spread` say where its prior lies before the transform, and how wide: the scale of a first step. `prior` is
    that of every entry, where there is one for all; without it the prior is normal there.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    transform: Any = eqx.field(static=True)
    centre: float | tuple[float, ...] = eqx.field(default=0.0, static=True)
    spread: float | tuple[float, ...] = eqx.field(default=1.0, static=True)
    by_subject: bool = eqx.field(default=False, static=True)
    prior: Belief | None = eqx.field(default=None, static=True)

    @property
    def size(self) -> int:
        """The number of entries before the transform."""
        return int(np.prod(self.shape))


def positive(prior: Belief, shape: tuple[int, ...] = ()) -> Site:
    """The site of a positive quantity: its logarithm is unconstrained."""
    return Site(shape, ExpTransform(), float(np.log(prior.median)), prior.log_sd, prior=prior)


class Sites(eqx.Module):
    """The sites of a program, side by side in one unconstrained vector, the position.

    The last axis of those that are `by_subject` runs over `num_subjects`.
    """

    parts: Mapping[str, Site] = eqx.field(static=True)
    num_subjects: int = eqx.field(default=0, static=True)

    @property
    def size(self) -> int:
        """The length of a position."""
        return sum(site.size for site in self.parts.values())

    @property
    def blocks(self) -> list[Int[np.ndarray, " entry"]]:
        """The entries of a position that belong together: those shared by all subjects, and those of each subject."""
        owner = [
            np.broadcast_to(np.arange(1, self.num_subjects + 1), site.shape).ravel()
            if site.by_subject
            else np.zeros(site.size, int)
            for site in self.parts.values()
        ]
        every = np.concatenate(owner)
        return [np.flatnonzero(every == i) for i in range(self.num_subjects + 1)]

    @property
    def shared(self) -> Int[np.ndarray, " entry"]:
        """The entries of a position that all subjects share."""
        return self.blocks[0]

    @property
    def common(self) -> "Sites":
        """The sites that all subjects share, side by side: their position is that part of a position."""
        return Sites({name: site for name, site in self.parts.items() if not site.by_subject})

    @property
    def centre(self) -> Float[np.ndarray, " parameter"]:
        """The position in the middle of the prior."""
        return np.concatenate([np.full(site.size, site.centre) for site in self.parts.values()])

    @property
    def spread(self) -> Float[np.ndarray, " parameter"]:
        """The width of the prior along every entry of a position."""
        return np.concatenate([np.full(site.size, site.spread) for site in self.parts.values()])

    def drawn(self, z: Float[Any, "*batch parameter"]) -> Float[Any, "*batch parameter"]:
        """The position of a draw from the prior, where `z` is one of independent standard normal numbers."""
        xp = jnp if isinstance(z, Tracer) else np
        parts = [
            site.centre + site.spread * part if site.prior is None else site.prior.log_quantile(part)
            for _, site, part in self._flat(z)
        ]
        return xp.concatenate(parts, axis=-1)

    def log_prior(self, position: Float[np.ndarray, "*batch parameter"]) -> Float[np.ndarray, "*batch"]:
        """The log-density of the prior at a position, where every site has a prior of its own."""
        return np.sum([site.prior.log_density(x).sum(axis=-1) for _, site, x in self._flat(position) if site.prior], axis=0)

    def values(self, position: Float[Any, "*batch parameter"]) -> Values:
        """The sampled quantities at a position."""
        if self._positive and isinstance(position, Tracer):  # one operation for all: many are traced and compiled longer
            return {name: part for name, _, part in self._split(jnp.exp(position))}
        return {name: site.transform(part) for name, site, part in self._split(position)}

    def positions(self, values: Mapping[str, Any]) -> Float[Array, "*batch parameter"]:
        """The position of these values."""
        parts = []
        for name, site in self.parts.items():
            part = jnp.asarray(site.transform._inverse(jnp.asarray(values[name])))
            parts.append(part.reshape(*part.shape[: part.ndim - len(site.shape)], -1))
        return jnp.concatenate(parts, axis=-1)

    def log_volume(self, position: Float[Array, " parameter"]) -> Float[Array, ""]:
        """The logarithm of the volume that the map to the values stretches a position by."""
        if self._positive:
            return jnp.sum(position)
        total = jnp.zeros(())
        for _, site, part in self._split(position):
            total += jnp.sum(site.transform.log_abs_det_jacobian(part, site.transform(part)))
        return total

    @property
    def _positive(self) -> bool:
        """Whether the position is the logarithm of everything."""
        return all(isinstance(site.transform, ExpTransform) for site in self.parts.values())

    def _split(self, position: Any):
        for name, site, part in self._flat(position):
            yield name, site, part.reshape(*part.shape[:-1], *site.shape)

    def _flat(self, position: Any):
        begin = 0
        for name, site in self.parts.items():
            yield name, site, position[..., begin : begin + site.size]
            begin += site.size
