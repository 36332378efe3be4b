"""Draws of what all subjects of a problem share, out of the tree of a fit."""

import numpy as np
import xarray as xr
from jaxtyping import Float, Int, PRNGKeyArray

from ..keys import branches, normal
from ..population import Population
from ..prior import Belief
from ..problem import Problem
from ..samplers import thinned

type Drawn = dict[str, Float[np.ndarray, "draw ..."]]


def posterior_draws(
    problem: Problem | Population, tree: xr.DataTree, num: int | None, key: PRNGKeyArray
) -> tuple[Int[np.ndarray, " kept"], Drawn, list[str]]:
    """At most `num` draws of what all subjects share: their numbers, their values, and what the fit did not learn.

    Noise of an analyte that was not read, and what an assay that was not used reads, are drawn from their priors.

    Raises `ValueError` where a parameter of `problem` is not in the posterior, and for a `num` below 1.
    """
    posterior, missing = tree["posterior"].to_dataset(), []
    if lost := [name for name in problem.priors if name not in posterior]:
        raise ValueError(f"the posterior has no `{lost[0]}`, which has a prior; give the folder of a fit with this prior")
    if num is not None and num < 1:
        raise ValueError(f"`num_draws` is {num}; give 1 or more, or null")
    total = posterior.sizes["chain"] * posterior.sizes["draw"]
    index = thinned(total, num or total)
    key_noise, key_assay = branches(key, 2)

    def flat(name: str) -> np.ndarray:
        x = posterior[name].values
        return x.reshape(total, *x.shape[2:])[index]

    def otherwise(name: str, prior: Belief, key: PRNGKeyArray) -> np.ndarray:
        missing.append(name)
        return np.exp(prior.log_quantile(normal(key, (len(index),))))

    sampled = problem.sampled
    values = {
        name: flat(name) if name in posterior else otherwise(name, sampled[name], k)
        for name, k in zip(sampled, branches(key_noise, len(sampled)), strict=True)
    }
    if isinstance(problem, Problem):
        return index, values, missing
    values |= {name: flat(name) for name in ("omega", *(c.name for c in problem.variability.covariates if c.sd is not None))}
    if problem.variability.correlated:
        values["root"] = _root(flat("correlation"), len(problem.variability.effects))
    labels = [f"{study}:{analyte}" for study, analyte in problem.assays.scales]
    for (name, prior), key in zip(problem.assays.priors.items(), branches(key_assay, 2), strict=False):
        known = dict(zip(posterior["scale"].values, flat(name).T, strict=True)) if name in posterior else {}
        each = [
            known[label] if label in known else otherwise(f"{name}[{label}]", prior, k)
            for label, k in zip(labels, branches(key, len(labels)), strict=True)
        ]
        values[name] = np.stack(each, axis=1)
    return index, values, missing


def _root(pairs: Float[np.ndarray, "draw pair"], size: int) -> Float[np.ndarray, "draw effect effect"]:
    """The triangular roots of correlation matrices from their entries below the diagonal."""
    full = np.zeros((len(pairs), size, size))
    full[:, *np.tril_indices(size, -1)] = pairs
    # Rounding may bend a matrix of strong correlations: the diagonal is raised by less than they are known to.
    return np.linalg.cholesky(full + np.swapaxes(full, 1, 2) + (1 + 1e-9) * np.eye(size))
