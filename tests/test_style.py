"""The house style: units, thresholds and doses are marked, and what is told by colour can be told in grey."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from cytostorm.inference import style
from cytostorm.inference.figures import trajectories
from cytostorm.inference.results.configured import prepared
from cytostorm.inference.results.finished import finished


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_colours_in_a_row_differ_in_grey_and_in_line_and_marker():
    light = [float(np.dot(to_rgb(color), [0.299, 0.587, 0.114])) for color in style.COLORS]
    assert min(abs(np.diff(light))) > 0.08
    kinds = [style.look(k) for k in range(len(style.COLORS))]
    assert len({str(kind["ls"]) for kind in kinds}) == len({kind["marker"] for kind in kinds}) == len(kinds)


def test_thresholds_stand_where_they_are_on_the_axis(ax):
    style.log_axis(ax, 3.0, 400.0)
    style.thresholds(ax, "il6")
    assert texts(ax) == ["healthy below 10"]
    style.log_axis(ax, 3.0, 4000.0)
    style.thresholds(ax, "il6")
    assert "storm above 1000" in texts(ax)
    before = len(ax.lines)
    style.thresholds(ax, "tnf")
    assert len(ax.lines) == before


def test_doses_are_marked_once_and_do_not_stretch_the_axis(ax):
    ax.plot([0, 10], [1, 2])
    low, high = ax.get_xlim()
    style.doses(ax, [0.0, 0.0, 5.0, 500.0])
    assert ax.lines[-1].get_xdata().tolist() == [0.0, 5.0]
    assert ax.get_xlim() == (low, high)
    style.doses(ax, [])
    assert len(ax.lines) == 2


def test_a_log_axis_has_no_more_decades_than_asked(ax):
    style.log_axis(ax, 1e-12, 100.0, decades=5, spare=1.0)
    assert ax.get_ylim() == pytest.approx((1e-3, 100.0))
    style.log_axis(ax, 0.0, 0.0)
    assert np.all(np.isfinite(np.log(ax.get_ylim())))


def test_units_are_named():
    assert style.named("il6") == "IL-6 [pg/mL]"
    assert style.named("grade", "1") == "grade [1]"
    assert style.symbol({"symbol": "k", "units": "1/h"}) == "$k$ [1/h]"
    assert style.symbol({"symbol": "k", "units": "1"}) == "$k$"


def test_trajectories_have_units_bands_doses_and_thresholds(quick_run):
    config, tree = finished(quick_run)
    figure = trajectories(tree, prepared(config)[0].data)
    (ax,) = figure.axes
    assert ax.get_ylabel() == "IL-6 [pg/mL]"
    assert ax.get_xlabel() == "time [h]"
    labels = ax.get_legend_handles_labels()[1]
    assert {"posterior 90 %", "posterior 50 %", "posterior median", "dose", "group mean, 95 %"} <= set(labels)
    assert {"healthy below 10", "storm above 1000"} <= set(texts(ax))
    plt.close(figure)
