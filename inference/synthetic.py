"""Data sets with known truth."""

from collections.abc import Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from cytostorm.models import Model, Scenario, Solver, derivations, replace, simulate, values

from .analyte import UNITS
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
        return replace(model, {name: jnp.asarray(value, float) for name, value in self.truth.items()})

    def truth_of(self, model: Model) -> dict[str, float]:
        """Every parameter and derived quantity of the truth, and the noise, by name."""
        true = self.true_model(model)
        known = values(true) | {name: getattr(true, name) for name in derivations(true)} | {"sigma": self.sigma}
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
        read = trajectory.observe(truth)
        if unknown := [a for a in self.analytes if a not in read]:
            raise ValueError(f"the model does not predict `{unknown[0]}`; it predicts: {', '.join(read)}")
        frames = []
        for i, key in enumerate(jax.random.split(jax.random.PRNGKey(self.seed), self.num_subjects)):
            for analyte, k in zip(self.analytes, jax.random.split(key, len(self.analytes)), strict=True):
                scatter = np.exp(self.sigma * np.asarray(jax.random.normal(k, times.shape)))
                frames.append(self._rows(f"S{i + 1:02d}", analyte, times, np.asarray(read[analyte]) * scatter))
        return observations(pd.concat(frames, ignore_index=True))

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
