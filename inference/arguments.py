"""What a compiled program takes: with data among its arguments it serves all problems of a shape, in blocks any number."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Int

from cytostorm.models import Model, Solver, constant

from .cohort import Cohort
from .noise import Noise
from .panel import Arm
from .variability import Variability

# A model's own numbers are written into its solver, where terms that are zero cost nothing; panels hold what arms and
# cohorts do, side by side.
WRITTEN = (Model, Solver, Noise, Variability, Arm, Cohort)


def divided(problem: Any) -> tuple[Any, Any]:
    """Readings, times, doses and covariates of a problem, as arrays of JAX, and all the rest of it.

    `equinox.combine` puts them together again.
    """
    written = lambda x: isinstance(x, WRITTEN)  # noqa: E731
    given = jax.tree.map(lambda x: not written(x) and eqx.is_array(x), problem, is_leaf=written)
    arrays, rest = eqx.partition(problem, given)
    return jax.tree.map(lambda x: constant(x) if isinstance(x, np.ndarray) else x, arrays), rest


def jitted(function: Callable[..., Any], problem: Any) -> Callable[..., Any]:
    """`function(problem, *arguments)`, compiled, for this problem: it is called with the other arguments."""
    arrays, rest = divided(problem)
    return partial(jax.jit(lambda arrays, *arguments: function(eqx.combine(arrays, rest), *arguments)), arrays)


def by_blocks(
    run: Callable[[Int[np.ndarray, " entry"]], Any], num: int, size: int, report: Callable[[int, int], None] | None = None
) -> Any:
    """What `run` returns of the entries that it is given the numbers of, for `num` of them in blocks of one size.

    The last block is filled up with the last entry, which is cut again: one compiled program serves any number of entries.
    `report(done, total)` hears of every block.
    """
    parts = []
    for begin in range(0, num, size):
        parts.append(jax.device_get(run(np.minimum(np.arange(begin, begin + size), num - 1))))
        if report is not None:
            report(min(begin + size, num), num)
    return jax.tree.map(lambda *x: np.concatenate(x)[:num], *parts)
