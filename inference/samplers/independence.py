r"""Independence chains: a mixture is fitted to the posterior, and its draws are accepted or rejected.

The prior is turned into the posterior by degrees. In every round points of a mixture of Student's t distributions are
weighted by prior times likelihood to a power that grows from 0 to 1, and the next mixture is fitted to the weighted points
of the last rounds (Hoogerheide, Opschoor and van Dijk, J Econometrics 2012;171:101). All rounds count as one mixture
(Cornuet, Marin, Mira and Robert, Scand J Stat 2012;39:798). At the posterior a part of every mixture is fitted to a lower
power, to reach into thin tails (Hesterberg, Technometrics 1995;37:185). What the last rounds fitted then proposes to Markov
chains, which are exact whatever it is (Tierney, Ann Stat 1994;22:1701): where it fits badly they stand still, and R-hat and
ESS show it. Walkers, where there are any, also move nearby, and stand still nowhere.
"""

import time
from functools import cache
from typing import NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Float, PRNGKeyArray
from scipy.special import logsumexp

from ..keys import branches, generator
from .blocks import Blocks, Interrupted
from .density import Density, Posed
from .draws import Draws, Report, Track
from .mixture import Mixture, fitted
from .settings import at_least_one, share
from .starts import Stuck, without_climbs
from .walkers import Walkers
from .weights import log_mean, normalised, smoothed, worth

LARGEST = 40  # parameters
KEPT = 4  # rounds that a mixture is fitted to while the likelihood is raised
WORTH = 3  # proposals for every draw, in effective ones
MOST = 50  # proposals for every draw
HEAVY = 10  # times the mean: weights below hold no chain up
EASY = 0.4  # share of effective points at which no more rounds are needed
DEFENSIVE, HEATED = 0.3, 0.5  # the share of proposals that go beyond the posterior, and the power they are fitted at
COLDEST, LADDER = 1e-6, 100  # the first power of the likelihood, and how many there are to choose from on the way to 1
STRIDE = 10  # of the powers that are looked at first


class Round(NamedTuple):
    """Points with their log-prior and log-likelihood, minus infinity where a solve failed."""

    x: Float[np.ndarray, "point parameter"]
    prior: Float[np.ndarray, " point"]
    likelihood: Float[np.ndarray, " point"]


class Independence(eqx.Module):
    """Metropolis-Hastings chains whose proposals are independent draws of a mixture that was fitted to the posterior.

    It takes no gradients, and every batch of `num_points` solves runs side by side: for up to some fifteen parameters it is
    many times as fast as any chain that feels its way. It finds modes that lie apart, and gives the evidence. A posterior of
    many dimensions is out of its reach, which `Stuck`, Pareto k or the diagnostics of the chains say.

    With `num_walkers` every chain is so many walkers of `num_moves` moves, half of them steps nearby: for what no mixture is
    quite like. No two chains start at one point: R-hat shows what they still know. There is neither evidence nor Pareto k.
    """

    num_draws: int = eqx.field(default=1000, static=True)
    num_chains: int = eqx.field(default=4, static=True)
    num_points: int = eqx.field(default=8192, static=True)
    num_rounds: int = eqx.field(default=8, static=True)
    max_rounds: int = eqx.field(default=60, static=True)
    max_parts: int = eqx.field(default=16, static=True)
    num_walkers: int = eqx.field(default=0, static=True)
    num_moves: int = eqx.field(default=100, static=True)
    target_ess: float = eqx.field(default=0.1, static=True)

    def __check_init__(self) -> None:
        at_least_one(self, "num_draws", "num_chains", "num_points", "num_rounds", "max_rounds", "max_parts", "num_moves")
        if self.num_walkers < 0:
            raise ValueError(f"`sampler.num_walkers` is {self.num_walkers}; give 0 for none, or more")
        share(self, "target_ess")

    def sample(
        self,
        problem: Posed,
        key: PRNGKeyArray,
        report: Report = lambda done, total: None,
        blocks: Blocks | None = None,
    ) -> Draws:
        """Sample the posterior of `problem`; `report(done, total)` hears of progress in per cent.

        Raises `Stuck` if the posterior is not reached, `Interrupted` if `blocks.stop` was set. `facts` holds `log_evidence`,
        its standard error, and the `pareto_k` of the weights of all proposals.
        """
        clock = time.perf_counter()
        blocks = blocks or Blocks()
        density = Density.of(problem, self.num_chains)
        if density.sites.size > LARGEST:
            raise Stuck(f"a posterior of {density.sites.size} parameters is too large for a mixture; use sampler=nuts")
        key_learn, key_start, key_walk = branches(key, 3)
        mixture, known, weight, learnt = self._learn(density, key_learn, blocks, report)
        starting = time.perf_counter() - clock
        if self.num_walkers:
            walkers = Walkers(self.num_chains, self.num_walkers, self.num_moves, self.num_draws)
            position, stats = walkers.walk(density, known.x, weight, mixture, key_walk, blocks)
            spent = {"starts": starting, "sampling": time.perf_counter() - clock - starting}
            return self._drawn(density, position, stats, learnt, walkers.num_solves, spent, {})
        late = weight[-len(weight) // 2 :]
        step = int(np.clip(np.ceil(WORTH * len(late) / worth(late)), 1, MOST))
        walk = self._proposals(density, mixture, step, key_walk, blocks, report)
        position, stats = self._walk(known, weight, mixture, walk, step, generator(key_start))
        log_weight = walk.prior + walk.likelihood - mixture.log_density(walk.x)
        spent = {"starts": starting, "sampling": time.perf_counter() - clock - starting}
        return self._drawn(density, position, stats, learnt, len(walk.x), spent, _judged(log_weight))

    def _drawn(
        self,
        density: Density,
        position: Float[np.ndarray, "chain draw parameter"],
        stats: dict[str, np.ndarray],
        learnt: int,
        solves: int,
        seconds: dict[str, float],
        facts: dict[str, float],
    ) -> Draws:
        """The draws of chains that took so many solves, beside those from which the mixture was learnt."""
        return Draws(
            {name: np.asarray(x) for name, x in density.values(position).items()},
            stats,
            {},
            without_climbs(position[:, 0], 0, 0),
            solves + learnt,
            int(density.failures.sum()),
            density.failures[:-1] / (solves / self.num_chains),
            seconds,
            facts=facts,
            failed_by_subject=density.by_subject,
        )

    def _learn(
        self, density: Density, key: PRNGKeyArray, blocks: Blocks, report: Report
    ) -> tuple[Mixture, Round, Float[np.ndarray, " point"], int]:
        """From the prior to a mixture like the posterior.

        Returns it, the points of the rounds at the posterior with their weights, and the number of solves.
        """
        track = Track(0, slice(self.num_chains, self.num_chains + 1), density, blocks)
        rounds, proposals, power, arrived = [], _Proposals(), COLDEST, 0
        for number, key_round in enumerate(branches(key, self.max_rounds)):
            rng, mixture = generator(key_round), proposals.mixtures[-1]
            size = self.num_points if arrived else -(-self.num_points // 2)
            x = density.prior_draws(key_round, size) if mixture is None else mixture.draw(rng, size)
            found = _looked(track, number, density, x, np.full(len(x), -1))
            if found is None:
                raise Interrupted(f"stopped after {number} rounds")
            rounds.append(found)
            first = number + 1 - max(KEPT, arrived + 1)
            recent = Round(*(np.concatenate(parts) for parts in zip(*rounds[max(first, 0) :], strict=True)))
            if not np.isfinite(recent.likelihood).any():
                raise Stuck("no draw from the prior can be solved; narrow the priors or raise `solver.max_steps`")
            ratio = recent.prior - proposals.log_density(rounds, max(first, 0))
            power, weight = _heated(ratio, recent.likelihood, power, self.target_ess * size)
            proposals.mixtures.append(fitted(recent.x, weight, self.max_parts, rng))
            if power == 1.0:
                arrived += 1
                heated = _weights(ratio, recent.likelihood, HEATED)
                parts = [proposals.mixtures[-1], fitted(recent.x, heated, self.max_parts, rng)]
                proposals.mixtures[-1] = Mixture.of(parts, [1 - DEFENSIVE, DEFENSIVE])
            report(int(40 * (1 - np.log10(power) / np.log10(COLDEST)) + 10 * arrived / self.num_rounds), 100)
            if arrived == self.num_rounds or (arrived > 1 and worth(weight[-size:]) > EASY * size):
                solves = sum(len(part.x) for part in rounds)
                last = [found for found in proposals.mixtures[-1 - arrived // 2 :] if found is not None]
                return Mixture.of(last), recent, weight, solves
        raise Stuck(
            f"after {self.max_rounds} rounds no mixture is like the posterior of {density.sites.size} parameters; use"
            " sampler=nuts, or raise `sampler.num_points`"
        )

    def _proposals(
        self, density: Density, mixture: Mixture, step: int, key: PRNGKeyArray, blocks: Blocks, report: Report
    ) -> Round:
        """The proposals of all chains, one chain after the other."""
        total = self.num_chains * self.num_draws * step
        track = Track(1, slice(0, self.num_chains), density, blocks)
        parts, size = [], self.num_points
        for number, key_part in enumerate(branches(key, -(-total // size))):
            x = mixture.draw(generator(key_part), min(size, total - number * size))
            chains = (number * size + np.arange(len(x))) * self.num_chains // total
            found = _looked(track, number, density, x, chains)
            if found is None:
                raise Interrupted(f"stopped after {number * size} of {total} proposals")
            parts.append(found)
            report(50 + int(50 * min(1.0, (number + 1) * size / total)), 100)
        return Round(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _walk(
        self,
        known: Round,
        weight: Float[np.ndarray, " point"],
        mixture: Mixture,
        walk: Round,
        step: int,
        rng: np.random.Generator,
    ) -> tuple[Float[np.ndarray, "chain draw parameter"], dict[str, np.ndarray]]:
        """The chains through their proposals, of which every so many make a draw."""
        start = rng.choice(len(weight), self.num_chains, p=weight)
        x = np.concatenate([known.x[start], walk.x])
        height = np.concatenate([(known.prior + known.likelihood)[start], walk.prior + walk.likelihood])
        log_weight = (height - mixture.log_density(x)).tolist()
        shape = (self.num_chains, self.num_draws, step)
        threshold = np.log(rng.random(shape)).reshape(self.num_chains, -1).tolist()
        where, moved = np.zeros(shape[:2], int), np.zeros(shape[:2])
        for chain in range(self.num_chains):
            here, first, draws = chain, self.num_chains + chain * self.num_draws * step, threshold[chain]
            for i in range(self.num_draws * step):
                if draws[i] < log_weight[first + i] - log_weight[here]:
                    here = first + i
                    moved[chain, i // step] += 1
                where[chain, i // step] = here
        stats = {"lp": height[where], "acceptance_rate": moved / step, "n_steps": np.full(shape[:2], step)}
        return x[where], stats


def _looked(track: Track, number: int, density: Density, x: np.ndarray, chains: np.ndarray) -> Round | None:
    """Points with their heights, as a block; None if it is not there and sampling was asked to stop."""
    blank = np.zeros(len(x))
    return track.block(number, lambda: Round(x, *density.heights(x, chains)), lambda: Round(x, blank, blank))


class _Proposals:
    """The mixtures that made the points of every round, the prior (None) those of the first; densities are kept."""

    def __init__(self) -> None:
        self.mixtures: list[Mixture | None] = [None]
        self._known: dict[tuple[int, int], np.ndarray] = {}

    def log_density(self, rounds: list[Round], first: int) -> Float[np.ndarray, " point"]:
        """At the points of the rounds since `first`, the log-density of the mixture of their proposals."""
        since = range(first, len(rounds))
        each = [np.concatenate([self._one(i, rounds[i], j) for i in since]) for j in since]
        return logsumexp(each, axis=0) - np.log(len(each))

    def _one(self, number: int, points: Round, j: int) -> np.ndarray:
        if (number, j) not in self._known:
            mixture = self.mixtures[j]
            self._known[number, j] = points.prior if mixture is None else mixture.log_density(points.x)
        return self._known[number, j]


def _heated(
    ratio: Float[np.ndarray, " point"], likelihood: Float[np.ndarray, " point"], power: float, target: float
) -> tuple[float, Float[np.ndarray, " point"]]:
    """The weights under the highest power of the likelihood, from the last one to 1, that leaves so many effective points.

    Where there is none, that which leaves the most.
    """
    powers = np.geomspace(power, 1.0, LADDER)[::-1].tolist()

    @cache
    def effective(rung: int) -> float:
        return worth(_weights(ratio, likelihood, powers[rung]))

    def best(rungs: range) -> int:
        enough = next((rung for rung in rungs if effective(rung) >= target), None)
        return max(rungs, key=effective) if enough is None else enough

    near = best(range(STRIDE - 1, LADDER, STRIDE))
    rung = best(range(near - STRIDE + 1, min(near + STRIDE, LADDER)))
    return powers[rung], _weights(ratio, likelihood, powers[rung])


def _weights(
    ratio: Float[np.ndarray, " point"], likelihood: Float[np.ndarray, " point"], power: float
) -> Float[np.ndarray, " point"]:
    """The weights of points under a power of the likelihood; they sum to 1."""
    return normalised(np.where(np.isfinite(likelihood), ratio + power * likelihood, -np.inf))


def _judged(log_weight: Float[np.ndarray, " proposal"]) -> dict[str, float]:
    """The evidence, which is the mean weight, its standard error, and the Pareto k of the weights: 0 if none is large."""
    value, error = log_mean(log_weight)
    heavy = log_weight.max() - value > np.log(HEAVY)
    return {"log_evidence": value, "log_evidence_se": error, "pareto_k": smoothed(log_weight)[1] if heavy else 0.0}
