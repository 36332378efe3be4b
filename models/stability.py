r"""Equilibria of the fast subsystem and the fold at which a storm state appears, without simulation.

With the slow variables frozen and no trigger, the equilibria of the network are a curve over the activation $M$: for
given $M$ TNF, IL-1, X6 and IFN-gamma are explicit functions of IL-10, IL-6 is the positive root of a quadratic, IL-10
the root of a decreasing map, and the equation of $M$ gives the gain itself,

$$g = \Big\{\frac{k_m M}{g_m B (1-M)} - k_{me} H_1(E)(1 + w H_3(TNF)) - k_{mi} s_{Gm} - k_{md} D\Big\} / \Phi .$$

Folds are its extrema; the storm state is born at the minimum, the critical gain.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .hill import H1, H2, H3
from .host import Host

type Scalar = Float[Array, ""]


def _zero() -> Any:
    return eqx.field(default=0.0, converter=jnp.asarray)


class Surroundings(eqx.Module):
    """What is frozen around the fast subsystem: suppression S, damage D, endotoxin E and constant drug effects."""

    suppression: Scalar = _zero()
    damage: Scalar = _zero()
    lps: Scalar = _zero()
    receptor: Scalar = _zero()
    ligand: Scalar = _zero()
    il1: Scalar = _zero()
    jak: Scalar = _zero()
    steroid: Scalar = _zero()
    ifn: Scalar = _zero()


class Equilibrium(eqx.Module):
    """An equilibrium of the fast subsystem: activation, the gain that holds it there, and its cytokines [pg/mL]."""

    activated: Scalar
    gain: Scalar
    tnf: Scalar
    il1: Scalar
    il6: Scalar
    il10: Scalar


def equilibrium(h: Host, activated: Scalar, around: Surroundings | None = None) -> Equilibrium:
    """The equilibrium at activation $M$."""
    a = around or Surroundings()
    M, S, D, E, c, j = activated, a.suppression, a.damage, a.lps, a.steroid, a.jak
    IFN = h.s_ifn / h.k_ifn
    # fmt: off
    r   = (1 - a.receptor) * (1 - j)
    sG  = (1 - j) * H2((1 - a.ifn) * IFN, h.x_fb_ifn)
    sGm = (1 - j) * H2((1 - a.ifn) * IFN, h.x_m_ifn)
    bS  = 1 / (1 + S / h.x_s)
    gm  = 1 - h.e_gr_m * c
    gc  = 1 - h.e_gr_cyt * c

    def cytokines(IL10: Scalar) -> tuple[Scalar, Scalar, Scalar, Scalar]:
        L10 = IL10 * (1 - h.e_jak_il10 * j)
        TNF = h.w_tnf + (h.p_tnf * M * (h.w_tnf_0 + (1 - h.w_tnf_0) * E / (E + h.x_tnf_e)) * bS
                         / (1 + L10 / h.x_tnf_il10)) * gc / h.k_tnf
        IL1 = h.p_il1 * M * gc / (1 + L10 / h.x_il1_il10) / h.k_il1
        q   = (h.w_il6_0 + h.w_il6_tnf * H2(TNF, h.x_il6_tnf) + h.w_il6_il1 * H3((1 - a.il1) * IL1, h.x_il6_il1)
               + h.w_il6_ifn * sGm)
        made = h.s_il6 + h.p_il6 * M * q * gc / (1 + L10 / h.x_il6_il10)
        linear, saturable = h.k_il6_np + h.k_il6_igg * a.ligand / (1 - a.ligand), h.k_il6_rm * (1 - a.receptor)
        b   = linear + saturable - made / h.x_il6_rm
        F6  = 2 * made / (b + jnp.sqrt(b**2 + 4 * linear / h.x_il6_rm * made))
        return TNF, IL1, F6, L10
    # fmt: on

    def excess(IL10: Scalar) -> Scalar:
        F6 = cytokines(IL10)[2]
        share = h.w_il10_0 + (1 - h.w_il10_phi + h.w_il10_phi * r) * H2(F6, h.x_il10_il6)
        return h.w_il10 + h.p_il10 * M * share / h.k_il10 - IL10

    def halve(_, bounds: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        low, high = bounds
        middle = (low + high) / 2
        rising = excess(middle) > 0
        return jnp.where(rising, middle, low), jnp.where(rising, high, middle)

    top = h.w_il10 + h.p_il10 * M * (1 + h.w_il10_0) / h.k_il10
    low, high = jax.lax.fori_loop(0, 60, halve, (0.0 * top, top))
    IL10 = (low + high) / 2
    TNF, IL1, F6, L10 = cytokines(IL10)
    # fmt: off
    B   = bS * (h.w_m_fl + (1 - h.w_m_fl) / (1 + L10 / h.x_m_il10))
    Phi = (h.w_fb_il6 * r * H2(F6, h.x_fb_il6) + h.w_fb_il1 * H2((1 - a.il1) * IL1, h.x_fb_il1)
           + h.w_fb_tnf * H2(TNF, h.x_fb_tnf) + h.w_fb_ifn * sG)
    g   = (h.k_m * M / (gm * B * (1 - M)) - h.k_m_e * H1(E, h.x_m_e) * (1 + h.w_m_tnf * H3(TNF, h.x_m_tnf))
           - h.k_m_ifn * sGm - h.k_m_dam * D) / Phi
    # fmt: on
    return Equilibrium(M, g, TNF, IL1, F6 / (1 - a.ligand), IL10)


def branch(h: Host, around: Surroundings | None = None, num: int = 400) -> Equilibrium:
    """The curve of equilibria over `num` activations from rest to beyond any storm."""
    M = jnp.exp(jnp.linspace(jnp.log(1e-6), jnp.log(0.6), num))
    return jax.vmap(lambda m: equilibrium(h, m, around))(M)


def critical_gain(h: Host, around: Surroundings | None = None) -> Scalar:
    """The gain at the fold where a storm state appears.

    The last local minimum of the gain over a fine curve, then golden sections between its neighbours. Where the curve
    has no fold there is no threshold, and the gain is that of its flattest place, where the fold would appear.
    """
    M = jnp.exp(jnp.linspace(jnp.log(1e-3), jnp.log(0.6), 200))
    gain = jax.vmap(lambda m: equilibrium(h, m, around).gain)(M)
    falls = jnp.diff(gain) < 0
    bottom = falls[:-1] & ~falls[1:]
    at = jnp.max(jnp.where(bottom, jnp.arange(1, 199), 1))
    ratio = (5**0.5 - 1) / 2

    def narrow(_, bounds: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        low, high = bounds
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        keep = equilibrium(h, left, around).gain < equilibrium(h, right, around).gain
        return jnp.where(keep, low, left), jnp.where(keep, right, high)

    low, high = jax.lax.fori_loop(0, 40, narrow, (M[at - 1], M[at + 1]))
    flattest = gain[jnp.argmin(jnp.diff(gain))]
    return jnp.where(bottom.any(), equilibrium(h, (low + high) / 2, around).gain, flattest)
