"""Reading a table of dosing records, as NONMEM and Monolix take it, into a cohort."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from ..analyte import canonical
from ..cells import Cells, Fault, Faulty, cells, refuse
from ..cohort import Cohort
from ..covariates import covariate_columns, missing
from .account import Understood
from .form import Form
from .nonmem import Record, Row, record
from .stories import stories


def read_records(
    path: str | Path,
    analytes: Sequence[str] | None = None,
    subjects: Sequence[str | int] | None = None,
    covariates: Sequence[str] | None = None,
    separator: str = ",",
    **form: Any,
) -> Cohort:
    """The cohort of a NONMEM or Monolix table; `form` are the options of `Form`.

    Raises `ValueError` for a table that is not understood: file, line, column, value and remedy are named.
    """
    return understand_records(path, analytes, subjects, covariates, separator, **form).cohort


def understand_records(
    path: str | Path,
    analytes: Sequence[str] | None = None,
    subjects: Sequence[str | int] | None = None,
    covariates: Sequence[str] | None = None,
    separator: str = ",",
    **form: Any,
) -> Understood:
    """The cohort of a table with the account of every row. Raises what `read_records` raises."""
    path, shape = Path(path), Form(**form)
    table = cells(path, "ID,TIME,EVID,...,DV", separator)
    names = shape.found(table.header, path)
    if not table.rows:
        raise ValueError(f"{path}: the table has a header but no rows; add at least one record")
    chosen, unread = covariate_columns(table, set(names.values()), covariates, path)
    records = _chosen(_records(table, names, shape, path), analytes, subjects, path)
    given = {name: {k: float(v) for k, v in table.column(name).items() if not missing(v)} for name in chosen}
    found, faults, remarks = [], [], []
    seen: dict[str, int] = {}
    for person, rows in groupby(records, lambda r: r.subject):
        own = list(rows)
        if person in seen:
            again = f"comes back after others (it was last on line {seen[person]}); keep the rows of a subject together"
            faults.append(Fault(own[0].line, names["id"], person, again))
        elif own[0].reason != _UNWANTED:
            try:
                found += stories(own, given, shape, names, remarks)
            except Faulty as error:
                faults.append(error.fault)
        seen[person] = own[-1].line
    refuse(path, faults)
    if not found:
        raise ValueError(f"{path}: no row is a reading or a dose; add at least one")
    try:
        cohort = Cohort(tuple(found))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return Understood(cohort, records, dict(shape.units), unread, remarks)


def _records(table: Cells, names: Mapping[str, str], form: Form, path: Path) -> list[Record]:
    """What each row says."""
    found, faults = [], []
    place = {role: table.header.index(name) for role, name in names.items()}
    for line, row in table.rows.items():
        try:
            found.append(record(Row(line, {role: row[i] for role, i in place.items()}, names), form))
        except Faulty as error:
            faults.append(error.fault)
    refuse(path, faults)
    return found


_UNWANTED = "subject is not among `subjects`"


def _chosen(
    records: list[Record], analytes: Sequence[str] | None, subjects: Sequence[str | int] | None, path: Path
) -> list[Record]:
    """The records, with those of other analytes and subjects than some left out."""
    for field, wanted, reason in (
        ("analyte", [canonical(a) for a in analytes or ()], "analyte is not among `analytes`"),
        ("subject", [str(s) for s in subjects or ()], _UNWANTED),
    ):
        known = list(dict.fromkeys(getattr(r, field) for r in records if getattr(r, field)))
        if unknown := [name for name in wanted if name not in known]:
            raise ValueError(f"{path}: no {field} `{unknown[0]}` in the table; it has: {', '.join(known)}")
        records = [r.without(reason) if wanted and getattr(r, field) not in (*wanted, "") else r for r in records]
    return records
