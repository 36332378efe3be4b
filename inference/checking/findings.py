"""What the checks of a fit find: one row each, flagged at a stated rate of false alarms, and what to do about it."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float
from scipy.special import ndtri

from ..analyte import LABELS
from ..identifiability.scaling import SENSITIVE
from ..observations import Observations
from ..samplers import thinned
from ..summary import plain, records
from ..verdict import PARETO_K
from . import priors, readings, residuals

LEVEL = 0.05  # the chance that a right model has any test flagged
NUM_DRAWS = 500  # that residuals are tested at
MOVED = 1.0  # posterior SDs, from which on a reading is called influential
FLAGGED, NOTED, FINE, NOT_MADE = "flagged", "noted", "fine", "not made"


class Checks(NamedTuple):
    """The checks of a fit.

    `table` has one row per check: `check`, `kind` (a test has a p-value, a hint has none), the raw `p`, the `value` that is
    compared with the `bar` (of a test its p-value for the number of tests), `result` and what it `says`. `readings` has one
    row per reading, `foreseen` one per statistic of the readings under the prior, and `scores` holds draws of the parameters
    as standard normal numbers of their priors.
    """

    table: pd.DataFrame
    readings: pd.DataFrame
    foreseen: pd.DataFrame
    scores: dict[str, Float[np.ndarray, "chain draw"]]

    @property
    def flagged(self) -> list[str]:
        """The names of the tests that are flagged."""
        return [row["check"] for row in records(self.table) if row["result"] == FLAGGED]

    def __str__(self) -> str:
        rows = records(self.table)
        made = [row for row in rows if row["kind"] == "test" and row["result"] != NOT_MADE]
        text = f"checks: {len(self.flagged) or 'none'} of {len(made)} flagged"
        text += f": {', '.join(self.flagged)}" if self.flagged else ""
        return f"{text} (checks.csv says what to do)"


def checked(tree: xr.DataTree, data: Observations) -> Checks:
    """The checks of a fit, from its tree and its readings: nothing is solved anew."""
    at = tree["standing"].to_dataset()
    low, high, predicted = (readings.flat(at[name]) for name in ("low", "high", "predicted"))
    z = residuals.scored(low, high)
    some = thinned(len(z), NUM_DRAWS)
    p = residuals.tested(z[some], np.log(np.maximum(predicted[some], 1e-300)), data)
    logs = priors.logarithms(tree)
    kept = {name: x[:, at["draw"].values].ravel() for name, x in logs.items()}
    each = readings.left_out(tree, data, z, kept)
    pit = each["loo_pit"].to_numpy()
    p["outlier"], farthest = readings.outlier(pit)
    p["left out"] = readings.uniform(pit) if len(data) >= residuals.FEWEST else np.nan
    scores = priors.scores(tree, logs)
    names, where = list(scores), {name: x.ravel() for name, x in scores.items()}
    p["prior"], which = priors.conflict(np.stack(list(where.values()), axis=1)[thinned(scores[names[0]].size, NUM_DRAWS)])
    p["prior predictive"], foreseen = priors.foreseen(tree, data)
    facts = {
        "outlier": _of_reading(each, farthest),
        "prior": f"`{names[which]}` lies {np.median(where[names[which]]):+.1f} SD from the median of its prior",
        "prior predictive": _of_statistic(foreseen),
    }
    table = pd.DataFrame([*_tests(p, facts), *_hints(tree, logs, each)])
    return Checks(table, each, foreseen, scores)


TESTS: dict[str, tuple[str, str, str]] = {
    "outlier": (
        "outlier",
        "no reading stands far from what the others foresee",
        "{fact}: look at the sample and at its record; `noise=student` lets such readings count less",
    ),
    "left out": (
        "left-out readings",
        "readings stand among what the others foresee as they should (LOO-PIT)",
        "left-out readings lie too often in the middle, or at the ends, of what the others foresee (LOO-PIT): the fit is"
        " less, or more, sure than it may be; look at the panel, then at noise and model",
    ),
    "time": (
        "residuals over time",
        "residuals do not follow slow waves over time",
        "residuals follow slow waves over time: the curve misses a rise or a fall; a mechanism or a dose may be missing, or"
        " a clock may be off",
    ),
    "prediction": (
        "residuals over prediction",
        "residuals are as wide for small as for large predictions",
        "residuals go with the prediction, or are wider for small or large ones: the noise may not be log-normal (an"
        " additive part, a limit that is not recorded), or the curve saturates too early or too late",
    ),
    "shape": (
        "shape of the residuals",
        "residuals are as normal as they should be",
        "residuals have heavy or skewed tails: try `noise=student`, and look for readings that are not what they seem",
    ),
    "size": (
        "size of the residuals",
        "residuals are as large as the noise says",
        "residuals are larger or smaller than the noise says: the model misses the readings, or the stated errors or the"
        " prior of sigma are wrong",
    ),
    "prior": (
        "prior-data conflict",
        "no parameter lies far out in its prior",
        "{fact}: the readings pull it where the prior did not expect it; check its prior, its unit, and whether it makes up"
        " for what the model lacks",
    ),
    "prior predictive": (
        "prior predictive",
        "the prior foresees readings like these",
        "{fact}: before it saw them the model hardly thought these readings possible; check units, doses and priors",
    ),
}


def _tests(p: dict[str, float], facts: dict[str, str]) -> list[dict[str, Any]]:
    """The rows of the tests: p-values for their number, after Holm."""
    made = holm(p)
    rows = []
    for name, (title, fine, wrong) in TESTS.items():
        result = NOT_MADE if np.isnan(p[name]) else FLAGGED if made[name] <= LEVEL else FINE
        says = {
            FLAGGED: wrong.format(fact=facts.get(name, "")),
            FINE: fine,
            NOT_MADE: "too few readings or draws of the prior",
        }
        row = {"check": title, "kind": "test", "p": p[name], "value": made[name], "bar": LEVEL}
        rows.append(row | {"result": result, "says": says[result]})
    return rows


def holm(p: dict[str, float]) -> dict[str, float]:
    """The p-values for their number: with all that are at most a level, one or more are false with that chance at most.

    Holm (Scand J Stat 1979;6:65), whatever their dependence. What is not a number does not count.
    """
    left, least, found = sum(not np.isnan(x) for x in p.values()), 0.0, dict(p)
    for name in sorted((name for name in p if not np.isnan(p[name])), key=lambda name: p[name]):
        least = found[name] = max(least, min(1.0, left * p[name]))
        left -= 1
    return found


HINTS: dict[str, tuple[str, str]] = {
    "influential readings": (
        "every reading can be left out by weights",
        "{fact} cannot be left out by weights: the posterior hangs on them, and what is said of them left out is rough",
    ),
    "influence on parameters": (
        "no single reading moves the mean of a parameter by its SD",
        "without {fact} of its SD: be sure of that reading",
    ),
    "power scaling": (
        "no parameter is torn between its prior and the readings",
        "{fact} moves with its prior and with the readings: say how it changes with another prior",
    ),
}


def _hints(tree: xr.DataTree, logs: dict[str, np.ndarray], each: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of what has no rate of false alarms."""
    rows, k, shift = records(each), each["pareto_k"].to_numpy(), each["shift"].abs().to_numpy()
    weighty, moving, over = rows[int(k.argmax())], rows[int(shift.argmax())], int((k > PARETO_K).sum())
    sensitive, torn = priors.torn(tree, logs)
    seen = {
        "influential readings": (k.max(), PARETO_K, f"{over} of {len(rows)} readings, most of all {_name(weighty)},"),
        "influence on parameters": (
            shift.max(),
            MOVED,
            f"{_name(moving)} the mean of `{moving['moved']}` would move by {shift.max():.1f}",
        ),
        "power scaling": (sensitive, SENSITIVE, f"`{torn}`"),
    }
    found = []
    for name, (value, bar, fact) in seen.items():
        fine, odd = HINTS[name]
        result, says = (NOTED, odd.format(fact=fact)) if value > bar else (FINE, fine)
        if np.isnan(value):
            result, says = NOT_MADE, "too few different draws"
        row = {"check": name, "kind": "hint", "p": np.nan, "value": float(value), "bar": bar}
        found.append(row | {"result": result, "says": says})
    return found


def _name(row: dict[str, Any]) -> str:
    return f"{LABELS.get(row['analyte'], row['analyte'])} of {row['subject']} at {row['time_h']:g} h"


def _of_reading(each: pd.DataFrame, at: int) -> str:
    row = records(each)[at]
    mark = {-1: "< ", 0: "", 1: "> "}[row["cens"]]
    away = float(ndtri(row["loo_pit"]))
    return f"{_name(row)} is {mark}{plain(row['value'])}, {away:+.1f} SD from what the other readings foresee"


def _of_statistic(table: pd.DataFrame) -> str:
    if table.empty:
        return ""
    row = records(table)[int(np.abs(table["below"].to_numpy() - 0.5).argmax())]
    what, hours = f"{row['statistic']} {LABELS.get(row['analyte'], row['analyte'])}", row["statistic"].startswith("time")
    read, median = (f"{x:g} h" if hours else f"{plain(np.exp(x))}" for x in (row["read"], row["median"]))
    if row["statistic"] == "roughness":
        read, median = f"{row['read']:.2f}", f"{row['median']:.2f}"
    return f"the {what} is {read}, where the prior's median is {median} and {row['below']:.1%} of its draws lie below"
