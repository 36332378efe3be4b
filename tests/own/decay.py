"""A tracer that is removed: under log-normal noise its logarithm is a straight line, and so the posterior is known."""

import jax.numpy as jnp

from cytostorm.models import Model, State, quantity


class Decay(Model):
    states = (State("tracer", "y", "mg/L", 1.0, "level of the tracer"),)
    analytes = {"tracer": "mg/L"}
    inputs = {}
    begun: float = quantity(10.0, "y_0", "mg/L", "level at the start", source="assumed")
    k: float = quantity(0.3, "k", "1/h", "rate of removal", source="assumed")

    def rest(self):
        return jnp.stack([self.begun])

    def vector_field(self, t, y, doses):
        return -self.k * y

    def observe(self, y):
        return {"tracer": y[0]}


priors = {"begun": {"median": 8.0, "fold": 3.0}, "k": {"mean": 0.2, "sd": 0.1}}
noise = {"sigma": {"median": 0.2, "fold": 3.0}}
