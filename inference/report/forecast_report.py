"""The report of what a fit predicts: one HTML page with the curves of every subject, and how held-out readings fell."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..prediction.forecast import Forecast
from ..prediction.forecast_tree import NAMES
from ..summary import records
from . import curves
from .page import Cell, Column, Head, Section, Table, interval, number, provenance, render, short, table, words

ABOUT = "Bands of the curve, and behind them that of a reading, which scatters around it."


def write(
    folder: Path,
    forecast: Forecast,
    bands: pd.DataFrame,
    late: pd.DataFrame,
    subjects: pd.DataFrame,
    passed: bool,
    lines: Sequence[str],
    facts: Mapping[str, Any],
    config: str,
) -> None:
    """Write `report.html` into `folder`: `bands`, `late` and `subjects` are the tables of the forecast."""
    read = [*curves.readings(forecast.known), *curves.readings(forecast.held_out)]
    read = [] if forecast.alike else read
    sections = []
    if len(bands):
        view = curves.trajectories(list(_curves(bands)), read, {}, "a reading, 90 %")
        sections.append(Section("trajectories", "Predictions", ABOUT, lines=lines, views={"curves": view}))
    if len(late):
        sections.append(Section("late", "Readings that were held out", tables=[_late(late)]))
    sections += [Section("subjects", "Subjects", tables=[_subjects(subjects)]), *provenance(facts, config)]
    lost = int(np.sum(~forecast.okay.any(axis=0)))
    first = "The fit did not pass its verdict: so much for what it predicts" if not passed else "What the fit predicts"
    reasons = [f"{lost} subjects could not be predicted at all"] if lost else []
    told = f"{forecast.num_failed} of {forecast.num_solves} solves failed"
    mark = "pass" if passed and not lost else "fail"
    render(folder / "report.html", "Prediction from a fit", Head(first, reasons, told, mark), sections)


def _curves(bands: pd.DataFrame) -> Iterator[curves.Curve]:
    for subject, analyte in dict.fromkeys(zip(bands["subject"], bands["analyte"], strict=True)):
        rows = bands[(bands["subject"] == subject) & (bands["analyte"] == analyte)]
        quantiles = np.stack([np.asarray(rows[f"curve_{name}"], float) for name in NAMES])
        found = curves.curve(str(subject), str(analyte), np.asarray(rows["time_h"], float), quantiles)
        yield found | {f"outer{q}": short(rows[f"reading_q{q}"]) for q in (5, 95)}


def _late(late: pd.DataFrame) -> Table:
    columns = [
        words("subject", "subject"),
        words("analyte", "analyte"),
        number("time [h]", "time_h", "{:g}".format),
        number("reading", "value"),
        number("predicted", "median"),
        interval("90 % interval", "q5", "q95"),
        Column("inside", lambda row: Cell("yes" if row["inside_90"] else "no", float(row["inside_90"]), "words"), True),
        number("log predictive density", "log_density", "{:.2f}".format),
    ]
    return table("Every reading that was held out", columns, records(late))


def _subjects(subjects: pd.DataFrame) -> Table:
    columns = [words("subject", "subject")]
    columns += [number(str(name).replace("_", " "), str(name)) for name in subjects.columns if name != "subject"]
    return table("What is known of every subject, and what its draws are worth", columns, records(subjects))
