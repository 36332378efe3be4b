"""Whom treatments are tried on: people and draws of who they are, each in a scenario without the treatment in question."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Float, PRNGKeyArray

from cytostorm.models import Model, Scenario, Solver, values

from ..arguments import jitted
from ..keys import branches, normal
from ..population import Population
from ..population_tree import by_batch
from ..prediction.redraw import posterior_draws
from ..prior import Priors
from ..problem import Problem
from ..site import Sites, positive


class Patient(eqx.Module):
    """One person: the model, what happens untreated, and the model's parameters in every draw.

    `now` is the time of the decision [h]; what is before it has happened.
    """

    label: str = eqx.field(static=True)
    model: Model
    scenario: Scenario
    values: dict[str, Float[np.ndarray, " draw"]]
    solver: Solver
    now: float

    @property
    def num(self) -> int:
        """How many draws."""
        return len(next(iter(self.values.values())))

    @property
    def weight(self) -> float:
        """Body weight [kg]: 70 where the model has none."""
        if "weight" in self.values:
            return float(self.values["weight"][0])
        return float(values(self.model).get("weight", 70.0))


def expected(
    model: Model, scenario: Scenario, priors: Priors, solver: Solver, now: float, num: int, key: PRNGKeyArray
) -> list[Patient]:
    """A patient of whom nothing is known but the prior. Raises `ValueError` for `num` below 2."""
    if num < 2:
        raise ValueError(f"`num_draws` is {num}; give 2 or more")
    sites = Sites({name: positive(priors[name]) for name in priors})
    drawn = sites.values(sites.centre + sites.spread * normal(key, (num, sites.size)))
    return [Patient("prior", model, scenario, {n: np.asarray(x) for n, x in drawn.items()}, solver, now)]


def fitted(problem: Problem, tree: xr.DataTree, num: int | None, now: float, key: PRNGKeyArray) -> list[Patient]:
    """The subject of a fit, by `num` draws of its posterior or all."""
    _, drawn, _ = posterior_draws(problem, tree, num, key)
    own = {name: drawn[name] for name in problem.priors}
    return [Patient(problem.data.subject[0], problem.model, problem.scenario, own, problem.solver, now)]


def members(
    problem: Population,
    tree: xr.DataTree,
    num: int | None,
    now: float | None,
    key: PRNGKeyArray,
    labels: Sequence[str] = (),
) -> list[Patient]:
    """Subjects of a population's fit, all or those named; each decides after its own last reading unless `now` is given.

    Raises `ValueError` for a label that is not in the cohort.
    """
    problem.cohort.subset(labels or problem.cohort.labels)
    index, drawn, _ = posterior_draws(problem, tree, num, key)
    posterior = tree["posterior"].to_dataset()
    centre = jitted(lambda at, values: jax.vmap(at.centre)(values), problem)({n: jnp.asarray(x) for n, x in drawn.items()})
    own = {name: np.exp(np.asarray(x)) for name, x in centre.items()}
    for name in problem.variability.effects:
        own[name] = posterior[f"subject_{name}"].values.reshape(-1, len(problem.cohort))[index]
    return _patients(problem, own, now, labels)


def newcomers(problem: Population, tree: xr.DataTree, num: int | None, now: float, key: PRNGKeyArray) -> list[Patient]:
    """New subjects of a population, drawn anew for each draw: as many as `problem` has, whose readings do not count."""
    key_draws, key_who = branches(key, 2)
    _, drawn, _ = posterior_draws(problem, tree, num, key_draws)
    theta = by_batch(problem, lambda at, values, key: at.individual(at.renewed(values, key)), drawn, key_who)
    return _patients(problem, {name: np.exp(theta[:, :, k]) for k, name in enumerate(problem.priors)}, now)


def _patients(
    problem: Population, own: dict[str, np.ndarray], now: float | None, labels: Sequence[str] = ()
) -> list[Patient]:
    found = {}
    for part in problem.panels:
        for place, i in enumerate(part.members):
            subject, arm = problem.cohort.subjects[i], problem.arm(problem.cohort.subjects[i])
            known = {name: np.full(len(next(iter(own.values()))), float(x[place])) for name, x in part.known.items()}
            last = float(subject.data.time.max(initial=subject.start)) if now is None else now
            values = known | {name: x[:, i] for name, x in own.items()}
            found[subject.label] = Patient(
                subject.label, arm.model, subject.under(arm.scenario), values, problem.solver, last
            )
    return [found[label] for label in labels or problem.cohort.labels]
