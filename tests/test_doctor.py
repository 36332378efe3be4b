"""The doctor: what works on a machine, and the ladder of checks before a fit; help and completion of the command line."""

import importlib.metadata
import json
import subprocess

import equinox as eqx
import numpy as np
import pytest

from cytostorm.inference import NUTS, SMC, SVI, ChEES, Density, Independence, Laplace, Pathfinder, Population
from cytostorm.inference.keys import root
from cytostorm.models import Solver, native
from cytostorm.scripts import health, ladder
from cytostorm.scripts.cli import COMMANDS, JOBS, run
from cytostorm.scripts.completion import keys, options
from cytostorm.scripts.completion import script as completion
from cytostorm.scripts.compose import composed
from cytostorm.scripts.costs import cost
from cytostorm.scripts.manual import groups, manual
from cytostorm.scripts.problem import prepare


@pytest.fixture
def fast(monkeypatch):
    """Without the two processes that measure XLA's option."""
    monkeypatch.setattr(health, "_timed", lambda flags: 1e-5 if health.OPTION not in flags else 1e-6)


def test_a_machine_that_works_is_told_so(fast, capsys):
    assert run(["doctor"]) == 0
    told = capsys.readouterr().out
    for what in ("versions", "devices", "machine", "float64", "C compiler", "compile cache", "XLA loop option"):
        assert f"{what} " in told
    assert "✗" not in told
    assert "this machine is ready" in told
    assert "problem" not in told  # nothing was asked about a configuration


def test_a_version_that_does_not_fit_is_named(monkeypatch):
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.1" if name == "diffrax" else real(name))
    found = health.versions()
    assert found.holds is False
    assert "diffrax is 0.1, and <0.8,>=0.7.2 is needed" in found.remedy


def test_without_a_compiler_a_fit_is_slower_and_no_more(monkeypatch):
    monkeypatch.setattr(native, "compiler", lambda: None)
    found = health.compiler()
    assert found.holds is None
    assert "install gcc or clang" in found.remedy


def test_a_compiler_that_fails_must_be_mended(monkeypatch):
    real = health.simulate
    anew = lambda model, story, times, solver: real(model, story, times, Solver(solver.method, max_steps=4097))  # noqa: E731
    monkeypatch.setattr(health, "simulate", anew)  # traced again
    monkeypatch.setattr(native, "solve", lambda *_: None)
    found = health.compiler()
    assert found.holds is False
    assert "cannot compile the native solver" in found.told


def test_a_cache_that_holds_nothing_must_be_mended(monkeypatch):
    class Nothing:
        num_cached = 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    assert health.cache().holds
    monkeypatch.setattr(health, "listening", Nothing)
    assert health.cache().holds is False


@pytest.mark.parametrize(
    ("bare", "with_it", "flags", "holds", "word"),
    [
        (1e-5, 1e-6, "", True, "export XLA_FLAGS"),
        (1e-6, 1e-6, "", True, "leave it out"),
        (1e-5, None, "", None, "does not start"),
        (1e-5, 1e-6, health.FLAG, True, "it is set"),
        (1e-6, 1e-5, health.FLAG, None, "it is set"),
    ],
)
def test_the_option_for_loops_is_worth_a_word_where_it_matters(bare, with_it, flags, holds, word, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", flags)
    times = iter([bare, with_it])
    monkeypatch.setattr(health, "_timed", lambda flags: next(times))
    found = health.loops()
    assert found.holds is holds
    assert word in found.told


@pytest.mark.slow
def test_the_option_for_loops_is_measured():
    assert 0 < health._timed(health.FLAG) < 1.0
    assert health._timed("--xla_no_such_flag=1") is None


@pytest.mark.slow
def test_a_fit_that_can_begin_climbs_the_whole_ladder(fast, capsys):
    assert run(["doctor", "data=endotoxemia_bolus"]) == 0
    told = capsys.readouterr().out
    rungs = ("readings", "problem", "prior draws", "density and gradient", "gradient", "time and memory")
    assert [line.split("  ")[0][2:] for line in told.splitlines() if line[:1] == "✓"][-6:] == list(rungs)
    assert "all is well" in told


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=csv", "data.path=nowhere.csv"], "nowhere.csv: no such file"),
        (["data.analytes=[tnf]"], "Minimal does not predict `tnf`"),
        (["trigger=viral"], "has no stimulus, which this model needs"),
    ],
)
def test_input_at_fault_is_a_cross_and_exits_with_2(overrides, message, fast, capsys):
    assert run(["doctor", *overrides]) == 2
    told = capsys.readouterr().out
    assert message in told
    assert "✗" in told
    assert "prior draws" not in told  # the ladder ended


@pytest.mark.parametrize("argv", [["sede=1"], ["model=nope"], ["--strict"]])
def test_a_configuration_that_is_none_is_refused(argv, capsys):
    assert run(["doctor", *argv]) == 2
    assert "cytostorm: " in capsys.readouterr().err


def test_a_fit_that_cannot_start_exits_with_1(fast, capsys):
    assert run(["doctor", "solver.max_steps=2"]) == 1
    told = capsys.readouterr().out
    assert "64 of 64 could not be solved" in told
    assert "to be mended: prior draws" in told


@pytest.fixture(scope="module")
def looked():
    """A problem, its density, positions, and what was seen there."""
    problem, _, _ = prepare(composed("fit", []))
    density = Density(problem)
    positions = density.drawn(root(1), 15)
    return problem, density, positions, ladder.looked(density, positions)[0]


def test_a_density_that_is_not_finite_is_told_with_the_draw(looked):
    _, density, positions, points = looked
    assert ladder.finite(density, positions, points).holds
    slopes = points.slope_likelihood.copy()
    slopes[3, 0] = np.nan
    found = ladder.finite(density, positions, eqx.tree_at(lambda p: p.slope_likelihood, points, slopes))
    assert found.holds is False
    assert f"gamma={np.exp(positions[3, 0]):.4g}" in found.told


def test_shares_of_draws_that_fail_are_a_word_or_a_cross(looked):
    problem, _, _, points = looked
    for number, holds in ((0, True), (4, None), (12, False)):
        solved = np.arange(16)[:, None] >= number
        assert ladder.solvable(problem, eqx.tree_at(lambda p: p.solved, points, solved)).holds is holds


def test_a_wrong_gradient_along_a_direction_is_seen(looked):
    problem, _, positions, points = looked
    right, number = ladder.along(problem, positions, points)
    assert number == 4
    assert right < ladder.SLOPE
    off = eqx.tree_at(lambda p: p.slope_likelihood, points, 1.1 * points.slope_likelihood)
    wrong, _ = ladder.along(problem, positions, off)
    assert wrong > ladder.SLOPE


@pytest.mark.slow
def test_the_gradient_of_a_population_is_checked(shared, fast, capsys):
    assert isinstance(prepare(composed("fit", ["experiment=endotoxemia_population"]))[0], Population)
    assert run(["doctor", "experiment=endotoxemia_population"]) == 0
    assert "along 4 directions" in capsys.readouterr().out


@pytest.mark.slow
def test_a_solver_that_is_too_loose_is_a_cross(fast, capsys):
    assert run(["doctor", "solver.rtol=0.02", "solver.atol=0.02"]) == 1
    assert "to be mended: gradient" in capsys.readouterr().out


@pytest.mark.parametrize("sampler", [NUTS(), ChEES(), SMC(), Independence(), Laplace(), Pathfinder(), SVI()])
def test_more_draws_cost_more_and_cores_less(sampler):
    one, two = cost(sampler, 10, 20, 1), cost(sampler, 10, 20, 2)
    assert 0 < two.rounds[0] < two.rounds[1]
    assert two.rounds[1] < one.rounds[1]
    assert cost(sampler, 10, 2000, 1).gigabytes > one.gigabytes > 0


def test_the_default_fit_asks_for_what_was_expected(quick_run):
    """The solves of a short fit lie between the least and the most that were foretold."""
    manifest = json.loads((quick_run / "manifest.json").read_text())
    expected = cost(NUTS(num_warmup=100, num_draws=100, num_chains=2), 10, 8, 1)
    assert expected.rounds[0] < manifest["num_solves"] < expected.rounds[1]


@pytest.mark.slow
def test_a_certificate_for_a_population_is_refused_in_words(shared, refused):
    refused("certify is for the readings of one subject", "certify", "experiment=endotoxemia_population")


@pytest.mark.parametrize("job", JOBS)
def test_every_job_has_help_that_names_its_groups_and_keys(job, capsys):
    assert run([job, "--help"]) == 0
    told = capsys.readouterr().out
    assert told.strip() == manual(job)
    assert all(f"  {name}=" in told for name in groups(job))
    assert f"usage: cytostorm {job} " in told
    assert max(map(len, told.splitlines())) < 170


def test_help_names_every_option_with_the_default_first():
    told = manual("fit")
    assert all(option in told for group in groups("fit") for option in options()[group])
    assert "sampler=        [nuts], chees" in told
    assert "experiment=     [none], cart_crs" in told
    assert groups("stability")["model"] == "network"
    samplers = {"fit": "nuts", "identify": "independence", "calibrate": "independence_short"}
    assert {job: groups(job)["sampler"] for job in samplers} == samplers
    assert groups("identify") | {"sampler": "nuts"} == groups("fit")  # all but that are shared


def completed(line, tmp_path, shell="bash"):
    """What a shell offers where the cursor stands at the end of a line."""
    file = tmp_path / "completion"
    if not file.exists():
        file.write_text(completion(shell, {job: job for job in JOBS} | {"doctor": "fit"}, {"data": "list show"}))
    words = line.split(" ")
    program = f"""
source {file}
COMP_LINE={line!r} COMP_POINT={len(line)} COMP_WORDS=({" ".join(words)}) COMP_CWORD={len(words) - 1}
COMP_WORDBREAKS=' ='
_cytostorm
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == ""
    return done.stdout.split()


def test_the_shell_completes_jobs_groups_options_and_keys(tmp_path):
    assert completed("cytostorm si", tmp_path) == ["simulate"]
    assert "doctor" in completed("cytostorm do", tmp_path)
    assert completed("cytostorm fit samp", tmp_path)[0] == "sampler="
    assert completed("cytostorm fit sampler=ch", tmp_path) == ["chees"]
    assert completed("cytostorm fit sampler.num_d", tmp_path) == ["sampler.num_draws="]
    assert completed("cytostorm doctor experiment=own", tmp_path) == ["own"]
    assert completed("cytostorm data sh", tmp_path) == ["show"]
    (tmp_path / "readings.csv").write_text("")
    assert completed("cytostorm fit data.path=rea", tmp_path) == ["readings.csv"]


def test_every_key_that_is_completed_is_one(tmp_path):
    found = keys("fit")
    assert {"model=", "experiment=", "seed=", "sampler.start.method=", "hydra.run.dir="} <= set(found)
    assert not [key for key in found if "_target_" in key]


@pytest.mark.parametrize("argv", [[], ["fish"], ["bash", "zsh"]])
def test_an_unknown_shell_is_refused(argv, capsys):
    assert run(["--completion", *argv]) == 2
    assert "bash or zsh" in capsys.readouterr().err


def test_help_lists_jobs_and_what_makes_no_runs(capsys):
    assert run(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {name:<10} " in told for name in [*JOBS, *COMMANDS])
