r"""How well a fit predicts each reading that it was not given, without fitting it anew.

Draws of the posterior of all readings are weighted by $1 / p(y_i \mid \theta)$, Pareto-smoothed (Vehtari, Gelman and Gabry,
Stat Comput 2017;27:1413). Where a few draws carry the weights, they are moved so that they suit the posterior without the
reading (moment matching: Paananen, Piironen, Bürkner and Vehtari, Stat Comput 2021;31:16). ArviZ does both.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from ..arguments import by_blocks, jitted
from ..predictive import BATCH
from ..problem import Problem
from ..samplers.density import Density
from ..verdict import PARETO_K

FAINT = 700.0  # log-densities so far below the largest are as good as none


class LeftOut(NamedTuple):
    """Each reading as the others predict it: its log predictive density, and the shape $k$ of the tail of its weights.

    `num_effective` parameters are what the readings use up; for `num_matched` readings draws were moved.
    """

    elpd: Float[np.ndarray, " obs"]
    pareto_k: Float[np.ndarray, " obs"]
    num_effective: float
    num_matched: int


def leave_out(tree: xr.DataTree, problem: Problem | None = None) -> LeftOut:
    """Every reading left out in turn, from the tree of a fit; with the problem of it, draws are moved where they must be.

    Raises `ValueError` where so few draws differ that weights have no tail.
    """
    import arviz_stats as azs  # late: it takes long to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of large k, which is returned
        try:
            found: Any = azs.loo(tree, pointwise=True, var_name="y")
        except ValueError as error:
            raise ValueError(f"hardly a draw differs from the next ({error}): fit again with more of them") from error
        plain = np.asarray(found.pareto_k)
        if problem is not None and (plain > PARETO_K).any():
            options = _functions(tree, problem) | {"var_name": "y", "k_threshold": PARETO_K, "pointwise": True}
            found = azs.loo_moment_match(tree, found, **options)
    shape = np.asarray(found.pareto_k)
    return LeftOut(np.asarray(found.elpd_i), shape, float(found.p), int((shape != plain).sum()))


def pointwise(problem: Problem) -> Callable[[Float[np.ndarray, "draw parameter"]], Float[np.ndarray, "draw obs"]]:
    """A function that gives the log-likelihood of every reading at many positions, minus infinity where a solve fails."""
    run = jitted(lambda problem, x: jax.vmap(lambda one: _each(problem, one))(x), problem)
    return lambda positions: by_blocks(lambda i: run(positions[i]), len(positions), BATCH)


def _each(problem: Problem, position: Array) -> Float[Array, " obs"]:
    values = problem.sites.values(position)
    log_f, okay = problem.read(values)
    return jnp.where(okay, problem.noise.log_density(log_f, values, problem.data), -jnp.inf)


def _functions(tree: xr.DataTree, problem: Problem) -> dict:
    """Draws as positions, the log-density of the posterior there, and the log-likelihood of one reading."""
    posterior, density = tree["posterior"].to_dataset(), Density(problem)
    at = np.asarray(problem.sites.positions({name: posterior[name].values for name in problem.sampled}))
    positions = xr.DataArray(at, dims=("chain", "draw", "parameter"))
    each = pointwise(problem)

    def like(x: np.ndarray, of: xr.DataArray) -> xr.DataArray:
        x = np.maximum(x, np.max(x) - FAINT).reshape(of.shape[:2])
        return xr.DataArray(x, dims=("chain", "draw"), coords={d: of[d] for d in ("chain", "draw") if d in of.coords})

    def flat(of: xr.DataArray) -> np.ndarray:
        return of.transpose("chain", "draw", "parameter").values.reshape(-1, of.sizes["parameter"])

    def log_density(of: xr.DataArray) -> xr.DataArray:
        x = flat(of)
        return like(np.add(*density.heights(x, np.full(len(x), -1))), of)

    def log_likelihood(of: xr.DataArray, i: Any) -> xr.DataArray:
        return like(each(flat(of))[:, i], of)

    return {"upars": positions, "log_prob_upars_fn": log_density, "log_lik_i_upars_fn": log_likelihood}
