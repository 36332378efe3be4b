"""What the views of the posterior and of its chains show: thinned draws of every parameter, and of the prior."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..samplers import thinned
from ..summary import entries
from .page import short

NUM_DRAWS, NUM_PRIOR = 1000, 400
MOST = 60  # parameters
PAIRS = (("gamma", "k_l"), ("k_fb", "k_il6_rm"), ("k_fb", "k_il6_np"))  # shown first where they are sampled


def posterior(tree: xr.DataTree, table: pd.DataFrame, truth: Mapping[str, float]) -> dict[str, Any]:
    """The draws of what `table` holds, for the view `posterior`; `chain` is that of every draw."""
    after, before = tree["posterior"].to_dataset(), tree["prior"].to_dataset()
    chains = after.sizes["chain"]
    kept = thinned(after.sizes["draw"], max(1, NUM_DRAWS // chains))
    found = []
    for label, name, at in entries(after[[n for n, x in after.data_vars.items() if "subject" not in x.dims]]):
        if label not in table.index or len(found) == MOST:
            continue
        x = after[name].isel(at).transpose("chain", "draw").values[:, kept].ravel()
        if not np.ptp(x) > 0:
            continue
        p = before[name].isel(at).values.ravel()
        p = p[np.isfinite(p)]
        p = p[thinned(len(p), NUM_PRIOR)] if len(p) else p
        found.append(
            {
                "name": label,
                "unit": str(table.loc[label, "unit"]),
                "meaning": str(table.loc[label, "meaning"]),
                "log": bool(np.all(x > 0) and np.all(p > 0)),
                "draws": short(x),
                "prior": short(p),
                "truth": truth.get(label),
            }
        )
    names = [one["name"] for one in found]
    fallback = (names[0], names[min(1, len(names) - 1)]) if names else ()
    pair = next((pair for pair in PAIRS if set(pair) <= set(names)), fallback)
    return {
        "view": "posterior",
        "parameters": found,
        "pair": pair,
        "chain": np.repeat(np.arange(chains), len(kept)).tolist(),
    }
