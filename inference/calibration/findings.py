"""What the ranks say, in tables and in words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..population import Population
from ..problem import Problem
from ..quantities import quantities
from ..summary import records
from .fits import LIKELIHOOD, Fit
from .ranks import CENTRAL, LEVEL, Band, band, covered, likely
from .replicates import Replicates

LOST = 0.01  # the share of replicates that may go without a fit
DOUBTFUL = 0.05  # or whose fit did not pass its check
TOO_FAR = 2.0  # standard errors from which on a mean or a spread of ranks is named


def by_replicate(fits: Sequence[Fit], samplers: Sequence[str], num_ranks: int) -> pd.DataFrame:
    """One row per replicate: which sampler made its fit, what was checked, and its faults."""
    rows = []
    for number, fit in enumerate(fits):
        found, check = fit.sampled, fit.sampled.check
        rows.append(
            {
                "replicate": number,
                "sampler": samplers[int(found.sampler)] if fit.there else "none",
                "attempt": int(found.sampler) + 1,
                "ess": float(check.ess),
                "r_hat": float(check.r_hat),
                "pareto_k": float(check.pareto_k),
                "num_divergences": int(check.num_divergences),
                "num_solves": int(found.num_solves),
                "num_failed": int(found.num_failed),
                "faults": "; ".join(fit.faults(num_ranks)),
            }
        )
    return pd.DataFrame(rows)


def by_rank(
    problem: Problem | Population, replicates: Replicates, fits: Sequence[Fit], wide: np.ndarray | None = None
) -> pd.DataFrame:
    """One row per replicate and quantity: truth, rank, the share of draws below the truth, contraction and z-score.

    Both are of logarithms, as samplers move them (of coefficients as they are, of correlations of their Fisher transform):
    $1 - \\mathrm{SD}^2_{post}/\\mathrm{SD}^2_{prior}$ and $(\\bar\\theta - \\theta^*)/\\mathrm{SD}_{post}$.
    `wide` are the standard deviations that contraction is from, those of the priors if none are given.
    """
    told, shared = quantities(problem), problem.sites.shared
    names = [*(q.name for q in told), LIKELIHOOD]
    wide = problem.sites.spread[shared] if wide is None else wide
    frames = []
    for number, (fit, truth) in enumerate(zip(fits, replicates.truth, strict=True)):
        beside = np.full(len(names), np.nan)
        contraction, z = beside.copy(), beside.copy()
        contraction[:-1], z[:-1] = 1 - fit.sd**2 / wide**2, (fit.mean - truth[shared]) / fit.sd
        frames.append(
            pd.DataFrame(
                {
                    "replicate": number,
                    "parameter": names,
                    "truth": np.append([q.value(truth) for q in told], np.nan),
                    "rank": fit.rank,
                    "below": fit.below,
                    "contraction": contraction,
                    "z_score": z,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def table(ranks: pd.DataFrame, num_ranks: int, text: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """One row per quantity: whether its ranks are uniform, coverage, contraction and z-score over the replicates.

    `p_value` is that of the largest departure anywhere; `in_band` whether the simultaneous 95 % band holds all ranks.
    `passes` allows for the number of quantities (Bonferroni): one of twenty that are right leaves its own band.
    """
    rows, each = [], by_quantity(ranks)
    for name, columns in each.items():
        rank, below, num = columns["rank"], columns["below"], len(columns["rank"])
        limits = band(num, num_ranks)
        p_value = limits.p_value(rank)
        about = text.get(name, {"symbol": r"\log p(y)", "unit": "1"})
        row: dict[str, Any] = {"parameter": name, "symbol": about["symbol"], "unit": about["unit"], "num": num}
        row |= {"p_value": p_value, "in_band": limits.holds(rank), "passes": p_value > (1 - LEVEL) / len(each)}
        for level in CENTRAL:
            share = covered(below, level)
            low, high = likely(share, num)
            row |= {f"coverage_{level * 100:.0f}": share, f"low_{level * 100:.0f}": low, f"high_{level * 100:.0f}": high}
        low, middle, high = np.quantile(columns["contraction"], [0.05, 0.5, 0.95])
        row |= {"contraction": middle, "contraction_q5": low, "contraction_q95": high}
        z = columns["z_score"]
        row |= {
            "z_mean": z.mean(),
            "z_sd": z.std(ddof=1),
            "shape": shape(rank, num_ranks) if not row["passes"] else "uniform",
        }
        rows.append(row)
    return pd.DataFrame(rows)


def shape(rank: np.ndarray, num_ranks: int) -> str:
    """In words, how ranks depart from uniform ones: by their mean, and by how far they lie from the middle."""
    u = (rank + 0.5) / (num_ranks + 1)
    mean, spread = (u.mean() - 0.5) * np.sqrt(12 * len(u)), (np.mean((u - 0.5) ** 2) - 1 / 12) * np.sqrt(180 * len(u))
    words = []
    if abs(mean) > TOO_FAR:
        words.append("draws lie too low" if mean > 0 else "draws lie too high")
    if abs(spread) > TOO_FAR:
        words.append("posteriors are too narrow" if spread > 0 else "posteriors are too wide")
    return " and ".join(words) or "uneven"


def faults(found: pd.DataFrame, fits: pd.DataFrame) -> list[str]:
    """Why the calibration does not pass; empty where it does."""
    lost, doubtful = counted(fits)
    reasons = [
        f"{row['parameter']}: ranks are not uniform, p {row['p_value']:.2g}: {row['shape']}"
        for row in records(found)
        if not row["passes"]
    ]
    if lost > LOST * len(fits):
        reasons.append(f"{lost} of {len(fits)} replicates could not be fitted, more than {LOST:.0%}: use another sampler")
    if doubtful > DOUBTFUL * len(fits):
        reasons.append(
            f"{doubtful} of {len(fits)} fits did not pass their check, more than {DOUBTFUL:.0%}: their ranks are counted,"
            " and show the sampler as much as the problem; draw more, or use another sampler"
        )
    return reasons


def counted(fits: pd.DataFrame) -> tuple[int, int]:
    """How many replicates could not be fitted, and how many fits did not pass their check."""
    lost = int(np.count_nonzero(fits["sampler"] == "none"))
    return lost, int(np.count_nonzero(fits["faults"] != "")) - lost


def by_quantity(ranks: pd.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    """The numbers of every quantity, by column, over the replicates that could be fitted."""
    there = ranks[ranks["rank"] >= 0]
    names = ("rank", "below", "contraction", "z_score")
    return {
        str(quantity): {name: np.asarray(mine[name]) for name in names}
        for quantity, mine in there.groupby("parameter", sort=False)
    }


def bands(ranks: pd.DataFrame, num_ranks: int) -> dict[str, tuple[Band, np.ndarray]]:
    """The band and the ranks of every quantity, for figures."""
    return {name: (band(len(x["rank"]), num_ranks), x["rank"]) for name, x in by_quantity(ranks).items()}
