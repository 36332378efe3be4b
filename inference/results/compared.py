"""Treatments, starts and doses on the same draws of the same patients: which is best, by how much, how sure."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..decisions import decide, information
from ..decisions.comparison_tree import comparison_tree
from ..decisions.counterfactual import Comparison, Report, check, units
from ..decisions.counterfactual import compare as solved
from ..decisions.optimum import optimum
from ..decisions.options import NOW, TRIGGER, Option
from ..decisions.patients import Patient
from ..decisions.utility import Utility
from ..summary import plain, records
from .choices import NEXT, Wanted, choices_of, outcomes_of
from .page import Told

DAYS = 14  # after the last decision, where nothing says when the story ends
SHOWN = 5  # outcomes in a figure, those of the utility first


class Question:
    """A comparison that was asked for and checked, and not yet solved. Raises `ValueError` for what cannot be compared."""

    def __init__(self, wanted: Wanted, people: list[Patient], horizon: float | None):
        self.wanted, self.people = wanted, people
        self.outcomes, self.utility = outcomes_of(wanted)
        ends = (wanted.until_h, horizon, max(p.now for p in people) + 24 * DAYS)
        self.until = next(float(x) for x in ends if x is not None)
        self.choices: list[Option] = choices_of(wanted)
        check(people, self.choices, self.outcomes, self.until, list(wanted.curves))
        decide.check_share(wanted.window["share"])

    def solve(self, report: Report = lambda done, total: None) -> "Compared":
        """Solve every draw of every patient under every option."""
        curves = list(self.wanted.curves)
        found = solved(self.people, self.choices, self.outcomes, self.until, self.wanted.num_times, curves, report)
        return Compared(found, self)


class Compared(Told):
    """A comparison: `table` has the decisions, `outcomes`, `windows`, `sensitivity` and `information` what they rest on, and
    `tree` all draws."""

    def __init__(self, comparison: Comparison, question: Question):
        self.comparison, self.utility = comparison, question.utility
        self._question = question

    def __dir__(self) -> list[str]:
        verbs = ["plot_best", "plot_fans", "plot_starts"]
        return ["comparison", "lines", "outcomes", "table", "tables", "tree", "utility", "windows", *verbs]

    @cached_property
    def table(self) -> pd.DataFrame:
        """Per option: utility, its paired difference to no treatment, the shares of draws in which it is better and best."""
        return decide.decisions(self.comparison, self.utility)

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """Per option and outcome: mean, median, 90 % interval, paired difference."""
        return decide.outcome_table(self.comparison)

    @cached_property
    def windows(self) -> pd.DataFrame:
        """Per arm and dose: in how many draws it helps at all, and when the window closes in these."""
        return decide.windows(self.comparison, self.utility, self._question.wanted.window["share"])

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """All tables by name; those on what the choice hangs on where any draw could be compared.

        Raises `ValueError` where the best start and dose are searched and an outcome has no slope.
        """
        found = {"decisions": self.table, "outcomes": self.outcomes, "windows": self.windows}
        found["draws"] = decide.failures(self.comparison)
        if self.comparison.whole.any():
            found["sensitivity"] = sensitivity(self.comparison, self.utility, self._question.people)
            found |= searched(self.comparison, self.table, self._question)
        return found

    @cached_property
    def units(self) -> dict[str, str]:
        """The units of states and read-outs."""
        return units(self._question.people[0].model)

    @cached_property
    def tree(self) -> xr.DataTree:
        """All outcomes over option, patient and draw, and curves of some draws."""
        return comparison_tree(self.comparison, self.utility, self.units)

    @cached_property
    def lines(self) -> list[str]:
        """The comparison in words."""
        return told(self.comparison, self.tables) if self.comparison.whole.any() else ["no draw could be compared"]

    def plot_fans(self, of: str | None = None, patient: int = 0) -> Any:
        """The course of a read-out untreated and, arm by arm, from the best of its starts."""
        from ..decisions import decision_figures as figures
        from ..style import closed

        name = of or next(iter(self.comparison.curves))
        if name not in self.comparison.curves:
            raise ValueError(f"no curves of `{name}` were kept; ask for them with curves=[...]: {', '.join(self.units)}")
        return closed(figures.fans(self.comparison, self.table, name, self.units[name], patient))

    def plot_starts(self, outcomes: Any = None) -> Any:
        """Utility gained and outcomes against the start of treatment, and until when the window is open."""
        from ..decisions import decision_figures as figures
        from ..style import closed

        names = outcomes or list(dict.fromkeys([*self.utility.weights, *self.comparison.outcomes]))[:SHOWN]
        return closed(figures.against_start(self.comparison, self.utility, self.windows, names, self._one))

    def plot_best(self) -> Any:
        """How likely each arm is to be the best choice at each start, and what is lost on average by choosing it."""
        from ..decisions import decision_figures as figures
        from ..style import closed

        return closed(figures.best(self.comparison, self.utility, self._one))

    @property
    def _one(self) -> int | None:
        return 0 if len(self.comparison.patients) == 1 else None

    def _figures(self) -> list[Any]:
        many = self.comparison.whole.any() and len(self.windows)
        return [self.plot_fans(), self.plot_starts()] if many else []


def sensitivity(comparison: Comparison, utility: Utility, people: list[Patient]) -> pd.DataFrame:
    """What the choice hangs on, of all patients together."""
    worth = decide.cases(comparison, utility.of(comparison))
    names = [n for n in people[0].values if all(np.ptp(p.values[n]) > 0 for p in people)]
    known = {n: np.stack([p.values[n] for p in people])[comparison.whole] for n in names}
    return information.sensitivity(worth, known, int(worth.mean(axis=1).argmax()))


def searched(comparison: Comparison, table: pd.DataFrame, question: Question) -> dict[str, pd.DataFrame]:
    """What the next reading would change, and the best start and dose by gradient where it is asked for."""
    wanted, following = question.wanted, question.wanted.next_reading
    worth = decide.cases(comparison, question.utility.of(comparison))
    reading = decide.cases(comparison, comparison.outcome[..., comparison.outcomes.index(NEXT)])[0]
    random = np.random.default_rng(wanted.seed)
    seen = np.log(np.maximum(reading, 1e-12)) + following["sd"] * random.standard_normal(len(reading))
    start = np.min(np.where(np.isfinite(comparison.start), comparison.start, np.inf) - comparison.now[:, None], axis=(1, 2))
    still = start >= following["after_h"] - 1e-9
    found = {"perfect": information.perfect(worth)} | information.waiting(worth, seen, still)
    tables = {"information": pd.DataFrame([{"of": following["of"], "after_h": following["after_h"], **found}])}
    if wanted.optimum["search"]:
        tables["optimum"] = optima(comparison, table, question)
    return tables


def optima(comparison: Comparison, table: pd.DataFrame, question: Question) -> pd.DataFrame:
    """Of every patient the best start and dose, sought by gradient from the best option on."""
    rows, wanted = [], question.wanted
    low, high = (float(x) for x in wanted.optimum["dose"])
    for patient in question.people:
        own = [row["utility"] for row in records(table) if row["patient"] == patient.label]
        option = comparison.options[int(np.argmax(own[1:])) + 1]
        outcomes, num = (question.outcomes, question.utility), wanted.optimum["num_draws"]
        best = optimum(patient, option, *outcomes, question.until, wanted.num_times, num, (low, high))
        rows.append({name: getattr(best, name) for name in best.__dataclass_fields__})
    return pd.DataFrame(rows)


def since(clock: str) -> str:
    """What a clock counts from, in words."""
    return {NOW: "the decision", TRIGGER: "the trigger"}.get(clock, f"`{clock}`")


def told(comparison: Comparison, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """The comparison in words."""
    label = comparison.patients[0] if len(comparison.patients) == 1 else "all"
    best = next(row for row in records(tables["decisions"]) if row["patient"] == label and row["expected_best"])
    what = "no treatment" if best["clock"] == "" else f"{best['arm']} {best['start_h']:g} h after {since(best['clock'])}"
    lines = [f"best: {what}, the best of all in {best['p_best']:.0%} of the draws; expected regret {plain(best['regret'])}"]
    for row in records(tables["windows"]):
        if row["patient"] != label:
            continue
        arm = row["arm"] if row["dose"] == 1 else f"{row['arm']}, {row['dose']:g} x dose"
        if row["benefits"] == 0:
            lines.append(f"window of {arm}: it helps in no draw")
            continue
        lines.append(
            f"window of {arm}: it helps in {row['benefits']:.0%} of the draws, and {row['share']:.0%} of that is left until"
            f" {row['closes_h']:.0f} h ({row['q5']:.0f} to {row['q95']:.0f})"
        )
    hangs = ", ".join(
        f"{row['parameter']} ({plain(row['value'])})" for row in records(tables["sensitivity"])[:3] if row["value"]
    )
    value = records(tables["information"])[0]
    lines.append(
        f"knowing everything would add {plain(value['perfect'])}; one parameter alone: {hangs or 'next to nothing'}"
    )
    lines.append(
        f"{value['of']} read {value['after_h']:g} h on would add {plain(value['now'])} if it were known now; to wait for it"
        f" {'adds' if value['later'] > 0 else 'costs'} {plain(abs(value['later']))}"
    )
    for row in records(tables.get("optimum", pd.DataFrame())):
        lines.append(
            f"optimum of {row['arm']}, {row['patient']}: {row['start_h']:.1f} h since the trigger, {row['dose']:.2f} x dose,"
            f" utility gained {plain(row['gain'])} ({row['num_evaluations']} looks at the gradient)"
        )
    return lines
