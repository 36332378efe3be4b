"""IL-6 that grows to a ceiling, more slowly under a drug."""

import jax.numpy as jnp

from cytostorm.models import DAY, Model, State, derived, quantity


class Quelled(Model):
    states = (
        State("il6", "L", "pg/mL", 100.0, "interleukin-6"),
        State("tocilizumab", "D", "mg", 100.0, "drug in the body"),
    )
    analytes = {"il6": "pg/mL"}
    inputs = {}
    growth: float = quantity(2.0, "g", "1/day", "growth of IL-6", source="assumed")
    ceiling: float = quantity(3000.0, "c", "pg/mL", "where it ends", source="assumed")
    half: float = quantity(100.0, "h", "mg", "drug that halves the growth", source="assumed")

    def rest(self):
        return jnp.array([10.0, 0.0])

    def vector_field(self, t, y, doses):
        L, D = y
        return jnp.stack([self.growth * L * (1 - L / self.ceiling) / (1 + D / self.half), -0.1 * D]) / DAY

    def observe(self, y):
        return {"il6": y[0]}

    @derived("t_2", "day", "doubling time at the start")
    def doubling(self):
        return jnp.log(2.0) / self.growth


priors = {"growth": {"mean": 2.0, "sd": 0.5}, "ceiling": {"median": 3000.0, "fold": 2.0}}
