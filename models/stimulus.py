"""Stimuli: the drive $U(t)$ that a trigger puts on the activated cells of the minimal model."""

import abc
from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import gammainc, gammaln
from jaxtyping import Array, Float

from .dose import Doses
from .quantity import quantity

type Scalar = Float[Array, ""]
type PerDose = Float[Array, " dose"]


class Stimulus(eqx.Module):
    """The drive $U(t)$ on the activated cells; `inputs` names the dose targets it takes, with their units."""

    inputs: ClassVar[Mapping[str, str]]

    @abc.abstractmethod
    def __call__(self, t: Scalar, doses: Doses) -> Scalar:
        """$U(t)$ [pg/mL/h²]."""


class Transit(Stimulus):
    r"""Endotoxin that acts after a chain of transit stages.

    A bolus of the reference dose 2 ng/kg at $t=0$ gives $U = u_0\, s^n e^{n(1-s)}$ with $s = t/t_u$: it
    peaks at $u_0$ at time $t_u$, the more sharply the more stages $n = n_u$; $n$ need not be a whole number.
    The response is linear in the dose, and an infusion is the exact convolution of this kernel with its rate,
    $\int_0^t U = u_0 t_u e^n n^{-n-1}\,\Gamma(n+1)\,P(n+1, n s)$. The form is the transit compartment model of
    Savic et al., J Pharmacokinet Pharmacodyn 2007;34:711.
    """

    inputs: ClassVar[Mapping[str, str]] = {"lps": "ng/kg"}
    reference_dose: ClassVar[float] = 2.0

    # fmt: off
    u0:  Scalar = quantity(8700.0, r"u_0", "pg/mL/h²", "peak drive on the activated cells after LPS 2 ng/kg",
                           source="design fit to Janum 2016 IL-6 means")
    t_u: Scalar = quantity(1.99, r"t_u", "h", "time from an LPS bolus to its peak drive",
                           source="design fit to Janum 2016 IL-6 means")
    n_u: Scalar = quantity(8.0, r"n_u", "1", "number of transit stages between an LPS bolus and its drive",
                           source="fixed in the design fit")
    # fmt: on

    def __call__(self, t: Scalar, doses: Doses) -> Scalar:
        n, lps = self.n_u, doses.to("lps")
        boluses, infusions = lps.only([not x for x in lps.infused]), lps.only(lps.infused)

        def kernel(age: PerDose) -> PerDose:
            s = jnp.where(age > 0, age / self.t_u, 1.0)
            return jnp.where(age > 0, jnp.exp(n * (jnp.log(s) + 1 - s)), 0.0)

        def integral(age: PerDose) -> PerDose:
            s = jnp.where(age > 0, age / self.t_u, 0.0)
            return self.t_u * jnp.exp(n + gammaln(n + 1) - (n + 1) * jnp.log(n)) * gammainc(n + 1, n * s)

        response = jnp.sum(boluses.amount * kernel(t - boluses.time))
        if len(infusions):
            start, length = infusions.time, infusions.duration
            spread = (integral(t - start) - integral(t - start - length)) / length
            response += jnp.sum(infusions.amount * spread)
        return self.u0 * response / self.reference_dose


class Expansion(Stimulus):
    r"""T cells that expand, peak and contract after an infusion at $t=0$.

    $U = u_0\,(r_u + k_u) / (k_u e^{-r_u(t-t_u)} + r_u e^{k_u(t-t_u)})$: growth at rate $r_u$, decay at
    rate $k_u$, peak $u_0$ at $t_u$.
    """

    inputs: ClassVar[Mapping[str, str]] = {}

    # fmt: off
    u0:  Scalar = quantity(3.0, r"u_0", "pg/mL/h²", "peak drive on the activated cells", source="assumed")
    t_u: Scalar = quantity(223.0, r"t_u", "h", "time from infusion to peak drive",
                           source="Stein 2019 (day 9.3; transcribed)")
    r_u: Scalar = quantity(0.037, r"r_u", "1/h", "expansion rate of the T cells",
                           source="Stein 2019 (doubling in 0.78 d; transcribed)")
    k_u: Scalar = quantity(0.0067, r"k_u", "1/h", "contraction rate of the T cells",
                           source="Stein 2019 (alpha 0.16 /d; transcribed)")
    # fmt: on

    def __call__(self, t: Scalar, doses: Doses) -> Scalar:
        age = t - self.t_u
        falling, rising = self.k_u * jnp.exp(-self.r_u * age), self.r_u * jnp.exp(self.k_u * age)
        return self.u0 * (self.r_u + self.k_u) / (falling + rising)
