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
    drawn = sites.values(sites.drawn(normal(key, (num, sites.size))))
    return [Patient("prior", model, scenario, {n: np.asarray(x) for n, x in drawn.items()}, solver, now)]


def fitted(problem: Problem, tree: xr.DataTree, num: int | None, now: float | None, key: PRNGKeyArray) -> list[Patient]:
    """The subject of a fit, by `num` draws of its posterior or all; it decides after its last reading unless `now` is given.

    Raises `ValueError` for a decision before that reading.
    """
    (label,), last = set(problem.data.subject), float(problem.data.time.max())
    now = _decision(label, last, now)
    _, drawn, _ = posterior_draws(problem, tree, num, key)
    own = {name: drawn[name] for name in problem.priors}
    return [Patient(label, problem.model, problem.scenario, own, problem.solver, now)]


def members(
    problem: Population,
    tree: xr.DataTree,
    num: int | None,
    now: float | None,
    key: PRNGKeyArray,
    labels: Sequence[str] = (),
) -> list[Patient]:
    """Subjects of a population's fit, all or those named; each decides after its own last reading unless `now` is given.

    Raises `ValueError` for a label that is not in the cohort, and for a decision before the last reading of a subject.
    """
    problem.cohort.subset(labels or problem.cohort.labels)
    index, drawn, _ = posterior_draws(problem, tree, num, key)
    posterior = tree["posterior"].to_dataset()
    centre = jitted(lambda at, values: jax.vmap(at.centre)(values), problem)({n: jnp.asarray(x) for n, x in drawn.items()})
    own = {name: np.exp(np.asarray(x)) for name, x in centre.items()}
    for name in problem.variability.effects:
        own[name] = posterior[f"subject_{name}"].values.reshape(-1, len(problem.cohort))[index]
    chosen = labels or problem.cohort.labels
    last = {s.label: float(s.data.time.max(initial=s.start)) for s in problem.cohort}
    return _patients(problem, own, {label: _decision(label, last[label], now) for label in chosen})


def newcomers(problem: Population, tree: xr.DataTree, num: int | None, now: float, key: PRNGKeyArray) -> list[Patient]:
    """New subjects of a population, drawn anew for each draw: as many as `problem` has, whose readings do not count."""
    key_draws, key_who = branches(key, 2)
    _, drawn, _ = posterior_draws(problem, tree, num, key_draws)
    theta = by_batch(problem, lambda at, values, key: at.individual(at.renewed(values, key)), drawn, key_who)
    own = {name: np.exp(theta[:, :, k]) for k, name in enumerate(problem.priors)}
    return _patients(problem, own, dict.fromkeys(problem.cohort.labels, now))


def _decision(label: str, last: float, now: float | None) -> float:
    """When to decide [h]: at `now`, or else at the last reading."""
    if now is not None and now < last:
        raise ValueError(
            f"`now_h` is {now:g}, before the last reading of {label!r}, {last:g} h: the past cannot be changed; give more,"
            " or ask what would have been with rewrite_past=true"
        )
    return last if now is None else now


def _patients(problem: Population, own: dict[str, np.ndarray], now: dict[str, float]) -> list[Patient]:
    """Those of the cohort of whom `now` tells when they decide."""
    found = {}
    for part in problem.panels:
        for place, i in enumerate(part.members):
            subject, arm = problem.cohort.subjects[i], problem.arm(problem.cohort.subjects[i])
            if subject.label in now:
                values = {name: x[:, i] for name, x in own.items()}
                size = len(next(iter(values.values())))
                values |= {name: np.full(size, float(x[place])) for name, x in part.known.items()}
                story, when = subject.under(arm.scenario), now[subject.label]
                found[subject.label] = Patient(subject.label, arm.model, story, values, problem.solver, when)
    return [found[label] for label in now]
