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

    `exceeds` is the probability that the watched analyte is above the threshold at some time within each of `horizons` [h],
    `first` that it is so for the first time, `ever` the same until the curves end, and `already` that it was before.
    `growth` is the rate at which its logarithm rises now [1/h] (doubling time $\\ln 2$ over it) and `margin` the gain over
    its critical value, both as quantiles at `LEVELS`; `band` are those of the curve over `ahead` [h]. Solves are those of
    this patient so far.
    """

    time: float
    num: int
    horizons: tuple[float, ...] = eqx.field(static=True)
    exceeds: Float[np.ndarray, " horizon"]
    first: Float[np.ndarray, " horizon"]
    ever: float
    already: float
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
    past = (curve[:, times <= now] > threshold).any(axis=1)
    later = np.array([above(curve, times, now, horizon, threshold) for horizon in (*horizons, np.inf)])
    exceeds, first = later @ weight, (later & ~past) @ weight
    here = int(np.searchsorted(times, now))
    before, after = max(here - 1, 0), min(here + 1, len(times) - 1)
    growth = np.log(curve[:, after] / curve[:, before]) / (times[after] - times[before])
    ahead = (times >= now) & (times <= now + max(horizons))
    return Alarm(
        now,
        known.num,
        tuple(horizons),
        np.clip(exceeds[:-1], 0.0, 1.0),
        np.clip(first[:-1], 0.0, 1.0),
        float(first[-1]),
        float(weight[past].sum()),
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


def first_time(one: Alarm, odds: float = 1.0) -> Float[np.ndarray, " horizon"]:
    """The probabilities that the threshold is exceeded within each horizon, given that it has not been so far.

    `odds` are those of a patient who ever exceeds it in a cohort that was chosen by that, over those under the prior.
    """
    never = max(1 - one.already - one.ever, 0.0)
    return odds * one.first / max(odds * one.ever + never, 1e-300)


def next_reading(known: Known) -> tuple[Float[np.ndarray, " point"], float] | None:
    """The logarithm of what the next reading may be, point by point, and the log predictive density of what it was.

    None where no reading of the watched analyte comes next.
    """
    if not len(known.rows):
        return None
    row = int(known.rows[0])
    with np.errstate(divide="ignore"):
        height = known.seen.log_density[:, row] + np.log(known.weight)
    return np.log(np.maximum(known.seen.replicate[:, row], 1e-300)), float(logsumexp(height))
