r"""What the choice hangs on, and whether knowing more would change it.

Perfect information is worth $E[\max_a U_a] - \max_a E[U_a]$. One number $x$, a parameter or a reading still to come, is
worth $E[\max_a E(U_a \mid x)] - \max_a E[U_a]$ (Strong, Oakley and Brennan, Med Decis Making 2014;34:311). Here it is what
a rule is worth: the inner expectation is a mean over neighbouring draws, the option that it finds best is chosen, and the
rule is judged by draws that it has not seen. So there is no luck in it, and it is never more than perfect information.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy.stats import spearmanr

FOLDS = 10
NEAR = 0.05  # of the draws are neighbours

type Worth = Float[np.ndarray, "option draw"]


def perfect(worth: Worth) -> float:
    """The expected value of knowing everything."""
    return float(worth.max(axis=0).mean() - worth.mean(axis=1).max())


def informed(worth: Worth, known: Float[np.ndarray, " draw"]) -> float:
    """The expected utility where the choice may hang on one number, known before it."""
    choice = rule(worth, known)
    return float(worth[choice, np.arange(worth.shape[1])].mean())


def rule(worth: Worth, known: Float[np.ndarray, " draw"]) -> Int[np.ndarray, " draw"]:
    """The option to choose in every draw given one number, learned from the draws of the other folds."""
    num = worth.shape[1]
    fold = np.random.default_rng(0).permutation(num) % FOLDS
    choice = np.zeros(num, int)
    for k in range(FOLDS):
        inside, outside = np.flatnonzero(fold == k), np.flatnonzero(fold != k)
        order = outside[np.argsort(known[outside], kind="stable")]
        size = max(int(NEAR * len(order)), min(20, len(order)))
        sums = np.concatenate([np.zeros((len(worth), 1)), np.cumsum(worth[:, order], axis=1)], axis=1)
        place = np.searchsorted(known[order], known[inside])
        begin = np.clip(place - size // 2, 0, len(order) - size)
        choice[inside] = (sums[:, begin + size] - sums[:, begin]).argmax(axis=0)
    return choice


def sensitivity(worth: Worth, parameters: Mapping[str, Float[np.ndarray, " draw"]], best: int) -> pd.DataFrame:
    """One row per parameter: the value of knowing it, its share of that of knowing everything, and its rank correlation
    with what the option `best` adds to no treatment."""
    whole, without = perfect(worth), worth.mean(axis=1).max()
    rows = []
    for name, x in parameters.items():
        value = max(informed(worth, x) - without, 0.0)
        gain = worth[best] - worth[0]
        moves = np.ptp(x) > 0 and np.ptp(gain) > 0
        rows.append((name, value, value / whole if whole > 0 else 0.0, float(spearmanr(x, gain)[0]) if moves else np.nan))
    found = pd.DataFrame(rows, columns=["parameter", "value", "share", "correlation"])
    return found.sort_values("value", ascending=False, ignore_index=True)


def waiting(worth: Worth, reading: Float[np.ndarray, " draw"], still_open: Bool[np.ndarray, " option"]) -> dict[str, float]:
    """What one more reading is worth: `now`, if it were known at the decision; `later`, if one waits for it, so that only
    options that are `still_open` can follow it. Later may cost more than it tells: then the value is negative."""
    best = worth.mean(axis=1).max()
    return {"now": max(informed(worth, reading) - best, 0.0), "later": informed(worth[still_open], reading) - best}
