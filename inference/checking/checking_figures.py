"""The checks of a fit in one figure: told in grey as well, by place and marker."""

import textwrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import kstwo

from ..analyte import LABELS
from ..figures import BLUE, GREY, INK, ORANGE, clock, plain_ticks, styled
from ..verdict import PARETO_K
from .findings import FLAGGED, NOTED, Checks
from .readings import outlier

WIDE = 1.96
MOST = 14  # parameters, or statistics, that have a row of their own
PANELS = {  # what each shows, and the checks that it is about
    "prior predictive": ["prior predictive"],
    "left-out readings (LOO-PIT)": ["outlier", "left-out readings"],
    "posterior in its prior": ["prior-data conflict", "power scaling"],
    "residuals over time": ["residuals over time"],
    "residuals over prediction": ["residuals over prediction", "shape of the residuals", "size of the residuals"],
    "influential readings": ["influential readings", "influence on parameters"],
}


def overview(checks: Checks) -> Figure:
    """Six panels: the readings under the prior, left out, the posterior in its prior, residuals twice, and influence."""
    each, result = checks.readings, dict(zip(checks.table["check"], checks.table["result"], strict=True))
    with styled():
        figure, axes = plt.subplots(2, 3, figsize=(12.5, 7.2))
        _foreseen(axes[0, 0], checks.foreseen)
        _uniform(axes[0, 1], each["loo_pit"].to_numpy())
        _scores(axes[0, 2], checks.scores)
        _residuals(axes[1, 0], each, each["time_h"].to_numpy())
        clock(axes[1, 0])
        low, high = (float(x) for x in np.quantile(each["predicted"], [0, 1]))
        _residuals(axes[1, 1], each, each["predicted"].to_numpy())
        axes[1, 1].set(xscale="log", xlabel="prediction")
        plain_ticks(axes[1, 1].xaxis, high / low)
        _influence(axes[1, 2], each)
        for ax, (title, about) in zip(axes.flat, PANELS.items(), strict=True):
            wrong = [name for name in about if result[name] == FLAGGED]
            noted = [name for name in about if result[name] == NOTED]
            mark = f"▲ flagged: {', '.join(wrong)}" if wrong else f"△ noted: {', '.join(noted)}" if noted else ""
            ax.set_title("\n".join([title, *textwrap.wrap(mark, 44)]), color=ORANGE if wrong else INK, fontsize=10.5)
        if result["outlier"] == FLAGGED:
            _, at = outlier(each["loo_pit"].to_numpy())
            for ax, x in ((axes[1, 0], each["time_h"]), (axes[1, 1], each["predicted"])):
                ax.plot(x[at], each["residual"][at], "o", ms=13, mfc="none", mec=ORANGE, mew=1.8)
    return figure


def _foreseen(ax: Axes, table: pd.DataFrame) -> None:
    """Where each statistic of the readings lies among the data sets of the prior."""
    rows = table.iloc[np.argsort(-np.abs(table["below"].to_numpy() - 0.5), kind="stable")[:MOST]].sort_index()
    place = -np.arange(len(rows))
    for low, high in ((0, 0.025), (0.975, 1)):
        ax.axvspan(low, high, color=GREY, alpha=0.3, lw=0)
    ax.plot(rows["below"], place, "o", ms=6, color=BLUE)
    ax.set(xlim=(-0.02, 1.02), yticks=place, xlabel="share of the prior's data sets below", ylim=(-len(rows) + 0.4, 0.6))
    ax.set_yticklabels([f"{LABELS.get(a, a)}: {s}" for a, s in zip(rows["analyte"], rows["statistic"], strict=True)])


def _uniform(ax: Axes, pit: np.ndarray) -> None:
    """The distribution function of chances less that of uniform ones, and the band that holds that of independent ones."""
    num, order = len(pit), np.sort(pit)
    x = np.concatenate([[0], np.repeat(order, 2), [1]])
    y = np.repeat(np.arange(num + 1) / num, 2) - x
    wide = float(kstwo.ppf(0.95, num))
    ax.axhspan(-wide, wide, color=GREY, alpha=0.25, lw=0)
    ax.axhline(0, color=INK, lw=0.8, ls="--")
    ax.plot(x, y, color=BLUE, lw=1.5)
    ax.plot(order, np.full(num, -1.15 * wide), "|", ms=8, color=INK)
    ax.set(xlim=(0, 1), xlabel="chance of a smaller reading", ylabel="observed less expected")


def _scores(ax: Axes, scores: dict[str, np.ndarray]) -> None:
    """The 90 % interval of every parameter in standard deviations of its prior, the farthest first if they are many."""
    names = sorted(scores, key=lambda name: -abs(float(np.median(scores[name]))))[:MOST]
    names = [name for name in scores if name in names]
    place = -np.arange(len(names))
    q = np.stack([np.quantile(scores[name], [0.05, 0.5, 0.95]) for name in names], axis=1)
    ax.axvspan(-WIDE, WIDE, color=GREY, alpha=0.25, lw=0)
    ax.hlines(place, q[0], q[2], color=BLUE, lw=3)
    ax.plot(q[1], place, "o", ms=5, color=INK)
    ax.set(yticks=place, xlabel="SDs from the median of the prior", ylim=(-len(names) + 0.4, 0.6))
    ax.set_yticklabels(names)


def _residuals(ax: Axes, each: pd.DataFrame, x: np.ndarray) -> None:
    """Mean residuals; readings of one subject and analyte are joined over time where there are few such series."""
    y, cens = each["residual"].to_numpy(), each["cens"].to_numpy()
    for level, style in ((0, "-"), (-WIDE, "--"), (WIDE, "--")):
        ax.axhline(level, color=GREY, lw=0.8, ls=style)
    series = each.groupby(["subject", "analyte"], sort=False).indices
    if len(series) <= 3 and np.array_equal(x, each["time_h"]):
        for at in series.values():
            at = at[np.argsort(x[at], kind="stable")]
            ax.plot(x[at], y[at], color=BLUE, lw=0.8, alpha=0.6)
    look: Any = {"ls": "", "ms": 5, "mec": INK}
    for sign, marker, label in ((0, "o", "as read"), (-1, "v", "below its limit"), (1, "^", "above its limit")):
        rows = cens == sign
        if rows.any():
            ax.plot(x[rows], y[rows], marker, mfc=BLUE if sign == 0 else "white", label=label, **look)
    ax.set_ylabel("residual [SD]")
    if (cens != 0).any():
        ax.legend(fontsize=8.5)


def _influence(ax: Axes, each: pd.DataFrame) -> None:
    """The shape of the weights that leave each reading out, and how far that moves a parameter (size of the marker)."""
    k, shift = each["pareto_k"].to_numpy(), np.abs(each["shift"].to_numpy())
    over = k > PARETO_K
    ax.axhline(PARETO_K, color=INK, lw=0.8, ls="--")
    for rows, marker, color, label in ((~over, "o", BLUE, "can be left out"), (over, "X", ORANGE, "too weighty")):
        if rows.any():
            size = 15 + 60 * np.minimum(shift[rows], 2.0)
            ax.scatter(each["time_h"][rows], k[rows], size, color=color, marker=marker, edgecolor="white", label=label)
    clock(ax)
    ax.set_ylabel("Pareto k (size: shift of a parameter)")
    ax.legend(fontsize=8.5, markerscale=0.8)
