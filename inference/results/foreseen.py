"""Readings as they arrive: after each, how likely a storm is, how fast it grows and how far the threshold is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..analyte import UNITS, canonical
from ..keys import root
from ..observations import Observations
from ..problem import Problem
from ..summary import plain
from ..warning import replay as replays
from ..warning.alarm import LEVELS, Alarm
from .page import Told

type Forecasts = dict[str, list[Alarm]]


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What is watched and how, as the keys of `cytostorm forecast`.

    Raises `ValueError` for horizons, thresholds, steps or numbers that cannot be.
    """

    analyte: str = "il6"
    threshold: float = 1000.0
    horizons_h: Sequence[float] = (24.0, 48.0, 72.0)
    rolling: bool = False
    alarm: float = 0.5
    num_points: int = 1000
    step_h: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        horizons = [float(h) for h in self.horizons_h]
        if not horizons or min(horizons) <= 0:
            raise ValueError(f"`horizons_h` is {horizons}; give positive numbers of hours")
        for name in ("threshold", "step_h"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` is {getattr(self, name)}; give a positive number")
        if not 0 < self.alarm < 1:
            raise ValueError(f"`alarm` is {self.alarm}; give a probability between 0 and 1")
        if self.num_points < 100:
            raise ValueError(f"`num_points` is {self.num_points}; give 100 or more")


class Foreseen(Told):
    """Forecasts of patients: `table` has one row per patient and reading, `scores` how forecasts fell where they were asked
    for, and `tree` all bands."""

    def __init__(self, watched: Watched, problems: Mapping[str, Problem], forecasts: Forecasts, ahead: pd.DataFrame):
        self.watched, self.forecasts, self.ahead = watched, forecasts, ahead
        self._problems = problems

    def __dir__(self) -> list[str]:
        return ["ahead", "chances", "forecasts", "lines", "plot", "plot_calibration", "scores", "table", "tree", "watched"]

    @property
    def analyte(self) -> str:
        """What is watched, by its canonical name."""
        return canonical(self.watched.analyte)

    @cached_property
    def table(self) -> pd.DataFrame:
        """Per patient and forecast: chances, doubling time and margin with 90 % intervals, the worth of the points."""
        return alarms(self.forecasts)

    @cached_property
    def tree(self) -> xr.DataTree:
        """The forecasts of every patient: one group each, over forecast, horizon, level and hours ahead."""
        return tree_of(self.forecasts, self.analyte)

    @property
    def readings(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The times [h] and values of what is watched, by patient."""
        return {label: series(problem, self.analyte) for label, problem in self._problems.items()}

    @cached_property
    def chances(self) -> pd.DataFrame:
        """What was said of every patient at every time, by us and by rivals, and what came."""
        return self._compared[0]

    @cached_property
    def scores(self) -> pd.DataFrame:
        """How all forecasts score, beside the last value, its trend and a Gaussian process."""
        return replays.scored(*self._compared, self.watched.alarm)

    @cached_property
    def _compared(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        threshold = self.watched.threshold
        return replays.compared(self._problems, self.forecasts, self.ahead, self.readings, threshold, self.analyte)

    @property
    def lines(self) -> list[str]:
        """The last forecasts in words."""
        return told(self.forecasts, self.watched.threshold, self.analyte)

    def plot(self) -> Any:
        """The last forecast's band over the readings, and the chance of a storm after each."""
        from ..style import closed
        from ..warning.warning_figures import warnings

        w = self.watched
        return closed(warnings(self.forecasts, self.readings, self.analyte, w.threshold, w.alarm))

    def plot_calibration(self) -> Any:
        """What came against what was forecast, of every method."""
        from ..style import closed
        from ..warning.warning_figures import calibrated

        horizons = sorted(map(float, self.watched.horizons_h))
        return closed(calibrated(self.chances, horizons[len(horizons) // 2]))

    def _figures(self) -> list[Any]:
        return [self.plot()]


def foresee(
    watched: Watched, problems: Mapping[str, Problem], report: Callable[[int, int], None] = lambda done, total: None
) -> Foreseen:
    """Forecast patients from their own readings and priors. Raises `ValueError` where a prior cannot be solved."""
    until = max(float(p.data.time.max()) for p in problems.values()) + max(watched.horizons_h)
    watch = replays.Watch(canonical(watched.analyte))
    horizons = [float(h) for h in watched.horizons_h]
    num, step = watched.num_points, watched.step_h
    key = root(watched.seed)
    found = replays.replay(problems, key, until, watched.threshold, horizons, num, step, watch, report)
    return Foreseen(watched, problems, *found)


def forecast(problems: Problem | Mapping[str, Problem], *, known_until_h: float | None = None, **more: Any) -> Foreseen:
    """Readings as they arrived, of one patient or of several by name: after each, from the prior and what was read so far,
    the chance of a storm.

    `more` are the keys of `cytostorm forecast`: `analyte, threshold, horizons_h, num_points, step_h, alarm, seed`. Raises
    `ValueError` where nothing was read of the analyte, and where a prior cannot be solved.
    """
    if unknown := more.keys() - Watched.__dataclass_fields__.keys():
        raise ValueError(f"no argument `{unknown.pop()}`; there are: {', '.join(Watched.__dataclass_fields__)}")
    watched, each = Watched(**more), {}
    for label, one in ({problems.data.subject[0]: problems} if isinstance(problems, Problem) else problems).items():
        data = known_rows(one.data, label, canonical(watched.analyte), known_until_h)
        each[label] = Problem(one.model, one.scenario, data, one.priors, one.noise, one.solver)
    return foresee(watched, each)


def known_rows(data: Observations, label: str, analyte: str, until: float | None) -> Observations:
    """The readings of a patient until `until` [h], or all. Raises `ValueError` where none is of the analyte."""
    last = np.inf if until is None else float(until)
    known = data.rows(data.time <= last)
    if not any(a == analyte for a in known.analyte):
        raise ValueError(
            f"subject {label!r} has no reading of {analyte} until {last:g} h, so there is nothing to watch; raise"
            " `known_until_h`, or leave it out with `data.subjects`"
        )
    return known


def series(problem: Problem, analyte: str) -> tuple[np.ndarray, np.ndarray]:
    """The times [h] and values of the readings of an analyte."""
    when, log_value = replays.series(problem, analyte)
    return when, np.exp(log_value)


def alarms(forecasts: Forecasts) -> pd.DataFrame:
    """One row per patient and forecast: chances, doubling time and margin with 90 % intervals, the worth of the points."""
    rows = []
    for label, many in forecasts.items():
        for one in many:
            row: dict[str, Any] = {"patient": label, "time_h": one.time, "readings": one.num}
            row |= {f"exceeds_{h:g}h": p for h, p in zip(one.horizons, one.exceeds, strict=True)}
            for name, k in {"q5": 4, "median": 2, "q95": 0}.items():  # fast growth is a short doubling time
                row[f"doubling_{name}"] = np.log(2) / one.growth[k] if one.growth[k] > 0 else np.inf
            row |= {f"margin_{name}": one.margin[k] for name, k in {"q5": 0, "median": 2, "q95": 4}.items()}
            rows.append(row | {"ess": one.ess})
    return pd.DataFrame(rows)


def tree_of(forecasts: Forecasts, analyte: str) -> xr.DataTree:
    """The forecasts of every patient as a tree: one group each, over forecast, horizon, level and hours ahead."""
    groups = {}
    for label, many in forecasts.items():
        width = max(len(one.ahead) for one in many)
        band = np.full((len(many), len(LEVELS), width), np.nan)
        ahead = np.full((len(many), width), np.nan)
        for i, one in enumerate(many):
            band[i, :, : len(one.ahead)], ahead[i, : len(one.ahead)] = one.band, one.ahead
        groups[f"predictions/{label}"] = xr.Dataset(
            {
                "exceeds": (("forecast", "horizon"), np.array([one.exceeds for one in many])),
                "growth": (("forecast", "level"), np.array([one.growth for one in many]), {"units": "1/h"}),
                "margin": (("forecast", "level"), np.array([one.margin for one in many]), {"units": "1"}),
                analyte: (("forecast", "level", "point"), band, {"units": UNITS[analyte]}),
            },
            coords={
                "time": ("forecast", [one.time for one in many], {"units": "h"}),
                "horizon": ("horizon", list(many[0].horizons), {"units": "h"}),
                "level": list(LEVELS),
                "ahead": (("forecast", "point"), ahead, {"units": "h"}),
            },
        )
    return xr.DataTree.from_dict(groups)


def told(forecasts: Forecasts, threshold: float, analyte: str, most: int = 10) -> list[str]:
    """The last forecast of the first patients in words."""
    lines = []
    for label, many in list(forecasts.items())[:most]:
        one = many[-1]
        chances = ", ".join(f"{p:.0%} within {h:g} h" for h, p in zip(one.horizons, one.exceeds, strict=True))
        rate = one.growth[2]
        speed = f"{'doubles' if rate > 0 else 'halves'} in {plain(np.log(2) / max(abs(rate), 1e-12))} h"
        lines.append(
            f"{label} at {one.time:g} h: {analyte} above {threshold:g} with {chances}; it {speed}; margin"
            f" {plain(one.margin[2])} ({plain(one.margin[0])} to {plain(one.margin[4])})"
        )
    return lines
