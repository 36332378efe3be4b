"""What a compiled program takes as its arguments: with the data among them, it serves all problems of one shape."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import numpy as np

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
