"""The report of a fit: figures as PNG, and one HTML page that holds them with the tables."""

import base64
import importlib.resources
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from jinja2 import Environment
from matplotlib.figure import Figure

from . import checks, figures, population_figures
from .checking.checking_figures import overview
from .checking.findings import Checks
from .observations import Observations
from .summary import lesson, plain, recovery, shrinkage
from .verdict import Verdict

CAPTIONS = {
    "trajectories": "The fit: posterior bands of the curve over the readings, and the prior's band behind them.",
    "prior_posterior": "What the data taught: the posterior of every sampled parameter against its prior (log scale).",
    "pair": "Feedback gain and IL-6 clearance together. Right of the dashed line, the critical gain, storms exist.",
    "vpc": "Visual predictive check: percentiles of the readings over those of cohorts drawn from the population.",
    "individuals": "Every subject's readings with the 90 % band of its own curve.",
    "spread": "How much subjects differ in each parameter, and how far their estimates are drawn to the median.",
    "predictive": "Posterior predictive check: each reading relative to its predicted median.",
    "starts": "The climbs that found the modes: energy (minus log-density) before and after each, sorted, by mode.",
    "checks": "Does the model suit its readings? Residuals are standard normal where it does; grey: 95 % of what is right.",
    "ranks": "Rank plots: where chains agree, differences of rank ECDFs are noise; p below 0.01 would flag a parameter.",
}


def write(
    folder: Path,
    tree: xr.DataTree,
    data: Observations,
    table: pd.DataFrame,
    readings: pd.DataFrame,
    verdict: Verdict,
    truth: dict[str, float],
    found: Checks,
) -> None:
    """Write the figures and `report.html` into `folder`."""
    plt.switch_backend("agg")
    own = _of_a_population(tree, data, table) if "population_predictive" in tree.children else _of_one(tree, data, readings)
    drawn: dict[str, Figure | None] = own | {
        "prior_posterior": figures.prior_posterior(tree, table, truth),
        "pair": figures.pair(tree, truth),
        "checks": overview(found),
        "ranks": checks.ranks(tree) if verdict.pareto_k is None else None,
        "starts": checks.waterfall(tree),
    }
    shown = []
    for name, figure in drawn.items():
        if figure is None:
            continue
        picture = base64.b64encode(figures.save_figure(figure, folder / f"{name}.png")).decode()
        caption = CAPTIONS["individuals"] if name.startswith("individuals") else CAPTIONS[name]
        shown.append((name, caption, picture))
    template = importlib.resources.files(__package__) / "report.html.j2"
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["plain"] = plain
    text = environment.from_string(template.read_text()).render(
        verdict=verdict,
        facts=verdict.facts,
        lessons=lesson(table),
        checks=found.table.to_dict("records"),
        figures=shown,
        table=table.reset_index().to_dict("records"),
        readings=readings.to_dict("records"),
        num_outside=int(np.sum(~readings["inside_90"].to_numpy(bool))),
        recovery=recovery(table, truth).reset_index().to_dict("records") if truth else [],
    )
    (folder / "report.html").write_text(text)


def _of_one(tree: xr.DataTree, data: Observations, readings: pd.DataFrame) -> dict[str, Figure | None]:
    return {"trajectories": figures.trajectories(tree, data), "predictive": checks.predictive(readings, data)}


def _of_a_population(tree: xr.DataTree, data: Observations, table: pd.DataFrame) -> dict[str, Figure | None]:
    analytes = dict.fromkeys(data.analyte)
    every: dict[str, Figure | None] = {f"individuals_{a}": population_figures.individuals(tree, data, a) for a in analytes}
    every |= {"vpc": population_figures.vpc(tree, data), "spread": population_figures.spread(table, shrinkage(tree))}
    return every
