"""The posterior of a fit for notebooks: an ArviZ tree with verbs, that shows itself verdict first."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from cytostorm.models import Scenario, Trigger

from ..analyte import canonical
from ..keys import branches, root
from ..observations import Observations
from ..population import Population
from ..posterior import assemble
from ..problem import Problem
from ..samplers import NUTS, Sampler
from ..summary import fitted, individuals, lesson, summary
from ..verdict import Verdict, judge, passed
from . import choices
from .bands import bands, described
from .compared import Compared, Question
from .configured import of_problem, prepared
from .construct import named_or
from .finished import finished
from .foreseen import Foreseen, forecast
from .page import folded, judged, learned, listed, tabled
from .pictures import Pictures
from .predicted import Asked, Predicted, predict

VERBS = ("compare", "fitted", "forecast", "individuals", "predict", "summary", "trajectories")
PLOTS = ("forest", "individuals", "pair", "prior", "ranks", "readings", "spread", "starts", "trace", "trajectories", "vpc")
FACTS = ("attrs", "children", "config", "data", "folder", "groups", "lines", "manifest", "problem", "tree", "verdict")


class Posterior(Pictures, xr.DataTree):
    """The posterior of a problem: a DataTree in ArviZ's schema, on which all of ArviZ works, with what people want of it.

    `Posterior.load(run)` takes the folder of a finished fit, `Posterior.sample(problem)` samples here.
    """

    @classmethod
    def load(cls, run: str | Path, own: str | None = None) -> "Posterior":  # type: ignore[override]
        """The posterior of a run folder; `own` is the file of a model of your own, if it is of one, which is run.

        Raises `ValueError` for a folder that holds no finished fit.
        """
        config, tree = finished(Path(run), own)
        return cls._of(tree, config, Path(run))

    @classmethod
    def sample(cls, problem: Problem | Population, sampler: Sampler | None = None, seed: int = 0) -> "Posterior":
        """The posterior of a problem by a sampler, the no-U-turn sampler unless another is given; as `cytostorm fit`."""
        key_sample, key_predict = branches(root(seed), 2)
        draws = (sampler or NUTS()).sample(problem, key_sample)
        tree = assemble(problem, draws, key_predict)
        tree.attrs["verdict"] = judge(tree, draws.num_solves, draws.num_failed).model_dump_json()
        return cls._of(tree, of_problem(problem), None, problem)

    @classmethod
    def _of(cls, tree: xr.DataTree, config: dict[str, Any], folder: Path | None, problem: Any = None) -> "Posterior":
        found = cls(tree.to_dataset(inherit=False), dict(tree.children))
        found._known = {"config": config, "folder": folder} | ({} if problem is None else {"problem": problem})
        return found

    def __dir__(self) -> list[str]:
        return sorted([*VERBS, *(f"plot_{name}" for name in PLOTS), *FACTS, *map(str, self.children), "load", "sample"])

    def _once(self, name: str, make: Any) -> Any:
        if not hasattr(self, "_known"):
            raise ValueError("a copy or a part of a posterior keeps its draws, not its problem; take the posterior itself")
        if name not in self._known:
            self._known[name] = make()
        return self._known[name]

    @property
    def tree(self) -> xr.DataTree:
        """The plain DataTree."""
        return xr.DataTree(self.to_dataset(inherit=False), dict(self.children))

    @property
    def config(self) -> dict[str, Any]:
        """What was asked of the fit; of one that was sampled here, the parts of its problem."""
        return self._once("config", dict)

    @property
    def folder(self) -> Path | None:
        """The run folder; None where it was sampled here."""
        return self._once("folder", lambda: None)

    @property
    def manifest(self) -> dict[str, Any]:
        """Versions, seed, hashes and times of the run; empty where it was sampled here."""
        path = self.folder and self.folder / "manifest.json"
        return json.loads(path.read_text()) if path and path.is_file() else {}

    @property
    def problem(self) -> Problem | Population:
        """What was fitted. Raises `ValueError` where its data cannot be read any more, or have changed."""
        return self._once("problem", lambda: _same(prepared(self.config)[0], self))

    @property
    def data(self) -> Observations:
        """The readings."""
        return self.problem.data

    @property
    def verdict(self) -> Verdict:
        """May this posterior be used?"""
        if "verdict" not in self.attrs:
            raise ValueError("this posterior holds no verdict; fit again")
        return Verdict.model_validate_json(self.attrs["verdict"])

    @property
    def lines(self) -> list[str]:
        """What was fitted, and what the readings teach, in words."""
        return [described(self, self.config), *lesson(self.summary())]

    def summary(self) -> pd.DataFrame:
        """One row per parameter: median, 90 % interval, R-hat, ESS, prior, contraction and what the data taught."""
        return self._once("summary", lambda: summary(self))

    def fitted(self) -> pd.DataFrame:
        """One row per reading: its value, the predicted median, 50 and 90 % intervals, and whether it lies inside."""
        return fitted(self)

    def individuals(self) -> pd.DataFrame:
        """One row per subject and parameter that differs between subjects: median and 90 % interval."""
        if not self._of_many:
            raise ValueError("this is the posterior of one subject; see summary()")
        return individuals(self)

    def trajectories(self, analyte: str | None = None) -> pd.DataFrame:
        """Median, 50 and 90 % bands of every curve over time, of one analyte or all, by subject."""
        return bands(self, None if analyte is None else canonical(analyte))

    def predict(
        self,
        scenario: Scenario | Trigger | Mapping[str, Any] | str | None = None,
        *,
        treatment: Any = None,
        data: Any = None,
        **more: Any,
    ) -> Predicted:
        """What is still to be read: in another scenario, under another treatment, of new subjects, or of `data`.

        `scenario` is one of the models, or a trigger, or the name of one that ships, as `treatment` is; without both it is
        that of the fit. `more` are the keys of `cytostorm predict`: `until_h, num_times, num_draws, analytes, num_subjects,
        covariates, known_until_h, arm, seed`. Raises `ValueError` for what the fit cannot answer.
        """
        other = {"scenario": scenario} if isinstance(scenario, Scenario) else {"trigger": named_or("trigger", scenario)}
        asked = Asked(**_known(Asked, other | {"treatment": named_or("treatment", treatment), "data": data} | more))
        return Predicted(predict(asked, self.config, self), passed(self))

    def compare(
        self, arms: str | Sequence[str] | Mapping[str, Any] = choices.TREATMENTS, *, force: bool = False, **more: Any
    ) -> Compared:
        """When to treat, with what and how much: treatments, starts and doses on the same draws of the same patients.

        `arms` are names of treatments that ship (`a+b` gives both), or treatments or `{treatment, start_h, dose, clock}` by
        name. `more` are the keys of `cytostorm compare`: `start_h, dose, clock, outcome, utility, until_h, num_draws, ...`.
        Raises `ValueError` for what cannot be compared, and for a fit that failed its verdict unless `force`.
        """
        if not (passed(self) or force):
            raise ValueError("this fit failed its verdict: choices from it mean nothing; fit again, or give force=True")
        own = [arms] if isinstance(arms, str) else arms
        asked = {"treatments": (), "arms": own} if isinstance(own, Mapping) else {"treatments": own}
        wanted = choices.Wanted(**_known(choices.Wanted, asked | more))
        return Question(wanted, *choices.patients(wanted, self.config, self.problem, self)).solve()

    def forecast(self, *, known_until_h: float | None = None, **more: Any) -> Foreseen:
        """Its readings as they arrived: after each, from the prior and what was read so far, the chance of a storm.

        `more` are the keys of `cytostorm forecast`: `analyte, threshold, horizons_h, num_points, step_h, alarm, seed`.
        Raises `ValueError` for a population, and where nothing was read of the analyte.
        """
        if not isinstance(self.problem, Problem):
            raise ValueError("a forecast is of one subject; fit one, or use `cytostorm forecast data=cohort`")
        return forecast(self.problem, known_until_h=known_until_h, **more)

    @property
    def _of_many(self) -> bool:
        return "population_predictive" in self.children

    def __repr__(self) -> str:
        return "\n".join(["Posterior:", *(f"  {line}" for line in [str(self.verdict), *self.lines])])

    def _repr_html_(self) -> str:
        verdict, table = self.verdict, learned(self.summary())
        groups = listed([f"{name}: {dict(node.sizes)}" for name, node in self.children.items()])
        parts = [judged(verdict.passed, verdict.facts, verdict.reasons), listed(self.lines), tabled(table)]
        return "".join([*parts, folded("groups of the tree", groups)])


def _known(kind: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments given to a verb. Raises `ValueError` for one that it does not have; the message lists all."""
    if unknown := [name for name in given if name not in kind.__dataclass_fields__]:
        raise ValueError(f"no argument `{unknown[0]}`; there are: {', '.join(kind.__dataclass_fields__)}")
    return given


def _same(problem: Problem | Population, tree: xr.DataTree) -> Problem | Population:
    """The problem, if it has the readings of the tree; else `ValueError`."""
    then = tree["observed_data"].to_dataset()["y"].values
    if len(problem.data) != len(then) or not np.array_equal(problem.data.value, then):
        raise ValueError("the data of the fit have changed since; fit again")
    return problem
