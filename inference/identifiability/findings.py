"""What is found of each parameter, in one table and in words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ..quantities import Quantity
from ..summary import plain, records, taught
from .directions import FLAT
from .profile import Profile
from .scaling import BOTH, PRIOR

COMMON = 0.3  # the share of draws from which on a combination belongs to the verdict on its parameters
WORDS = {"well": "told well", "partly": "partly told", "hardly": "hardly told"}


def expected(information: Float[np.ndarray, "point p p"], spread: Float[np.ndarray, " p"]) -> pd.DataFrame:
    """Per parameter, over the draws: the standard error of the logarithm that the readings alone would leave (median), and
    the contraction of the prior's variance (median, 5 and 95 %).

    The error is infinite where it exceeds a thousand standard deviations of the prior.
    """
    scaled = spread[:, None] * information * spread
    values, vectors = np.linalg.eigh(scaled)
    alone = np.einsum("dij,dj->di", vectors**2, 1 / np.maximum(values, 1e-300))
    error = np.median(np.where(alone < 1e6, np.sqrt(alone) * spread, np.inf), axis=0)
    left = np.einsum("dij,dj->di", vectors**2, 1 / (1 + np.maximum(values, 0.0)))
    low, middle, high = np.quantile(1 - left, (0.05, 0.5, 0.95), axis=0)
    columns = {"standard_error": error, "expected_contraction": middle, "expected_q5": low, "expected_q95": high}
    return pd.DataFrame(columns)


def learned(
    told: Sequence[Quantity], draws: Float[np.ndarray, "draw quantity"], width: Float[np.ndarray, " quantity"]
) -> pd.DataFrame:
    """Per quantity: median and 90 % interval of the posterior, contraction, and what it says in a word.

    `draws` are positions of it, and `width` the prior's standard deviations along them.
    """
    rows = []
    for quantity, x, wide in zip(told, draws.T, width, strict=True):
        low, middle, high = np.quantile(quantity.told(x), (0.05, 0.5, 0.95))
        contraction = 1 - float(np.var(x)) / wide**2
        rows.append((middle, low, high, contraction, taught(contraction)))
    return pd.DataFrame(rows, columns=["median", "q5", "q95", "contraction", "taught"])


def table(
    told: Sequence[Quantity],
    centre: Float[np.ndarray, " quantity"],
    width: Float[np.ndarray, " quantity"],
    information: Float[np.ndarray, "point quantity quantity"],
    draws: Float[np.ndarray, "draw quantity"],
    found: Sequence[Profile],
    scaling: pd.DataFrame,
    directions: pd.DataFrame,
) -> pd.DataFrame:
    """One row per quantity: all that was found of it, and a verdict in plain words.

    The prior has its middle at the position `centre` and the standard deviations `width`; `draws` are positions of the
    posterior. Of what has no profile its columns are empty.
    """
    about = pd.DataFrame(
        {
            "parameter": [q.name for q in told],
            "symbol": [q.symbol for q in told],
            "unit": [q.unit for q in told],
            "prior_median": [float(q.told(x)) for q, x in zip(told, centre, strict=True)],
            "prior_log_sd": width,
        }
    )
    ends = {p.name: (p.kind, p.estimate, p.low, p.high) for p in found}
    fitted = pd.DataFrame([ends.get(q.name, ("", np.nan, np.nan, np.nan)) for q in told])
    fitted.columns = ["profile", "estimate", "profile_low", "profile_high"]
    parts = [about, expected(information, width), fitted, learned(told, draws, width)]
    whole = pd.concat([*parts, scaling.reset_index(drop=True)], axis=1)
    with_others = [confounded(q.name, directions) for q in told]
    whole["confounded_with"] = [" ".join(others) for others, _ in with_others]
    rows = zip(records(whole), with_others, strict=True)
    whole["verdict"] = [verdict(row, others, words) for row, (others, words) in rows]
    return whole.assign(meaning=[q.meaning for q in told])


def confounded(name: str, directions: pd.DataFrame) -> tuple[list[str], str]:
    """The parameters from which this one cannot be told in many draws, and the most common such combination in words."""
    common = directions[directions["share"] >= COMMON]
    mine = [row for row in records(common) if name in row["parameters"].split() and " " in row["parameters"]]
    others = [other for row in mine for other in row["parameters"].split() if other != name]
    return list(dict.fromkeys(others)), mine[0]["words"] if mine else ""


def verdict(row: Mapping[str, Any], others: Sequence[str], words: str) -> str:
    """What the readings tell of a parameter, how, and what else it rests on."""
    said, unit = WORDS[row["taught"]], "" if row["unit"] == "1" else f" {row['unit']}"
    low, high = plain(row["profile_low"]), plain(row["profile_high"])
    alone = {"bounded below": f"above {low}{unit}", "bounded above": f"below {high}{unit}", "flat": "open"}
    if row["taught"] != "well" and others:
        said += f": {words}"
    elif not row["profile"]:
        said += f": {plain(row['q5'])} to {plain(row['q95'])}{unit}"  # the posterior's
    elif row["profile"] == "bounded":
        said += f": {low} to {high}{unit}"
    elif row["taught"] == "hardly":
        said += f": the readings leave it {alone[row['profile']]}"
    else:
        said += f", given the priors of the others: the readings alone leave it {alone[row['profile']]}"
    if row["rests_on"] == BOTH:
        return f"{said}; it rests on the prior and the readings, which may disagree"
    return f"{said}; it rests on the prior" if row["rests_on"] == PRIOR else said


def said(tables: Mapping[str, pd.DataFrame], most: int = 6) -> list[str]:
    """The findings in words: of each parameter that has a profile, of combinations, and of the next readings."""
    table = tables["identifiability"]
    lines = [f"{row['parameter']}: {row['verdict']}" for row in records(table[table["profile"] != ""])]
    if rest := np.count_nonzero(table["profile"] == ""):
        lines.append(f"{rest} correlations and coefficients, which have no profile, are in identifiability.csv")
    told_of = (tables["singular_values"] > FLAT).sum(axis=1)
    size = tables["singular_values"].shape[1]
    lines.append(
        f"of {size} directions the readings tell {told_of.median():.0f} better than the prior ({told_of.min()} to"
        f" {told_of.max()} over the prior draws)"
    )
    lines += [f"in {row['share']:.0%} of them {row['words']}" for row in records(tables["directions"].head(most))]
    for label, rows in tables["next"].groupby("future", sort=False):
        picks = ", then ".join(f"{r['analyte']} at {r['time_h']:g} h ({r['gain']:.2f})" for r in records(rows))
        lines.append(f"next, {label}: {picks}; {rows['gain'].sum():.2f} bits in all")
    best = tables["kinds"].iloc[0]
    lines.append(
        f"the next reading that tells most: {best['analyte']} at {best['time_h']:g} h, {best['future']}:"
        f" {best['gain']:.2f} bits"
    )
    return lines
