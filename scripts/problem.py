"""What a configuration asks for: the problem of a fit, its sampler, and the worlds that its arms live in."""

import copy
from typing import Any

from omegaconf import DictConfig

import cytostorm.inference as ci
from cytostorm.models import Scenario, derivations, stage

from .compose import BadConfig, blame, build


def prepare(cfg: DictConfig) -> tuple[Any, ci.Sampler, dict[str, float]]:
    """The problem, the sampler and the truth (empty unless the data are synthetic) of a configuration."""
    priors, variability = build(cfg.prior), build(cfg.variability)
    truth: dict[str, float] = {}
    if variability:
        return population(cfg, priors, variability), build(cfg.sampler), truth
    model, story, solver = world(cfg)
    data = build(cfg.data)  # after the model, whose analytes may be its own
    with blame():
        if isinstance(data, ci.Synthetic):
            truth = data.truth_of(model)
            data = data.draw(model, story, solver)
        elif isinstance(data, ci.Cohort):
            data, story = alone(data, story)
        problem = ci.Problem(model, story, data, priors, build(cfg.noise), solver)
    shown = [*problem.sampled, *derivations(problem.model)]
    return problem, build(cfg.sampler), {name: value for name, value in truth.items() if name in shown}


def population(cfg: DictConfig, priors: ci.Priors, variability: ci.Variability) -> ci.Population:
    """The population of a configuration: its arms, or one for all of its trigger and treatment."""
    arms, data = arms_of(cfg), build(cfg.data)
    with blame():
        if not isinstance(data, ci.Cohort):
            raise ValueError(
                "`variability` needs the readings of several subjects; use data=cohort, data=nonmem or data=published_cohort"
            )
        return ci.Population(arms, data, priors, variability, build(cfg.noise), build(cfg.solver))


def arms_of(cfg: DictConfig, model: DictConfig | None = None) -> dict[str, ci.Arm]:
    """The arms of a configuration, of its model or of another."""
    arms = {}
    for name, arm in (cfg.arms or {"*": cfg}).items():
        one = copy.deepcopy(cfg)
        one.trigger, one.treatment = arm.trigger, arm.treatment  # the model may take its stimulus from the trigger
        one.model = one.model if model is None else model
        arms[str(name)] = ci.Arm(*world(one)[:2])
    return arms


def alone(cohort: ci.Cohort, story: Scenario) -> tuple[ci.Observations, Scenario]:
    """The readings of the only subject of a cohort, and the scenario with its doses.

    Raises `ValueError` for more than one subject, and for one whose story does not fit that of the trigger.
    """
    if len(cohort) > 1:
        label = cohort.labels[0]
        raise ValueError(
            f"the table has {len(cohort)} subjects; fit one with `data.subjects=[{label}]`, or say how they differ with"
            " `variability=`"
        )
    (subject,) = cohort
    if not len(subject.data):
        raise ValueError(f"subject {subject.label!r} has doses and no readings; choose another with `data.subjects`")
    if subject.start > story.start or (subject.start < story.start and story.initial):
        raise ValueError(
            f"subject {subject.label!r} starts at {subject.start:g} h, the trigger at {story.start:g} h; count its time from"
            " the trigger, without a reset after it, and without doses or readings before it"
        )
    return subject.data, subject.under(story)


def world(cfg: DictConfig) -> tuple:
    """The model, the scenario and the solver of a configuration."""
    if "stimulus" in cfg.model and cfg.model.stimulus is None:
        raise BadConfig("the trigger has no stimulus, which this model needs; use model=network")
    with blame():
        model, story = stage(build(cfg.model), build(cfg.trigger), build(cfg.treatment))
    return model, story, build(cfg.solver)


def lanes(cfg: DictConfig) -> int:
    """How many trajectories can be solved side by side: chains or particles, times subjects, times tangents."""
    priors, data = build(cfg.prior), build(cfg.data)
    if isinstance(data, ci.Synthetic):
        subjects = data.num_subjects
    else:
        subjects = len(data) if isinstance(data, ci.Cohort) else len(set(data.subject))
    chains = next((cfg.sampler[key] for key in ("num_particles", "num_points", "num_chains") if key in cfg.sampler), 1)
    return chains * subjects * len(priors)
