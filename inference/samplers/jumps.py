"""Jumps of single subjects: where two explanations of one subject's readings have no way between them.

Given what all share, subjects are independent. Each proposes to add to its own entries the difference of two places where it
was during the warm-up, and is accepted or refused on its own: differential evolution from past states (ter Braak and Vrugt,
Stat Comput 2008;18:435), for every subject at once. Between two modes the difference is the step from one to the other. A
random share of the entries moves, so that those that the readings tell well need not. Chains share their places at the
start, halfway through the warm-up and at its end; there every subject's are heated and cooled, so that no mode is missed
because no chain was in it. From then on they are fixed, a difference is as likely as its opposite, and so the posterior
is kept.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from .density import Density, Position

KEPT = 2 / 3  # of the warm-up's places are kept, the last

HEATS = np.concatenate([np.full(20, 16.0), np.geomspace(16.0, 1.0, 30), np.ones(20)])  # temperatures of a search for places

type Places = Float[Array, "place parameter"]
type Heights = Callable[[Position], Float[Array, " subject"]]
type Own = Int[Array, "subject effect"]


def num_places(num_warmup: int) -> int:
    """How many places of a warm-up are kept."""
    return max(int(KEPT * num_warmup), 1)


def kept(places: Places, position: Position, iteration: Int[Array, ""], num_warmup: int) -> Places:
    """The places with that of this iteration, as long as the chain warms up."""
    row = iteration % len(places)
    return places.at[row].set(jnp.where(iteration <= num_warmup, position, places[row]))


def met(
    states: list[tuple[Any, Any]], seek: Callable[[Places, PRNGKeyArray], Places], key: PRNGKeyArray
) -> list[tuple[Any, Any]]:
    """Chains, each with the places that `seek` makes of those of all: as many as it had, of every chain in turn.

    A state of many chains has their places on its first axis.
    """
    many = states[0][1].ndim == 3
    every = states[0][1] if many else jnp.stack([places for _, places in states])
    row = jnp.arange(every.shape[1])
    found = seek(every[row % len(every), row], key)
    return [(state, jnp.broadcast_to(found, places.shape)) for state, places in states]


def annealed(heights: Heights, own: Own, key: PRNGKeyArray, places: Places) -> Places:
    """Places from all modes of every subject: each is heated, so that it goes anywhere, and cooled, by jumps among all.

    What the subjects share stays as it is at each place. A mode that holds little may keep more places than it is worth:
    they are proposals' and no draws.
    """
    tall = jax.lax.map(heights, places)

    def sweep(carry, step: tuple[PRNGKeyArray, Float[Array, ""]]):
        key, heat = step
        places, _ = carry

        def one(entry):
            key, position, height = entry
            return tried(heights, own, key, position, height, places, heat)[:2]

        return jax.lax.map(one, (jax.random.split(key, len(places)), *carry)), None

    (places, _), _ = jax.lax.scan(sweep, (places, tall), (jax.random.split(key, len(HEATS)), jnp.array(HEATS)))
    return places


def jumped(
    heights: Heights, own: Own, key: PRNGKeyArray, position: Position, places: Places, num: int
) -> tuple[Position, Float[Array, ""]]:
    """The position after `num` jumps of every subject, and the share of them that were accepted.

    `heights` are the log-densities of the subjects given what they share, and `own` each one's entries of a position.
    """

    def one(carry, key: PRNGKeyArray):
        position, height = carry
        position, height, accepted = tried(heights, own, key, position, height, places)
        return (position, height), jnp.mean(accepted)

    (position, _), share = jax.lax.scan(one, (position, heights(position)), jax.random.split(key, num))
    return position, jnp.mean(share)


def tried(
    heights: Heights,
    own: Own,
    key: PRNGKeyArray,
    position: Position,
    height: Float[Array, " subject"],
    places: Places,
    heat: Float[Array, ""] | float = 1.0,
) -> tuple[Position, Float[Array, " subject"], Bool[Array, " subject"]]:
    """Position and heights after one jump of every subject, and who was accepted."""
    here, (pick, part, which, chance) = position[own], jax.random.split(key, 4)
    first, second = jax.random.randint(pick, (2, len(own), 1), 0, len(places))
    moves = jax.random.uniform(which, own.shape) < jax.random.uniform(part, (len(own), 1))
    there = here + jnp.where(moves, places[first, own] - places[second, own], 0.0)
    new = heights(position.at[own].set(there))
    accepted = jnp.log(jax.random.uniform(chance, (len(own),))) < (new - height) / heat
    position = position.at[own].set(jnp.where(accepted[:, None], there, here))
    return position, jnp.where(accepted, new, height), accepted


def own(density: Density) -> Own:
    """The entries of a position that are each subject's own."""
    return jnp.array(density.sites.blocks[1:])


def heights(density: Density, chain: Int[Array, ""]) -> Heights:
    """The log-densities of a population's subjects given what they share; minus infinity, and counted, where one fails."""

    def of(position: Position) -> Float[Array, " subject"]:
        height, solved = density.problem.each(density.values(position))
        density.count(density.asker(chain)[None], ~jnp.all(solved)[None], solved[None])
        return jnp.where(solved & jnp.isfinite(height), height, -jnp.inf)

    return of
