"""Writing a cohort as a table of dosing records, as NONMEM and Monolix take it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cytostorm.models import after

from ..cohort import Cohort, Subject
from ..covariates import missing
from .form import LABELS, ROLES

HEADER = tuple(role.upper() for role in (*ROLES, *LABELS))


def record_table(cohort: Cohort) -> pd.DataFrame:
    """The records of a cohort in the columns of NONMEM, with study, arm and covariates; `.` where there is nothing.

    Time is in hours, readings are in the units of their analytes, and every dose has a row of its own. A reading that
    is taken just after a dose stands below it, at its time. Stories of one person are parted by resets.

    Raises `ValueError` for summaries of groups, which have no place in such a table.
    """
    names = list(dict.fromkeys(name for s in cohort for name in (*s.covariates, *s.changing)))
    rows: list[dict[str, Any]] = []
    for person in dict.fromkeys(cohort.persons):
        if missing(person):
            raise ValueError(f"subject {person!r}: this stands for a missing value; give another label")
        own = [s for s, p in zip(cohort, cohort.persons, strict=True) if p == person]
        for i, subject in enumerate(own):
            shared = {"ID": person, "STUDY": subject.study or ".", "ARM": subject.arm or "."}
            for time, row in _rows(subject, again=i > 0):
                known = {n: subject.covariate(n, np.array([time]))[0] for n in (*subject.covariates, *subject.changing)}
                rows.append(dict.fromkeys((*HEADER, *names), ".") | shared | {"TIME": time, "MDV": 1} | row | known)
    return pd.DataFrame(rows, dtype=object)


def write_records(cohort: Cohort, path: str | Path) -> None:
    """Write a cohort as a NONMEM table, which `read_records` reads again. Raises what `record_table` raises."""
    record_table(cohort).to_csv(path, index=False)


def _rows(subject: Subject, again: bool) -> Iterator[tuple[float, dict[str, Any]]]:
    """The rows of one story in order, each with its time; the first resets if the story comes `again` or starts late."""
    events = sorted([*_readings(subject), *_doses(subject)], key=lambda event: event[:2])
    clock, timed = -np.inf, []
    for moment, _, row in events:
        clock = clock if moment <= after(after(clock)) else moment
        timed.append((clock, row))
    taken = {clock for clock, _ in timed}
    turns = {float(t) for times, _ in subject.changing.values() for t in times} - taken
    timed += [(t, {"EVID": 2}) for t in turns if t >= subject.start]
    timed.sort(key=lambda pair: pair[0])
    if again or subject.start > 0:
        timed.insert(0, (subject.start, {"EVID": 3}))
    elif subject.start < min([0.0, *(t for t, _ in timed)]):
        timed.insert(0, (subject.start, {"EVID": 2}))
    yield from timed


def _readings(subject: Subject) -> Iterator[tuple[float, int, dict[str, Any]]]:
    data = subject.data
    if not data.individual.all():
        raise ValueError(f"subject {subject.label!r} is the summary of a group; only readings of one subject are records")
    for i, analyte in enumerate(data.analyte):
        row = {"EVID": 0, "MDV": 0, "DVID": analyte, "CENS": -int(data.cens[i])}
        row["DV"] = float(data.limit[i] if data.cens[i] else data.value[i])
        if data.bound is not None and data.cens[i] and 0 < data.bound[i] < np.inf:
            row["LIMIT"] = float(data.bound[i])
        yield float(data.time[i]), 0, row


def _doses(subject: Subject) -> Iterator[tuple[float, int, dict[str, Any]]]:
    doses = subject.doses
    columns = (doses.target, *(np.asarray(x, float).tolist() for x in (doses.time, doses.amount, doses.duration)))
    for target, time, amount, duration in zip(*columns, strict=True):
        yield time, 1, {"EVID": 1, "CMT": target, "AMT": amount, "RATE": amount / duration if duration else 0.0}
