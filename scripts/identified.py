"""What `cytostorm identify` computes: of one subject, or of all that the subjects of a population share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
import xarray as xr
from omegaconf import DictConfig

import cytostorm.inference as ci
from cytostorm.inference.identifiability import design, scaling, shared
from cytostorm.inference.identifiability.information import Everywhere, told
from cytostorm.inference.identifiability.marginal import Marginal, axes_of_shared
from cytostorm.inference.identifiability.profile import Profile, axes_of, profiles
from cytostorm.inference.keys import branches, root
from cytostorm.inference.population_tree import individuals_of
from cytostorm.inference.prediction.redraw import posterior_draws
from cytostorm.inference.quantities import Quantity, of_prior, quantities, width
from cytostorm.inference.samplers import thinned
from cytostorm.models import Scenario

from . import futures
from .compose import blame

NUM_POSTERIOR = 4000  # draws of a posterior that are looked at
NUM_OF_MANY = 1000  # or so many, where there are as many solves to each as there are subjects
NUM_CLIMBS = 12  # to the largest likelihood, from the best of them
FEWEST = 10  # prior draws that must be solved

type Stage = Callable[[str], Callable[[int, int], None]]


class Asked(NamedTuple):
    """What is to be identified: a problem, its posterior or what samples it, and when its story ends, if that is said.

    `subject` is the number in a population of the one whose next readings are looked for, and `single` its own problem: of
    one subject, the problem itself.
    """

    problem: ci.Problem | ci.Population
    single: ci.Problem
    subject: int
    sampler: ci.Sampler
    tree: xr.DataTree | None
    horizon: float | None


class Seen(NamedTuple):
    """What was computed of the quantities that are `told`: at prior draws, at posterior draws, along profiles, and in every
    future. Draws are positions, the prior's with its `centre` and `width`."""

    told: list[Quantity]
    centre: np.ndarray
    width: np.ndarray
    prior: np.ndarray
    information: np.ndarray
    draws: np.ndarray
    power: pd.DataFrame
    profiles: list[Profile]
    known: np.ndarray
    ahead: list[design.Future]
    num_solves: int
    num_failed: int


def look(cfg: DictConfig, it: Asked, ways: dict[str, Scenario], when: np.ndarray, stage: Stage) -> Seen:
    """Compute everything. Raises `NoStart` where hardly a prior draw can be solved."""
    return (_many if isinstance(it.problem, ci.Population) else _one)(cfg, it, ways, when, stage)


def _one(cfg: DictConfig, it: Asked, ways: dict[str, Scenario], when: np.ndarray, stage: Stage) -> Seen:
    problem, density = it.single, ci.Density(it.single)
    key_prior, key_sample = branches(root(cfg.seed), 2)
    prior = density.prior_draws(key_prior, cfg.num_draws)
    sensed = Everywhere(told, problem)
    near = sensed(prior, stage("sensitivities"))
    okay = _enough(near.okay)
    values, solves, failed = _posterior(it, key_sample, NUM_POSTERIOR, stage("posterior"))
    stage("scaling")
    power, likelihood = scaling.sensitivities(density, values)
    flat = {name: x.reshape(-1) for name, x in values.items()}
    position = np.asarray(density.sites.positions(flat))
    best = position[np.argsort(-likelihood.ravel(), kind="stable")[:NUM_CLIMBS]]
    found, climber = profiles(sensed, axes_of(problem), best, cfg.num_points, stage("profiles"))
    here = {name: x[thinned(len(position), cfg.next.num_draws)] for name, x in flat.items()}
    if cfg.next.at == "prior":
        here = {name: np.asarray(x)[: cfg.next.num_draws] for name, x in density.values(prior[okay]).items()}
    report = stage("next")
    with blame():
        ahead = futures.futures(cfg.next, problem, ways, when, here, report)
        known, left = design.solved(design.known(sensed, here), ahead)
    num = len(next(iter(here.values())))
    solves += len(prior) + len(position) + climber.num_solves + num * (1 + len(ahead))
    failed += int((~okay).sum()) + climber.num_failed + sum(int((~x.okay).sum()) for x in ahead)
    which, sites = quantities(problem), problem.sites
    near = np.asarray(near.information)[okay]
    return Seen(which, sites.centre, sites.spread, prior[okay], near, position, power, found, known, left, solves, failed)


def _many(cfg: DictConfig, it: Asked, ways: dict[str, Scenario], when: np.ndarray, stage: Stage) -> Seen:
    """Of a population: what all subjects share, and the next readings of one of them."""
    problem: Any = it.problem
    which, common, size = quantities(problem), problem.sites.common, problem.sites.common.size
    key_prior, key_sample, key_wide = branches(root(cfg.seed), 3)
    wide = width(problem, key_wide)
    drawn = of_prior(problem, key_prior, cfg.num_draws)
    values = {name: np.asarray(x) for name, x in problem.sites.values(drawn).items()}
    prior = shared.places(drawn[:, problem.sites.shared], individuals_of(problem, values))
    sensed = Everywhere(lambda problem, x: shared.told(problem, x, wide), problem)
    near = sensed(prior, stage("sensitivities"))
    okay = _enough(near.okay)
    values, solves, failed = _posterior(it, key_sample, NUM_OF_MANY, stage("posterior"))
    shape = values["omega"].shape[:2]
    flat = {name: np.reshape(x, (-1, *x.shape[2:])) for name, x in values.items()}
    theta = flat.pop("theta") if "theta" in flat else np.asarray(individuals_of(problem, flat))
    at = shared.places(np.asarray(common.positions(flat)), theta)
    priors, likelihood = Everywhere(shared.heights, problem)(at, stage("scaling"))
    logs = {q.name: at[:, k].reshape(shape) for k, q in enumerate(which)}
    alone = {q.name: np.asarray(priors)[:, k].reshape(shape) for k, q in enumerate(which)}
    power = scaling.each_scaled(logs, alone, np.asarray(likelihood).reshape(shape))
    middle = at.mean(axis=0)
    starts = np.concatenate([middle[None, :size], at[thinned(len(at), NUM_CLIMBS - 1), :size]])
    look, on = Marginal(problem, middle), stage("profiles")
    found, _ = profiles(look, axes_of_shared(problem, wide), starts, cfg.num_points, on, passes=1)  # of one valley
    here = prior[okay] if cfg.next.at == "prior" else at[thinned(len(at), cfg.next.num_draws)]
    here = here[: cfg.next.num_draws]
    known, ahead = _next(cfg, it, sensed, here, ways, when, stage("next"))
    with blame():
        left, seen = design.solved(known, ahead)
    solves += len(prior) + len(at) + len(here) * (1 + len(ahead))
    failed += int((~okay).sum()) + int(np.isnan(known[:, 0, 0]).sum()) + sum(int((~x.okay).sum()) for x in ahead)
    near, draws = np.asarray(near.information)[okay], at[:, :size]
    return Seen(which, common.centre, wide, prior[okay][:, :size], near, draws, power, found, left, seen, solves, failed)


def _next(
    cfg: DictConfig,
    it: Asked,
    sensed: Everywhere[shared.Shared],
    here: np.ndarray,
    ways: dict[str, Scenario],
    when: np.ndarray,
    report: Callable[[int, int], None],
) -> tuple[np.ndarray, list[design.Future]]:
    """What all readings leave of the parameters of one subject at these places, and what candidates would tell there."""
    problem: Any = it.problem
    found, size = sensed(here), problem.sites.common.size
    known = np.where(np.asarray(found.okay)[:, None, None], np.asarray(found.left)[:, it.subject], np.nan)
    own = np.exp(here[:, size:].reshape(len(here), len(problem.cohort), -1)[:, it.subject])
    noise = {q.name: q.told(here[:, k]) for k, q in enumerate(quantities(problem)) if q.name in problem.sampled}
    draws = noise | dict(zip(problem.priors, own.T, strict=True))
    with blame():
        return known, futures.futures(cfg.next, it.single, ways, when, draws, report)


def _enough(okay: Any) -> np.ndarray:
    okay = np.asarray(okay)
    if okay.sum() < FEWEST:
        raise ci.NoStart(
            f"only {okay.sum()} of {okay.size} prior draws could be solved, {FEWEST} are needed; narrow the priors, or raise"
            " `num_draws` or `solver.max_steps`"
        )
    return okay


def _posterior(it: Asked, key: Any, most: int, report: Callable[[int, int], None]) -> tuple[dict[str, np.ndarray], int, int]:
    """About `most` draws of the posterior by chain, out of a fit or sampled now, and how many solves that took, and failed.

    Those out of the fit of a population hold the log-parameters of its subjects as `theta`.
    """
    if it.tree is not None:
        with blame():
            _, flat, _ = posterior_draws(it.problem, it.tree, None, key)
        if isinstance(it.problem, ci.Population):
            flat["theta"] = _individuals(it.problem, it.tree, flat)
        chains = it.tree["posterior"].sizes["chain"]
        values = {name: x.reshape(chains, -1, *x.shape[1:]) for name, x in flat.items()}
        solves = failed = 0
    else:
        found = it.sampler.sample(it.problem, key, report)
        values, solves, failed = found.values, found.num_solves, found.num_failed
    chains, num = next(iter(values.values())).shape[:2]
    some = thinned(num, -(-most // chains))
    return {name: np.asarray(x)[:, some] for name, x in values.items()}, solves, failed


def _individuals(problem: Any, tree: xr.DataTree, flat: dict[str, np.ndarray]) -> np.ndarray:
    """The log-parameters of every subject in every draw of a fit."""
    theta = np.array(jax.jit(jax.vmap(lambda values: shared.centre(problem, values)))(flat))
    for name in problem.variability.effects:
        own = tree["posterior"][f"subject_{name}"].sel(subject=problem.cohort.labels)
        theta[:, :, list(problem.priors).index(name)] = np.log(np.reshape(own.to_numpy(), (-1, len(problem.cohort))))
    return theta
