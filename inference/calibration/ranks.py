r"""Ranks of truths among draws, and the band that they stay within where the inference is right.

Where truth and draws come from one posterior, the rank of the truth among $L$ draws is uniform on $0..L$ (Talts et al.,
arXiv:1804.06788), and so is that of any quantity of parameters and readings (Modrák et al., Bayesian Anal 2025;20:461). The
band is simultaneous: with $R_j$ of $N$ ranks below $j$, binomial of chance $z_j = j/(L+1)$ with distribution function $F_j$,
the statistic is $\min_j 2\min(F_j(R_j), 1 - F_j(R_j - 1))$, and its quantiles are simulated (Säilynoja, Bürkner and Vehtari,
Stat Comput 2022;32:32).
"""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import beta, binom

SIMULATED = 20_000  # sets of uniform ranks
LEVEL = 0.95
CENTRAL = (0.5, 0.8, 0.9, 0.95)  # intervals whose coverage is looked at


class Band(NamedTuple):
    """The counts `low` to `high` of ranks below $j = 1..L$ that all of uniform ranks lie in at `LEVEL`.

    `null` is the statistic of simulated uniform ranks, ascending.
    """

    num: int
    most: int
    low: Int[np.ndarray, " rank"]
    high: Int[np.ndarray, " rank"]
    null: Float[np.ndarray, " simulation"]

    @property
    def at(self) -> Float[np.ndarray, " rank"]:
        """The chances $z_j$."""
        return np.arange(1, self.most + 1) / (self.most + 1)

    def p_value(self, ranks: Int[np.ndarray, " replicate"]) -> float:
        """The chance that uniform ranks are as uneven as these."""
        seen = _statistic(_below(ranks, self.most)[None], self.num)[0]
        return float((1 + np.searchsorted(self.null, seen * (1 + 1e-12), "right")) / (1 + len(self.null)))

    def holds(self, ranks: Int[np.ndarray, " replicate"]) -> bool:
        """Whether the band holds all counts of these ranks."""
        counts = _below(ranks, self.most)
        return bool(np.all((self.low <= counts) & (counts <= self.high)))

    def difference(self, ranks: Int[np.ndarray, " replicate"]) -> Float[np.ndarray, " rank"]:
        """The distribution function of ranks less that of uniform ones, at every chance."""
        return _below(ranks, self.most) / self.num - self.at


def ranked(draws: Float[np.ndarray, "draw quantity"], truth: Float[np.ndarray, " quantity"], rng: np.random.Generator):
    """The rank of each truth among draws, from 0 to their number; a tie is broken at random."""
    below, same = (draws < truth).sum(axis=0), (draws == truth).sum(axis=0)
    return below + rng.integers(0, same + 1)


@functools.cache
def band(num: int, most: int, seed: int = 0) -> Band:
    """The band of `num` ranks among `most` draws each."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(num, np.full(most + 1, 1 / (most + 1)), size=SIMULATED).cumsum(axis=1)[:, :-1]
    null = np.sort(_statistic(counts, num))
    least = null[int((1 - LEVEL) * SIMULATED)]
    inside = _tails(num, most) >= least * (1 - 1e-12)
    low, high = inside.argmax(axis=0), num - inside[::-1].argmax(axis=0)
    return Band(num, most, low, high, null)


@functools.cache
def _tails(num: int, most: int) -> Float[np.ndarray, "count rank"]:
    """Twice the smaller tail of every count at every chance."""
    count, at = np.arange(num + 1)[:, None], np.arange(1, most + 1) / (most + 1)
    return 2 * np.minimum(binom.cdf(count, num, at), binom.sf(count - 1, num, at))


def _below(ranks: Int[np.ndarray, " replicate"], most: int) -> Int[np.ndarray, " rank"]:
    return np.bincount(ranks, minlength=most + 1).cumsum()[:-1]


def _statistic(counts: Int[np.ndarray, "set rank"], num: int) -> Float[np.ndarray, " set"]:
    return _tails(num, counts.shape[1])[counts, np.arange(counts.shape[1])].min(axis=1)


def covered(below: Float[np.ndarray, " replicate"], level: float) -> float:
    """The share of truths within the central interval of their posterior, of which so large a share of draws lies below."""
    return float(np.mean(np.abs(below - 0.5) <= level / 2))


def likely(share: float, num: int) -> tuple[float, float]:
    """The 95 % interval of a chance of which `num` trials saw this share (Clopper and Pearson, Biometrika 1934;26:404)."""
    hits = round(share * num)
    low = beta.ppf(0.025, hits, num - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, num - hits) if hits < num else 1.0
    return float(low), float(high)
