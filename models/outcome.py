"""What is said of a trajectory in one number: its peak, its area, its time above a threshold, its doubling time."""

import numpy as np
from jaxtyping import Float

type Course = Float[np.ndarray, " time"]


def peak(times: Course, values: Course) -> tuple[float, float]:
    """The largest value and the time at which it is reached [h]."""
    i = int(np.argmax(values))
    return float(values[i]), float(times[i])


def area(times: Course, values: Course) -> float:
    """The area under the curve [unit x h], by the trapezoidal rule."""
    return float(np.trapezoid(values, times))


def time_above(times: Course, values: Course, threshold: float) -> float:
    """The time for which the curve lies above `threshold` [h], with crossings interpolated."""
    excess = values - threshold
    left, right, step = excess[:-1], excess[1:], np.diff(times)
    span = np.where(left == right, 1.0, np.abs(left - right))
    share = np.where((left > 0) & (right > 0), 1.0, np.maximum(np.maximum(left, right), 0.0) / span)
    return float(np.sum(np.where((left <= 0) & (right <= 0), 0.0, share) * step))


def doubling_time(times: Course, values: Course, low: float = 10.0, high: float = 1000.0) -> float:
    """The mean doubling time of the run-up [h]: from the last passage of `low` to `high` or to 80 % of the peak.

    Not a number where the curve does not rise from below `low` to more than twice of it.
    """
    top = int(np.argmax(values))
    high = min(0.8 * values[top], high)
    below = np.flatnonzero(values[: top + 1] < low)
    if below.size == 0 or high <= 2 * low:
        return float("nan")
    start = below[-1]
    end = start + int(np.argmax(values[start : top + 1] >= high))
    begin = np.interp(low, values[start : start + 2], times[start : start + 2])
    reached = np.interp(high, values[end - 1 : end + 1], times[end - 1 : end + 1])
    return float((reached - begin) / np.log2(high / low))
