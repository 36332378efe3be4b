"""Lynx and hare in the Canadian forest, after Lotka and Volterra: one eats the other."""

import jax.numpy as jnp

from cytostorm.models import YEAR, Model, State, quantity

CASE = "Carpenter 2018, Stan case study"
PELTS = "thousand pelts"


class LotkaVolterra(Model):
    r"""$\dot u = (\alpha - \beta v)\,u$ and $\dot v = (-\gamma + \delta u)\,v$, with pelts for animals."""

    states = (State("hare", "u", PELTS, 30.0, "hares"), State("lynx", "v", PELTS, 20.0, "lynxes"))
    analytes = {"hare": PELTS, "lynx": PELTS}
    inputs = {}
    alpha: float = quantity(0.55, r"\alpha", "1/year", "growth of hares without lynxes", source=CASE)
    beta: float = quantity(0.028, r"\beta", "1/year/thousand pelts", "hares eaten per lynx", source=CASE)
    gamma: float = quantity(0.8, r"\gamma", "1/year", "loss of lynxes without hares", source=CASE)
    delta: float = quantity(0.024, r"\delta", "1/year/thousand pelts", "lynxes grown per hare", source=CASE)
    hare0: float = quantity(34.0, "u_0", PELTS, "hares in 1900", source=CASE)
    lynx0: float = quantity(5.9, "v_0", PELTS, "lynxes in 1900", source=CASE)

    def rest(self):
        return jnp.stack([self.hare0, self.lynx0])

    def vector_field(self, t, y, doses):
        u, v = y
        return jnp.stack([(self.alpha - self.beta * v) * u, (-self.gamma + self.delta * u) * v]) / YEAR

    def observe(self, y):
        return {"hare": y[0], "lynx": y[1]}


priors = {name: {"mean": 1.0, "sd": 0.5} for name in ("alpha", "gamma")}
priors |= {name: {"mean": 0.05, "sd": 0.05} for name in ("beta", "delta")}
priors |= {name: {"median": 10.0, "log_sd": 1.0} for name in ("hare0", "lynx0")}
noise = {"per_analyte": True, "sigma": {"median": 0.36788, "log_sd": 1.0}}
