r"""What one would forecast without a model: the last value, its trend, a Gaussian process; all on log-readings.

Each is given more than ours: its scales are those of highest likelihood over all the patients that it is then judged on.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.special import ndtr

LAST = 3  # readings that a trend is fitted to
NUM_PATHS = 500
EVERY = 4.0  # h, between the points of a path

type Series = tuple[Float[np.ndarray, " reading"], Float[np.ndarray, " reading"]]  # times [h] and log-readings


class Normal(NamedTuple):
    """The forecast of a log-reading."""

    mean: float
    sd: float


@runtime_checkable
class Rival(Protocol):
    """A forecast from the readings so far."""

    def next(self, time: Float[np.ndarray, " reading"], y: Float[np.ndarray, " reading"], at: float) -> Normal:
        """The log-reading at `at` [h]."""
        ...

    def exceeds(
        self, time: Float[np.ndarray, " reading"], y: Float[np.ndarray, " reading"], horizon: float, log_threshold: float
    ) -> float:
        """The probability that the curve rises above a threshold within a horizon [h]."""
        ...


class LastValue(NamedTuple):
    r"""A random walk from the last value: after $h$ hours its variance is $s^2 + v h$, with the noise $s$ of a reading."""

    noise: float
    speed: float

    def next(self, time: np.ndarray, y: np.ndarray, at: float) -> Normal:
        return Normal(float(y[-1]), float(np.sqrt(self.noise**2 + self.speed * (at - time[-1]))))

    def exceeds(self, time: np.ndarray, y: np.ndarray, horizon: float, log_threshold: float) -> float:
        far = (log_threshold - y[-1]) / np.sqrt(self.speed * horizon)
        return float(min(1.0, 2 * ndtr(-far)))  # by reflection


class Trend(NamedTuple):
    r"""The straight line through the last three readings, with a slope off by SD $w$: the variance is $s^2 + w^2 h^2$."""

    noise: float
    speed: float

    def next(self, time: np.ndarray, y: np.ndarray, at: float) -> Normal:
        slope, h = _slope(time, y), at - time[-1]
        return Normal(float(y[-1] + slope * h), float(np.hypot(self.noise, self.speed * h)))

    def exceeds(self, time: np.ndarray, y: np.ndarray, horizon: float, log_threshold: float) -> float:
        needed = (log_threshold - y[-1]) / horizon
        return float(ndtr((_slope(time, y) - needed) / self.speed))


def _slope(time: np.ndarray, y: np.ndarray) -> float:
    if len(y) < 2:
        return 0.0
    t, x = time[-LAST:], y[-LAST:]
    return float(np.polyfit(t - t.mean(), x, 1)[0])


class Gaussian(NamedTuple):
    r"""A Gaussian process with the covariance $a^2 (1 + \sqrt3 d/l) e^{-\sqrt3 d/l}$ (Matern's) and noise of readings."""

    mean: float
    amplitude: float
    length: float
    noise: float

    def covariance(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Between times [h]."""
        d = np.sqrt(3) * np.abs(np.subtract.outer(a, b)) / self.length
        return self.amplitude**2 * (1 + d) * np.exp(-d)

    def posterior(self, time: np.ndarray, y: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of the curve at other times [h]."""
        factor = cho_factor(self.covariance(time, time) + self.noise**2 * np.eye(len(time)))
        cross = self.covariance(at, time)
        mean = self.mean + cross @ cho_solve(factor, y - self.mean)
        return mean, self.covariance(at, at) - cross @ cho_solve(factor, cross.T)

    def next(self, time: np.ndarray, y: np.ndarray, at: float) -> Normal:
        mean, cov = self.posterior(time, y, np.array([at]))
        return Normal(float(mean[0]), float(np.sqrt(cov[0, 0] + self.noise**2)))

    def exceeds(self, time: np.ndarray, y: np.ndarray, horizon: float, log_threshold: float) -> float:
        at = time[-1] + np.arange(EVERY, horizon + 1e-9, EVERY)
        mean, cov = self.posterior(time, y, at)
        value, vector = np.linalg.eigh(cov)
        root = vector * np.sqrt(np.maximum(value, 0.0))
        paths = mean + np.random.default_rng(0).standard_normal((NUM_PATHS, len(at))) @ root.T
        return float((paths > log_threshold).any(axis=1).mean())

    def log_likelihood(self, time: np.ndarray, y: np.ndarray) -> float:
        """Of all readings of a patient."""
        cov = self.covariance(time, time) + self.noise**2 * np.eye(len(time))
        _, size = np.linalg.slogdet(cov)
        off = y - self.mean
        return float(-0.5 * (off @ np.linalg.solve(cov, off) + size + len(y) * np.log(2 * np.pi)))


def rivals(cohort: Sequence[Series]) -> dict[str, Rival]:
    """The three forecasts, with the scales of highest likelihood over a cohort."""
    return {
        "last value": _likeliest(LastValue, cohort, (0.3, 0.05)),
        "trend": _likeliest(Trend, cohort, (0.3, 0.05)),
        "gaussian process": _likeliest_process(cohort),
    }


def _likeliest(kind: type, cohort: Sequence[Series], begin: tuple[float, float]) -> Rival:
    def cost(x: np.ndarray) -> float:
        found, total = kind(*np.exp(x)), 0.0
        for time, y in cohort:
            for k in range(1, len(y)):
                mean, sd = found.next(time[:k], y[:k], time[k])
                total += 0.5 * ((y[k] - mean) / sd) ** 2 + np.log(sd)
        return total

    return kind(*np.exp(minimize(cost, np.log(begin), method="Nelder-Mead").x))


def _likeliest_process(cohort: Sequence[Series]) -> Rival:
    every = np.concatenate([y for _, y in cohort])

    def made(x: np.ndarray) -> Gaussian:
        return Gaussian(float(x[0]), *(float(np.exp(v)) for v in x[1:]))

    begin = [every.mean(), np.log(every.std() + 1e-3), np.log(48.0), np.log(0.3)]
    cost = lambda x: -sum(made(x).log_likelihood(*series) for series in cohort)  # noqa: E731
    return made(minimize(cost, begin, method="Nelder-Mead", options={"maxiter": 600}).x)
