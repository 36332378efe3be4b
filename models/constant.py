"""Numbers that are known before anything is traced."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Shaped


def constant(value: Any, dtype: Any = None) -> Shaped[Array, "..."]:
    """`value` as an array of JAX, for which nothing is compiled: `jnp.asarray` compiles a program for every new shape."""
    with jax.ensure_compile_time_eval():
        return jax.device_put(np.asarray(value, dtype))
