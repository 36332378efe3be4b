"""What a population's readings tell, against the covariance matrix of all readings of a subject at once."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import person
from numpyro.handlers import seed, substitute, trace
from posteriors import VALUES, WIDE, hierarchy
from scipy.stats import multivariate_normal, norm

from cytostorm.inference import Arm, Cohort, Covariate, Effect, LogNormal, Population, Prior, Priors, Variability
from cytostorm.inference.identifiability import shared
from cytostorm.inference.identifiability.information import Everywhere
from cytostorm.inference.identifiability.marginal import Marginal, axes_of_shared
from cytostorm.inference.identifiability.profile import profiles
from cytostorm.inference.quantities import of_prior, quantities
from cytostorm.models import Minimal, Scenario, bolus

PEOPLE, SPREAD = 5, Prior(0.4, 2.0)


def seen(problem: Population, x: np.ndarray) -> shared.Shared:
    """What is told at places, with the prior's spread as it is written."""
    spread = problem.sites.common.spread
    return Everywhere(lambda problem, x: shared.told(problem, x, spread), problem)(x)


def places(problem: Population, num: int) -> np.ndarray:
    """Places of some prior draws."""
    position = of_prior(problem, jax.random.PRNGKey(0), num)
    theta = np.stack([np.asarray(problem.individual(problem.sites.values(x))) for x in jnp.asarray(position)])
    return shared.places(position[:, problem.sites.shared], theta)


def test_a_hierarchy_of_levels_tells_its_median_and_its_spread():
    """With n readings of variance v each, the mean of a person scatters by v/n + omega^2."""
    problem = hierarchy([VALUES] * PEOPLE, Effect(SPREAD))
    x = places(problem, 4)
    omega = np.exp(x[:, 1])
    mean = 1 / (0.25 / len(VALUES) + omega**2)
    found = seen(problem, x)
    assert found.okay.all()
    np.testing.assert_allclose(found.information[:, 0, 0], PEOPLE * mean, rtol=1e-6)
    np.testing.assert_allclose(found.information[:, 1, 1], 2 * PEOPLE * (omega**2 * mean) ** 2, rtol=1e-6)
    np.testing.assert_allclose(found.information[:, 0, 1], 0, atol=1e-9)
    # A person's own level: what its readings leave of its distance from the median, and that of the median.
    alone = 1 / (omega**-2 + len(VALUES) / 0.25)
    median = 1 / (PEOPLE * mean + WIDE["w"].log_sd ** -2)
    share = alone / omega**2
    np.testing.assert_allclose(found.left[:, 2, 0, 0], alone + share**2 * median, rtol=1e-6)


def unlike(nu: float | None = None, censored: bool = False) -> Population:
    """People who differ in two correlated parameters, read in two studies; one is the mean of four, one partly censored."""
    times = [0.5, 1.0, 2.0, 3.0, 5.0]
    people = [person(f"S{i}", times[: 3 + i], [5.0] * (3 + i), covariates={"weight": 60.0 + 9 * i}) for i in range(3)]
    if censored:
        data = dataclasses.replace(people[2].data, cens=np.array([-1, 0, 0, 0, 1]), limit=np.array([2.0, 1, 1, 1, 5.0]))
        people[2] = dataclasses.replace(people[2], data=data)
    other = person("S3", times, [5.0] * 5, study="two", covariates={"weight": 80.0})
    data = dataclasses.replace(other.data, n=np.full(5, 4), spread=np.full(5, 0.3))
    other = dataclasses.replace(other, data=data)
    return Population(
        {"*": Arm(Minimal(), Scenario(bolus("lps", 2.0)))},
        Cohort((*people, other)),
        Priors(k_l={"median": 1.0, "fold": 2}, u0={"median": 9000.0, "fold": 2}, k_m={"median": 2.0, "fold": 2}),
        Variability(
            {"k_l": Effect(SPREAD), "u0": Effect(SPREAD, centred=True)},
            covariates=[Covariate("k_l", "weight", 70.0, sd=0.5)],
            assay=Prior(1.0, 2.0),
        ),
        LogNormal(per_analyte=True, nu=nu),
    )


def normal(problem: Population, point: np.ndarray, by: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of all log-readings where predictions are linear about a place, what is shared moved by `by`."""
    size = problem.sites.common.size
    theta = jnp.asarray(point[size:].reshape(len(problem.cohort), -1))
    values = problem.sites.common.values(jnp.asarray(point[:size] + by))
    log_f, jacobian, _ = problem.linearize(theta)
    away = shared.centre(problem, values) - theta
    mean = problem.assays.read(log_f + jnp.einsum("op,op->o", jacobian, away[problem.owner]), values)
    root = np.asarray(values["omega"])[:, None] * np.asarray(values["root"])
    along = np.asarray(jacobian)[:, :2] * problem.weight[problem.owner][:, None]
    between = (along @ root @ root.T @ along.T) * (problem.owner[:, None] == problem.owner)
    return np.asarray(mean), between + np.diag((float(values["sigma_il6"]) * problem.scatter) ** 2)


def test_the_information_is_that_of_the_normal_distribution_of_all_readings():
    """By the matrices of all readings at once, with derivatives by differences."""
    problem = unlike()
    x = places(problem, 2)
    found, size = seen(problem, x), problem.sites.common.size
    assert problem.weight.tolist() == [1.0, 1.0, 1.0, 0.5]
    for point, information in zip(x, found.information, strict=True):
        sides = [(normal(problem, point, h), normal(problem, point, -h)) for h in 1e-5 * np.eye(size)]
        mean = np.stack([(a[0] - b[0]) / 2e-5 for a, b in sides], axis=1)
        spread = [(a[1] - b[1]) / 2e-5 for a, b in sides]
        inverse = np.linalg.inv(normal(problem, point)[1])
        whole = mean.T @ inverse @ mean
        whole += [[np.trace(inverse @ p @ inverse @ q) / 2 for q in spread] for p in spread]
        scale = np.sqrt(np.diag(whole))
        np.testing.assert_allclose(information / np.outer(scale, scale), whole / np.outer(scale, scale), atol=2e-4)


def test_the_likelihood_of_what_is_shared_is_that_of_the_normal_distribution_of_all_readings():
    """With its slope, by differences, and the same information as at the place."""
    problem = unlike()
    (point,), size = places(problem, 1), problem.sites.common.size
    look = Marginal(problem, point)
    log_y = np.log(problem.data.value)

    def height(by: np.ndarray | float = 0.0) -> float:
        mean, covariance = normal(problem, point, by)
        return float(multivariate_normal(mean, covariance).logpdf(log_y) - log_y.sum())

    found = look(point[None, :size])
    assert found.okay.all()
    assert found.log_likelihood[0] == pytest.approx(height(), rel=1e-8)
    slope = [(height(h) - height(-h)) / 2e-4 for h in 1e-4 * np.eye(size)]
    np.testing.assert_allclose(found.slope[0], slope, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.information[0], seen(problem, point[None]).information[0], rtol=1e-6, atol=1e-8)


@pytest.mark.slow
def test_the_likelihood_of_what_is_shared_has_its_slope_with_other_noise_and_censored_readings():
    """Laplace's: but for how the curvature turns as the best effects move, which costs a climb a hundredth of a nat."""
    problem = unlike(nu=4.0, censored=True)
    (point,), size = places(problem, 1), problem.sites.common.size
    look, step = Marginal(problem, point), 1e-4 * np.eye(size)
    found = look(point[None, :size])
    assert found.okay.all()
    sides = look(np.concatenate([point[:size] + step, point[:size] - step])).log_likelihood.reshape(2, -1)
    np.testing.assert_allclose(found.slope[0], (sides[0] - sides[1]) / 2e-4, rtol=0.1, atol=0.1)


def test_the_profile_of_a_spread_that_nothing_tells_is_open_below():
    """People who are all alike: their median has a parabola, their spread may be nothing."""
    problem = hierarchy([VALUES] * PEOPLE, Effect(Prior(0.4, 5.0)))
    (point,), common = places(problem, 1), problem.sites.common
    axes = axes_of_shared(problem, common.spread)
    (median, omega), _ = profiles(Marginal(problem, point), axes, common.centre[None], 9)
    assert (median.name, median.kind) == ("w", "bounded")
    assert (omega.name, omega.kind) == ("omega[w]", "bounded above")
    # Where they are alike, all readings have one mean.
    error = 0.5 / np.sqrt(PEOPLE * len(VALUES))
    mean = np.log(VALUES).mean()
    np.testing.assert_allclose(np.log([median.low, median.high]), mean + np.array([-1, 1]) * 1.96 * error, atol=0.05)


def test_what_may_be_negative_has_no_profile():
    """A position holds the logarithm of what has one; noise and correlations alone keep their priors."""
    problem = unlike()
    axes = axes_of_shared(problem, problem.sites.common.spread)
    told = {name: (bool(shown), bool(loose)) for name, shown, loose in zip(axes.names, axes.shown, axes.loose, strict=True)}
    assert told["k_l"] == told["omega[u0]"] == told["assay[two:il6]"] == (True, True)
    assert told["sigma_il6"] == (True, False)
    assert told["partial_correlation[u0~k_l]"] == (False, False)
    assert told["beta_k_l_weight"] == (False, True)


def test_a_subject_alone_is_predicted_as_in_its_population():
    problem = unlike()
    (x,) = places(problem, 1)
    theta = jnp.asarray(x[problem.sites.common.size :].reshape(len(problem.cohort), -1))
    log_f, _, _ = problem.linearize(theta)
    for number in (0, 3):
        single = problem.alone(number)
        own, okay = single.read(dict(zip(problem.priors, jnp.exp(theta[number]), strict=True)))
        assert okay
        np.testing.assert_allclose(own, log_f[problem.owner == number], rtol=1e-4)


def test_heights_are_those_of_the_program():
    """The prior of what is shared, over its position, and the likelihood at the subjects' parameters."""
    problem = hierarchy([VALUES] * PEOPLE, Effect(SPREAD))
    x = places(problem, 3)
    prior, likelihood = Everywhere(shared.heights, problem)(x)
    median = norm(np.log(WIDE["w"].median), WIDE["w"].log_sd).logpdf(x[:, 0])
    omega = norm(np.log(SPREAD.median), SPREAD.log_sd).logpdf(x[:, 1])
    np.testing.assert_allclose(prior, np.stack([median, omega], axis=1), rtol=1e-6)
    log_y = np.log(VALUES)
    there = [sum(np.sum(norm(level, 0.5).logpdf(log_y) - log_y) for level in row) for row in x[:, 2:]]
    np.testing.assert_allclose(likelihood, there, rtol=1e-6)


def test_heights_of_all_numbers_are_those_of_the_priors_in_the_program():
    """Correlations, factors and coefficients among them."""
    problem = unlike()
    common, (x,) = problem.sites.common, places(problem, 1)
    values = common.values(jnp.asarray(x[: common.size]))
    found = trace(seed(substitute(problem.latent, values), jax.random.PRNGKey(0))).get_trace()
    whole = sum(jnp.sum(found[name]["fn"].log_prob(values[name])) for name in common.parts)
    prior, _ = Everywhere(shared.heights, problem)(x[None])
    assert prior.sum() == pytest.approx(float(whole + common.log_volume(jnp.asarray(x[: common.size]))))  # one correlation


def test_quantities_have_the_order_of_places():
    problem = unlike()
    names = [q.name for q in quantities(problem)]
    assert [q.entry for q in quantities(problem)] == problem.sites.shared.tolist()
    assert names[:4] == ["k_l", "u0", "k_m", "sigma_il6"]
    assert len(names) == problem.sites.common.size == 9
