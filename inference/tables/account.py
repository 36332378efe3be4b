"""What was understood of a table, row by row, and how to tell it."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cytostorm.models.drugs import ANTIBODIES, target, targets

from ..analyte import LABELS, UNITS
from ..cells import spans
from ..cohort import Cohort
from .nonmem import Record


class Understood(NamedTuple):
    """A table as it was understood: its cohort, what became of each row, and what a reader should know.

    `units` are those of the table by analyte, `unread` are the columns that were not read, each with the reason.
    """

    cohort: Cohort
    records: list[Record]
    units: dict[str, str]
    unread: dict[str, str]
    remarks: list[str]

    @property
    def rows(self) -> dict[str, int]:
        """How many rows are readings, doses, resets, other records, and left out; a row that resets and doses is a dose."""
        counts = Counter("dose" if r.kind.endswith("dose") else r.kind for r in self.records)
        return {kind: counts[kind] for kind in ("reading", "dose", "reset", "other", "left out")}

    def lines(self) -> list[str]:
        """The account in words, one fact a line."""
        return [
            *self._who(),
            *_table(["readings", "unit", "in the table", "subjects", "rows", "below", "above", "range"], self._readings()),
            *_table(["doses", "rows", "given", "of them infused", "subjects", "total"], self._doses()),
            *_table(["covariate", "subjects", "changing in", "range"], self._covariates()),
            "",
            *(f"column `{name}` is not read: it {why}" for name, why in self.unread.items()),
            *self.remarks,
            *self._others(),
        ]

    def _who(self) -> Iterator[str]:
        cohort, rows = self.cohort, self.rows
        named = ("readings", "dose rows", "resets", "other records", "left out")
        parts = " + ".join(f"{n} {name}" for name, n in zip(named, rows.values(), strict=True) if n)
        yield f"rows       {len(self.records)} = {parts}"
        persons = len(set(cohort.persons))
        several = f", as {len(cohort)} stories between resets" if len(cohort) > persons else ""
        yield f"subjects   {persons}{several}"
        for what, names in (("studies", cohort.studies), ("arms", dict.fromkeys(s.arm for s in cohort))):
            if named := [name for name in names if name]:
                yield f"{what:<10} {len(named)}: {', '.join(named[:8])}{', ...' if len(named) > 8 else ''}"
        times = np.concatenate([np.r_[s.data.time, np.asarray(s.doses.time)] for s in cohort])
        yield f"time       {times.min():g} to {times.max():g} h"

    def _readings(self) -> Iterator[list[str]]:
        for analyte in self.cohort.analytes:
            own = [(s, np.array([a == analyte for a in s.data.analyte])) for s in self.cohort]
            own = [(s, pick) for s, pick in own if pick.any()]
            value = np.concatenate([s.data.value[pick] for s, pick in own])
            cens = np.concatenate([s.data.cens[pick] for s, pick in own])
            yield [
                LABELS[analyte],
                UNITS[analyte],
                self.units.get(analyte, UNITS[analyte]),
                str(len({s.person or s.label for s, _ in own})),
                str(len(value)),
                str((cens < 0).sum()),
                str((cens > 0).sum()),
                f"{value.min():g} to {value.max():g}",
            ]

    def _doses(self) -> Iterator[list[str]]:
        known = targets() | {target(drug, route): "mg" for drug, routes in ANTIBODIES.items() for route in routes}
        for name in dict.fromkeys(name for s in self.cohort for name in s.doses.target):
            own = [(s, s.doses.to(name)) for s in self.cohort if name in s.doses.target]
            yield [
                name,
                str(sum(r.target == name for r in self.records)),
                str(sum(len(doses) for _, doses in own)),
                str(sum(sum(doses.infused) for _, doses in own)),
                str(len({s.person or s.label for s, _ in own})),
                f"{sum(float(np.sum(doses.amount)) for _, doses in own):g} {known.get(name, '')}".strip(),
            ]

    def _covariates(self) -> Iterator[list[str]]:
        for name in dict.fromkeys(name for s in self.cohort for name in (*s.covariates, *s.changing)):
            fixed = {s.person or s.label: [s.covariates[name]] for s in self.cohort if name in s.covariates}
            moving = {s.person or s.label: s.changing[name][1] for s in self.cohort if name in s.changing}
            values = np.concatenate([*fixed.values(), *moving.values()])
            number = len(fixed.keys() | moving.keys())
            yield [
                name,
                f"{number} of {len(set(self.cohort.persons))}",
                str(len(moving)),
                f"{values.min():g} to {values.max():g}",
            ]

    def _others(self) -> Iterator[str]:
        for reason in dict.fromkeys(r.reason for r in self.records if r.reason):
            yield f"left out: {spans(r.line for r in self.records if r.reason == reason)}: {reason}"
        for kind in ("reset", "other"):
            if some := [r.line for r in self.records if r.kind == kind]:
                yield f"{kind}: {spans(some)}"
        if idle := [r.line for r in self.records if r.idle]:
            yield f"DV not read, for EVID says that the row is no reading: {spans(idle)}"


def _table(header: list[str], rows: Iterator[list[str]]) -> list[str]:
    """Rows under a header, in columns; nothing where there are no rows."""
    cells = [header, *rows]
    if len(cells) == 1:
        return []
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return ["", *("  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in cells)]
