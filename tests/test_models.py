"""What single models, stimuli, doses and parameters do."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import CASES, STIMULI, TIGHT, Elimination
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq

from cytostorm.models import (
    Expansion,
    Minimal,
    Scenario,
    Solver,
    Transit,
    bolus,
    derivations,
    doses_from,
    infusion,
    no_doses,
    plan,
    quantities,
    quantity,
    repeated,
    replace,
    simulate,
    values,
)


def minimal(**changes):
    return replace(Minimal(), {name: jnp.asarray(float(value)) for name, value in changes.items()})


def test_lps_set_gives_the_values_of_the_design():
    times = np.array([1, 1.5, 2, 3, 4, 5, 6.0])
    il6 = simulate(Minimal(), Scenario(bolus("lps", 2.0)), times, TIGHT).observe(Minimal())["il6"]
    np.testing.assert_allclose(il6, [29, 259, 662, 694, 307, 106, 31], atol=0.5)


@pytest.mark.parametrize(
    ("gamma", "peak", "last"), [(0.5, 31, 2.6), (1, 45, 2.7), (1.8, 99, 2.8), (2.5, 146, 107), (5, 290, 238)]
)
def test_cart_set_gives_the_values_of_the_design(gamma, peak, last):
    model = Minimal(gamma=gamma, k_m=0.1, k_l=1.2, x_l=60.0, w_l=1.0, k_r=0.01, w_r=0.05, stimulus=Expansion())
    il6 = simulate(model, Scenario(), np.linspace(0, 672, 1345)).observe(model)["il6"]
    assert il6.max() == pytest.approx(peak, rel=0.015)
    assert il6[-1] == pytest.approx(last, rel=0.02)


@given(st.floats(1e-4, 0.18))
@settings(max_examples=25)
def test_critical_gain_is_the_fold(b):
    """At the fold the line z - b touches gamma z^2/(1+z^2): found here by solving for the tangency."""
    slope = brentq(lambda z: (z - b) * 2 - z * (1 + z**2), 3**-0.5, 2)
    gamma = (1 + slope**2) ** 2 / (2 * slope)
    assert float(minimal(w_l=b * 100, x_l=100).critical_gain) == pytest.approx(gamma, rel=1e-6)


def test_critical_gain_tends_to_two_and_ends_at_the_cusp():
    assert float(minimal(w_l=1e-9).critical_gain) == pytest.approx(2, abs=1e-6)
    assert float(minimal(w_l=500, x_l=1).critical_gain) == pytest.approx(8 * 3**0.5 / 9)


@pytest.mark.parametrize(("factor", "storms"), [(0.95, False), (1.05, True)])
def test_a_storm_state_exists_only_above_the_critical_gain(factor, storms):
    base = minimal(k_r=1e-9, w_r=1e-9)
    model = replace(base, {"gamma": factor * base.critical_gain})
    high = Scenario(initial={"il6": 3000.0, "activated": 5000.0})
    last = simulate(model, high, np.array([0.0, 400.0])).observe(model)["il6"][-1]
    assert (last > 100) == storms
    assert float(model.margin) == pytest.approx(factor)


@given(t_u=st.floats(0.5, 4), n_u=st.floats(2, 20), length=st.floats(0.1, 6), t=st.floats(0.05, 12))
@settings(max_examples=30)
def test_an_infusion_is_the_convolution_of_the_bolus_response(t_u, n_u, length, t):
    stimulus = Transit(u0=100.0, t_u=t_u, n_u=n_u)
    dose = bolus("lps", 2.0)
    one = jax.jit(lambda age: stimulus(age, dose))
    want, _ = quad(lambda s: float(one(t - s)) / length, 0, min(length, t), epsabs=1e-10, epsrel=1e-8, limit=200)
    got = float(stimulus(jnp.asarray(t), infusion("lps", 2.0, length)))
    assert got == pytest.approx(want, rel=1e-5, abs=1e-7)


def test_the_drive_of_a_bolus_peaks_at_u0_and_t_u():
    stimulus = Transit(u0=70.0, t_u=1.5, n_u=9.3)
    t = jnp.linspace(0, 6, 6001)
    drive = jax.vmap(lambda t: stimulus(t, bolus("lps", 2.0)))(t)
    assert float(drive.max()) == pytest.approx(70, rel=1e-6)
    assert float(t[drive.argmax()]) == pytest.approx(1.5, abs=1e-3)
    assert float(stimulus(jnp.asarray(-1.0), bolus("lps", 2.0))) == 0


def test_the_expansion_peaks_at_t_u_and_has_its_two_rates():
    stimulus = Expansion()
    t = jnp.linspace(0, 2000, 20001)
    drive = jax.vmap(lambda t: stimulus(t, no_doses()))(t)
    assert float(t[drive.argmax()]) == pytest.approx(223, abs=0.2)
    assert float(drive.max()) == pytest.approx(3)
    assert float(jnp.log(drive[1] / drive[0]) / 0.1) == pytest.approx(0.037, rel=0.01)
    assert float(jnp.log(drive[-2] / drive[-1]) / 0.1) == pytest.approx(0.0067, rel=0.01)


@pytest.mark.parametrize("stimulus", STIMULI.values(), ids=STIMULI)
def test_a_stimulus_has_finite_derivatives_from_the_first_moment(stimulus):
    slope = jax.grad(lambda s, t: s(t, bolus("lps", 2.0) + infusion("lps", 1.0, 2.0)), allow_int=True)
    for t in (0.0, 1e-12, 1.0, 50.0):
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(slope(stimulus, jnp.asarray(t))))


@given(
    amount=st.floats(0.1, 50),
    length=st.floats(0.1, 5),
    time=st.floats(0, 5),
    interval=st.floats(0.5, 6),
    number=st.integers(1, 3),
)
@settings(max_examples=15)
def test_an_infusion_delivers_its_amount(amount, length, time, interval, number):
    model, end = replace(Elimination(), {"k": jnp.asarray(0.0)}), 40.0
    doses = repeated(infusion("amount", amount, length, time), interval, number)
    assert float(simulate(model, Scenario(doses), np.array([end])).states[-1, 0]) == pytest.approx(number * amount, rel=1e-6)


def test_boluses_have_their_closed_form():
    times = np.array([0.0, 1.0, 3.0, 3.5, 9.0])
    states = simulate(Elimination(), Scenario(repeated(bolus("amount", 5.0), 3.0, 2)), times, TIGHT).states[:, 0]
    after = [np.sum([5 * np.exp(-0.3 * (t - s)) for s in (0, 3) if s < t]) for t in times]
    np.testing.assert_allclose(states, after, rtol=1e-8)


def test_a_reading_at_a_dose_time_is_taken_before_the_dose():
    states = simulate(Elimination(), Scenario(bolus("amount", 5.0, 2.0)), np.array([0.0, 2.0, 2.0 + 1e-9])).states[:, 0]
    np.testing.assert_allclose(states, [0, 0, 5], atol=1e-6)


@pytest.mark.parametrize("method", ["march", "tsit5"])
@pytest.mark.parametrize("gap", [1e-11, 0.01])
def test_boluses_that_almost_coincide_both_enter(gap, method):
    story = Scenario(bolus("amount", 8.0, 5.0) + bolus("amount", 2.0, 5.0 + gap))
    trajectory = simulate(Elimination(), story, np.array([0.0, 5.0 + gap, 6.0]), Solver(method))
    assert trajectory.okay
    np.testing.assert_allclose(trajectory.states[1:, 0], [8 * np.exp(-0.3 * gap), 10 * np.exp(-0.3)], rtol=1e-3)


def test_doses_that_coincide_add():
    both = Scenario(bolus("amount", 2.0, 1.0) + bolus("amount", 3.0, 1.0) + infusion("amount", 4.0, 1.0, 1.0))
    model = replace(Elimination(), {"k": jnp.asarray(0.0)})
    assert float(simulate(model, both, np.array([5.0])).states[0, 0]) == pytest.approx(9)


def test_initial_values_replace_rest():
    states = simulate(Minimal(), Scenario(initial={"il6": 50.0}), np.array([0.0, 1.0])).states
    assert states[0, 1] == 50
    assert states[1, 1] < 50


def test_a_failed_solve_is_a_flag_and_not_an_exception():
    result = simulate(Minimal(), Scenario(bolus("lps", 2.0)), np.linspace(0, 6, 5), Solver(max_steps=3))
    assert not result.okay


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_parameter_is_described(case):
    model = case[0]
    for name, q in (quantities(model) | derivations(model)).items():
        assert name.isidentifier()
        assert all([q.symbol, q.unit, q.meaning, q.source])
    assert values(model).keys() == quantities(model).keys()


def test_replace_reaches_the_stimulus_and_refuses_strangers():
    assert float(values(minimal(t_u=3.0, k_l=2.0))["t_u"]) == 3
    with pytest.raises(ValueError, match="has no parameter `k_x`; it has: gamma, k_l"):
        minimal(k_x=1.0)


def test_a_parameter_declared_twice_is_refused():
    class Twice(eqx.Module):
        gamma: float = quantity(1.0, "g", "1", "gain", source="toy")
        inner: Minimal = dataclasses.field(default_factory=Minimal)

    with pytest.raises(ValueError, match="`gamma` is declared twice"):
        quantities(Twice())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bolus("lps", -1.0), "`amount` of a dose to `lps` is -1.0"),
        (lambda: infusion("lps", 1.0, -2.0), "`duration` of a dose to `lps` is -2.0"),
        (lambda: bolus("lps", 1.0, np.inf), "`time` of a dose to `lps` is inf"),
        (lambda: repeated(bolus("lps", 1.0), 0.0, 2), "`interval` between doses is 0.0 h"),
        (lambda: repeated(bolus("lps", 1.0), 1.0, 0), "`number` of repetitions is 0"),
        (lambda: doses_from({"a": {"target": "lps"}}), "dose `a` lacks `amount`"),
        (
            lambda: doses_from({"a": {"target": "lps", "amount": 1.0, "dose": 2}}),
            "dose `a` has no key `dose`; it has: target",
        ),
        (lambda: plan(Minimal(), Scenario(bolus("ltp", 1.0)), np.array([1.0])), "takes no doses to `ltp`; it takes: lps"),
        (lambda: plan(Minimal(), Scenario(initial={"x": 1.0}), np.array([1.0])), "has no state `x`; it has: activated"),
        (lambda: plan(Minimal(), Scenario(), np.array([2.0, 1.0])), "must be finite and ascending"),
        (lambda: plan(Minimal(), Scenario(), np.array([-1.0])), "before the scenario's start"),
        (lambda: plan(Minimal(), Scenario(), np.array([])), "`times` is empty"),
        (lambda: Solver("euler"), "`method` is 'euler'; choose from: native, stabilised, march, bosh3"),
        (lambda: Solver(rtol=0.0), "`rtol` is 0.0"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        call()
