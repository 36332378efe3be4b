"""The readings that several fits have in common."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

KEY = ["subject", "analyte", "time_h", "again"]
KNOWN = ("value", "cens", "limit", "n", "spread", "scatter")  # of a reading; a population's means of groups scatter less


def readings(tree: xr.DataTree) -> Any:
    """The readings of a fit, by subject, analyte, time and how often there was one before at that time.

    Columns: value, cens, limit, and n and spread or scatter, whichever its tree tells; and `row`, the place in the tree.
    """
    seen, known = tree["observed_data"].to_dataset(), tree["constant_data"].to_dataset()
    table = pd.DataFrame(
        {"subject": seen["subject"].values, "analyte": seen["analyte"].values, "time_h": seen["time"].values}
        | {"value": seen["y"].values, "row": np.arange(seen.sizes["obs_id"])}
        | {name: known[name].values for name in KNOWN[1:] if name in known}
    )
    table["again"] = table.groupby(KEY[:3]).cumcount()
    return table.set_index(KEY).sort_index()


def common(trees: Mapping[str, xr.DataTree], analytes: list[str] | None = None) -> tuple[Any, list[str]]:
    """The readings that all fits have, with the place of each in every tree (a column per fit), and what is left out, in
    words.

    Raises `ValueError` where there is none, and where the same reading has another value in another fit.
    """
    each = {name: readings(tree) for name, tree in trees.items()}
    first, *others = each
    table = each[first]
    for name in others:
        table = table[table.index.isin(each[name].index)]
    if analytes is not None:
        if unknown := [x for x in analytes if x not in set(table.index.get_level_values("analyte"))]:
            have = ", ".join(dict.fromkeys(table.index.get_level_values("analyte"))) or "none"
            raise ValueError(f"`analytes` names `{unknown[0]}`, which the fits do not share; they share: {have}")
        table = table[table.index.get_level_values("analyte").isin(analytes)]
    if table.empty:
        raise ValueError(f"{' and '.join(trees)} have no reading in common; give fits of the same data")
    for name in others:
        _same(table, each[name].loc[table.index], first, name)
    lost = [
        f"{name}: {len(one) - len(table)} of {len(one)} readings are not compared: not in every fit, or not asked for"
        for name, one in each.items()
        if len(one) > len(table)
    ]
    places = {name: one.loc[table.index, "row"].to_numpy() for name, one in each.items()}
    return table[["value", "cens"]].assign(**places), lost


def _same(a: pd.DataFrame, b: pd.DataFrame, first: str, other: str) -> None:
    """Raise `ValueError` where what is known of a reading differs."""
    for column in [name for name in KNOWN if name in a and name in b]:
        x, y = a[column].to_numpy(float), b[column].to_numpy(float)
        if (differ := ~np.isclose(x, y, rtol=1e-9, atol=0.0, equal_nan=True)).any():
            at = int(np.argmax(differ))
            subject, analyte, time_h, _ = a.index[at]  # type: ignore[misc]
            raise ValueError(
                f"{column} of {analyte} of {subject} at {time_h:g} h is {x[at]:g} in {first} and {y[at]:g} in {other};"
                " give fits of the same data"
            )
