"""Figures of what can be told: told in grey as well, by line, marker and place."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..analyte import LABELS
from ..samplers import thinned
from ..style import BLUE, GREY, INK, ORANGE, look, panels, plain_ticks, styled, symbol
from ..summary import records
from .design import Future, gains
from .directions import FLAT
from .profile import DROP, Profile

FLOOR = 1e-4  # singular values below it are drawn there
MOST = 1000  # draws of a posterior that are drawn


def spectrum(values: Float[np.ndarray, "draw p"]) -> Figure:
    """The singular values at every prior draw, largest first; below the line the prior tells more than the readings."""
    size = values.shape[1]
    shown = np.maximum(values, FLOOR)
    aside = np.random.default_rng(0).uniform(-0.25, 0.25, values.shape)
    with styled():
        figure, ax = plt.subplots(figsize=(min(1.6 + 0.62 * size, 13.0), 3.9))
        ax.axhspan(FLOOR / 2, FLAT, color=GREY, alpha=0.18, lw=0)
        ax.axhline(FLAT, color=INK, lw=1.0, ls="--")
        ax.plot(np.arange(1, size + 1) + aside, shown, ".", ms=3, color=BLUE, alpha=0.35)
        middle = np.median(shown, axis=0)
        ax.hlines(middle, np.arange(1, size + 1) - 0.33, np.arange(1, size + 1) + 0.33, color=INK, lw=2.0)
        ax.set(yscale="log", xlabel="direction, best told first", ylim=(FLOOR / 2, shown.max() * 2))
        ax.set(xticks=np.arange(1, size + 1), ylabel="singular value [noise and prior SD]")
        ax.set_title(f"{len(values)} prior draws; in the grey the prior tells more than the readings")
    return figure


def profiled(found: Sequence[Profile], text: dict[str, dict[str, str]], table: pd.DataFrame) -> Figure:
    """The profile of every parameter: how far the log-likelihood falls, the threshold of the 95 % interval, and the 90 %
    interval of the posterior."""
    with styled():
        figure, axes = panels(len(found), 4, (3.1, 2.3), sharey=True)
        rows = {row["parameter"]: row for row in records(table)}
        for ax, p in zip(axes.flat, found, strict=False):
            row = rows[p.name]
            ax.axhline(DROP, color=ORANGE, lw=1.2, ls="--", label="95 % threshold")
            ax.axvspan(row["q5"], row["q95"], color=GREY, alpha=0.3, lw=0, label="posterior 90 %")
            ax.plot(p.values, p.drop, "o-", ms=3, color=BLUE, mfc="white", lw=1.5, label="profile")
            ax.plot([p.estimate], [0], "^", ms=6, color=INK, label="largest likelihood", clip_on=False, zorder=4)
            ax.set(xscale="log", ylim=(0, 3 * DROP), title=p.kind, xlabel=symbol(text[p.name]))
            if ":" in p.name:  # of a scale the symbol tells the number alone
                ax.set_title(f"{p.name}\n{p.kind}", fontsize=8)
            ax.tick_params(axis="x", labelsize=8)
            plain_ticks(ax.xaxis, float(p.values[-1] / p.values[0]))
        for ax in axes[:, 0]:
            ax.set_ylabel("log-likelihood lost [nat]")
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, fontsize=8.5, ncols=4, loc="outside upper center")
    return figure


def next_readings(
    covariance: Float[np.ndarray, "draw p p"], futures: Sequence[Future], picks: pd.DataFrame, about: Sequence[int] | None
) -> Figure:
    """The expected gain of one more reading over its time, by analyte, in every future; those chosen there, numbered."""
    names, top = list(dict.fromkeys(name for ahead in futures for name in ahead.analyte)), 0.0
    with styled():
        figure, axes = panels(len(futures), 3, (4.4, 3.3), (0.0, 0.4), sharey=True, sharex=True)
        for ax, ahead in zip(axes.flat, futures, strict=False):
            mean, own = gains(covariance, ahead, about).mean(axis=0), np.array(ahead.analyte)
            for k, name in enumerate(names):
                here = own == name
                marked = look(k) | {"ms": 4, "markevery": max(here.sum() // 6, 1)}
                ax.plot(ahead.time[here], mean[here], lw=1.6, label=LABELS.get(name, name), **marked)
            for row in records(picks[picks["future"] == ahead.label]):
                at = mean[(own == row["analyte"]) & (ahead.time == row["time_h"])][0]
                ax.annotate(
                    str(row["pick"]), (row["time_h"], at), (0, 5), textcoords="offset points", ha="center", fontsize=9
                )
                ax.plot(row["time_h"], at, "o", ms=7, color=INK, zorder=4)
            ax.set(title=ahead.label)
            ax.xaxis.set_major_locator(MaxNLocator(6))
            top = max(top, float(mean.max()))
        axes.flat[0].set_ylim(0, 1.15 * max(top, 1e-3))
        for ax in axes[:, 0]:
            ax.set_ylabel("expected gain [bits]")
        for ax in axes[-1]:
            ax.set_xlabel("time of the reading [h]")
        handles = {
            label: h for ax in axes.flat[: len(futures)] for h, label in zip(*ax.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles.keys(), fontsize=8.5, ncols=7, loc="outside upper center")
    return figure


def together(
    draws: Mapping[str, np.ndarray],
    prior: Mapping[str, np.ndarray],
    names: Sequence[str],
    text: Mapping[str, Mapping[str, str]],
) -> Figure:
    """The joint posterior of two parameters over their prior."""
    a, b = names
    shown = thinned(draws[a].size, MOST)
    with styled():
        figure, ax = plt.subplots(figsize=(5.0, 4.4))
        ax.plot(prior[a], prior[b], "x", ms=4, mew=0.8, color=GREY, alpha=0.8, label="prior")
        ax.plot(draws[a].ravel()[shown], draws[b].ravel()[shown], ".", ms=3, color=BLUE, alpha=0.5, label="posterior")
        ax.set(xscale="log", yscale="log", xlabel=symbol(text[a]), ylabel=symbol(text[b]))
        between = np.corrcoef(np.log(draws[a].ravel()), np.log(draws[b].ravel()))[0, 1]
        ax.set_title(f"correlation of the logarithms {between:.2f}")
        for axis, x in ((ax.xaxis, prior[a]), (ax.yaxis, prior[b])):
            plain_ticks(axis, float(x.max() / x.min()))
        ax.legend(fontsize=9, markerscale=2, loc="lower left")
    return figure
