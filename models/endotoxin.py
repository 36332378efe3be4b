"""The published endotoxin model: LPS, resting and activated monocytes, and the cytokines they make."""

from collections.abc import Mapping
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from .dose import Doses
from .model import Model, State
from .quantity import quantity

type Scalar = Float[Array, ""]

_CODE = "Windoloski et al. arXiv:2308.01495 (starting value of the author code)"
_JANUM = "Janum 2016, at 0 h"


class Endotoxin(Model):
    r"""Monocytes at rest that LPS activates, under IL-10, with TNF, IL-6 and IL-10.

    With $U(x, k, h) = x^h/(k^h + x^h)$ and $D = 1 - U$,

    $$\dot E = -k_E E, \qquad \dot M_R = k_{MR} M_R (1 - M_R/M_{max}) - A, \qquad \dot M_A = A - k_{MA} M_A,$$

    $$A = U(E, x_{ME}, h_{ME})\,(k_M + k_{MTNF}\, U(TNF, x_{MTNF}, h_{MTNF}))\, D(IL10, x_{M10}, h_{M10})\, M_R,$$

    and each cytokine is made by $M_A$ and removed towards its baseline (Windoloski, Janum, Berg and Olufsen,
    arXiv:2308.01495; equations without IL-8, on which nothing else depends). There is no feedback from IL-6 to the cells:
    the model cannot storm.
    """

    states: ClassVar[tuple[State, ...]] = (
        State("lps", "E", "ng/kg", 1.0, "endotoxin in blood"),
        State("resting", "M_R", "1", 1e4, "monocytes at rest"),
        State("activated", "M_A", "1", 100.0, "activated monocytes"),
        State("tnf", r"\mathrm{TNF}", "pg/mL", 100.0, "tumour necrosis factor in plasma"),
        State("il6", r"\mathrm{IL6}", "pg/mL", 100.0, "interleukin-6 in plasma"),
        State("il10", r"\mathrm{IL10}", "pg/mL", 10.0, "interleukin-10 in plasma"),
    )
    analytes: ClassVar[Mapping[str, str]] = {"il6": "pg/mL", "tnf": "pg/mL", "il10": "pg/mL"}

    # fmt: off
    k_e:        Scalar = quantity(1.01,          r"k_E", "1/h", "removal of endotoxin", source=_CODE)
    k_mr:       Scalar = quantity(0.006,         r"k_{MR}", "1/h", "recovery of monocytes at rest", source=_CODE)
    k_ma:       Scalar = quantity(2.51,          r"k_{MA}", "1/h", "loss of activated monocytes", source=_CODE)
    k_m:        Scalar = quantity(0.0414,        r"k_M", "1/h", "activation by endotoxin", source=_CODE)
    k_m_tnf:    Scalar = quantity(8.6497,        r"k_{MTNF}", "1/h", "activation by endotoxin with TNF", source=_CODE)
    x_m_e:      Scalar = quantity(3.3,           r"x_{ME}", "ng/kg", "half-saturation of endotoxin", source=_CODE)
    x_m_il10:   Scalar = quantity(4.35 / 1.12,   r"x_{M10}", "pg/mL", "half-saturation of IL-10 on activation", source=_CODE)
    x_m_tnf:    Scalar = quantity(100 / 0.71,    r"x_{MTNF}", "pg/mL", "half-saturation of TNF on activation", source=_CODE)
    h_m_il10:   Scalar = quantity(0.3,           r"h_{M10}", "1", "Hill exponent of IL-10 on activation", source=_CODE)
    h_m_tnf:    Scalar = quantity(3.16,          r"h_{MTNF}", "1", "Hill exponent of TNF on activation", source=_CODE)
    x_m_max:    Scalar = quantity(30000.0,       r"M_{max}", "1", "most monocytes at rest", source=_CODE)
    w_mr:       Scalar = quantity(28200.0,       r"M_R(0)", "1", "monocytes at rest before endotoxin", source=_CODE)
    k_tnf:      Scalar = quantity(1.0,           r"k_{TNF}", "1/h", "removal of TNF", source=_CODE)
    p_tnf:      Scalar = quantity(0.6 / 0.71,    r"k_{TNFM}", "pg/mL/h", "TNF made per activated monocyte", source=_CODE)
    x_tnf_il10: Scalar = quantity(17.4 / 1.12,   r"x_{TNF10}", "pg/mL", "half-saturation of IL-10 on TNF", source=_CODE)
    x_tnf_il6:  Scalar = quantity(560.0,         r"x_{TNF6}", "pg/mL", "half-saturation of IL-6 on TNF", source=_CODE)
    w_tnf:      Scalar = quantity(1.12,          r"w_{TNF}", "pg/mL", "baseline TNF", source=_JANUM)
    k_il6:      Scalar = quantity(0.66,          r"k_6", "1/h", "removal of IL-6", source=_CODE)
    p_il6:      Scalar = quantity(0.81,          r"k_{6M}", "pg/mL/h", "IL-6 made per activated monocyte", source=_CODE)
    p_il6_tnf:  Scalar = quantity(0.81,          r"k_{6TNF}", "pg/mL/h", "the same, with TNF", source=_CODE)
    x_il6_il10: Scalar = quantity(34.8 / 1.12,   r"x_{610}", "pg/mL", "half-saturation of IL-10 on IL-6", source=_CODE)
    x_il6_il6:  Scalar = quantity(560.0,         r"x_{66}", "pg/mL", "half-saturation of IL-6 on IL-6", source=_CODE)
    x_il6_tnf:  Scalar = quantity(185 / 0.71,    r"x_{6TNF}", "pg/mL", "half-saturation of TNF on IL-6", source=_CODE)
    w_il6:      Scalar = quantity(1.05,          r"w_6", "pg/mL", "baseline IL-6", source=_JANUM)
    k_il10:     Scalar = quantity(0.8,           r"k_{10}", "1/h", "removal of IL-10", source=_CODE)
    p_il10:     Scalar = quantity(0.0191 / 1.12, r"k_{10M}", "pg/mL/h", "IL-10 made per activated monocyte", source=_CODE)
    p_il10_il6: Scalar = quantity(0.0191 / 1.12, r"k_{106}", "pg/mL/h", "the same, with IL-6", source=_CODE)
    x_il10_il6: Scalar = quantity(560.0,         r"x_{106}", "pg/mL", "half-saturation of IL-6 on IL-10", source=_CODE)
    h_il10_il6: Scalar = quantity(3.68,          r"h_{106}", "1", "Hill exponent of IL-6 on IL-10", source=_CODE)
    w_il10:     Scalar = quantity(0.23,          r"w_{10}", "pg/mL", "baseline IL-10", source=_JANUM)
    # fmt: on

    @property
    def inputs(self) -> Mapping[str, str]:
        """None: endotoxin enters its state."""
        return {}

    def rest(self) -> Float[Array, " state"]:
        """The baselines, and monocytes at rest as the authors start them: in balance only where `w_mr` is `x_m_max`."""
        return jnp.stack([jnp.zeros(()), self.w_mr, jnp.zeros(()), self.w_tnf, self.w_il6, self.w_il10])

    def vector_field(self, t: Scalar, y: Float[Array, " state"], doses: Doses) -> Float[Array, " state"]:
        E, MR, MA, TNF, IL6, IL10 = y
        # fmt: off
        priming = self.k_m + self.k_m_tnf * U(TNF, self.x_m_tnf, self.h_m_tnf)
        A = U(E, self.x_m_e, 1.0) * priming * D(IL10, self.x_m_il10, self.h_m_il10) * MR

        dE    = -self.k_e * E
        dMR   = self.k_mr * MR * (1 - MR / self.x_m_max) - A
        dMA   = A - self.k_ma * MA
        pTNF  = self.p_tnf * D(IL6, self.x_tnf_il6, 2.0) * D(IL10, self.x_tnf_il10, 3.0)
        pIL6  = self.p_il6 + self.p_il6_tnf * U(TNF, self.x_il6_tnf, 2.0)
        pIL6  = pIL6 * D(IL6, self.x_il6_il6, 1.0) * D(IL10, self.x_il6_il10, 4.0)
        pIL10 = self.p_il10 + self.p_il10_il6 * U(IL6, self.x_il10_il6, self.h_il10_il6)

        dTNF  = pTNF  * MA - self.k_tnf  * (TNF  - self.w_tnf)
        dIL6  = pIL6  * MA - self.k_il6  * (IL6  - self.w_il6)
        dIL10 = pIL10 * MA - self.k_il10 * (IL10 - self.w_il10)
        # fmt: on
        return jnp.stack([dE, dMR, dMA, dTNF, dIL6, dIL10])

    def observe(self, y: Float[Array, " state"]) -> dict[str, Scalar]:
        return {"tnf": y[3], "il6": y[4], "il10": y[5]}


def U(x: Scalar, k: Scalar, h: Scalar | float) -> Scalar:
    """$x^h / (k^h + x^h)$; nothing where an error of the solver makes $x$ negative."""
    ratio = (jnp.maximum(x, 0.0) / k) ** h
    return ratio / (1 + ratio)


def D(x: Scalar, k: Scalar, h: Scalar | float) -> Scalar:
    """$1 - U$."""
    return 1 - U(x, k, h)
