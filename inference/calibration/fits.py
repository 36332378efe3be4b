"""A fit for every replicate: one compiled program, a check of each fit, and a more careful fit where the check fails."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from ..keys import branches, generator
from ..samplers import Blocks, Density, Draws, Interrupted, Sampler, Stuck, thinned
from ..verdict import PARETO_K, largest_rhat
from .ranks import ranked

RHAT = 1.02  # chains are short: their ranks bear what a posterior's tails would not
LIKELIHOOD = "log_likelihood"


class Check(NamedTuple):
    """What tells whether draws can be trusted: the least bulk ESS and the largest R-hat of a parameter, and what the sampler
    tells beside its draws."""

    ess: Float[np.ndarray, ""]
    r_hat: Float[np.ndarray, ""]
    pareto_k: Float[np.ndarray, ""]
    num_divergences: Int[np.ndarray, ""]

    def faults(self, least: int) -> list[str]:
        """Why not; empty where they can be, as far as they must be worth at least so many."""
        checks = [
            (self.ess >= least, f"ESS {self.ess:.0f} below {least}"),
            (self.r_hat <= RHAT, f"R-hat {self.r_hat:.3f} above {RHAT}"),
            (not self.pareto_k > PARETO_K, f"Pareto k {self.pareto_k:.2f} above {PARETO_K}"),
            (self.num_divergences == 0, f"{self.num_divergences} divergences"),
        ]
        return [text for okay, text in checks if not okay]


class Sampled(NamedTuple):
    """Draws, their check, the number of the sampler that made them, and the solves of all that were tried.

    Where none could sample, there are no draws.
    """

    position: Float[np.ndarray, "chain draw parameter"] | None
    check: Check
    sampler: Int[np.ndarray, ""]
    num_solves: Int[np.ndarray, ""]
    num_failed: Int[np.ndarray, ""]


class Fit(NamedTuple):
    """What is kept of a replicate's fit; of a quantity, the parameters that all subjects share and then the log-likelihood.

    `rank` is that of the truth among the draws, `below` the share of all draws below it; `mean` and `sd` are of the
    logarithms of parameters. What could not be fitted has ranks of -1.
    """

    rank: Int[np.ndarray, " quantity"]
    below: Float[np.ndarray, " quantity"]
    mean: Float[np.ndarray, " parameter"]
    sd: Float[np.ndarray, " parameter"]
    sampled: Sampled

    @property
    def there(self) -> bool:
        """Whether it could be fitted."""
        return bool(self.rank[0] >= 0)

    def faults(self, num_ranks: int) -> list[str]:
        """Why its ranks are not to be trusted; empty where they are."""
        return self.sampled.check.faults(num_ranks) if self.there else ["not fitted"]


def sampled(density: Density, samplers: Sequence[Sampler], key: PRNGKeyArray, least: int) -> Sampled:
    """Draws of the first sampler whose draws can be trusted; of the last that gave any where none can be."""
    best, solves, failed = nothing(density.sites.size).sampled, 0, 0
    for number, (sampler, own) in enumerate(zip(samplers, branches(key, len(samplers)), strict=True)):
        try:
            found = sampler.sample(density, own)
        except Stuck:
            continue
        solves, failed = solves + found.num_solves, failed + found.num_failed
        x = np.asarray(density.positions(found.values))
        check = _checked(x[..., density.sites.shared], found)
        best = Sampled(x, check, np.array(number), np.array(solves), np.array(failed))
        if not best.check.faults(least):
            break
    return best


def fitted(
    density: Density,
    truth: Float[np.ndarray, " parameter"],
    samplers: Sequence[Sampler],
    key: PRNGKeyArray,
    num_ranks: int,
) -> Fit:
    """The fit of one replicate, by the first of these samplers whose draws can be trusted."""
    key_sample, key_rank = branches(key, 2)
    found, shared = sampled(density, samplers, key_sample, num_ranks), density.sites.shared
    if found.position is None:
        return nothing(len(shared))
    flat = found.position.reshape(-1, len(truth))
    some = flat[thinned(len(flat), num_ranks)]
    likelihood = density.heights(np.concatenate([truth[None], some]), np.full(len(some) + 1, -1))[1]
    flat, some, truth = flat[:, shared], some[:, shared], truth[shared]
    below = np.append((flat < truth).mean(axis=0), (likelihood[1:] < likelihood[0]).mean())
    rank = ranked(np.column_stack([some, likelihood[1:]]), np.append(truth, likelihood[0]), generator(key_rank))
    return Fit(rank, below, flat.mean(axis=0), flat.std(axis=0), found._replace(position=None))


def nothing(size: int) -> Fit:
    """What is kept of a replicate of so many shared parameters that could not be fitted."""
    blank, none, zero = np.full(size, np.nan), np.array(np.nan), np.array(0)
    lost = Sampled(None, Check(none, none, none, zero), zero, zero, zero)
    return Fit(np.full(size + 1, -1), np.full(size + 1, np.nan), blank, blank, lost)


def _checked(x: Float[np.ndarray, "chain draw parameter"], found: Draws) -> Check:
    from arviz_stats.base import array_stats  # late, as in the verdict

    ess = [float(np.asarray(array_stats.ess(x[..., k], 0, 1))) for k in range(x.shape[-1])]
    shape, diverged = found.facts.get("pareto_k", np.nan), int(np.sum(found.stats.get("diverging", 0)))
    return Check(np.array(np.min(ess)), np.array(largest_rhat(x)), np.array(shape), np.array(diverged))


def every_fit(
    fit: Callable[[int], Fit], num: int, size: int, blocks: Blocks, report: Callable[[int, int], None], threads: int = 1
) -> list[Fit]:
    """The fits of all replicates, each on disk as soon as it is finished; those that are there are not made again.

    `size` is the number of parameters that are shared. Raises `Interrupted` if `blocks.stop` was set.
    """
    done = [0]

    def one(number: int) -> Fit | None:
        found = blocks.read(0, number, lambda: nothing(size))
        if found is None and not blocks.stop:
            found = fit(number)
            blocks.write(0, number, found)
        done[0] += 1
        report(done[0], num)
        return found

    found = [one(0)]  # compiles for all
    with ThreadPoolExecutor(threads) as pool:
        found += list(pool.map(one, range(1, num)))
    whole = [x for x in found if x is not None]
    if len(whole) < num:
        raise Interrupted(f"stopped after {len(whole)} of {num} fits")
    return whole
