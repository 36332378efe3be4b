"""The storm network: one host, many triggers, every treatment."""

from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from .dose import Doses
from .drugs import targets
from .effects import Effects, effects
from .hill import H1, H2, H3, sigmoid
from .host import Host
from .model import Model, State
from .quantity import derived
from .stability import critical_gain

type Scalar = Float[Array, ""]

STEROID_TRANSIT = 3.0  # h, the delay of transcription (assumed)
BLUR = 3.0  # h, around an unrecorded hour: twice the scale of Student's t distribution of 4 degrees of freedom (assumed)


class Network(Host, Model):
    r"""Pathogen, antigen, T cells, antibodies, activated myeloid cells, cytokines, suppression, damage, acute phase.

    Myeloid activation $M$ has two brakes, IL-10 and slow suppression $S$, and one gated positive loop
    $g\,\Phi(\text{IL-6}, \text{IL-1}, \text{TNF}, \text{IFN-}\gamma)$ with the feedback gain $g$ (`k_fb`). A trigger is
    a set of initial values and parameters. Every term is rational or logistic, smooth at zero and slightly below.
    """

    # fmt: off
    states: ClassVar[tuple[State, ...]] = (
        State("pathogen",               "P",    "relative", 1.0,    "replicating pathogen"),
        State("lps",                    "E",    "ng/kg",    1.0,    "endotoxin-like signal in blood"),
        State("antigen",                "G",    "relative", 1.0,    "antigen that does not replicate"),
        State("t_cells",                "T",    "cells/uL", 100.0,  "activated T cells"),
        State("primed",                 "A_1",  "1",        1.0,    "primed antibody arm"),
        State("antibody",               "A_2",  "1",        1.0,    "mature antibody arm"),
        State("activated",              "M",    "1",        0.1,    "activated fraction of the myeloid pool"),
        State("tnf",                    "TNF",  "pg/mL",    100.0,  "TNF-alpha"),
        State("il1",                    "IL1",  "pg/mL eq.", 10.0,  "tissue IL-1 activity"),
        State("il6_transit",            "X_6",  "1",        0.1,    "IL-6 transcription and secretion"),
        State("il6",                    "IL6",  "pg/mL",    100.0,  "total IL-6"),
        State("ifn_gamma",              "IFN",  "pg/mL",    100.0,  "IFN-gamma"),
        State("il10",                   "IL10", "pg/mL",    10.0,   "IL-10"),
        State("suppression",            "S",    "1",        1.0,    "tolerance and exhaustion"),
        State("damage",                 "D",    "1",        0.1,    "tissue damage"),
        State("acute_phase",            "AP",   "1",        1.0,    "hepatic acute-phase transit"),
        State("crp",                    "CRP",  "mg/L",     10.0,   "C-reactive protein"),
        State("ferritin",               "FER",  "ng/mL",    1000.0, "ferritin"),
        State("temperature",            "TEMP", "degC",     1.0,    "core temperature"),
        State("steroid",                "c",    "1",        1.0,    "steroid effect after its transit"),
        State("tocilizumab",            "A_t",  "mg",       100.0,  "tocilizumab in plasma"),
        State("sarilumab_sc",           "A_d",  "mg",       100.0,  "sarilumab under the skin"),
        State("sarilumab",              "A_s",  "mg",       100.0,  "sarilumab in plasma"),
        State("sarilumab_peripheral",   "A_p",  "mg",       100.0,  "sarilumab in tissue"),
    )
    # fmt: on
    analytes: ClassVar[Mapping[str, str]] = {
        "il6": "pg/mL",
        "tnf": "pg/mL",
        "ifn_gamma": "pg/mL",
        "il10": "pg/mL",
        "crp": "mg/L",
        "ferritin": "ng/mL",
        "cart": "cells/uL",
    }

    def __check_init__(self) -> None:
        for name in ("k_fb", "weight"):
            value = getattr(self, name)
            # Inside `jit` a parameter has no value yet, and tree operations put placeholders in its place.
            if eqx.is_array(value) and not isinstance(value, Tracer) and value.size == 1 and not float(value) > 0:
                raise ValueError(f"`{name}` is {float(value):g}; give a positive number")

    @property
    def inputs(self) -> Mapping[str, str]:
        """The linear drugs and supportive care."""
        return targets()

    def rest(self) -> Float[Array, " state"]:
        """The start of the design: infused T cells, baseline cytokines, acute phase and temperature in balance with them."""
        IL6, TNF = self.s_il6 / (self.k_il6_np + self.k_il6_rm), self.w_tnf
        AP = IL6 / (IL6 + self.x_ap_il6)
        y = dict.fromkeys((state.name for state in self.states), jnp.zeros(()))
        y |= {"t_cells": self.w_t, "tnf": TNF, "il6": IL6, "ifn_gamma": self.s_ifn / self.k_ifn, "il10": self.w_il10}
        y |= {"acute_phase": AP, "crp": self.w_crp + self.p_crp * AP, "ferritin": self.w_fer + self.p_fer_ap * AP}
        fx = 0.7 * H1(IL6, self.x_temp_il6) + 0.3 * H1(TNF, self.x_temp_tnf)
        y["temperature"] = self.w_temp + self.p_temp * (1 - jnp.exp(-fx))
        return jnp.stack([y[state.name] for state in self.states])

    def antibodies(self, y: Float[Array, " state"]) -> dict[str, Scalar]:
        """Concentrations of the anti-receptor antibodies [mg/L]."""
        size = self.weight / 70
        return {"tocilizumab": y[20] / (V_TCZ * size), "sarilumab": y[22] / (V1_SAR * size)}

    def vector_field(self, t: Scalar, y: Float[Array, " state"], doses: Doses) -> Float[Array, " state"]:
        P, E, G, T, A1, A2, M, TNF, IL1, X6, IL6, IFN, IL10, S, D, AP, CRP, FER, TEMP, c, *_ = y
        e = effects(t, doses, self.antibodies(y), self.weight)
        h = self
        # fmt: off
        rho, nu, alpha, j = e.receptor, e.ligand, e.il1, e.jak

        # Signals
        r    = (1 - rho) * (1 - j)
        F6   = (1 - nu) * IL6
        s6   = r * H2(F6, h.x_fb_il6)
        s1   = H2((1 - alpha) * IL1, h.x_fb_il1)
        sF   = H2(TNF, h.x_fb_tnf)
        sG   = (1 - j) * H2((1 - e.ifn) * IFN, h.x_fb_ifn)
        sGm  = (1 - j) * H2((1 - e.ifn) * IFN, h.x_m_ifn)
        Phi  = h.w_fb_il6 * s6 + h.w_fb_il1 * s1 + h.w_fb_tnf * sF + h.w_fb_ifn * sG
        L10  = IL10 * (1 - h.e_jak_il10 * j)
        bS   = 1 / (1 + S / h.x_s)
        B    = bS * (h.w_m_fl + (1 - h.w_m_fl) / (1 + L10 / h.x_m_il10))
        ant  = (h.w_ag_p * P + G) / (h.x_ag + h.w_ag_p * P + G)
        gm   = 1 - h.e_gr_m * c
        gc   = 1 - h.e_gr_cyt * c
        syn  = 1 + h.w_syn * (1 - h.w_perf)
        TG   = T * ant
        tox  = 0.30 * sF + 0.25 * s1 + 0.25 * s6 + 0.20 * sG
        MAP  = h.arterial_pressure(y, e)

        # Triggers and adaptive immunity
        dP   = P * (h.k_p_grow * (1 - e.antiviral) * (1 - P / h.x_p_cap) * P / (P + h.x_p_ext)
                    - h.k_p_loc / (1 + P / h.x_p_loc)
                    - (h.k_p_m * M * bS + h.k_p_t * h.w_perf * T) / (1 + P / h.x_p_kill)
                    - h.k_p_ab * h.w_perf * A2**2 - e.antibiotic)
        dE   = h.k_e * (h.s_e_p * P - E)
        dG   = -h.k_g * G - h.k_g_t * h.w_perf * T * G
        dT   = (h.s_t_sup * G + h.s_t_ag * ant
                + h.k_t_exp * ant * T * (1 - T / h.x_t_cap) * (1 - h.e_gr_t * c) * (1 - h.e_jak_t * j)
                - (h.k_t + h.k_t_con * h.w_perf * (1 - ant) + h.k_gr_t * c) * T)
        dA1  = h.k_a1 * P / (P + h.x_a1) * (1 - A1) - h.k_a1_dec * A1
        dA2  = h.k_a2 * (A1 - A2)

        # Myeloid activation and cytokines
        dM   = (h.k_m_e * H1(E, h.x_m_e) * (1 + h.w_m_tnf * H3(TNF, h.x_m_tnf))
                + h.k_m_ifn * sGm + h.k_m_dam * D + h.k_fb * Phi) * gm * B * (1 - M) - h.k_m * M
        dTNF = (h.p_tnf * M * (h.w_tnf_0 + (1 - h.w_tnf_0) * E / (E + h.x_tnf_e)) * bS / (1 + L10 / h.x_tnf_il10)
                + h.p_tnf_t * TG) * gc - h.k_tnf * (TNF - h.w_tnf)
        dIL1 = h.p_il1 * M * gc / (1 + L10 / h.x_il1_il10) - h.k_il1 * IL1
        q    = (h.w_il6_0 + h.w_il6_tnf * H2(TNF, h.x_il6_tnf) + h.w_il6_il1 * H3((1 - alpha) * IL1, h.x_il6_il1)
                + h.w_il6_ifn * sGm + h.w_il6_t * TG / (h.x_il6_t + TG))
        dX6  = h.k_x6 * (M * q * gc / (1 + L10 / h.x_il6_il10) - X6)
        dIL6 = (h.s_il6 + h.p_il6 * X6
                - (h.k_il6_np + h.k_il6_rm * (1 - rho) / (1 + F6 / h.x_il6_rm)) * F6 - h.k_il6_igg * nu * IL6)
        dIFN = (h.s_ifn + h.p_ifn * syn * TG * (1 + h.w_ifn_il1 * s1) * gc / (1 + L10 / h.x_ifn_il10)
                - h.k_ifn * IFN)
        dIL10 = (h.p_il10 * M * (h.w_il10_0 + (1 - h.w_il10_phi + h.w_il10_phi * r) * H2(F6, h.x_il10_il6))
                 + h.p_il10_t * syn * TG**2 / (h.x_il10_t + TG) - h.k_il10 * (IL10 - h.w_il10))

        # Slow consequences and read-outs
        dS   = h.p_s * M - h.k_s * S
        dD   = ((1 - D) * (h.p_d_cyt * tox**2 + h.p_d_path * P / (P + h.x_d_path)
                           + h.p_d_shock * sigmoid((62 - MAP) / 4)
                           + h.p_d_hyp * (1 - h.e_oxygen * e.oxygen) * sigmoid((D - h.x_d_hyp) / 0.06))
                - h.k_d_rep * D * (1 - tox))
        dAP  = h.k_ap * (r * F6 / (F6 + h.x_ap_il6) - AP)
        dCRP = h.k_crp * (h.w_crp + h.p_crp * AP - CRP)
        dFER = h.k_fer * (h.w_fer + h.p_fer_ap * AP
                          + h.p_fer_mac * (h.w_fer_m + M) * H2((1 - e.ifn) * IFN, h.x_fer_ifn) - FER)
        fx   = (0.7 * H1((1 - alpha) * IL1, h.x_temp_il1) + 0.7 * r * H1(F6, h.x_temp_il6)
                + 0.3 * H1(TNF, h.x_temp_tnf))
        dTEMP = h.k_temp * (h.w_temp + h.p_temp * (1 - h.e_gr_temp * c) * (1 - jnp.exp(-fx)) - TEMP)
        dc   = jnp.log(2.0) / STEROID_TRANSIT * (e.steroid - c)
        # fmt: on
        return jnp.stack(
            [dP, dE, dG, dT, dA1, dA2, dM, dTNF, dIL1, dX6, dIL6, dIFN, dIL10]
            + [dS, dD, dAP, dCRP, dFER, dTEMP, dc]
            + self._antibodies(t, y)
        )

    def _antibodies(self, t: Scalar, y: Float[Array, " state"]) -> list[Scalar]:
        """Michaelis-Menten antibodies: tocilizumab (Moes 2022, transcribed), sarilumab (Xu 2019, transcribed, F applied).

        Tocilizumab of an unrecorded hour enters around `t_tcz` by a smooth rate, so that the hour can be sampled.
        """
        tcz, depot, sar, tissue = y[20:]
        size = self.weight / 70
        flow = size**0.75
        C = tcz / (V_TCZ * size)
        u = 1 + ((t - self.t_tcz) / BLUR) ** 2
        given = self.a_tcz * self.weight * 3 / (4 * BLUR * u**2 * jnp.sqrt(u))
        dtcz = given - flow * (CL_TCZ * C + VMAX_TCZ * C / (KM_TCZ + C))
        C, Cp = sar / (V1_SAR * size), tissue / (V2_SAR * size)
        ddepot = -KA_SAR * depot
        dsar = KA_SAR * depot - flow * (CL_SAR * C + VMAX_SAR * C / (KM_SAR + C) + Q_SAR * (C - Cp))
        return [dtcz, ddepot, dsar, flow * Q_SAR * (C - Cp)]

    def signals(self, y: Float[Array, " state"], e: Effects) -> tuple[Scalar, Scalar, Scalar]:
        """The signals of IL-6, IL-1 and TNF that loosen the vessels, each between 0 and 1."""
        F6 = (1 - e.ligand) * y[10]
        s6 = (1 - e.receptor) * (1 - e.jak) * H2(F6, self.x_fb_il6)
        return s6, H2((1 - e.il1) * y[8], self.x_fb_il1), H2(y[7], self.x_fb_tnf)

    def unsupported_pressure(self, y: Float[Array, " state"], e: Effects) -> Scalar:
        """Mean arterial pressure without supportive care [mmHg]."""
        s6, s1, sF = self.signals(y, e)
        return self.w_map * (1 - self.w_map_cyt * (0.4 * sF + 0.35 * s1 + 0.25 * s6) - self.w_map_dam * y[14])

    def arterial_pressure(self, y: Float[Array, " state"], e: Effects) -> Scalar:
        """Mean arterial pressure under fluids and vasopressors [mmHg]."""
        MAP0 = self.unsupported_pressure(y, e)
        fluid = self.e_fluid * e.fluid * sigmoid((75 - MAP0) / 5)
        return MAP0 + fluid + self.e_pressor * e.pressor * sigmoid((70 - MAP0) / 5)

    def observe(self, y: Float[Array, " state"]) -> dict[str, Scalar]:
        names = [state.name for state in self.states]
        own = {"cart": "t_cells"}  # what a blood count of CAR-T cells reads
        return {name: y[names.index(own.get(name, name))] for name in self.analytes}

    @derived("g_c", "1/h", "critical gain: the fold at which a storm state appears")
    def critical_gain(self) -> Scalar:
        """The gain at the fold of the fast subsystem without suppression, damage or drugs."""
        return critical_gain(self)

    @derived("g/g_c", "1", "margin: gain over critical gain; a storm state exists above 1")
    def margin(self) -> Scalar:
        """Gain over critical gain."""
        return self.k_fb / self.critical_gain

    @derived(r"t_{1/2}", "h", "half-life of IL-6 in plasma, at low concentration and without drugs")
    def half_life(self) -> Scalar:
        """$\\ln 2 / (k_{np} + k_{rm})$."""
        return jnp.log(2.0) / (self.k_il6_np + self.k_il6_rm)


# fmt: off
# Tocilizumab, per hour and for 70 kg.
CL_TCZ, V_TCZ, VMAX_TCZ, KM_TCZ = 0.725 / 24, 4.34, 4.19 / 24, 0.22
# Sarilumab, all from subcutaneous doses: the central volume, below that of plasma, makes peaks after an infusion too high.
KA_SAR, CL_SAR, V1_SAR, Q_SAR, V2_SAR, VMAX_SAR, KM_SAR = 0.136 / 24, 0.208 / 24, 1.66, 0.125 / 24, 4.18, 6.45 / 24, 0.939
# fmt: on
