"""Simpler predictions of a subject that was left out, for a population to be better than."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import norm, t

from cytostorm.models import simulate

from ..panel import Arm
from ..population import Population

NEAR = 10  # readings of the others that tell of one reading, where there are so many others
FEWEST = 3  # of them as they were read: with fewer their spread is not known
STEPS, SETTLED = 500, 1e-9  # of expectation and maximisation


def mean_curve(problem: Population) -> Float[np.ndarray, " subject"]:
    """The log-density of each subject under the mean curve of the others, which knows no mechanism.

    The log-readings of the others in the study at a time are normal: a new one has Student's $t$ distribution around their
    mean. Where fewer than `NEAR` share the time, those of the nearest times count too, as long as there are so many others;
    censored ones by what they leave possible. Not a number where a subject has a reading of which fewer than `FEWEST` of
    the others tell.
    """
    return _judged(problem, np.zeros(len(problem.data)), free=True)


def given_curve(problem: Population, log_f: Float[np.ndarray, " obs"]) -> Float[np.ndarray, " subject"]:
    """The log-density of each subject under a curve that no reading has moved, such as that of a published model.

    The log-readings of the others, chosen as for `mean_curve`, tell how far readings lie from it.
    """
    return _judged(problem, log_f, free=False)


def curves_of(arms: Mapping[str, Arm], problem: Population) -> Float[np.ndarray, " obs"]:
    """Log-predictions of every reading by other models, unfitted, under the doses of each subject.

    Not a number where a model does not predict an analyte.
    """
    log_f = np.full(len(problem.data), np.nan)
    for i, subject in enumerate(problem.cohort):
        arm = arms[problem.arm_of(subject)]
        rows = np.flatnonzero(problem.owner == i)
        times = np.unique(problem.data.time[rows])
        read = simulate(arm.model, subject.under(arm.scenario), times, problem.solver).observe(arm.model)
        for row in rows:
            if (name := problem.data.analyte[row]) in read:
                log_f[row] = np.log(read[name][np.searchsorted(times, problem.data.time[row])])
    return log_f


def _judged(problem: Population, log_f: np.ndarray, free: bool) -> Float[np.ndarray, " subject"]:
    """The log-density of each subject where the others tell the spread around a curve and, if that is free, its mean."""
    data, owner, analyte = problem.data, problem.owner, np.array(problem.data.analyte)
    study = np.array([problem.cohort.subjects[i].study for i in owner])
    y = np.log(np.where(data.cens == 0, data.value, data.limit)) - log_f
    density = np.full(len(data), np.nan)
    for row in range(len(data)):
        others = (study == study[row]) & (analyte == analyte[row]) & (owner != owner[row])
        which = _nearest(others, np.abs(data.time - data.time[row]), owner, data.cens == 0)
        if not which.any() or not np.isfinite(y[which]).all():
            continue
        mean, scale = _normal(y[which], data.cens[which], free)
        num = int(which.sum())
        wide, freedom = (np.sqrt((num + 1) / (num - 1)), num - 1) if free else (1.0, num)
        off = (y[row] - mean) / (scale * wide)
        if data.cens[row]:  # the tail beyond the limit, on the side where it lies
            density[row] = t.logcdf(-data.cens[row] * off, freedom)
        else:
            density[row] = t.logpdf(off, freedom) - np.log(scale * wide * data.value[row])
    return np.array([density[owner == i].sum() for i in range(len(problem.cohort))])


def _nearest(
    others: Bool[np.ndarray, " obs"], away: np.ndarray, owner: np.ndarray, read: Bool[np.ndarray, " obs"]
) -> Bool[np.ndarray, " obs"]:
    """Those of the others' readings that are nearest in time: enough, and all as near as the last; none if too few."""
    wanted = min(NEAR, len(np.unique(owner[others])))
    for radius in np.unique(away[others]):
        chosen = others & (away <= radius)
        if chosen.sum() >= wanted and (chosen & read).sum() >= FEWEST:
            return chosen
    return np.zeros_like(others)


def _normal(y: np.ndarray, cens: np.ndarray, free: bool) -> tuple[float, float]:
    """Mean (zero, unless free) and SD of highest likelihood of normal numbers, of which some lie beyond `y`."""
    mean, scale = float(y.mean()) if free else 0.0, max(float(y.std()), 1e-3)
    beyond = cens != 0
    for _ in range(STEPS if beyond.any() else 1):
        at = cens * (y - mean) / scale  # expectation: the mean and square of what lies beyond the limit
        hazard = np.exp(norm.logpdf(at) - norm.logsf(at))
        first = np.where(beyond, mean + cens * scale * hazard, y)
        spread = np.where(beyond, scale**2 * (1 + at * hazard - hazard**2), 0.0)
        new = float(first.mean()) if free else 0.0
        old, mean, scale = (mean, scale), new, float(np.sqrt(np.mean((first - new) ** 2 + spread)))
        if abs(mean - old[0]) + abs(scale - old[1]) < SETTLED * scale:
            break
    return mean, scale
