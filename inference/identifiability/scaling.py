r"""Power scaling: how a posterior moves where the prior, or the likelihood, is raised to a power near one.

A parameter that moves with the prior and not with the likelihood is known from the prior; one that moves with both is where
the two disagree (Kallioinen, Paananen, Bürkner and Vehtari, Stat Comput 2024;34:57). The sensitivity is ArviZ's: the
gradient of the cumulative Jensen-Shannon distance along the logarithm of the power. Priors are scaled along the logarithms
of the parameters, where a log-normal prior only widens or narrows.
"""

import warnings

import arviz_base as azb
import numpy as np
import pandas as pd
from jaxtyping import Float

from ..samplers import Density

SENSITIVE = 0.05  # from here on a sensitivity counts (Kallioinen et al. 2024)
PRIOR, READINGS, BOTH, NEITHER = "the prior", "the readings", "both, which may disagree", "neither alone"


def sensitivities(
    density: Density, draws: dict[str, Float[np.ndarray, "chain draw"]]
) -> tuple[pd.DataFrame, Float[np.ndarray, "chain draw"]]:
    """One row per parameter, and the log-likelihood of every draw.

    Columns: `prior_sensitivity` and `likelihood_sensitivity` of the logarithm, `prior_pull` and `likelihood_pull`, and in
    words what the posterior `rests_on`.

    A pull is how far the posterior's mean moves, in its standard deviations, where the power is doubled at the rate it has
    at one: $\\ln 2\\,\\mathrm{Cov}(\\ln\\theta, \\ln p)/\\mathrm{SD}(\\ln\\theta)$.
    """
    shape = np.shape(next(iter(draws.values())))
    x = np.asarray(density.sites.positions({name: np.asarray(x).reshape(-1) for name, x in draws.items()}))
    prior, likelihood = density.heights(x, np.full(len(x), -1))
    logs = {name: np.log(np.asarray(draws[name])) for name in draws}
    likelihood = likelihood.reshape(shape)
    return scaled(logs, prior.reshape(shape), likelihood), likelihood


def scaled(
    logs: dict[str, Float[np.ndarray, "chain draw"]],
    prior: Float[np.ndarray, "chain draw"],
    likelihood: Float[np.ndarray, "chain draw"],
) -> pd.DataFrame:
    """The table of `sensitivities`, from the draws of logarithms with their log-prior and log-likelihood."""
    return _table(logs, {"prior": dict.fromkeys(logs, prior), "likelihood": dict.fromkeys(logs, _there(likelihood))})


def each_scaled(
    logs: dict[str, Float[np.ndarray, "chain draw"]],
    priors: dict[str, Float[np.ndarray, "chain draw"]],
    likelihood: Float[np.ndarray, "chain draw"],
) -> pd.DataFrame:
    """What `scaled` returns, where the prior of each alone is raised to a power: of many together the weights run off."""
    return _table(logs, {"prior": priors, "likelihood": dict.fromkeys(logs, _there(likelihood))})


def _there(likelihood: Float[np.ndarray, "chain draw"]) -> Float[np.ndarray, "chain draw"]:
    there = np.isfinite(likelihood)  # or a draw that another device could solve
    return np.where(there, likelihood, likelihood[there].min())


def _table(
    logs: dict[str, Float[np.ndarray, "chain draw"]], parts: dict[str, dict[str, Float[np.ndarray, "chain draw"]]]
) -> pd.DataFrame:
    import arviz_stats as azs  # late: it takes long to import

    table = pd.DataFrame(index=pd.Index(list(logs), name="parameter"))
    for part, densities in parts.items():
        found: dict[str, float] = {}
        for density in {id(x): x for x in densities.values()}.values():  # all of one density at once
            names = [name for name in logs if densities[name] is density]
            tree = azb.from_dict({"posterior": {name: logs[name] for name in names}, f"log_{part}": {"all": density}})
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")  # of tails that are too short to be smoothed: the weights are near one
                sensed = azs.psense(tree, group=part)
            found |= {name: float(sensed[name]) for name in names}
        table[f"{part}_sensitivity"] = [found[name] for name in logs]
        away = {name: density - density.mean() for name, density in densities.items()}
        table[f"{part}_pull"] = [
            np.log(2) * float(np.mean(x * away[name])) / max(float(np.std(x)), 1e-300) for name, x in logs.items()
        ]
    table["rests_on"] = [
        rests_on(p, q) for p, q in zip(table["prior_sensitivity"], table["likelihood_sensitivity"], strict=True)
    ]
    return table


def rests_on(prior: float, likelihood: float) -> str:
    """What a posterior rests on, by its two sensitivities."""
    if prior >= SENSITIVE:
        return BOTH if likelihood >= SENSITIVE else PRIOR
    return READINGS if likelihood >= SENSITIVE else NEITHER
