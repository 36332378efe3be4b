"""What a fit costs before it samples: programs compiled, modules imported, random numbers that need neither."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import readings
from jax import monitoring
from scipy import stats

from cytostorm.inference import Priors, Problem
from cytostorm.inference.keys import branches, normal, root
from cytostorm.inference.noise import student
from cytostorm.models import Minimal, Scenario, bolus, constant, infusion, repeated


@pytest.fixture
def compiled():
    """The durations of the compilations while a test runs."""
    heard = []

    def listen(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            heard.append(seconds)

    monitoring.register_event_duration_secs_listener(listen)
    yield heard
    monitoring.unregister_event_duration_listener(listen)


def test_a_problem_is_built_without_compiling(compiled):
    doses = repeated(bolus("lps", 1.25, 0.11) + infusion("lps", 0.5, 2.0), 3.7, 3).shifted(0.3).scaled(1.1)
    problem = Problem(
        Minimal(gamma=0.7),
        Scenario(doses),
        readings([0.0, 1.7, 9.1], [1.0, 9.0, 3.0]),
        Priors(k_l={"median": 1.0, "fold": 2.0}),
    )
    assert problem.grid(171).times.size == 171
    assert not compiled


def test_a_constant_is_an_array_of_jax_also_inside_a_trace():
    jaxpr = jax.make_jaxpr(lambda x: x * constant([1.0, 2.0]))(np.ones(2))
    assert [equation.primitive.name for equation in jaxpr.eqns] == ["mul"]


@pytest.mark.parametrize("seed", [0, 7, 2**32 + 5, -1])
def test_the_key_of_a_seed_is_that_of_jax(seed):
    np.testing.assert_array_equal(root(seed), jax.random.PRNGKey(seed))


def test_keys_branch_without_compiling_and_never_meet(compiled):
    keys = branches(root(0), 300)
    assert not compiled
    assert len({tuple(np.asarray(key).tolist()) for key in [*keys, *branches(keys[0], 300), root(0)]}) == 601
    typed = branches(jax.random.key(0), 300)
    np.testing.assert_array_equal(np.stack(keys), np.stack(typed))


def test_normal_numbers_on_the_host_and_under_a_trace_are_normal():
    for numbers in (normal(root(3), (4000,)), jax.jit(lambda key: normal(key, (4000,)))(root(3))):
        assert stats.kstest(numbers, "norm").pvalue > 1e-3
    np.testing.assert_array_equal(normal(root(3), (5,)), normal(root(3), (5,)))


@pytest.mark.parametrize("freedom", [1.0, 4.0, 19.0, np.inf])
def test_students_numbers_follow_students_distribution(freedom):
    draws = student(root(5), jnp.full(4000, freedom))
    assert stats.kstest(draws, stats.t(freedom).cdf).pvalue > 1e-3
