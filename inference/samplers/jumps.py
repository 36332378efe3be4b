"""Jumps of single subjects: where two explanations of one subject's readings have no way between them.

Given what all share, subjects are independent. Each proposes other entries of its own, and is accepted or refused on its
own, for every subject at once. Half of the proposals add the difference of two places where chains were during the
warm-up: differential evolution from past states (ter Braak and Vrugt, Stat Comput 2008;18:435). Between two modes the
difference is the step from one to the other; a random share of the entries moves, so that those that the readings tell well
need not. The other half are drawn anew from a mixture that is like these places (`places.py`), whatever the entries are
now: independence chains (Tierney, Ann Stat 1994;22:1701). Where chains meet, some places are heated and cooled: no mode
is missed because no chain was in it. After the warm-up places and mixtures are fixed, a difference is as likely as its
opposite, and so the posterior is kept.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from .density import Density, Position
from .mixture import DEGREES, Mixture
from .places import Memory, Own, Places

HEATS = np.concatenate([np.full(10, 16.0), np.geomspace(16.0, 1.0, 40), np.ones(40)])  # temperatures of a search for places

type Heights = Callable[[Position], Float[Array, " subject"]]
type Entries = Float[Array, "subject effect"]
type Proposal = tuple[Entries, Float[Array, " subject"]]  # entries, and how much likelier the way back is


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
            key_move, key_chance = jax.random.split(key)
            move = differing(own, key_move, position, places)
            return tried(heights, own, key_chance, position, height, move, heat)[:2]

        return jax.lax.map(one, (jax.random.split(key, len(places)), *carry)), None

    (places, _), _ = jax.lax.scan(sweep, (places, tall), (jax.random.split(key, len(HEATS)), jnp.array(HEATS)))
    return places


def jumped(
    heights: Heights, own: Own, key: PRNGKeyArray, position: Position, memory: Memory, num: int
) -> tuple[Position, Float[Array, ""]]:
    """The position after `num` jumps of every subject, and the share of them that were accepted.

    `heights` are the log-densities of the subjects given what they share, and `own` each one's entries of a position.
    """

    def one(carry, key: PRNGKeyArray):
        position, height = carry
        which, move, chance = jax.random.split(key, 3)
        proposal = jax.lax.cond(
            jax.random.bernoulli(which),
            lambda: differing(own, move, position, memory.places),
            lambda: anew(own, move, position, memory.mixtures),
        )
        position, height, accepted = tried(heights, own, chance, position, height, proposal)
        return (position, height), jnp.mean(accepted)

    (position, _), share = jax.lax.scan(one, (position, heights(position)), jax.random.split(key, num))
    return position, jnp.mean(share)


def differing(own: Own, key: PRNGKeyArray, position: Position, places: Places) -> Proposal:
    """Entries of every subject plus the difference of two places, in a random share of them."""
    pick, part, which = jax.random.split(key, 3)
    first, second = jax.random.randint(pick, (2, len(own), 1), 0, len(places))
    moves = jax.random.uniform(which, own.shape) < jax.random.uniform(part, (len(own), 1))
    return position[own] + jnp.where(moves, places[first, own] - places[second, own], 0.0), jnp.zeros(len(own))


def anew(own: Own, key: PRNGKeyArray, position: Position, mixtures: Mixture) -> Proposal:
    """Entries of every subject drawn from its mixture."""

    def one(key: PRNGKeyArray, here: Float[Array, " effect"], mixture: Mixture):
        which, wide, normal = jax.random.split(key, 3)
        part = jax.random.categorical(which, jnp.log(mixture.share))
        scale = jnp.sqrt(DEGREES / 2 / jax.random.gamma(wide, DEGREES / 2))
        there = mixture.centre[part] + scale * mixture.root[part] @ jax.random.normal(normal, here.shape)
        back, forth = mixture.log_density(jnp.stack([here, there]), jnp)
        return there, back - forth

    return jax.vmap(one)(jax.random.split(key, len(own)), position[own], mixtures)


def tried(
    heights: Heights,
    own: Own,
    key: PRNGKeyArray,
    position: Position,
    height: Float[Array, " subject"],
    proposal: Proposal,
    heat: Float[Array, ""] | float = 1.0,
) -> tuple[Position, Float[Array, " subject"], Bool[Array, " subject"]]:
    """Position and heights after one jump of every subject, and who was accepted."""
    there, back = proposal
    new = heights(position.at[own].set(there))
    accepted = jnp.log(jax.random.uniform(key, (len(own),))) < (new - height) / heat + back
    position = position.at[own].set(jnp.where(accepted[:, None], there, position[own]))
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
