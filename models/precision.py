"""A right-hand side in single precision: what depends on the state is computed in float32, the rest stays as it is.

Times are differences of large numbers and doses begin a moment after theirs, which float32 does not tell apart: what
depends on time alone, like what depends on parameters alone, is computed in float64 and rounded where it meets the state.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal, jaxprs_in_params
from jaxtyping import Array, Float

CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr", "checkpoint": "jaxpr"}
CALLS |= {"custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}
PRECISIONS = ("float64", "float32")
# The smallest tolerances in float32, whose neighbouring numbers are 1.2e-7 apart, relative: below, error is rounding.
RTOL, ATOL = 3e-6, 3e-8


def single(rate: Callable[..., Float[Array, " state"]]) -> Callable[..., Float[Array, " state"]]:
    """`rate(t, x, *active)` for $x$ in float32 and everything else in float64; its value is in float32."""

    def narrow(t: Array, x: Array, *active: Array) -> Array:
        closed = jax.make_jaxpr(rate)(t, x.astype(float), *active)
        (slope,) = _run(closed.jaxpr, closed.consts, [t, x, *active])
        return jnp.asarray(slope, jnp.float32)

    return narrow


def _run(jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
    """The outputs of a traced function: each operation in float32 where an operand is, else as it was traced."""
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *inputs], strict=True))
    rounded: dict[Any, Any] = {}  # every number is rounded once

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else known[atom]

    def small(atom: Any) -> Any:
        value = read(atom)
        if isinstance(atom, Literal) or not _is(value, np.float64):
            return np.float32(value) if _is(value, np.float64) else value
        if atom not in rounded:
            rounded[atom] = jax.lax.convert_element_type(value, np.float32)
        return rounded[atom]

    for equation in jaxpr.eqns:
        operands, params = [read(atom) for atom in equation.invars], dict(equation.params)
        if (name := equation.primitive.name) in CALLS:
            inner = params[CALLS[name]]
            found = _run(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), operands)
        elif not any(_is(x, np.float32) for x in operands):
            found = _bound(equation, operands, params)
        elif any(True for _ in jaxprs_in_params(params)):  # a loop or a branch: traced in float64, and stays so
            wide = [jnp.asarray(x, float) if _is(x, np.float32) else x for x in operands]
            found = [jnp.asarray(x, np.float32) if _is(x, np.float64) else x for x in _bound(equation, wide, params)]
        else:
            changed = {key: np.dtype(np.float32) for key, value in params.items() if _double(value)}
            found = _bound(equation, [small(atom) for atom in equation.invars], params | changed)
        known |= dict(zip(equation.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _bound(equation: Any, operands: Sequence[Any], params: dict[str, Any]) -> list[Any]:
    """The results of one operation."""
    found = equation.primitive.bind(*operands, **params)
    return list(found) if equation.primitive.multiple_results else [found]


def _is(value: Any, kind: type) -> bool:
    return jnp.result_type(value) == kind


def _double(parameter: Any) -> bool:
    """Whether a parameter of an operation is the type float64; to NumPy, None is the same."""
    return isinstance(parameter, np.dtype) and parameter == np.float64
