"""Lanes: positions that are solved side by side, in blocks, on one device or shared out over all of a host."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float

AXIS = "lanes"

_devices: tuple[Any, ...] = ()


def share_out(devices: Sequence[Any] = ()) -> None:
    """Share out the lanes of every density that is made from now on over these devices; none: all on JAX's own."""
    global _devices
    _devices = tuple(devices)


def shareable(sampler: Any, name: str) -> None:
    """Raise `ValueError` where a sampler is to share out its lanes, whose number is called `name`, and cannot.

    Chains must run in lock-step, and every device have as many.
    """
    number = max(len(_devices), 1)
    if number > 1 and (chains := getattr(sampler, "chains", "vectorized")) != "vectorized":
        raise ValueError(
            f"`chains` is {chains!r}, and only chains in lock-step can be shared out over {number} devices; give"
            " chains=vectorized, another sampler, or device.mesh=null"
        )
    if (given := getattr(sampler, name)) % number:
        raise ValueError(
            f"`{name}` is {given}, and {number} devices share it out; give a multiple of {number}, or device.mesh=null"
        )


class Lanes:
    """Many positions in blocks of at most `block` (none: all in one), each device its part of them.

    A device runs the program of its own part (`shard_map`), so whatever solves a lane, compiled C too, is asked for that
    device's lanes only; then all get what each found, and what follows is the same on every one, as on a single device.
    The last position fills what is left of a block.
    """

    def __init__(self, block: int | None):
        self._block = block
        self._mesh = Mesh(np.array(_devices), (AXIS,)) if len(_devices) > 1 else None

    def solve(self, one: Callable[[Any, Array], Any], arrays: Any, position: Float[Array, "lane parameter"]) -> Any:
        """`one(arrays, position)` at every position."""
        size, number = len(position), self._mesh.size if self._mesh else 1
        each = -(-size // number)
        num_blocks = -(-each // (self._block or each))
        block = -(-each // num_blocks)
        spare = number * num_blocks * block - size
        lanes = jnp.concatenate([position, jnp.broadcast_to(position[-1], (spare, position.shape[1]))])

        def part(arrays: Any, lanes: Array) -> Any:
            rows = lanes.reshape(num_blocks, block, -1)
            solved = lambda row: jax.vmap(one, (None, 0))(arrays, row)  # noqa: E731
            if num_blocks == 1:
                return solved(rows[0])
            return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), jax.lax.map(solved, rows))

        if self._mesh:
            own, every = part, PartitionSpec()
            part = jax.shard_map(
                lambda arrays, lanes: jax.lax.all_gather(own(arrays, lanes), AXIS, tiled=True),
                mesh=self._mesh,
                in_specs=(every, PartitionSpec(AXIS)),
                out_specs=every,
                check_vma=False,
            )
        return jax.tree.map(lambda x: x[:size], part(arrays, lanes))
