"""Normalised prediction distribution errors: standard normal, if the population predicts its readings."""

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float
from scipy.special import ndtri

from ..observations import Observations


def replicates(tree: xr.DataTree, data: Observations) -> Float[np.ndarray, "draw obs"]:
    """Readings of new subjects in the place of those who were studied; beyond the limit of a censored one, at it."""
    drawn = tree["population_predictive"].to_dataset()
    solved = drawn["y"].values.reshape(-1, len(data))[drawn["okay"].values.ravel()]
    return np.clip(solved, np.where(data.cens < 0, data.limit, 0.0), np.where(data.cens > 0, data.limit, np.inf))


def prediction_errors(tree: xr.DataTree, data: Observations) -> pd.DataFrame:
    r"""One row per reading: its prediction discrepancy `pd` and its normalised, decorrelated error `npde`.

    Readings of one subject depend on each other. Their logarithms and those of their replicates, less the replicates' mean,
    are multiplied by the inverse root of the replicates' covariance before the share of replicates below each is taken
    (Brendel, Comets, Laffont, Laveille and Mentre, Pharm Res 2006;23:2036). Censored readings enter at their limits, as
    replicates beyond them do.
    """
    log_y, log_r = np.log(data.value), np.log(np.clip(replicates(tree, data), 1e-300, 1e300))  # heavy tails may overflow
    num = len(log_r)
    plain, errors = np.zeros(len(data)), np.zeros(len(data))
    owner = np.array(data.subject)
    for subject in dict.fromkeys(data.subject):
        rows = np.flatnonzero(owner == subject)
        own, others = log_y[rows], log_r[:, rows]
        centre = others.mean(axis=0)
        covariance = np.atleast_2d(np.cov(others.T))
        values, vectors = np.linalg.eigh(covariance)
        inverse = vectors / np.sqrt(np.maximum(values, 1e-9 * values.max())) @ vectors.T
        plain[rows] = np.mean(others < own, axis=0)
        share = np.mean((others - centre) @ inverse < (own - centre) @ inverse, axis=0)
        errors[rows] = ndtri(np.clip(share, 0.5 / num, 1 - 0.5 / num))
    return pd.DataFrame({"subject": data.subject, "analyte": data.analyte, "time_h": data.time, "pd": plain, "npde": errors})
