"""Derivative rules: for functions that compute their own Jacobian, and for densities that may not exist."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

type Evaluate = Callable[[Array], tuple[Float[Array, " obs"], Float[Array, "obs parameter"], Bool[Array, ""]]]


def with_jacobian(evaluate: Evaluate) -> Callable[[Array], tuple[Float[Array, " obs"], Bool[Array, ""]]]:
    """The function `theta -> (value, okay)` whose reverse derivative is the Jacobian that `evaluate` returns.

    `evaluate(theta)` returns value, Jacobian and success from one solve; plain calls use the same solve, so
    that value and gradient always belong together.
    """

    @jax.custom_vjp
    def function(theta):
        value, _, okay = evaluate(theta)
        return value, okay

    def forward(theta):
        value, jacobian, okay = evaluate(theta)
        return (value, okay), jacobian

    def backward(jacobian, cotangent):
        return (cotangent[0] @ jacobian,)

    function.defvjp(forward, backward)
    return function


def gradient_safe[T](energy: Callable[[T], Float[Array, ""]]) -> Callable[[T], Float[Array, ""]]:
    """`energy`, but infinite where it is not finite, with a gradient that is zero there and finite everywhere."""

    def clean(value: Array) -> Array:
        return jnp.where(jnp.isfinite(value), value, jnp.inf)

    @jax.custom_vjp
    def function(position):
        return clean(energy(position))

    def forward(position):
        value, pull = jax.vjp(energy, position)
        return clean(value), (pull, jnp.isfinite(value))

    def backward(kept, cotangent):
        pull, okay = kept
        (slope,) = pull(cotangent)
        okay &= jnp.all(jnp.array([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(slope)]))
        return (jax.tree.map(lambda x: jnp.where(okay, x, 0.0), slope),)

    function.defvjp(forward, backward)
    return function
