"""Posteriors with known answers for the tests of samplers, and a run that is stopped halfway."""

from typing import Any

import jax
import numpy as np
import pytest
from catalogue import Blowup, KnownNoise, Level, person, readings
from numpyro.diagnostics import effective_sample_size

from cytostorm.inference import (
    Arm,
    Blocks,
    Cohort,
    Draws,
    Effect,
    Interrupted,
    Population,
    Priors,
    Problem,
    Sampler,
    Variability,
)
from cytostorm.models import Scenario, Solver

VALUES = [1.3, 2.2, 0.9, 1.8]
WIDE = Priors(w={"median": 1.0, "fold": 5})


def conjugate() -> Problem:
    """Four normal readings of SD 0.5 of the logarithm of a level, whose prior is normal."""
    return Problem(Level(), Scenario(), readings([0.0, 1.0, 2.0, 3.0], VALUES), WIDE, KnownNoise())


def hierarchy(rows: Any, effect: Effect) -> Population:
    """Levels of people, normal around a median, read four times: where the spread is known, with a closed form."""
    people = tuple(person(f"S{i}", [0.0, 1.0, 2.0, 3.0], row) for i, row in enumerate(rows))
    return Population({"*": Arm(Level(), Scenario())}, Cohort(people), WIDE, Variability({"w": effect}), KnownNoise())


def closed_form() -> tuple[float, float]:
    """Mean and SD of log w in the posterior of `conjugate`."""
    precision = 1 / WIDE["w"].log_sd ** 2 + len(VALUES) / 0.25
    return float(np.log(VALUES).sum() / 0.25 / precision), float(precision**-0.5)


def agree(draws: np.ndarray, mean: float, sd: float, least: float) -> float:
    """Claim that draws have this mean and SD, to four standard errors, and are worth at least so many; returns how many."""
    effective = effective_sample_size(draws)
    assert effective > least
    assert abs(draws.mean() - mean) < 4 * sd / np.sqrt(effective)
    assert abs(draws.std() / sd - 1) < 4 / np.sqrt(2 * effective)
    return effective


def explosive(median: float = 1.0, value: float = 0.9) -> Problem:
    """A level that cannot be solved above 1, where about half of its prior lies."""
    data, priors = readings([0.0, 9.0], [value, value]), Priors(w={"median": median, "fold": 3})
    return Problem(Blowup(), Scenario(), data, priors, KnownNoise(), Solver(max_steps=200))


def continued(sampler: Sampler, problem: Problem, key: jax.Array, folder) -> Draws:
    """The draws of a run that was stopped halfway and continued."""
    blocks = Blocks(folder)

    def stop_halfway(done, total):
        blocks.stop = done >= total / 2

    with pytest.raises(Interrupted, match="stopped"):
        sampler.sample(problem, key, stop_halfway, blocks)
    return sampler.sample(problem, key, blocks=Blocks(folder))
