"""What a fit costs before it samples: programs compiled, modules imported, random numbers that need neither."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import readings
from scipy import stats

from cytostorm.inference import Priors, Problem
from cytostorm.inference.keys import branches, normal, root
from cytostorm.inference.noise import student
from cytostorm.models import Minimal, Scenario, bolus, constant, infusion, repeated
from cytostorm.scripts.compilation import listening

MOST_PROGRAMS = 12  # of a fit; four of them are large


@pytest.fixture
def heard():
    """What was compiled while a test runs."""
    with listening() as heard:
        yield heard


LATE = {"arviz_stats", "blackjax", "diffrax", "matplotlib", "optax"}


def test_a_fit_imports_only_what_it_needs_to_begin():
    program = f"import sys, cytostorm.scripts.fit; sys.exit(','.join({LATE} & sys.modules.keys()) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_package_reads_no_tables_before_it_is_asked_to():
    program = (
        "import sys, cytostorm.inference as ci; late = {'pandera', 'scipy.optimize', 'scipy.stats'} & sys.modules.keys();"
        " ci.read; sys.exit(','.join(late) or 'pandera' not in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_problem_is_built_without_compiling(heard):
    doses = repeated(bolus("lps", 1.25, 0.11) + infusion("lps", 0.5, 2.0), 3.7, 3).shifted(0.3).scaled(1.1)
    problem = Problem(
        Minimal(gamma=0.7),
        Scenario(doses),
        readings([0.0, 1.7, 9.1], [1.0, 9.0, 3.0]),
        Priors(k_l={"median": 1.0, "fold": 2.0}),
    )
    assert problem.grid(171).times.size == 171
    assert not heard.num_programs


def test_a_constant_is_an_array_of_jax_also_inside_a_trace():
    jaxpr = jax.make_jaxpr(lambda x: x * constant([1.0, 2.0]))(np.ones(2))
    assert [equation.primitive.name for equation in jaxpr.eqns] == ["mul"]


@pytest.mark.parametrize("seed", [0, 7, 2**32 + 5, -1])
def test_the_key_of_a_seed_is_that_of_jax(seed):
    np.testing.assert_array_equal(root(seed), jax.random.PRNGKey(seed))


def test_keys_branch_without_compiling_and_never_meet(heard):
    keys = branches(root(0), 300)
    assert not heard.num_programs
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


def test_programs_are_counted_and_those_side_by_side_take_their_time_once():
    with listening() as heard:
        jax.jit(lambda x: jnp.sin(x) + 1)(np.ones(641))
    assert heard.counts == {"compiled": 1, "from_cache": 0, "native": 0}
    assert 0 < heard.seconds < 10
    before = heard.seconds
    jax.jit(lambda x: jnp.sin(x) + 2)(np.ones(641))
    assert heard.seconds == before
    heard._spans = [(0.0, 2.0), (1.0, 3.0), (1.5, 2.5), (5.0, 6.0)]
    assert heard.seconds == 4.0


def test_the_manifest_tells_compiling_apart(quick_run):
    manifest = json.loads((quick_run / "manifest.json").read_text())
    assert 0 < manifest["seconds"]["compile"] < manifest["seconds"]["total"]
    assert 0 < manifest["programs"]["compiled"] <= MOST_PROGRAMS
