"""Figures of a calibration: told in grey as well, by line, marker and place."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import binom

from ..style import BLUE, GREY, INK, ORANGE, panels, styled
from ..summary import records
from .findings import by_quantity
from .fits import LIKELIHOOD
from .ranks import CENTRAL, LEVEL, Band

BINS = 20
PANEL = (2.7, 2.1)  # inches
MARKERS = "osD^v<>ph*XP"


def histograms(each: Mapping[str, tuple[Band, np.ndarray]], table: pd.DataFrame) -> Figure:
    """The ranks of every quantity in bins, and where the count of each bin lies in 95 % of calibrations."""
    with styled():
        figure, axes = panels(len(each), 4, PANEL, sharey=True)
        for ax, (limits, ranks), row in zip(axes.flat, each.values(), records(table), strict=False):
            edges = np.linspace(0, limits.most + 1, BINS + 1).round() - 0.5
            chance = np.diff(edges) / (limits.most + 1)
            low, high = binom.ppf((1 - LEVEL) / 2, limits.num, chance), binom.ppf((1 + LEVEL) / 2, limits.num, chance)
            ax.stairs(high, edges, baseline=low, fill=True, color=GREY, alpha=0.35, lw=0)
            ax.hist(ranks, edges, color=BLUE, alpha=0.75, rwidth=0.85)
            ax.set(title=_title(row), xticks=[0, limits.most // 2, limits.most])
        _label(figure, "rank of the truth", "replicates")
    return figure


def differences(each: Mapping[str, tuple[Band, np.ndarray]], table: pd.DataFrame) -> Figure:
    """The distribution function of the ranks less that of uniform ones, in the band that holds all of it at 95 %."""
    with styled():
        figure, axes = panels(len(each), 4, PANEL, sharey=True)
        for ax, (limits, ranks), row in zip(axes.flat, each.values(), records(table), strict=False):
            at, color = limits.at, BLUE if row["in_band"] else ORANGE
            ax.fill_between(at, limits.low / limits.num - at, limits.high / limits.num - at, color=GREY, alpha=0.35, lw=0)
            ax.axhline(0, color=INK, lw=0.8, ls="--")
            ax.plot(at, limits.difference(ranks), color=color, lw=1.6, ls="-" if row["in_band"] else (0, (4, 1)))
            ax.set(title=_title(row), xlim=(0, 1), xticks=[0, 0.5, 1])
        _label(figure, "share of ranks expected", "observed less expected")
    return figure


def coverage(table: pd.DataFrame) -> Figure:
    """The share of truths inside central intervals of their posteriors, less what is stated, with its 95 % interval."""
    rows = records(table)
    with styled():
        figure, ax = plt.subplots(figsize=(7.2, 4.2))
        ax.axhline(0, color=INK, lw=0.8, ls="--")
        aside = np.linspace(-0.3, 0.3, len(rows))
        for k, (row, off) in enumerate(zip(rows, aside, strict=True)):
            for place, level in enumerate(CENTRAL):
                name = f"{level * 100:.0f}"
                ends = np.array([row[f"low_{name}"], row[f"high_{name}"]]) - level
                right = ends[0] <= 0 <= ends[1]
                color, label = BLUE if right else ORANGE, f"${row['symbol']}$" if place == 0 else None
                ax.plot([place + off] * 2, ends, color=color, lw=1.1, alpha=0.7)
                ax.plot(
                    place + off, row[f"coverage_{name}"] - level, MARKERS[k % len(MARKERS)], ms=4.5, color=color,
                    mfc=color if right else "white", label=label,
                )  # fmt: skip
        ax.set(xticks=range(len(CENTRAL)), xticklabels=[f"{level:.0%}" for level in CENTRAL], ylabel="coverage less stated")
        ax.set(xlabel="central interval", xlim=(-0.5, len(CENTRAL) - 0.5))
        figure.legend(fontsize=9, ncols=6, loc="outside upper center")
    return figure


def recovery(ranks: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """What every replicate learned of each parameter, and how far its mean lies from the truth (Betancourt, 2018)."""
    rows, each = [row for row in records(table) if row["parameter"] != LIKELIHOOD], by_quantity(ranks)
    with styled():
        figure, axes = panels(len(rows), 4, PANEL, sharey=True)
        for ax, row in zip(axes.flat, rows, strict=False):
            mine = each[row["parameter"]]
            for z in (-1.96, 1.96):
                ax.axhline(z, color=GREY, lw=1.0, ls="--")
            ax.plot(mine["contraction"], mine["z_score"], ".", ms=4, color=BLUE, alpha=0.45)
            ax.axvline(row["contraction"], color=INK, lw=1.2)
            least = min(-0.3, float(np.quantile(mine["contraction"], 0.01)))
            ax.set(title=f"${row['symbol']}$", xlim=(least, 1.03), xticks=[0, 0.5, 1])
        _label(figure, "contraction", "z-score")
    return figure


def _label(figure: Figure, x: str, y: str) -> None:
    """The names of both axes, once for all panels."""
    figure.supxlabel(x, fontsize=10, color=INK)
    figure.supylabel(y, fontsize=10, color=INK)


def _title(row: Mapping[str, Any]) -> str:
    return f"${row['symbol']}$, p {row['p_value']:.2f}"
