"""The figure of a forecast: bands of every subject over the readings that were known and those that were held out."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..observations import Observations
from ..style import GREY, INK, ORANGE, band, clock, doses, log_axis, named, panels, styled, thresholds
from .forecast import Forecast
from .forecast_tree import NAMES

NUM_SHOWN = 10  # subjects in one figure
DECADES = 6  # of an axis below its top


def bands_figure(forecast: Forecast, table: pd.DataFrame) -> Figure:
    """Of every subject and analyte: bands of the curve (50 and 90 %) and of readings (90 %) as `bands` tabled them."""
    shown = list(dict.fromkeys(table["subject"]))[:NUM_SHOWN]
    analytes = list(forecast.analytes)
    given = dict(zip(forecast.subjects, forecast.doses, strict=False))
    shared = forecast.doses[0] if len(set(forecast.doses)) == 1 else ()  # what new subjects have in common
    with styled():
        many, number = len(shown) > 1, len(shown) * len(analytes)
        figure, axes = panels(number, len(analytes) if many else 3, (4.6, 2.9), (1.4, 0.4), sharex=many)
        each = axes.flat[:number].reshape(len(shown), -1)  # a row for each subject
        for row, subject in zip(each, shown, strict=True):
            for ax, analyte in zip(row, analytes, strict=True):
                own: Any = table[(table["subject"] == subject) & (table["analyte"] == analyte)]
                _bands(ax, own)
                top = own["reading_q95"].max()
                for data, color, label in ((forecast.known, INK, "known"), (forecast.held_out, ORANGE, "held out")):
                    top = max(top, _readings(ax, data, subject, analyte, color, label))
                low = own.loc[own["reading_q5"] > 0, "reading_q5"].min()
                low = ax.dataLim.y0 if ax.dataLim.y0 > 0 else low if np.isfinite(low) else top
                log_axis(ax, low, top, DECADES)
                ax.set_ylabel(named(analyte))
                thresholds(ax, analyte)
                doses(ax, given.get(subject, shared))
                ax.set_title("new subjects" if forecast.alike else subject, fontsize=9)
        for ax in each[-1]:
            clock(ax)
        handles = {label: line for ax in each.flat for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), fontsize=8.5, ncols=4, loc="outside upper center")
    return figure


def _bands(ax: Axes, own: Any) -> None:
    time = own["time_h"]
    ax.fill_between(time, own["reading_q5"], own["reading_q95"], color=GREY, alpha=0.3, lw=0, label="readings, 90 %")
    band(ax, time, [own[f"curve_{name}"] for name in NAMES], label="curve", lw=1.4)


def _readings(ax: Axes, data: Observations, subject: str, analyte: str, color: str, label: str) -> float:
    """Draw readings, censored ones as arrows; returns the highest."""
    which = (np.array(data.subject) == subject) & (np.array(data.analyte) == analyte)
    for sign, marker in ((0, "o"), (-1, "v"), (1, "^")):
        rows = which & (data.cens == sign)
        if rows.any():
            beyond = {0: "", -1: ", below the limit", 1: ", above the limit"}[sign]
            fill = "white" if sign == 0 else color
            ax.plot(data.time[rows], data.value[rows], marker, ms=5, color=color, mfc=fill, label=label + beyond, zorder=3)
    return float(data.value[which].max(initial=0.0))
