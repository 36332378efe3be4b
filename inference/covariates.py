"""Covariates of subjects: which columns of a table hold them, and which stay constant."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from .cells import Cells, Fault, number, refuse

MISSING = ("", ".", "NA")

type Course = tuple[Float[np.ndarray, " time"], Float[np.ndarray, " time"]]


def missing(text: str) -> bool:
    """Whether a cell is blank, or holds a symbol that stands for it."""
    return text.upper() in MISSING


def covariate_columns(
    table: Cells, taken: Collection[str], asked: Sequence[str] | None, path: Path
) -> tuple[list[str], dict[str, str]]:
    """The columns that hold covariates, those asked for or else every further one of numbers; and why others do not.

    Raises `ValueError` for one that is not there, and for text in a column of numbers.
    """
    free = [name for name in table.header if name not in taken]
    if unknown := [name for name in asked or () if name not in free]:
        raise ValueError(f"{path}: no covariate column `{unknown[0]}`; further columns: {', '.join(free) or 'none'}")
    chosen, others, faults = [], {}, []
    remedy = "is not a finite number, in a column of numbers; correct it, or name the covariates with `covariates`"
    for name in free:
        given = {line: text for line, text in table.column(name).items() if not missing(text)}
        texts = {line: text for line, text in given.items() if number(text) is None}
        if asked is not None and name not in asked:
            others[name] = "is not asked for"
        elif asked is None and (not name or len(texts) == len(given)):
            example = next(iter(texts.values()), "")
            others[name] = f"holds text, as {example[:40]!r}" if texts and name else "is blank or has no name"
        else:
            chosen.append(name)
            faults += [Fault(line, name, text, remedy) for line, text in texts.items()]
    refuse(path, faults)
    return chosen, others


def settled(times: Float[np.ndarray, " row"], values: Float[np.ndarray, " row"]) -> float | Course | None:
    """A covariate of one subject over its sorted rows, NaN where it is not given.

    A number if it is constant, else times and values from which it changes; none where it is never given.

    Raises `ValueError` if it has two values at one time.
    """
    given = ~np.isnan(values)
    times, values = times[given], values[given]
    if not len(values):
        return None
    turns = np.r_[True, values[1:] != values[:-1]]
    times, values = times[turns], values[turns]
    if len(values) == 1:
        return float(values[0])
    if clash := np.flatnonzero(times[1:] == times[:-1]).tolist():
        i = clash[0]
        raise ValueError(f"is {values[i]:g} and {values[i + 1]:g} at {times[i]:g} h; give it one value at a time")
    return times, values
