"""The rows of a NONMEM or Monolix table, each understood by itself: a reading, a dose, a reset, or another record."""

import math
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..analyte import UNITS, canonical
from ..cells import Fault, Faulty, number
from ..covariates import missing
from .form import MOST, Form, code

SHORTEST = 1e-6  # hours of an infusion


class Record(NamedTuple):
    """One row: `kind` is reading, dose, reset, reset and dose, other, or left out, for a `reason`."""

    line: int
    subject: str
    kind: str
    time: float
    labels: tuple[str, str]
    analyte: str = ""
    value: float = math.nan
    cens: int = 0
    bound: float = math.nan
    target: str = ""
    amount: float = 0.0
    duration: float = 0.0
    interval: float = 0.0
    additional: int = 0
    steady: int = 0
    idle: bool = False
    reason: str = ""

    def without(self, reason: str) -> "Record":
        """The same row, left out: its time and its covariates still count."""
        return self._replace(kind="left out", reason=reason)


type Plain = Callable[["Row", str, str], str]


class Row:
    """The cells of one row by role."""

    def __init__(self, line: int, cells: Mapping[str, str], names: Mapping[str, str]):
        self.line, self.cells, self.names = line, cells, names

    def text(self, role: str) -> str:
        """The text of a cell, blank where it holds a symbol for a missing value or there is no such column."""
        text = self.cells.get(role, "")
        return "" if missing(text) else text

    def fault(self, role: str, remedy: str) -> Faulty:
        """What is wrong with a cell."""
        return Faulty(Fault(self.line, self.names.get(role, role.upper()), self.cells.get(role, ""), remedy))

    def number(self, role: str) -> float | None:
        """The number in a cell, none where it is blank. Raises `Faulty` for anything else."""
        text = self.text(role)
        value = number(text) if text else None
        if text and value is None:
            raise self.fault(role, "is not a finite number; give a plain number, or . where there is none")
        return value

    def choice(self, role: str, choices: Mapping[int, str], default: int | None = 0) -> int:
        """The code in a cell. Raises `Faulty` for one that is not a choice, and for a blank one without default."""
        value = self.number(role)
        if value is None and default is not None:
            return default
        if value is None or value not in choices:
            known = ", ".join(f"{key} ({text})" if text else str(key) for key, text in choices.items())
            raise self.fault(role, f"is {'blank' if value is None else 'unknown'}; choose from: {known}")
        return int(value)


def record(row: Row, form: Form) -> Record:
    """What a row says. Raises `Faulty` for one that cannot be understood."""
    subject = row.text("id")
    if not subject:
        raise row.fault("id", "is blank; name the subject")
    when = row.number("time")
    if when is None:
        raise row.fault("time", "is blank; give the time elapsed")
    if not math.isfinite(when * form.hours):
        raise row.fault("time", "is out of range; give the time elapsed")
    labels = (row.text("study"), row.text("arm"))
    kind = _KINDS[_event(row)]
    base = Record(row.line, subject, kind, when * form.hours, labels)
    if kind.endswith("dose"):
        return _dose(row, form, base)
    for role in ("amt", "rate", "ii", "addl", "ss"):
        if row.number(role):
            raise row.fault(role, "belongs to a dose; blank it, or set EVID to 1")
    if kind != "reading":
        return base._replace(idle=_ignored(row))
    try:
        return _reading(row, form, base)
    except Faulty as error:
        if form.reject:
            _, column, value, remedy = error.fault
            return base.without(f"{column} {value!r} {remedy.split(';')[0]}")
        raise


_KINDS = {0: "reading", 1: "dose", 2: "other", 3: "reset", 4: "reset and dose"}
_FLAG = {0: "", 1: ""}


def _event(row: Row) -> int:
    """The event of a row; where there is no EVID column, a dose has an amount."""
    if "evid" in row.names:
        return row.choice("evid", _KINDS, None)
    if not row.number("amt"):
        return 0
    if row.text("dv") and row.number("dv") and row.choice("mdv", _FLAG) == 0:
        raise row.fault("dv", "stands in one row with a dose; give each a row of its own, or set MDV to 1")
    return 1


def _ignored(row: Row) -> bool:
    """Whether a row that is no reading holds a DV. Raises `Faulty` where MDV says that it is a reading."""
    value = number(row.text("dv"))
    if value and row.number("mdv") == 0:
        raise row.fault("mdv", "says that DV is a reading, where EVID says that it is none; correct one of them")
    return bool(value) and row.choice("mdv", _FLAG) == 0


def _reading(row: Row, form: Form, base: Record) -> Record:
    if row.choice("mdv", _FLAG):
        return base._replace(kind="other")
    analyte = _coded(row, "dvid", form.dvid, _named, "analyte")
    if analyte is None:
        return base.without(f"{row.names.get('dvid', 'DVID')} {row.text('dvid')} stands for no analyte (`dvid`)")
    value = row.number("dv")
    if value is None:
        raise row.fault("dv", "is blank; give the reading, or set MDV to 1")
    cens = -row.choice("cens", {-1: "above", 0: "as read", 1: "below"})
    if value <= 0:
        raise row.fault("dv", "has no logarithm; where the assay saw nothing, set CENS to 1 and DV to its lower limit")
    bound = row.number("limit") if cens else None
    if bound is not None and not (bound < value if cens < 0 else bound > value):
        raise row.fault("limit", "is on the wrong side of DV; give the far end of the interval, or leave it blank")
    scale = form.scale[analyte]
    if not 0 < value * scale < math.inf:
        raise row.fault("dv", f"is out of range in {UNITS[analyte]}; correct it, or `units`")
    far = math.nan if bound is None or bound <= 0 else bound * scale
    return base._replace(analyte=analyte, value=value * scale, cens=cens, bound=far)


def _dose(row: Row, form: Form, base: Record) -> Record:
    amount, rate = row.number("amt"), row.number("rate") or 0.0
    if rate in (-1, -2):
        what = "rate" if rate == -1 else "duration"
        raise row.fault("rate", f"asks for a {what} that a model estimates, which is not supported; give the rate, or 0")
    if rate < 0:
        raise row.fault("rate", "is negative; give the rate of an infusion, or 0 for a bolus")
    if amount is None:
        raise row.fault("amt", "is blank; give the amount of the dose")
    if amount < 0 or (amount == 0 and rate > 0):
        raise row.fault("amt", "is not the amount of a dose; give a number above 0 (an endless infusion is not supported)")
    additional, interval = row.number("addl") or 0.0, row.number("ii") or 0.0
    steady = row.choice("ss", {0: "no", 1: "steady state", 2: "steady state on top of what is there"})
    if additional < 0 or additional % 1 or additional > MOST:
        raise row.fault("addl", f"is not a number of additional doses; give a whole number from 0 to {MOST}")
    if interval < 0 or (interval == 0 and (additional or steady)):
        raise row.fault("ii", "is no interval for repeated doses; give the time between them, above 0")
    if interval > 0 and not (additional or steady):
        raise row.fault("ii", "belongs to repeated doses; blank it, or give their number in ADDL or set SS to 1")
    target = _coded(row, "cmt", form.cmt, _targeted, "target")
    if target is None:
        if base.kind != "dose":
            raise row.fault("cmt", "stands for no target (`cmt`), but its row also resets; set EVID to 3")
        return base.without(f"{row.names.get('cmt', 'CMT')} {row.text('cmt')} stands for no target (`cmt`)")
    total = amount * form.amounts.get(target, 1.0)
    duration = amount / rate * form.hours if rate else 0.0
    reach = abs(base.time) + interval * form.hours * (additional + form.steady * bool(steady)) + duration
    if not (math.isfinite(total) and math.isfinite(reach)):
        raise row.fault("amt", "gives doses that are out of range; correct AMT, RATE, II or ADDL")
    if 0 < duration < SHORTEST or (rate and not duration and amount):
        raise row.fault("rate", f"gives an infusion shorter than {SHORTEST:g} h; give 0 for a bolus")
    return base._replace(
        target=target,
        amount=total,
        duration=duration,
        interval=interval * form.hours,
        additional=int(additional),
        steady=steady,
        idle=_ignored(row),
    )


def _coded(row: Row, role: str, codes: Mapping[str, str | None] | None, plain: Plain, what: str) -> str | None:
    """What a code stands for, none where that is nothing. Raises `Faulty` for an unknown one."""
    text = row.text(role)
    if codes is None:
        return plain(row, role, text)
    if role not in row.names and len(codes) == 1:
        text = next(iter(codes))
    if code(text) not in codes:
        raise row.fault(role, f"is not one of the codes {', '.join(codes)}; say what {what} it stands for with `{role}`")
    return codes[code(text)]


def _named(row: Row, role: str, text: str) -> str:
    try:
        return canonical(text)
    except ValueError as error:
        known = ", ".join(UNITS)
        raise row.fault(role, f"is no analyte; give one of {known}, or say what it stands for with `dvid`") from error


def _targeted(row: Row, role: str, text: str) -> str:
    if re.fullmatch(r"[A-Za-z]\w*", text):
        return text
    raise row.fault(role, "names no target of the model; give its name, or say what it stands for with `cmt`")
