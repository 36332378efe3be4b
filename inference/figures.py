"""Figures of a posterior, each a function from the labelled tree to a matplotlib figure."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde

from cytostorm.models import Model, Scenario
from cytostorm.models.readout import UNITS

from .analyte import LABELS
from .observations import Observations
from .prior import recalled
from .style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    QUANTILES,
    band,
    clock,
    doses,
    log_axis,
    look,
    named,
    panels,
    plain_ticks,
    styled,
    symbol,
    thresholds,
)
from .style import save_figure as save_figure


def trajectories(tree: xr.DataTree, data: Observations) -> Figure:
    """The 50 and 90 % bands of every analyte's curve over its readings, and the prior's 90 % band; doses and thresholds."""
    curves, prior = tree["predictions"].to_dataset(), tree["prior_predictions"].to_dataset()
    analytes = list(dict.fromkeys(data.analyte))
    with styled():
        figure, axes = panels(len(analytes), 2, (7.2, 4.4))
        for ax, analyte in zip(axes.flat, analytes, strict=False):
            t = curves["time"].values
            q = curves[analyte].quantile(QUANTILES, dim=("chain", "draw")).values
            p = prior[analyte].quantile([0.05, 0.95], dim=("chain", "draw")).values
            ax.fill_between(t, *p, color=GREY, alpha=0.2, lw=0, label="prior 90 %")
            band(ax, t, q, label="posterior")
            rows = np.array([a == analyte for a in data.analyte])
            readings(ax, data, rows)
            log_axis(ax, min(q[0].min(), data.value[rows].min()), max(q[4].max(), data.value[rows].max()), spare=3)
            clock(ax)
            doses(ax, np.atleast_1d(curves.attrs.get("dose_h", ())))
            thresholds(ax, analyte)
            ax.set_ylabel(named(analyte, curves[analyte].attrs["units"]))
            ax.legend(fontsize=8.5, ncols=4, loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def course(
    model: Model,
    times: np.ndarray,
    states: np.ndarray,
    read: pd.DataFrame,
    story: Scenario,
    data: Observations | None = None,
) -> Figure:
    """A simulated trajectory: every state that moves and every read-out, with dosing marks and readings."""
    moved = [i for i, state in enumerate(model.states) if np.ptp(states[:, i]) > 1e-6 * state.scale]
    names = [model.states[i].name for i in moved]
    twin = {"il6_free": "il6", "pressure_unsupported": "pressure"}  # drawn where a drug or support makes them differ
    extra = [
        str(name)
        for name in read.columns
        if name not in ("time_h", *names)
        and np.ptp(read[name]) > 0
        and not (name in twin and np.allclose(read[name], read[twin[str(name)]]))
    ]
    with styled():
        figure, axes = panels(len(moved) + len(extra), 4, (3.6, 2.5), layout="tight")
        for ax, i in zip(axes.flat, moved, strict=False):
            state = model.states[i]
            ax.plot(times, states[:, i], color=BLUE, lw=1.5)
            ax.set(title=state.meaning, ylabel=f"[{state.unit}]")
            if state.name in LABELS and np.min(states[:, i]) > 0 and np.ptp(np.log(states[:, i])) > np.log(30):
                ax.set_yscale("log")
            if data is not None and state.name in model.analytes:
                readings(ax, data, np.array([a == state.name for a in data.analyte]))
                ax.legend(fontsize=8.5)
        for ax, name in zip(axes.flat[len(moved) :], extra, strict=False):
            ax.plot(times, read[name], color=INK, lw=1.5)
            unit = UNITS.get(name, model.analytes.get(name, "1"))
            ax.set(title=name.replace("_", " "), ylabel=f"[{unit}]")
        for ax, name in zip(axes.flat, [*(model.states[i].name for i in moved), *extra], strict=False):
            clock(ax, labelled=ax in axes[-1])
            doses(ax, np.asarray(story.doses.time))
            thresholds(ax, name, told=False)
    return figure


def bifurcation(curves: dict[str, tuple[np.ndarray, np.ndarray]], gain: float) -> Figure:
    """Equilibrium IL-6 over the feedback gain by condition: stable branches solid, the separatrix dashed."""
    with styled():
        figure, ax = plt.subplots(figsize=(6.6, 4.4))
        for k, (name, (g, il6)) in enumerate(curves.items()):
            shown = (g > 0) & (g < 20)
            falling = np.gradient(g) < 0
            drawn = look(k) | {"ls": "-", "ms": 4, "markevery": 0.12}
            ax.plot(np.where(shown & ~falling, g, np.nan), il6, lw=1.8, label=name, **drawn)
            ax.plot(np.where(shown & falling, g, np.nan), il6, color=drawn["color"], lw=1.2, ls="--")
        ax.axvline(gain, color=GREY, lw=1, ls=":")
        ax.text(gain, 0.99, " this host", color=GREY, fontsize=8.5, va="top", transform=ax.get_xaxis_transform())
        ax.set(
            xscale="log", yscale="log", xlim=(0.3, 20), xlabel="feedback gain [1/h]", ylabel="IL-6 at equilibrium [pg/mL]"
        )
        plain_ticks(ax.xaxis, 20.0)
        thresholds(ax, "il6")
        ax.legend(fontsize=8.5, loc="center left")
    return figure


def readings(ax: Axes, data: Observations, rows: np.ndarray) -> None:
    """Draw readings: groups with the 95 % interval of their mean, censored ones as arrows from their limit."""
    low, high = data.interval
    group, seen = rows & ~data.individual, rows & data.individual & (data.cens == 0)
    if group.any():
        bars = np.abs(np.stack([low, high]) - data.value)[:, group]
        style = {"fmt": "o", "ms": 5, "lw": 1.2, "capsize": 2, "mfc": "white", "zorder": 3}
        ax.errorbar(data.time[group], data.value[group], bars, color=INK, label="group mean, 95 %", **style)
    if seen.any():
        ax.plot(data.time[seen], data.value[seen], "o", ms=4.5, color=INK, mfc="white", label="readings", zorder=3)
    for sign, marker in ((-1, "v"), (1, "^")):
        beyond = rows & (data.cens == sign)
        if beyond.any():
            label = f"{'below' if sign < 0 else 'above'} the limit"
            ax.plot(data.time[beyond], data.limit[beyond], marker, ms=6, color=ORANGE, label=label, zorder=3)


def prior_posterior(tree: xr.DataTree, table: pd.DataFrame, truth: dict[str, float] | None = None) -> Figure:
    """Every sampled parameter: its prior and its posterior on a logarithmic axis, and what was learned."""
    posterior = tree["posterior"].to_dataset()
    names = [str(name) for name in posterior.data_vars if "prior_log_sd" in posterior[name].attrs]
    with styled():
        figure, axes = panels(len(names), 4, (2.7, 2.1))
        for ax, name in zip(axes.flat, names, strict=False):
            a = posterior[name].attrs
            prior = recalled(a)
            low, high = prior.log_quantile(np.array([-3.2, 3.2]))
            x = np.linspace(low, high, 300)
            ax.fill_between(np.exp(x), np.exp(prior.log_density(x)), color=GREY, alpha=0.4, lw=0, label="prior")
            density = gaussian_kde(np.log(posterior[name].values.ravel()))(x)
            ax.plot(np.exp(x), density, color=BLUE, lw=1.6, label="posterior")
            if truth and name in truth:
                ax.axvline(truth[name], color=ORANGE, lw=1.2, label="truth")
            row = table.loc[name]
            ax.set_title(f"contraction {row['contraction']:.2f}, {row['taught']}", fontsize=8.5)
            ax.set(xscale="log", yticks=[], ylim=(0, None), xlabel=symbol(a))
            plain_ticks(ax.xaxis, np.exp(x[-1] - x[0]))
            ax.spines["left"].set_visible(False)
        axes.flat[0].legend(fontsize=8, loc="upper left", handlelength=1)
    return figure


def pair(tree: xr.DataTree, truth: dict[str, float] | None = None) -> Figure | None:
    """The joint posterior of feedback gain and IL-6 clearance, its marginals, and the fold; None if not sampled."""
    posterior, prior = tree["posterior"].to_dataset(), tree["prior"].to_dataset()
    if not {"gamma", "k_l", "critical_gain"} <= set(posterior.data_vars):
        return None
    x, y = (posterior[name].values.ravel() for name in ("gamma", "k_l"))
    critical = float(posterior["critical_gain"].median())
    with styled():
        figure, axes = plt.subplots(
            2, 2, figsize=(5.6, 5.4), width_ratios=(4, 1), height_ratios=(1, 4), sharex="col", sharey="row"
        )
        axes[0, 1].remove()
        ax, top, right = axes[1, 0], axes[0, 0], axes[1, 1]
        ax.plot(
            prior["gamma"].values.ravel(), prior["k_l"].values.ravel(), ".", ms=2.5, color=GREY, alpha=0.5, label="prior"
        )
        ax.plot(x, y, ".", ms=2, color=BLUE, alpha=0.25, label="posterior")
        ax.axvline(critical, color=ORANGE, lw=1.2, ls="--")
        ax.set(xscale="log", yscale="log", xlabel=symbol(posterior["gamma"].attrs), ylabel=symbol(posterior["k_l"].attrs))
        plain_ticks(ax.xaxis, 100.0)
        plain_ticks(ax.yaxis, 100.0)
        ax.text(critical * 1.05, ax.get_ylim()[0] * 1.15, "storm state exists →", color=ORANGE, fontsize=8.5)
        if truth and {"gamma", "k_l"} <= truth.keys():
            ax.plot(truth["gamma"], truth["k_l"], "*", ms=12, color=ORANGE, mec="white", label="truth")
        for marginal, name, draws, vertical in ((top, "gamma", x, False), (right, "k_l", y, True)):
            for values, color, fill in ((prior[name].values.ravel(), GREY, True), (draws, BLUE, False)):
                at = np.linspace(np.log(values).min(), np.log(values).max(), 200)
                density = gaussian_kde(np.log(values))(at)
                xy = (density, np.exp(at)) if vertical else (np.exp(at), density)
                if fill:
                    (marginal.fill_betweenx if vertical else marginal.fill_between)(
                        np.exp(at), density, color=color, alpha=0.4, lw=0
                    )
                else:
                    marginal.plot(*xy, color=color, lw=1.6)
            marginal.axis("off")
        legend = ax.legend(fontsize=9, markerscale=3, loc="upper left")
        for handle in legend.legend_handles:
            handle.set_alpha(1)
    return figure
