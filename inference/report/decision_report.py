"""The report of a comparison: figures as PNG, and one HTML page with a slider for the start of treatment."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..analyte import LABELS
from ..decisions import decision_figures as figures
from ..decisions.counterfactual import Comparison
from ..decisions.options import NOW, TRIGGER
from ..decisions.utility import Utility
from ..style import save_figure
from ..summary import plain, records
from .page import Cell, Column, Head, Picture, Section, Table, interval, number, provenance, render, short, table, words

CAPTIONS = {
    "start": "Utility gained and what becomes of the patient, by start: mean, 90 % interval.",
    "best": "How likely each arm is to be the best choice at each start, and what is lost on average by choosing it.",
}
SHOWN = 5  # outcomes in the figure, those of the utility first
LISTED = 8  # outcomes on the page
MOST_PATIENTS = 20  # whose curves are kept
WIDE = 10.0  # times the lowest value: from there on an axis is logarithmic
TIMING = (
    "The slider moves the start of treatment. Left, the course untreated and treated; right, every arm against its start."
    " Differences are paired: a draw is compared with itself under another option, and only draws that could be solved under"
    " every option count. Regret is the utility that the best choice of each draw would add."
)


def write(
    folder: Path,
    comparison: Comparison,
    utility: Utility,
    tables: dict[str, pd.DataFrame],
    units: dict[str, str],
    lines: Sequence[str],
    facts: Mapping[str, Any],
    config: str,
    reasons: Sequence[str] = (),
) -> None:
    """Write the figures and `report.html` into `folder`; `facts` tell where the run came from.

    `reasons` are those not to trust it.
    """
    plt.switch_backend("agg")
    names = list(dict.fromkeys([*utility.weights, *comparison.outcomes]))
    pictures = _pictures(folder, comparison, utility, tables, units, names[:SHOWN])
    view = timing(comparison, tables, units, names[:LISTED])
    sections = [
        Section("timing", "By the start of treatment", TIMING, views={"start": view}),
        Section("decisions", "Decisions", tables=[_decisions(tables["decisions"])], figures=pictures),
        Section("hangs", "What the choice hangs on", lines=lines[1:], tables=[_sensitivity(tables["sensitivity"])]),
        Section("draws", "Draws", tables=[_draws(tables["draws"])]),
        *provenance(facts, config),
    ]
    who = f"{len(comparison.patients)} patient{'s' if len(comparison.patients) > 1 else ''}"
    checked = f"{int(comparison.whole.sum())} draws of {who}, {len(comparison.options)} options each"
    head = Head(lines[0][0].upper() + lines[0][1:], reasons, checked, "fail" if reasons else "")
    render(folder / "report.html", "When to treat", head, sections)


def _pictures(
    folder: Path,
    comparison: Comparison,
    utility: Utility,
    tables: dict[str, pd.DataFrame],
    units: dict[str, str],
    names: list[str],
) -> list[Picture]:
    """Every figure, saved; those that the page has no view for are shown on it."""
    patient = 0 if len(comparison.patients) == 1 else None
    drawn: dict[str, Figure | None] = {
        f"fan_{name}": figures.fans(comparison, tables["decisions"], name, units[name]) for name in comparison.curves
    }
    if len(tables["windows"]):
        drawn["start"] = figures.against_start(comparison, utility, tables["windows"], names, patient)
        drawn["best"] = figures.best(comparison, utility, patient)
    found = []
    for name, figure in drawn.items():
        if figure is not None:
            png = save_figure(figure, folder / f"{name}.png")
            found += [Picture.of(CAPTIONS[name], png)] if name in CAPTIONS else []
    return found


def timing(
    comparison: Comparison, tables: dict[str, pd.DataFrame], units: dict[str, str], outcomes: list[str]
) -> dict[str, Any]:
    """The view of a comparison: every option of every group of patients, with curves where there is one patient."""
    treated = comparison.options[1:]
    arms = list(dict.fromkeys((o.arm, o.dose, o.clock.name) for o in treated))
    table, means = tables["decisions"], tables["outcomes"]
    groups = {
        str(label): _group(comparison, table, means, str(label), arms, outcomes) for label in table["patient"].unique()
    }
    best = next(row for row in records(table) if row["expected_best"])
    known = best["clock"] != ""
    clocks = dict.fromkeys({NOW: "the decision", TRIGGER: "the trigger"}.get(o.clock.name, o.clock.name) for o in treated)
    unit = dict(zip(comparison.outcomes, comparison.units, strict=True))
    return {
        "view": "timing",
        "arms": [{"name": _named(*arm, len(clocks) > 1)} for arm in arms],
        "starts": sorted({float(o.start_h) for o in treated}),
        "clock": " or ".join(clocks),
        "outcomes": {name: unit[name] for name in outcomes},
        "curves": {name: _axis(name, x, units[name]) for name, x in comparison.curves.items()},
        "groups": groups,
        "best": {
            "arm": arms.index((best["arm"], best["dose"], best["clock"])) if known else 0,
            "start": float(best["start_h"]) if known else float(treated[0].start_h),
        },
    }


def _named(arm: str, dose: float, clock: str, several: bool) -> str:
    return arm + ("" if dose == 1 else f", {dose:g} x dose") + (f", clock {clock}" if several else "")


def _axis(name: str, curves: np.ndarray, unit: str) -> dict[str, Any]:
    low, high = np.nanquantile(curves, (0.02, 0.98))
    return {"label": LABELS.get(name, name.replace("_", " ")), "unit": unit, "log": bool(low > 0 and high > WIDE * low)}


def _group(
    comparison: Comparison,
    table: pd.DataFrame,
    means: pd.DataFrame,
    label: str,
    arms: list[tuple[str, float, str]],
    outcomes: list[str],
) -> dict[str, Any]:
    """Every option of the patients of one group."""
    patient = comparison.patients.index(label) if label in comparison.patients[:MOST_PATIENTS] else None
    theirs = means[means["patient"] == label]
    each = {name: records(theirs[theirs["outcome"] == name]) for name in outcomes}
    rows = []
    for i, (option, row) in enumerate(zip(comparison.options, records(table[table["patient"] == label]), strict=True)):
        which = -1 if option.treatment is None else arms.index((option.arm, option.dose, option.clock.name))
        numbers = {"gained": row["difference"], "q5": row["q5"], "q95": row["q95"], "regret": row["regret"]}
        shares = {"better": row["p_better"], "best": row["p_best"]}
        spread = {name: short([many[i]["mean"], many[i]["q5"], many[i]["q95"]]) for name, many in each.items()}
        found = {"arm": which, "start": float(option.start_h) if which >= 0 else None, "outcomes": spread}
        found |= {name: short(x) for name, x in (numbers | shares).items()}
        rows.append(found | {"fan": None if patient is None else _fan(comparison, i, patient), "from": None})
        if patient is not None:
            rows[-1]["from"] = short(np.median(comparison.start[i, patient]))
    if patient is None:
        return {"rows": rows}
    return {"rows": rows, "time": short(comparison.times[patient]), "now": float(comparison.now[patient])}


def _fan(comparison: Comparison, option: int, patient: int) -> dict[str, dict[str, Any]] | None:
    keep = comparison.whole[patient][comparison.draw]
    if not keep.any():
        return None
    bands = {name: np.quantile(x[option, patient][keep], (0.05, 0.5, 0.95), axis=0) for name, x in comparison.curves.items()}
    return {name: {"q5": short(q[0]), "median": short(q[1]), "q95": short(q[2])} for name, q in bands.items()}


def _decisions(decisions: pd.DataFrame) -> Table:
    treated = lambda row: row["clock"] != ""  # noqa: E731
    columns = [
        words("patient", "patient"),
        words("arm", "arm"),
        Column("start [h]", lambda row: Cell(f"{row['start_h']:g}", row["start_h"]) if treated(row) else Cell("")),
        Column("dose", lambda row: Cell(f"{row['dose']:g}", row["dose"]) if treated(row) else Cell("")),
        words("clock", "clock"),
        number("utility", "utility"),
        number("gained", "difference"),
        interval("90 % interval", "q5", "q95"),
        number("P(better)", "p_better", "{:.2f}".format),
        number("P(best)", "p_best", "{:.2f}".format),
        number("regret", "regret"),
    ]
    return table("Every option; the best is marked", columns, records(decisions), lambda row: bool(row["expected_best"]))


def _sensitivity(sensitivity: pd.DataFrame) -> Table:
    columns = [
        words("parameter", "parameter"),
        number("value of knowing it", "value", plain),
        number("share of knowing all", "share", "{:.2f}".format),
        number("correlation with what is gained", "correlation", "{:.2f}".format),
    ]
    return table("What it would be worth to know one parameter", columns, records(sensitivity))


def _draws(draws: pd.DataFrame) -> Table:
    columns = [words("patient", "patient"), number("decision [h]", "now_h", "{:g}".format)]
    columns += [number(name, name, str) for name in ("draws", "solves", "failed")] + [
        number("draws compared", "compared", str)
    ]
    return table("Draws and solves of every patient", columns, records(draws))
