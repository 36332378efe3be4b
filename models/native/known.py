"""Operations on numbers that are known when a right-hand side is translated."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ..constant import constant


def _spread(x: np.ndarray, shape: Sequence[int], broadcast_dimensions: Sequence[int], **_: Any) -> np.ndarray:
    own = dict(zip(broadcast_dimensions, x.shape, strict=True))
    return np.broadcast_to(x.reshape([own.get(i, 1) for i in range(len(shape))]), shape)


def _quotient(x: np.ndarray, y: np.ndarray, **_: Any) -> Any:
    # Whole numbers are divided towards zero.
    return x / y if np.issubdtype(x.dtype, np.inexact) else np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y))


def _cut(x: np.ndarray, start_indices: Sequence[int], limit_indices: Sequence[int], strides: Any, **_: Any) -> np.ndarray:
    bounds = zip(start_indices, limit_indices, strides or [1] * x.ndim, strict=True)
    return x[tuple(slice(*bound) for bound in bounds)]


# What NumPy does exactly as JAX.
EXACT: dict[str, Callable[..., Any]] = {
    "add": lambda x, y, **_: x + y,
    "sub": lambda x, y, **_: x - y,
    "mul": lambda x, y, **_: x * y,
    "div": _quotient,
    "neg": lambda x, **_: -x,
    "and": lambda x, y, **_: x & y,
    "or": lambda x, y, **_: x | y,
    "not": lambda x, **_: ~x,
    "lt": lambda x, y, **_: x < y,
    "le": lambda x, y, **_: x <= y,
    "gt": lambda x, y, **_: x > y,
    "ge": lambda x, y, **_: x >= y,
    "eq": lambda x, y, **_: x == y,
    "ne": lambda x, y, **_: x != y,
    "select_n": lambda which, *options, **_: np.choose(which.astype(int), options),
    "convert_element_type": lambda x, new_dtype, **_: x.astype(new_dtype),
    "broadcast_in_dim": _spread,
    "reshape": lambda x, new_sizes, **_: x.reshape(new_sizes),
    "squeeze": lambda x, dimensions, **_: x.squeeze(tuple(dimensions)),
    "slice": _cut,
    "transpose": lambda x, permutation, **_: x.transpose(permutation),
    "concatenate": lambda *x, dimension, **_: np.concatenate(x, axis=dimension),
    "stack": lambda *x, axis, **_: np.stack(x, axis=axis),
    "unstack": lambda x, axis, **_: list(np.moveaxis(x, axis, 0)),
}


def evaluate(equation: Any, operands: list[np.ndarray]) -> list[np.ndarray]:
    """The outputs of an equation: by NumPy where it is exact, for JAX compiles a program for every operation and shape."""
    name = equation.primitive.name
    if name in EXACT:
        with np.errstate(all="ignore"):
            found = EXACT[name](*operands, **equation.params)
    else:
        with jax.ensure_compile_time_eval():
            found = equation.primitive.bind(*(constant(x) for x in operands), **equation.params)
    return [np.asarray(x) for x in (found if equation.primitive.multiple_results else [found])]
