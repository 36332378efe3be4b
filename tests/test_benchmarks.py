"""What the benchmarks hand to their peers is what those declare."""

import json
import re
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from against_stan import labels
from conftest import ROOT
from export import PROBLEMS, declared, exported, prepared, program
from hierarchical import FILE, drawn

from cytostorm.inference import Density
from cytostorm.models import Network, quantities


@pytest.fixture(scope="module", params=PROBLEMS)
def problem(request):
    return prepared(request.param)[0]


def test_stan_gets_what_its_data_block_declares(problem):
    given = json.loads(json.dumps(exported(problem)))
    assert sorted(given) == sorted(declared(program(problem), "data"))
    assert all(np.isfinite(np.asarray(value, float)).all() for value in given.values())


@pytest.fixture(params=["minimal", "network"])
def alone(request):
    return prepared(request.param)[0]


def test_stan_reads_every_reading_at_its_time(alone):
    given = exported(alone)
    times = np.array([alone.scenario.start, *given["times"]])
    assert np.array_equal(times[given["at"]], alone.data.time)
    names = [alone.model.states[i - 1].name for i in given["state"]]
    assert names == list(alone.data.analyte)


def test_stan_solves_every_stretch_once_and_to_its_end(alone):
    given = exported(alone)
    rows = [i for a, b in zip(given["first"], given["last"], strict=True) for i in range(a, b + 1)]
    assert rows == list(range(1, given["num_times"] + 1))
    ends = [given["times"][i - 1] for i in given["last"]]
    assert np.allclose(given["start"][1:], ends[:-1], rtol=1e-11)
    assert ends[-1] == alone.data.time.max()


@pytest.fixture(scope="module")
def hierarchical():
    return prepared("hierarchical")[0]


def test_the_unconstrained_numbers_of_a_population_mean_the_same_to_stan(hierarchical):
    """The formulas of hierarchical.stan for the parameters of every subject, at a random position."""
    sites, num = hierarchical.sites, len(hierarchical.cohort)
    assert labels(hierarchical)[:8] == ["gamma", "k_l", "u0", "t_u", "sigma", "omega[1]", "omega[2]", "root[1]"]
    position = sites.centre + 0.5 * np.random.default_rng(2).standard_normal(sites.size)
    own = np.asarray(hierarchical.individual(sites.values(jnp.asarray(position))))
    omega, correlation, deviation = np.exp(position[5:7]), np.tanh(position[7]), position[8:].reshape(2, num)
    mixed = correlation * deviation[0] + np.sqrt(1 - correlation**2) * deviation[1]
    np.testing.assert_allclose(own[:, 1], position[1] + omega[0] * deviation[0], rtol=1e-12)
    np.testing.assert_allclose(own[:, 2], position[2] + omega[1] * mixed, rtol=1e-12)
    np.testing.assert_allclose(own[:, [0, 3]], np.tile(position[[0, 3]], (num, 1)), rtol=1e-12)


def test_the_prior_of_a_population_is_that_of_its_stan_program(hierarchical):
    """Up to a constant; the likelihoods are compared by `against_stan.py`, which has Stan."""
    given = {key: np.asarray(value) for key, value in exported(hierarchical).items()}
    positions = hierarchical.sites.centre + np.random.default_rng(3).standard_normal((6, hierarchical.sites.size))

    def stan(position):
        first = (position[:5] - given["prior_log_median"]) / given["prior_log_sd"]
        second = (position[5:7] - given["spread_log_median"]) / given["spread_log_sd"]
        correlation = given["concentration"] * np.log1p(-(np.tanh(position[7]) ** 2))
        return correlation - 0.5 * sum((x**2).sum() for x in (first, second, position[8:]))

    density = Density(hierarchical)
    apart = [float(density.log_prior(jnp.asarray(x))) - stan(x) for x in positions]
    np.testing.assert_allclose(apart, apart[0], atol=1e-9)


def test_the_readings_of_the_population_are_what_the_simulator_draws():
    known, found = pd.read_csv(FILE), drawn()
    assert list(known["subject"]) == list(found["subject"])
    np.testing.assert_allclose(known["value"], found["value"], rtol=1e-3)


def test_plain_c_declares_parameters_of_the_network_only():
    source = (ROOT / "benchmarks" / "storm.c").read_text()
    fields = re.search(r"typedef struct \{\s*double (\w+(?:,\s+\w+)*);\s*\} Host;", source)
    assert fields is not None
    assert set(re.findall(r"\w+", fields[1])) <= set(quantities(Network()))


@pytest.mark.slow
def test_the_loop_of_a_solve_is_compiled_into_one_function_unasked():
    """Where a jaxlib does otherwise, solves in JAX are several times slower, and its option must be set at the start."""
    script = ROOT / "benchmarks" / "small_loops.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    ms = json.loads(done.stdout)
    assert ms["never"] > 2 * ms["as it comes"]
    assert ms["as it comes"] < 1.5 * ms["always"]
