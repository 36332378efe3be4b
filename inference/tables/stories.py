"""From the records of one person to subjects: what the order of rows means, and which doses a row stands for."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Float

from cytostorm.models import Doses, after

from ..analyte import UNITS
from ..cells import Fault, Faulty, spans
from ..cohort import Subject
from ..covariates import settled
from ..observations import COLUMNS, observations
from .form import LABELS, Form
from .nonmem import Record

NEAR = 1e-9  # of a time, at least of an hour: an additional dose so near a row is given at its time


def stories(
    rows: Sequence[Record],
    given: Mapping[str, Mapping[int, float]],
    form: Form,
    names: Mapping[str, str],
    remarks: list[str],
) -> list[Subject]:
    """The stories of one person: one from each reset to the next. `given` are covariates by line.

    What a reader should know is added to `remarks`. Raises `Faulty` for rows that contradict each other.
    """
    fault = partial(_fault, names)
    study, arm = (_one(rows, i, role, fault) for i, role in enumerate(LABELS))
    parts = _parts(rows)
    found: list[Subject] = []
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        _check_order(part, fault)
        moments = _moments(part)
        readings = [(r, now) for r, now in zip(part, moments, strict=True) if r.kind == "reading"]
        doses = _doses(part, moments, following[0] if following else None, form.steady, fault)
        if not (readings or len(doses)):
            continue
        label = f"{rows[0].subject}#{len(found) + 1}" if found else rows[0].subject
        begin = part[0].time if part[0].kind.startswith("reset") else min(0.0, part[0].time)
        start = min([begin, *np.asarray(doses.time).tolist()])
        constant, changing = _covariates(rows, part, start, given, fault)
        data = observations(_frame(label, readings, fault))
        found.append(Subject(label, study, data, doses, constant, changing, arm, rows[0].subject, start))
        added = {t for r in part if r.additional for t in _series(r, part, 1, r.additional)}
        if early := [r.line for r, now in readings if now in added]:
            remarks.append(f"subject {label}: read before the additional dose of the same time: {spans(early)}")
    if not found:
        remarks.append(f"subject {rows[0].subject}: neither readings nor doses; not in the cohort")
    return found


type Complaint = Callable[[Record, str, object, str], Faulty]


def _fault(names: Mapping[str, str], row: Record, role: str, value: object, remedy: str) -> Faulty:
    """What is wrong with a record, in the column of a role."""
    return Faulty(Fault(row.line, names.get(role, role), str(value), remedy))


def _one(rows: Sequence[Record], i: int, role: str, fault: Complaint) -> str:
    """The one study or arm of a person."""
    text = next((r.labels[i] for r in rows if r.labels[i]), "")
    for row in rows:
        if row.labels[i] not in ("", text):
            raise fault(row, role, row.labels[i], f"differs from {text!r} before; give a subject one {role}")
    return text


def _parts(rows: Sequence[Record]) -> list[list[Record]]:
    """The rows from each reset to the next."""
    parts: list[list[Record]] = []
    for row in rows:
        if not parts or row.kind.startswith("reset"):
            parts.append([])
        parts[-1].append(row)
    return parts


def _check_order(rows: Sequence[Record], fault: Complaint) -> None:
    for before, row in pairwise(rows):
        if row.time < before.time:
            raise fault(
                row,
                "time",
                f"{row.time:g} h",
                f"comes after {before.time:g} h on line {before.line}; sort the rows of a subject by time, or reset it with"
                " EVID 3 or 4 where the clock starts again",
            )


def _moments(rows: Sequence[Record]) -> list[float]:
    """The moment at which each record happens [h]: rows of one time happen in their order.

    A solver reads before a dose of the same time. So a reading that stands after a dose row happens a moment later,
    and so does a dose that stands after that reading.
    """
    moments: list[float] = []
    clock = now = -np.inf
    dosed = False
    for row in rows:
        if not moments or row.time > after(after(clock)):
            clock = now = row.time
            dosed = False
        if row.kind == "reading" and dosed:
            now, dosed = after(now), False
        dosed |= row.kind.endswith("dose")
        moments.append(now)
    return moments


def _series(row: Record, rows: Sequence[Record], first: int, last: int) -> Float[np.ndarray, " dose"]:
    """The times of the doses with these numbers, of which 0 is that of the row [h]; of a row's time if near to it."""
    times = row.time + np.arange(first, last + 1) * row.interval
    clocks = np.array([r.time for r in rows])
    nearest = clocks[np.abs(times[:, None] - clocks).argmin(axis=1)]
    return np.where(np.abs(times - nearest) <= NEAR * np.maximum(1, np.abs(times)), nearest, times)


def _doses(
    rows: Sequence[Record], moments: Sequence[float], reset: Record | None, num_steady: int, fault: Complaint
) -> Doses:
    """Every dose that the rows stand for, by time."""
    dose_rows: list[Record] = []
    found: list[tuple[float, Record]] = []
    for i, (row, now) in enumerate(zip(rows, moments, strict=True)):
        if not row.kind.endswith("dose"):
            continue
        if row.steady:
            _check_steady(row, rows[:i], dose_rows, fault)
            found += [(float(t), row) for t in _series(row, rows, -num_steady, -1)]
        later = [float(t) for t in _series(row, rows, 1, row.additional)]
        if reset is not None and later and reset.time >= rows[-1].time and later[-1] > reset.time:
            remedy = (
                f"additional doses go on past the reset on line {reset.line}; give fewer, or give them rows of their own"
            )
            raise fault(row, "addl", row.additional, remedy)
        found += [(t, row) for t in (now, *later)]
        dose_rows.append(row)
    found.sort(key=lambda pair: pair[0])
    time, amount, duration = (
        jnp.asarray(np.array(x, float))
        for x in ([t for t, _ in found], [r.amount for _, r in found], [r.duration for _, r in found])
    )
    return Doses(tuple(r.target for _, r in found), tuple(r.duration > 0 for _, r in found), time, amount, duration)


def _check_steady(row: Record, before: Sequence[Record], dose_rows: Sequence[Record], fault: Complaint) -> None:
    """The doses before a steady-state dose act on what comes before its row: there may be nothing."""
    if read := [r for r in before if r.kind == "reading"]:
        remedy = f"says steady state after the reading on line {read[0].line}; give the doses before it rows of their own"
        raise fault(row, "ss", row.steady, f"{remedy}, or reset the subject with EVID 4")
    if row.steady == 1 and dose_rows:
        remedy = f"would undo the dose on line {dose_rows[0].line}; set SS to 2 to add to it, or EVID to 4 to start again"
        raise fault(row, "ss", row.steady, remedy)


def _frame(label: str, readings: Sequence[tuple[Record, float]], fault: Complaint) -> pd.DataFrame:
    """The readings in the tidy format."""
    seen: dict[tuple[str, float], Record] = {}
    for row, now in readings:
        if first := seen.get((row.analyte, now)):
            remedy = f"is a second {row.analyte} reading of subject {label} (the first is on line {first.line}); keep one"
            raise fault(row, "time", f"{row.time:g} h", f"{remedy}, or set MDV to 1")
        seen[row.analyte, now] = row
    kinds = {-1: "left", 0: "none", 1: "right"}
    columns = [
        [label] * len(readings),
        [now for _, now in readings],
        [r.analyte for r, _ in readings],
        [r.value for r, _ in readings],
        [UNITS[r.analyte] for r, _ in readings],
        [kinds[r.cens] for r, _ in readings],
        [r.value if r.cens else np.nan for r, _ in readings],
        [r.bound for r, _ in readings],
        [np.nan] * len(readings),
        [np.nan] * len(readings),
        ["individual"] * len(readings),
    ]
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def _covariates(
    rows: Sequence[Record], part: Sequence[Record], start: float, given: Mapping[str, Mapping[int, float]], fault: Complaint
) -> tuple[dict, dict]:
    """The constant and the changing covariates of a story; a value from before a reset is carried over it."""
    constant, changing = {}, {}
    for name, by_line in given.items():
        before = [by_line[r.line] for r in rows if r.line in by_line and r.line < part[0].line]
        inside = [(r.time, by_line[r.line]) for r in part if r.line in by_line]
        if before and (not inside or inside[0][0] > start):
            inside.insert(0, (start, before[-1]))
        if not inside:
            inside = [(start, by_line[r.line]) for r in rows if r.line in by_line][:1]
        try:
            value = settled(*(np.array([pair[i] for pair in inside], float) for i in (0, 1)))
        except ValueError as error:
            raise fault(part[0], name, "", str(error)) from error
        if isinstance(value, float):
            constant[name] = value
        elif value is not None:
            changing[name] = value
    return constant, changing
