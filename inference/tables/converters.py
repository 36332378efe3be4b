"""From the original files of published data sets to tables of text, every digit as the catalogue's."""

import csv
import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .catalogue import File

COLUMNS = (
    *("study", "subject", "time_h", "analyte", "value", "unit"),
    *("cens", "lloq_or_uloq", "statistic", "n", "sd", "treatment"),
)
ANALYTES = {"IL10": "IL-10", "IL6": "IL-6", "IL8": "IL-8", "TNF": "TNF-alpha"}  # in the order of a table's rows
SHIFTED: tuple[str, ...] = ("TNF", "IL6", "IL8", "IL10")  # the order of the shifts in the source


def bolus(original: dict[str, Any]) -> Iterator[tuple]:
    """The rows of the 20 series after an LPS bolus (Janum 2016, as published with Windoloski 2023).

    The source holds value - constant, one constant per cytokine; value = source + constant undoes the shift. What was
    measured has two decimals, or three where it is the mean of duplicates: what is no number of three decimals was filled
    in by the source, and is flagged `individual_imputed`.
    """
    shift: dict[str, float] = dict(zip(SHIFTED, original["BaselineBolusMinusContinuousMean"].ravel(), strict=True))
    treatment = "E. coli LPS 2 ng/kg i.v. bolus at 0 h; nicotine patch status not recorded"
    for series in range(len(original["IL6"])):
        for i, time in enumerate(original["Time"].ravel()):
            for key, analyte in ANALYTES.items():
                value = _six(original[key][series, i] + shift[key])
                read = value == round(value, 3)
                about = ("none", "", "individual" if read else "individual_imputed", 1, "", treatment)
                yield "Janum2016_LPS2_bolus", f"S{series + 1:02d}", float(time), analyte, value, "pg/mL", *about


def infusion(original: dict[str, Any]) -> Iterator[tuple]:
    """The rows of the means and SDs under an LPS infusion (Windoloski 2023): not shifted, of at most 9 volunteers."""
    treatment = "LPS 2 ng/kg i.v. in total at a constant 0.5 ng/kg/h from 0 to 4 h"
    for i, time in enumerate(original["time"].ravel()):
        for key, analyte in ANALYTES.items():
            mean, sd = (_six(original[f"{key}{what}"][0, i]) for what in ("m", "sd"))
            about = ("none", "", "mean", 9, sd, treatment)
            yield "LPS2_infusion_4h", "group_mean", float(time), analyte, mean, "pg/mL", *about


def _six(value: float) -> float:
    """Six decimals, with a half to the even digit."""
    return float(np.round(value, 6))


CONVERTERS: dict[str, Callable[[dict[str, Any]], Iterator[tuple]]] = {"bolus": bolus, "infusion": infusion}


def convert(file: File, path: Path) -> str:
    """The table, as the text of a CSV file, of an original (a MATLAB file) that was found at `path`.

    Raises `ValueError` if the table is not the one of the catalogue.
    """
    from scipy.io import loadmat

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(CONVERTERS[file.converter or ""](loadmat(path)))
    text = out.getvalue()
    if (made := hashlib.sha256(text.encode()).hexdigest()) != file.table_sha256:
        raise ValueError(f"the table made of {path} has the SHA-256 {made}, not {file.table_sha256}, that of the catalogue")
    return text
