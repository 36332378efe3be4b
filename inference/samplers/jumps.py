"""Jumps of single subjects: where two explanations of one subject's readings have no way between them.

Given what all share, subjects are independent. Each proposes to add to its own entries the difference of two places where it
was during the warm-up, and is accepted or refused on its own: differential evolution from past states (ter Braak and Vrugt,
Stat Comput 2008;18:435), for every subject at once. Between two modes the difference is the step from one to the other. A
random share of the entries moves, so that those that the readings tell well need not. Chains share their places halfway
through the warm-up and at its end. From then on these are fixed, a difference is as likely as its opposite, and so the
posterior is kept.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .density import Density, Position

KEPT = 2 / 3  # of the warm-up's places are kept, the last

type Places = Float[Array, "place parameter"]


def num_places(num_warmup: int) -> int:
    """How many places of a warm-up are kept."""
    return max(int(KEPT * num_warmup), 1)


def kept(places: Places, position: Position, iteration: Int[Array, ""], num_warmup: int) -> Places:
    """The places with that of this iteration, as long as the chain warms up."""
    row = iteration % len(places)
    return places.at[row].set(jnp.where(iteration <= num_warmup, position, places[row]))


def pooled(states: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Chains, each with the places of all: as many as it had, of every chain in turn.

    A way that one chain found between two modes is open to all then. A state of many chains has their places on its
    first axis.
    """
    many = states[0][1].ndim == 3
    every = states[0][1] if many else jnp.stack([places for _, places in states])
    row = jnp.arange(every.shape[1])
    found = every[row % len(every), row]
    return [(state, jnp.broadcast_to(found, places.shape)) for state, places in states]


def jumped(
    heights: Callable[[Position], Float[Array, " subject"]],
    own: Int[Array, "subject effect"],
    key: PRNGKeyArray,
    position: Position,
    places: Places,
    num: int,
) -> tuple[Position, Float[Array, ""]]:
    """The position after `num` jumps of every subject, and the share of them that were accepted.

    `heights` are the log-densities of the subjects given what they share, and `own` each one's entries of a position.
    """

    def one(carry, key: PRNGKeyArray):
        position, height = carry
        here, (pick, part, which, chance) = position[own], jax.random.split(key, 4)
        first, second = jax.random.randint(pick, (2, len(own), 1), 0, len(places))
        moves = jax.random.uniform(which, own.shape) < jax.random.uniform(part, (len(own), 1))
        there = here + jnp.where(moves, places[first, own] - places[second, own], 0.0)
        new = heights(position.at[own].set(there))
        accepted = jnp.log(jax.random.uniform(chance, (len(own),))) < new - height
        position = position.at[own].set(jnp.where(accepted[:, None], there, here))
        return (position, jnp.where(accepted, new, height)), jnp.mean(accepted)

    (position, _), share = jax.lax.scan(one, (position, heights(position)), jax.random.split(key, num))
    return position, jnp.mean(share)


def heights(density: Density, chain: Int[Array, ""]) -> Callable[[Position], Float[Array, " subject"]]:
    """The log-densities of a population's subjects given what they share; minus infinity, and counted, where one fails."""

    def of(position: Position) -> Float[Array, " subject"]:
        height, solved = density.problem.each(density.values(position))
        density.count(density.asker(chain)[None], ~jnp.all(solved)[None], solved[None])
        return jnp.where(solved & jnp.isfinite(height), height, -jnp.inf)

    return of
