"""What a comparison is asked for: outcomes and their worth, patients, and the options to choose from."""

import dataclasses
from pathlib import Path
from typing import Any

import xarray as xr
from omegaconf import DictConfig

import cytostorm.inference as ci
from cytostorm.inference.decisions.options import NOW, TRIGGER, Clock, Option, options, spread
from cytostorm.inference.decisions.outcomes import At, Outcome
from cytostorm.inference.decisions.patients import Patient, expected, fitted, members, newcomers
from cytostorm.inference.decisions.utility import Utility
from cytostorm.inference.keys import root
from cytostorm.inference.verdict import passed
from cytostorm.models import Treatment

from .compose import BadConfig, blame, build, composed
from .predict import finished, not_beside
from .problem import prepare, world

SCENARIO = ("model", "trigger", "treatment", "prior", "solver")
STARTS = "0:96:12"
NEXT = "next_reading"
NUM_PRIOR = 1000  # draws of a prior


def outcomes_of(cfg: DictConfig) -> tuple[dict[str, Outcome], Utility]:
    """The outcomes, with the next reading among them, and what they are worth."""
    outcomes = build(cfg.outcome)
    if wrong := [name for name, outcome in outcomes.items() if not isinstance(outcome, Outcome)]:
        raise BadConfig(f"`outcome.{wrong[0]}` is no outcome; give one of cytostorm.inference.decisions.outcomes")
    utility = build(cfg.utility)
    with blame():
        utility.check(outcomes)
    following = cfg.next_reading
    if not (following.sd > 0 and following.after_h >= 0):
        raise BadConfig(
            f"`next_reading` has sd {following.sd} after {following.after_h} h; give a positive sd and hours >= 0"
        )
    return outcomes | {NEXT: At(str(following.of), float(following.after_h))}, utility


def patients(cfg: DictConfig) -> tuple[list[Patient], float | None]:
    """Whom the options are tried on, and when their story ends, if anything says so [h]."""
    key = root(cfg.seed)
    if cfg.fit is None:
        model, story, solver = world(cfg)
        with blame():
            num = NUM_PRIOR if cfg.num_draws is None else cfg.num_draws
            people = expected(model, story, build(cfg.prior), solver, float(cfg.now_h or 0.0), num, key)
        return people, cfg.trigger.get("horizon_h")
    not_beside(*SCENARIO)
    fit, tree = finished(Path(str(cfg.fit)), cfg.own)
    if not passed(tree) and not cfg.force:
        raise BadConfig(
            f"the fit in {cfg.fit} failed its verdict: choices from it mean nothing; fit again, or give force=true"
        )
    problem, _, _ = prepare(fit)
    with blame():
        people = _of_fit(cfg, problem, tree, key)
    if cfg.rewrite_past:
        people = [dataclasses.replace(p, now=p.scenario.start) for p in people]
    return people, None if "arms" in fit and fit.arms else fit.trigger.get("horizon_h")


def _of_fit(cfg: DictConfig, problem: Any, tree: xr.DataTree, key: Any) -> list[Patient]:
    now = None if cfg.now_h is None or cfg.rewrite_past else float(cfg.now_h)
    if isinstance(problem, ci.Problem):
        return fitted(problem, tree, cfg.num_draws, now, key)
    if cfg.new_subjects:
        return newcomers(problem, tree, cfg.num_draws, now or 0.0, key)
    return members(problem, tree, cfg.num_draws, now, key, list(cfg.subjects or ()))


def choices_of(cfg: DictConfig) -> list[Option]:
    """The options: every treatment at every start and dose, and the further arms."""
    given = {str(name): {"treatment": str(name)} for name in cfg.treatments} | {str(n): dict(a) for n, a in cfg.arms.items()}
    clocks = {NOW: Clock(NOW), TRIGGER: Clock(TRIGGER)}
    clocks |= {str(n): Clock(str(n), str(c.of), float(c.above)) for n, c in cfg.clocks.items()}
    arms, starts, doses, times = {}, {}, {}, {}
    for name, arm in given.items():
        if unknown := arm.keys() - {"treatment", "start_h", "dose", "clock"}:
            raise BadConfig(f"`arms.{name}` has no key `{unknown.pop()}`; it has: treatment, start_h, dose, clock")
        if "treatment" not in arm:
            raise BadConfig(f"`arms.{name}` names no treatment; give one of the group, as in treatment: tocilizumab")
        clock = str(arm.get("clock", cfg.clock))
        if clock not in clocks:
            raise BadConfig(f"no clock `{clock}`; clocks: {', '.join(clocks)}")
        arms[name], times[name] = courses_of(str(arm["treatment"])), clocks[clock]
        starts[name] = spread(_plain(arm.get("start_h", STARTS if cfg.start_h is None else cfg.start_h)), "start_h")
        doses[name] = spread(_plain(arm.get("dose", cfg.dose)), "dose")
    return options(arms, starts, doses, times)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else list(value)


def courses_of(names: str) -> Treatment:
    """The courses of treatments of the group, joined by `+`, from 0 h on."""
    courses = {}
    for name in names.split("+"):
        try:
            one = build(composed("simulate", [f"treatment={name.strip()}"]).treatment)
        except Exception as error:
            raise BadConfig(f"no treatment `{name}`; {str(error).splitlines()[0]}") from error
        courses |= one.courses
    return Treatment(0.0, **courses)
