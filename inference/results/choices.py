"""What a comparison is asked for: outcomes and their worth, patients, and the options to choose from."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from cytostorm.models import Treatment

from ..decisions.options import NOW, TRIGGER, Clock, Option, options, spread
from ..decisions.outcomes import At, Outcome
from ..decisions.patients import Patient, expected, fitted, members, newcomers
from ..decisions.utility import Utility
from ..keys import root
from ..population import Population
from ..problem import Problem
from .configured import Config, world
from .construct import build, named_or, option

STARTS = "0:96:12"
NEXT = "next_reading"
NUM_PRIOR = 1000  # draws of a prior
TREATMENTS = ("tocilizumab", "dexamethasone", "tocilizumab+dexamethasone")
CLOCKS = {"fever": {"of": "temperature", "above": 38.0}, "il6": {"of": "il6", "above": 1000.0}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked of a comparison, as the keys of `cytostorm compare`."""

    treatments: Sequence[str] = TREATMENTS
    start_h: Any = None
    dose: Any = (1.0,)
    clock: str = NOW
    clocks: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=lambda: CLOCKS)
    arms: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    outcome: Any = "storm"
    utility: Any = "storm"
    now_h: float | None = None
    rewrite_past: bool = False
    until_h: float | None = None
    num_draws: int | None = 1000
    subjects: Sequence[str] | None = None
    new_subjects: bool = False
    num_times: int = 505
    curves: Sequence[str] = ("il6",)
    window: Mapping[str, float] = dataclasses.field(default_factory=lambda: {"share": 0.5})
    next_reading: Mapping[str, Any] = dataclasses.field(default_factory=lambda: {"of": "il6", "after_h": 12.0, "sd": 0.2})
    optimum: Mapping[str, Any] = dataclasses.field(
        default_factory=lambda: {"search": False, "num_draws": 50, "dose": [1.0, 1.0]}
    )
    seed: int = 0


def outcomes_of(wanted: Wanted) -> tuple[dict[str, Outcome], Utility]:
    """The outcomes, with the next reading among them, and what they are worth. Raises `ValueError` for what is neither."""
    outcomes: Any = build(named_or("outcome", wanted.outcome))
    if wrong := [name for name, outcome in outcomes.items() if not isinstance(outcome, Outcome)]:
        raise ValueError(f"`outcome.{wrong[0]}` is no outcome; give one of cytostorm.inference.decisions.outcomes")
    utility = build(named_or("utility", wanted.utility))
    utility = utility if isinstance(utility, Utility) else Utility(**utility)
    utility.check(outcomes)
    following = wanted.next_reading
    if not (following["sd"] > 0 and following["after_h"] >= 0):
        raise ValueError(
            f"`next_reading` has sd {following['sd']} after {following['after_h']} h; give a positive sd and hours >= 0"
        )
    return outcomes | {NEXT: At(str(following["of"]), float(following["after_h"]))}, utility


def hosts(wanted: Wanted, cfg: Config) -> tuple[list[Patient], float | None]:
    """A patient of whom nothing is known but the prior of a scenario, and when its story ends [h]."""
    model, story, solver = world(cfg)
    num = NUM_PRIOR if wanted.num_draws is None else wanted.num_draws
    people = expected(model, story, build(cfg["prior"]), solver, float(wanted.now_h or 0.0), num, root(wanted.seed))
    return people, cfg["trigger"].get("horizon_h")


def patients(wanted: Wanted, fit: Config, problem: Problem | Population, tree: xr.DataTree) -> tuple[list[Patient], Any]:
    """Whom of a fit the options are tried on, and when their story ends, if anything says so [h]."""
    key = root(wanted.seed)
    now = None if wanted.now_h is None or wanted.rewrite_past else float(wanted.now_h)
    if isinstance(problem, Problem):
        people = fitted(problem, tree, wanted.num_draws, now, key)
    elif wanted.new_subjects:
        people = newcomers(problem, tree, wanted.num_draws, now or 0.0, key)
    else:
        people = members(problem, tree, wanted.num_draws, now, key, list(wanted.subjects or ()))
    if wanted.rewrite_past:
        people = [dataclasses.replace(p, now=p.scenario.start) for p in people]
    return people, None if fit.get("arms") or "trigger" not in fit else fit["trigger"].get("horizon_h")


def choices_of(wanted: Wanted) -> list[Option]:
    """The options: every treatment at every start and dose, and the further arms."""
    given = {str(name): {"treatment": str(name)} for name in wanted.treatments}
    given |= {str(n): {"treatment": a} if isinstance(a, Treatment) else dict(a) for n, a in wanted.arms.items()}
    clocks = {NOW: Clock(NOW), TRIGGER: Clock(TRIGGER)}
    clocks |= {str(n): Clock(str(n), str(c["of"]), float(c["above"])) for n, c in wanted.clocks.items()}
    arms, starts, doses, times = {}, {}, {}, {}
    for name, arm in given.items():
        if unknown := arm.keys() - {"treatment", "start_h", "dose", "clock"}:
            raise ValueError(f"`arms.{name}` has no key `{unknown.pop()}`; it has: treatment, start_h, dose, clock")
        if "treatment" not in arm:
            raise ValueError(f"`arms.{name}` names no treatment; give one of the group, as in treatment: tocilizumab")
        clock = str(arm.get("clock", wanted.clock))
        if clock not in clocks:
            raise ValueError(f"no clock `{clock}`; clocks: {', '.join(clocks)}")
        arms[name], times[name] = courses_of(arm["treatment"]), clocks[clock]
        starts[name] = spread(arm.get("start_h", STARTS if wanted.start_h is None else wanted.start_h), "start_h")
        doses[name] = spread(arm.get("dose", wanted.dose), "dose")
    return options(arms, starts, doses, times)


def courses_of(given: str | Treatment) -> Treatment:
    """The courses of treatments of the group, joined by `+`, from 0 h on; or a treatment itself.

    Raises `ValueError` for one that does not exist; the message lists those that do.
    """
    if isinstance(given, Treatment):
        return given
    courses: dict[str, Any] = {}
    for name in str(given).split("+"):
        courses |= build(option("treatment", name.strip())).courses
    return Treatment(0.0, **courses)
