"""Drugs: how they are given, how they are distributed and cleared, and the closed form of the linear ones.

Values are for 70 kg; clearances scale with (weight/70)^0.75 and volumes with weight/70. Provenance: *transcribed* is
read in a third party's copy of the paper's table, *unverified* is from memory and must be checked before it is cited.
"""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .dose import Doses

type Scalar = Float[Array, ""]

_DAY = 24.0


@dataclasses.dataclass(frozen=True)
class Drug:
    """A linear drug: clearance `cl` [L/h], volumes `v1`, `v2` [L], exchange `q` [L/h], absorption `ka` [1/h].

    `routes` gives the bioavailability of each route; a route other than iv enters by the depot, if there is `ka`.
    """

    cl: float
    v1: float
    routes: dict[str, float]
    source: str
    q: float = 0.0
    v2: float = 1.0
    ka: float | None = None
    lag: float = 0.0


# fmt: off
LINEAR: dict[str, Drug] = {
    "siltuximab": Drug(
        0.214 / _DAY, 3.66, {"iv": 1.0}, "Nikanjam 2019 (transcribed)", q=0.624 / _DAY, v2=3.13),
    "anakinra": Drug(
        5.928, 61.94, {"iv": 1.0, "sc": 0.95}, "Urien 2013 (transcribed); F unverified", ka=0.38),
    "dexamethasone": Drug(
        2.85, 15.4, {"iv": 1.0}, "Li 2023, ICU COVID-19", q=2.1, v2=12.3),
    "methylprednisolone": Drug(
        23.5, 81.9, {"iv": 1.0}, "meta-analysis of 22 studies, 0.336 L/h/kg and 1.17 L/kg"),
    "hydrocortisone": Drug(
        18.0, 34.0, {"iv": 1.0}, "clearance unverified; volume within published 7-52 L"),
    "baricitinib": Drug(
        9.70, 92.6, {"po": 1.0}, "Decker 2024 (transcribed), apparent after oral dose", q=2.67, v2=25.6, lag=0.147),
    "ruxolitinib": Drug(
        20.0, 75.0, {"po": 1.0}, "ka and CL/F unverified; V/F from product pages", ka=4.0),
    "emapalumab": Drug(
        0.0143, 3.08, {"iv": 1.0}, "Brossard 2025 (transcribed)", q=0.105, v2=4.28),
    "antiviral": Drug(
        np.log(2) / 20, 1.0, {"po": 1.0}, "assumed; half-life of the active metabolite unverified"),
    "antibiotic": Drug(
        np.log(2) / 4, 1.0, {"iv": 1.0}, "assumed, in standard doses"),
}
# fmt: on

# Absorption at constant rate, where a drug has it [h].
ZERO_ORDER = {"baricitinib": 0.457}

# Anti-receptor antibodies are eliminated by a saturable route as well and are states of the network.
ANTIBODIES: dict[str, dict[str, float]] = {"tocilizumab": {"iv": 1.0}, "sarilumab": {"iv": 1.0, "sc": 0.8}}

# Supportive care: levels between 0 and 1 for as long as they last.
SUPPORT = ("fluid", "pressor", "oxygen")

# In standard doses, not in mg; they do not scale with weight.
STANDARD_DOSES = ("antiviral", "antibiotic")


def target(drug: str, route: str) -> str:
    """The dose target of a drug given by a route: its own name, or `drug_sc` where it enters by a depot."""
    depot = route != "iv" and (drug in ANTIBODIES or LINEAR[drug].ka is not None)
    return f"{drug}_{route}" if depot else drug


def targets() -> dict[str, str]:
    """Every dose target of the linear drugs and of supportive care, with its unit."""
    drugs = {target(name, route): "mg" for name, drug in LINEAR.items() for route in drug.routes}
    return drugs | dict.fromkeys(STANDARD_DOSES, "standard doses") | dict.fromkeys(SUPPORT, "level x h")


def concentration(drug: str, t: Scalar, doses: Doses, weight: Scalar) -> Scalar:
    r"""The concentration of a linear drug in its central compartment at `t` [mg/L, or standard doses].

    Superposition of $\sum_i c_i e^{-\lambda_i a}$ over boluses of age $a$; an infusion is its integral.
    """
    pk = LINEAR[drug]
    size = 1.0 if drug in STANDARD_DOSES else weight / 70
    cl, q, v1, v2 = pk.cl * size**0.75, pk.q * size**0.75, pk.v1 * size, pk.v2 * size
    if drug in STANDARD_DOSES:
        cl, v1 = jnp.asarray(pk.cl), jnp.asarray(pk.v1)
    total = jnp.zeros(())
    central = doses.to(drug)
    if len(central):
        k10, k12, k21 = cl / v1, q / v1, q / v2
        if pk.q:
            root = jnp.sqrt((k10 + k12 + k21) ** 2 - 4 * k10 * k21)
            fast, slow = (k10 + k12 + k21 + root) / 2, (k10 + k12 + k21 - root) / 2
            terms = [(fast, (fast - k21) / root / v1), (slow, (k21 - slow) / root / v1)]
        else:
            terms = [(k10, 1 / v1)]
        total += _superpose(terms, t, central)
    if pk.ka is not None:
        depot = doses.only([name.startswith(f"{drug}_") for name in doses.target])
        if len(depot):
            k = cl / v1
            scale = pk.ka / (pk.ka - k) / v1
            total += _superpose([(k, scale), (jnp.asarray(pk.ka), -scale)], t, depot)
    return total


def _superpose(terms: Sequence[tuple[Scalar | float, Scalar | float]], t: Scalar, doses: Doses) -> Scalar:
    """The sum over doses of the response to each, an infusion's being the mean of boluses over its duration."""
    age = t - doses.time
    given = age > 0
    age = jnp.where(given, age, 0.0)
    length = jnp.where(doses.duration > 0, doses.duration, 1.0)
    since = age - jnp.minimum(age, doses.duration)  # time since the end of an infusion, 0 while it runs
    total = jnp.zeros(())
    for rate, weight in terms:
        decay = jnp.exp(-rate * age)
        infused = (jnp.exp(-rate * since) - decay) / (rate * length)
        total += weight * jnp.sum(doses.amount * jnp.where(given, jnp.where(doses.duration > 0, infused, decay), 0.0))
    return total


def level(name: str, t: Scalar, doses: Doses) -> Scalar:
    """The level of supportive care at `t`: the sum of the rates that run."""
    given = doses.to(name)
    runs = (given.time < t) & (t <= given.time + given.duration)
    return jnp.sum(jnp.where(runs, given.amount / jnp.where(given.duration > 0, given.duration, 1.0), 0.0))
