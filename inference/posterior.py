"""The posterior as one labelled tree in ArviZ's schema, and its file."""

from pathlib import Path
from typing import Any

import arviz_base as azb
import jax
import numpy as np
import xarray as xr
from jaxtyping import Array, PRNGKeyArray

from cytostorm.models import derivations

from .analyte import UNITS
from .keys import branches
from .population import Population
from .population_tree import assemble_population
from .predictive import Prediction, predict, standing
from .prior import recorded
from .problem import Problem
from .samplers import NUTS, Draws, Sampler, Starts

NUM_PRIOR = 1000
NUM_CURVES = 1000


def infer(key: PRNGKeyArray, problem: Problem | Population, sampler: Sampler | None = None) -> xr.DataTree:
    """The posterior of a problem by a sampler (the no-U-turn sampler unless another is given), as `assemble` returns it."""
    key_draws, key_rest = branches(key, 2)
    return assemble(problem, (sampler or NUTS()).sample(problem, key_draws), key_rest)


def assemble(problem: Problem | Population, draws: Draws, key: PRNGKeyArray) -> xr.DataTree:
    """The draws of a problem with everything that belongs to them; for those of a population see `assemble_population`.

    Groups: `posterior, sample_stats, log_likelihood, log_prior, prior, prior_predictive,
    posterior_predictive, standing, predictions, observed_data, constant_data`. Readings lie on `obs_id` with the
    coordinates subject, analyte and time; `predictions` holds curves over `time`, in the unit of their
    analyte, for a subset of the draws. Prior draws that could not be solved are left out and counted in
    the attribute `num_failed` of `prior`. Where chains climbed to modes before they started, `starts` holds the climbs.
    """
    if isinstance(problem, Population):
        return assemble_population(problem, draws, key)
    key_prior, key_prior_y, key_y = branches(key, 3)
    shape = next(iter(draws.values.values())).shape
    grid = problem.grid()
    flat = {name: np.asarray(x).reshape(-1) for name, x in draws.values.items()}
    after = predict(problem, flat, grid, key_y)
    prior = {name: np.asarray(x) for name, x in problem.draw(key_prior, NUM_PRIOR).items()}
    before = predict(problem, prior, grid, key_prior_y)
    okay = np.asarray(before.okay)

    def by_chain(x: Any) -> np.ndarray:
        return x.reshape(shape + x.shape[1:])

    def one_chain(x: Any) -> np.ndarray:
        return x[okay][None]

    data = problem.data
    tree = azb.from_dict(
        {
            "posterior": {name: draws.values[name] for name in problem.sampled}
            | {name: by_chain(x) for name, x in after.derived.items()},
            "sample_stats": draws.stats,
            "log_likelihood": {"y": by_chain(after.log_likelihood)},
            "log_prior": {name: by_chain(x) for name, x in after.log_prior.items()},
            "prior": {n: one_chain(x) for n, x in (prior | before.derived).items()},
            "prior_predictive": {"y": one_chain(before.replicated)},
            "posterior_predictive": {"y": by_chain(after.replicated)},
            "observed_data": {"y": data.value},
            "constant_data": {
                "cens": data.cens,
                "limit": np.where(data.cens == 0, np.nan, data.limit),
                "n": data.n,
                "spread": data.spread,
            },
        },
        coords={"obs_id": np.array(data.labels)},
        dims={"y": ["obs_id"], "cens": ["obs_id"], "limit": ["obs_id"], "n": ["obs_id"], "spread": ["obs_id"]},
    )
    tree["predictions"] = _curves(after, grid.times, shape)
    if (given := np.unique(np.asarray(problem.scenario.doses.time, float))).size:
        tree["predictions"].attrs["dose_h"] = given.tolist()
    tree["prior_predictions"] = _curves(_only(before, okay), grid.times, (1, int(okay.sum())))
    for group in ("log_likelihood", "prior_predictive", "posterior_predictive", "observed_data", "constant_data"):
        tree[group] = tree[group].to_dataset().assign_coords(data.coordinates)
    tree["standing"] = standing(problem, np.asarray(after.log_f), flat, shape)
    tree["prior"].attrs["num_failed"] = int((~okay).sum())
    tree["sample_stats"].attrs |= {"failed_share": [float(x) for x in draws.failed_share], **draws.facts}
    if draws.superchain is not None:
        tree["sample_stats"].attrs["superchain"] = list(draws.superchain)
    if len(draws.starts.climbs):
        tree["starts"] = _starts(draws.starts, list(problem.sampled))
    _describe(tree, problem)
    return tree


def _starts(starts: Starts, names: list[str]) -> xr.Dataset:
    """The climbs before sampling, the modes they reached, and the mass of each by Laplace's approximation."""
    return xr.Dataset(
        {
            "before": ("climb", starts.climbs[:, 0]),
            "after": ("climb", starts.climbs[:, 1]),
            "mode": ("climb", starts.mode),
            "weight": ("peak", starts.weight),
            "position": (("peak", "parameter"), np.exp(starts.modes)),
        },
        coords={"parameter": names},
    )


def save(tree: xr.DataTree, path: Path) -> None:
    """Write the tree as netCDF: a file of this name is whole, whatever happens while it is written."""
    hidden = path.with_name(f".{path.name}")
    try:
        tree.to_netcdf(hidden, engine="h5netcdf")
        hidden.replace(path)
    finally:
        hidden.unlink(missing_ok=True)


def load(path: str | Path) -> xr.DataTree:
    """Read a tree that `save` wrote. Raises `ValueError` if there is no such file."""
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such posterior; give the path of a posterior.nc")
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        return tree.load()


def _only(prediction: Prediction, keep: np.ndarray) -> Prediction:
    return jax.tree.map(lambda x: x[keep], prediction)


def _curves(prediction: Prediction, times: Array, shape: tuple[int, ...]) -> xr.Dataset:
    """Curves over time for a thinned set of draws."""
    thin = max(1, shape[1] * shape[0] // NUM_CURVES)
    return xr.Dataset(
        {
            name: (
                ("chain", "draw", "time"),
                x.reshape(*shape, -1)[:, ::thin],
                {"units": UNITS.get(name, "")},
            )
            for name, x in prediction.curves.items()
        },
        coords={
            "chain": np.arange(shape[0]),
            "draw": np.arange(0, shape[1], thin),
            "time": ("time", np.asarray(times), {"units": "h"}),
        },
    )


def _describe(tree: xr.DataTree, problem: Problem) -> None:
    """Write symbol, unit, meaning and prior of every variable into its attributes."""
    text: dict[str, dict[str, Any]] = {n: dict(d) for n, d in problem.describe().items()}
    for name, prior in problem.sampled.items():
        text[name] |= recorded(prior)
    for name, q in derivations(problem.model).items():
        text[name] = {"symbol": q.symbol, "unit": q.unit, "meaning": q.meaning}
    for group in ("posterior", "prior"):
        for name, attributes in text.items():
            tree[group][name].attrs.update({"units": attributes["unit"]} | attributes)
