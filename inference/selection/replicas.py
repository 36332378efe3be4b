"""Do readings that a fit makes up look like those that it was given? Posterior predictive p-values."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

FEWEST = 3  # readings of an analyte that its statistics need

type Replicas = Float[np.ndarray, "draw obs"]


def _swing(x: Replicas, time: np.ndarray) -> np.ndarray:
    """The root mean square of the steps from each log-reading to the next: roughness."""
    return np.sqrt(np.mean(np.diff(x, axis=1) ** 2, axis=1))


STATISTICS: dict[str, Callable[[Replicas, np.ndarray], np.ndarray]] = {
    "largest": lambda x, time: x.max(axis=1),
    "smallest": lambda x, time: x.min(axis=1),
    "mean": lambda x, time: x.mean(axis=1),
    "last": lambda x, time: x[:, -1],
    "time of the largest": lambda x, time: time[x.argmax(axis=1)],
    "roughness": _swing,
}


def p_values(tree: xr.DataTree, analytes: list[str] | None = None) -> pd.DataFrame:
    """One row per subject, analyte (of `analytes`, where named) and statistic of its log-readings: what was read, the
    median and 90 % interval of what the posterior makes up for the same times, and the share of these that is larger (equal
    ones count half).

    Made-up readings beyond a limit count as the limit where the reading was censored there. Near 0 or 1 the model cannot
    make the reading up; the values are not uniform under a true model, but closer to one half (Gelman, Electron J Stat
    2013;7:2595). The time of the largest is in hours, all else in natural logarithms.
    """
    seen, known = tree["observed_data"].to_dataset(), tree["constant_data"].to_dataset()
    y = tree["posterior_predictive"]["y"].stack(sample=("chain", "draw")).transpose("sample", "obs_id").values
    value, cens, time = seen["y"].values, known["cens"].values, seen["time"].values
    y = np.where(cens < 0, np.maximum(y, value), np.where(cens > 0, np.minimum(y, value), y))
    rows = []
    groups = pd.DataFrame({"subject": seen["subject"].values, "analyte": seen["analyte"].values})
    for key, at in groups.groupby(["subject", "analyte"], sort=False).indices.items():
        subject, analyte = key  # type: ignore[misc]
        at = at[np.argsort(time[at], kind="stable")]
        if len(at) < FEWEST or (analytes is not None and analyte not in analytes):
            continue
        made, read, when = np.log(np.maximum(y[:, at], 1e-300)), np.log(value[at])[None], time[at]
        for name, statistic in STATISTICS.items():
            many, one = statistic(made, when), float(statistic(read, when)[0])
            low, middle, high = np.quantile(many, [0.05, 0.5, 0.95])
            p = float(np.mean(many > one) + 0.5 * np.mean(many == one))
            found = {"subject": subject, "analyte": analyte, "statistic": name, "read": one, "median": middle}
            rows.append(found | {"q5": low, "q95": high, "p": p})
    return pd.DataFrame(rows, columns=["subject", "analyte", "statistic", "read", "median", "q5", "q95", "p"])
