"""Our own loop: the coefficients of its method, and its agreement with diffrax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from diffrax._solver.tsit5 import _tsit5_tableau, _Tsit5Interpolation
from test_network import treatment, trigger

from cytostorm.models import Network, Solver, differentiate, plan, replace, solve, stage
from cytostorm.models.march import DENSE, ERROR, NODES, STAGES

A = np.zeros((7, 7))
A[1:, :6] = STAGES
C, B = NODES, A[6]


def conditions(b, x=1.0):
    """What the order conditions up to order 5 ask of the weights `b` at a share `x` of a step, by order."""
    a, c = A, C
    return {
        1: [(b.sum(), x)],
        2: [(b @ c, x**2 / 2)],
        3: [(b @ c**2, x**3 / 3), (b @ a @ c, x**3 / 6)],
        4: [
            (b @ c**3, x**4 / 4),
            (b @ (c * (a @ c)), x**4 / 8),
            (b @ a @ c**2, x**4 / 12),
            (b @ a @ a @ c, x**4 / 24),
        ],
        5: [
            (b @ c**4, 1 / 5),
            (b @ (c**2 * (a @ c)), 1 / 10),
            (b @ (a @ c) ** 2, 1 / 20),
            (b @ (c * (a @ c**2)), 1 / 15),
            (b @ a @ c**3, 1 / 20),
            (b @ (c * (a @ a @ c)), 1 / 30),
            (b @ a @ (c * (a @ c)), 1 / 40),
            (b @ a @ a @ c**2, 1 / 60),
            (b @ a @ a @ a @ c, 1 / 120),
        ],
    }


def test_the_method_is_of_order_5_and_its_error_estimate_of_order_4():
    np.testing.assert_allclose(A.sum(axis=1), C, atol=1e-14)
    for order, pairs in conditions(B).items():
        for got, want in pairs:
            assert got == pytest.approx(want, abs=1e-13), order
    for order in (1, 2, 3, 4):
        for got, want in conditions(B - ERROR)[order]:
            assert got == pytest.approx(want, abs=1e-13), order
    assert max(abs(got - want) for got, want in conditions(B - ERROR)[5]) > 1e-5


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_the_dense_output_is_of_order_4(share):
    weights = DENSE @ share ** np.arange(5)
    for order in (1, 2, 3, 4):
        for got, want in conditions(weights, share)[order]:
            assert got == pytest.approx(want, abs=1e-12), order


def test_the_coefficients_are_those_of_diffrax():
    np.testing.assert_array_equal(B[:6], _tsit5_tableau.a_lower[-1])
    for row, theirs in zip(STAGES, _tsit5_tableau.a_lower, strict=True):
        np.testing.assert_array_equal(row[: len(theirs)], theirs)
    np.testing.assert_allclose(-ERROR, _tsit5_tableau.b_error, rtol=1e-14)
    k = jnp.eye(7)
    theirs = _Tsit5Interpolation(t0=0.0, t1=1.0, y0=jnp.zeros(7), y1=jnp.zeros(7), k=k).evaluate(0.37)
    np.testing.assert_allclose(DENSE @ 0.37 ** np.arange(5), theirs, rtol=1e-13)


NAMES = ("k_fb", "k_il6_rm", "p_il6", "k_t_exp")


@pytest.fixture(scope="module")
def storm():
    model, story = stage(Network(k_fb=jnp.asarray(4.0)), trigger("cart"), treatment("tocilizumab", start_h=168.0))

    def build(theta):
        return replace(model, {name: getattr(model, name) * jnp.exp(x) for name, x in zip(NAMES, theta, strict=True)})

    return build, plan(model, story, np.linspace(0.0, 504.0, 43))


@pytest.mark.slow
def test_values_and_sensitivities_are_those_of_diffrax_over_draws(storm):
    build, prepared = storm
    draws = 0.2 * jax.random.normal(jax.random.PRNGKey(5), (16, len(NAMES)))

    def sensitivities(solver):
        found = jax.jit(jax.vmap(lambda theta: differentiate(build, theta, prepared, solver)))(draws)
        assert np.all(found.okay)
        return np.log(found.value["il6"]), found.jacobian["il6"] / found.value["il6"][:, :, None]

    value, slope = sensitivities(Solver("march"))
    truth, true_slope = sensitivities(Solver("dopri8", rtol=1e-10, atol=1e-12, max_steps=50_000))
    assert np.abs(value - truth).max() < 1e-4
    assert (np.abs(slope - true_slope) / np.abs(true_slope).max(axis=1, keepdims=True)).max() < 1e-3


def test_a_batch_is_a_loop(storm):
    build, prepared = storm
    draws = 0.2 * jax.random.normal(jax.random.PRNGKey(6), (3, len(NAMES)))
    alone = jax.jit(lambda theta: solve(build(theta), prepared, Solver("march")).states)
    together = jax.jit(jax.vmap(lambda theta: solve(build(theta), prepared, Solver("march")).states))(draws)
    for theta, states in zip(draws, together, strict=True):
        np.testing.assert_allclose(states, alone(theta), rtol=1e-7, atol=1e-9)
