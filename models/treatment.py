"""Treatments: courses of drugs, each by dose, route and schedule, that start together."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import numpy as np

from .dose import Doses, infusion, no_doses, repeated
from .drugs import ANTIBODIES, LINEAR, SUPPORT, ZERO_ORDER, target

COURSE = ("drug", "route", "dose", "per_kg", "cap", "duration_h", "number", "interval_h", "after_h")


class Treatment(eqx.Module):
    """Courses by name, all counted from `start_h`.

    A course has `drug` and `dose` [mg, mg/kg with `per_kg`, standard doses, or the level of supportive care], and may
    have `route` (iv), `cap` [mg], `duration_h` (0), `number` (1), `interval_h`, and `after_h` (0), its delay.
    """

    courses: Mapping[str, Mapping[str, Any]] = eqx.field(static=True)
    start_h: float = eqx.field(static=True)

    def __init__(self, start_h: float = 0.0, **courses: Mapping[str, Any]):
        self.courses, self.start_h = courses, start_h
        self.doses(70.0)

    def doses(self, weight: float) -> Doses:
        """The amounts that enter the body of a patient of this weight [kg].

        Raises `ValueError` for an unknown drug, route or key, or a schedule that cannot be.
        """
        if not (np.isfinite(weight) and weight > 0):
            raise ValueError(f"`weight` is {weight} kg; give a positive number")
        schedule = no_doses()
        for name, course in self.courses.items():
            try:
                schedule += _course(dict(course), self.start_h, weight)
            except ValueError as error:
                raise ValueError(f"course `{name}` of the treatment: {error}") from error
        return schedule


def _course(course: dict[str, Any], start: float, weight: float) -> Doses:
    if unknown := course.keys() - set(COURSE):
        raise ValueError(f"no key `{unknown.pop()}`; it has: {', '.join(COURSE)}")
    if missing := {"drug", "dose"} - course.keys():
        raise ValueError(f"`{missing.pop()}` is missing")
    drug, dose = course["drug"], float(course["dose"])
    number, interval = int(course.get("number", 1)), float(course.get("interval_h") or 0.0)
    duration = float(course.get("duration_h", 0.0))
    if start < 0:
        raise ValueError(f"`start_h` is {start}; a treatment starts at 0 h or later")
    if not (np.isfinite(dose) and dose >= 0):
        raise ValueError(f"`dose` of {drug} is {dose}; give a finite number >= 0")
    if drug in SUPPORT:
        if dose > 1:
            raise ValueError(f"the level of {drug} is {dose}; give a number from 0 to 1")
        return infusion(drug, dose * duration, duration, start + float(course.get("after_h", 0.0)))
    route = course.get("route", "iv")
    known = ANTIBODIES | {name: entry.routes for name, entry in LINEAR.items()}
    if drug not in known:
        raise ValueError(f"no drug `{drug}`; drugs: {', '.join([*known, *SUPPORT])}")
    if route not in known[drug]:
        raise ValueError(f"no route `{route}` for {drug}; it has: {', '.join(known[drug])}")
    duration = duration or ZERO_ORDER.get(drug, 0.0)
    if number > 1 and not interval > 0:
        raise ValueError(f"`interval_h` of {drug} is {interval:g}; give a positive number of hours between the doses")
    if number > 1 and interval < duration:
        raise ValueError(f"`interval_h` of {drug} is {interval}, shorter than the infusion of {duration} h")
    amount = dose * weight if course.get("per_kg") else dose
    amount = min(amount, float(course.get("cap") or np.inf)) * known[drug][route]
    lag = LINEAR[drug].lag if drug in LINEAR else 0.0
    one = infusion(target(drug, route), amount, duration, start + float(course.get("after_h", 0.0)) + lag)
    return repeated(one, interval, number)
