"""Which fit predicts what was left out, by how much, how sure, and how to weigh them together."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float

MOST, SAME = 20_000, 1e-12  # rounds of the climb to stacking weights; it ends where no weight gains more
SMALL = 4.0  # differences of expected log predictive density below it are small, whatever their standard error


def stacked(elpd: Float[np.ndarray, "obs fit"]) -> Float[np.ndarray, " fit"]:
    """Stacking weights: the mixture of predictive distributions that best predicts what was left out.

    They maximise $\\sum_i \\log \\sum_k w_k e^{\\mathrm{elpd}_{ik}}$ (Yao, Vehtari, Simpson and Gelman, Bayesian Analysis
    2018;13:917), by the EM algorithm for the weights of a mixture.
    """
    density = np.exp(elpd - elpd.max(axis=1, keepdims=True))
    weight = np.full(elpd.shape[1], 1 / elpd.shape[1])
    for _ in range(MOST):
        share = density * weight
        found = (share / share.sum(axis=1, keepdims=True)).mean(axis=0)
        if np.abs(found - weight).max() < SAME:
            break
        weight = found
    return weight


def differences(elpd: Mapping[str, Float[np.ndarray, " obs"]]) -> pd.DataFrame:
    """One row per fit, the best first: expected log predictive density with its standard error, how far it lies below the
    best with the standard error of that difference (paired, reading by reading), and its stacking weight."""
    table = np.column_stack(list(elpd.values()))
    num = len(table)
    best = int(table.sum(axis=0).argmax())
    below = table - table[:, [best]]
    rows = pd.DataFrame(
        {
            "elpd": table.sum(axis=0),
            "se": table.std(axis=0, ddof=1) * num**0.5 if num > 1 else np.nan,
            "difference": below.sum(axis=0),
            "difference_se": below.std(axis=0, ddof=1) * num**0.5 if num > 1 else np.nan,
            "weight": stacked(table),
        },
        index=pd.Index(elpd, name="fit"),
    )
    return rows.sort_values("elpd", ascending=False, kind="stable")


def said(rows: pd.DataFrame, what: str) -> list[str]:
    """In words, how each fit compares with the best: small differences, and those within two standard errors, are none.

    Sivula, Magnusson, Matamoros and Vehtari (Bayesian Analysis 2025) show why small differences are not to be trusted.
    """
    best, *others = rows.index
    lines = []
    for name in others:
        lost, error = -rows.loc[name, "difference"], rows.loc[name, "difference_se"]
        if lost < SMALL:
            text = f"predicts left-out {what} as well as {best}: {lost:.1f} worse, less than {SMALL:g} is no difference"
        elif not lost > 2 * error:
            text = f"cannot be told from {best} by left-out {what}: {lost:.1f} worse, standard error {error:.1f}"
        else:
            text = f"predicts left-out {what} worse than {best}: by {lost:.1f}, standard error {error:.1f}"
        lines.append(f"{name} {text}")
    return lines
