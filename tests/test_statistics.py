"""Priors, noise and problem: the densities are what they say."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import Level, readings
from hypothesis import given, settings
from hypothesis import strategies as st
from numpyro.infer.util import log_density, potential_energy
from scipy import stats
from scipy.integrate import quad

from cytostorm.inference import Density, LogNormal, Prior, Priors, Problem, bundled
from cytostorm.inference.observations import Observations
from cytostorm.models import Minimal, Scenario, Solver, bolus

KEY = jax.random.PRNGKey(0)
DEFAULT = Priors(gamma={"median": 1.0, "fold": 3}, k_l={"median": 1.0, "fold": 5}, u0={"median": 5000, "fold": 5})


def group(log_mean, spread, n) -> Observations:
    return Observations(
        ("G",), ("il6",), np.zeros(1), np.exp([log_mean]), np.zeros(1, int), np.ones(1), np.array([n]), np.array([spread])
    )


@given(st.floats(1e-3, 1e4), st.floats(1.1, 20))
def test_ninety_percent_of_a_prior_lies_within_its_fold(median, fold):
    cdf = Prior(median, fold).distribution.cdf(jnp.array([median / fold, median, median * fold]))
    np.testing.assert_allclose(cdf, [0.05, 0.5, 0.95], atol=1e-6)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"gamma": {"median": -1, "fold": 2}}, "prior of `gamma`: `median` of a prior is -1.0"),
        ({"gamma": {"median": 1, "fold": 1}}, "`fold` of a prior is 1.0; give a number above 1"),
        ({"gamma": {"median": 1}}, "prior of `gamma` has the keys median; give `median` and `fold`"),
        ({}, "no parameter has a prior"),
    ],
)
def test_impossible_priors_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        Priors(**config)


@given(st.floats(0.05, 2), st.floats(-3, 8), st.floats(-3, 8))
@settings(max_examples=40)
def test_the_density_of_a_reading_is_log_normal(sigma, log_f, log_y):
    data = readings([0.0], [np.exp(log_y)])
    got = LogNormal().log_density(jnp.array([log_f]), {"sigma": jnp.asarray(sigma)}, data)
    assert float(got[0]) == pytest.approx(
        stats.lognorm.logpdf(np.exp(log_y), sigma, scale=np.exp(log_f)), rel=1e-9, abs=1e-9
    )


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("distance", [-2.0, 0.0, 3.0, 40.0, 300.0])
def test_a_censored_tail_is_exact_and_has_a_gradient_however_far(side, distance):
    """The prediction lies `distance` standard deviations on the wrong side of the limit."""
    data = readings([0.0], [5.0], cens=[side], limit=[5.0])

    def density(shift):
        return LogNormal().log_density(jnp.log(5.0) + jnp.array([shift]) * 0.5, {"sigma": jnp.asarray(0.5)}, data)[0]

    value, slope = jax.value_and_grad(density)(-side * distance)
    assert float(value) == pytest.approx(stats.norm.logcdf(-distance), rel=1e-6)
    assert np.isfinite(slope)
    if distance > 1:
        assert side * float(slope) == pytest.approx(distance, rel=0.4)


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("distance", [-40.0, -2.0, 0.5, 3.0, 40.0])
def test_an_interval_is_exact_and_has_a_gradient_however_far(side, distance):
    """The truth is known to lie up to one standard deviation beyond the limit; the prediction is as above."""
    data = readings([0.0, 1.0], [5.0, 5.0], cens=[side, 0], limit=[5.0, 1.0])
    data = dataclasses.replace(data, bound=np.array([5.0 * np.exp(side * 0.5), 0.0]))

    def density(shift):
        return LogNormal().log_density(jnp.log(5.0) + jnp.full(2, shift) * 0.5, {"sigma": jnp.asarray(0.5)}, data)[0]

    value, slope = jax.value_and_grad(density)(-side * distance)
    top = np.clip(0.0, -distance - 1, -distance)  # where the density between the ends is highest
    area = quad(lambda x: np.exp((top**2 - x**2) / 2), -distance - 1, -distance, epsabs=0)[0]
    assert float(value) == pytest.approx(np.log(area / np.sqrt(2 * np.pi)) - top**2 / 2, rel=1e-9)
    assert np.isfinite(slope)


@pytest.mark.parametrize("n", [2, 9, 20])
def test_a_group_mean_has_the_t_density_that_integrates_its_spread_out(n):
    """Against numerical integration of n log-normal readings over tau with the prior 1/tau."""
    log_mean, spread = 1.3, 0.6
    taus = np.exp(np.linspace(np.log(1e-3), np.log(200), 40_001))

    def integrated(log_f):
        exponent = -((n - 1) * spread**2 + n * (log_mean - log_f) ** 2) / (2 * taus**2) - n * np.log(taus)
        return np.log(np.trapezoid(np.exp(exponent), np.log(taus)))

    data = group(log_mean, spread, n)
    got = [float(LogNormal().log_density(jnp.array([x]), {}, data)[0]) for x in (1.3, 0.9, 2.0)]
    want = [integrated(x) for x in (1.3, 0.9, 2.0)]
    np.testing.assert_allclose(np.diff(got), np.diff(want), rtol=1e-4)


def test_replicates_follow_the_density():
    data = readings([0.0, 0.0], [1.0, 1.0])
    keys = jax.random.split(KEY, 4000)
    draws = jax.vmap(lambda k: LogNormal().draw(k, jnp.array([0.5, 2.0]), {"sigma": jnp.asarray(0.3)}, data))(keys)
    for column, log_f in zip(np.asarray(draws).T, (0.5, 2.0), strict=True):
        assert stats.kstest(np.log(column), stats.norm(log_f, 0.3).cdf).pvalue > 1e-3
    mean = jax.vmap(lambda k: LogNormal().draw(k, jnp.array([0.5]), {}, group(0.0, 0.6, 9)))(keys)
    assert stats.kstest(np.log(np.asarray(mean)[:, 0]), stats.t(8, 0.5, 0.6 / 3).cdf).pvalue > 1e-3


def test_sigma_is_sampled_only_where_readings_inform_it():
    assert LogNormal().parameters(readings([0.0], [1.0])).keys() == {"sigma"}
    assert not LogNormal().parameters(group(0.0, 0.5, 9))


@pytest.fixture(scope="module")
def problem():
    data = bundled("endotoxemia_bolus", ["il6"], ["group_geometric_mean"])
    return Problem(Minimal(), Scenario(bolus("lps", 2.0)), data, DEFAULT)


def test_the_program_is_prior_plus_likelihood(problem):
    point = {"gamma": 1.2, "k_l": 0.8, "u0": 6000.0}
    values = {name: jnp.asarray(x) for name, x in point.items()}
    total, _ = log_density(problem.program, (), {}, values)
    log_f, okay = problem.read(values)
    likelihood = problem.noise.log_density(log_f, {}, problem.data).sum()
    prior = sum(stats.lognorm.logpdf(x, DEFAULT[n].log_sd, scale=DEFAULT[n].median) for n, x in point.items())
    assert okay
    assert float(total) == pytest.approx(prior + float(likelihood), rel=1e-5)


def test_the_gradient_of_the_potential_equals_finite_differences_all_over_the_prior(problem):
    potential = jax.jit(lambda z: potential_energy(problem.program, (), {}, z))
    slope = jax.jit(jax.grad(potential))
    keys = jax.random.split(KEY, 8)
    for key in keys:
        z = {n: jnp.log(DEFAULT[n].distribution.sample(k)) for k, n in zip(jax.random.split(key, 3), DEFAULT, strict=True)}
        got = slope(z)
        for name in z:
            up, down = ({**z, name: z[name] + h} for h in (1e-4, -1e-4))
            want = float(potential(up) - potential(down)) / 2e-4
            assert float(got[name]) == pytest.approx(want, rel=2e-3, abs=2e-3)


def test_no_proposal_however_adverse_gives_a_number_that_is_none(problem):
    """10,000 points from the prior to its far tails, infinities, values that are no numbers, the largest numbers."""
    rng = np.random.default_rng(0)
    shape = (10_000, len(DEFAULT))
    points = rng.standard_normal(shape) * rng.choice([1, 10, 100, 1e3, 1e5], (shape[0], 1))
    adverse = rng.choice([np.inf, -np.inf, np.nan, 1e308, -1e308, 0.0], shape)
    points = np.where(rng.random(shape) < 0.05, adverse, points)
    limited = Problem(problem.model, problem.scenario, problem.data, DEFAULT, solver=Solver(max_steps=300))
    density = Density(limited, block=64)
    both = jax.jit(jax.vmap(jax.value_and_grad(lambda x: density.energy(x, jnp.array(-1)))))
    spare = len(limited.sampled) - len(DEFAULT)
    values, slopes = both(jnp.asarray(np.concatenate([points, rng.standard_normal((shape[0], spare))], axis=1)))
    finite = np.isfinite(values)
    assert 500 < finite.sum() < 9500
    assert np.all(values[~finite] == np.inf)
    assert np.all(np.isfinite(slopes))
    assert np.all(slopes[~finite] == 0)
    assert density.failures[-1] == (~finite).sum()


def test_batched_potential_and_gradient_equal_the_loop(problem):
    potential = jax.value_and_grad(lambda z: potential_energy(problem.program, (), {}, z))
    draws = {n: jnp.log(DEFAULT[n].distribution.sample(KEY, (4,))) for n in DEFAULT}
    values, slopes = jax.jit(jax.vmap(potential))(draws)
    for i in range(4):
        value, slope = jax.jit(potential)({n: x[i] for n, x in draws.items()})
        np.testing.assert_allclose(values[i], value, rtol=1e-6)
        for name in slope:
            np.testing.assert_allclose(slopes[name][i], slope[name], rtol=1e-5, atol=1e-6)


class Cusp(Level):
    """A level whose value is finite where its derivative is not."""

    def observe(self, y):
        return {"il6": 1 + jnp.sqrt(jnp.abs(y[0] - 1))}


def test_a_derivative_that_is_not_finite_counts_as_a_failure():
    cusp = Problem(Cusp(), Scenario(), readings([0.0], [1.0]), Priors(w={"median": 1, "fold": 2}))
    z = {"w": jnp.asarray(0.0), "sigma": jnp.asarray(-1.0)}
    value, slope = jax.value_and_grad(lambda z: potential_energy(cusp.program, (), {}, z))(z)
    assert value == jnp.inf
    assert all(np.isfinite(x) for x in slope.values())


def test_a_failed_solve_has_no_density_and_no_gradient(problem):
    hopeless = Problem(problem.model, problem.scenario, problem.data, DEFAULT, solver=Solver(max_steps=2))
    z = {name: jnp.log(prior.median) for name, prior in hopeless.sampled.items()}
    value, slope = jax.value_and_grad(lambda z: potential_energy(hopeless.program, (), {}, z))(z)
    assert value == jnp.inf
    assert all(np.isfinite(x) for x in slope.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"priors": Priors(k_x={"median": 1, "fold": 2})}, "has no parameter `k_x`"),
        ({"data": readings([0.0], [1.0], "tnf")}, "does not predict `tnf`, which the data hold; it predicts: il6"),
        ({"scenario": Scenario(bolus("nonsense", 1.0))}, "takes no doses to `nonsense`"),
    ],
)
def test_problems_that_do_not_fit_together_are_refused(change, message):
    parts = {"model": Minimal(), "scenario": Scenario(), "data": readings([0.0, 1.0], [1.0, 1.0]), "priors": DEFAULT}
    with pytest.raises(ValueError, match=message):
        Problem(**(parts | change))


def test_readings_at_one_time_share_one_solve():
    problem = Problem(Level(), Scenario(), readings([0.0, 1.0, 1.0], [1.0, 2.0, 3.0]), Priors(w={"median": 1, "fold": 2}))
    assert problem.prepared.times.size == 2
    log_f, _ = problem.predict({"w": jnp.asarray(2.0)})
    np.testing.assert_allclose(log_f, np.log(2.0) * np.ones(3))


@given(st.floats(-2, 2), st.floats(0.1, 2), st.sampled_from([-1, 0, 1]))
@pytest.mark.slow
def test_heavy_tails_are_students_and_have_a_slope_everywhere(log_f, sigma, cens):
    data = readings([0.0], [2.0], cens=[cens], limit=[2.0])
    noise = LogNormal(nu=4.0)
    density = lambda f: noise.log_density(f, {"sigma": jnp.array(sigma)}, data)[0]  # noqa: E731
    exact = stats.t(4, log_f, sigma)
    x = np.log(2.0)
    expected = {-1: exact.logcdf(x), 0: exact.logpdf(x) - x, 1: exact.logsf(x)}[cens]
    assert np.isclose(density(jnp.array([log_f])), expected, rtol=1e-9, atol=1e-12)
    assert np.all(np.isfinite(jax.jacfwd(jax.grad(density))(jnp.array([log_f]))))


class Broken(LogNormal):
    """Noise whose density is finite and whose slope is not."""

    def log_density(self, log_f, parameters, data, scatter=1.0):
        return super().log_density(log_f, parameters, data, scatter) + jnp.sqrt(jnp.abs(log_f - log_f))


def test_a_slope_that_is_not_finite_makes_the_density_zero_and_is_counted():
    problem = Problem(Level(), Scenario(), readings([0.0], [1.5]), Priors(w={"median": 1.0, "fold": 5}), Broken())
    density = Density(problem)
    value, slope = jax.value_and_grad(density.potential)(jnp.zeros(2))
    jax.effects_barrier()
    assert value == np.inf
    assert np.all(slope == 0)
    assert density.failures[-1] == 1


def test_densities_of_one_program_count_apart():
    """Fits side by side share what is compiled, and have as many chains as they like."""
    problem = Problem(Level(), Scenario(), readings([0.0], [1.5]), Priors(w={"median": 1.0, "fold": 5}), Broken())
    shared = Density(problem)
    first, second = Density.of(shared, 1), Density.of(shared, 3)
    slope = jax.jit(lambda density, chain: jax.value_and_grad(density.energy)(jnp.zeros(2), chain))
    for density, chain in ((first, 0), (second, 2), (second, -1), (second, 2)):
        slope(density, chain)
    jax.effects_barrier()
    assert first.failures.tolist() == [1, 0]
    assert second.failures.tolist() == [0, 0, 2, 1]
    assert shared.failures.tolist() == [0]


def test_each_analyte_may_have_a_scatter_of_its_own():
    data = dataclasses.replace(readings([0.0, 0.0], [2.0, 2.0]), analyte=("il6", "tnf"))
    noise = LogNormal(per_analyte=True)
    assert list(noise.parameters(data)) == ["sigma_il6", "sigma_tnf"]
    found = noise.log_density(jnp.zeros(2), {"sigma_il6": jnp.array(0.2), "sigma_tnf": jnp.array(0.5)}, data)
    exact = [stats.norm(0, s).logpdf(np.log(2.0)) - np.log(2.0) for s in (0.2, 0.5)]
    assert np.allclose(found, exact)
