"""Rates of false alarms of what the checks of a fit count together: in closed form, over thousands of data sets."""

import numpy as np
import pytest
from scipy import stats
from test_checks import NUM, SHAPE, SIGMA, not_too_often

from cytostorm.inference.checking import residuals
from cytostorm.inference.checking.readings import outlier


@pytest.mark.parametrize(("p", "made"), [(1e-6, 2e-6), (0.01, 0.02), (0.7, 1.0)])
def test_p_values_that_agree_are_combined_to_twice_what_they_are(p, made):
    assert np.isclose(residuals.combined(np.full(50, p)), made)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.7, 0.99])
def test_combined_p_values_keep_the_level_however_strongly_they_go_together(rho):
    rng, found = np.random.default_rng(8), []
    for _ in range(4000):
        z = rho**0.5 * rng.standard_normal() + (1 - rho) ** 0.5 * rng.standard_normal(200)
        found.append(residuals.combined(stats.norm.cdf(z)))
    not_too_often(found, levels=(0.1, 0.05, 0.01))


@pytest.mark.parametrize("level", [0.1, 0.05, 0.01])
def test_combined_p_values_keep_the_level_where_they_conspire(level):
    """Uniform each, but the small ones come together, and are then just enough: a factor below two would not do."""
    rng, num, first, found = np.random.default_rng(9), 201, [], []
    for _ in range(4000):
        p = rng.uniform(level / 2, 1, num)
        if rng.random() < level / 2 * num / 101:
            p[rng.permutation(num)[:101]] = rng.uniform(0, level / 2, 101)
        first.append(p[0])
        found.append(residuals.combined(p))
    assert stats.kstest(first, "uniform").pvalue > 1e-3
    not_too_often(found, levels=(0.1, 0.05, 0.01))
    assert np.mean(np.array(found) <= level) > 0.6 * level


def test_an_outlier_is_found_as_often_as_is_said_where_there_is_none():
    """Chances of left-out readings of a linear model, which depend on each other, in closed form."""
    rng = np.random.default_rng(10)
    y = rng.standard_normal((4000, 3)) @ SHAPE.T + SIGMA * rng.standard_normal((4000, NUM))
    joint = np.linalg.inv(SHAPE @ SHAPE.T + SIGMA**2 * np.eye(NUM))
    pit = stats.norm.cdf(y @ joint / np.sqrt(np.diag(joint)))
    found = np.array([outlier(row)[0] for row in pit])
    not_too_often(found)
    assert np.mean(found <= 0.05) > 0.03  # and it is no test that never speaks
