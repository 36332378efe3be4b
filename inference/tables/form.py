"""What the columns, codes and units of a table of dosing records stand for."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx

from cytostorm.models import HOURS

from ..analyte import UNITS, canonical, factor
from ..cells import number

ROLES = ("id", "time", "evid", "cmt", "amt", "rate", "ii", "addl", "ss", "dv", "dvid", "mdv", "cens", "limit")
LABELS = ("study", "arm")
REQUIRED = ("id", "time", "dv")
MOST = 10_000  # doses that one row may stand for


class Form(eqx.Module):
    """What the columns, codes and units of a table stand for; each option is described in docs/data.md.

    Raises `ValueError` for an unknown column, analyte or unit, and for values that no table can have.
    """

    columns: Mapping[str, str] = eqx.field(static=True)
    dvid: Mapping[str, str | None] | None = eqx.field(static=True)
    cmt: Mapping[str, str | None] | None = eqx.field(static=True)
    units: Mapping[str, str] = eqx.field(static=True)
    scale: Mapping[str, float] = eqx.field(static=True)
    amounts: Mapping[str, float] = eqx.field(static=True)
    time_unit: str = eqx.field(static=True)
    steady: int = eqx.field(static=True)
    reject: bool = eqx.field(static=True)

    def __init__(
        self,
        columns: Mapping[str, str] | None = None,
        dvid: Mapping[Any, str | None] | None = None,
        cmt: Mapping[Any, str | None] | None = None,
        units: Mapping[str, str] | None = None,
        amounts: Mapping[str, float] | None = None,
        time_unit: str = "h",
        steady: int = 20,
        reject: bool = False,
    ):
        known = (*ROLES, *LABELS)
        if unknown := [role for role in columns or {} if role not in known]:
            raise ValueError(f"`columns` has no key `{unknown[0]}`; it has: {', '.join(known)}")
        if time_unit not in HOURS:
            raise ValueError(f"`time_unit` is {time_unit!r}; choose from: {', '.join(HOURS)}")
        if not 1 <= steady <= MOST:
            raise ValueError(f"`steady` is {steady}; give the number of doses before a steady-state dose, 1 to {MOST}")
        if bad := [name for name, x in (amounts or {}).items() if not (math.isfinite(x) and x > 0)]:
            raise ValueError(f"`amounts` of {bad[0]} is {(amounts or {})[bad[0]]}; give a positive factor")
        self.columns = {role: str((columns or {}).get(role, role.upper())) for role in known}
        self.dvid = None if dvid is None else {code(str(k)): canonical(v) if v else None for k, v in dvid.items()}
        self.cmt = None if cmt is None else {code(str(k)): v or None for k, v in cmt.items()}
        self.units = UNITS | {canonical(name): unit for name, unit in (units or {}).items()}
        self.scale = {name: factor(unit, name) for name, unit in self.units.items()}
        self.amounts, self.time_unit = dict(amounts or {}), time_unit
        self.steady, self.reject = steady, reject

    @property
    def hours(self) -> float:
        """The time unit in hours."""
        return HOURS[self.time_unit]

    def found(self, header: Sequence[str], path: Path) -> dict[str, str]:
        """The column of the file for each role that it has; capitals do not matter where no column fits exactly.

        Raises `ValueError` where one that is needed, or named by `columns`, is missing.
        """
        found = {}
        for role, name in self.columns.items():
            like = [column for column in header if column == name] or [c for c in header if c.lower() == name.lower()]
            if len(like) > 1:
                raise ValueError(
                    f"{path}: columns `{like[0]}` and `{like[1]}` could both be {name}; say which with `columns`"
                )
            if like:
                found[role] = like[0]
            elif role in REQUIRED or name != role.upper():
                raise ValueError(
                    f"{path}: column `{name}` is missing; found: {', '.join(header)}; name the columns with"
                    f" `columns`, as {{{role}: ...}}"
                )
        return found


def code(text: str) -> str:
    """A code as it is compared: whole numbers without decimals, other text as it stands."""
    value = number(text)
    return str(int(value)) if value is not None and value == int(value) and abs(value) < 1e15 else text
