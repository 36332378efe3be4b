"""The report of a comparison: figures as PNG, and one HTML page that holds them with the decision table."""

import base64
import importlib.resources
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from jinja2 import Environment
from matplotlib.figure import Figure

from ..style import save_figure
from ..summary import plain
from . import decision_figures as figures
from .counterfactual import Comparison
from .utility import Utility

CAPTIONS = {
    "fan": "The course untreated (dotted) and, arm by arm, from its best start (dashed line); the decision is black.",
    "start": "Utility gained and what becomes of the patient, by start: mean, 90 % interval.",
    "best": "How likely each arm is to be the best choice at each start, and what is lost on average by choosing it.",
}
SHOWN = 5  # outcomes in the figure, those of the utility first


def write(
    folder: Path,
    comparison: Comparison,
    utility: Utility,
    tables: dict[str, pd.DataFrame],
    units: dict[str, str],
    lines: Sequence[str],
) -> None:
    """Write the figures and `report.html` into `folder`."""
    plt.switch_backend("agg")
    patient = 0 if len(comparison.patients) == 1 else None
    names = list(dict.fromkeys([*utility.weights, *comparison.outcomes]))[:SHOWN]
    drawn: dict[str, Figure | None] = {
        f"fan_{name}": figures.fans(comparison, tables["decisions"], name, units[name]) for name in comparison.curves
    }
    if len(tables["windows"]):
        drawn["start"] = figures.against_start(comparison, utility, tables["windows"], names, patient)
        drawn["best"] = figures.best(comparison, utility, patient)
    shown = []
    for name, figure in drawn.items():
        if figure is None:
            continue
        picture = base64.b64encode(save_figure(figure, folder / f"{name}.png")).decode()
        shown.append((name, CAPTIONS[name.split("_")[0]], picture))
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["plain"] = plain
    template = importlib.resources.files(__package__) / "decisions.html.j2"
    text = environment.from_string(template.read_text()).render(
        figures=shown,
        lines=lines,
        decisions=tables["decisions"].to_dict("records"),
        sensitivity=tables["sensitivity"].to_dict("records"),
        draws=tables["draws"].to_dict("records"),
    )
    (folder / "report.html").write_text(text)
