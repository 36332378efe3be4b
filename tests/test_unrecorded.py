"""Tocilizumab at an hour that nobody recorded: what enters, what it moves, and the hour told by the readings."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import person
from picks import some
from test_network import treatment, trigger

from cytostorm.inference import Arm, Cohort, Independence, LogNormal, Population, Prior, Priors, Problem, Variability
from cytostorm.models import Network, Scenario, Solver, differentiate, plan, reach, replace, simulate, stage

KEY = jax.random.PRNGKey(5)
DAYS = 24.0 * np.arange(0.0, 15.0)


def storm(**known):
    return stage(Network(k_fb=3.0, **known), trigger("cart"), treatment())


def test_what_enters_is_the_dose_at_its_hour():
    """Days before it nothing, hours after it what an infusion at that hour would have left."""
    model, story = storm(a_tcz=8.0, t_tcz=200.0)
    times = np.array([0.0, 150.0, 230.0, 300.0, 400.0])
    found = simulate(model, story, times, Solver("march")).states[:, 20]
    known, given = stage(Network(k_fb=3.0), trigger("cart"), treatment("tocilizumab", start_h=199.5))
    expected = simulate(known, given, times, Solver("march")).states[:, 20]
    assert np.all(found[:2] < 0.01)
    np.testing.assert_allclose(found[2:], expected[2:], rtol=0.02)


def test_without_a_dose_nothing_is_solved_for_it():
    model, story = storm()
    assert 20 not in reach(model, story, 504.0).moving
    model, story = storm(a_tcz=8.0)
    assert 20 in reach(model, story, 504.0).moving


@pytest.mark.parametrize("method", some(["native", "march"], ["native"]))
def test_the_hour_has_a_sensitivity(method):
    model, story = storm(a_tcz=8.0, t_tcz=200.0)
    prepared, solver = plan(model, story, DAYS), Solver(method, rtol=1e-8, atol=1e-10, max_steps=50_000)

    def build(theta):
        return replace(model, {"t_tcz": jnp.exp(theta[0])})

    run = jax.jit(lambda theta: differentiate(build, theta, prepared, solver))
    start, step = np.log([200.0]), 1e-4
    found, ahead, behind = (run(jnp.asarray(start + h)) for h in (0.0, step, -step))
    for analyte in ("il6", "crp"):
        slope = (np.asarray(ahead.value[analyte]) - np.asarray(behind.value[analyte])) / (2 * step)
        assert np.abs(slope).max() > 10
        np.testing.assert_allclose(found.jacobian[analyte][:, 0], slope, atol=1e-3 * np.abs(slope).max())


def test_only_those_who_were_treated_have_it():
    arm = Arm(*storm())
    people = tuple(person(f"S{x:g}", DAYS, np.ones(15), covariates={"a_tcz": x}) for x in (8.0, 0.0))
    priors = Priors(k_fb={"median": 3.0, "fold": 1.5}, t_tcz={"median": 200.0, "fold": 1.5})
    problem = Population({"*": arm}, Cohort(people), priors, Variability({"t_tcz": {}}))
    theta = jnp.log(jnp.array([[3.0, 200.0], [3.0, 200.0]]))
    slopes = jax.jit(jax.jacrev(lambda theta: problem.predict_at({}, theta)[0]))(theta)[:, :, 1]
    own = np.abs(np.asarray(slopes)).reshape(2, 15, 2)
    assert own[0, :, 0].max() > 0.5
    assert not own[1].any()
    assert not own[0, :, 1].any()


@pytest.mark.slow
def test_the_readings_tell_the_hour():
    """Measured IL-6 rises after tocilizumab: daily readings of a patient treated at 200 h tell when, within a day."""
    model, story = storm(a_tcz=8.0, t_tcz=200.0)
    rng = np.random.default_rng(2)
    log_y = np.log(simulate(model, story, DAYS).observe(model)["il6"]) + 0.15 * rng.standard_normal(15)
    data = dataclasses.replace(person("S", DAYS, np.exp(log_y)).data)
    priors = Priors(k_fb={"median": 2.5, "fold": 1.5}, t_tcz={"median": 240.0, "fold": 1.6})
    problem = Problem(model, Scenario(story.doses, story.initial), data, priors, LogNormal(Prior(0.2, 2.0)))
    draws = Independence(num_draws=250, num_points=1024, num_rounds=4).sample(problem, KEY)
    low, high = np.quantile(draws.values["t_tcz"], [0.005, 0.995])
    assert low < 200.0 < high
    assert high - low < 48
    assert draws.facts["pareto_k"] < 0.7
