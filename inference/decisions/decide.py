r"""Which option is best, and how sure that is: paired differences, probability of being best, regret, window.

All is paired: a draw of a patient is compared with itself under another option. Differences then hold what treatment does,
and not how patients and draws differ.
"""

import numpy as np
import pandas as pd
from jaxtyping import Float

from .counterfactual import Comparison
from .utility import Utility

INTERVAL = (0.05, 0.95)

type Worth = Float[np.ndarray, "option draw"]


def cases(comparison: Comparison, x: np.ndarray, patient: int | None = None) -> np.ndarray:
    """`x` over option, patient and draw as option by case, for one patient or all: only draws that all options solve."""
    which = slice(None) if patient is None else slice(patient, patient + 1)
    return x[:, which][:, comparison.whole[which]]


def groups(comparison: Comparison) -> list[tuple[str, int | None]]:
    """Of whom tables speak: all patients together where there are several, then each."""
    each: list[tuple[str, int | None]] = [(label, i) for i, label in enumerate(comparison.patients)]
    return each if len(each) == 1 else [("all", None), *each]


def decisions(comparison: Comparison, utility: Utility) -> pd.DataFrame:
    """One row per group of patients and option.

    Columns: arm, start_h (by the option's clock), dose, clock; the mean `utility` and its paired difference to no treatment
    with 90 % interval and standard error; `p_better` than no treatment and `p_best`, the shares of draws; and the expected
    `regret`, what the best choice of each draw would add. `expected_best` marks the option of the highest mean utility.
    """
    every, parts = utility.of(comparison), []
    for label, patient in groups(comparison):
        worth = cases(comparison, every, patient)
        if not worth.shape[1]:
            continue
        gain = worth - worth[0]
        mean = worth.mean(axis=1)
        low, high = np.quantile(gain, INTERVAL, axis=1)
        parts.append(
            _described(comparison, label).assign(
                num=worth.shape[1],
                utility=mean,
                difference=gain.mean(axis=1),
                q5=low,
                q95=high,
                se=_se(gain),
                se_unpaired=np.sqrt(_se(worth) ** 2 + _se(worth)[0] ** 2) * (np.arange(len(worth)) > 0),
                p_better=np.mean(gain > 0, axis=1),
                p_best=best_shares(worth),
                regret=(worth.max(axis=0) - worth).mean(axis=1),
                expected_best=mean == mean.max(),
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else _described(comparison, "").iloc[:0]


def best_shares(worth: Worth) -> Float[np.ndarray, " option"]:
    """The share of draws in which each option is best; those that tie share a draw."""
    best = worth == worth.max(axis=0)
    return (best / best.sum(axis=0)).mean(axis=1)


def outcome_table(comparison: Comparison) -> pd.DataFrame:
    """One row per group, option and outcome: mean, median and 90 % interval, and the paired difference to no treatment."""
    parts = []
    for label, patient in groups(comparison):
        for k, (name, unit) in enumerate(zip(comparison.outcomes, comparison.units, strict=True)):
            x = cases(comparison, comparison.outcome[..., k], patient)
            if not x.shape[1]:
                continue
            gain = x - x[0]
            q, d = np.quantile(x, (0.05, 0.5, 0.95), axis=1), np.quantile(gain, (0.05, 0.5, 0.95), axis=1)
            found = _described(comparison, label).assign(outcome=name, unit=unit, mean=x.mean(axis=1))
            found = found.assign(q5=q[0], median=q[1], q95=q[2], difference=gain.mean(axis=1), difference_q5=d[0])
            parts.append(found.assign(difference_median=d[1], difference_q95=d[2], difference_se=_se(gain)))
    return pd.concat(parts, ignore_index=True) if parts else _described(comparison, "").iloc[:0]


def _se(x: Worth) -> Float[np.ndarray, " option"]:
    """The standard error of means over draws."""
    return x.std(axis=1, ddof=1) / np.sqrt(x.shape[1]) if x.shape[1] > 1 else np.full(len(x), np.nan)


def _described(comparison: Comparison, label: str) -> pd.DataFrame:
    rows = [
        (label, o.arm, o.start_h if o.treatment is not None else np.nan, o.dose, o.clock.name) for o in comparison.options
    ]
    found = pd.DataFrame(rows, columns=["patient", "arm", "start_h", "dose", "clock"])
    return found.assign(clock=np.where(found["arm"] == comparison.options[0].arm, "", found["clock"]))


def courses(comparison: Comparison) -> dict[tuple[str, float], list[int]]:
    """The options of every arm and dose, by start; only those that have two starts or more."""
    found: dict[tuple[str, float], list[int]] = {}
    for i, option in enumerate(comparison.options):
        if option.treatment is not None:
            found.setdefault((option.arm, option.dose), []).append(i)
    ordered = {key: sorted(many, key=lambda i: comparison.options[i].start_h) for key, many in found.items()}
    return {key: many for key, many in ordered.items() if len(many) > 1}


def windows(comparison: Comparison, utility: Utility, share: float = 0.5) -> pd.DataFrame:
    """The window of opportunity of every arm and dose: the latest start that keeps `share` of the benefit.

    The benefit of a draw is its best over the starts compared with no treatment; its window ends where the benefit, linear
    between starts, falls below the share for good. One row per group, arm and dose: the share of draws that have a benefit
    at all, the median end with 90 % interval among these, and the share of them whose window is open at the last start.

    Raises `ValueError` for a share that is not between 0 and 1.
    """
    check_share(share)
    every, rows = utility.of(comparison), []
    for label, patient in groups(comparison):
        gain = cases(comparison, every - every[0], patient)
        for (arm, dose), many in courses(comparison).items():
            start = np.array([comparison.options[i].start_h for i in many])
            end = closing(start, gain[many], share)
            some = end[np.isfinite(end)]
            q = np.quantile(some, (0.05, 0.5, 0.95)) if len(some) else np.full(3, np.nan)
            open_ = float(np.mean(some >= start[-1])) if len(some) else np.nan
            rows.append((label, arm, dose, share, len(some) / max(len(end), 1), q[1], q[0], q[2], open_))
    names = ["patient", "arm", "dose", "share", "benefits", "closes_h", "q5", "q95", "open_at_last"]
    return pd.DataFrame(rows, columns=names)


def check_share(share: float) -> None:
    """Raise `ValueError` for a share that is not between 0 and 1."""
    if not 0 < share < 1:
        raise ValueError(f"`window.share` is {share}; give a number between 0 and 1")


def closing(
    start: Float[np.ndarray, " start"], gain: Float[np.ndarray, "start draw"], share: float
) -> Float[np.ndarray, " draw"]:
    """When the window of each draw closes [h]; not a number where no start helps."""
    top = gain.max(axis=0)
    excess = gain - share * np.where(top > 0, top, np.inf)
    last = len(start) - 1 - np.argmax(excess[::-1] >= 0, axis=0)
    draw, after = np.arange(gain.shape[1]), np.minimum(last + 1, len(start) - 1)
    here, there = excess[last, draw], excess[after, draw]
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = np.where(after > last, here / (here - there), 0.0)
    return np.where(top > 0, start[last] + inside * (start[after] - start[last]), np.nan)


def failures(comparison: Comparison) -> pd.DataFrame:
    """One row per patient: draws, solves and how many of them failed, and draws that are left to compare."""
    okay = comparison.okay
    return pd.DataFrame(
        {
            "patient": comparison.patients,
            "now_h": comparison.now,
            "draws": okay.shape[2],
            "solves": okay.shape[0] * okay.shape[2],
            "failed": (~okay).sum(axis=(0, 2)),
            "compared": comparison.whole.sum(axis=1),
        }
    )
