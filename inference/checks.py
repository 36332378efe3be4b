"""Figures that check a fit: predictions against readings, chains against each other, where the climbs ended."""

import arviz_plots as azp
import arviz_stats as azs
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from .observations import Observations
from .style import BLUE, GREY, INK, ORANGE, pace, plain_ticks, styled


def predictive(table: pd.DataFrame, data: Observations) -> Figure:
    """Posterior predictive check: every reading relative to its predicted median, with 50 and 90 % intervals."""
    at = np.arange(len(table))
    ratio = {name: table[name] / table["predicted"] for name in ("q5", "q25", "q75", "q95", "value")}
    with styled():
        figure, ax = plt.subplots(figsize=(max(5.5, 0.32 * len(table) + 1.5), 3.4))
        ax.vlines(at, ratio["q5"], ratio["q95"], color=BLUE, alpha=0.35, lw=5, label="predicted 90 %")
        ax.vlines(at, ratio["q25"], ratio["q75"], color=BLUE, alpha=0.75, lw=5, label="predicted 50 %")
        ax.axhline(1, color=GREY, lw=0.8, zorder=0)
        inside = table["inside_90"].to_numpy(bool)
        censored = data.cens != 0
        for rows, marker, color, label in (
            (inside & ~censored, "o", INK, "reading"),
            (~inside & ~censored, "X", ORANGE, "reading outside 90 %"),
            (censored, "v", ORANGE, "censored at its limit"),
        ):
            if rows.any():
                ax.plot(at[rows], ratio["value"][rows], marker, ms=6, color=color, mec="white", ls="", label=label)
        several = len(set(data.analyte)) > 1
        unit, hours = pace(np.ptp(table["time_h"]))
        times = table["time_h"] / hours
        labels = [f"{t:g}" + (f" {a}" if several else "") for t, a in zip(times, table["analyte"], strict=True)]
        ax.set_xticks(at, labels, fontsize=8, rotation=90 if several or len(at) > 25 else 0)
        ax.set(yscale="log", xlabel=f"time [{unit}]", ylabel="reading / predicted median")
        plain_ticks(ax.yaxis, ax.get_ylim()[1] / ax.get_ylim()[0])
        figure.legend(fontsize=8.5, ncols=2 if len(at) < 16 else 5, loc="outside upper center")
    return figure


def ranks(tree: xr.DataTree) -> Figure:
    """Rank plots: chains that sample one distribution keep their ECDF differences inside the band.

    Draws are thinned to about their effective number first: the band is that of independent draws.
    """
    posterior = tree["posterior"].to_dataset()
    sampled = [name for name in posterior.data_vars if "prior_log_sd" in posterior[name].attrs]
    effective = min(float(x) for x in azs.ess(posterior[sampled], method="bulk").data_vars.values())
    total = posterior.sizes["chain"] * posterior.sizes["draw"]
    thinned = posterior[sampled].isel(draw=slice(None, None, max(1, round(total / effective))))
    with styled():
        collection = azp.plot_rank(
            xr.DataTree.from_dict({"posterior": thinned}),
            col_wrap=4,
            figure_kwargs={"figsize": (10.5, 2.4 * -(-len(sampled) // 4)), "sharex": True},
            visuals={"remove_axis": False, "xlabel": False},
        )
        return collection.viz["figure"].item()


def waterfall(tree: xr.DataTree) -> Figure | None:
    """The energy of every climb before and after it, sorted by its end, by mode; None where nothing climbed."""
    if "starts" not in tree.children:
        return None
    starts = tree["starts"].to_dataset()
    climbs = starts.sortby("after")
    lowest = float(climbs["after"].min())
    number = np.arange(climbs.sizes["climb"])
    modes = climbs["mode"].values
    with styled():
        figure, ax = plt.subplots(figsize=(7.2, 3.6))
        ax.vlines(number, climbs["after"] - lowest + 0.1, climbs["before"] - lowest + 0.1, color=GREY, lw=1)
        ax.plot(number, climbs["before"] - lowest + 0.1, "o", mfc="white", mec=GREY, label="before")
        for mode, color, marker in zip(range(modes.max() + 1), [BLUE, ORANGE, INK, GREY] * 9, "osD^" * 9, strict=False):
            share = float(starts["weight"][mode])
            rows = modes == mode
            label = f"mode {mode + 1}, mass {share:.0%}"
            ax.plot(number[rows], climbs["after"][rows] - lowest + 0.1, marker, color=color, label=label)
        ax.set(yscale="log", xlabel="climb, sorted", ylabel="energy above the best, + 0.1")
        ax.legend(fontsize=8.5, ncols=4, loc="lower left", bbox_to_anchor=(0, 1))
    return figure
