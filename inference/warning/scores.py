"""How forecasts score against what came: Brier and log scores, CRPS, calibration, and the lead of the alarm."""

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy.special import expit, logit, ndtr
from scipy.stats import norm

EDGE = 1e-3  # probabilities are kept so far from 0 and 1 where their logit is taken


def brier(p: Float[np.ndarray, " forecast"], came: Bool[np.ndarray, " forecast"]) -> float:
    """The mean square of probability less outcome: 0 is perfect, 0.25 what one half always scores."""
    return float(np.mean((p - came) ** 2))


def calibration(p: Float[np.ndarray, " forecast"], came: Bool[np.ndarray, " forecast"]) -> tuple[float, float]:
    """Slope and intercept of the logit of what came on the logit of the forecast, by maximum likelihood: 1 and 0 are right.

    Newton's method with a weak normal prior (SD 10) on both, so that forecasts that divide outcomes have a slope too.
    """
    x = np.stack([logit(np.clip(p, EDGE, 1 - EDGE)), np.ones(len(p))], axis=1)
    found = np.array([1.0, 0.0])
    for _ in range(50):
        mean = expit(x @ found)
        slope = x.T @ (came - mean) - found / 100
        curve = (x * (mean * (1 - mean))[:, None]).T @ x + np.eye(2) / 100
        step = np.linalg.solve(curve, slope)
        found = found + np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-10:
            break
    return float(found[0]), float(found[1])


def slope_error(
    p: Float[np.ndarray, " forecast"], came: Bool[np.ndarray, " forecast"], patient: Shaped[np.ndarray, " forecast"]
) -> float:
    """The standard error of the slope of `calibration`, by leaving out each patient in turn (jackknife).

    Forecasts of one patient depend on each other: they come or do not come together.
    """
    known = list(dict.fromkeys(patient.tolist()))
    if len(known) < 2:
        return float("nan")
    found = np.array([calibration(p[patient != one], came[patient != one])[0] for one in known])
    return float(np.sqrt((len(found) - 1) * found.var()))


def reliability(
    p: Float[np.ndarray, " forecast"], came: Bool[np.ndarray, " forecast"], bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean forecast, share that came, and number, in bins of equal width; empty bins are left out."""
    place = np.minimum((p * bins).astype(int), bins - 1)
    some = [place == k for k in range(bins) if (place == k).any()]
    return (
        np.array([p[rows].mean() for rows in some]),
        np.array([came[rows].mean() for rows in some]),
        np.array([rows.sum() for rows in some]),
    )


def crps_normal(mean: float, sd: float, y: float) -> float:
    """The continuous ranked probability score of a normal forecast (Gneiting and Raftery, J Am Stat Assoc 2007;102:359)."""
    z = (y - mean) / sd
    return float(sd * (z * (2 * ndtr(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi)))


def crps_weighted(x: Float[np.ndarray, " point"], weight: Float[np.ndarray, " point"], y: float) -> float:
    r"""The same of weighted points: $E|X - y| - E|X - X'|/2$."""
    some = weight > 0
    order = np.argsort(x[some])
    x, w = x[some][order], weight[some][order]
    below = np.cumsum(w) - w / 2
    return float(np.sum(w * np.abs(x - y)) - np.sum(w * x * (2 * below - 1)))


def lead(time: Float[np.ndarray, " forecast"], p: Float[np.ndarray, " forecast"], event: float, level: float = 0.5) -> float:
    """How long before the event [h] the alarm, a probability of at least `level`, came to stay; nan where it did not."""
    before = time < event
    if not before.any() or p[before][-1] < level:
        return float("nan")
    quiet = np.flatnonzero(p[before] < level)
    first = quiet[-1] + 1 if len(quiet) else 0
    return float(event - time[before][first])
