"""Figures of a comparison. Arms differ by line style, marker and hatch as well as by colour: they can be told in grey."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..style import (
    BLUE,
    COLORS,
    GREY,
    HATCHES,
    INK,
    QUANTILES,
    band,
    clock,
    log_axis,
    look,
    named,
    panels,
    styled,
    thresholds,
)
from .counterfactual import Comparison
from .decide import best_shares, cases, courses
from .options import NOW, TRIGGER
from .utility import Utility

DECADES = 5  # of an axis below its top
MOST = 6  # panels of fans


def fans(comparison: Comparison, table: pd.DataFrame, name: str, unit: str, patient: int = 0) -> Figure:
    """The course of a read-out untreated and, arm by arm, from the best of its starts: medians, 50 and 90 % bands."""
    shown = _best_starts(comparison, table, comparison.patients[patient])[:MOST]
    curves, time = comparison.curves[name][:, patient], comparison.times[patient]
    keep = comparison.whole[patient][comparison.draw]
    with styled():
        figure, axes = panels(len(shown), 3, (4.1, 3.1), (0.6, 0.5), sharex=True, sharey=True)
        bands = {i: np.quantile(curves[i][keep], QUANTILES, axis=0) for i in [0, *shown]}
        low, top = min(q[0].min() for q in bands.values()), max(q[4].max() for q in bands.values())
        for ax, i in zip(axes.flat, shown, strict=False):
            band(ax, time, bands[0], GREY, "untreated", ":")
            band(ax, time, bands[i], BLUE, "treated")
            start = np.median(comparison.start[i, patient])
            ax.axvline(comparison.now[patient], color=INK, lw=0.8)
            if np.isfinite(start):
                ax.axvline(start, color=BLUE, lw=1.0, ls="--")
            ax.set_title(comparison.options[i].label)
            log_axis(ax, low, top, DECADES)
            thresholds(ax, name, told=ax is axes[0, 0])
        for ax in axes[:, 0]:
            ax.set_ylabel(named(name, unit))
        for ax in axes.flat[max(len(shown) - axes.shape[1], 0) : len(shown)]:
            clock(ax)
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, fontsize=8.5, ncols=4, loc="outside upper center")
    return figure


def _best_starts(comparison: Comparison, table: pd.DataFrame, label: str) -> list[int]:
    """For every arm and dose the option of its best start, best first."""
    worth = list(table.loc[table["patient"] == label, "utility"])
    found: dict[tuple[str, float], int] = {}
    for i in sorted(range(1, len(worth)), key=lambda i: -worth[i]):
        found.setdefault((comparison.options[i].arm, comparison.options[i].dose), i)
    return list(found.values())


def against_start(
    comparison: Comparison, utility: Utility, windows: pd.DataFrame, names: Sequence[str], patient: int | None = None
) -> Figure:
    """Utility gained and outcomes against the start of treatment: means with 90 % intervals, each arm and dose a line;
    until when the median window of opportunity of the best arm is open is shaded."""
    label = "all" if patient is None else comparison.patients[patient]
    many = courses(comparison)
    gains = utility.of(comparison)
    each = [("utility gained", "utility", cases(comparison, gains - gains[0], patient))]
    for name in names:
        k = comparison.outcomes.index(name)
        each.append((name.replace("_", " "), comparison.units[k], cases(comparison, comparison.outcome[..., k], patient)))
    with styled():
        figure, axes = panels(len(each), 3, (4.0, 3.0), (0.6, 0.6))
        for ax, (title, unit, x) in zip(axes.flat, each, strict=False):
            for k, (which, index) in enumerate(many.items()):
                start = [comparison.options[i].start_h for i in index]
                apart = (k - (len(many) - 1) / 2) * 0.012 * np.ptp(start)
                ax.vlines(
                    np.add(start, apart), *np.quantile(x[index], (0.05, 0.95), axis=1), color=_color(k), lw=1.0, alpha=0.7
                )
                ax.plot(np.add(start, apart), x[index].mean(axis=1), label=_named(which), lw=1.6, ms=4, **look(k))
            ax.axhline(x[0].mean(), color=GREY, lw=1.2, label="untreated")
            own = windows[(windows["patient"] == label) & (windows["benefits"] > 0)]
            if len(own):
                first = min(option.start_h for option in comparison.options[1:])
                ax.axvspan(first, np.max(own["closes_h"]), color=GREY, alpha=0.15, lw=0, label="median window open")
            ax.set(title=title, ylabel=f"[{unit or 1}]", xlabel="")
        for ax in axes.flat[max(len(each) - axes.shape[1], 0) : len(each)]:
            ax.set_xlabel(_axis(comparison))
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, fontsize=8.5, ncols=3, loc="outside upper center")
    return figure


def best(comparison: Comparison, utility: Utility, patient: int | None = None) -> Figure | None:
    """For every start that all arms share: the probability of each arm, and of no treatment, to be the best, stacked; and
    the expected regret of each arm. None where arms share fewer than two starts."""
    worth, many = cases(comparison, utility.of(comparison), patient), courses(comparison)
    each = [{comparison.options[i].start_h: i for i in index} for index in many.values()]
    shared = sorted(set.intersection(*(set(x) for x in each))) if each else []
    if len(shared) < 2:
        return None
    shares = np.array([best_shares(worth[[0, *(x[start] for x in each)]]) for start in shared]).T
    regret = (worth.max(axis=0) - worth).mean(axis=1)
    with styled():
        figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.9))
        floor = np.zeros(len(shared))
        for k, share in enumerate([shares[0], *shares[1:]]):
            color = GREY if k == 0 else _color(k - 1)
            name = "untreated" if k == 0 else _named(list(many)[k - 1])
            filled = {"hatch": None if k == 0 else HATCHES[(k - 1) % len(HATCHES)], "edgecolor": "white"}
            left.fill_between(shared, floor, floor + share, facecolor=color, alpha=0.8, lw=0.0, label=name, **filled)
            floor = floor + share
        left.set(title="which is best", ylabel="probability of being best", ylim=(0, 1), xlabel=_axis(comparison))
        left.set_xlim(shared[0], shared[-1])
        for k, (which, index) in enumerate(many.items()):
            start = [comparison.options[i].start_h for i in index]
            right.plot(start, regret[index], lw=1.6, ms=4, label=_named(which), **look(k))
        right.axhline(regret[0], color=GREY, lw=1.2)
        right.set(
            title="what is lost by choosing it", ylabel="expected regret [utility]", xlabel=_axis(comparison), ylim=(0, None)
        )
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, fontsize=8.5, ncols=4, loc="outside upper center")
    return figure


def _color(k: int) -> str:
    return COLORS[k % len(COLORS)]


def _named(which: tuple[str, float]) -> str:
    arm, dose = which
    return arm if dose == 1 else f"{arm}, {dose:g} x dose"


def _axis(comparison: Comparison) -> str:
    words = {NOW: "the decision", TRIGGER: "the trigger"}
    clocks = dict.fromkeys(words.get(o.clock.name, o.clock.name) for o in comparison.options[1:])
    return f"start of treatment since {' or '.join(clocks)} [h]"
