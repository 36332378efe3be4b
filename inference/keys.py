"""Random keys made on the host: JAX compiles a program for every number of keys that it splits."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Float, PRNGKeyArray

from cytostorm.models import constant


def root(seed: int) -> PRNGKeyArray:
    """The key of a seed, which is that of `jax.random.PRNGKey`."""
    return constant([seed >> 32 & 0xFFFFFFFF, seed & 0xFFFFFFFF], np.uint32)


def branches(key: PRNGKeyArray, num: int) -> list[PRNGKeyArray]:
    """`num` independent keys from one, by NumPy's `SeedSequence`, which is the same on every machine."""
    words = _sequence(key).generate_state(2 * num)
    return [constant(pair) for pair in words.reshape(num, 2)]


def normal(key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Any, "..."]:
    """Standard normal numbers, on the host unless the key is traced; the two are not the same numbers."""
    if isinstance(key, Tracer):
        return jax.random.normal(key, shape)
    return generator(key).standard_normal(shape)


def generator(key: PRNGKeyArray) -> np.random.Generator:
    """Random numbers on the host from a key."""
    return np.random.default_rng(_sequence(key))


def _sequence(key: PRNGKeyArray) -> np.random.SeedSequence:
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.key_data(key)
    return np.random.SeedSequence(np.asarray(key).tolist())
