"""Laws that every model obeys under every scenario of the catalogue."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import CASES, SOLVERS, TIGHT
from picks import some
from scipy.integrate import solve_ivp

from cytostorm.models import Scenario, Solver, differentiate, plan, replace, simulate, solve, values

pytestmark = pytest.mark.usefixtures("strict_ranks")


@pytest.fixture(params=some(CASES, ["lps_bolus", "cart", "il6_given", "endotoxin", "elimination"]))
def case(request):
    return CASES[request.param]


def times_of(end):
    return np.linspace(0, end, 13)


def scale_of(states):
    return np.maximum(np.abs(states).max(axis=0), 1e-9)


def test_rest_is_a_fixed_point_without_a_trigger(case):
    model, _, end, _ = case
    if getattr(getattr(model, "stimulus", None), "inputs", {"lps"}) == {}:
        pytest.skip("a stimulus that needs no dose always acts")
    trajectory = simulate(model, Scenario(), times_of(end), TIGHT)
    rest = np.asarray(model.rest())
    np.testing.assert_allclose(trajectory.states, np.tile(rest, (13, 1)), rtol=1e-7, atol=1e-9)


def test_states_stay_non_negative(case):
    model, scenario, end, _ = case
    states = simulate(model, scenario, np.linspace(0, end, 200)).states
    scale = np.array([state.scale for state in model.states])
    assert np.all(states >= -1e-7 * scale[None])


def test_trajectory_equals_lsoda(case):
    """SciPy's LSODA, started anew at every dose edge, with boluses added by hand."""
    model, scenario, end, _ = case
    times, doses = times_of(end), scenario.doses
    names = [state.name for state in model.states]
    edges = np.unique([0, *[t for t in doses.edges if 0 < t < end], end])
    field = jax.jit(lambda t, y: model.vector_field(t, y, doses))
    y, want = np.array(scenario.initial_state(model)), {0.0: np.array(scenario.initial_state(model))}
    for left, right in itertools.pairwise(edges):
        rate = np.zeros(len(names))
        for i, target in enumerate(doses.target):
            start, length, amount = (float(x[i]) for x in (doses.time, doses.duration, doses.amount))
            if target in names and length == 0 and start == left:
                y[names.index(target)] += amount
            if target in names and length > 0 and start <= left < start + length:
                rate[names.index(target)] += amount / length
        inside = [t for t in times if left < t <= right]
        solution = solve_ivp(
            lambda t, y, rate=rate: np.asarray(field(t, y)) + rate,
            (left, right),
            y,
            "LSODA",
            sorted({*inside, right}),
            rtol=1e-10,
            atol=1e-12,
        )
        want |= dict(zip(solution.t, solution.y.T, strict=True))
        y = solution.y[:, -1].copy()
    reference = np.stack([want[t] for t in times])
    got = simulate(model, scenario, times, TIGHT)
    assert got.okay
    assert np.max(np.abs(got.states - reference) / scale_of(reference)) < 2e-7


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
@pytest.mark.parametrize("name", some(["lps_bolus", "il6_given"], ["il6_given"]))
def test_every_solver_agrees(name, solver):
    model, scenario, end, _ = CASES[name]
    reference = simulate(model, scenario, times_of(end), TIGHT).states
    got = simulate(model, scenario, times_of(end), solver)
    assert got.okay
    assert np.max(np.abs(got.states - reference) / scale_of(reference)) < 2e-5


def test_tightening_the_tolerance_converges(case):
    model, scenario, end, _ = case
    reference = simulate(model, scenario, times_of(end), TIGHT).states
    errors = []
    for rtol in (1e-4, 1e-6, 1e-8):
        states = simulate(model, scenario, times_of(end), Solver(rtol=rtol, atol=rtol * 1e-2)).states
        errors.append(np.max(np.abs(states - reference) / scale_of(reference)))
    assert errors[1] < 0.1 * errors[0]
    assert errors[2] < 0.1 * errors[1]
    assert errors[2] < 1e-6


def sensitivity(case, solver=None):
    """The read-outs and their sensitivities as a function of the logarithm of the tested parameters."""
    model, scenario, end, names = case
    prepared = plan(model, scenario, times_of(end))
    start = jnp.log(jnp.stack([values(model)[name] for name in names]))

    def build(theta):
        return replace(model, dict(zip(names, jnp.exp(theta), strict=True)))

    return jax.jit(lambda theta: differentiate(build, theta, prepared, solver or Solver())), start, build, prepared


def test_sensitivities_equal_finite_differences(case):
    function, start, build, prepared = sensitivity(case)
    result = function(start)
    assert result.okay
    read = jax.jit(lambda theta: solve(build(theta), prepared, TIGHT).observe(build(theta)))
    step = 1e-5
    for name, jacobian in result.jacobian.items():
        shifts = step * np.eye(start.size)
        numeric = np.stack([(read(start + h)[name] - read(start - h)[name]) / (2 * step) for h in shifts], axis=1)
        scale = np.maximum(np.abs(numeric).max(axis=0, keepdims=True), 1e-6)
        assert np.max(np.abs(jacobian - numeric) / scale) < 1e-4


def test_sensitivities_are_right_all_over_the_neighbourhood(case):
    """The tangents take part in the error control: no draw may hide a wrong gradient behind a right value."""
    function, start, _, _ = sensitivity(case)
    oracle, *_ = sensitivity(case, TIGHT)
    thetas = start[None] + 0.4 * jax.random.normal(jax.random.PRNGKey(0), (24, start.size))
    got, want = jax.vmap(function)(thetas), jax.vmap(oracle)(thetas)
    good = np.asarray(got.okay & want.okay)
    assert good.sum() >= 20
    for name in want.jacobian:
        reference = np.asarray(want.jacobian[name])[good]
        scale = np.maximum(np.abs(reference).max(axis=1, keepdims=True), 1e-3)
        assert np.max(np.abs(np.asarray(got.jacobian[name])[good] - reference) / scale) < 1e-3


def test_batch_equals_loop_in_values_and_gradients(case):
    function, start, _, _ = sensitivity(case)
    thetas = start[None] + 0.2 * jax.random.normal(jax.random.PRNGKey(1), (3, start.size))
    batch = jax.vmap(function)(thetas)
    for i, theta in enumerate(thetas):
        single = function(theta)
        for name in single.value:
            np.testing.assert_allclose(batch.value[name][i], single.value[name], rtol=1e-6)
            scale = np.abs(single.jacobian[name]).max()
            np.testing.assert_allclose(batch.jacobian[name][i], single.jacobian[name], rtol=1e-5, atol=1e-6 * scale)


def test_new_values_do_not_trace_again(case):
    model, scenario, end, names = case
    prepared = plan(model, scenario, times_of(end))
    traces = []

    @eqx.filter_jit
    def run(model):
        traces.append(1)
        return solve(model, prepared, Solver()).states

    run(model)
    run(replace(model, {names[0]: 1.1 * values(model)[names[0]]}))
    assert len(traces) == 1
