"""Do readings and priors agree? By what the prior foresees, by where the posterior lies in it, and by power scaling."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float
from scipy.special import ndtr

from ..calibration.replicates import assay
from ..identifiability.scaling import scaled
from ..observations import Observations
from ..prior import Belief, recalled
from ..selection.replicas import FEWEST, STATISTICS
from .residuals import combined

FEWEST_DRAWS = 200  # of the prior that can be solved, without which what it foresees is not judged
OF_MANY = ("largest", "smallest", "mean")  # statistics of readings of several subjects

type Scores = dict[str, Float[np.ndarray, "chain draw"]]


def logarithms(tree: xr.DataTree) -> Scores:
    """The logarithms of the parameters that have a prior of their own."""
    posterior = tree["posterior"].to_dataset()
    return {str(n): np.log(x.values) for n, x in posterior.data_vars.items() if "prior_log_sd" in x.attrs}


def _prior(tree: xr.DataTree, name: str) -> Belief:
    return recalled({str(key): x for key, x in tree["posterior"][name].attrs.items()})


def scores(tree: xr.DataTree, logs: Scores) -> Scores:
    """Where each draw of a parameter lies in its prior, as a standard normal number."""
    return {name: _prior(tree, name).score(x) for name, x in logs.items()}


def conflict(z: Float[np.ndarray, "draw parameter"]) -> tuple[float, int]:
    """The p-value of the parameter that lies farthest out in its prior, for the number of them, and which one it is.

    The truth is a draw of the prior, and as likely to be this one as any draw of the posterior: over all data sets that the
    prior foresees, one draw of the posterior has independent standard normal scores.
    """
    one = 2 * ndtr(-np.abs(z))
    p = -np.expm1(z.shape[1] * np.log1p(-np.minimum(one.min(axis=1), 1 - 1e-16)))
    return combined(p), int(np.median(np.abs(z), axis=0).argmax())


def foreseen(tree: xr.DataTree, data: Observations) -> tuple[float, pd.DataFrame]:
    """The p-value of the readings under the prior, and one row per analyte and statistic: what was `read` and the median
    that the prior foresees (of log-readings; hours for a time), and the share `below` of the prior's draws that are smaller.

    The p-value is that of the most extreme statistic among those of the prior's own data sets, which is exact. Readings
    beyond the assay's limits count as the limit. Not a number where too few draws of the prior could be solved.
    """
    made = np.zeros((0, len(data)))
    if "prior_predictive" in tree.children:
        made = tree["prior_predictive"].to_dataset()["y"].values.reshape(-1, len(data))
    limits = assay(dataclasses.replace(data, bound=None))
    columns, rows = [], []
    if len(made) >= FEWEST_DRAWS:
        every = np.log(np.clip(np.concatenate([data.value[None], np.clip(made, limits.low, limits.high)]), 1e-300, 1e300))
        analyte, several = np.array(data.analyte), len(set(data.subject)) > 1
        for name in dict.fromkeys(data.analyte):
            at = np.flatnonzero(analyte == name)
            at = at[np.argsort(data.time[at], kind="stable")]
            if len(at) < FEWEST:
                continue
            for label in OF_MANY if several else STATISTICS:
                x = STATISTICS[label](every[:, at], data.time[at])
                columns.append(x)
                below = np.mean(x[1:] < x[0]) + 0.5 * np.mean(x[1:] == x[0])
                rows.append({"analyte": name, "statistic": label, "read": x[0], "median": np.median(x[1:]), "below": below})
    table = pd.DataFrame(rows, columns=["analyte", "statistic", "read", "median", "below"])
    return (_extreme(np.stack(columns, axis=1)) if columns else np.nan), table


def _extreme(x: Float[np.ndarray, "set statistic"]) -> float:
    """The share of sets of which a statistic lies as far from its median, for its spread on that side, as in the first."""
    away = x - np.median(x, axis=0)
    above, below = (np.sqrt(np.mean(np.maximum(side, 0.0) ** 2, axis=0)) for side in (away, -away))
    far = (np.abs(away) / np.maximum(np.where(away > 0, above, below), 1e-300)).max(axis=1)
    return float(np.mean(far >= far[0]))


def torn(tree: xr.DataTree, logs: Scores) -> tuple[float, str]:
    """Of the parameter that moves most with both prior and readings, by power scaling: the smaller of the two sensitivities.

    All of these priors are scaled together. Not a number where the draws are too few for weights.
    """
    prior: Any = sum(_prior(tree, name).log_density(x) for name, x in logs.items())
    try:
        table = scaled(logs, np.asarray(prior), tree["log_likelihood"].to_dataset()["y"].sum("obs_id").values)
    except ValueError:  # ArviZ: all draws of a tail are the same one
        return np.nan, ""
    both = table[["prior_sensitivity", "likelihood_sensitivity"]].min(axis=1)
    return float(both.max()), str(both.idxmax())
