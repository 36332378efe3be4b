"""Patients replayed reading by reading: every forecast that was made, beside what came and what rivals said."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, PRNGKeyArray

from ..keys import branches
from ..problem import Problem
from .alarm import Alarm, above, alarm, next_reading
from .arriving import Watch, arriving
from .rivals import Normal, Rival, rivals
from .scores import brier, calibration, crps_normal, crps_weighted, lead, slope_error

OURS = "cytostorm"

type Truth = tuple[Float[np.ndarray, " time"], Float[np.ndarray, " time"]]  # times [h] and values


def replay(
    problems: Mapping[str, Problem],
    key: PRNGKeyArray,
    until: float,
    threshold: float = 1000.0,
    horizons: Sequence[float] = (24.0, 48.0, 72.0),
    num_points: int = 1000,
    step: float = 1.0,
    watch: Watch | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[dict[str, list[Alarm]], pd.DataFrame]:
    """Every forecast of every patient, one before any reading and one after each time of readings; and how each next
    reading that is not censored fell: patient, time_h, next_h, value, log_score (log predictive density of the log-reading)
    and crps.

    Raises what `arriving` raises.
    """
    watch = watch or Watch()
    forecasts: dict[str, list[Alarm]] = {}
    rows = []
    for (label, problem), one in zip(problems.items(), branches(key, len(problems)), strict=True):
        times, steps = arriving(problem, until, one, num_points, step, watch)
        forecasts[label] = []
        for known in steps:
            forecasts[label].append(alarm(known, times, threshold, horizons))
            found = next_reading(known)
            if found is not None and known.num:
                drawn, density = found
                row = _row(problem, watch.analyte, known.time)
                if problem.data.cens[row]:  # what was not read cannot be scored by a density
                    continue
                value = float(problem.data.value[row])
                crps = crps_weighted(drawn, known.weight, float(np.log(value)))
                # The density of the logarithm: rivals forecast that.
                rows.append((label, known.time, float(problem.data.time[row]), value, density + np.log(value), crps))
        report(len(forecasts), len(problems))
    columns = ["patient", "time_h", "next_h", "value", "log_score", "crps"]
    return forecasts, pd.DataFrame(rows, columns=columns)


def _row(problem: Problem, analyte: str, now: float) -> int:
    """The first reading of an analyte after `now` [h]."""
    later = (problem.data.time > now) & np.array([a == analyte for a in problem.data.analyte])
    return int(np.flatnonzero(later)[np.argmin(problem.data.time[later])])


def series(problem: Problem, analyte: str) -> tuple[np.ndarray, np.ndarray]:
    """The times [h] and log-values of all readings of an analyte, in order; censored ones at their limit."""
    rows = np.flatnonzero([a == analyte for a in problem.data.analyte])
    rows = rows[np.argsort(problem.data.time[rows], kind="stable")]
    return problem.data.time[rows], np.log(problem.data.value[rows])


def compared(
    problems: Mapping[str, Problem],
    forecasts: Mapping[str, Sequence[Alarm]],
    ahead: pd.DataFrame,
    truth: Mapping[str, Truth],
    threshold: float,
    analyte: str = "il6",
    ours: Callable[[Alarm], Float[np.ndarray, " horizon"]] = lambda one: one.exceeds,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What was said of every patient at every time, by us and by rivals, and what came: one row each; and of next readings.

    Only forecasts made before the truth first exceeds the threshold count; `ours` tells their probabilities. The first table
    has method, patient, time_h, horizon_h, probability, came and event_h, when the truth first exceeds it; the second
    method, patient, time_h, log_score and crps.
    """
    cohort = {label: series(problem, analyte) for label, problem in problems.items()}
    others = rivals(list(cohort.values()))
    chances, readings = [], [(OURS, *row[["patient", "time_h", "log_score", "crps"]]) for _, row in ahead.iterrows()]
    for label, alarms in forecasts.items():
        when, value = truth[label]
        event = float(when[np.argmax(value > threshold)]) if (value > threshold).any() else np.inf
        time, y = cohort[label]
        for one in alarms:
            known = time <= one.time
            if one.num == 0 or one.time >= event or not known.any():
                continue
            for horizon, chance in zip(one.horizons, ours(one), strict=True):
                came = bool(above(value, when, one.time, horizon, threshold))
                said = {OURS: float(chance)}
                said |= {n: _chance(r, time[known], y[known], horizon, np.log(threshold)) for n, r in others.items()}
                chances += [(name, label, one.time, horizon, p, came, event) for name, p in said.items()]
        for k in range(1, len(y)):
            if (time[k] > time[k - 1]) and _was_told(ahead, label, time[k]):
                for name, rival in others.items():
                    mean, sd = rival.next(time[:k], y[:k], float(time[k]))
                    density = float(-0.5 * ((y[k] - mean) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi))
                    readings.append((name, label, time[k - 1], density, crps_normal(*Normal(mean, sd), float(y[k]))))
    return (
        pd.DataFrame(chances, columns=["method", "patient", "time_h", "horizon_h", "probability", "came", "event_h"]),
        pd.DataFrame(readings, columns=["method", "patient", "time_h", "log_score", "crps"]),
    )


def _chance(rival: Rival, time: np.ndarray, y: np.ndarray, horizon: float, log_threshold: float) -> float:
    return float(np.clip(rival.exceeds(time, y, horizon, log_threshold), 0.0, 1.0))


def _was_told(ahead: pd.DataFrame, label: str, time: float) -> bool:
    return bool(((ahead["patient"] == label) & (ahead["next_h"] == time)).any())


def scored(chances: pd.DataFrame, readings: pd.DataFrame, level: float = 0.5) -> pd.DataFrame:
    """One row per method and horizon: forecasts, share that came, Brier score, slope of calibration with its standard error
    over patients, intercept, how many storms were foreseen and by how many hours (median), false alarms; and mean log score
    and CRPS of next readings.
    """
    rows = []
    kinds: list[tuple[str, float]] = list(dict.fromkeys(zip(chances["method"], chances["horizon_h"], strict=True)))
    for method, horizon in kinds:
        part = chances[(chances["method"] == method) & (chances["horizon_h"] == horizon)]
        p, came = np.array(part["probability"], float), np.array(part["came"], bool)
        slope, intercept = calibration(p, came)
        error = slope_error(p, came, np.array(part["patient"], str))
        leads, false = [], 0
        for label in dict.fromkeys(part["patient"]):
            of = np.array(part["patient"]) == label
            event = float(np.array(part["event_h"])[of][0])
            chance, time = p[of], np.array(part["time_h"], float)[of]
            if np.isfinite(event):
                leads.append(lead(time, chance, event, level))
            else:
                false += bool((chance >= level).any())
        seen = np.array(leads)[np.isfinite(leads)]
        own = readings[readings["method"] == method]
        rows.append(
            {
                "method": method,
                "horizon_h": horizon,
                "forecasts": len(p),
                "came": came.mean(),
                "brier": brier(p, came),
                "slope": slope,
                "slope_se": error,
                "intercept": intercept,
                "storms": len(leads),
                "foreseen": len(seen),
                "lead_h": np.median(seen) if len(seen) else np.nan,
                "false_alarms": false,
                "readings": len(own),
                "log_score": own["log_score"].mean(),
                "crps": own["crps"].mean(),
            }
        )
    return pd.DataFrame(rows)
