"""The derivative rule of a function that computes its own Jacobian."""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

type Evaluate = Callable[[Array], tuple[Float[Array, " obs"], Float[Array, "obs parameter"], Bool[Array, "*batch"]]]


def with_jacobian(
    evaluate: Evaluate, owner: Int[np.ndarray, " obs"] | None = None
) -> Callable[[Array], tuple[Float[Array, " obs"], Bool[Array, "*batch"]]]:
    """The function `theta -> (value, okay)` whose reverse derivative is the Jacobian that `evaluate` returns.

    With `owner`, `theta` has a row for each subject, and a value depends on the row of its owner.

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
        if owner is None:
            return (cotangent[0] @ jacobian,)
        return (jax.ops.segment_sum(cotangent[0][:, None] * jacobian, owner, int(owner.max()) + 1),)

    function.defvjp(forward, backward)
    return function
