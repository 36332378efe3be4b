r"""Walkers: very many short chains side by side, which take turns between draws of a mixture and steps nearby.

A draw of the mixture goes anywhere at once, but seldom to where the mixture is too thin, and what is there stands still.
A step by the difference of two points of an earlier sample (ter Braak, Stat Comput 2006;16:239) comes and goes there from
nearby; the sample stays as it is, so that steps are as likely back as forth. Both leave the posterior as it is.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from ..keys import generator
from .blocks import Blocks, Interrupted
from .density import Density
from .draws import Track
from .mixture import Mixture

PLACES = 4096  # whose differences walkers move by
LOCAL = 0.5  # the share of steps
REACH = (0.3, 0.6, 1.0)  # of steps, in those that are best for a normal distribution
WHOLE = 0.1  # share of steps by a whole difference, which go from one mode to another

type Heights = Callable[[Float[np.ndarray, "walker parameter"]], Float[np.ndarray, " walker"]]


class Walked(NamedTuple):
    """Where walkers were at their last moves, the log-density there, and the share of their moves that was accepted."""

    position: Float[np.ndarray, "walker draw parameter"]
    height: Float[np.ndarray, "walker draw"]
    accepted: Float[np.ndarray, " walker"]


class Walkers(NamedTuple):
    """So many walkers of every chain, each of so many moves; the last ones make `num_draws` draws of each chain."""

    num_chains: int
    num_walkers: int
    num_moves: int
    num_draws: int

    @property
    def num_solves(self) -> int:
        """Solves of all walkers."""
        return self.num_chains * self.num_walkers * (self.num_moves + 1)

    def walk(
        self,
        density: Density,
        known: Float[np.ndarray, "point parameter"],
        weight: Float[np.ndarray, " point"],
        mixture: Mixture,
        key: PRNGKeyArray,
        blocks: Blocks,
    ) -> tuple[Float[np.ndarray, "chain draw parameter"], dict[str, Float[np.ndarray, "chain draw"]]]:
        """The draws of all chains, walker after walker, from known points of these weights.

        Raises `Interrupted` if `blocks.stop` was set.
        """
        rng, shape, num = generator(key), (self.num_chains, -1), -(-self.num_draws // self.num_walkers)
        start = apart(weight, self.num_chains, self.num_walkers, rng)
        chains = np.repeat(np.arange(self.num_chains), self.num_walkers)
        moves = np.linspace(self.num_moves / 2, self.num_moves, num + 1)[1:].astype(int)
        places = known[rng.choice(len(weight), PLACES, p=weight)]

        def make() -> Walked:
            heights = lambda x: np.sum(density.heights(x, chains), axis=0)  # noqa: E731
            return walked(known[start], mixture, places, heights, rng, moves)

        level = np.zeros((len(start), num))
        blank = Walked(np.zeros((*level.shape, known.shape[1])), level, level[:, 0])
        found = Track(1, slice(0, self.num_chains), density, blocks).block(0, make, lambda: blank)
        if found is None:
            raise Interrupted("stopped before the walkers moved")
        accepted = np.repeat(found.accepted, num)
        stats = {"lp": found.height, "acceptance_rate": accepted, "n_steps": np.full_like(accepted, self.num_moves / num)}
        some = {name: x.reshape(shape)[:, : self.num_draws] for name, x in stats.items()}
        return found.position.reshape(*shape, known.shape[1])[:, : self.num_draws], some


def apart(
    weight: Float[np.ndarray, " point"], num_chains: int, num_walkers: int, rng: np.random.Generator
) -> Int[np.ndarray, " walker"]:
    """The points where the walkers of each chain start, by their weights; no two chains have one in common."""
    parts = np.array_split(rng.permutation(len(weight)), num_chains)
    shares = [weight[part] + 1e-300 for part in parts]
    return np.concatenate([rng.choice(x, num_walkers, p=p / p.sum()) for x, p in zip(parts, shares, strict=True)])


def walked(
    start: Float[np.ndarray, "walker parameter"],
    mixture: Mixture,
    places: Float[np.ndarray, "place parameter"],
    heights: Heights,
    rng: np.random.Generator,
    moves: Int[np.ndarray, " draw"],
) -> Walked:
    """Walkers from where they start, after so many moves each; steps nearby are differences of `places`."""
    num, dim = start.shape
    x, height, aside = start.copy(), heights(start), mixture.log_density(start)
    draws, accepted = [], np.zeros(num)
    for move in range(1, int(moves[-1]) + 1):
        if nearby := rng.random() < LOCAL:
            here, there = places[rng.integers(0, len(places), (2, num))]
            reach = np.where(rng.random(num) < WHOLE, 1.0, 2.38 / np.sqrt(2 * dim) * rng.choice(REACH, num))
            tried = x + reach[:, None] * (there - here)
        else:
            tried = mixture.draw(rng, num)
        found, density = heights(tried), mixture.log_density(tried)
        back = 0.0 if nearby else aside - density  # a step nearby is as likely as the one back
        # Where the density is zero the height is minus infinity; no walker is there, or comes there.
        taken = np.log(rng.random(num)) < found - height + back
        x[taken], height[taken], aside[taken] = tried[taken], found[taken], density[taken]
        accepted += taken
        draws += [(x.copy(), height.copy())] * int(np.count_nonzero(moves == move))
    position, level = (np.stack(each, axis=1) for each in zip(*draws, strict=True))
    return Walked(position, level, accepted / moves[-1])
