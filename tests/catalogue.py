"""Every model, scenario and solver that the batteries of laws run over, and toys with known answers."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.distributions import Normal
from scipy.special import ndtr

from cytostorm.inference import Noise, Observations, Prior, Subject
from cytostorm.models import (
    Endotoxin,
    Expansion,
    Minimal,
    Model,
    Scenario,
    Solver,
    State,
    Transit,
    bolus,
    infusion,
    no_doses,
    quantity,
    repeated,
    replace,
)


class Elimination(Model):
    """One compartment with first-order elimination: every schedule has a closed form."""

    states: ClassVar = (State("amount", "A", "mg", 10.0, "drug in the body"),)
    analytes: ClassVar = {"crp": "mg/L"}
    k: Float[Array, ""] = quantity(0.3, "k", "1/h", "elimination rate", source="toy")

    @property
    def inputs(self) -> Mapping[str, str]:
        return {}

    def rest(self):
        return jnp.zeros(1)

    def vector_field(self, t, y, doses):
        return -self.k * y

    def observe(self, y):
        return {"crp": y[0]}


class Level(Model):
    """A constant level: with known noise its posterior has a closed form."""

    states: ClassVar = (State("level", "w", "pg/mL", 1.0, "level"),)
    analytes: ClassVar = {"il6": "pg/mL"}
    w: Float[Array, ""] = quantity(1.0, "w", "pg/mL", "level", source="toy")

    @property
    def inputs(self) -> Mapping[str, str]:
        return {}

    def rest(self):
        return self.w[None]

    def vector_field(self, t, y, doses):
        return 0.0 * y

    def observe(self, y):
        return {"il6": y[0]}


class Blowup(Level):
    """A level that explodes in finite time where it starts above 1: half of a prior around 1 cannot be solved."""

    def vector_field(self, t, y, doses):
        return jnp.where(y > 1, y**2, 0.0)


class KnownNoise(Noise):
    """Log-normal noise of SD 0.5 that is not sampled."""

    def parameters(self, data: Observations) -> dict[str, Prior]:
        return {}

    def describe(self, name):
        raise ValueError(f"no parameter {name}")

    def log_density(self, log_f, parameters, data, scatter=1.0):
        return Normal(log_f, 0.5).log_prob(jnp.log(data.value)) - jnp.log(data.value)

    def draw(self, key, log_f, parameters, data, scatter=1.0):
        return jnp.exp(Normal(log_f, 0.5).sample(key))

    def chance(self, log_f, parameters, data, scatter=1.0):
        return (ndtr((np.log(data.value) - log_f) / 0.5),) * 2


def readings(time, value, analyte="il6", cens=None, limit=None) -> Observations:
    """Individual readings of one subject."""
    num = len(time)
    cens = np.zeros(num, int) if cens is None else np.asarray(cens)
    limit = np.ones(num) if limit is None else np.asarray(limit, float)
    return Observations(
        ("S1",) * num,
        (analyte,) * num,
        np.asarray(time, float),
        np.asarray(value, float),
        cens,
        limit,
        np.zeros(num, int),
        np.zeros(num),
    )


def person(label, time, value, analyte="il6", doses=None, study="one", **more) -> Subject:
    """A subject with individual readings."""
    data = dataclasses.replace(readings(time, value, analyte), subject=(label,) * len(time))
    return Subject(label, study, data, doses or no_doses(), **more)


def _with(**values: float) -> Minimal:
    return replace(Minimal(), {name: jnp.asarray(float(value)) for name, value in values.items()})


# name: (model, scenario, last time [h], parameters whose gradient is tested)
CASES: dict[str, tuple[Model, Scenario, float, tuple[str, ...]]] = {
    "lps_bolus": (Minimal(), Scenario(bolus("lps", 2.0)), 8.0, ("gamma", "k_l", "n_u", "x_l")),
    "lps_infusion": (Minimal(), Scenario(infusion("lps", 2.0, 4.0)), 10.0, ("gamma", "k_l", "n_u")),
    "lps_twice": (Minimal(), Scenario(repeated(bolus("lps", 1.0, 1.0), 6.0, 2)), 16.0, ("gamma", "k_r")),
    "lps_storm": (_with(gamma=3.0, k_r=0.02, w_r=1.0), Scenario(bolus("lps", 2.0)), 40.0, ("gamma", "k_l", "k_m")),
    "cart": (
        Minimal(gamma=2.5, k_m=0.1, k_l=1.2, x_l=60.0, w_l=1.0, k_r=0.01, w_r=0.05, stimulus=Expansion()),
        Scenario(),
        672.0,
        ("gamma", "r_u", "k_m"),
    ),
    "il6_given": (Minimal(), Scenario(bolus("il6", 500.0, 2.0) + infusion("il6", 300.0, 1.5, 4.0)), 9.0, ("k_l", "w_l")),
    "endotoxin": (Endotoxin(w_mr=30000.0), Scenario(bolus("lps", 2.0)), 8.0, ("k_ma", "p_il6", "x_m_tnf", "h_m_il10")),
    "elimination": (Elimination(), Scenario(repeated(infusion("amount", 6.0, 1.0), 4.0, 3)), 14.0, ("k",)),
}

STIMULI = {"transit": Transit(), "expansion": Expansion()}

SOLVERS = {
    "native": Solver("native"),
    "stabilised": Solver("stabilised", rtol=1e-9, atol=1e-11, max_steps=400_000),
    "march": Solver("march"),
    "native in float32": Solver("native", rtol=3e-6, atol=3e-8, precision="float32"),
    "march in float32": Solver("march", rtol=3e-6, atol=3e-8, precision="float32"),
    "tsit5": Solver("tsit5"),
    "dopri5": Solver("dopri5"),
    "dopri8": Solver("dopri8"),
    "bosh3": Solver("bosh3", rtol=1e-8, atol=1e-10, max_steps=20_000),
    "kvaerno3": Solver("kvaerno3", rtol=1e-8, atol=1e-10, max_steps=40_000),
    "kvaerno5": Solver("kvaerno5", rtol=1e-7, atol=1e-9, max_steps=20_000),
}

TIGHT = Solver("dopri8", rtol=1e-11, atol=1e-13, max_steps=50_000)
