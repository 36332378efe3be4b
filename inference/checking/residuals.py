r"""Residuals that are exactly standard normal where the model is right, and tests of them.

A truth drawn from the prior, with readings drawn for it, has the same joint distribution as a draw of the posterior with
these readings. So at any one draw the chances $u_i = F(y_i \mid \theta)$ are independent and uniform, however few readings
there are and whatever they taught (Johnson, Bayesian Anal 2007;2:719; Gosselin, PLoS ONE 2011;6:e14770). A censored reading
takes any chance that it leaves possible, at random (Dunn and Smyth, J Comput Graph Stat 1996;5:236). Residuals are
$z_i = \Phi^{-1}(u_i)$. Every test is made at every draw, where its distribution is known. Twice the median of the p-values
of all draws is the p-value of the test, which holds however they depend on each other.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri
from scipy.stats import beta, chi2

from ..observations import Observations

SIMULATED = 4000  # sets of normal residuals
FEWEST = 4  # readings, without which the tests of patterns are not made
FLOOR = 1e-16  # of chances
MEAN, SD = (2 / np.pi) ** 0.5, (1 - 2 / np.pi) ** 0.5  # of the size of a standard normal number

type Numbers = Float[np.ndarray, "draw obs"]
type Statistic = Callable[[Numbers], Float[np.ndarray, " draw"]]


def scored(low: Numbers, high: Numbers, seed: int = 0) -> Numbers:
    """Residuals from the chances of a smaller reading and of one that is no larger: any number between them, at random."""
    u = low + np.random.default_rng(seed).random(np.shape(low)) * (high - low)
    return ndtri(np.clip(u, FLOOR, 1 - FLOOR))


def combined(p: Float[np.ndarray, " draw"]) -> float:
    r"""One p-value from those of many draws, of which each alone is valid: twice their median, or 1 if that is more.

    Valid however they depend on each other: twice the median is at most $a$ only where half of them are at most $a/2$, and
    by Markov's inequality that has a chance of at most $a$ (Rüger, Metrika 1978;25:171; Meinshausen, Meier and Bühlmann,
    J Am Stat Assoc 2009;104:1671).
    """
    return min(1.0, 2 * float(np.median(p)))


def simulated(statistic: Statistic, z: Numbers, seed: int = 1) -> float:
    """The p-value of a statistic that is large where the model is wrong, by its values for normal residuals."""
    null = np.sort(statistic(np.random.default_rng(seed).standard_normal((SIMULATED, z.shape[1]))))
    larger = len(null) - np.searchsorted(null, statistic(z), "left")
    return combined((1 + larger) / (1 + len(null)))


def waves(data: Observations) -> Float[np.ndarray, "obs wave"]:
    """Slow waves over the readings of each subject and analyte in order of time, of length one and at right angles.

    They are the cosines $\\cos(\\pi k (j + \\frac12) / n)$, of which $k = 0$ is level, up to $k = n/3$: a period of six
    readings. Single readings have none.
    """
    series = np.unique(np.array([data.subject, data.analyte]), axis=1, return_inverse=True)[1].ravel()
    columns = []
    for s in range(series.max() + 1):
        rows = np.flatnonzero(series == s)
        rows, num = rows[np.argsort(data.time[rows], kind="stable")], len(rows)
        for k in range(num // 3 + 1) if num > 1 else ():
            columns.append(np.zeros(len(data)))
            columns[-1][rows] = np.cos(np.pi * k * (np.arange(num) + 0.5) / num) * ((2 if k else 1) / num) ** 0.5
    return np.stack(columns, axis=1) if columns else np.zeros((len(data), 0))


def slow(z: Numbers, waves: Float[np.ndarray, "obs wave"]) -> float:
    """The p-value of the share of all squares that slow waves take up, whose distribution is a beta distribution."""
    num, taken = waves.shape
    share = ((z @ waves) ** 2).sum(axis=1) / (z**2).sum(axis=1)
    return combined(beta.sf(share, taken / 2, (num - taken) / 2))


def places(log_f: Numbers, analyte: tuple[str, ...]) -> Numbers:
    """The rank of each prediction among those of its analyte, centred, with squares that sum to one at every draw."""
    found, names = np.zeros(log_f.shape), np.array(analyte)
    for name in dict.fromkeys(analyte):
        mine = names == name
        rank = log_f[:, mine].argsort(axis=1).argsort(axis=1)
        found[:, mine] = (rank - rank.mean(axis=1, keepdims=True)) / max(1, mine.sum())
    return found / np.sqrt(np.maximum((found**2).sum(axis=1, keepdims=True), 1e-300))


def slopes(z: Numbers, x: Float[np.ndarray, "#draw obs"]) -> tuple[Float[np.ndarray, " draw"], Float[np.ndarray, " draw"]]:
    """How residuals, and their sizes, go with the prediction: both have mean 0 and SD 1 where the model is right."""
    return (x * z).sum(axis=1), (x * (np.abs(z) - MEAN)).sum(axis=1) / SD


def departure(z: Numbers) -> Float[np.ndarray, " draw"]:
    r"""How far residuals are from normal ones of any mean and SD: $n(S^2/6 + (K-3)^2/24)$ of skewness and kurtosis.

    Jarque and Bera (Int Stat Rev 1987;55:163), whose large-sample distribution is not used.
    """
    away = z - z.mean(axis=1, keepdims=True)
    square = (away**2).mean(axis=1)
    skew, tails = (away**3).mean(axis=1) / square**1.5, (away**4).mean(axis=1) / square**2
    return z.shape[1] * (skew**2 / 6 + (tails - 3) ** 2 / 24)


def size(z: Numbers) -> float:
    """The p-value of the sum of squares, too large or too small."""
    total, num = (z**2).sum(axis=1), z.shape[1]
    return combined(2 * np.minimum(chi2.cdf(total, num), chi2.sf(total, num)))


def tested(z: Numbers, log_f: Numbers, data: Observations) -> dict[str, float]:
    """The p-value of every test of residuals; those that so few readings do not allow are not a number."""
    low, x = waves(data), places(log_f, data.analyte)
    one = x[:1] if (x != 0).any() else None  # any order of the predictions has the same distribution

    def against(z: Numbers) -> Float[np.ndarray, " draw"]:
        a, b = slopes(z, x if len(z) == len(x) else one)  # type: ignore[arg-type]
        return a**2 + b**2

    few = len(data) < FEWEST
    return {
        "size": size(z),
        "time": np.nan if few or not 0 < low.shape[1] < len(data) else slow(z, low),
        "prediction": np.nan if few or one is None else simulated(against, z),
        "shape": np.nan if few else simulated(departure, z),
    }
