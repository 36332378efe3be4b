"""The look that all figures share: colours that the colour-blind and grey print can tell, units, log axes, bands and marks.

Blue is the posterior, grey the prior or what was not treated, ink what was read, orange what is apart: truths, doses,
limits. What is told by colour is told by line, marker, hatch or place as well.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, MultipleLocator, NullFormatter

from cytostorm.models import HOURS
from cytostorm.models.readout import HEALTHY_IL6, SEVERE_IL6

from .analyte import LABELS, UNITS

INK, BLUE, GREY, ORANGE = "#1f2430", "#2166ac", "#9aa3ad", "#d95f02"
# Okabe and Ito's colours for the colour-blind, in an order in which neighbours differ in lightness too.
COLORS = ("#0072b2", "#e69f00", "#000000", "#cc79a7", "#009e73", "#56b4e9", "#d55e00")
LINES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo")
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)  # of a band
STEPS = (12, 24, 48, 72, 96, 120, 168, 336, 672, 1344, 2688)  # between ticks of hours: half days, days, weeks
OUTER, INNER = 0.22, 0.3  # how dense the 90 % band is, and the 50 % band over it

STYLE: Any = {
    "figure.dpi": 110,
    "savefig.dpi": 150,
    "savefig.bbox": "tight",
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "mathtext.fontset": "cm",
}


def styled() -> AbstractContextManager[None]:
    """The look that all figures share."""
    return mpl.rc_context(STYLE)


def look(k: int) -> dict[str, Any]:
    """Colour, line and marker of the k-th of several things that are drawn as lines."""
    line, marker = LINES[k % len(LINES)], MARKERS[k % len(MARKERS)]
    return {"color": COLORS[k % len(COLORS)], "ls": line, "marker": marker, "mfc": "white"}


def panels(
    number: int, most: int, size: tuple[float, float], spare: tuple[float, float] = (0.0, 0.0), **options: Any
) -> tuple[Figure, Any]:
    """So many panels, at most so many in a row, of this size [inch] and with so much to spare around all of them.

    Axes come in rows and columns; the last row may end early.
    """
    columns = min(most, number)
    rows = -(-number // columns)
    whole = (size[0] * columns + spare[0], size[1] * rows + spare[1])
    figure, axes = plt.subplots(rows, columns, figsize=whole, squeeze=False, **options)
    for ax in axes.flat[number:]:
        ax.remove()
    return figure, axes


def save_figure(figure: Figure, path: Path) -> bytes:
    """Write a figure as PNG and close it; returns what was written."""
    figure.savefig(path)
    plt.close(figure)
    return path.read_bytes()


def closed[F: Figure | None](figure: F) -> F:
    """A figure that pyplot no longer keeps: a notebook then shows it once, where it is returned."""
    if figure is not None:
        plt.close(figure)
    return figure


def named(name: str, unit: str | None = None) -> str:
    """The label of an axis of an analyte or a read-out, with its unit: `IL-6 [pg/mL]`; `[1]` where it has none."""
    return f"{LABELS.get(name, name.replace('_', ' '))} [{UNITS.get(name, '1') if unit is None else unit or '1'}]"


def symbol(attributes: Any) -> str:
    """The label of an axis of a parameter: its symbol and, where it has one, its unit."""
    unit = attributes.get("units", attributes.get("unit", "1"))
    return f"${attributes['symbol']}$" + ("" if unit == "1" else f" [{unit}]")


def band(ax: Axes, x: Any, q: Any, color: str = BLUE, label: str = "", line: Any = "-", lw: float = 1.6) -> None:
    """The 90 % and 50 % bands and the median of draws, of which `q` are the `QUANTILES`."""
    of = f"{label} " if label else ""
    ax.fill_between(x, q[0], q[4], color=color, alpha=OUTER, lw=0, label=f"{of}90 %")
    ax.fill_between(x, q[1], q[3], color=color, alpha=INNER, lw=0, label=f"{of}50 %")
    ax.plot(x, q[2], color=color, lw=lw, ls=line, label=f"{of}median")


def doses(ax: Axes, times: Iterable[float], label: str | None = "dose") -> None:
    """Marks at the foot of a panel where doses are given [h]; they do not stretch its axis."""
    given = np.unique(np.asarray(list(times), float))
    low, high = ax.get_xlim()
    given = given[(given >= low) & (given <= high)]
    # Marks without a dose have no extent, which would collapse the layout.
    if given.size:
        marked = {"ms": 6, "color": ORANGE, "mec": INK, "mew": 0.6, "clip_on": False, "label": label}
        ax.plot(given, np.zeros(given.size), "^", transform=ax.get_xaxis_transform(), **marked)
        ax.set_xlim(low, high)


def thresholds(ax: Axes, analyte: str, told: bool = True) -> None:
    """IL-6 below 10 pg/mL is that of the healthy, above 1000 pg/mL that of a storm: lines, where they are on the axis."""
    if analyte != "il6":
        return
    low, high = ax.get_ylim()
    for value, line, text in ((HEALTHY_IL6, ":", "healthy below"), (SEVERE_IL6, "--", "storm above")):
        if low < value < high:
            ax.axhline(value, color=INK, lw=0.8, ls=line, alpha=0.6, zorder=1)
            if told:
                side = {"ha": "right", "va": "bottom", "fontsize": 7.5, "alpha": 0.8}
                ax.text(0.995, value, f"{text} {value:g}", transform=ax.get_yaxis_transform(), **side)


def log_axis(ax: Axes, low: float, high: float, decades: float = 6.0, spare: float = 1.5) -> None:
    """A logarithmic y-axis from `low` to `high` with plain numbers, some room, and not more than so many decades."""
    high = high if high > 0 else 1.0
    low = max(low if low > 0 else high, high * 10.0**-decades)
    ax.set_yscale("log")
    ax.set_ylim(low / spare, high * spare)
    plain_ticks(ax.yaxis, high / low * spare**2)


def pace(span: float) -> tuple[str, float]:
    """The unit in which so long a time [h] is shown, and its hours: years from two years on."""
    unit = "year" if span > 2 * HOURS["year"] else "h"
    return unit, HOURS[unit]


def clock(ax: Axes, labelled: bool = True, most: int = 8) -> str:
    """Ticks and label of an axis of time, which is in hours, in the unit of its `pace`; days are told by steps of 24 h.

    There are `most` such steps at the most. Returns the label, for a figure that has one for all its panels.
    """
    low, high = ax.get_xlim()
    unit, hours = pace(high - low)
    if unit != "h":
        ticks = np.array(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True).tick_values(low / hours, high / hours))
        ax.set_xticks(ticks * hours, [f"{tick:g}" for tick in ticks])
        ax.set_xlim(low, high)
    elif high - low > 48:
        step = next((x for x in STEPS if high - low <= most * x), STEPS[-1])
        ax.xaxis.set_major_locator(MultipleLocator(step))
    label = f"time [{unit}]"
    if labelled:
        ax.set_xlabel(label)
    return label


def plain_ticks(axis: Axis, ratio: float) -> None:
    """Plain numbers on a logarithmic axis that spans this ratio: the fewer decades, the more ticks."""
    few = (1, 2, 5) if ratio < 50 else (1,)
    subs = (1, 1.25, 1.5, 2, 3, 4, 5, 6, 8) if ratio < 3 else (1, 1.5, 2, 3, 4, 5, 6, 8) if ratio < 5 else few
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(lambda x, _: f"{x:g}" if 1e-3 <= x < 1e5 else f"$10^{{{np.log10(x):.0f}}}$")
    axis.set_minor_formatter(NullFormatter())
