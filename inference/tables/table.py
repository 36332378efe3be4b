"""Reading a tidy table: every fault is an error that names file, row, value and remedy."""

import importlib.resources
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from cytostorm.models import HOURS

from ..analyte import UNITS, canonical, factor
from ..cells import Fault, cells, number, refuse, spans
from ..observations import COLUMNS, Observations, observations

REQUIRED = ("subject", "time_h", "analyte", "value", "unit")
CLOCKS = {f"time_{unit}": unit for unit in HOURS}  # columns of time, by their unit
STATISTICS = ("individual", "mean", "geometric_mean")
CENSORING = ("none", "left", "right")


def bundled(name: str, analytes: Sequence[str] | None = None, subjects: Sequence[str | int] | None = None) -> Observations:
    """The readings of a data set that ships with the package. Raises what `read` raises."""
    folder = importlib.resources.files("cytostorm.data") / name
    with importlib.resources.as_file(folder / "table.csv") as path:
        if not path.is_file():
            raise ValueError(f"no data set `{name}` ships with this package")
        return read(path, analytes, subjects)


def read(
    path: str | Path, analytes: Sequence[str] | None = None, subjects: Sequence[str | int] | None = None
) -> Observations:
    """The readings of a tidy CSV file, or those of some analytes and subjects.

    Columns: `subject, time_h, analyte, value, unit` and, where needed, `cens` (none, left, right), `limit`,
    `sd`, `n`, `statistic` (individual, mean, geometric_mean). In place of `time_h` there may be `time_min`, `time_day`,
    `time_week` or `time_year`. Other columns are ignored.

    Raises `ValueError` for a table that is not of this form: file, line, value and remedy are named.
    """
    path = Path(path)
    frame = checked(cells(path, ",".join(REQUIRED)).frame(), path)
    return observations(select(frame, analytes, subjects, path))


def checked(frame: pd.DataFrame, path: Path, early: bool = False) -> pd.DataFrame:
    """The table with numbers as numbers and values in the units of their analytes.

    With `early`, readings may come before time 0. Raises what `read` raises.
    """
    if len(clocks := [column for column in frame if column in CLOCKS]) > 1:
        raise ValueError(f"{path}: columns `{clocks[0]}` and `{clocks[1]}` both give the time; keep one")
    clock = clocks[0] if clocks else "time_h"
    frame = frame.rename(columns={clock: "time_h"})
    if missing := [column for column in REQUIRED if column not in frame]:
        raise ValueError(
            f"{path}: column `{missing[0]}` is missing; found: {', '.join(frame.columns)}; needed: {', '.join(REQUIRED)}"
        )
    if frame.empty:
        raise ValueError(f"{path}: the table has a header but no rows; add at least one reading")
    frame = frame.reindex(columns=list(COLUMNS), fill_value="")
    frame["cens"] = frame["cens"].replace("", "none").str.lower()
    frame["statistic"] = frame["statistic"].replace("", "individual").str.lower()
    _validate(_TEXT, frame, path, clock)
    frame["analyte"] = frame["analyte"].map(canonical)
    for column in ("time_h", "value", "limit", "bound", "sd", "n"):
        frame[column] = frame[column].replace("", "nan").astype(float)
    _validate(_NUMBERS.remove_columns(["time_h"]) if early else _NUMBERS, frame, path, clock)
    refuse(path, _disorder(frame, clock))
    refuse(path, _convert(frame))
    _validate(_CANONICAL, frame, path, clock)
    frame["time_h"] *= HOURS[CLOCKS[clock]]
    frame["unit"] = frame["analyte"].map(UNITS.get)
    return frame


def _convert(frame: pd.DataFrame) -> list[Fault]:
    """Bring values to the units of their analytes, and find the units that do not convert."""
    faults, scale = [], np.ones(len(frame))
    for i, (row, analyte, unit) in enumerate(frame[["analyte", "unit"]].itertuples()):
        try:
            scale[i] = factor(unit, analyte)
        except ValueError as error:
            faults.append(Fault(row, "unit", unit, f"does not fit: {error}"))
    for column in ("value", "limit", "bound"):
        frame[column] *= scale
    frame["sd"] *= np.where(frame["statistic"] == "mean", scale, 1.0)
    return faults


def _disorder(frame: pd.DataFrame, clock: str) -> Iterator[Fault]:
    """Second readings of one subject, analyte and time, and times that go back."""
    key = ["subject", "analyte", "time_h"]
    for row in frame.index[frame.duplicated(key)]:
        subject, analyte, time = (frame.at[row, column] for column in key)
        first = frame.index[(frame[key] == frame.loc[row, key]).all(axis=1).to_numpy(bool)][0]
        yield Fault(
            row,
            clock,
            f"{time:g}",
            f"is a second {analyte} reading of subject {subject!r} at {time:g} {CLOCKS[clock]} (the first is on line"
            f" {first}); keep one, or give them different subjects",
        )
    last = frame.groupby(["subject", "analyte"], sort=False)["time_h"].shift()
    for row in frame.index[(frame["time_h"] < last).to_numpy(bool)]:
        subject, analyte, time = (frame.at[row, column] for column in key)
        yield Fault(
            row, clock, f"{time:g}", f"comes after a later time for subject {subject!r}, {analyte}; sort the rows by time"
        )


def select(
    frame: pd.DataFrame, analytes: Sequence[str] | None, subjects: Sequence[str | int] | None, path: Path
) -> pd.DataFrame:
    """The rows of some analytes and subjects; all where none are named. Raises `ValueError` for one that has no row."""
    frame = _keep(frame, "analyte", [canonical(a) for a in analytes] if analytes else None, path)
    return _keep(frame, "subject", [str(s) for s in subjects] if subjects else None, path)


def _keep(frame: pd.DataFrame, column: str, keep: list[str] | None, path: Path) -> pd.DataFrame:
    if keep is None:
        return frame
    found = list(dict.fromkeys(frame[column]))
    if unknown := [name for name in keep if name not in found]:
        raise ValueError(f"{path}: no {column} `{unknown[0]}` in the table; it has: {', '.join(found)}")
    return frame.loc[frame[column].isin(keep), :]


def _validate(schema: pa.DataFrameSchema, frame: pd.DataFrame, path: Path, clock: str) -> None:
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases.dropna(subset=["index"]).sort_values("index", kind="stable")
        row, column, remedy = cases.iloc[0][["index", "column", "check"]]
        if remedy.split(": ")[0] in COLUMNS:  # a check across columns names its own
            column, remedy = remedy.split(": ", 1)
        value, remedy = frame.at[int(row), column], remedy.replace("{known}", ", ".join(UNITS))
        shown = repr(value) if isinstance(value, str) else "a blank" if np.isnan(value) else f"{value:g}"
        lines = {int(line) for line in cases["index"]} - {int(row)}
        others = f" ({len(lines)} more faulty row{'s' if len(lines) > 1 else ''}: {spans(lines)})" if lines else ""
        column = clock if column == "time_h" else column
        raise ValueError(f"{path}, line {int(row)}, column `{column}`: {shown} {remedy}{others}") from None


def _numeric(text: str) -> bool:
    return number(text) is not None


def _known(text: str) -> bool:
    try:
        return bool(canonical(text))
    except ValueError:
        return False


def _each(test, remedy: str) -> pa.Check:
    return pa.Check(test, element_wise=True, error=remedy)


def _blank_or_number(remedy: str) -> pa.Column:
    return pa.Column(str, _each(lambda text: text == "" or _numeric(text), remedy))


_TEXT = pa.DataFrameSchema(
    {
        "subject": pa.Column(str, _each(bool, "is blank; name the subject")),
        "time_h": pa.Column(str, _each(_numeric, "is not a finite number; give the time as a plain number")),
        "analyte": pa.Column(str, _each(_known, "is not a known analyte; known: {known}")),
        "value": _blank_or_number("is not a finite number; give the reading as a plain number"),
        "unit": pa.Column(str, _each(bool, "is blank; give the unit of the value")),
        "cens": pa.Column(str, _each(lambda text: text in CENSORING, f"is unknown; choose from: {', '.join(CENSORING)}")),
        "limit": _blank_or_number("is not a finite number; give the limit of the assay or leave it blank"),
        "bound": _blank_or_number("is not a finite number; give the far end of the interval or leave it blank"),
        "sd": _blank_or_number("is not a finite number; give the standard deviation or leave it blank"),
        "n": _blank_or_number("is not a finite number; give the number of subjects or leave it blank"),
        "statistic": pa.Column(
            str, _each(lambda text: text in STATISTICS, f"is unknown; choose from: {', '.join(STATISTICS)}")
        ),
    }
)


def _rows(column: str, test, remedy: str) -> pa.Check:
    return pa.Check(test, error=f"{column}: {remedy}")


_NUMBERS = pa.DataFrameSchema(
    {"time_h": pa.Column(float, _each(lambda t: t >= 0, "is negative; count time from the start of the scenario"))},
    checks=[
        _rows("value", lambda f: f["value"].notna() | (f["cens"] != "none"), "is blank; give the reading"),
        _rows("value", lambda f: ~(f["value"] < 0), "is negative; a concentration is not"),
        _rows(
            "value",
            lambda f: (f["cens"] != "none") | ~(f["value"] == 0),
            "has no logarithm; where the assay saw nothing, set cens to left and limit to its lower limit",
        ),
        _rows(
            "limit",
            lambda f: (f["cens"] == "none") | (f["limit"] > 0),
            "does not fit a censored reading; give its limit, above 0",
        ),
        _rows(
            "bound",
            lambda f: (
                f["bound"].isna()
                | (f["cens"] == "none")
                | np.where(f["cens"] == "left", f["bound"] < f["limit"], f["bound"] > f["limit"])
            ),
            "is on the wrong side of the limit; give the far end of the interval, or leave it blank",
        ),
        _rows(
            "cens",
            lambda f: (f["statistic"] == "individual") | (f["cens"] == "none"),
            "does not fit the summary of a group; give the individual readings, or none",
        ),
        _rows(
            "n",
            lambda f: (f["statistic"] == "individual") | ((f["n"] >= 2) & (f["n"] % 1 == 0) & (f["n"] < 1e9)),
            "does not fit the summary of a group; give the number of subjects, 2 or more",
        ),
        _rows(
            "sd",
            lambda f: (f["statistic"] != "mean") | (f["sd"] > 0),
            "does not fit a mean; give the standard deviation over subjects, above 0",
        ),
        _rows(
            "sd",
            lambda f: (f["statistic"] != "mean") | ~(f["sd"] > 1e6 * f["value"]),
            "is more than a million means; correct it or the mean",
        ),
        _rows(
            "sd",
            lambda f: (f["statistic"] != "geometric_mean") | (f["sd"] > 1),
            "does not fit a geometric mean; give the geometric standard deviation as a factor, above 1",
        ),
    ],
)


def _in_range(column: str, concerned) -> pa.Check:
    """After conversion, where a column is `concerned`, its numbers are neither 0 nor infinite."""
    return _rows(
        column,
        lambda f: ~concerned(f) | ((f[column] > 0) & (f[column] < np.inf)),
        "is out of range in the unit of the analyte; correct the number or the unit",
    )


_CANONICAL = pa.DataFrameSchema(
    checks=[
        _in_range("value", lambda f: f["cens"] == "none"),
        _in_range("limit", lambda f: f["cens"] != "none"),
        _in_range("sd", lambda f: f["statistic"] == "mean"),
    ]
)
