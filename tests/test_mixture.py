"""Mixtures of Student's t distributions: densities, draws, fits to weighted points; the density without slopes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from posteriors import explosive
from scipy import stats

from cytostorm.inference import Density
from cytostorm.inference.samplers.independence import _heated, _judged
from cytostorm.inference.samplers.mixture import DEGREES, Mixture, fitted

TWO = Mixture(
    np.array([0.3, 0.7]),
    np.array([[0.0, 1.0], [3.0, -2.0]]),
    np.array([[[1.0, 0.0], [0.5, 0.8]], [[0.4, 0.0], [-0.2, 0.6]]]),
)


def test_the_density_is_that_of_its_parts():
    x = np.random.default_rng(0).normal(1.0, 2.0, (50, 2))
    parts = [stats.multivariate_t(m, r @ r.T, DEGREES).pdf(x) for m, r in zip(TWO.centre, TWO.root, strict=True)]
    np.testing.assert_allclose(np.exp(TWO.log_density(x)), TWO.share @ parts, rtol=1e-12)
    several = Mixture.of([TWO, TWO], [0.25, 0.75])
    np.testing.assert_allclose(several.log_density(x), TWO.log_density(x), rtol=1e-12)
    assert several.share.sum() == pytest.approx(1)


def test_draws_have_the_moments_of_the_mixture():
    x = TWO.draw(np.random.default_rng(1), 200_000)
    mean = TWO.share @ TWO.centre
    within = np.einsum("k,kij,klj->il", TWO.share, TWO.root, TWO.root) * DEGREES / (DEGREES - 2)
    off = TWO.centre - mean
    np.testing.assert_allclose(x.mean(axis=0), mean, atol=0.02)
    np.testing.assert_allclose(np.cov(x.T), within + (off.T * TWO.share) @ off, atol=0.05)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_fit_finds_what_points_were_drawn_from(weighted):
    """From the mixture itself, or from a wide distribution with its weights: nearly all points of the fit count."""
    rng = np.random.default_rng(2)
    wide = Mixture(np.ones(1), np.array([[2.0, -1.0]]), 2.5 * np.eye(2)[None])
    x = (wide if weighted else TWO).draw(rng, 20_000)
    weight = np.exp(TWO.log_density(x) - wide.log_density(x)) if weighted else np.ones(len(x))
    found = fitted(x, weight / weight.sum(), 4, rng)
    fresh = found.draw(rng, 20_000)
    ratio = np.exp(TWO.log_density(fresh) - found.log_density(fresh))
    assert ratio.mean() == pytest.approx(1, abs=0.02)
    assert ratio.sum() ** 2 / (ratio**2).sum() > 0.9 * len(ratio)


def test_few_points_make_few_parts():
    rng = np.random.default_rng(3)
    x = TWO.draw(rng, 500)
    weight = np.where(np.arange(500) < 40, 1 / 40, 0.0)
    assert len(fitted(x, weight, 16, rng).share) == 1


def test_the_likelihood_is_raised_as_far_as_enough_points_count():
    rng = np.random.default_rng(4)
    x = rng.standard_normal(4000)
    likelihood = stats.norm.logpdf(x, 2.0, 0.05)
    power, weight = _heated(np.zeros(4000), likelihood, 1e-6, 400)
    assert 1e-6 < power < 1
    assert 1 / np.sum(weight**2) >= 400
    more, _ = _heated(np.zeros(4000), likelihood, 1e-6, 200)
    assert more > power
    power, weight = _heated(np.zeros(4000), np.where(x > 0, -1.0, -np.inf), 1e-6, 400)
    assert power == 1
    assert not weight[x <= 0].any()


def test_weights_are_judged():
    """Of draws of a normal distribution for another: the evidence is 1, and only a tail that is too thin is told."""
    x = np.random.default_rng(5).standard_normal(20_000)
    good = _judged(stats.norm.logpdf(x, 0.1, 0.9) - stats.norm.logpdf(x))
    assert good["log_evidence"] == pytest.approx(0, abs=4 * good["log_evidence_se"])
    assert good["pareto_k"] == 0
    bad = _judged(stats.norm.logpdf(x, 0.0, 4.0) - stats.norm.logpdf(x))
    assert bad["pareto_k"] > 0.7


def test_heights_are_the_density_without_slopes():
    problem = explosive()
    density = Density(problem, 2)
    x = np.random.default_rng(6).normal(0.0, 1.0, (70, problem.sites.size))
    prior, likelihood = density.heights(x, np.arange(70) % 2)
    expected = -np.array([float(density.potential(jnp.asarray(one))) for one in x])
    jax.effects_barrier()
    fine = np.isfinite(expected)
    assert 10 < fine.sum() < 60
    np.testing.assert_allclose((prior + likelihood)[fine], expected[fine], rtol=1e-6)
    assert not np.isfinite(likelihood[~fine]).any()
    assert density.failures[:2].tolist() == [int((~fine[::2]).sum()), int((~fine[1::2]).sum())]
    assert density.failures[2] == (~fine).sum()
    many = density.heights(np.tile(x, (10, 1)), np.full(700, -1))  # in a larger program
    np.testing.assert_allclose(np.sum(many, axis=0)[-70:][fine], expected[fine], rtol=1e-6)
