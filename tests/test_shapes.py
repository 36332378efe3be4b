"""One program for all data of a shape: what fills a shape up does not count, and no number of the data is compiled."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import Elimination, readings
from jax.experimental.compilation_cache.compilation_cache import reset_cache
from numpyro.infer.util import potential_energy
from picks import some

from cytostorm.inference import (
    NUTS,
    SMC,
    SVI,
    Arm,
    ChEES,
    Cohort,
    Density,
    Independence,
    Laplace,
    LogNormal,
    Observations,
    Pathfinder,
    Population,
    Priors,
    Problem,
    Starting,
    Subject,
    Variability,
    infer,
)
from cytostorm.inference.samplers.metric import information
from cytostorm.models import Scenario, bolus, infusion
from cytostorm.scripts.compilation import listening

FOLDER, LEAST = "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"
KEY = jax.random.PRNGKey(3)
FEW = {"num_screened": 8, "num_climbs": 2}
SAMPLERS = {
    "nuts": NUTS(num_warmup=8, num_draws=4, num_chains=1, block=4, start=Starting("laplace", **FEW)),
    "independence": Independence(num_draws=20, num_points=256, num_rounds=1, max_parts=2),
    "information": NUTS(num_warmup=8, num_draws=4, num_chains=2, block=4, metric="information", chains="vectorized"),
    "chees": ChEES(num_warmup=8, num_draws=4, num_chains=4, num_superchains=2, block=4, start=Starting(**FEW)),
    "smc": SMC(num_particles=64, num_runs=1),
    "laplace": Laplace(num_draws=40, start=Starting("laplace", **FEW)),
    "pathfinder": Pathfinder(num_draws=8, num_paths=1, start=Starting(**FEW)),
    "svi": SVI(num_draws=8, num_steps=4, start=Starting("laplace", **FEW)),
}
FAST = ("nuts", "independence")


class Pair(Elimination):
    """A drug that two assays read."""

    analytes: ClassVar = {"crp": "mg/L", "il6": "pg/mL"}

    def observe(self, y):
        return {"crp": y[0], "il6": y[0] ** 2 / (1 + y[0])}


PRIORS = Priors(k={"median": 0.3, "fold": 3})


def mixed() -> Problem:
    """Readings as read, censored on both sides, between bounds, and means of groups, of two analytes in turn."""
    time = np.array([0.0, 0.5, 0.5, 1.0, 1.5, 2.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    cens = np.array([0, 0, -1, 0, 1, -1, 0, 1, 0, 0, 0])
    value = np.array([0.3, 6.0, 4.0, 5.0, 2.0, 3.0, 4.0, 1.0, 2.0, 1.5, 0.5])
    bound = np.array([0.0, 0.0, 1.0, 0.0, 9.0, 0.0, 0.0, np.inf, 0.0, 0.0, 0.0])
    n = np.array([0, 0, 0, 5, 0, 0, 12, 0, 0, 1, 0])
    limit = np.where(cens == 0, 1.0, value)
    names = ("crp", "il6", "il6", "crp", "il6", "crp", "il6", "il6", "crp", "crp", "il6")
    data = Observations(("S",) * 11, names, time, value, cens, limit, n, np.where(n > 0, 0.4, 0.0), bound)
    scenario = Scenario(bolus("amount", 8.0, 0.2) + infusion("amount", 3.0, 1.5, 1.0), {"amount": jnp.array(0.1)})
    return Problem(Pair(), scenario, data, PRIORS, LogNormal(per_analyte=True))


def test_what_fills_up_a_shape_changes_neither_density_nor_gradient_nor_information(monkeypatch):
    problem = mixed()
    density = Density(problem)
    assert len(density.problem.data) == density.problem.prepared.times.size == 16
    monkeypatch.setattr(Problem, "padded", lambda self: self)
    plain = Density(problem)
    assert len(plain.problem.data) == 11

    def formula(x):
        return potential_energy(problem.program, (), {}, dict(zip(problem.sampled, x, strict=True)))

    for x in jnp.array([[-1.2, -1.6, -0.5], [-0.3, 0.2, -2.0]]):
        value, slope = jax.jit(jax.value_and_grad(formula))(x)
        for one in (density, plain):
            found, found_slope = jax.jit(jax.value_and_grad(one.potential))(x)
            np.testing.assert_allclose(found, value, rtol=1e-10)
            np.testing.assert_allclose(found_slope, slope, rtol=1e-10)
        metrics = [jax.jit(information)(one, x) for one in (density, plain)]
        np.testing.assert_allclose(*metrics, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
def test_no_one_sees_what_fills_up_a_shape():
    problem = mixed()
    tree = infer(KEY, problem, SAMPLERS["laplace"])
    assert tree["observed_data"].coords["obs_id"].values.tolist() == problem.data.labels
    draw = {name: jnp.asarray(tree["posterior"][name].values[1, 1]) for name in problem.sampled}
    log_f, _ = problem.read(draw)
    each = problem.noise.log_density(log_f, draw, problem.data)
    np.testing.assert_allclose(tree["log_likelihood"]["y"].values[1, 1], each, rtol=1e-10)
    replicates = np.log(tree["posterior_predictive"]["y"].values.reshape(-1, 11))
    assert replicates.shape == (40, 11)
    assert np.all(np.abs(np.median(replicates, axis=0) - log_f) < 3)


@pytest.fixture
def cache(tmp_path):
    """An empty cache that keeps every program."""
    before = {name: getattr(jax.config, name) for name in (FOLDER, LEAST)}
    jax.config.update(FOLDER, str(tmp_path))
    jax.config.update(LEAST, 0.0)
    reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    reset_cache()


def alone(time, value, dose, cens=None) -> Problem:
    data = readings(time, value, "crp", cens, [0.1] * len(time))
    return Problem(Elimination(), Scenario(bolus("amount", dose, 0.1)), data, PRIORS)


def several(factor) -> Population:
    people = [
        Subject(label, "one", dataclasses.replace(readings(time, value * factor, "crp"), subject=(label,) * 3), dose)
        for label, time, value, dose in (
            ("A", np.array([0.5, 1.0, 2.0]) * factor, np.array([6.0, 5.0, 4.0]), bolus("amount", 8.0 * factor)),
            ("B", np.array([0.4, 1.5, 3.0]) * factor, np.array([7.0, 4.0, 1.0]), bolus("amount", 9.0 / factor)),
        )
    ]
    arms = {"*": Arm(Elimination(), Scenario())}
    return Population(arms, Cohort(tuple(people)), PRIORS, Variability({"k": {}}))


def programs(task) -> tuple[int, int]:
    """How many programs a task asks for, and how many of them are compiled."""
    with listening() as heard:
        task()
    return heard.num_programs, heard.num_programs - heard.num_cached


@pytest.mark.parametrize("name", some(SAMPLERS, FAST))
def test_other_data_of_similar_size_compile_nothing(name, cache):
    one = alone([0.5, 1.0, 2.0], [6.0, 5.0, 4.0], 8.0)
    other = alone([0.2, 0.3, 0.6, 1.2, 2.5, 3.0], [9.0, 8.0, 7.0, 6.0, 4.0, 3.5], 9.0)
    fit = infer if name == "nuts" else lambda key, problem, sampler: sampler.sample(problem, key)
    assert programs(lambda: fit(KEY, one, SAMPLERS[name]))[1] > 1
    asked, compiled = programs(lambda: fit(KEY, other, SAMPLERS[name]))
    assert asked > 1
    assert compiled == 0
    censored = alone([0.5, 1.0, 2.0], [6.0, 5.0, 0.1], 8.0, [0, 0, -1])
    assert programs(lambda: Density(censored).potential(jnp.zeros(2)))[1] > 0


@pytest.mark.slow
def test_another_population_of_one_design_compiles_nothing(cache):
    assert programs(lambda: infer(KEY, several(1.0), SAMPLERS["information"]))[1] > 1
    asked, compiled = programs(lambda: infer(KEY, several(1.1), SAMPLERS["information"]))
    assert asked > 1
    assert compiled == 0
