"""What a configuration asks for: the problem of a fit, and the worlds that its arms live in.

A configuration is a mapping, as `config.yaml` of a run folder has it; where it has nodes it may have the objects instead,
and a `scenario` in the place of trigger and treatment.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from cytostorm.models import Model, Scenario, Solver, Treatment, derivations, stage

from ..cohort import Cohort
from ..observations import Observations
from ..panel import Arm
from ..population import Population
from ..prior import Priors
from ..problem import Problem
from ..synthetic import Synthetic
from ..variability import Variability
from .construct import build

type Config = Mapping[str, Any]


def world(cfg: Config) -> tuple[Model, Scenario, Solver]:
    """The model, the scenario and the solver of a configuration."""
    node, solver = cfg["model"], build(cfg["solver"])
    if "scenario" in cfg:
        cfg["scenario"].check(build(node))
        return build(node), cfg["scenario"], solver
    if isinstance(node, Mapping) and "stimulus" in node and node["stimulus"] is None:
        raise ValueError("the trigger has no stimulus, which this model needs; use model=network")
    model, story = stage(build(node), build(cfg["trigger"]), build(cfg["treatment"]))
    return model, story, solver


def under(cfg: Config, arm: Config, trigger: Any = None, treatment: Any = None, scenario: Scenario | None = None) -> Config:
    """A configuration in an arm of it, with another trigger and treatment, or scenario, where they are given.

    A model that has its stimulus from the trigger takes that of the other.
    """
    one = {**cfg, **{name: arm[name] for name in ("model", "trigger", "treatment", "scenario") if name in arm}}
    if scenario is not None:
        return {**one, "scenario": scenario}
    if trigger is None and "scenario" in one:
        return one if treatment is None else {**one, "scenario": _treated(one, build(treatment))}
    one.pop("scenario", None)
    one["trigger"] = one["trigger"] if trigger is None else trigger
    one["treatment"] = one.get("treatment", Treatment()) if treatment is None else treatment
    model, stimulus = one["model"], _stimulus(one["trigger"])
    if isinstance(model, Mapping):
        if "stimulus" in model and model["stimulus"] == _stimulus(cfg.get("trigger", {})):
            one["model"] = {**model, "stimulus": stimulus}
    elif stimulus is not None and hasattr(model, "stimulus"):
        one["model"] = dataclasses.replace(model, stimulus=build(stimulus))
    return one


def _treated(cfg: Config, treatment: Treatment) -> Scenario:
    model, story, _ = world(cfg)
    return Scenario(story.doses + treatment.doses(float(getattr(model, "weight", 70.0))), story.initial, story.start)


def _stimulus(trigger: Any) -> Any:
    return trigger.get("stimulus") if isinstance(trigger, Mapping) else trigger.stimulus


def of_problem(problem: Problem | Population) -> dict[str, Any]:
    """The configuration that a problem made in Python would have, with objects in the place of nodes."""
    parts = {"prior": problem.priors, "noise": problem.noise, "solver": problem.solver}
    if isinstance(problem, Problem):
        return {**parts, "model": problem.model, "scenario": problem.scenario, "data": problem.data, "variability": None}
    arms = {name: {"model": arm.model, "scenario": arm.scenario} for name, arm in problem.arms.items()}
    return {**parts, "arms": arms, "data": problem.cohort, "variability": problem.variability}


def prepared(cfg: Config) -> tuple[Problem | Population, dict[str, float]]:
    """The problem of a configuration, and the truth (empty unless the data are synthetic).

    Raises `ValueError` for what cannot be built, and for data that do not fit together.
    """
    priors, variability = build(cfg["prior"]), build(cfg["variability"])
    truth: dict[str, float] = {}
    if variability:
        return _population(cfg, priors, variability), truth
    model, story, solver = world(cfg)
    data = build(cfg["data"])  # after the model, whose analytes may be its own
    if isinstance(data, Synthetic):
        truth = data.truth_of(model)
        data = data.draw(model, story, solver)
    elif isinstance(data, Cohort):
        data, story = alone(data, story)
    problem = Problem(model, story, data, priors, build(cfg["noise"]), solver)
    shown = [*problem.sampled, *derivations(problem.model)]
    return problem, {name: value for name, value in truth.items() if name in shown}


def _population(cfg: Config, priors: Priors, variability: Variability) -> Population:
    """The population of a configuration: its arms, or one for all of its trigger and treatment."""
    arms, data = arms_of(cfg), build(cfg["data"])
    if not isinstance(data, Cohort):
        raise ValueError(
            "`variability` needs the readings of several subjects; use data=cohort, data=nonmem or data=published_cohort"
        )
    return Population(arms, data, priors, variability, build(cfg["noise"]), build(cfg["solver"]))


def arms_of(cfg: Config, model: Any = None) -> dict[str, Arm]:
    """The arms of a configuration, of its model or of another."""
    one = cfg if model is None else {**cfg, "model": model}
    return {str(name): Arm(*world(under(one, arm))[:2]) for name, arm in (cfg.get("arms") or {"*": one}).items()}


def alone(cohort: Cohort, story: Scenario) -> tuple[Observations, Scenario]:
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
