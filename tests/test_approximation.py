"""Approximations: their weights, the paths of Pathfinder, and whether they are right wherever they begin."""

import jax
import numpy as np
import pytest
from picks import some
from posteriors import closed_form

from cytostorm.inference import SVI, Laplace, Pathfinder, Starting
from cytostorm.inference.samplers.pathfinder import along
from cytostorm.inference.samplers.starts import METHODS, Path
from cytostorm.inference.samplers.weights import smoothed


def proposals(seed, mean, sd, num=5000):
    """Draws of a normal proposal for the standard normal distribution, and the logarithms of their weights."""
    x = np.random.default_rng(seed).normal(mean, sd, num)
    return x, -0.5 * x**2 + 0.5 * ((x - mean) / sd) ** 2 + np.log(sd)


@pytest.mark.parametrize("seed", range(4))
def test_weights_restore_what_the_proposal_misses(seed):
    x, ratio = proposals(seed, 0.5, 1.2)
    weights, shape = smoothed(ratio)
    effective = 1 / np.sum(weights**2)
    assert effective > 3000
    assert abs(weights @ x) < 4 / np.sqrt(effective)
    assert abs(np.sqrt(weights @ x**2) - 1) < 4 / np.sqrt(2 * effective)
    assert shape < 0.5


@pytest.mark.parametrize("seed", range(4))
def test_the_shape_of_the_tail_tells_a_proposal_that_is_too_narrow(seed):
    """The weights of a proposal of variance v have a tail of shape 1 - v."""
    assert smoothed(proposals(seed, 0.0, 0.3)[1])[1] > 0.7
    assert smoothed(proposals(seed, 0.0, 0.8)[1])[1] < 0.7


def test_weights_without_a_tail_are_whole():
    weights, shape = smoothed(np.full(400, -3.0))
    np.testing.assert_allclose(weights, 1 / 400)
    assert shape == 0
    weights, shape = smoothed(np.where(np.arange(400) < 300, 0.0, -np.inf))
    np.testing.assert_allclose(weights[:300], 1 / 300)
    assert weights[300:].max() < 1e-300
    assert shape == 0
    weights, shape = smoothed(np.where(np.arange(400) < 2, 0.0, -np.inf))
    assert np.all(np.isfinite(weights))
    assert shape > 0.7  # two draws are no posterior


def test_a_path_learns_the_curvature():
    """Steps of conjugate gradients on a quadratic energy: after one along each direction BFGS has its inverse."""
    curvature = np.array([[4.0, 1.0, 0.0], [1.0, 9.0, 2.0], [0.0, 2.0, 2.0]])
    x, steps = np.array([1.0, -2.0, 0.5]), []
    gradient = curvature @ x
    direction = -gradient
    for _ in range(4):
        steps.append(x)
        x = x + (gradient @ gradient) / (direction @ curvature @ direction) * direction
        after = curvature @ x
        direction, gradient = after @ after / (gradient @ gradient) * direction - after, after
    position = np.stack(steps)
    path = Path(position, 0.5 * np.sum(position @ curvature * position, axis=1), position @ curvature)
    last = along(path, np.ones(3))[-1]
    np.testing.assert_allclose(last.root @ last.root.T, np.linalg.inv(curvature), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(last.mean, 0, atol=1e-9)


def test_a_step_without_curvature_teaches_nothing():
    flat = Path(np.array([[0.0], [1.0]]), np.zeros(2), np.array([[1.0], [1.0]]))
    assert along(flat, np.ones(1)) == []


@pytest.mark.parametrize("method", some(METHODS, []))
def test_pathfinder_is_right_wherever_its_paths_begin(method, conjugate):
    """At modes and medians too, where a path begins at its end."""
    sampler = Pathfinder(num_draws=600, num_paths=2, start=Starting(method, num_screened=32, num_climbs=2))
    mean, sd = closed_form()
    for seed in range(3):
        draws = sampler.sample(conjugate, jax.random.PRNGKey(seed))
        log_w = np.log(draws.values["w"])
        assert abs(log_w.mean() - mean) < 4 * sd / np.sqrt(600)
        assert abs(log_w.std() / sd - 1) < 4 / np.sqrt(2 * 600)
        assert draws.facts["pareto_k"] < 0.7
        assert draws.facts["weights_ess"] > 600
        assert draws.num_failed == 0


@pytest.mark.parametrize("make", [lambda **x: Laplace(**x), lambda **x: SVI(**x)])
def test_what_begins_at_modes_refuses_starts_without_them(make):
    with pytest.raises(ValueError, match=r"`start.method` is 'median'; \w+ begins at modes: give laplace"):
        make(start=Starting("median"))
