"""What the view of trajectories shows: bands of every subject and analyte, readings, doses and thresholds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from cytostorm.models import Doses

from ..analyte import LABELS, UNITS
from ..observations import Observations
from ..population import Population
from ..problem import Problem
from ..style import pace
from .page import short

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
NAMES = ("q5", "q25", "median", "q75", "q95")
THRESHOLDS = {"il6": (10.0, 1000.0)}  # pg/mL: inflamed, and a storm
MOST_NUMBERS = 300_000  # in one view; curves of many subjects have fewer points
FEWEST_POINTS = 16
MOST_DOSES = 200  # of a subject
EVERYONE = "all subjects"

type Curve = dict[str, Any]


def trajectories(
    series: Sequence[Curve], readings: Sequence[dict[str, Any]], doses: Mapping[str, list[dict[str, Any]]], outer: str
) -> dict[str, Any]:
    """The view of trajectories; `outer` names the band behind those of the curve, if there is one."""
    analytes = list(dict.fromkeys([*(s["analyte"] for s in series), *(r["analyte"] for r in readings)]))
    subjects = list(dict.fromkeys([*(s["subject"] for s in series), *(r["subject"] for r in readings)]))
    times = [x for s in series for x in (s["time"][0], s["time"][-1])] + [r["time"] for r in readings]
    clock, hours = pace(max(times) - min(times))
    return {
        "view": "trajectories",
        "subjects": subjects,
        "analytes": {a: {"label": LABELS.get(a, a), "unit": UNITS.get(a, "")} for a in analytes},
        "series": list(series),
        "readings": list(readings),
        "doses": {subject: doses.get(subject, []) for subject in subjects},
        "thresholds": {a: THRESHOLDS[a] for a in analytes if a in THRESHOLDS},
        "outer": outer,
        "clock": clock,
        "hours": hours,
    }


def fitted_curves(problem: Problem | Population, tree: xr.DataTree) -> dict[str, Any]:
    """The view of a fit: the posterior's curves, and those of the prior where the tree has them."""
    data = problem.data
    if isinstance(problem, Population):
        return trajectories(list(_of_all(tree)), readings(data), doses_of(problem), "")
    subjects = list(dict.fromkeys(data.subject))
    who = subjects[0] if len(subjects) == 1 else EVERYONE
    marks = {who: marked(problem.scenario.doses)}
    return trajectories(list(_of_one(tree, who, data)), readings(data, who), marks, "prior 90 %")


def _of_one(tree: xr.DataTree, who: str, data: Observations) -> Iterator[Curve]:
    curves, prior = tree["predictions"].to_dataset(), tree["prior_predictions"].to_dataset()
    for analyte in dict.fromkeys(data.analyte):
        bands = curves[analyte].quantile(LEVELS, dim=("chain", "draw")).values
        behind = prior[analyte].quantile([0.05, 0.95], dim=("chain", "draw")).values
        found = curve(who, analyte, curves["time"].values, bands)
        yield found | {"outer5": short(behind[0]), "outer95": short(behind[1])}


def _of_all(tree: xr.DataTree) -> Iterator[Curve]:
    curves = tree["predictions"].to_dataset()
    names, subjects = [str(a) for a in curves.data_vars], curves["subject"].values
    points = curves.sizes["point"]
    room = max(FEWEST_POINTS, MOST_NUMBERS // (len(names) * len(subjects) * len(LEVELS)))
    some = np.unique(np.linspace(0, points - 1, min(points, room)).round().astype(int))
    for analyte in names:
        values = curves[analyte].values[:, :, some]
        quantile = np.quantile if np.isfinite(values).all() else np.nanquantile  # which is slow
        bands = quantile(values, LEVELS, axis=0)
        for i, subject in enumerate(subjects):
            yield curve(str(subject), analyte, curves["time"].values[i, some], bands[:, i])


def curve(subject: str, analyte: str, time: np.ndarray, bands: np.ndarray) -> Curve:
    """A curve with its bands: quantiles at `LEVELS` over time [h]."""
    rows = {name: short(row) for name, row in zip(NAMES, bands, strict=True)}
    return {"subject": subject, "analyte": analyte, "time": short(time), **rows}


def readings(data: Observations, who: str | None = None) -> list[dict[str, Any]]:
    """The readings of every subject, or all as those of one."""
    low, high = data.interval
    return [
        {
            "subject": data.subject[i] if who is None else who,
            "analyte": data.analyte[i],
            "time": float(data.time[i]),
            "value": short(data.value[i]),
            "cens": int(data.cens[i]),
            "low": short(low[i]),
            "high": short(high[i]),
        }
        for i in range(len(data))
    ]


def doses_of(problem: Population) -> dict[str, list[dict[str, Any]]]:
    """What every subject of a population is given."""
    return {s.label: marked(s.under(problem.arm(s).scenario).doses) for s in problem.cohort}


def marked(doses: Doses) -> list[dict[str, Any]]:
    """Doses in words, with their times [h]."""
    found = []
    for i in range(min(len(doses), MOST_DOSES)):
        time, amount, lasts = (float(x[i]) for x in (doses.time, doses.amount, doses.duration))
        over = f" over {lasts:g} h" if lasts else ""
        found.append({"time": time, "what": f"{doses.target[i]} {amount:g}{over} at {time:g} h"})
    return found
