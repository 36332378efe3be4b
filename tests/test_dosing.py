"""Sensitivities to the dosing: times, amounts and durations, against closed forms and finite differences."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import Elimination
from picks import some
from test_network import treatment, trigger

from cytostorm.models import (
    Doses,
    Minimal,
    Network,
    Scenario,
    Solver,
    bolus,
    differentiate,
    doses_from,
    infusion,
    no_doses,
    plan,
    repeated,
    replace,
    solve,
    stage,
)

pytestmark = pytest.mark.usefixtures("strict_ranks")

BOTH = pytest.mark.parametrize("method", some(["march", "tsit5"], ["march"]))
FINE = Solver("march", rtol=1e-11, atol=1e-13, max_steps=100_000)
HOURS = np.array([0.0, 1, 2, 3, 4, 5, 8, 12])


def each(doses):
    """The dosing by all times [h], amounts and durations [logarithm] of these doses."""
    num = len(doses)

    def dosing(theta):
        factor = jnp.exp(theta[num:])
        amount, duration = doses.amount * factor[:num], doses.duration * factor[num:]
        return Doses(doses.target, doses.infused, doses.time + theta[:num], amount, duration)

    return dosing, jnp.zeros(3 * num)


def slopes(model, scenario, times, dosing, theta, method="march"):
    """The derivatives of every read-out along `theta`, from one solve."""
    prepared = plan(model, scenario, times)
    found = jax.jit(lambda x: differentiate(lambda _: model, x, prepared, Solver(method), dosing))(theta)
    assert found.okay
    return found.jacobian


def differences(model, scenario, times, dosing, theta, step=1e-3):
    """The same by central differences of fourth order between tight solves, each with a plan of its own."""
    read = jax.jit(lambda prepared: solve(model, prepared, FINE).observe(model))

    def at(theta):
        return read(plan(model, dataclasses.replace(scenario, doses=dosing(theta)), times))

    def along(shift):
        points = (at(theta + k * shift) for k in (-2, -1, 1, 2))
        return jax.tree.map(lambda a, b, c, d: (a - 8 * b + 8 * c - d) / (12 * step), *points)

    columns = [along(step * direction) for direction in np.eye(theta.size)]
    return {name: np.stack([column[name] for column in columns], axis=1) for name in model.analytes}


def error(got, want):
    """The largest error relative to the largest sensitivity of each parameter; differences of zero are not quite zero."""
    return np.max(np.abs(got - want) / np.maximum(np.abs(want).max(axis=0, keepdims=True), 1e-3))


def eliminated(doses, t, k=0.3):
    """The closed form of `Elimination`: the sum over doses, none of which is given at its own time."""
    age = jnp.maximum(t - doses.time, 0.0)
    length = jnp.where(np.array(doses.infused), doses.duration, 1.0)
    since = jnp.where(age > length, age - length, 0.0)
    infused = (jnp.exp(-k * since) - jnp.exp(-k * age)) / (k * length)
    response = jnp.where(np.array(doses.infused), infused, jnp.exp(-k * age))
    return jnp.sum(jnp.where(age > 0, doses.amount * response, 0.0))


SCHEDULES = {
    "bolus": bolus("amount", 5.0, 2.5),
    "bolus at a reading": bolus("amount", 5.0, 2.0),
    "bolus at the start": bolus("amount", 5.0),
    "infusion": infusion("amount", 6.0, 2.2, 0.7),
    "infusion between readings at its ends": infusion("amount", 6.0, 2.0, 1.0),
    "infusion at the start": infusion("amount", 6.0, 0.5),
    "infusion before the start": infusion("amount", 6.0, 2.5, -1.0),
    "simultaneous": bolus("amount", 5.0, 2.5) + bolus("amount", 3.0, 2.5) + infusion("amount", 4.0, 1.3, 2.5),
    "end to start": repeated(infusion("amount", 6.0, 1.5, 0.25), 1.5, 2) + bolus("amount", 2.0, 1.75),
    "after the last reading": bolus("amount", 5.0, 1.5) + bolus("amount", 5.0, 12.0) + infusion("amount", 1.0, 9.0, 10.0),
}


@BOTH
@pytest.mark.parametrize("doses", SCHEDULES.values(), ids=SCHEDULES)
def test_sensitivities_to_doses_into_a_state_have_their_closed_form(doses, method):
    dosing, theta = each(doses)
    want = jax.vmap(lambda t: jax.jacfwd(lambda x: eliminated(dosing(x), t))(theta))(HOURS)
    if doses.time[0] < 0:  # before the scenario's start the dose is only what enters from the start on
        want = jax.vmap(lambda t: jax.jacfwd(lambda x: eliminated(_rest_of(dosing(x)), t))(theta))(HOURS)
    got = slopes(Elimination(), Scenario(doses), HOURS, dosing, theta, method)["crp"]
    assert error(got, want) < 2e-6


def _rest_of(doses):
    """What an infusion that began before time 0 still gives."""
    share = 1 + doses.time / doses.duration
    return dataclasses.replace(doses, time=0 * doses.time, amount=doses.amount * share, duration=doses.duration * share)


def test_a_later_bolus_leaves_more():
    got = slopes(
        Elimination(), Scenario(bolus("amount", 5.0, 2.5)), HOURS, lambda x: bolus("amount", 5.0, 2.5 + x[0]), np.zeros(1)
    )
    np.testing.assert_allclose(got["crp"][:, 0], np.where(HOURS > 2.5, 1.5 * np.exp(-0.3 * (HOURS - 2.5)), 0), atol=2e-6)


STORIES = {
    "bolus of a stimulus": bolus("lps", 2.0, 0.5),
    "infusion of a stimulus": infusion("lps", 2.0, 2.5, 0.5),
    "bolus into a state": bolus("lps", 2.0, 0.5) + bolus("il6", 300.0, 2.6),
    "infusion into a state": bolus("lps", 2.0, 0.5) + infusion("il6", 300.0, 0.8, 2.6),
}


@BOTH
@pytest.mark.parametrize("doses", STORIES.values(), ids=STORIES)
def test_sensitivities_to_doses_of_a_nonlinear_model_equal_finite_differences(doses, method):
    (dosing, theta), times = each(doses), np.arange(9.0)
    got = slopes(Minimal(), Scenario(doses), times, dosing, theta, method)["il6"]
    want = differences(Minimal(), Scenario(doses), times, dosing, theta)["il6"]
    assert error(got, want) < 2e-6


@BOTH
def test_simultaneous_doses_that_move_together_equal_finite_differences(method):
    doses = repeated(bolus("il6", 300.0, 1.5) + bolus("activated", 2000.0, 1.5) + infusion("il6", 200.0, 1.0, 1.5), 1.0, 2)
    story, theta, times = Scenario(doses), jnp.zeros(2), np.arange(9.0)

    def dosing(x):
        return doses.shifted(x[0]).scaled(jnp.exp(x[1]))

    got = slopes(Minimal(), story, times, dosing, theta, method)["il6"]
    assert error(got, differences(Minimal(), story, times, dosing, theta)["il6"]) < 2e-6


def test_of_simultaneous_doses_the_later_listed_is_taken_to_move_later():
    doses = bolus("activated", 2000.0, 1.5) + bolus("il6", 300.0, 1.5)
    times, step = np.array([2.0, 3.0, 5.0]), 1e-5

    def dosing(x):
        return dataclasses.replace(doses, time=doses.time + jnp.array([0.0, 1.0]) * x[0])

    got = slopes(Minimal(), Scenario(doses), times, dosing, jnp.zeros(1))["il6"][:, 0]
    now, later = (solve(Minimal(), plan(Minimal(), Scenario(dosing([x])), times), FINE).states[:, 1] for x in (0, step))
    np.testing.assert_allclose(got, (later - now) / step, rtol=1e-3)


def storm(*drugs, start_h=170.3):
    model, story = stage(Network(k_fb=jnp.asarray(4.0)), trigger("cart"), treatment(*drugs, start_h=start_h))

    def dosing(x):
        return story.doses.shifted(x[0]).scaled(jnp.exp(x[1]))

    return model, story, np.linspace(0.0, 504.0, 43), dosing


@pytest.mark.parametrize(("drug", "method"), some([("tocilizumab", "march"), ("dexamethasone", "tsit5")], []))
def test_start_and_amount_of_a_treatment_of_the_storm_equal_finite_differences(drug, method):
    model, story, times, dosing = storm(drug)
    got = slopes(model, story, times, dosing, jnp.zeros(2), method)
    want = differences(model, story, times, dosing, jnp.zeros(2))
    for analyte in model.analytes:
        assert error(got[analyte], want[analyte]) < 1e-5, analyte
    assert np.all(got["il6"][times < 170.3] == 0)
    assert got["il6"][times > 336][0, 0] != 0


@pytest.mark.slow
def test_both_ways_of_solving_agree_and_a_batch_is_a_loop():
    """Over gains of the feedback as well: parameters of the model and of the dosing, from one solve."""
    doses = STORIES["infusion into a state"]
    prepared = plan(Minimal(), Scenario(doses), np.arange(9.0))
    thetas = jnp.zeros((3, 3)).at[:, 2].set(jnp.array([-0.1, 0.1, 0.3]))

    def build(theta):
        return replace(Minimal(), {"gamma": jnp.exp(theta[2])})

    def slopes(method):
        return lambda x: differentiate(build, x, prepared, Solver(method), dosing).jacobian["il6"]

    def dosing(x):
        return doses.shifted(x[0]).scaled(jnp.exp(x[1]))

    batch, other = (jax.jit(jax.vmap(slopes(method)))(thetas) for method in ("march", "tsit5"))
    alone = jax.jit(slopes("march"))
    for i, theta in enumerate(thetas):
        assert error(batch[i], alone(theta)) < 1e-9
        assert error(batch[i], other[i]) < 2e-6


@pytest.mark.slow
def test_an_implicit_method_agrees():
    doses = STORIES["infusion into a state"]
    dosing, theta = each(doses)
    march, implicit = (slopes(Minimal(), Scenario(doses), np.arange(5.0), dosing, theta, m) for m in ("march", "kvaerno5"))
    assert error(implicit["il6"], march["il6"]) < 1e-4


def test_doses_are_made_of_traced_numbers():
    def made(x):
        record = {"target": "lps", "amount": x[0], "time_h": x[1], "duration_h": x[2], "number": 2, "interval_h": x[3]}
        return doses_from({"a": record})

    x = jnp.array([2.0, 1.0, 0.5, 3.0])
    traced = jax.jit(made)(x)
    assert traced.infused == (True, True)
    np.testing.assert_array_equal(traced.time, made(x).time)
    np.testing.assert_array_equal(jax.jacfwd(made)(x).time, [[0, 1, 0, 0], [0, 1, 0, 1]])


def test_a_dosing_without_doses_changes_nothing():
    times, build = np.arange(5.0), lambda x: Minimal(gamma=x[0])
    prepared = plan(build(jnp.ones(1)), Scenario(initial={"il6": 50.0}), times)
    with_none, without = (differentiate(build, jnp.ones(1), prepared, Solver(), d) for d in (lambda _: no_doses(), None))
    np.testing.assert_allclose(with_none.jacobian["il6"], without.jacobian["il6"], rtol=1e-12)


def test_a_dosing_that_is_not_the_plans_has_failed():
    prepared = plan(Elimination(), Scenario(bolus("amount", 5.0, 2.0)), HOURS)

    def found(x, dosing):
        return differentiate(lambda _: Elimination(), jnp.array([x]), prepared, Solver(), dosing)

    assert not found(0.5, lambda x: bolus("amount", 5.0, 2.0 + x[0])).okay
    assert float(found(0.5, lambda x: bolus("amount", 5.0 * (1 + x[0]), 2.0)).value["crp"][3]) == pytest.approx(
        7.5 * np.exp(-0.3)
    )
    with pytest.raises(ValueError, match=r"`dosing` gives doses to \(\); the plan has \('amount',\)"):
        found(0.0, lambda x: bolus("amount", 5.0).to("il6"))


@BOTH
def test_doses_that_stand_still_cost_nothing(method):
    """Without `dosing` the program is the same whether or not a plan can move: no event enters it."""
    prepared = plan(Minimal(), Scenario(STORIES["infusion into a state"]), np.arange(9.0))
    frozen = dataclasses.replace(prepared, moving=prepared.schedule)
    text = [
        jax.jit(lambda x, p=p: differentiate(lambda x: Minimal(gamma=x[0]), x, p, Solver(method)))
        .lower(jnp.ones(1))
        .as_text()
        for p in (prepared, frozen)
    ]
    assert text[0] == text[1]
