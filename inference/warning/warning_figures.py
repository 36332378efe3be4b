"""Figures of warnings: what was foreseen of each patient over time, and how it scores."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..analyte import UNITS
from ..style import BLUE, GREY, INK, ORANGE, band, clock, log_axis, named, styled, thresholds
from .alarm import Alarm
from .replay import OURS
from .scores import reliability

MOST = 8  # patients in one figure
DECADES = 5  # of an axis below its top
LINES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D")
COLORS = (BLUE, ORANGE, INK, GREY)


def warnings(
    forecasts: Mapping[str, Sequence[Alarm]],
    readings: Mapping[str, tuple[np.ndarray, np.ndarray]],
    analyte: str,
    threshold: float,
    level: float,
) -> Figure:
    """Of every patient the last forecast's band over its readings, and below it the chance of a storm after each reading."""
    shown = list(forecasts)[:MOST]
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    with styled():
        figure, axes = plt.subplots(
            2 * rows,
            columns,
            figsize=(max(4.2 * columns, 6.0), 4.6 * rows),
            squeeze=False,
            sharex="col",
            gridspec_kw={"height_ratios": [2, 1] * rows},
        )
        for place in range(rows * columns):
            top, low = axes[2 * (place // columns), place % columns], axes[2 * (place // columns) + 1, place % columns]
            if place >= len(shown):
                top.remove()
                low.remove()
                continue
            label = shown[place]
            last, (time, value) = forecasts[label][-1], readings[label]
            band(top, last.ahead, last.band)
            top.plot(time, value, "o", ms=4.5, color=INK, mfc="white", label="readings")
            top.axhline(threshold, color=ORANGE, lw=1, ls="--")
            high = max(last.band[4].max(), value.max(), threshold)
            top.set_title(label)
            log_axis(top, min(last.band[0].min(), value.min()), high, DECADES)
            thresholds(top, analyte, told=False)
            when = [a.time for a in forecasts[label]]
            for k, horizon in enumerate(last.horizons):
                chance = [a.exceeds[k] for a in forecasts[label]]
                style = {"color": COLORS[k % 4], "ls": LINES[k % 4], "marker": MARKERS[k % 4]}
                low.plot(when, chance, lw=1.4, ms=3.5, label=f"within {horizon:g} h", **style)
            low.axhline(level, color=GREY, lw=0.8)
            low.set(ylim=(-0.03, 1.03))
            clock(low)
        for row in range(rows):
            axes[2 * row, 0].set_ylabel(named(analyte))
            axes[2 * row + 1, 0].set_ylabel(f"P(above {threshold:g} {UNITS.get(analyte, '')})")
        every = [ax.get_legend_handles_labels() for ax in axes[:2, 0]]
        figure.legend(
            [*every[0][0], *every[1][0]], [*every[0][1], *every[1][1]], fontsize=8.5, ncols=4, loc="outside upper center"
        )
    return figure


def calibrated(chances: pd.DataFrame, horizon: float) -> Figure:
    """What came against what was forecast, in ten bins, of every method; the size of a mark is the number of forecasts."""
    with styled():
        figure, ax = plt.subplots(figsize=(4.6, 4.4))
        ax.plot([0, 1], [0, 1], color=GREY, lw=1)
        methods = list(dict.fromkeys(chances["method"]))
        for k, method in enumerate(sorted(methods, key=lambda name: name != OURS)):
            own = chances[(chances["method"] == method) & (chances["horizon_h"] == horizon)]
            mean, share, num = reliability(np.array(own["probability"]), np.array(own["came"], bool))
            ax.plot(mean, share, lw=1.2, color=COLORS[k % 4], ls=LINES[k % 4], label=method)
            ax.scatter(mean, share, s=12 + 2 * np.sqrt(num) * 4, color=COLORS[k % 4], marker=MARKERS[k % 4])
        ax.set(
            xlabel=f"forecast: probability within {horizon:g} h",
            ylabel="share that came",
            xlim=(-0.02, 1.02),
            ylim=(-0.02, 1.02),
        )
        ax.legend(fontsize=8.5)
    return figure
