"""What a finished fit says of readings that are still to come: asked in words, answered in draws, tables and a figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from cytostorm.models import Scenario, no_doses, quantities

from ..analyte import canonical
from ..cohort import Cohort, Subject
from ..keys import root
from ..observations import Observations
from ..panel import Arm
from ..population import Population
from ..prediction.forecast import Forecast, design, known_subjects, new_subjects, predicted, same_subject
from ..prediction.forecast_tree import bands, forecast_tree, held_out, subjects
from ..problem import Problem
from ..verdict import PARETO_K
from .configured import Config, prepared, under, world
from .construct import build
from .page import Told


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of a fit, as the keys of `cytostorm predict`; what is not said is as in the fit."""

    trigger: Any = None
    treatment: Any = None
    scenario: Scenario | None = None
    data: Any = None
    known_until_h: Any = None
    until_h: Any = None
    num_times: int = 97
    analytes: Sequence[str] | None = None
    num_draws: int | None = None
    num_subjects: int = 5
    covariates: Mapping[str, float] | None = None
    arm: str | None = None
    seed: int = 0


class Predicted(Told):
    """Predictions: `table` has the bands of curve and reading, `subjects` what their draws are worth, `held_out` how
    readings fell that were not known, and `tree` the draws."""

    def __init__(self, forecast: Forecast, passed: bool = True):
        self.forecast, self.passed = forecast, passed

    def __dir__(self) -> list[str]:
        return ["forecast", "held_out", "lines", "plot", "subjects", "table", "tree"]

    @cached_property
    def table(self) -> pd.DataFrame:
        """Median, 50 and 90 % intervals of curve and reading, per subject, analyte and time."""
        return bands(self.forecast)

    @cached_property
    def subjects(self) -> pd.DataFrame:
        """Per subject: readings known and held out, failed solves, and what its draws are worth."""
        return subjects(self.forecast)

    @cached_property
    def held_out(self) -> pd.DataFrame:
        """Every reading held out: its 90 % interval, whether it lies inside, its log predictive density."""
        return held_out(self.forecast)

    @cached_property
    def tree(self) -> xr.DataTree:
        """The draws as a labelled tree."""
        return forecast_tree(self.forecast)

    @property
    def lines(self) -> list[str]:
        """In words: how many draws, failures, what was not learned, and how held-out readings fell."""
        doubt = [] if self.passed else ["the fit did not pass its verdict: so much for what it predicts"]
        return doubt + self.told

    @cached_property
    def told(self) -> list[str]:
        """The same without what is to be said of the fit."""
        return told(self.forecast, self.held_out, self.subjects)

    def plot(self) -> Any:
        """Bands of curve and reading over the readings, known and held out."""
        from ..prediction.forecast_figure import bands_figure
        from ..style import closed

        return closed(bands_figure(self.forecast, self.table))

    def _figures(self) -> list[Any]:
        return [self.plot()] if len(self.table) else []


def predict(asked: Asked, fit: Config, tree: xr.DataTree) -> Forecast:
    """The predictions of a fit, whose configuration this is.

    Raises `ValueError` for what the fit cannot answer.
    """
    return (_of_population if build(fit["variability"]) else _of_one)(asked, fit, tree)


def _of_one(asked: Asked, fit: Config, tree: xr.DataTree) -> Forecast:
    """The subject of a fit in the scenario asked for."""
    one = dict(under(fit, fit, asked.trigger, asked.treatment, asked.scenario))
    if asked.data is not None:
        one["data"] = asked.data
    problem, _ = prepared(one)
    assert isinstance(problem, Problem)
    data = problem.data
    # Readings of the fit belong to its own scenario.
    elsewhere = any(x is not None for x in (asked.trigger, asked.treatment, asked.scenario))
    known, late = None if elsewhere else data, None
    if asked.data is not None:
        after = data.time > _number(asked, "known_until_h", -np.inf)
        known, late = data.rows(~after), data.rows(after)
    elif asked.known_until_h is not None:
        raise ValueError("`known_until_h` parts the readings of `data`, and none are given; give data=csv data.path=FILE")
    times = _times(asked, problem.scenario.start, float(data.time.max()))
    return same_subject(problem, tree, times, root(asked.seed), _analytes(asked, tree), known, late, asked.num_draws)


def _of_population(asked: Asked, fit: Config, tree: xr.DataTree) -> Forecast:
    """New subjects of a population, or subjects of whom some readings are known."""
    arms = arms_asked(asked, fit)
    analytes = _analytes(asked, tree)
    for arm in arms.values():
        predicted(analytes, arm.model)
    variability = build(fit["variability"])
    make = partial(
        Population,
        arms,
        priors=build(fit["prior"]),
        variability=variability,
        noise=build(fit["noise"]),
        solver=build(fit["solver"]),
        reference=str(tree["predictions"].to_dataset()["study"].values[0]),
    )
    last = float(tree["observed_data"].to_dataset()["time"].max())
    if asked.data is None:
        cohort = _newcomers(asked, arms, make)
        return new_subjects(make, cohort, tree, _times(asked, 0.0, last), root(asked.seed), analytes, asked.num_draws)
    cohort = build(asked.data)
    if isinstance(cohort, Observations):
        labels = list(dict.fromkeys(cohort.subject))
        rows = [cohort.rows(np.array(cohort.subject) == label) for label in labels]
        cohort = Cohort(tuple(Subject(label, "", data) for label, data in zip(labels, rows, strict=True)))
    if not isinstance(cohort, Cohort):
        raise ValueError("`data` are to be readings of subjects, not a recipe; use data=cohort data.path=FILE")
    for subject in cohort:
        for name in dict.fromkeys(c.covariate for c in variability.covariates):
            if name not in {*subject.covariates, *subject.changing}:
                raise ValueError(
                    f"subject {subject.label!r} has no covariate `{name}`, which the fit uses; add it as a column"
                )
    times = _times(asked, max(s.start for s in cohort), max(last, *(float(s.data.time.max(initial=last)) for s in cohort)))
    until = None if asked.known_until_h is None else _number(asked, "known_until_h", 0.0)
    return known_subjects(make, cohort, tree, times, root(asked.seed), analytes, until, asked.num_draws)


def arms_asked(asked: Asked, fit: Config) -> dict[str, Arm]:
    """The arms of a fit as they are asked for: all, one for everybody, or a new one."""
    own = dict(fit.get("arms") or {"*": fit})
    if asked.arm is not None:
        if asked.arm not in own:
            raise ValueError(f"no arm `{asked.arm}` in the fit; it has: {', '.join(own)}")
        own = {"*": own[asked.arm]}
    elif asked.trigger is not None and asked.treatment is not None:
        own = {"*": next(iter(own.values())) if "trigger" not in fit else fit}
    new = asked.trigger, asked.treatment, asked.scenario
    return {str(name): Arm(*world(under(fit, arm, *new))[:2]) for name, arm in own.items()}


def _newcomers(asked: Asked, arms: Mapping[str, Arm], make: partial) -> Cohort:
    """New subjects, all with the covariates given or else the references of the fit."""
    if len(arms) > 1:
        raise ValueError(f"the fit has several arms; choose that of the new subjects with `arm=`: {', '.join(arms)}")
    if asked.num_subjects < 1:
        raise ValueError(f"`num_subjects` is {asked.num_subjects}; give 1 or more")
    (arm,), priors = arms.values(), list(make.keywords["priors"])
    known = {c.covariate: float(c.reference) for c in make.keywords["variability"].covariates}
    own = [name for name in quantities(arm.model) if name not in priors]
    if unknown := [name for name in asked.covariates or () if name not in {*known, *own}]:
        raise ValueError(f"no covariate `{unknown[0]}` in the fit; it has: {', '.join(known) or 'none'}")
    given = known | {str(name): float(x) for name, x in (asked.covariates or {}).items()}
    none = design("", [], np.zeros(0))
    labels = [f"new_{i + 1}" for i in range(asked.num_subjects)]
    study = make.keywords["reference"]
    return Cohort(tuple(Subject(label, study, none, no_doses(), given) for label in labels))


def _analytes(asked: Asked, tree: xr.DataTree) -> list[str]:
    """What is asked for, or else what the fit read."""
    names = asked.analytes or tree["observed_data"].to_dataset()["analyte"].values.tolist()
    return list(dict.fromkeys(map(canonical, names)))


def _times(asked: Asked, start: float, last: float) -> np.ndarray:
    """The times of the curves [h]: to the end asked for, or the horizon of the trigger asked for, or the last reading."""
    trigger = asked.trigger or {}
    horizon = trigger.get("horizon_h") if isinstance(trigger, Mapping) else trigger.horizon_h
    end = _number(asked, "until_h", horizon or last)
    if not end > start:
        raise ValueError(f"`until_h` is {end:g}; give a time after the start, {start:g} h")
    if asked.num_times < 2:
        raise ValueError(f"`num_times` is {asked.num_times}; give 2 or more")
    return np.linspace(start, end, asked.num_times)


def _number(asked: Asked, name: str, otherwise: float) -> float:
    value = getattr(asked, name)
    if value is None:
        return float(otherwise)
    if not isinstance(value, int | float) or not np.isfinite(value):
        raise ValueError(f"`{name}` is {value!r}; give a number of hours, or null")
    return float(value)


def told(forecast: Forecast, late: Any, each: Any) -> list[str]:
    """The forecast in words: how many draws, failures, what was not learned, and how held-out readings fell."""
    counts = f"{forecast.num_failed} of {forecast.num_solves} solves failed"
    lines = [f"draws: {len(forecast.draw)}, subjects: {len(forecast.subjects)}; {counts}"]
    if forecast.unlearned:
        lines.append(f"not learned by the fit, drawn from the prior: {', '.join(forecast.unlearned)}")
    if lost := each.loc[each["num_failed"] == len(forecast.draw), "subject"].tolist():
        lines.append(f"no draw could predict: {', '.join(lost)}; raise `solver.max_steps` in the fit, or leave them out")
    if forecast.pareto_k is not None:
        bad = each.loc[each["pareto_k"] > PARETO_K, "subject"].tolist()
        lines.append(
            f"every subject has draws worth {each['draws'].min():.0f} or more, each of them points worth"
            f" {each['points'].min():.0f} or more"
            + (f"; Pareto k above {PARETO_K}, fit again with them: {', '.join(bad)}" if bad else "")
        )
    if len(late):
        lines.append(
            f"{len(late)} readings held out: {late['inside_90'].mean():.1%} inside their 90 % interval, log predictive"
            f" density {late['log_density'].sum():.1f}"
        )
    return lines
