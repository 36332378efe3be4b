"""Figures of fits beside each other: told in grey as well, by place and marker."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..analyte import LABELS
from ..style import BLUE, COLORS, GREY, INK, MARKERS, clock, styled
from ..summary import records
from ..verdict import PARETO_K
from .weights import SMALL

EXTREME = 0.05  # p-values closer to 0 or 1 are marked


def below(rows: pd.DataFrame, what: str) -> Figure:
    """How far every fit lies below the best, with two standard errors of the difference, and its stacking weight."""
    place = np.arange(len(rows))[::-1]
    with styled():
        figure, ax = plt.subplots(figsize=(7.2, 1.2 + 0.45 * len(rows)))
        ax.axvspan(-SMALL, 0, color=GREY, alpha=0.25, lw=0, label=f"less than {SMALL:g}: no difference")
        error = 2 * np.nan_to_num(rows["difference_se"])
        ax.errorbar(rows["difference"], place, xerr=error, fmt="o", color=BLUE, ecolor=INK, capsize=3, ms=6, label="± 2 SE")
        for y, weight in zip(place, rows["weight"], strict=True):
            ax.annotate(f"{weight:.2f}", (1.02, y), xycoords=("axes fraction", "data"), va="center", annotation_clip=False)
        ax.annotate("weight", (1.02, 1.0), xycoords="axes fraction", va="bottom", annotation_clip=False)
        ax.set(
            yticks=place, ylim=(-0.6, len(rows) - 0.4), xlabel=f"log predictive density of left-out {what}, below the best"
        )
        ax.set_yticklabels(list(rows.index))
        figure.legend(loc="outside upper center", ncols=2, fontsize=9)
    return figure


def by_reading(table: pd.DataFrame, names: list[str]) -> Figure:
    """How well every fit predicts each left-out reading, over time, the best fit of all as the line at zero."""
    best, *others = names
    analytes = list(dict.fromkeys(table["analyte"]))
    with styled():
        figure, axes = plt.subplots(1, len(analytes), figsize=(5.4 * len(analytes), 3.6), squeeze=False, sharey=True)
        for ax, analyte in zip(axes[0], analytes, strict=True):
            rows = table[table["analyte"] == analyte]
            ax.axhline(0, color=INK, lw=1.2, label=best)
            for k, name in enumerate(others):
                y, look = rows[f"elpd_{name}"] - rows[f"elpd_{best}"], {"color": COLORS[k % len(COLORS)], "ls": "", "ms": 6}
                ax.plot(rows["time_h"], y, marker=MARKERS[k % len(MARKERS)], mfc="none", label=name, **look)
            doubt = rows[[f"pareto_k_{name}" for name in names]].max(axis=1) > PARETO_K
            if doubt.any():
                ax.plot(rows["time_h"][doubt], np.zeros(doubt.sum()), "|", ms=12, color=INK, label="not to be trusted")
            clock(ax)
            ax.set_title(LABELS.get(analyte, analyte))
            ax.legend(fontsize=9)
        axes[0, 0].set_ylabel(f"log predictive density\nmore than {best}")
    return figure


def predictive(p: Mapping[str, pd.DataFrame]) -> Figure:
    """The posterior predictive p-value of every statistic, analyte and subject, by fit."""
    first = next(iter(p.values()))
    labels = list(dict.fromkeys(zip(first["analyte"], first["statistic"], strict=True)))
    place = {label: -i for i, label in enumerate(labels)}
    aside = np.linspace(0.2, -0.2, len(p)) if len(p) > 1 else [0.0]
    with styled():
        figure, ax = plt.subplots(figsize=(7.2, 1.2 + 0.28 * len(labels)))
        for low, high in ((0, EXTREME), (1 - EXTREME, 1)):
            ax.axvspan(low, high, color=GREY, alpha=0.25, lw=0)
        for k, (name, table) in enumerate(p.items()):
            rows = [row for row in records(table) if (row["analyte"], row["statistic"]) in place]
            y = [place[row["analyte"], row["statistic"]] + aside[k] for row in rows]
            look: Any = {"color": COLORS[k % len(COLORS)], "marker": MARKERS[k % len(MARKERS)]}
            ax.plot([row["p"] for row in rows], y, ls="", mfc="none", ms=6, label=name, **look)
        ax.set(xlim=(0, 1), yticks=list(place.values()), xlabel="share of made-up readings whose statistic is larger")
        ax.set_yticklabels([f"{LABELS.get(analyte, analyte)}: {statistic}" for analyte, statistic in labels])
        figure.legend(loc="outside upper center", ncols=len(p), fontsize=9)
    return figure
