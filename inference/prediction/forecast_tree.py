"""A forecast as a labelled tree and as tables: bands of every subject, and how readings that were held out fell."""

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import logsumexp

from ..analyte import UNITS
from ..summary import inside
from .forecast import Forecast
from .importance import weighted

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
NAMES = ("q5", "q25", "median", "q75", "q95")


def forecast_tree(forecast: Forecast) -> xr.DataTree:
    """The forecast as a tree: `predictions` over draw, subject, analyte and time, and readings on `obs_id`.

    `known` are the readings of the subjects that were used; `held_out` those that were not, with replicates and
    log-densities over `draw`.
    """
    four = ("draw", "subject", "analyte", "time")
    predictions = xr.Dataset(
        {
            "curve": (four, forecast.curve, {"meaning": "what is predicted, without the scatter of readings"}),
            "reading": (four, forecast.reading, {"meaning": "what an assay without limits would read"}),
            "okay": (four[:2], forecast.okay, {"meaning": "whether the solve succeeded; where not, values have no meaning"}),
            "weight": (
                four[:2],
                forecast.weight,
                {"meaning": "what the draw is worth for the subject; sums to 1 over draws"},
            ),
        },
        coords={
            "draw": forecast.draw,
            "subject": list(forecast.subjects),
            "analyte": list(forecast.analytes),
            "time": ("time", forecast.times, {"units": "h"}),
            "units": ("analyte", [UNITS[a] for a in forecast.analytes]),
        },
    )
    groups = {"predictions": predictions}
    for name, data in (("known", forecast.known), ("held_out", forecast.held_out)):
        if len(data):
            groups[name] = xr.Dataset(
                {"y": ("obs_id", data.value), "cens": ("obs_id", data.cens)},
                coords={"obs_id": np.array(data.labels), **data.coordinates},
            )
    if "held_out" in groups:
        groups["held_out"]["reading"] = (("draw", "obs_id"), forecast.replicated)
        groups["held_out"]["log_density"] = (("draw", "obs_id"), forecast.log_density)
        groups["held_out"] = groups["held_out"].assign_coords(draw=forecast.draw)
    return xr.DataTree.from_dict(groups)


def bands(forecast: Forecast) -> pd.DataFrame:
    """One row per subject, analyte and time: median, 50 and 90 % intervals of the curve and of a reading.

    New subjects, who differ by nothing that is known, are one subject `new` here. A subject whom no draw could predict has
    no rows.
    """
    subjects = ["new"] if forecast.alike else list(forecast.subjects)
    parts = []
    for i, subject in enumerate(subjects):
        which = slice(None) if forecast.alike else slice(i, i + 1)
        weight = forecast.weight[:, which].ravel()
        if not weight.any():
            continue
        both = (x[:, which].reshape(len(weight), *x.shape[2:]) for x in (forecast.curve, forecast.reading))
        quantiles = [weighted(x, weight, LEVELS) for x in both]
        for k, analyte in enumerate(forecast.analytes):
            found = {"subject": subject, "analyte": analyte, "unit": UNITS[analyte], "time_h": forecast.times}
            for kind, q in zip(("curve", "reading"), quantiles, strict=True):
                found |= {f"{kind}_{name}": q[j, k] for j, name in enumerate(NAMES)}
            parts.append(pd.DataFrame(found))
    columns = ["subject", "analyte", "unit", "time_h", *(f"{kind}_{n}" for kind in ("curve", "reading") for n in NAMES)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def held_out(forecast: Forecast) -> pd.DataFrame:
    """One row per reading that was held out: the predicted median and 90 % interval, whether it lies inside, and its log
    predictive density $\\ln \\sum_d w_d\\, p(y \\mid \\theta_d)$ (of a censored one its log-probability)."""
    data, owner = forecast.held_out, forecast.held_out.owner(forecast.subjects)
    rows = []
    for j, i in enumerate(owner):
        weight = forecast.weight[:, i]
        if weight.any():
            with np.errstate(divide="ignore"):
                density = np.asarray(logsumexp(forecast.log_density[:, j] + np.log(weight)))
            low, _, middle, _, high = weighted(forecast.replicated[:, j], weight, LEVELS)
            rows.append((j, middle, low, high, density))
    index = np.array([row[0] for row in rows], int)
    found = data.table()[["subject", "analyte", "unit", "time_h", "value", "cens"]].iloc[index].reset_index(drop=True)
    columns = ("median", "q5", "q95", "log_density")
    found = found.assign(**{name: np.array([row[k + 1] for row in rows], float) for k, name in enumerate(columns)})
    low, high = found["q5"].to_numpy(float), found["q95"].to_numpy(float)
    return found.assign(inside_90=inside(data.value[index], data.cens[index], low, high).astype(bool))


def subjects(forecast: Forecast) -> pd.DataFrame:
    """One row per subject: how many readings were known and held out, failed solves, and how far its draws can be trusted.

    `draws` is what the weighted draws are worth, `points` how many points each of them had on average, and `pareto_k` that
    of the weights: above 0.7 the subject is unlike the population, or tells too much of it.
    """
    num = len(forecast.subjects)
    count = lambda data: np.bincount(data.owner(forecast.subjects), minlength=num)  # noqa: E731
    found = pd.DataFrame(
        {
            "subject": forecast.subjects,
            "num_known": count(forecast.known),
            "num_held_out": count(forecast.held_out),
            "num_failed": (~forecast.okay).sum(axis=0),
            "draws": 1 / np.maximum((forecast.weight**2).sum(axis=0), 1 / len(forecast.draw)),
        }
    )
    found["draws"] = np.where(forecast.weight.any(axis=0), found["draws"], 0.0)
    if forecast.pareto_k is not None:
        found = found.assign(points=forecast.points, pareto_k=forecast.pareto_k)
    return found
