"""A cohort: who was studied, what was read, what was given, and what is known of each."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import equinox as eqx
import numpy as np
import pandas as pd
from jax.core import Tracer
from jaxtyping import Float

from cytostorm.models import Doses, Scenario, no_doses

from .covariates import Course
from .observations import Observations


class Subject(eqx.Module):
    """One story of one person: readings, doses and covariates from `start` [h] on.

    `covariates` are constant; `changing` ones are times [h] and values, each value holding from its time to the next.
    A person who was reset to the state of rest has a story for each stretch between resets: they share `person`.

    Raises `ValueError` where readings are of somebody else, or a reading or a dose comes before `start`.
    """

    label: str = eqx.field(static=True)
    study: str = eqx.field(static=True)
    data: Observations
    doses: Doses = eqx.field(default_factory=no_doses)
    covariates: Mapping[str, float] = eqx.field(default_factory=dict)
    changing: Mapping[str, Course] = eqx.field(default_factory=dict)
    arm: str = eqx.field(default="", static=True)
    person: str = eqx.field(default="", static=True)
    start: float = eqx.field(default=0.0, static=True)

    def __check_init__(self) -> None:
        if strangers := set(self.data.subject) - {self.label}:
            raise ValueError(f"subject {self.label!r} has readings of {strangers.pop()!r}; give each subject its own")
        for what, times in {"reading": self.data.time, "dose": self.doses.time}.items():
            if len(times) and not isinstance(times, Tracer) and times.min() < self.start:
                raise ValueError(
                    f"subject {self.label!r} has a {what} at {times.min():g} h, before its `start`, {self.start:g} h"
                )

    def under(self, scenario: Scenario) -> Scenario:
        """What happens to the subject where all of its arm share `scenario`: its own doses besides, from its own start."""
        return Scenario(scenario.doses + self.doses, scenario.initial, self.start)

    def covariate(self, name: str, times: Float[np.ndarray, " time"]) -> Float[np.ndarray, " time"]:
        """A covariate at these times [h], carried forward. Raises `ValueError` for one that the subject lacks."""
        times = np.asarray(times, float)
        if name in self.covariates:
            return np.full(len(times), float(self.covariates[name]))
        if name not in self.changing:
            known = ", ".join([*self.covariates, *self.changing]) or "none"
            raise ValueError(f"subject {self.label!r} has no covariate `{name}`; it has: {known}")
        since, value = self.changing[name]
        return value[np.maximum(np.searchsorted(since, times, side="right") - 1, 0)]


class Cohort(eqx.Module):
    """The subjects of one or more studies, in order.

    Raises `ValueError` if there are none, or two with one label.
    """

    subjects: tuple[Subject, ...]

    def __check_init__(self) -> None:
        if not self.subjects:
            raise ValueError("a cohort without subjects; give at least one")
        label, number = Counter(self.labels).most_common(1)[0]
        if number > 1:
            raise ValueError(f"{number} subjects are called {label!r}; give each a label of its own")

    def __len__(self) -> int:
        return len(self.subjects)

    def __iter__(self) -> Iterator[Subject]:
        return iter(self.subjects)

    def __getitem__(self, label: str) -> Subject:
        return self.subset([label]).subjects[0]

    @property
    def labels(self) -> list[str]:
        """The labels of the subjects."""
        return [subject.label for subject in self.subjects]

    @property
    def persons(self) -> list[str]:
        """The person of each subject: its own label, unless the subject is one of several stories of a person."""
        return [subject.person or subject.label for subject in self.subjects]

    @property
    def studies(self) -> list[str]:
        """The studies, each once, in the order of their first subjects."""
        return list(dict.fromkeys(subject.study for subject in self.subjects))

    @property
    def analytes(self) -> list[str]:
        """The analytes that were read in any subject, each once."""
        return list(dict.fromkeys(analyte for subject in self.subjects for analyte in subject.data.analyte))

    def subset(self, labels: Sequence[str]) -> "Cohort":
        """The subjects with these labels, in this order. Raises `ValueError` for one that is not there."""
        known = {subject.label: subject for subject in self.subjects}
        if unknown := [label for label in labels if label not in known]:
            raise ValueError(f"no subject {unknown[0]!r} in the cohort; it has: {', '.join(known)}")
        return Cohort(tuple(known[label] for label in labels))

    def without(self, label: str) -> "Cohort":
        """The cohort without one subject. Raises `ValueError` for one that is not there."""
        self.subset([label])
        return self.subset([other for other in self.labels if other != label])

    def table(self) -> pd.DataFrame:
        """The readings in the tidy format with study, arm and covariates at the time of each; doses have no place in it."""
        return pd.concat([_tidy(subject) for subject in self.subjects], ignore_index=True)


def _tidy(subject: Subject) -> pd.DataFrame:
    frame = subject.data.table()
    frame.insert(0, "study", subject.study)
    known = {name: subject.covariate(name, subject.data.time) for name in [*subject.covariates, *subject.changing]}
    return frame.assign(arm=subject.arm, **known)


def merged(cohorts: Sequence[Cohort]) -> Cohort:
    """The subjects of several cohorts, in order. Raises what `Cohort` raises."""
    return Cohort(tuple(subject for cohort in cohorts for subject in cohort))
