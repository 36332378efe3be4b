"""What is still to be read: of the subject of a fit in another scenario, of new subjects, of subjects with a few readings.

A subject of whom a few readings are known is drawn given these and one draw of the population, by importance sampling; the
draws of the population are then weighted by how well they predict the same readings (`importance`), smoothed after Pareto.
Together these are draws of the posterior with the subject in it, without a new fit.
"""

import dataclasses
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from cytostorm.models import Model, Scenario

from ..arguments import jitted
from ..cohort import Cohort
from ..keys import branches
from ..observations import Observations, joined
from ..population import Population
from ..population_tree import by_batch
from ..problem import Problem
from ..site import Values
from .importance import NUM_POINTS, WIDER, laplace, possible, smoothed, weighed, whole
from .redraw import Drawn, posterior_draws

NUM_DRAWS = 200  # of a population
FEWEST = 25  # draws whose weights have a tail to smooth

type Make = Callable[[Cohort], Population]


class Forecast(eqx.Module):
    """Predictions of subjects for draws of a posterior, over times that all subjects share.

    `curve` is what is predicted and `reading` what an assay would read, in the units of the analytes. `weight` is what a
    draw is worth for a subject: they sum to 1, and are 0 where a solve failed (`okay` is false), where predictions carry
    no meaning. `known` are the readings of the subjects that were used, and `held_out` others, with replicates of them
    and their log-density. `pareto_k` is that of the weights, and `points` how many points a draw had for each subject on
    average, where readings are known. `unlearned` names what the fit did not learn and was drawn from its prior.
    """

    draw: Int[np.ndarray, " draw"]
    subjects: tuple[str, ...] = eqx.field(static=True)
    analytes: tuple[str, ...] = eqx.field(static=True)
    times: Float[np.ndarray, " time"]
    okay: Bool[np.ndarray, "draw subject"]
    weight: Float[np.ndarray, "draw subject"]
    curve: Float[np.ndarray, "draw subject analyte time"]
    reading: Float[np.ndarray, "draw subject analyte time"]
    held_out: Observations
    replicated: Float[np.ndarray, "draw obs"]
    log_density: Float[np.ndarray, "draw obs"]
    known: Observations
    unlearned: tuple[str, ...] = eqx.field(static=True)
    num_solves: int
    num_failed: int
    pareto_k: Float[np.ndarray, " subject"] | None = None
    points: Float[np.ndarray, " subject"] | None = None
    alike: bool = eqx.field(default=False, static=True)  # new subjects, who differ by nothing that is known
    doses: tuple[tuple[float, ...], ...] = eqx.field(default=(), static=True)  # when each subject is given any [h]


def same_subject(
    problem: Problem,
    tree: xr.DataTree,
    times: Float[np.ndarray, " time"],
    key: PRNGKeyArray,
    analytes: Sequence[str],
    known: Observations | None = None,
    held_out: Observations | None = None,
    num: int | None = None,
) -> Forecast:
    """The subject of a fit under the scenario of `problem`, for `num` draws of the posterior, or for all.

    The draws hold what the fit was given: `known` readings are only kept beside them, and those `held_out` compared.

    Raises `ValueError` for an analyte that the model does not predict.
    """
    label = problem.data.subject[0]
    none = design(label, [], times)
    early, late = (dataclasses.replace(x, subject=(label,) * len(x)) for x in (known or none, held_out or none))
    predicted(analytes, problem.model)
    data = design(label, analytes, times, late)
    future = Problem(problem.model, problem.scenario, data, problem.priors, problem.noise, problem.solver)
    key_draws, key_read = branches(key, 2)
    index, values, unlearned = posterior_draws(future, tree, num, key_draws)

    def one(at: Problem, values: Values, key: Array) -> tuple[Array, ...]:
        log_f, okay = at.forecast(values)
        drawn = at.noise.draw(key, log_f, values, at.data)
        return okay[None], log_f, drawn, at.noise.log_density(log_f, values, at.data)

    read = by_batch(future, one, values, key_read)
    found = _forecast(index, (label,), analytes, times, read, late, early, unlearned)
    return dataclasses.replace(found, doses=(given(problem.scenario),))


def new_subjects(
    make: Make,
    cohort: Cohort,
    tree: xr.DataTree,
    times: Float[np.ndarray, " time"],
    key: PRNGKeyArray,
    analytes: Sequence[str],
    num: int | None = None,
) -> Forecast:
    """New subjects of a population for each draw of it; of `cohort` are their doses, arms and covariates.

    `make` builds the population of a cohort. Raises what it raises.
    """
    future = _future(make, cohort, analytes, times, {})
    key_draws, key_who, key_read = branches(key, 3)
    index, values, unlearned = posterior_draws(future, tree, NUM_DRAWS if num is None else num, key_draws)
    theta = by_batch(future, lambda at, values, key: at.individual(at.renewed(values, key)), values, key_who)
    none = design("", [], times)
    read = _read(future, values, theta, key_read)
    found = _forecast(index, tuple(cohort.labels), list(analytes), times, read, none, none, unlearned)
    return dataclasses.replace(found, alike=True, doses=_doses(future))


def known_subjects(
    make: Make,
    cohort: Cohort,
    tree: xr.DataTree,
    times: Float[np.ndarray, " time"],
    key: PRNGKeyArray,
    analytes: Sequence[str],
    known_until: float | None = None,
    num: int | None = None,
) -> Forecast:
    """Subjects who are not in the fit given their readings until `known_until` [h]; later ones are held out.

    Each is predicted from its own readings and the fit, not from those of the others. What was read is predicted besides
    `analytes`. Raises what `new_subjects` raises, and `ValueError` for a subject of whom nothing is known.
    """
    until = np.inf if known_until is None else known_until
    early = {s.label: s.data.rows(s.data.time <= until) for s in cohort}
    late = {s.label: s.data.rows(s.data.time > until) for s in cohort}
    if blank := [label for label, data in early.items() if not len(data)]:
        when = "" if known_until is None else f" until {known_until:g} h"
        raise ValueError(
            f"subject {blank[0]!r} has no readings{when}, so nothing is known of it; raise `known_until_h`, or leave it out"
            " with `data.subjects`"
        )
    past = make(Cohort(tuple(dataclasses.replace(s, data=early[s.label]) for s in cohort)))
    asked = list(dict.fromkeys([*analytes, *past.cohort.analytes]))
    future = _future(make, cohort, asked, times, late)
    key_draws, key_climb, key_who, key_read = branches(key, 4)
    index, values, unlearned = posterior_draws(future, tree, NUM_DRAWS if num is None else num, key_draws)
    if len(index) < FEWEST:
        raise ValueError(f"{len(index)} draws are too few to weigh; give `num_draws` or the fit {FEWEST} or more")
    own = dict(values)
    for name in past.assays.priors:
        own[name] = values[name][:, [future.assays.scales.index(pair) for pair in past.assays.scales]]
    typical = {n: np.exp(np.log(x).mean(axis=0)) if np.all(x > 0) else x.mean(axis=0) for n, x in own.items()}
    middle, wide = jitted(laplace, past)(typical, key_climb)
    who = jitted(_who, past)
    parts = [
        jax.device_get(who({n: x[i] for n, x in own.items()}, k, middle, WIDER**2 * wide))
        for i, k in enumerate(branches(key_who, len(index)))
    ]
    theta, likelihood, worth, failed = (np.stack(x) for x in zip(*parts, strict=True))
    weights, shape = smoothed(possible(likelihood))
    okay, *read = _read(future, values, theta, key_read)
    found = _forecast(
        index,
        tuple(cohort.labels),
        asked,
        times,
        (okay & np.isfinite(likelihood), *read),
        joined(list(late.values())),
        joined(list(early.values())),
        unlearned,
        weights,
    )
    more = 2 * NUM_POINTS * likelihood.size
    return dataclasses.replace(
        found,
        doses=_doses(future),
        pareto_k=shape,
        points=worth.mean(axis=0),
        num_solves=found.num_solves + more,
        num_failed=found.num_failed + int(failed.sum()),
    )


def design(
    label: str, analytes: Sequence[str], times: Float[np.ndarray, " time"], more: Observations | None = None, n: int = 0
) -> Observations:
    """Where to read a subject: every analyte at every time, then `more`; `n` as of a mean of so many."""
    size = len(analytes) * len(times)
    grid = Observations(
        (label,) * size,
        tuple(a for a in analytes for _ in times),
        np.tile(times, len(analytes)),
        np.ones(size),
        np.zeros(size, int),
        np.ones(size),
        np.full(size, n),
        np.zeros(size),
    )
    return joined([grid, more]) if more is not None and len(more) else grid


def given(scenario: Scenario) -> tuple[float, ...]:
    """When doses are given [h], each time once."""
    return tuple(dict.fromkeys(np.asarray(scenario.doses.time, float).tolist()))


def _doses(future: Population) -> tuple[tuple[float, ...], ...]:
    return tuple(given(subject.under(future.arm(subject).scenario)) for subject in future.cohort)


def predicted(analytes: Sequence[str], model: Model) -> None:
    """Raise `ValueError` for an analyte that the model does not predict."""
    if unknown := [analyte for analyte in analytes if analyte not in model.analytes]:
        known = ", ".join(model.analytes)
        raise ValueError(f"{type(model).__name__} does not predict `{unknown[0]}`; choose `analytes` from: {known}")


def _future(
    make: Make, cohort: Cohort, analytes: Sequence[str], times: np.ndarray, held_out: dict[str, Observations]
) -> Population:
    """The population in which the subjects of a cohort are read at all times, and where they were read later."""
    subjects = [
        dataclasses.replace(s, data=design(s.label, analytes, times, held_out.get(s.label), int(s.data.n.max(initial=0))))
        for s in cohort
    ]
    return make(Cohort(tuple(subjects)))


def _who(past: Population, values: Values, key: Array, middle: Array, wide: Array) -> tuple[Array, ...]:
    """Of one draw of the population: who every subject is, its log-likelihood, what its points are worth, failed solves."""
    key_points, key_pick = jax.random.split(key)
    found = weighed(past, values, key_points, middle, wide)
    pick = jax.random.categorical(key_pick, found.log_weight, axis=0)
    effects = found.effects[pick, jnp.arange(len(pick))]
    return whole(past, values, effects), found.log_likelihood, found.worth, jnp.sum(~found.okay)


def _read(future: Population, values: Drawn, theta: np.ndarray, key: PRNGKeyArray) -> tuple[np.ndarray, ...]:
    """Success of every subject, and log-prediction, replicate and log-density of every reading, for every draw."""

    def one(at: Population, both: tuple[Values, Array], key: Array) -> tuple[Array, ...]:
        values, theta = both
        log_f, okay = at.forecast_at(values, theta)
        drawn = at.noise.draw(key, log_f, values, at.data, at.scatter)
        return okay, log_f, drawn, at.noise.log_density(log_f, values, at.data, at.scatter)

    return by_batch(future, one, (values, theta), key)


def _forecast(
    index: np.ndarray,
    subjects: tuple[str, ...],
    analytes: Sequence[str],
    times: np.ndarray,
    read: Sequence[np.ndarray],
    held_out: Observations,
    known: Observations,
    unlearned: Sequence[str],
    log_weight: np.ndarray | None = None,
) -> Forecast:
    """Split what was read of each subject into its grid and what was held out."""
    okay, log_f, drawn, density = read
    size = len(analytes) * len(times)
    owner = held_out.owner(subjects)
    begin = np.append(0, np.cumsum(size + np.bincount(owner, minlength=len(subjects))))
    grid = np.concatenate([np.arange(b, b + size) for b in begin[:-1]])
    rest = np.setdiff1d(np.arange(begin[-1]), grid)
    shape = (len(index), len(subjects), len(analytes), len(times))
    weight = np.where(okay, 1.0 if log_weight is None else np.exp(log_weight - log_weight.max(axis=0)), 0.0)
    return Forecast(
        index,
        subjects,
        tuple(analytes),
        times,
        okay,
        weight / np.maximum(weight.sum(axis=0), 1e-300),
        np.exp(log_f[:, grid]).reshape(shape),
        drawn[:, grid].reshape(shape),
        held_out,
        drawn[:, rest],
        density[:, rest],
        known,
        tuple(unlearned),
        okay.size,
        int((~okay).sum()),
    )
