"""How the assays of other studies read: on a scale of their own, above a background of their own."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
from jaxtyping import Array, Float

from .prior import Belief
from .site import Site, Values, positive

MEANINGS = {
    "assay": ("c", "1", "factor between what an assay of a study reads and the first's"),
    "background": ("b", "unit of the analyte", "what an assay of a study reads of nothing"),
}


class Assays(eqx.Module):
    r"""What is read, $c f + b$, of a prediction $f$, by analyte, in every study but the first, or `reference`.

    `priors` are those of the factor (`assay`) and of the `background`; where one is missing it is 1, or 0. `scales` are
    the pairs of study and analyte, and `scaled` says which of them a reading belongs to.
    """

    priors: dict[str, Belief]
    scales: tuple[tuple[str, str], ...] = eqx.field(static=True)
    scaled: Float[Array | np.ndarray, "obs scale"]

    def __init__(
        self,
        factor: Belief | None,
        background: Belief | None,
        studies: Sequence[str],
        analytes: Sequence[str],
        reference: str | None = None,
    ):
        first = studies[0] if reference is None else reference
        given = {"assay": factor, "background": background}
        pairs = list(zip(studies, analytes, strict=True))
        others = tuple(pair for pair in dict.fromkeys(pairs) if pair[0] != first)
        self.priors = {name: prior for name, prior in given.items() if prior is not None and others}
        self.scales = others if self.priors else ()
        self.scaled = self.along(pairs)

    def along(self, pairs: Sequence[tuple[str, str]]) -> Float[np.ndarray, "reading scale"]:
        """Which scale belongs to each pair of study and analyte: all zero where it is the first study's."""
        return np.array([[pair == scale for scale in self.scales] for pair in pairs], float).reshape(len(pairs), -1)

    @property
    def sites(self) -> dict[str, Site]:
        """What is sampled."""
        return {name: positive(prior, (len(self.scales),)) for name, prior in self.priors.items()}

    def program(self) -> Values:
        """The NumPyro program of factors and backgrounds."""
        size = [len(self.scales)]
        return {
            name: jnp.asarray(numpyro.sample(name, prior.distribution.expand(size).to_event(1)))
            for name, prior in self.priors.items()
        }

    def read(
        self, log_f: Float[Array, " reading"], values: Values, scaled: Float[Any, "reading scale"] | None = None
    ) -> Float[Array, " reading"]:
        """The logarithm of what the assays read of these log-predictions: those of the readings, or of pairs `along`."""
        scaled = jnp.asarray(self.scaled if scaled is None else scaled)
        if "assay" in self.priors:
            log_f = log_f + scaled @ jnp.log(values["assay"])
        if "background" in self.priors:
            other = scaled.any(axis=1)
            background = jnp.where(other, scaled @ values["background"], 1.0)
            log_f = jnp.where(other, jnp.logaddexp(log_f, jnp.log(background)), log_f)
        return log_f
