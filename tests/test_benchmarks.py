"""What the benchmarks hand to their peers is what those declare."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from export import PROBLEMS, declared, exported, prepared, program

from cytostorm.models import Network, quantities


@pytest.fixture(scope="module", params=PROBLEMS)
def problem(request):
    return prepared(request.param)[0]


def test_stan_gets_what_its_data_block_declares(problem):
    given = json.loads(json.dumps(exported(problem)))
    assert sorted(given) == sorted(declared(program(problem), "data"))
    assert all(np.isfinite(np.asarray(value, float)).all() for value in given.values())


def test_stan_reads_every_reading_at_its_time(problem):
    given = exported(problem)
    times = np.array([problem.scenario.start, *given["times"]])
    assert np.array_equal(times[given["at"]], problem.data.time)
    names = [problem.model.states[i - 1].name for i in given["state"]]
    assert names == list(problem.data.analyte)


def test_stan_solves_every_stretch_once_and_to_its_end(problem):
    given = exported(problem)
    rows = [i for a, b in zip(given["first"], given["last"], strict=True) for i in range(a, b + 1)]
    assert rows == list(range(1, given["num_times"] + 1))
    ends = [given["times"][i - 1] for i in given["last"]]
    assert np.allclose(given["start"][1:], ends[:-1], rtol=1e-11)
    assert ends[-1] == problem.data.time.max()


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
