"""Curves of a posterior as a table of bands, and what was fitted in words."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..analyte import LABELS

LEVELS = {"q5": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}


def bands(tree: xr.DataTree, analyte: str | None = None) -> pd.DataFrame:
    """One row per subject, analyte and time: median, 50 and 90 % bands of the curves of a posterior, of one analyte or all.

    Raises `ValueError` for an analyte whose curves it does not have.
    """
    curves, parts = tree["predictions"].to_dataset(), []
    names = [str(name) for name in curves.data_vars]
    if analyte is not None and analyte not in names:
        raise ValueError(f"no curves of `{analyte}`; there are those of: {', '.join(names)}")
    many = "subject" in curves.coords
    alone = str(tree["observed_data"].to_dataset()["subject"].values[0])
    for subject in curves["subject"].values if many else [alone]:
        own = curves.sel(subject=subject) if many else curves
        for name in names if analyte is None else [analyte]:
            draws = own[name].values.reshape(-1, own["time"].size)
            q = np.nanquantile(draws, list(LEVELS.values()), axis=0)
            table = {"subject": str(subject), "analyte": name, "unit": curves[name].attrs["units"]}
            table |= {"time_h": own["time"].values, **dict(zip(LEVELS, q, strict=True))}
            parts.append(pd.DataFrame(table))
    return pd.concat(parts, ignore_index=True)


def described(tree: xr.DataTree, config: Mapping[str, Any]) -> str:
    """What was fitted: readings, subjects, model and draws, in a sentence."""
    read, posterior = tree["observed_data"].to_dataset(), tree["posterior"].to_dataset()
    analytes = ", ".join(LABELS.get(str(a), str(a)) for a in dict.fromkeys(read["analyte"].values))
    people = list(dict.fromkeys(read["subject"].values))
    who = str(people[0]) if len(people) == 1 else f"{len(people)} subjects"
    sampled = sum(int(np.prod(x.shape[2:])) for x in posterior.data_vars.values() if "prior_log_sd" in x.attrs)
    draws = f"{posterior.sizes['chain']} x {posterior.sizes['draw']} draws"
    low, high = float(read["time"].min()), float(read["time"].max())
    return (
        f"{read.sizes['obs_id']} readings of {analytes} in {who}, {low:g} to {high:g} h; {_model(config)};"
        f" {sampled} parameters with a prior, {draws}"
    )


def _model(config: Mapping[str, Any]) -> str:
    node = config.get("model")
    if node is None:
        first = next(iter((config.get("arms") or {}).values()), {})
        node = first.get("model")
    if not isinstance(node, Mapping):
        return f"{type(node).__name__} model"
    return f"model of {Path(node['path']).name}" if "path" in node else f"{str(node['_target_']).split('.')[-1]} model"
