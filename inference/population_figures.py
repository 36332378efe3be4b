"""Figures of a population: visual predictive check, every subject's fit, and how far subjects are drawn to the median."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from .figures import readings
from .observations import Observations
from .prediction.npde import replicates
from .style import BLUE, GREY, INK, ORANGE, QUANTILES, band, clock, doses, named, panels, plain_ticks, styled, thresholds

PERCENTILES = (10, 50, 90)
BINS = 12  # times are gathered in so many bins, where there are more
NUM_SHOWN = 40  # subjects in one figure


def bins(times: np.ndarray) -> np.ndarray:
    """The bin of every time: one for each distinct time, or quantiles of them where they are many."""
    distinct = np.unique(times)
    if len(distinct) <= BINS:
        return np.searchsorted(distinct, times)
    edges = np.unique(np.quantile(times, np.linspace(0, 1, BINS + 1)))
    return np.clip(np.searchsorted(edges, times, side="right") - 1, 0, len(edges) - 2)


def vpc(tree: xr.DataTree, data: Observations) -> Figure:
    """Visual predictive check: percentiles of the readings of a study over those of cohorts drawn from the population.

    A censored reading counts at its limit, and so do replicates beyond it (Bergstrand, Hooker, Wallin and Karlsson, AAPS J
    2011;13:143).
    """
    others, curves = replicates(tree, data), tree["predictions"].to_dataset()
    studies = dict(zip(curves["subject"].values, curves["study"].values, strict=True))
    study = np.array([studies[subject] for subject in data.subject])
    each = list(dict.fromkeys(zip(study, data.analyte, strict=True)))
    with styled():
        num = len(dict.fromkeys(data.analyte))
        figure, axes = panels(len(each), num if num <= 4 else 3, (4.1, 3.3), (0.0, 0.4))
        for ax, (name, analyte) in zip(axes.flat, each, strict=False):
            which = np.flatnonzero((study == name) & (np.array(data.analyte) == analyte))
            group = bins(data.time[which])
            centre = np.array([np.median(data.time[which][group == g]) for g in np.unique(group)])
            seen, drawn = [], []
            for g in np.unique(group):
                inside = which[group == g]
                seen.append(np.percentile(data.value[inside], PERCENTILES))
                drawn.append(np.percentile(others[:, inside], PERCENTILES, axis=1))
            seen, drawn = np.array(seen), np.array(drawn)  # bin, percentile (, replicate)
            for i, (percentile, color) in enumerate(zip(PERCENTILES, (GREY, BLUE, GREY), strict=True)):
                band = np.percentile(drawn[:, i], [5, 95], axis=1)
                label = "median" if percentile == 50 else "10 and 90 %" if i == 0 else None
                ax.fill_between(centre, *band, color=color, alpha=0.3, lw=0, label=label and f"{label}, predicted")
                style = "-" if percentile == 50 else "--"
                ax.plot(centre, seen[:, i], style, marker="o", ms=3, color=INK, lw=1.1, label=label and f"{label}, read")
            ax.set(yscale="log", ylabel=named(analyte))
            clock(ax)
            plain_ticks(ax.yaxis, ax.get_ylim()[1] / ax.get_ylim()[0])
            thresholds(ax, analyte)
            doses(ax, curves["dose_h"].values[curves["study"].values == name].ravel() if "dose_h" in curves.coords else ())
            ax.set_title(str(name), fontsize=9)
        figure.legend(
            *axes.flat[0].get_legend_handles_labels(),
            fontsize=8.5,
            ncols=min(2 * axes.shape[1], 5),
            loc="outside upper center",
        )
    return figure


def individuals(tree: xr.DataTree, data: Observations, analyte: str) -> Figure:
    """Every subject's readings of an analyte with the 50 and 90 % bands of its own curve, and its doses."""
    curves = tree["predictions"].to_dataset()
    subjects = [s for s in curves["subject"].values if any(np.array(data.subject)[np.array(data.analyte) == analyte] == s)]
    subjects = subjects[:NUM_SHOWN]
    owner = np.array(data.subject)
    with styled():
        figure, axes = panels(len(subjects), 7, (1.75, 1.5), (0.5, 0.6), sharey=True)
        for ax, subject in zip(axes.flat, subjects, strict=False):
            own = curves.sel(subject=subject)
            band(ax, own["time"].values, np.nanquantile(own[analyte].values, QUANTILES, axis=0), lw=1.2)
            readings(ax, data, (owner == subject) & (np.array(data.analyte) == analyte))
            ax.set_yscale("log")
            ax.set_title(subject, fontsize=8)
            ax.tick_params(labelsize=7)
            doses(ax, own["dose_h"].values if "dose_h" in own.coords else ())
        for ax in axes.flat[: len(subjects)]:  # once the axis that they share is known
            thresholds(ax, analyte, told=False)
        span = data.value[np.array(data.analyte) == analyte]
        plain_ticks(axes[0, 0].yaxis, span.max() / span.min())
        label, *_ = [clock(ax, labelled=False, most=4) for ax in axes.flat[: len(subjects)]]
        figure.supxlabel(label, fontsize=9)
        figure.supylabel(named(analyte), fontsize=9)
    return figure


def spread(table: pd.DataFrame, pulled: pd.Series) -> Figure:
    """The spread of every parameter between subjects, prior and posterior, and how far subjects are drawn to the median."""
    rows = table.loc[[f"omega[{name}]" for name in pulled.index]]
    at = np.arange(len(rows))[::-1]
    with styled():
        figure, ax = plt.subplots(figsize=(6.8, 0.36 * len(rows) + 1.2))
        ax.hlines(at, rows["prior_q5"], rows["prior_q95"], color=GREY, alpha=0.4, lw=7, label="prior 90 %")
        ax.hlines(at, rows["q5"], rows["q95"], color=BLUE, lw=2.5, label="posterior 90 %")
        ax.plot(rows["median"], at, "o", ms=5, color=BLUE, mec="white")
        for y, share in zip(at, pulled, strict=True):
            ax.text(1.02, y, f"{share:.0%}", transform=ax.get_yaxis_transform(), va="center", fontsize=8.5, color=ORANGE)
        ax.text(1.02, 1.0, "shrinkage", transform=ax.transAxes, va="bottom", fontsize=8.5, color=ORANGE)
        ax.set_yticks(at, pulled.index)
        ax.set(xscale="log", xlabel="standard deviation of the logarithm between subjects")
        plain_ticks(ax.xaxis, float(rows["prior_q95"].max() / rows["prior_q5"].min()))
        ax.legend(fontsize=8.5, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return figure
