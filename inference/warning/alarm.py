"""What the readings so far say of what is to come: the chance of a storm, how fast it grows, how far the threshold is."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from ..prediction.importance import weighted
from .arriving import Known

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


class Alarm(eqx.Module):
    """The forecast at `time` [h] after `num` readings.

    `exceeds` is the probability that the watched analyte rises above the threshold within each of `horizons` [h], `growth`
    the rate at which its logarithm rises now [1/h] (doubling time $\\ln 2$ over it) and `margin` the gain over its critical
    value, both as quantiles at `LEVELS`; `band` are those of the curve over `ahead`
    [h]. Solves are those of this patient so far.
    """

    time: float
    num: int
    horizons: tuple[float, ...] = eqx.field(static=True)
    exceeds: Float[np.ndarray, " horizon"]
    growth: Float[np.ndarray, " level"]
    margin: Float[np.ndarray, " level"]
    ahead: Float[np.ndarray, " time"]
    band: Float[np.ndarray, "level time"]
    ess: float
    num_solves: int
    num_failed: int


def alarm(known: Known, times: Float[np.ndarray, " time"], threshold: float, horizons: Sequence[float]) -> Alarm:
    """The forecast of what is known of a patient, whose curves are at `times` [h]."""
    curve, weight, now = known.seen.curve, known.weight, known.time
    exceeds = [weight[above(curve, times, now, horizon, threshold)].sum() for horizon in horizons]
    here = int(np.searchsorted(times, now))
    before, after = max(here - 1, 0), min(here + 1, len(times) - 1)
    growth = np.log(curve[:, after] / curve[:, before]) / (times[after] - times[before])
    ahead = (times >= now) & (times <= now + max(horizons))
    return Alarm(
        now,
        known.num,
        tuple(horizons),
        np.clip(exceeds, 0.0, 1.0),
        weighted(growth, weight, LEVELS),
        np.quantile(known.margin, LEVELS),
        times[ahead],
        weighted(curve[:, ahead], weight, LEVELS),
        known.ess,
        known.num_solves,
        known.num_failed,
    )


def above(
    curve: Float[np.ndarray, "*point time"],
    times: Float[np.ndarray, " time"],
    now: float,
    horizon: float,
    threshold: float,
) -> Any:
    """Whether curves exceed a threshold after `now` and within a horizon [h]."""
    window = (times > now) & (times <= now + horizon)
    return (curve[..., window] > threshold).any(axis=-1)


def next_reading(known: Known) -> tuple[Float[np.ndarray, " point"], float] | None:
    """The logarithm of what the next reading may be, point by point, and the log predictive density of what it was.

    None where no reading of the watched analyte comes next.
    """
    if not len(known.rows):
        return None
    row = int(known.rows[0])
    with np.errstate(divide="ignore"):
        height = known.seen.log_density[:, row] + np.log(known.weight)
    return np.log(known.seen.replicate[:, row]), float(logsumexp(height))
