"""Subjects whom weights cannot leave out, left out by a fit of all others."""

import dataclasses

import numpy as np
from jaxtyping import PRNGKeyArray
from scipy.special import logsumexp

from ..keys import branches
from ..population import Population
from ..population_tree import individuals_of
from ..samplers import Sampler, thinned
from ..verdict import PARETO_K, largest_rhat
from .importance import places
from .leave_out import NUM_DRAWS, LeftOut, given, under


def refitted(
    problem: Population, sampler: Sampler, values: dict[str, np.ndarray], left: LeftOut, key: PRNGKeyArray
) -> tuple[LeftOut, dict[str, float]]:
    """The same, but that every subject with a Pareto k above 0.7 is left out by a fit of the others.

    `values` are draws of the posterior of all. Weights are then equal and Pareto k is zero. Returns also the largest R-hat
    of each such fit by subject. A subject without whom a factor of an assay could not be learned keeps its weights. Raises
    what `sampler` raises.
    """
    theta = np.asarray(individuals_of(problem, values))
    middle, wide = given(problem, values, theta[:, :, places(problem)])
    found = {field.name: np.array(getattr(left, field.name)) for field in dataclasses.fields(left)}
    agreement: dict[str, float] = {}
    bad = np.flatnonzero(left.pareto_k > PARETO_K)
    for number, key_one in zip(bad, branches(key, len(bad)), strict=True):
        key_fit, key_points = branches(key_one, 2)
        label = problem.cohort.labels[number]
        rest = without(problem, label)
        if rest.assays.scales != problem.assays.scales:
            continue
        draws = sampler.sample(rest, key_fit).values
        shared = {name: x for name, x in draws.items() if not rest.sites.parts[name].by_subject}
        agreement[label] = max(largest_rhat(x) for x in shared.values())
        flat = {name: x.reshape(-1, *x.shape[2:]) for name, x in shared.items()}
        index = thinned(len(next(iter(flat.values()))), NUM_DRAWS)
        near = np.repeat(middle.mean(axis=0)[None], len(index), axis=0)
        likelihood, replicates = under(problem, {n: x[index] for n, x in flat.items()}, key_points, near, wide)
        size = min(len(index), len(found["weights"]))
        rows = problem.owner == number
        found["log_likelihood"][:size, number] = likelihood[:size, number]
        found["weights"][:, number] = np.arange(len(found["weights"])) < size
        found["pareto_k"][number] = 0.0
        found["elpd"][number] = logsumexp(likelihood[:, number]) - np.log(len(index))
        found["replicates"][:size, :, rows] = replicates[:size, :, rows]
    return LeftOut(**found), agreement


def without(problem: Population, label: str) -> Population:
    """The same population, not knowing one subject."""
    reference = problem.cohort.subjects[problem.owner[0]].study
    rest = problem.cohort.without(label)
    return Population(problem.arms, rest, problem.priors, problem.variability, problem.noise, problem.solver, reference)
