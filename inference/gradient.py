"""The derivative rule of a function that computes its own Jacobian."""

from collections.abc import Callable

import jax
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
