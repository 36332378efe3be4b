"""Every reading left out in turn: where it stands among what the others foresee, and how much hangs on it."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from ..observations import Observations
from ..samplers.weights import smoothed
from .residuals import FLOOR


def left_out(tree: xr.DataTree, data: Observations, z: Float[np.ndarray, "draw obs"], logs: dict[str, np.ndarray]) -> Any:
    r"""One row per reading: `value` and `cens`, `predicted` (the median of its predictions without noise), the mean
    `residual` over draws, and of the fit without it, by Pareto-smoothed weights: `loo_pit`, `pareto_k`, how many posterior
    SDs the mean of which logarithm moves (`shift`, `moved`).

    `loo_pit` is $\sum_s w_s F(y_i \mid \theta_s)$: the chance of a smaller reading, given the others. A censored reading
    takes one of those that it leaves possible, at random: values are uniform where the model is right, in either case.
    `logs` are the logarithms of parameters by draw.
    """
    at = tree["standing"].to_dataset()
    likelihood = flat(tree["log_likelihood"]["y"].sel(draw=at["draw"]))
    each, shape = zip(*(smoothed(-x) for x in likelihood.T), strict=True)
    weights = np.stack(each, axis=1)
    ends = [(weights * flat(at[name])).sum(axis=0) for name in ("low", "high")]
    pit = np.clip(ends[0] + np.random.default_rng(2).random(len(data)) * (ends[1] - ends[0]), FLOOR, 1 - FLOOR)
    moves = np.zeros((len(data), 1))
    if logs:
        every = np.stack(list(logs.values()), axis=1)
        moves = (weights.T @ every - every.mean(axis=0)) / np.maximum(every.std(axis=0), 1e-300)
    most = np.abs(moves).argmax(axis=1)
    return pd.DataFrame(
        {
            "subject": data.subject,
            "analyte": data.analyte,
            "time_h": data.time,
            "value": data.value,
            "cens": data.cens,
            "predicted": np.median(flat(at["predicted"]), axis=0),
            "residual": z.mean(axis=0),
            "loo_pit": pit,
            "pareto_k": np.asarray(shape),
            "shift": moves[np.arange(len(data)), most],
            "moved": np.array([*logs] or [""])[most],
        }
    )


def flat(x: Any) -> Float[np.ndarray, "draw obs"]:
    """A variable over readings, all chains one after the other."""
    return x.stack(sample=("chain", "draw")).transpose("sample", "obs_id").values


def outlier(pit: Float[np.ndarray, " obs"]) -> tuple[float, int]:
    """The p-value of the reading that stands farthest out, for the number of them (Bonferroni), and which one it is."""
    each = 2 * np.minimum(pit, 1 - pit)
    return float(min(1.0, len(each) * each.min())), int(each.argmin())


def uniform(pit: Float[np.ndarray, " obs"]) -> float:
    """The p-value of uniform chances, which depend on each other: ArviZ's ordered pointwise test, Cauchy-combined."""
    import arviz_stats  # noqa: F401  late, for it takes long; it gives arrays their `azstats`

    array: Any = xr.DataArray(pit, dims="obs_id")
    return float(array.azstats.uniformity_test(dim="obs_id", method="pot_c")[0])
