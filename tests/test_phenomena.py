"""The phenomena that define a storm, as the network's own output shows them."""

import functools

import numpy as np
import pytest
from test_network import treatment, trigger

from cytostorm.models import Network, Treatment, simulate, stage
from cytostorm.models.outcome import doubling_time, peak, time_above
from cytostorm.models.readout import HEALTHY_IL6, SEVERE_IL6, readouts

STATE = {state.name: i for i, state in enumerate(Network.states)}


@functools.cache
def story(name, gain, *drugs, start_h=0.0, horizon=None):
    """Times, states by name and read-outs of a trigger at a gain under drugs."""
    found = trigger(name)
    model, scenario = stage(Network(k_fb=float(gain)), found, treatment(*drugs, start_h=start_h) if drugs else Treatment())
    times = np.linspace(0, horizon or found.horizon_h or 24.0, 1601)
    trajectory = simulate(model, scenario, times)
    assert trajectory.okay
    states = {name: np.asarray(trajectory.states)[:, i] for name, i in STATE.items()}
    read = {k: np.asarray(v) for k, v in readouts(model, trajectory.times, trajectory.states, scenario.doses).items()}
    return times, states, read


def test_lps_raises_tnf_before_il6_before_il10_and_is_over_by_8_h():
    times, states, _ = story("lps_bolus", 1)
    tops = {name: peak(times, states[name]) for name in ("tnf", "il6", "il10", "temperature")}
    assert 2 <= tops["il6"][1] <= 3
    assert tops["il6"][0] == pytest.approx(801.4, rel=0.3)
    assert tops["tnf"][1] < tops["il6"][1] < tops["il10"][1]
    assert 3 <= tops["temperature"][1] <= 4.5
    late = times >= 8
    assert all(states[name][late].max() < 0.1 * tops[name][0] for name in ("tnf", "il6", "il10"))


@pytest.mark.parametrize("name", ["viral", "cart"])
def test_below_the_critical_gain_the_same_trigger_resolves(name):
    _, states, _ = story(name, 1)
    assert states["il6"][-1] < HEALTHY_IL6


@pytest.mark.parametrize(("name", "gain"), [("viral", 4), ("viral", 6), ("cart", 4)])
def test_above_it_the_storm_is_severe_and_doubles_every_1_to_6_hours(name, gain):
    times, states, _ = story(name, gain)
    assert states["il6"].max() > SEVERE_IL6
    assert 1 <= doubling_time(times, states["il6"]) <= 6


@pytest.mark.parametrize(("gain", "low", "high"), [(1.0, 0, 0), (1.7, 0, 0), (2.0, 20, 60), (3.0, 90, 130), (4.0, 550, 672)])
def test_the_three_regimes_lie_at_the_gains_of_the_design(gain, low, high):
    times, states, _ = story("viral", gain)
    assert low <= time_above(times, states["il6"], 300.0) <= high


def test_an_antiviral_alone_does_not_stop_a_storm_but_stops_it_with_blockade_or_steroid():
    alone, blocked, steroid = (
        story("viral", 4, *drugs, start_h=94.0)[1]
        for drugs in (("antiviral",), ("antiviral", "tocilizumab"), ("antiviral", "dexamethasone"))
    )
    at = 1601 * 166 // 672  # 72 h after the start
    assert alone["il6"][at] > 300
    assert blocked["il6"][at] < HEALTHY_IL6
    assert steroid["il6"][at] < HEALTHY_IL6
    assert blocked["damage"].max() < 0.5 * alone["damage"].max()


def test_earlier_is_better_inside_a_window():
    damage = [
        story("viral", 4, "tocilizumab", "dexamethasone", "antiviral", start_h=start)[1]["damage"].max()
        for start in (70.0, 94.0, 166.0, 238.0)
    ]
    assert all(np.diff(damage) > 0.03)


def test_a_mild_controlled_infection_is_not_helped_by_a_steroid():
    without, given = story("viral", 1)[1], story("viral", 1, "dexamethasone", start_h=72.0)[1]
    assert given["damage"].max() > 0.95 * without["damage"].max()
    assert np.trapezoid(given["pathogen"]) > np.trapezoid(without["pathogen"])


def test_an_infection_that_would_clear_escapes_under_too_much_suppression():
    without, given = story("bacterial", 1)[1], story("bacterial", 1, "tocilizumab", start_h=2.0)[1]
    assert without["pathogen"][-1] < 0.01
    assert given["pathogen"].max() > 150


def test_tocilizumab_raises_measured_il6_while_crp_and_fever_fall_and_t_cells_expand_on():
    times, plain, read = story("cart", 1)
    _, given, treated = story("cart", 1, "tocilizumab", start_h=191.0)
    start, later = np.searchsorted(times, 191.0) - 1, np.searchsorted(times, 239.0)
    day = slice(start, np.searchsorted(times, 215.0))
    assert 2 <= given["il6"][day].max() / given["il6"][start] <= 5
    assert given["crp"][later] < 0.5 * given["crp"][start]
    assert treated["temperature"][later] < read["temperature"][later] - 1
    assert given["t_cells"].max() == pytest.approx(plain["t_cells"].max(), rel=0.02)


def test_siltuximab_raises_total_and_lowers_free_il6():
    times, plain, _ = story("viral", 4)
    _, given, read = story("viral", 4, "siltuximab", start_h=94.0)
    assert given["il6"].max() > 3 * plain["il6"].max()
    later = np.searchsorted(times, 142.0)
    assert read["il6_free"][later] < 0.1 * plain["il6"][later]


@pytest.mark.parametrize("drug", ["baricitinib", "ruxolitinib", "dexamethasone", "methylprednisolone", "hydrocortisone"])
def test_jak_inhibitors_and_steroids_lower_crp(drug):
    times, plain, _ = story("viral", 4)
    _, given, _ = story("viral", 4, drug, start_h=94.0)
    later = np.searchsorted(times, 142.0)
    assert given["crp"][later] < 0.9 * plain["crp"][later]


def test_hlh_has_ifn_gamma_far_above_il6_and_ferritin_above_10000():
    _, states, _ = story("fhlh", 1)
    assert states["ifn_gamma"].max() > 3 * states["il6"].max()
    assert states["ferritin"].max() > 10_000


def test_tgn1412_storms_with_a_healthy_gain():
    _, states, _ = story("antibody", 1)
    assert states["il6"].max() > SEVERE_IL6
