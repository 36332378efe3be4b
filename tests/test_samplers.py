"""Every sampler on one log-density: closed forms, two modes, evidence, resumption, what a fit says of each."""

import json
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from catalogue import KnownNoise, Level, person, readings
from picks import some
from posteriors import VALUES, WIDE, closed_form, continued
from scipy import stats

from cytostorm.inference import (
    NUTS,
    SMC,
    SVI,
    Arm,
    Blocks,
    ChEES,
    Cohort,
    Density,
    Independence,
    Laplace,
    LogNormal,
    Pathfinder,
    Population,
    Prior,
    Priors,
    Problem,
    Starting,
    Stuck,
    Variability,
    infer,
    load,
)
from cytostorm.inference.samplers.density import LOWEST
from cytostorm.inference.samplers.mixture import Mixture
from cytostorm.inference.samplers.walkers import apart, walked
from cytostorm.models import Minimal, Scenario, Solver, bolus
from cytostorm.scripts.cli import run

KEY = jax.random.PRNGKey(11)
FEW = {"num_screened": 32, "num_climbs": 4}
SAMPLERS = {
    "nuts": NUTS(num_warmup=150, num_draws=300, num_chains=2, start=Starting("laplace", **FEW)),
    "chees": ChEES(num_warmup=100, num_draws=50, num_chains=32, num_superchains=8, start=Starting("laplace", **FEW)),
    "independence": Independence(num_draws=300, num_points=2048, num_rounds=4),
    "walkers": Independence(num_draws=300, num_points=2048, num_rounds=2, num_walkers=200, num_moves=40),
    "smc": SMC(num_particles=256, num_runs=3),
    "laplace": Laplace(num_draws=600, start=Starting("laplace", **FEW)),
    "pathfinder": Pathfinder(num_draws=600, num_paths=2, start=Starting(**FEW)),
    "svi": SVI(num_draws=600, num_steps=400, start=Starting("laplace", **FEW)),
}


@pytest.mark.parametrize("name", some(SAMPLERS, ["nuts", "independence", "walkers", "laplace"]))
def test_every_sampler_reproduces_a_closed_form(name, conjugate):
    draws = SAMPLERS[name].sample(conjugate, KEY)
    mean, sd = closed_form()
    log_w = np.log(draws.values["w"])
    assert abs(log_w.mean() - mean) < 0.25 * sd
    assert abs(log_w.std() / sd - 1) < 0.15
    assert np.all(np.isfinite(draws.stats["lp"]))
    assert draws.num_failed == 0
    if "pareto_k" in draws.facts:
        assert draws.facts["pareto_k"] < 0.7
    if "log_evidence" in draws.facts:
        normal = stats.multivariate_normal(np.zeros(4), 0.25 * np.eye(4) + WIDE["w"].log_sd ** 2)
        exact = normal.logpdf(np.log(VALUES)) - np.log(VALUES).sum()
        assert draws.facts["log_evidence"] == pytest.approx(exact, abs=0.2)


@pytest.mark.parametrize("name", some(["nuts", "independence", "walkers", "chees", "smc"], ["nuts", "independence"]))
def test_every_sampler_continues_to_the_bit(name, conjugate, tmp_path):
    expected = SAMPLERS[name].sample(conjugate, KEY)
    found = continued(SAMPLERS[name], conjugate, KEY, tmp_path / "b")
    np.testing.assert_array_equal(expected.values["w"], found.values["w"])
    np.testing.assert_array_equal(expected.starts.position, found.starts.position)
    assert expected.facts == found.facts
    assert expected.num_solves == found.num_solves


@pytest.mark.parametrize("name", some(SAMPLERS, ["nuts", "independence", "walkers", "laplace"]))
def test_every_solve_and_every_failure_is_counted(name, explosive, monkeypatch):
    """Of all stages: screening, climbs, curvatures, bounds, warm-up, draws."""
    solved, failed, lock, plain, many = [0], [0], threading.Lock(), Density._count, Density.heights

    def noted(likelihood):
        with lock:
            solved[0] += likelihood.size
            failed[0] += int(np.sum(likelihood <= LOWEST))

    def count(self, asker, found):
        plain(self, asker, found)
        jax.debug.callback(noted, found.log_likelihood)

    def heights(self, positions, chains):
        prior, likelihood = many(self, positions, chains)
        noted(np.maximum(likelihood, LOWEST))
        return prior, likelihood

    monkeypatch.setattr(Density, "_count", count)
    monkeypatch.setattr(Density, "heights", heights)
    draws = SAMPLERS[name].sample(explosive, KEY)
    jax.effects_barrier()
    assert draws.num_solves == solved[0]
    assert draws.num_failed == failed[0]
    assert draws.failed_by_subject == (failed[0],)
    assert np.all((draws.failed_share > 0) & (draws.failed_share < 1))
    assert np.all(draws.values["w"] < 1.2)
    assert np.all(np.isfinite(draws.stats["lp"]))


@pytest.mark.parametrize(
    "name", some(["nuts", "independence", "chees", "laplace", "pathfinder", "svi"], ["nuts", "independence"])
)
def test_the_problem_is_traced_once_for_all_stages(name, conjugate, monkeypatch):
    made = []
    plain = Density.__init__

    def noted(self, *args, **kwargs):
        plain(self, *args, **kwargs)
        made.append(self)

    monkeypatch.setattr(Density, "__init__", noted)
    SAMPLERS[name].sample(conjugate, KEY)
    assert [density.num_traces for density in made] == [1]


@pytest.fixture(scope="module")
def torn():
    """Two readings of a storm in a host whose gain is thought to be low: a high gain, or a low one and wild readings."""
    solver = Solver(rtol=1e-5, atol=1e-7)
    priors = Priors(gamma={"median": 1.0, "fold": 1.8})
    model, scenario = Minimal(w_r=0.05, k_r=0.02), Scenario(bolus("lps", 2.0))
    return Problem(model, scenario, readings([36.0, 48.0], [300.0, 300.0]), priors, LogNormal(Prior(1.5, 3.0)), solver)


@pytest.mark.parametrize("name", some(["independence", "walkers", "smc"], ["independence", "walkers"]))
def test_the_two_modes_of_bistability_weigh_what_quadrature_says(name, torn):
    density = Density(torn)
    gain, noise = np.linspace(-1.2, 2.0, 241), np.log(1.5) + np.linspace(-3, 3, 81)
    grid = np.stack(np.meshgrid(gain, noise, indexing="ij"), -1).reshape(-1, 2)
    energy = np.asarray(jax.jit(jax.vmap(lambda x: density.energy(x, jnp.array(-1))))(jnp.asarray(grid)))
    mass = np.exp(-(energy - energy.min())).reshape(241, 81)
    evidence = -energy.min() + np.log(mass.sum() * (gain[1] - gain[0]) * (noise[1] - noise[0]))
    high = mass[gain > np.log(1.75)].sum() / mass.sum()
    walkers = Independence(num_draws=512, num_rounds=2, num_walkers=512)
    samplers = {"independence": Independence(), "walkers": walkers, "smc": SMC(num_particles=1024, num_runs=4)}
    draws = samplers[name].sample(torn, KEY)
    shares = (draws.values["gamma"] > 1.75).mean(axis=1)
    assert 0.1 < high < 0.98
    assert abs(shares.mean() - high) < 0.04
    if name != "walkers":  # they tell none
        assert draws.facts["log_evidence"] == pytest.approx(evidence, abs=0.2)


def test_walkers_leave_a_posterior_that_no_mixture_is_like():
    """A banana, and a mixture that is one normal distribution, a third as wide as it; no two chains start at one point."""
    rng = np.random.default_rng(0)
    heights = lambda x: -0.5 * (x[:, 0] ** 2 + 4 * (x[:, 1] - x[:, 0] ** 2) ** 2)  # noqa: E731
    first = rng.standard_normal(4096)
    places = np.stack([first, first**2 + 0.5 * rng.standard_normal(4096)], axis=1)
    narrow = Mixture(np.ones(1), np.array([[0.0, 0.5]]), np.eye(2)[None] / 3)
    start = apart(np.full(4096, 1 / 4096), 4, 512, rng)
    assert not set(start[:512]) & set(start[512:])
    began = np.tile([0.0, 0.0], (2048, 1))
    found = walked(began, narrow, places, heights, rng, np.array([150, 200]))
    x = found.position.reshape(-1, 2)
    np.testing.assert_allclose(found.height.ravel(), heights(x))
    assert stats.kstest(found.position[:, -1, 0], "norm").pvalue > 0.01
    assert stats.kstest((x[::2, 1] - x[::2, 0] ** 2) / 0.5, "norm").pvalue > 0.01


def test_independent_proposals_are_counted_and_weighed(torn):
    draws = Independence(num_draws=250).sample(torn, KEY)
    step = draws.stats["n_steps"]
    assert np.all(step == step[0, 0])
    assert draws.num_solves > 1000 * step[0, 0]
    assert draws.facts["pareto_k"] < 0.7
    assert draws.facts["log_evidence_se"] < 0.05
    assert np.all((draws.stats["acceptance_rate"] >= 0) & (draws.stats["acceptance_rate"] <= 1))
    density = Density(torn)
    position = np.asarray(density.positions({name: jnp.asarray(x) for name, x in draws.values.items()}))
    energy = [float(density.potential(jnp.asarray(x))) for x in position[:, -1]]
    np.testing.assert_allclose(draws.stats["lp"][:, -1], -np.array(energy), atol=1e-3)  # solves without tangents differ


def test_both_modes_of_bistability_are_reported(torn):
    begun = Starting("laplace", num_screened=128, num_climbs=16).find(Density(torn), KEY, 4, Blocks())
    assert len(begun.modes) == 2
    assert sorted(np.exp(begun.modes[:, 0]) > 1.75) == [False, True]
    assert begun.weight.sum() == pytest.approx(1)
    assert set(np.exp(begun.position[:, 0]) > 1.75) == {False, True}  # chains start in both


@pytest.mark.parametrize("name", some(["independence", "chees", "smc", "laplace"], ["independence"]))
def test_a_fit_by_any_sampler_is_a_whole_run(name, tmp_path, capsys):
    short = {
        "chees": ["num_warmup=60", "num_draws=20", "num_chains=16", "num_superchains=8", "start.num_screened=64"],
        "independence": ["num_points=2048", "num_draws=250"],
        "smc": ["num_particles=64", "num_runs=2", "num_moves=2"],
        "laplace": ["num_draws=200", "start.num_screened=64", "start.num_climbs=8"],
    }[name]
    folder = tmp_path / "run"
    given = [f"sampler.{item}" for item in short]
    assert run(["fit", f"sampler={name}", *given, "report=true", f"hydra.run.dir={folder}"]) == 0
    manifest = json.loads((folder / "manifest.json").read_text())
    said = capsys.readouterr().out
    tree = load(folder / "posterior.nc")
    if name in ("smc", "independence"):
        assert "log evidence" in said
        assert manifest["facts"]["log_evidence"] < 0
        assert "starts" not in tree.children
    else:
        assert (folder / "starts.png").exists()
        assert len(manifest["modes"]) >= 1
        assert tree["starts"].to_dataset().sizes["climb"] > 1
    if name == "laplace":
        assert not manifest["passed"]  # the posterior of the default fit is no normal distribution, and that is said
        assert any("the approximation misses" in reason for reason in manifest["verdict"]["reasons"])
    assert pd.read_csv(folder / "summary.csv")["median"].notna().all()


def test_a_mixture_that_does_not_reach_the_posterior_says_what_to_change(tmp_path, capsys):
    assert run(["fit", "sampler=independence", "sampler.max_rounds=3", f"hydra.run.dir={tmp_path / 'mixture'}"]) == 1
    assert "after 3 rounds no mixture is like the posterior of 10 parameters; use sampler=nuts" in capsys.readouterr().err


@pytest.mark.slow
def test_particles_that_do_not_reach_the_posterior_say_what_to_change(tmp_path, capsys):
    small = ["num_particles=64", "num_runs=2", "num_moves=2", "max_temperatures=2"]
    given = [f"sampler.{item}" for item in small]
    assert run(["fit", "sampler=smc", *given, f"hydra.run.dir={tmp_path / 'run'}"]) == 1
    said = capsys.readouterr().err
    assert "run 1 of SMC came as far as temperature 0.0" in said
    assert "raise `sampler.num_particles` or `sampler.max_temperatures`" in said
    assert "Traceback" not in said


def test_a_key_and_a_problem_are_enough(conjugate):
    tree = infer(KEY, conjugate, SAMPLERS["laplace"])
    assert {"posterior", "prior", "log_likelihood", "posterior_predictive", "predictions", "starts"} <= set(tree.children)
    assert tree["sample_stats"].attrs["pareto_k"] < 0.7


def test_a_posterior_of_many_parameters_is_refused_at_once():
    people = tuple(person(f"S{i}", [0.0], [1.0]) for i in range(40))
    arms = {"*": Arm(Level(), Scenario())}
    problem = Population(arms, Cohort(people), Priors(w={"median": 1.0, "fold": 3}), Variability({"w": {}}), KnownNoise())
    with pytest.raises(Stuck, match="a posterior of 42 parameters is too large for a mixture; use sampler=nuts"):
        Independence().sample(problem, KEY)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ChEES(num_chains=20, num_superchains=16), "`num_chains` is 20; give 2 or more times `num_superchains`"),
        (lambda: SMC(target_ess=1.5), "`target_ess` is 1.5; give a number between 0 and 1"),
        (lambda: SMC(max_temperatures=0), "`max_temperatures` is 0; give 1 or more"),
        (lambda: Laplace(num_draws=10), "`num_draws` is 10; give a multiple of 4, 8 or more"),
        (
            lambda: Starting("zero"),
            "`start.method` is 'zero'; choose from: screened, random, median, map, laplace, subjects",
        ),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
