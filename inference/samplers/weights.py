"""Importance weights: normalised, smoothed, judged, and what they are worth."""

import numpy as np
import xarray as xr
from jaxtyping import Float

SAME = 0.01  # weights whose logarithms differ by less agree


def normalised(log_weight: Float[np.ndarray, " draw"]) -> Float[np.ndarray, " draw"]:
    """Weights from their logarithms; they sum to 1."""
    weight = np.exp(log_weight - log_weight.max())
    return weight / weight.sum()


def worth(weight: Float[np.ndarray, " draw"]) -> float:
    """How many equal weights these are worth."""
    return float(np.sum(weight) ** 2 / np.maximum(np.sum(weight**2), 1e-300))


def log_mean(log_weight: Float[np.ndarray, " draw"]) -> tuple[float, float]:
    """The logarithm of the mean of weights, and its standard error (not a number for a single one)."""
    relative = np.exp(log_weight - log_weight.max())
    error = relative.std(ddof=1) / relative.mean() / np.sqrt(len(relative)) if len(relative) > 1 else np.nan
    return float(log_weight.max() + np.log(relative.mean())), float(error)


def smoothed(ratio: Float[np.ndarray, " proposal"]) -> tuple[Float[np.ndarray, " proposal"], float]:
    """Weights from their logarithms, Pareto-smoothed and normalised, and the shape $k$ of their tail.

    A proposal that cannot be solved gets no weight. Where the largest weights agree there is no tail, and $k$ is 0;
    where none can be fitted, it is infinite.
    """
    import arviz_stats  # noqa: F401 - `azstats` of an xarray is its

    # No weight is a number that the smoothing can subtract.
    ratio = np.nan_to_num(ratio, nan=-np.inf)
    ratio = np.maximum(ratio - ratio.max(), -700.0)
    tail, shape = int(min(0.2 * len(ratio), 3 * len(ratio) ** 0.5)), 0.0
    largest = np.sort(ratio)[-tail - 1 :]
    if largest[0] < -SAME and largest[1] == largest[-1]:  # few draws, again and again
        shape = float("inf")
    elif largest[0] < -SAME:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # of a tail that cannot be fitted
            # ArviZ asks for log-likelihoods, which are minus the logarithms of weights.
            found, shape = xr.DataArray(-ratio, dims="sample").azstats.psislw(dim="sample")
        ratio, shape = found.values, float(np.nan_to_num(shape, nan=np.inf))
    return normalised(ratio), shape
