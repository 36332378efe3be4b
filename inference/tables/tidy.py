"""Reading a tidy table of many subjects into a cohort."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..cells import Fault, cells, refuse
from ..cohort import Cohort, Subject
from ..covariates import covariate_columns, missing, settled
from ..observations import COLUMNS, observations
from .account import Understood
from .nonmem import Record
from .table import CLOCKS, REQUIRED, checked, select

LABELS = ("study", "arm")


def read_cohort(
    path: str | Path,
    analytes: Sequence[str] | None = None,
    subjects: Sequence[str | int] | None = None,
    covariates: Sequence[str] | None = None,
) -> Cohort:
    """The cohort of a tidy CSV file: the columns of `read` and, where there are some, `study`, `arm` and covariates.

    Covariates are the columns named, or every further column of numbers. Readings may come before time 0.

    Raises `ValueError` for a table that is not of this form: file, line, column, value and remedy are named.
    """
    return understand_cohort(path, analytes, subjects, covariates).cohort


def understand_cohort(
    path: str | Path,
    analytes: Sequence[str] | None = None,
    subjects: Sequence[str | int] | None = None,
    covariates: Sequence[str] | None = None,
) -> Understood:
    """The cohort of a tidy CSV file with the account of every row. Raises what `read_cohort` raises."""
    path = Path(path)
    table = cells(path, ",".join(REQUIRED))
    chosen, unread = covariate_columns(table, {*COLUMNS, *CLOCKS, *LABELS}, covariates, path)
    raw = table.frame()
    whole = checked(raw, path, early=True)
    for name in LABELS:
        whole[name] = [None if missing(text) else text for text in raw[name]] if name in raw else None
    for name in chosen:
        whole[name] = [np.nan if missing(text) else float(text) for text in raw[name]]
    refuse(path, _mixed(whole, chosen))
    kept = select(whole, analytes, subjects, path)
    if kept.empty:
        raise ValueError(f"{path}: none of the subjects chosen has a reading of the analytes chosen; choose others")
    lost = [label for label in dict.fromkeys(subjects or whole["subject"]) if str(label) not in set(kept["subject"])]
    units = raw.groupby(whole["analyte"])["unit"].agg(lambda text: " or ".join(dict.fromkeys(text))).to_dict()
    return Understood(
        Cohort(tuple(_subject(str(label), rows, chosen) for label, rows in kept.groupby("subject", sort=False))),
        [_record(line, line in kept.index, *row) for line, *row in whole[["subject", "time_h", "analyte"]].itertuples()],
        units,
        unread,
        [f"subject {label}: no reading of the analytes chosen; not in the cohort" for label in lost],
    )


def _mixed(frame: pd.DataFrame, covariates: Sequence[str]) -> Iterator[Fault]:
    """A second study or arm of a subject, and a second value of a covariate at one time."""
    for names, key, remedy in (
        (LABELS, ["subject"], "differs from an earlier row of the subject; give a subject one, or another label"),
        (covariates, ["subject", "time_h"], "differs from another row of the same time; give it one value at a time"),
    ):
        for name in names:
            given = frame.loc[frame[name].notna(), [*key, name]]
            first = given.groupby(key)[name].transform("first")
            for line, (text, known) in dict(zip(given.index, zip(given[name], first, strict=True), strict=True)).items():
                if text != known:
                    yield Fault(int(line), name, str(text), remedy)


def _subject(label: str, rows: pd.DataFrame, covariates: Sequence[str]) -> Subject:
    rows = rows.sort_values("time_h", kind="stable")
    time = rows["time_h"].to_numpy(float)
    known = {name: settled(time, rows[name].to_numpy(float)) for name in covariates}
    study, arm = (next(iter(rows[name].dropna()), "") for name in LABELS)
    return Subject(
        label,
        study,
        observations(rows),
        covariates={name: x for name, x in known.items() if isinstance(x, float)},
        changing={name: x for name, x in known.items() if isinstance(x, tuple)},
        arm=arm,
        start=min(0.0, float(time[0])),
    )


def _record(line: int, kept: bool, subject: str, time: float, analyte: str) -> Record:
    row = Record(int(line), subject, "reading", time, ("", ""), analyte)
    return row if kept else row.without("subject or analyte is not chosen")
