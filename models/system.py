"""A differential equation with the directions along which it is differentiated."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class System(eqx.Module):
    """$\\dot x =$ `rate(t, x, *active)`, and the derivatives of `active` along every parameter (leading axis)."""

    rate: Callable[..., Float[Array, " state"]]
    active: Sequence[Array] = ()
    directions: Sequence[Array] = ()

    def field(self, t: Float[Array, ""], y: Float[Array, "row state"]) -> Float[Array, "row state"]:
        """The right-hand side for the state, the first row of $y$, and for its tangents, the others."""
        if len(y) == 1:
            return self.rate(t, y[0], *self.active)[None]
        value, derivative = jax.linearize(lambda x, *active: self.rate(t, x, *active), y[0], *self.active)
        return jnp.concatenate([value[None], jax.vmap(derivative)(y[1:], *self.directions)])
