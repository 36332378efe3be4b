"""What chains remember for the jumps of single subjects: places where they were, and mixtures that are like them.

Chains share their places at the start, halfway through the warm-up and at its end. From then on nothing is remembered any
more, so that what is proposed depends on no draw.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..keys import generator
from .density import Position
from .mixture import Mixture, fitted

KEPT = 2 / 3  # of the warm-up's places are kept, the last
SENT = 3  # every so many-th place is sent to search for other modes
VISITED, FOUND = 4, 2  # parts of every subject's mixture: like the places where chains were, and like those that were found
SOUGHT = 0.2  # the share of the latter
ENOUGH = 1  # places for every part and dimension: a part leans on the spread of all places where it has few
LEAST = 0.1  # the share of a part, among those like it: a rare explanation is proposed more often than it holds

type Places = Float[Array, "place parameter"]
type Own = Int[Array, "subject effect"]


class Memory(NamedTuple):
    """Places of chains, and of every subject a mixture that is like its own entries there (a leading axis of subjects)."""

    places: Places
    mixtures: Mixture

    @classmethod
    def blank(cls, position: Position, num: int, own: Own) -> "Memory":
        """The memory of a chain that was in one place only."""
        several = (len(own), VISITED + FOUND)
        centre = jnp.broadcast_to(position[own][:, None], (*several, own.shape[1]))
        root = jnp.broadcast_to(jnp.eye(own.shape[1]), (*several, own.shape[1], own.shape[1]))
        share = jnp.full(several, 1 / several[1])
        return cls(jnp.broadcast_to(position, (num, *position.shape)), Mixture(share, centre, root))

    def kept(self, position: Position, iteration: Int[Array, ""], num_warmup: int) -> "Memory":
        """With the place of this iteration, as long as the chain warms up."""
        row = iteration % len(self.places)
        place = jnp.where(iteration <= num_warmup, position, self.places[row])
        return self._replace(places=self.places.at[row].set(place))


def num_places(num_warmup: int) -> int:
    """How many places of a warm-up are kept."""
    return max(int(KEPT * num_warmup), 1)


def num_sent(num_warmup: int) -> int:
    """How many of them are sent to search."""
    return -(-num_places(num_warmup) // SENT)


def met(
    states: list[tuple[Any, Memory]], seek: Callable[[Places, PRNGKeyArray], Places], own: Own, key: PRNGKeyArray
) -> list[tuple[Any, Memory]]:
    """Chains, each with places of all: as many as it had, of every chain in turn, some of which `seek` sent elsewhere.

    Mixtures are fitted apart to the places where chains were, as they should be drawn, and to those that were found, which
    may be spread too far. A state of many chains has their memories on its first axis.
    """
    many = states[0][1].places.ndim == 3
    every = states[0][1].places if many else jnp.stack([memory.places for _, memory in states])
    row = jnp.arange(every.shape[1])
    were = every[row % len(every), row]
    found = seek(were[::SENT], key)
    mine, rng = np.asarray(own), generator(key)
    visited, other = alike(np.asarray(were), mine, VISITED, rng), alike(np.asarray(found), mine, FOUND, rng)
    mixtures = stacked([Mixture.of(pair, (1 - SOUGHT, SOUGHT)) for pair in zip(visited, other, strict=True)])
    new = Memory(were.at[::SENT].set(found), mixtures)
    return [(state, jax.tree.map(lambda x, old: jnp.broadcast_to(x, old.shape), new, memory)) for state, memory in states]


def alike(
    places: Float[np.ndarray, "place parameter"],
    own: Int[np.ndarray, "subject effect"],
    parts: int,
    rng: np.random.Generator,
) -> list[Mixture]:
    """For every subject the mixture of so many parts that is like its own entries of these places."""
    weight, mixtures = np.full(len(places), 1 / len(places)), []
    for mine in own:
        found = fitted(places[:, mine], weight, parts, rng, ENOUGH, apart=True)
        part = np.resize(np.arange(len(found.share)), parts)  # of fewer some are there twice
        share = np.maximum(found.share[part], LEAST)
        mixtures.append(Mixture(share / share.sum(), found.centre[part], found.root[part]))
    return mixtures


def stacked(mixtures: list[Mixture]) -> Mixture:
    """Mixtures of as many parts each as one, with a leading axis."""
    return jax.tree.map(lambda *x: np.stack(x), *mixtures)
