"""The report of forecasts: one HTML page with a slider over the readings, and what was foreseen after each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..analyte import LABELS, UNITS
from ..warning.alarm import Alarm
from .curves import NAMES
from .page import Head, Picture, Section, Table, number, provenance, render, short, table, words

MOST = 40  # patients on one page
ABOUT = (
    "The slider goes from reading to reading: what was known then, what was foreseen, and the chance of a storm. Dark points"
    " were known, open ones came later."
)


def write(
    folder: Path,
    forecasts: Mapping[str, Sequence[Alarm]],
    readings: Mapping[str, tuple[np.ndarray, np.ndarray]],
    watched: tuple[str, float, float],
    lines: Sequence[str],
    chances: pd.DataFrame,
    scores: pd.DataFrame | None,
    pictures: Mapping[str, bytes],
    facts: Mapping[str, Any],
    config: str,
) -> None:
    """Write `report.html` into `folder`.

    `watched` is an analyte, the threshold above which there is a storm [its unit], and the probability that is an alarm.
    `chances` are the forecasts of every patient, `pictures` figures as PNG by what they show.
    """
    analyte, threshold, level = watched
    view = warning(forecasts, readings, watched)
    told = lines if len(forecasts) > 1 else ()  # of one the view tells
    sections = [
        Section("forecasts", "Forecasts", ABOUT, lines=told, views={"warning": view}),
        Section("chances", "Chances", tables=[_chances(chances)], figures=[Picture.of(*both) for both in pictures.items()]),
    ]
    if scores is not None:
        sections.append(Section("scores", "Scores", tables=[_scores(scores)]))
    highest = {label: float(max(many[-1].exceeds)) for label, many in forecasts.items()}
    alarmed = [label for label, chance in highest.items() if chance >= level]
    calm = f"No alarm: the highest chance of a storm is {max(highest.values()):.0%}"
    first = f"Alarm for {', '.join(alarmed)}" if alarmed else calm
    ess = min(one.ess for many in forecasts.values() for one in many)
    checked = (
        f"{LABELS.get(analyte, analyte)} above {threshold:g} {UNITS.get(analyte, '')} with a chance of {level:.0%} or more;"
        f" {len(forecasts)} patient{'s' if len(forecasts) > 1 else ''}, weights worth at least {ess:.0f} points"
    )
    head = Head(first, facts=checked, mark="fail" if alarmed else "")
    render(folder / "report.html", "Forecast of a storm", head, [*sections, *provenance(facts, config)])


def warning(
    forecasts: Mapping[str, Sequence[Alarm]],
    readings: Mapping[str, tuple[np.ndarray, np.ndarray]],
    watched: tuple[str, float, float],
) -> dict[str, Any]:
    """The view of forecasts: every one of every patient."""
    analyte, threshold, level = watched
    patients = {}
    for label in list(forecasts)[:MOST]:
        time, value = readings[label]
        each = [_forecast(one) for one in forecasts[label]]
        patients[label] = {"time": short(time), "value": short(value), "forecasts": each}
    return {
        "view": "warning",
        "label": LABELS.get(analyte, analyte),
        "unit": UNITS.get(analyte, ""),
        "threshold": threshold,
        "alarm": level,
        "horizons": list(next(iter(forecasts.values()))[0].horizons),
        "patients": patients,
    }


def _forecast(one: Alarm) -> dict[str, Any]:
    found = {"time": float(one.time), "num": int(one.num), "exceeds": short(one.exceeds), "ahead": short(one.ahead)}
    found |= {name: short(row) for name, row in zip(NAMES, one.band, strict=True)}
    return found | {"growth": short(one.growth[[0, 2, 4]]), "margin": short(one.margin[[0, 2, 4]])}


def _chances(chances: pd.DataFrame) -> Table:
    columns = [words("patient", "patient"), number("time [h]", "time_h", "{:g}".format), number("readings", "readings", str)]
    for name in chances.columns:
        if name.startswith("exceeds_"):
            within = name.removeprefix("exceeds_").removesuffix("h")
            columns.append(number(f"within {within} h", name, "{:.0%}".format))
    columns += [number("doubling time [h]", "doubling_median"), number("margin", "margin_median")]
    return table("The chance of a storm after every reading", columns, list(chances.to_dict("records")))


def _scores(scores: pd.DataFrame) -> Table:
    columns = [
        words(name.replace("_", " "), name) if scores[name].dtype == object or scores[name].dtype == "str" else
        number(name.replace("_", " "), name)
        for name in map(str, scores.columns)
    ]  # fmt: skip
    return table("How forecasts fell, beside simpler ones", columns, list(scores.to_dict("records")))
