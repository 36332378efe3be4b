"""The readings of published data sets: their tables brought to the tidy format, as one patient or as a cohort."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..analyte import canonical
from ..cells import cells, parsed
from ..cohort import Cohort, Subject
from ..observations import Observations, observations
from . import catalogue
from .catalogue import Entry, File
from .converters import COLUMNS, convert
from .table import checked, select

logger = logging.getLogger(__name__)


def published(
    name: str,
    analytes: Sequence[str] | None = None,
    subjects: Sequence[str] | None = None,
    from_h: float = 0.0,
    keep_suspect: bool = True,
) -> Observations:
    """The readings of a data set of the catalogue, or those of some analytes and subjects.

    Values that the source imputed are left out, and so are readings before `from_h` [h], counted from the event that
    the data set is timed by; suspect values are kept unless `keep_suspect` is false. What is left out is counted in the
    log. A censored reading enters by its limit.

    Raises `ValueError` for an unknown name, analyte or subject, for files that cannot be had or are not those of the
    catalogue, and for a negative `from_h`: a scenario starts at 0 h.
    """
    if from_h < 0:
        raise ValueError(f"`from_h` is {from_h:g}; a scenario starts at 0 h: give 0 or later")
    frame, path = _rows(catalogue.entry(name), analytes, subjects, from_h, keep_suspect)
    return observations(checked(frame, path))


def published_cohort(
    name: str,
    analytes: Sequence[str] | None = None,
    subjects: Sequence[str] | None = None,
    from_h: float = 0.0,
    keep_suspect: bool = True,
    unless: Sequence[str] = (),
    derived: Mapping[str, Mapping[str, float]] | None = None,
    floor: Mapping[str, float] | None = None,
) -> Cohort:
    """The subjects of a data set of the catalogue: the readings of `published`, by subject.

    Subjects in whom any of the covariates `unless` is not zero are left out, and counted in the log: those known to have
    had a drug, but not when. `derived` adds covariates, each a number times one that is known, such as an amount that
    everyone who was treated has had: `{a_tcz: {tocilizumab_ever: 8.0}}`. Readings below the `floor` of their analyte
    [its unit] are censored at it, and counted in the log.

    The arm of each is `name`; its study is that of the table, and its covariates are what the data set knows of its
    patients. No doses are given: amounts belong to the scenario. With a negative `from_h` a subject that was read before
    the event starts at its first reading. Raises what `published` raises, but for that.
    """
    entry = catalogue.entry(name)
    frame, path = _rows(entry, analytes, subjects, from_h, keep_suspect)
    known = _covariates(entry)

    def subject(label: str, rows: pd.DataFrame) -> Subject:
        data = observations(rows)
        study, start = str(frame.at[rows.index[0], "study"]), min(0.0, float(data.time[0]))
        mine = known.get(label, {})
        more = {name: factor * mine[x] for name, of in (derived or {}).items() for x, factor in of.items() if x in mine}
        return Subject(label, study, data, covariates={**mine, **more}, arm=name, start=start)

    people = checked(frame, path, early=True).groupby("subject", sort=False)
    every = tuple(subject(str(label), rows) for label, rows in people)
    sources = {x: "derive from" for of in (derived or {}).values() for x in of}
    for x, purpose in (dict.fromkeys(unless, "leave subjects out by") | sources).items():
        if not any(x in mine for mine in known.values()):
            have = ", ".join(dict.fromkeys(x for mine in known.values() for x in mine)) or "none"
            raise ValueError(f"{name}: no covariate `{x}` to {purpose}; it has: {have}")
    if unknown := [x for x in floor or {} if x not in set(frame["analyte"])]:
        have = ", ".join(frame["analyte"].unique())
        raise ValueError(f"{name}: no analyte `{unknown[0]}` to give a floor; it has: {have}")
    kept = tuple(person for person in every if not any(person.covariates.get(x) for x in unless))
    if len(kept) < len(every):
        out = len(every) - len(kept)
        logger.warning("%s: %d of %d subjects left out, for %s", name, out, len(every), ", ".join(unless))
    if not floor:
        return Cohort(kept)
    raised = tuple(dataclasses.replace(person, data=person.data.floored(floor)) for person in kept)
    number = sum(np.count_nonzero(a.data.value != b.data.value) for a, b in zip(kept, raised, strict=True))
    logger.warning(
        "%s: %d readings censored at a floor: %s", name, number, ", ".join(f"{a} {x:g}" for a, x in floor.items())
    )
    return Cohort(raised)


def table(entry: Entry) -> tuple[pd.DataFrame, Path]:
    """The cells of the readings of a data set, as published or converted, and the file they come from.

    The index is the line number in the table. Raises `ValueError` if the file cannot be had or is another.
    """
    file, path = _file(entry, "readings")
    table = parsed(convert(file, path), path) if file.converter else cells(path, ",".join(COLUMNS))
    return table.frame(), path


def _file(entry: Entry, content: str) -> tuple[File, Path]:
    file = next(file for file in entry.files if file.content == content)
    return file, catalogue.fetch(entry, file)


def _rows(
    entry: Entry, analytes: Sequence[str] | None, subjects: Sequence[str] | None, from_h: float, keep_suspect: bool
) -> tuple[pd.DataFrame, Path]:
    """The rows to use, in the columns of a tidy table, and the file they come from."""
    if np.isnan(from_h):
        raise ValueError("`from_h` is nan; give the hour from which readings are used")
    frame, path = table(entry)
    frame = frame.rename(columns={"lloq_or_uloq": "limit"}).assign(analyte=frame["analyte"].map(canonical))
    frame = select(frame, analytes, subjects, path)
    left_out = {
        "imputed by the source": lambda rows: rows["statistic"] == "individual_imputed",
        "suspect": lambda rows: (rows["statistic"] == "individual_suspect") & (not keep_suspect),
        f"before {from_h:g} h": lambda rows: rows["time_h"].astype(float) < from_h,
    }
    total = len(frame)
    for why, test in left_out.items():
        gone = test(frame).to_numpy(bool)
        if gone.any():
            logger.warning("%s: %d of %d readings left out, %s", entry.name, np.count_nonzero(gone), total, why)
        frame = frame.loc[~gone]
    if frame.empty:
        raise ValueError(f"{entry.name}: no readings are left from {from_h:g} h on; choose others or an earlier `from_h`")
    return frame.replace({"statistic": {"individual_suspect": "individual"}}), path


def _covariates(entry: Entry) -> dict[str, dict[str, float]]:
    """What the data set knows of each patient, by subject; blanks are left out."""
    if not any(file.content == "patients" for file in entry.files):
        return {}
    _, path = _file(entry, "patients")
    frame = cells(path, "subject").frame().set_index("subject")
    rows = frame.to_dict("index")
    return {str(label): {str(k): float(v) for k, v in row.items() if v != ""} for label, row in rows.items()}
