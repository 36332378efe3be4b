"""Populations: subjects side by side are those alone, and a hierarchy with a closed form is reproduced."""

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from catalogue import Blowup, Elimination, KnownNoise, Level, person, readings
from numpyro.infer.hmc import hmc
from picks import some
from posteriors import WIDE, agree, hierarchy
from scipy import stats

from cytostorm.inference import (
    NUTS,
    Arm,
    Cohort,
    Covariate,
    Density,
    Effect,
    LogNormal,
    Population,
    Prior,
    Priors,
    Problem,
    Starting,
    Subject,
    Variability,
    assemble,
    individuals,
    judge,
    load,
    shrinkage,
    summary,
)
from cytostorm.inference.observations import joined
from cytostorm.inference.prediction.leave_out import by_subject, coverage, leave_one_out
from cytostorm.inference.prediction.npde import prediction_errors
from cytostorm.inference.prediction.refit import refitted
from cytostorm.inference.prediction.rivals import _normal, curves_of, given_curve, mean_curve
from cytostorm.inference.samplers.blocks import Blocks, Interrupted
from cytostorm.inference.samplers.jumps import anew, annealed, differing, heights, jumped, tried
from cytostorm.inference.samplers.metric import Parts, covariance, information
from cytostorm.inference.samplers.mixture import Mixture
from cytostorm.inference.samplers.places import Memory, alike, met, num_places, stacked
from cytostorm.inference.summary import related
from cytostorm.models import Minimal, Scenario, Solver, bolus, infusion

KEY = jax.random.PRNGKey(3)
OMEGA, SIGMA, NUM = 0.6, 0.5, 5
SPREAD = Effect(Prior(OMEGA, 1.0001))  # as good as known
VALUES = np.array(
    [[1.3, 2.2, 0.9, 1.8], [3.1, 2.0, 4.4, 2.6], [0.6, 0.5, 1.1, 0.4], [1.0, 2.4, 1.7, 1.2], [5.0, 2.9, 3.3, 6.1]]
)
FEW = NUTS(num_warmup=300, num_draws=800, num_chains=2, metric="information", block=100, start=Starting("median", 16))


def levels(centred=False):
    return hierarchy(VALUES, dataclasses.replace(SPREAD, centred=centred))


def closed_form():
    """Mean and SD of the log-median: normal subjects around it, normal readings around each."""
    each = OMEGA**2 + SIGMA**2 / 4
    precision = 1 / WIDE["w"].log_sd ** 2 + NUM / each
    return np.log(VALUES).mean(axis=1).sum() / each / precision, precision**-0.5


@pytest.fixture(scope="module")
def problem():
    return levels()


@pytest.fixture(scope="module")
def draws(problem):
    return FEW.sample(problem, KEY)


@pytest.fixture(scope="module")
def tree(problem, draws):
    return assemble(problem, draws, KEY)


def test_a_hierarchy_with_a_closed_form_is_reproduced(draws):
    mean, sd = closed_form()
    log_w = np.log(draws.values["w"])
    agree(log_w, mean, sd, 200)


def test_the_metric_of_the_information_makes_trajectories_short(draws):
    assert draws.stats["n_steps"].mean() < 8


@pytest.mark.slow
def test_a_step_that_a_narrow_place_made_small_is_found_anew_with_the_metric(problem):
    density, sampler = Density(problem), NUTS(num_warmup=200, num_chains=1, metric="information", block=50)
    apart = Parts([np.arange(density.sites.size)])
    init, sample = hmc(potential_fn_gen=lambda density, chain: lambda z: density.energy(apart.joined(z), chain), algo="NUTS")
    at = density.positions({"w": jnp.array(1.3), "omega": jnp.array([OMEGA]), "z": jnp.zeros((1, NUM))})
    known = apart.blocks_of(np.asarray(covariance(density, information(density, at))), True)
    begun = init(
        apart.split(at), 200, inverse_mass_matrix=known, dense_mass=apart.names, adapt_mass_matrix=False,
        model_args=(density, jnp.array(0)), rng_key=KEY,
    )  # fmt: skip
    small = jnp.log(1e-4)
    past = (small, small, begun.adapt_state.ss_state[2], 2000, small)
    slow = begun._replace(adapt_state=begun.adapt_state._replace(step_size=jnp.exp(small), ss_state=past))
    advance, retune = sampler._advance(density, sample, apart), sampler._retune(density)
    slow, _ = retune((slow, jnp.zeros((0, len(at)))), (at[None], {}))
    (after, _), _ = advance(slow, np.array(0), 50)
    assert float(after.adapt_state.step_size) > 0.1


@pytest.mark.parametrize("centred", [False, True])
def test_a_subject_is_as_high_as_it_makes_the_posterior(centred):
    """Given what all share: moving one subject changes the density by what its own changes, and no other's."""
    density = Density(levels(centred), num_chains=1)
    own = np.array(density.sites.blocks[1:])
    here = density.positions(density.problem.draw(KEY, 1))[0]
    of = density.jit(lambda density, x: heights(density, jnp.array(0))(x))
    for subject in range(NUM):
        there = here.at[own[subject]].add(0.3)
        change = of(there) - of(here)
        whole = density.potential(here) - density.potential(there)
        np.testing.assert_allclose(change[subject], whole, rtol=1e-9)
        np.testing.assert_allclose(np.delete(change, subject), 0.0, atol=1e-12)


def test_a_subject_with_two_explanations_is_in_each_as_often_as_it_should_be():
    """Modes at 0 and 8 of weights 0.3 and 0.7; a step from one to the other is the difference of two places."""
    weight, mode = np.array([0.3, 0.7]), np.array([0.0, 8.0])

    def height(x):
        return jax.nn.logsumexp(-((x[:3, None] - mode) ** 2) / 2, b=weight, axis=1) - (x[3:] - 1) ** 2 / 2

    own = jnp.array([[0, 3], [1, 4], [2, 5]])
    places = jax.random.normal(KEY, (60, 6)).at[:30, :3].add(8.0)
    memory = Memory(places, stacked(alike(np.asarray(places), np.asarray(own), 4, np.random.default_rng(0))))
    step = jax.jit(lambda x, key: jumped(height, own, key, x, memory, 10))
    _, (positions, share) = jax.lax.scan(
        lambda x, key: (lambda found: (found[0], found))(step(x, key)), jnp.zeros(6), jax.random.split(KEY, 3000)
    )
    high = positions[:, :3] > 4
    assert np.all(np.abs(np.mean(high, axis=0) - 0.7) < 0.04)
    assert np.all(np.abs(np.mean(positions[:, 3:], axis=0) - 1) < 0.08)
    assert np.all(np.abs(np.std(positions[:, 3:], axis=0) - 1) < 0.05)
    assert 0.05 < np.mean(share) < 0.95


@pytest.mark.parametrize("kind", ["differences", "mixtures"])
def test_each_kind_of_jump_keeps_the_posterior(kind):
    """A subject that is at 0 or at 8, and another entry that is not told apart from it."""

    def height(x):
        return jax.nn.logsumexp(-((x[:1] - jnp.array([0.0, 8.0])) ** 2) / 2, b=jnp.array([0.9, 0.1]))[None] - x[1] ** 2 / 2

    own, some = jnp.array([[0, 1]]), jax.random.normal(KEY, (100, 2)).at[:50, 0].add(8.0)
    mixtures = stacked(alike(np.asarray(some), np.asarray(own), 4, np.random.default_rng(0)))

    def one(carry, key):
        move, chance = jax.random.split(key)
        proposal = differing(own, move, carry[0], some) if kind == "differences" else anew(own, move, carry[0], mixtures)
        x, tall, _ = tried(height, own, chance, *carry, proposal)
        return (x, tall), x

    start = jnp.zeros(2)
    _, x = jax.jit(lambda keys: jax.lax.scan(one, (start, height(start)), keys))(jax.random.split(KEY, 30000))
    assert abs(np.mean(x[:, 0] > 4) - 0.1) < 0.02
    assert abs(np.mean(x[:, 1])) < 0.08
    assert abs(np.std(x[:, 1]) - 1) < 0.05


def test_places_are_kept_while_the_chain_warms_up():
    memory = Memory.blank(jnp.zeros(1), num_places(30), jnp.array([[0]]))
    for iteration in range(1, 61):
        memory = memory.kept(jnp.array([float(iteration)]), jnp.array(iteration), 30)
    assert sorted(np.ravel(memory.places)) == list(range(11, 31))


def test_chains_share_what_they_remember():
    """As many rows as each had, of every chain in turn, every third sent on; a state of many chains holds them for each."""
    places, own = jnp.arange(2 * 5 * 3.0).reshape(2, 5, 3), jnp.array([[0], [2]])
    expected = places[np.array([0, 1, 0, 1, 0]), np.arange(5)].at[np.array([0, 3])].add(1)
    each = [Memory.blank(jnp.zeros(3), 5, own)._replace(places=mine) for mine in places]
    apart = met([("first", each[0]), ("second", each[1])], lambda x, key: x + 1, own, KEY)
    assert [name for name, _ in apart] == ["first", "second"]
    assert all(np.array_equal(found.places, expected) for _, found in apart)
    ((_, together),) = met([("all", jax.tree.map(lambda *x: jnp.stack(x), *each))], lambda x, key: x + 1, own, KEY)
    assert np.array_equal(together.places, np.stack([expected, expected]))
    assert np.array_equal(together.mixtures.centre[1], apart[0][1].mixtures.centre)
    for subject, entry in enumerate((0, 2)):
        mixture = Mixture(*(x[subject] for x in apart[0][1].mixtures))
        assert np.isclose(mixture.share.sum(), 1)
        assert np.all(mixture.log_density(expected[:, [entry]]) > -10)  # wherever chains are, it may be proposed to be


def test_a_rare_explanation_is_proposed_more_often_than_it_holds():
    """Few places lie elsewhere: a mixture has a part there, whose share is no less than a tenth of a whole one."""
    places = np.random.default_rng(0).normal(size=(200, 2))
    places[:6, 0] += 20
    (found,) = alike(places, np.array([[0, 1]]), 4, np.random.default_rng(0))
    near = found.centre[:, 0] > 15
    assert found.share[near].sum() > 0.07
    assert np.isclose(found.share.sum(), 1)


def test_places_are_found_in_a_mode_where_no_chain_was():
    """Modes at 0 and 8, all places at 0: heated and cooled, they lie in both, and nowhere between."""
    mode = np.array([0.0, 8.0])

    def height(x):
        return jax.nn.logsumexp(-((x[:2, None] - mode) ** 2) / 2, axis=1)

    places = jax.random.normal(KEY, (100, 3)).at[:, 2].set(5.0)
    found = annealed(height, jnp.array([[0], [1]]), KEY, places)
    assert np.array_equal(found[:, 2], places[:, 2])  # what they share
    assert np.all((np.abs(found[:, :2]) < 4) | (np.abs(found[:, :2] - 8) < 4))
    high = np.mean(found[:, :2] > 4, axis=0)
    assert np.all((high > 0.2) & (high < 0.8))
    assert np.all(np.abs(np.std(np.where(found[:, :2] > 4, found[:, :2] - 8, found[:, :2]), axis=0) - 1) < 0.3)


@pytest.mark.slow
def test_a_run_with_jumps_goes_on_where_it_was_stopped(problem, tmp_path):
    """Chains that meet to share their places: the draws are those of a run that nobody stopped."""
    sampler = NUTS(num_warmup=20, num_draws=10, num_chains=2, block=5, jumps=2, start=Starting(num_screened=20))
    density, blocks = Density(problem), Blocks(tmp_path / "blocks")
    straight = sampler.sample(density, KEY)

    def stop(done, _):
        blocks.stop = done >= 25

    with pytest.raises(Interrupted, match="of 60 iterations"):
        sampler.sample(density, KEY, stop, blocks)
    blocks.stop = False
    resumed = sampler.sample(density, KEY, blocks=blocks)
    assert np.array_equal(resumed.values["w"], straight.values["w"])


@pytest.mark.slow
def test_jumps_keep_the_posterior(problem):
    sampler = dataclasses.replace(FEW, jumps=3)
    found = sampler.sample(problem, KEY)
    agree(np.log(found.values["w"]), *closed_form(), 200)
    assert found.stats["jump_rate"].mean() > 0.2
    assert found.num_solves > 5 * found.stats["jump_rate"].size


def test_jumps_need_subjects(conjugate):
    with pytest.raises(ValueError, match="`jumps` is 2, and there is one subject only; give 0"):
        NUTS(jumps=2).sample(conjugate, KEY)


def test_centred_and_not_are_one_posterior():
    """The densities differ by the volume of the map from one to the other."""
    plain, centred = levels(), levels(centred=True)
    z = jnp.linspace(-1, 1, NUM)
    values = {"w": jnp.array(1.3), "omega": jnp.array([OMEGA])}
    other = values | {"log_w": jnp.log(1.3) + OMEGA * z}

    def log_density(problem, values):
        density = Density(problem)
        return -float(density.potential(density.positions(values)))

    assert np.allclose(plain.individual(values | {"z": z[None]}), centred.individual(other))
    volume = NUM * np.log(OMEGA)
    assert np.isclose(log_density(plain, values | {"z": z[None]}) - volume, log_density(centred, other))


@pytest.mark.parametrize("centred", [False, True])
def test_a_chain_starts_every_subject_where_its_own_readings_say(centred):
    """Given the population's middle, a subject's own mode is its mean drawn to the median."""
    problem = levels(centred)
    density = Density(problem)
    found = Starting("subjects", 60).find(density, KEY, 2, Blocks())
    pull = OMEGA**2 / (OMEGA**2 + SIGMA**2 / 4)
    for position in found.position:
        own = problem.individual(density.values(jnp.asarray(position)))[:, 0]
        assert np.allclose(own, pull * np.log(VALUES).mean(axis=1), atol=0.06)
    assert not np.allclose(*found.position, atol=1e-6)
    assert found.num_solves == 2 * (6 * 60 + 1)


def test_one_subject_does_not_start_by_subjects():
    with pytest.raises(ValueError, match="there is one subject; choose 'screened' or 'map'"):
        Starting("subjects").find(Density(alone(treated()[0], Elimination())), KEY, 2, Blocks())


def alone(subject, model):
    return Problem(model, Scenario(subject.doses), subject.data, Priors(k={"median": 0.3, "fold": 3}), LogNormal())


def treated():
    """Three people with unlike doses and reading times."""
    return (
        person("A", [1.0, 4.0, 9.0], [3.0, 2.0, 1.0], "crp", bolus("amount", 5.0)),
        person("B", [2.0, 3.0], [5.0, 4.0], "crp", bolus("amount", 5.0) + bolus("amount", 3.0, 2.5)),
        person("C", [0.5, 1.0, 2.0, 6.0], [1.0, 2.0, 3.0, 1.0], "crp", infusion("amount", 8.0, 2.0, 0.25)),
    )


@pytest.mark.parametrize("method", some(["native", "march", "tsit5"], ["native"]))
def test_subjects_side_by_side_are_those_alone(method):
    people = treated()
    variability = Variability({"k": Effect()})
    priors = Priors(k={"median": 0.3, "fold": 3})
    together = Population(
        {"*": Arm(Elimination(), Scenario())}, Cohort(people), priors, variability, LogNormal(), Solver(method)
    )
    values = {"k": jnp.array(0.3), "sigma": jnp.array(0.2), "omega": jnp.array([0.5]), "z": jnp.array([[-1.0, 0.0, 2.0]])}
    found, okay = together.predict(values)
    expected = [
        alone(p, Elimination()).predict({"k": jnp.array(0.3 * np.exp(0.5 * z))})[0]
        for p, z in zip(people, [-1.0, 0.0, 2.0], strict=True)
    ]
    assert np.all(okay)
    assert np.allclose(found, np.concatenate(expected), rtol=1e-5, atol=1e-5)


def test_the_gradient_is_that_of_differences():
    problem = Population(
        {"*": Arm(Elimination(), Scenario())},
        Cohort(treated()),
        Priors(k={"median": 0.3, "fold": 3}),
        Variability({"k": Effect()}),
        LogNormal(),
        Solver(rtol=1e-9, atol=1e-11),
    )
    density = Density(problem)
    x = jnp.asarray(density.sites.centre + 0.3)
    slope = np.asarray(jax.grad(density.potential)(x))
    for i, step in enumerate(1e-5 * np.eye(len(x))):
        assert np.isclose((density.potential(x + step) - density.potential(x - step)) / 2e-5, slope[i], rtol=1e-4, atol=1e-5)


def test_a_subject_that_cannot_be_solved_is_named_and_makes_the_density_zero():
    from catalogue import Blowup

    people = tuple(person(f"S{i}", [0.0, 3.0], [1.0, 1.0]) for i in range(3))
    problem = Population({"*": Arm(Blowup(), Scenario())}, Cohort(people), WIDE, Variability({"w": SPREAD}), KnownNoise())
    values = {"w": jnp.array(0.9), "omega": jnp.array([OMEGA]), "z": jnp.array([[-1.0, 1.0, -1.0]])}
    _, okay = problem.predict(values)
    assert np.array_equal(okay, [True, False, True])
    density = Density(problem)
    value, slope = jax.value_and_grad(density.potential)(density.positions(values))
    assert value == np.inf
    assert np.all(slope == 0)


def test_a_covariate_moves_its_parameter():
    people = tuple(person(f"S{w}", [0.0], [1.0], covariates={"weight": w}) for w in (35.0, 70.0, 140.0))
    power = Covariate("w", "weight", reference=70.0, coefficient=0.75)
    variability = Variability({"w": SPREAD}, covariates=[power])
    problem = Population({"*": Arm(Level(), Scenario())}, Cohort(people), WIDE, variability, KnownNoise())
    theta = problem.individual({"w": jnp.array(2.0), "omega": jnp.array([OMEGA]), "z": jnp.zeros((1, 3))})
    assert np.allclose(theta[:, 0], np.log(2 * np.array([0.5, 1, 2]) ** 0.75))


def test_an_assay_of_another_study_has_a_factor():
    people = (person("A", [0.0], [1.0]), person("B", [0.0], [1.0], study="two"))
    variability = Variability({"w": SPREAD}, assay=Prior(1.0, 2.0))
    problem = Population({"*": Arm(Level(), Scenario())}, Cohort(people), WIDE, variability, KnownNoise())
    values = {"w": jnp.array(2.0), "omega": jnp.array([OMEGA]), "z": jnp.zeros((1, 2)), "assay": jnp.array([3.0])}
    assert problem.assays.scales == (("two", "il6"),)
    assert np.allclose(np.exp(problem.predict(values)[0]), [2.0, 6.0])


def test_an_assay_of_another_study_has_a_background():
    people = (person("A", [0.0], [1.0]), person("B", [0.0], [1.0], study="two"))
    variability = Variability({"w": SPREAD}, background=Prior(1.0, 2.0))
    problem = Population({"*": Arm(Level(), Scenario())}, Cohort(people), WIDE, variability, KnownNoise())
    values = {"w": jnp.array(2.0), "omega": jnp.array([OMEGA]), "z": jnp.zeros((1, 2)), "background": jnp.array([4.0])}

    def read(background):
        return problem.predict(values | {"background": background})[0]

    assert np.allclose(np.exp(read(values["background"])), [2.0, 6.0])
    slope = jax.jacobian(read)(values["background"])
    assert np.allclose(slope, [[0.0], [1 / 6]])
    both = dataclasses.replace(variability, assay=Prior(1.0, 2.0))
    problem = Population({"*": Arm(Level(), Scenario())}, Cohort(people), WIDE, both, KnownNoise())
    assert np.allclose(np.exp(problem.predict(values | {"assay": jnp.array([3.0])})[0]), [2.0, 10.0])
    assert set(problem.sites.parts) == {"w", "omega", "z", "assay", "background"}


def test_what_is_compiled_keeps_the_order_of_the_effects():
    """A tree sorts a dictionary by its keys; spreads and correlations are told apart by their places alone."""
    people = tuple(person(f"S{i}", [1.0, 2.0], [300.0, 500.0]) for i in range(2))
    effects = Variability({"u0": Effect(), "k_l": Effect()})
    priors = Priors(u0={"median": 8700.0, "fold": 3}, k_l={"median": 1.6, "fold": 3})
    problem = Population({"*": Arm(Minimal(), Scenario(bolus("lps", 2.0)))}, Cohort(people), priors, effects, KnownNoise())
    values = {name: x[0] for name, x in problem.draw(KEY, 1).items()}
    density = Density(problem)
    compiled = density.jit(lambda density, values: density.problem.individual(values))(values)
    assert np.allclose(compiled, problem.individual(values))
    log_f, _ = problem.read(values)
    point = density.point(density.positions(values), jnp.array(0))
    assert np.isclose(point.log_likelihood, np.sum(KnownNoise().log_density(log_f, {}, problem.data)), rtol=1e-5)


def test_the_subject_that_cannot_be_solved_is_counted():
    people = tuple(person(f"S{i}", [0.0, 2.0], [0.5, 0.5]) for i in range(3))
    problem = Population({"*": Arm(Blowup(), Scenario())}, Cohort(people), WIDE, Variability({"w": SPREAD}), KnownNoise())
    density = Density(problem, num_chains=2)
    z = np.zeros((1, 3))
    z[0, 1] = 4.0  # exp(4 omega) = 11 times the median: S1 explodes
    values = {"w": jnp.array(0.5), "omega": jnp.array([OMEGA]), "z": jnp.asarray(z)}
    position = density.positions(values)
    assert density.energy(position, jnp.array(1)) == np.inf
    many = jax.vmap(density.energy)(jnp.stack([position, 0 * position - 1, position]), jnp.array([0, 0, 1]))
    jax.effects_barrier()
    assert np.isfinite(many[1])
    assert density.failures.tolist() == [1, 2, 0]
    assert density.unsolved.tolist() == [[0, 1, 0], [0, 2, 0], [0, 0, 0]]


def test_the_mean_of_many_lies_closer_to_the_median():
    data = dataclasses.replace(readings([0.0], [1.0]), n=np.array([9]), spread=np.array([0.3]))
    mean = Subject("mean", "one", dataclasses.replace(data, subject=("mean",)))
    problem = Population(
        {"*": Arm(Level(), Scenario())}, Cohort((mean,)), WIDE, Variability({"w": SPREAD}), LogNormal(per_analyte=True)
    )
    theta = problem.individual({"w": jnp.array(1.0), "omega": jnp.array([OMEGA]), "z": jnp.ones((1, 1))})
    assert np.allclose(theta, OMEGA / 3)
    assert np.allclose(problem.scatter, 1 / 3)


def test_the_likelihood_of_a_left_out_subject_is_its_integral(problem, draws):
    """Over the subject's level: readings are normal with a common part."""
    values = {name: x.reshape(-1, *x.shape[2:]) for name, x in draws.values.items()}
    left = leave_one_out(problem, values, KEY)
    index = np.unique(np.linspace(0, 1599, 200).astype(int))
    covariance = OMEGA**2 * np.ones((4, 4)) + SIGMA**2 * np.eye(4)
    log_y = np.log(VALUES)
    for i in range(NUM):
        middle = np.log(values["w"][index])
        exact = [stats.multivariate_normal(np.full(4, m), covariance).logpdf(log_y[i]) - log_y[i].sum() for m in middle]
        assert np.max(np.abs(left.log_likelihood[:, i] - exact)) < 0.35
        assert abs(np.mean(left.log_likelihood[:, i] - exact)) < 0.03
    assert np.all(left.pareto_k < 0.7)
    assert by_subject(problem, left)["elpd"].sum() < np.mean(left.log_likelihood.sum(axis=1))
    assert 0.7 < coverage(problem, left)["inside"].mean() <= 1


@pytest.mark.slow
def test_a_fit_of_the_others_leaves_a_subject_out(problem, draws):
    """By the closed form of a new subject given four: only the one whose weights cannot is refitted."""
    values = {name: x.reshape(-1, *x.shape[2:]) for name, x in draws.values.items()}
    left = leave_one_out(problem, values, KEY)
    left = dataclasses.replace(left, pareto_k=np.array([0.1, 0.1, 0.1, 0.1, 0.9]))
    found, agreement = refitted(problem, FEW, values, left, KEY)
    assert list(agreement) == ["S4"]
    assert agreement["S4"] < 1.05
    each, log_y = OMEGA**2 + SIGMA**2 / 4, np.log(VALUES)
    precision = 1 / WIDE["w"].log_sd ** 2 + 4 / each
    covariance = (OMEGA**2 + 1 / precision) * np.ones((4, 4)) + SIGMA**2 * np.eye(4)
    middle = log_y[:4].mean(axis=1).sum() / each / precision
    exact = stats.multivariate_normal(np.full(4, middle), covariance).logpdf(log_y[4]) - log_y[4].sum()
    assert found.elpd[4] == pytest.approx(exact, abs=0.15)
    assert found.pareto_k[4] == 0
    np.testing.assert_array_equal(found.elpd[:4], left.elpd[:4])


def test_the_tree_of_a_population_is_labelled(problem, tree):
    posterior = tree["posterior"].to_dataset()
    assert posterior["omega"].dims == ("chain", "draw", "effect")
    assert posterior["subject_w"].dims == ("chain", "draw", "subject")
    assert list(posterior["subject"].values) == problem.cohort.labels
    assert tree["population_predictive"]["y"].dims[-1] == "obs_id"
    assert np.isfinite(tree["predictions"]["il6"]).all()
    table = summary(tree)
    assert {"w", "omega[w]"} <= set(table.index)
    assert not any("subject" in name for name in table.index)
    assert set(individuals(tree)["subject"]) == set(problem.cohort.labels)
    assert judge(tree, 1, 0).rhat_max < 1.05


def test_subjects_are_drawn_to_the_median(tree):
    """By the closed form of normal subjects with normal readings, and shrinkage says by how much."""
    posterior = tree["posterior"].to_dataset()
    own = np.log(posterior["subject_w"]).mean(("chain", "draw")).values
    median = float(np.log(posterior["w"]).mean())
    pull = OMEGA**2 / (OMEGA**2 + SIGMA**2 / 4)
    assert np.allclose(own, median + pull * (np.log(VALUES).mean(axis=1) - median), atol=0.05)
    assert np.isclose(shrinkage(tree)["w"], 1 - np.std(own, ddof=1) / OMEGA, atol=0.01)


def test_prediction_errors_of_a_right_model_are_standard_normal():
    """Readings drawn from the replicates' own distribution, with one that is censored."""
    draw = np.random.default_rng(5)
    common = draw.normal(0, OMEGA, (3000, 40, 1))
    log_y = common + draw.normal(0, SIGMA, (3000, 40, 4))
    people = [person(f"S{i}", [0.0, 1.0, 2.0, 3.0], np.exp(row)).data for i, row in enumerate(log_y[0])]
    data = joined(people)
    replicates = np.exp(log_y[1:]).reshape(1, 2999, -1)
    drawn = xr.Dataset(
        {"y": (("chain", "draw", "obs_id"), replicates), "okay": (("chain", "draw"), np.ones((1, 2999), bool))}
    )
    errors = prediction_errors(xr.DataTree.from_dict({"population_predictive": drawn}), data)
    assert stats.kstest(errors["npde"], "norm").pvalue > 0.01
    shifted = prediction_errors(xr.DataTree.from_dict({"population_predictive": drawn}), data.reading(data.value * 3))
    assert stats.kstest(shifted["npde"], "norm").pvalue < 1e-6


def test_the_mean_curve_of_the_others_leaves_the_subject_out(problem):
    log_y = np.log(VALUES)
    for i, density in enumerate(mean_curve(problem)):
        rest = np.delete(log_y, i, axis=0)
        middle, scale = rest.mean(axis=0), rest.std(axis=0, ddof=1) * np.sqrt(1 + 1 / (NUM - 1))
        assert np.isclose(density, np.sum(stats.t(NUM - 2, middle, scale).logpdf(log_y[i]) - log_y[i]))


def scattered(cens=None):
    """Forty subjects read once each, at forty times, of whom some are censored at 1."""
    y = np.exp(np.random.default_rng(1).normal(0, 1, 40))
    cens = np.zeros(40, int) if cens is None else np.where(cens * np.log(y) > 0, cens, 0)
    people = [person(f"S{i:02d}", [float(i)], [v if c == 0 else 1.0]) for i, (v, c) in enumerate(zip(y, cens, strict=True))]
    told = [dataclasses.replace(p.data, cens=np.array([c]), limit=np.ones(1)) for p, c in zip(people, cens, strict=True)]
    people = [dataclasses.replace(p, data=data) for p, data in zip(people, told, strict=True)]
    return Population(
        {"*": Arm(Level(), Scenario())}, Cohort(tuple(people)), WIDE, Variability({"w": SPREAD}), LogNormal()
    ), y


def test_the_mean_curve_of_readings_at_times_of_their_own_takes_the_nearest():
    problem, y = scattered()
    near = np.log(y[[i for i in range(15, 26) if i != 20]])  # five on each side of the twentieth
    told = stats.t(9, near.mean(), near.std(ddof=1) * np.sqrt(1.1))
    assert np.isclose(mean_curve(problem)[20], told.logpdf(np.log(y[20])) - np.log(y[20]))


@pytest.mark.parametrize("side", [-1, 1])
def test_the_mean_curve_allows_for_censored_readings(side):
    """Half lie beyond a limit at the middle of their distribution."""
    y = np.random.default_rng(2).normal(0.3, 1.0, 4000)
    beyond = side * y > 0
    mean, scale = _normal(np.where(beyond, 0.0, y), np.where(beyond, side, 0), free=True)
    assert abs(mean - 0.3) < 0.06
    assert abs(scale - 1.0) < 0.05
    problem, y = scattered(np.full(40, side))
    found = mean_curve(problem)
    assert np.all(np.isfinite(found))
    assert np.all(found[side * np.log(y) > 0] < 0)  # a probability
    assert found[side * np.log(y) > 0].mean() > -1.5


def test_a_curve_that_nothing_was_fitted_to_is_judged_by_how_far_the_others_lie_from_it(problem):
    curve = curves_of({"*": Arm(Level(w=jnp.array(2.0)), Scenario())}, problem)
    assert np.allclose(curve, np.log(2.0))
    off = np.log(VALUES) - np.log(2.0)
    for i, density in enumerate(given_curve(problem, curve)):
        scale = np.sqrt((np.delete(off, i, axis=0) ** 2).mean(axis=0))
        assert np.isclose(density, np.sum(stats.t(NUM - 1, 0, scale).logpdf(off[i]) - np.log(VALUES[i])))


def test_the_information_of_normal_readings_is_exact():
    """Prior and four readings of SD 0.5, and the curvature of a censored one by differences."""
    whole = Problem(Level(), Scenario(), readings([0.0, 1.0, 2.0, 3.0], [1.0] * 4), WIDE, KnownNoise())
    found = information(Density(whole), jnp.array([0.3]))
    assert np.allclose(found, 1 / WIDE["w"].log_sd ** 2 + 4 / 0.25)
    below = Problem(Level(), Scenario(), readings([0.0], [2.0], cens=[-1], limit=[2.0]), WIDE, LogNormal())
    density, x = Density(below), jnp.log(jnp.array([1.5, 0.4]))
    slope = lambda w: jax.grad(density.potential)(x.at[0].set(w))[0]  # noqa: E731
    assert np.isclose(information(density, x)[0, 0], (slope(x[0] + 1e-5) - slope(x[0] - 1e-5)) / 2e-5, rtol=1e-4)
    assert np.all(np.linalg.eigvalsh(covariance(density, -jnp.eye(2))) > 0)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Variability({}), "give `effects` at least one"),
        (lambda: Variability({"w": {"omga": 1}}), "`w` has no key `omga`; it has: omega, centred"),
        (lambda: Variability({"w": SPREAD}, correlation=-1.0), "`correlation` is -1.0"),
        (lambda: Covariate("w", "weight", kind="linear"), "choose from: power, exponential"),
        (lambda: Covariate("w", "weight", reference=0.0), "a power needs one above 0"),
        (lambda: LogNormal(nu=0.0), "`nu` of the noise is 0.0"),
        (
            lambda: Population(
                {"*": Arm(Level(), Scenario())}, Cohort((person("A", [0.0], [1.0]),)), WIDE, Variability({"v": SPREAD})
            ),
            "`v` differs between subjects but has no prior",
        ),
        (
            lambda: Population(
                {"two": Arm(Level(), Scenario())}, Cohort((person("A", [0.0], [1.0]),)), WIDE, Variability({"w": SPREAD})
            ),
            "subject 'A' of study 'one' has no arm; arms: two",
        ),
        (
            lambda: Population(
                {"*": Arm(Minimal(), Scenario())},
                Cohort((person("A", [0.0], [1.0], "crp"),)),
                Priors(k_l={"median": 1.0, "fold": 2}),
                Variability({"k_l": SPREAD}),
            ),
            "Minimal does not predict `crp`, which was read in subject 'A'",
        ),
    ],
)
def test_what_cannot_be_is_refused(build, words):
    with pytest.raises(ValueError, match=words.replace("*", r"\*")):
        build()


@pytest.fixture(scope="module")
def cohort_run(tmp_path_factory):
    """One short fit of three synthetic volunteers by the minimal model, from the command line."""
    from cytostorm.scripts.cli import run

    folder = tmp_path_factory.mktemp("cohort")
    rise = [1.0, 30.0, 700.0, 300.0, 30.0]
    rows = [(i, 2 * j, y * size) for i, size in enumerate((0.7, 1.0, 1.6)) for j, y in enumerate(rise)]
    lines = [f"S{i},{t},il6,{y:g},pg/mL" for i, t, y in rows]
    (folder / "table.csv").write_text("\n".join(["subject,time_h,analyte,value,unit", *lines]) + "\n")
    short = ["sampler=nuts_population", "sampler.num_warmup=20", "sampler.num_draws=20", "sampler.num_chains=2"]
    differ = ["+variability._target_=cytostorm.inference.Variability", "+variability.effects={k_l: {}, u0: {}}"]
    source = ["data=cohort", f"data.path={folder / 'table.csv'}"]
    assert run(["fit", *source, *differ, *short, f"hydra.run.dir={folder / 'run'}"]) == 0
    return folder / "run"


@pytest.mark.slow
def test_a_population_carries_its_checks(cohort_run):
    """Of every kind: it also draws cohorts from its prior."""
    table = pd.read_csv(cohort_run / "checks.csv").set_index("check")
    assert (table["result"] != "not made").all()
    assert len(pd.read_csv(cohort_run / "residuals.csv")) == 15
    assert (cohort_run / "checks.png").stat().st_size > 1000
    tree = load(cohort_run / "posterior.nc")
    assert tree["prior_predictive"]["y"].shape[1:] == (tree["prior_predictive"].sizes["draw"], 15)
    assert tree["prior_predictive"].sizes["draw"] > 400


@pytest.mark.parametrize(
    "name", ["individuals.csv", "left_out.csv", "coverage.csv", "npde.csv", "vpc.png", "spread.png", "individuals_il6.png"]
)
def test_a_fit_of_a_population_writes_what_it_knows_of_every_subject(cohort_run, name):
    assert (cohort_run / name).stat().st_size > 100


def test_the_table_of_a_population_has_the_spread_of_each_effect(cohort_run):
    table = pd.read_csv(cohort_run / "summary.csv", index_col="parameter")
    assert {"k_l", "omega[k_l]", "omega[u0]", "correlation[u0~k_l]", "sigma"} <= set(table.index)
    assert set(pd.read_csv(cohort_run / "individuals.csv")["subject"]) == {"S0", "S1", "S2"}


def test_a_fit_whose_draws_hardly_differ_is_not_compared_but_refused_in_words(cohort_run, tmp_path, capsys):
    from cytostorm.scripts.cli import run

    assert run(["diff", f"fits={{one: {cohort_run}, two: {cohort_run}}}", f"hydra.run.dir={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err
    assert "readings cannot be left out of one: hardly a draw differs" in error
    assert "Traceback" not in error


def test_the_report_of_a_population_shows_every_subject(cohort_run):
    text = (cohort_run / "report.html").read_text()
    views = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert views["curves"]["subjects"] == ["S0", "S1", "S2"]
    assert [s["subject"] for s in views["curves"]["series"]] == ["S0", "S1", "S2"]
    assert all(min(s["q5"]) > 0 for s in views["curves"]["series"])
    assert len(views["curves"]["readings"]) == 15
    assert [dose["what"] for dose in views["curves"]["doses"]["S1"]] == ["lps 2 at 0 h"]
    assert {"k_l", "omega[k_l]", "sigma"} <= {p["name"] for p in views["draws"]["parameters"]}
    assert len(views["draws"]["chain"]) == len(views["draws"]["parameters"][0]["draws"])


@pytest.mark.slow
def test_ranks_of_subjects_go_with_what_is_known_of_them():
    """Five subjects whose level follows one covariate exactly, another against it, and a third that few have."""
    known = [{"up": i, "down": -i * i, "same": 1.0} | ({"few": i} if i < 3 else {}) for i in range(5)]
    people = tuple(person(f"S{i}", [0.0, 1.0], [1.0, 1.0], covariates=x) for i, x in enumerate(known))
    problem = Population({"*": Arm(Level(), Scenario())}, Cohort(people), WIDE, Variability({"w": SPREAD}), KnownNoise())
    rng = np.random.default_rng(0)
    draws = NUTS(num_warmup=2, num_draws=2, num_chains=1, start=Starting("median", 4)).sample(problem, KEY)
    tree = assemble(problem, draws, KEY)
    level = np.arange(5.0) + 1 + 0.1 * rng.random((1, 2, 5))
    tree["posterior"] = tree["posterior"].to_dataset().assign(subject_w=(("chain", "draw", "subject"), level))
    found = related(tree).set_index("covariate")
    assert set(found.index) == {"up", "down"}
    assert found.loc["up", ["rank_correlation", "q5", "q95"]].tolist() == pytest.approx([1, 1, 1])
    assert found.loc["down", "rank_correlation"] == pytest.approx(-1)
    assert found.loc["up", "num_subjects"] == 5


def test_a_page_takes_up_the_results_of_a_population(cohort_run, tmp_path):
    from cytostorm.scripts.results import BEGIN, END, written

    page = tmp_path / "six.md"
    page.write_text(f"# Before\n{BEGIN}\nwhat was here\n{END}\nafter\n")
    text = written(cohort_run, page)
    assert text.startswith("# Before")
    assert text.endswith("after\n")
    assert "what was here" not in text
    assert "| omega[k_l] |" in text
    assert "readings lie inside their 90 % interval" in text
    assert (tmp_path / "six_vpc.png").read_bytes() == (cohort_run / "vpc.png").read_bytes()
    page.write_text("no marks")
    with pytest.raises(ValueError, match="has no place for results"):
        written(cohort_run, page)


def test_several_subjects_without_a_word_on_how_they_differ_are_refused(cohort_run, capsys):
    from cytostorm.scripts.cli import run

    path = cohort_run.parent / "table.csv"
    assert run(["fit", "data=cohort", f"data.path={path}"]) == 2
    assert "say how they differ with `variability=`" in capsys.readouterr().err


@pytest.mark.slow
def test_a_fit_of_a_population_is_predicted_for_a_subject_with_a_few_readings(cohort_run, tmp_path):
    from cytostorm.scripts.cli import run

    table = tmp_path / "new.csv"
    rows = ["A,0,il6,1,pg/mL", "A,2,il6,45,pg/mL", "A,4,il6,1000,pg/mL", "A,6,il6,400,pg/mL"]
    table.write_text("\n".join(["subject,time_h,analyte,value,unit", *rows]) + "\n")
    given = ["data=cohort", f"data.path={table}", "known_until_h=4", "num_times=9"]
    assert run(["predict", f"fit={cohort_run}", *given, f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    each = pd.read_csv(tmp_path / "run" / "subjects.csv").iloc[0]
    assert (each["num_known"], each["num_held_out"], each["num_failed"]) == (3, 1, 0)
    assert len(pd.read_csv(tmp_path / "run" / "held_out.csv")) == 1
