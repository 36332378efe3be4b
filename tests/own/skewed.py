"""A tracer whose removal has a derivative that is wrong by a tenth: what a hand-written rule may do."""

import jax
import jax.numpy as jnp

from cytostorm.models import Model, State, quantity


@jax.custom_jvp
def removed(k, y):
    return -k * y


@removed.defjvp
def _(primals, tangents):
    (k, y), (dk, dy) = primals, tangents
    return removed(k, y), -1.1 * dk * y - k * dy


class Skewed(Model):
    states = (State("tracer", "y", "mg/L", 1.0, "level of the tracer"),)
    analytes = {"tracer": "mg/L"}
    inputs = {}
    begun: float = quantity(10.0, "y_0", "mg/L", "level at the start", source="assumed")
    k: float = quantity(0.3, "k", "1/h", "rate of removal", source="assumed")

    def rest(self):
        return jnp.stack([self.begun])

    def vector_field(self, t, y, doses):
        return removed(self.k, y)

    def observe(self, y):
        return {"tracer": y[0]}


priors = {"begun": {"median": 8.0, "fold": 3.0}, "k": {"median": 0.2, "fold": 2.0}}
noise = {"sigma": {"median": 0.2, "fold": 3.0}}
