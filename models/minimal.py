"""The minimal feedback model: a stimulus, activated cells, IL-6 and a delayed negative regulator."""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .dose import Doses
from .model import Model, State
from .quantity import derived, quantity
from .stimulus import Stimulus, Transit

type Scalar = Float[Array, ""]

_FIT = "design fit to Janum 2016 IL-6 means"
_CUSP = 3 * 3**0.5  # b = 1/_CUSP = sqrt(3)/9 is the cusp: above it no gain gives two equilibria


class Minimal(Model):
    r"""IL-6 that recruits the cells which make it, under a delayed brake.

    With $z = L/x_l$,

    $$\dot M = \frac{U(t) + \gamma\, k_m k_l x_l\, z^2/(1+z^2)}{1+R} - k_m M, \qquad
      \dot L = k_l (w_l - L) + M, \qquad
      \dot R = k_r (w_r z - R).$$

    $M$ is the activity of the cells in units of the IL-6 they make. $\gamma$ is the dimensionless gain of
    the feedback loop at $R=0$; a raw gain is $\gamma k_m k_l x_l$, so the critical raw gain grows with the
    clearance $k_l$. The fold follows from `critical_gain`.
    """

    states: ClassVar[tuple[State, ...]] = (
        State("activated", "M", "pg/mL/h", 1000.0, "activated cells, as IL-6 production"),
        State("il6", "L", "pg/mL", 100.0, "interleukin-6 in plasma"),
        State("regulator", "R", "1", 1.0, "delayed negative regulator"),
    )
    analytes: ClassVar[Mapping[str, str]] = {"il6": "pg/mL"}

    # fmt: off
    gamma: Scalar = quantity(0.964, r"\gamma", "1",     "feedback gain of the IL-6 loop",       source=_FIT)
    k_l:   Scalar = quantity(1.6,   r"k_l",    "1/h",   "IL-6 clearance rate",                  source="fixed in the design")
    k_m:   Scalar = quantity(3.36,  r"k_m",    "1/h",   "deactivation rate of the cells",       source=_FIT)
    x_l:   Scalar = quantity(222.0, r"x_l",    "pg/mL", "IL-6 at half-maximal feedback",        source=_FIT)
    w_l:   Scalar = quantity(1.05,  r"w_l",    "pg/mL", "basal IL-6",                           source="Janum 2016, at 0 h")
    k_r:   Scalar = quantity(0.301, r"k_r",    "1/h",   "rate of the negative regulator",       source=_FIT)
    w_r:   Scalar = quantity(2.01,  r"w_r",    "1",     "strength of the negative regulator",   source=_FIT)
    # fmt: on
    stimulus: Stimulus = Transit()

    @property
    def inputs(self) -> Mapping[str, str]:
        """The dose targets of the stimulus, with their units."""
        return self.stimulus.inputs

    def rest(self) -> Float[Array, " state"]:
        """The healthy equilibrium: the lowest root of $z = b + \\gamma_e z^2/(1+z^2)$, $R = w_r z$.

        Monotone iteration from $z = b$; it stays finite also where a huge gain leaves no low root.
        """
        b = self.w_l / self.x_l
        # A loop, for twelve lines of it in every program would be compiled and run one by one.
        z = jax.lax.fori_loop(0, 12, lambda _, z: b + self.gamma / (1 + self.w_r * z) * z**2 / (1 + z**2), b)
        return jnp.stack([self.k_l * self.x_l * (z - b), self.x_l * z, self.w_r * z])

    def vector_field(self, t: Scalar, y: Float[Array, " state"], doses: Doses) -> Float[Array, " state"]:
        M, L, R = y
        U = self.stimulus(t, doses)
        z = L / self.x_l
        # fmt: off
        feedback = self.gamma * self.k_m * self.k_l * self.x_l * z**2 / (1 + z**2)
        dM = (U + feedback) / (1 + R)     - self.k_m * M
        dL = self.k_l * (self.w_l - L)    + M
        dR = self.k_r * (self.w_r * z - R)
        # fmt: on
        return jnp.stack([dM, dL, dR])

    def observe(self, y: Float[Array, " state"]) -> dict[str, Scalar]:
        return {"il6": y[1]}

    @derived(r"\gamma_c", "1", "critical gain: the fold at which a storm state appears")
    def critical_gain(self) -> Scalar:
        r"""The gain at the fold of $z = b + \gamma z^2/(1+z^2)$ with $b = w_l/x_l$ and $R = 0$.

        On the fold curve $\gamma = (1+z^2)^2/(2z)$ and $b = z(1-z^2)/2$; the storm state is born on the
        branch $z > 1/\sqrt3$, the largest root of $z^3 - z + 2b = 0$. As $b \to 0$, $\gamma_c \to 2$;
        beyond the cusp $b = \sqrt3/9$ its value there, $8\sqrt3/9$, is returned.
        """
        b = jnp.minimum(_CUSP * self.w_l / self.x_l, 1.0)
        z = 2 / 3**0.5 * jnp.cos(jnp.arccos(-b) / 3)
        return (1 + z**2) ** 2 / (2 * z)

    @derived(r"\gamma/\gamma_c", "1", "margin: gain over critical gain; a storm state exists above 1")
    def margin(self) -> Scalar:
        """Gain over critical gain."""
        return self.gamma / self.critical_gain

    @derived(r"t_{1/2}", "h", "half-life of IL-6 in plasma")
    def half_life(self) -> Scalar:
        """$\\ln 2 / k_l$."""
        return jnp.log(2.0) / self.k_l
