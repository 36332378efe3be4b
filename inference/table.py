"""Reading a tidy table: every fault is an error that names file, row, value and remedy."""

import csv
import importlib.resources
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from .analyte import UNITS, canonical, factor
from .observations import COLUMNS, Observations, observations

REQUIRED = ("subject", "time_h", "analyte", "value", "unit")
STATISTICS = ("individual", "mean", "geometric_mean")
CENSORING = ("none", "left", "right")


def bundled(name: str, analytes: Sequence[str] | None = None, subjects: Sequence[str] | None = None) -> Observations:
    """The readings of a data set that ships with the package. Raises what `read` raises."""
    folder = importlib.resources.files("cytostorm.data") / name
    with importlib.resources.as_file(folder / "table.csv") as path:
        if not path.is_file():
            raise ValueError(f"no data set `{name}` ships with this package")
        return read(path, analytes, subjects)


def read(path: str | Path, analytes: Sequence[str] | None = None, subjects: Sequence[str] | None = None) -> Observations:
    """The readings of a tidy CSV file, or those of some analytes and subjects.

    Columns: `subject, time_h, analyte, value, unit` and, where needed, `cens` (none, left, right), `limit`,
    `sd`, `n`, `statistic` (individual, mean, geometric_mean). Other columns are ignored.

    Raises `ValueError` for a table that is not of this form: file, line, value and remedy are named.
    """
    path = Path(path)
    return observations(select(checked(cells(contents(path), path), path), path, analytes, subjects))


def contents(path: Path) -> str:
    """The text of a file. Raises `ValueError` for one that is absent, empty or not UTF-8."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give the path of a CSV table")
    raw = path.read_bytes()
    if not raw:
        raise ValueError(f"{path}: the file is empty (0 bytes); it needs a header line {','.join(REQUIRED)}")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}, line {line}: byte {raw[error.start]:#04x} is not UTF-8; save as UTF-8") from error


def cells(text: str, path: Path) -> pd.DataFrame:
    """The cells of a CSV text; the index is the line number in `path`.

    Raises `ValueError` for rows that do not fit the header.
    """
    reader = csv.reader(io.StringIO(text, newline=""))
    header = [name.strip() for name in next(reader, [])]
    stripped = ((reader.line_num, [cell.strip() for cell in row]) for row in reader)
    rows = {line: row for line, row in stripped if any(row)}
    if repeated := [name for name in header if header.count(name) > 1]:
        raise ValueError(f"{path}: column `{repeated[0]}` occurs twice; keep one")
    for line, row in rows.items():
        if len(row) != len(header):
            raise ValueError(
                f"{path}, line {line}: {len(row)} cells under a header of {len(header)}; give every row as many cells, and"
                " quote cells that hold a comma"
            )
    return pd.DataFrame.from_dict(rows, orient="index", columns=header, dtype=str)


def checked(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """A table of cells with numbers as numbers and values in the units of their analytes. Raises what `read` raises."""
    if missing := [column for column in REQUIRED if column not in frame]:
        raise ValueError(
            f"{path}: column `{missing[0]}` is missing; found: {', '.join(frame.columns)}; needed: {', '.join(REQUIRED)}"
        )
    if frame.empty:
        raise ValueError(f"{path}: the table has a header but no rows; add at least one reading")
    frame = frame.reindex(columns=list(COLUMNS), fill_value="")
    frame["cens"] = frame["cens"].replace("", "none").str.lower()
    frame["statistic"] = frame["statistic"].replace("", "individual").str.lower()
    _validate(_TEXT, frame, path)
    frame["analyte"] = frame["analyte"].map(canonical)
    for column in ("time_h", "value", "limit", "sd", "n"):
        frame[column] = frame[column].replace("", "nan").astype(float)
    _validate(_NUMBERS, frame, path)
    _order(frame, path)
    scale = _scale(frame, path)
    frame["value"] *= scale
    frame["limit"] *= scale
    frame["sd"] *= np.where(frame["statistic"] == "mean", scale, 1.0)
    frame["unit"] = frame["analyte"].map(UNITS.get)
    return frame


def _scale(frame: pd.DataFrame, path: Path) -> np.ndarray:
    """The factor of each row that brings its value to the unit of its analyte."""
    scale = np.ones(len(frame))
    for i, (row, analyte, unit) in enumerate(frame[["analyte", "unit"]].itertuples()):
        try:
            scale[i] = factor(unit, analyte)
        except ValueError as error:
            raise ValueError(f"{path}, line {row}: {error}") from error
    return scale


def _order(frame: pd.DataFrame, path: Path) -> None:
    """Refuse a second reading of one subject, analyte and time, and times that go back."""
    key = ["subject", "analyte", "time_h"]
    again = frame.index[frame.duplicated(key)]
    last = frame.groupby(["subject", "analyte"], sort=False)["time_h"].shift()
    back = frame.index[(frame["time_h"] < last).to_numpy(bool)]
    if len(again):
        row = again[0]
        subject, analyte, time = (frame.at[row, column] for column in key)
        first = frame.index[(frame[key] == frame.loc[row, key]).all(axis=1).to_numpy(bool)][0]
        raise ValueError(
            f"{path}, line {row}: a second {analyte} reading of subject {subject!r} at {time:g} h"
            f" (the first is on line {first}); keep one, or give them different subjects"
        )
    if len(back):
        row = back[0]
        subject, analyte, time = (frame.at[row, column] for column in key)
        raise ValueError(
            f"{path}, line {row}: time {time:g} h comes after a later one for subject {subject!r}, {analyte};"
            " sort the rows by time"
        )


def select(
    frame: pd.DataFrame, path: Path, analytes: Sequence[str] | None = None, subjects: Sequence[str] | None = None
) -> pd.DataFrame:
    """The rows of some analytes and subjects. Raises `ValueError` for one that the table does not have."""
    wanted = {"analyte": [canonical(a) for a in analytes or ()], "subject": [str(s) for s in subjects or ()]}
    for column, keep in wanted.items():
        found = list(dict.fromkeys(frame[column]))
        if unknown := [name for name in keep if name not in found]:
            raise ValueError(f"{path}: no {column} `{unknown[0]}` in the table; it has: {', '.join(found)}")
        if keep:
            frame = frame.loc[frame[column].isin(keep), :]
    return frame


def _validate(schema: pa.DataFrameSchema, frame: pd.DataFrame, path: Path) -> None:
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases.dropna(subset=["index"]).sort_values("index", kind="stable")
        row, column, remedy = cases.iloc[0][["index", "column", "check"]]
        if remedy.split(": ")[0] in COLUMNS:  # a check across columns names its own
            column, remedy = remedy.split(": ", 1)
        value = frame.at[int(row), column]
        shown = repr(value) if isinstance(value, str) else "a blank" if np.isnan(value) else f"{value:g}"
        more = cases["index"].nunique() - 1
        others = f" ({more} more faulty row{'s' if more > 1 else ''})" if more else ""
        raise ValueError(f"{path}, line {int(row)}, column `{column}`: {shown} {remedy}{others}") from None


def _numeric(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


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
        "time_h": pa.Column(str, _each(_numeric, "is not a finite number; give hours")),
        "analyte": pa.Column(str, _each(_known, f"is not a known analyte; known: {', '.join(UNITS)}")),
        "value": _blank_or_number("is not a finite number; give the reading as a plain number"),
        "unit": pa.Column(str, _each(bool, "is blank; give the unit of the value")),
        "cens": pa.Column(str, _each(lambda text: text in CENSORING, f"is unknown; choose from: {', '.join(CENSORING)}")),
        "limit": _blank_or_number("is not a finite number; give the limit of the assay or leave it blank"),
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
    {"time_h": pa.Column(float, _each(lambda t: t >= 0, "is negative; count hours from the start of the scenario"))},
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
            "cens",
            lambda f: (f["statistic"] == "individual") | (f["cens"] == "none"),
            "does not fit the summary of a group; give the individual readings, or none",
        ),
        _rows(
            "n",
            lambda f: (f["statistic"] == "individual") | ((f["n"] >= 2) & (f["n"] % 1 == 0)),
            "does not fit the summary of a group; give the number of subjects, 2 or more",
        ),
        _rows(
            "sd",
            lambda f: (f["statistic"] != "mean") | (f["sd"] > 0),
            "does not fit a mean; give the standard deviation over subjects, above 0",
        ),
        _rows(
            "sd",
            lambda f: (f["statistic"] != "geometric_mean") | (f["sd"] > 1),
            "does not fit a geometric mean; give the geometric standard deviation as a factor, above 1",
        ),
    ],
)
