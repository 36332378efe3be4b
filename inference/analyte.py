"""The analytes that a table may hold, those of one's own models among them: their names, aliases and units."""

import functools
import re
from collections.abc import Mapping
from typing import Any

UNITS: dict[str, str] = {
    "il1b": "pg/mL",
    "il6": "pg/mL",
    "il8": "pg/mL",
    "il10": "pg/mL",
    "tnf": "pg/mL",
    "ifn_gamma": "pg/mL",
    "crp": "mg/L",
    "ferritin": "ng/mL",
    "il18": "pg/mL",
    "ang2": "pg/mL",
    "cart": "cells/uL",
}

LABELS: dict[str, str] = {
    "il1b": "IL-1β",
    "il6": "IL-6",
    "il8": "IL-8",
    "il10": "IL-10",
    "tnf": "TNF-α",
    "ifn_gamma": "IFN-γ",
    "crp": "CRP",
    "ferritin": "ferritin",
    "il18": "IL-18",
    "ang2": "ANG2",
    "cart": "CAR-T",
}

_ALIASES = {"il1beta": "il1b", "tnfalpha": "tnf", "tnfa": "tnf", "ifng": "ifn_gamma", "ifngamma": "ifn_gamma"}


def canonical(name: str) -> str:
    """The canonical name of an analyte: `IL-6`, `IL6` and `il6` are `il6`.

    Raises `ValueError` for an unknown analyte; the message lists the known ones.
    """
    key = _ALIASES.get(_folded(name), _folded(name))
    if key not in UNITS:
        raise ValueError(f"unknown analyte {name!r}; known: {', '.join(UNITS)}")
    return key


def declare(analytes: Mapping[str, str]) -> None:
    """Make the analytes of a model of one's own, with their units, known to tables, figures and tasks.

    Raises `ValueError` for one that is known in another unit, and for a name that stands for another analyte.
    """
    for name, unit in analytes.items():
        key = _ALIASES.get(_folded(name), _folded(name))
        if key in UNITS and key != name:
            raise ValueError(f"analyte `{name}` would be read as `{key}`; give it another name, or that one")
        if UNITS.get(name, unit) != unit:
            raise ValueError(f"analyte `{name}` is in {unit}, but known in {UNITS[name]}; give it that unit or another name")
    for name, unit in analytes.items():
        UNITS[name] = unit
        LABELS.setdefault(name, name.replace("_", " "))
        _ALIASES[_folded(name)] = name


def _folded(name: str) -> str:
    key = re.sub(r"[^a-z0-9αβγ]", "", name.strip().lower())
    return key.replace("α", "alpha").replace("β", "beta").replace("γ", "gamma")


@functools.cache
def factor(unit: str, analyte: str) -> float:
    """The factor that brings a value in `unit` to the unit of `analyte`: 1 where they are written alike.

    Raises `ValueError` for a unit that pint does not know or that measures something else.
    """
    target = UNITS[analyte]
    if unit.strip() == target:
        return 1.0
    import pint  # late: it takes long to import

    try:
        return float(_registry().Quantity(1.0, unit.strip()).to(target).magnitude)
    except pint.DimensionalityError as error:
        raise ValueError(f"unit {unit!r} does not convert to {target}, the unit of {analyte}") from error
    except Exception as error:  # pint's parser raises many kinds for text that is not a unit
        raise ValueError(f"unknown unit {unit!r}; for {analyte} give {target} or a unit that converts to it") from error


@functools.cache
def _registry() -> Any:
    import pint

    registry = pint.UnitRegistry()
    registry.define("cell = count")
    return registry
