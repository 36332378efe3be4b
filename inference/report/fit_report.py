"""The report of a fit: figures as PNG, and one HTML page that shows curves, posterior, chains and tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from .. import checks, figures, population_figures
from ..checking.checking_figures import overview
from ..checking.findings import Checks
from ..observations import Observations
from ..population import Population
from ..problem import Problem
from ..summary import lesson, plain, records, recovery, shrinkage
from ..verdict import Verdict
from . import curves, draws
from .page import Cell, Column, Head, Picture, Section, Table, interval, number, provenance, render, table, words

CAPTIONS = {
    "prior_posterior": "What the data taught: the posterior of every sampled parameter against its prior (log scale).",
    "pair": "Feedback gain and IL-6 clearance together. Right of the dashed line, the critical gain, storms exist.",
    "vpc": "Visual predictive check: percentiles of the readings over those of cohorts drawn from the population.",
    "spread": "How much subjects differ in each parameter, and how far their estimates are drawn to the median.",
    "predictive": "Posterior predictive check: each reading relative to its predicted median.",
    "checks": "Residuals are standard normal where the model suits its readings; grey: 95 % of what is right.",
    "starts": "The climbs that found the modes: energy (minus log-density) before and after each, sorted, by mode.",
    "ranks": "Rank plots: where chains agree, differences of rank ECDFs are noise; p below 0.01 would flag a parameter.",
}
STYLES = {"flagged": "hardly", "fine": "well"}  # of results, as of what was learned
CONTRACTION = (
    "Contraction is 1 - Var(posterior)/Var(prior) of the logarithm: 0, nothing learned; 1, known exactly. Below 0.5 the data"
    " hardly inform a value, from 0.8 they determine it."
)
BANDS = "Bands of the curve, over the readings; the pointer or the slider reads them off. Triangles at the foot are doses."
CHECKS = (
    "Does the model suit its readings? Tests come first: their values are p-values for the number of tests, flagged at 5 %."
    " What follows are hints, without a rate of false alarms. Neither is part of the verdict, which is about the sampler."
)
CHAINS = "Chains that agree look alike: their draws cover the same range, and differences of their ranks are noise."


def write(
    folder: Path,
    problem: Problem | Population,
    tree: xr.DataTree,
    summary: pd.DataFrame,
    readings: pd.DataFrame,
    verdict: Verdict,
    truth: Mapping[str, float],
    found: Checks,
    facts: Mapping[str, Any],
    config: str,
) -> None:
    """Write the figures and `report.html` into `folder`; `facts` tell where the run came from."""
    plt.switch_backend("agg")
    pictures = _pictures(folder, tree, problem.data, summary, readings, verdict, dict(truth), found)
    shown = lambda *names: [pictures[name] for name in names if name in pictures]  # noqa: E731
    outside = int(np.sum(~readings["inside_90"].to_numpy(bool)))
    told = [*lesson(summary), f"{outside} of {len(readings)} readings lie outside their predictive 90 % interval."]
    explored = draws.posterior(tree, summary, truth)
    several = verdict.pareto_k is None and len(explored["parameters"]) > 0
    sections = [
        Section("lessons", "What these data teach", lines=told),
        Section("trajectories", "Trajectories", BANDS, views={"curves": curves.fitted_curves(problem, tree)}),
        Section(
            "posterior",
            "Posterior",
            CONTRACTION,
            views={"draws": explored} if explored["parameters"] else {},
            tables=[_posterior(summary), *([_recovered(summary, dict(truth))] if truth else [])],
            figures=shown("prior_posterior", "pair", "spread"),
        ),
        Section(
            "diagnostics",
            "Diagnostics",
            CHAINS if several else "",
            views={"chains": {"view": "chains", "of": "draws"}} if several else {},
            tables=[_diagnosed(summary)],
            figures=shown("ranks", "starts"),
        ),
        Section("checks", "Checks", CHECKS, tables=[_checked(found)], figures=shown("checks")),
        Section("readings", "Readings and predictions", tables=[_readings(readings)], figures=shown("vpc", "predictive")),
        *provenance(facts, config),
    ]
    first = "PASS" if verdict.passed else "FAIL: do not use this posterior"
    head = Head(first, verdict.reasons, verdict.facts, "pass" if verdict.passed else "fail")
    render(folder / "report.html", "Report of a fit", head, sections)


def _pictures(
    folder: Path,
    tree: xr.DataTree,
    data: Observations,
    summary: pd.DataFrame,
    readings: pd.DataFrame,
    verdict: Verdict,
    truth: dict[str, float],
    found: Checks,
) -> dict[str, Picture]:
    """Every figure, saved, by name; those that the page has no view for are shown on it."""
    whole = "population_predictive" in tree.children
    own = _of_a_population(tree, data, summary) if whole else _of_one(tree, data, readings)
    drawn: dict[str, Figure | None] = own | {
        "prior_posterior": figures.prior_posterior(tree, summary, truth),
        "pair": figures.pair(tree, truth),
        "checks": overview(found),
        "ranks": checks.ranks(tree) if verdict.pareto_k is None else None,
        "starts": checks.waterfall(tree),
    }
    kept = {}
    for name, figure in drawn.items():
        if figure is not None:
            png = figures.save_figure(figure, folder / f"{name}.png")
            kept |= {name: Picture.of(CAPTIONS[name], png)} if name in CAPTIONS else {}
    return kept


def _of_one(tree: xr.DataTree, data: Observations, readings: pd.DataFrame) -> dict[str, Figure | None]:
    return {"trajectories": figures.trajectories(tree, data), "predictive": checks.predictive(readings, data)}


def _of_a_population(tree: xr.DataTree, data: Observations, summary: pd.DataFrame) -> dict[str, Figure | None]:
    analytes = dict.fromkeys(data.analyte)
    every: dict[str, Figure | None] = {f"individuals_{a}": population_figures.individuals(tree, data, a) for a in analytes}
    every |= {"vpc": population_figures.vpc(tree, data), "spread": population_figures.spread(summary, shrinkage(tree))}
    return every


def _posterior(summary: pd.DataFrame) -> Table:
    columns = [
        words("parameter", "parameter", "meaning"),
        words("unit", "unit"),
        number("median", "median"),
        interval("90 % interval", "q5", "q95"),
        interval("prior 90 %", "prior_q5", "prior_q95"),
        number("contraction", "contraction", "{:.2f}".format),
        Column("taught", lambda row: Cell(row["taught"], row["contraction"], f"words {row['taught']}"), True),
    ]
    return table("Every parameter and what follows from them", columns, records(summary.reset_index()))


def _checked(found: Checks) -> Table:
    columns = [
        words("check", "check"),
        Column("result", lambda row: Cell(row["result"], None, f"words {STYLES.get(row['result'], '')}"), True),
        number("value", "value", "{:.3g}".format),
        number("bar", "bar", "{:g}".format),
        words("what it says", "says"),
    ]
    return table("Checks of the model against its readings", columns, records(found.table))


def _diagnosed(summary: pd.DataFrame) -> Table:
    columns = [
        words("parameter", "parameter"),
        number("R-hat", "r_hat", "{:.4f}".format),
        number("ESS bulk", "ess_bulk", "{:.0f}".format),
        number("ESS tail", "ess_tail", "{:.0f}".format),
    ]
    return table("Convergence of every parameter", columns, records(summary.reset_index()))


def _recovered(summary: pd.DataFrame, truth: dict[str, float]) -> Table:
    columns = [
        words("parameter", "parameter"),
        number("truth", "truth"),
        number("median", "median"),
        interval("90 % interval", "q5", "q95"),
        Column("inside", lambda row: _whether(row["inside_90"]), True),
        number("contraction", "contraction", "{:.2f}".format),
    ]
    return table("Recovery of the known truth", columns, records(recovery(summary, truth).reset_index()))


def _readings(readings: pd.DataFrame) -> Table:
    columns = [
        words("subject", "subject"),
        words("analyte", "analyte"),
        number("time [h]", "time_h", "{:g}".format),
        Column("reading", lambda row: Cell({-1: "< ", 0: "", 1: "> "}[row["cens"]] + plain(row["value"]), row["value"])),
        number("predicted", "predicted"),
        interval("90 % interval", "q5", "q95"),
        Column("inside", lambda row: _whether(row["inside_90"]), True),
    ]
    return table("Every reading beside its prediction", columns, records(readings))


def _whether(inside: bool) -> Cell:
    return Cell("yes" if inside else "no", float(inside), "words" if inside else "words bad")
