"""Data sets with known truth."""

from collections.abc import Mapping, Sequence

import equinox as eqx
import jax
import numpy as np
import pandas as pd
from jaxtyping import Array, Float, PRNGKeyArray

from cytostorm.models import Model, Scenario, Solver, constant, derivations, replace, simulate, values

from .analyte import UNITS
from .keys import root
from .observations import Observations, observations


class Synthetic(eqx.Module):
    """How to draw a data set: when and what is read, how it scatters, what the assay cannot see, and the truth.

    `truth` holds the model parameters that differ from the model's own values; `sigma` is the SD of
    log-readings; readings below `lower_limit` or above `upper_limit` are censored there.
    """

    times_h: Sequence[float] = eqx.field(static=True)
    analytes: Sequence[str] = eqx.field(default=("il6",), static=True)
    sigma: float = eqx.field(default=0.15, static=True)
    lower_limit: float | None = eqx.field(default=None, static=True)
    upper_limit: float | None = eqx.field(default=None, static=True)
    num_subjects: int = eqx.field(default=1, static=True)
    seed: int = eqx.field(default=1, static=True)
    truth: Mapping[str, float] = eqx.field(default_factory=dict, static=True)

    def __check_init__(self) -> None:
        if not self.sigma > 0:
            raise ValueError(f"`sigma` of synthetic data is {self.sigma}; give a positive number")
        if self.num_subjects < 1:
            raise ValueError(f"`num_subjects` of synthetic data is {self.num_subjects}; give 1 or more")
        if len(self.times_h) == 0 or min(self.times_h) < 0:
            raise ValueError(f"`times_h` of synthetic data is {list(self.times_h)}; give times of 0 h or later")

    def true_model(self, model: Model) -> Model:
        """The model that makes the data. Raises `ValueError` if `truth` names no parameter of `model`."""
        return replace(model, {name: constant(value, float) for name, value in self.truth.items()})

    def truth_of(self, model: Model) -> dict[str, float]:
        """Every parameter and derived quantity of the truth, and the noise, by name."""
        true = self.true_model(model)
        derived = jax.jit(lambda model: {name: getattr(model, name) for name in derivations(model)})(true)
        known = values(true) | derived | {"sigma": self.sigma}
        return {name: float(value) for name, value in known.items()}

    def draw(self, model: Model, scenario: Scenario, solver: Solver) -> Observations:
        """Draw the readings; every subject shares one truth.

        Raises `ValueError` if the truth cannot be solved or an analyte is not one of the model.
        """
        times = np.unique(np.asarray(self.times_h, float))
        truth = self.true_model(model)
        trajectory = simulate(truth, scenario, times, solver)
        if not trajectory.okay:
            raise ValueError(f"the truth {dict(self.truth)} cannot be solved; change it or raise `solver.max_steps`")
        read = jax.jit(lambda trajectory, model: trajectory.observe(model))(trajectory, truth)
        if unknown := [a for a in self.analytes if a not in read]:
            raise ValueError(f"the model does not predict `{unknown[0]}`; it predicts: {', '.join(read)}")
        noise = np.asarray(jax.jit(lambda key: self._noise(key, len(times)))(root(self.seed)))
        frames = [
            self._rows(f"S{i + 1:02d}", analyte, times, np.asarray(read[analyte]) * np.exp(self.sigma * noise[i, j]))
            for i in range(self.num_subjects)
            for j, analyte in enumerate(self.analytes)
        ]
        return observations(pd.concat(frames, ignore_index=True))

    def _noise(self, key: PRNGKeyArray, num: int) -> Float[Array, "subject analyte time"]:
        def one(key: PRNGKeyArray) -> Array:
            return jax.vmap(lambda key: jax.random.normal(key, (num,)))(jax.random.split(key, len(self.analytes)))

        return jax.vmap(one)(jax.random.split(key, self.num_subjects))

    def _rows(self, subject: str, analyte: str, times: np.ndarray, value: np.ndarray) -> pd.DataFrame:
        low = -np.inf if self.lower_limit is None else self.lower_limit
        high = np.inf if self.upper_limit is None else self.upper_limit
        cens = np.where(value < low, "left", np.where(value > high, "right", "none"))
        return pd.DataFrame(
            {
                "subject": subject,
                "time_h": times,
                "analyte": analyte,
                "value": np.clip(value, low, high),
                "unit": UNITS[analyte],
                "cens": cens,
                "limit": np.where(cens == "left", low, np.where(cens == "right", high, np.nan)),
                "sd": np.nan,
                "n": np.nan,
                "statistic": "individual",
            }
        )
